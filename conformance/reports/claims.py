"""What the adapter claims against what the run found; mutants, twin calibration, and what the run left behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from conformance.reports.markup import Markup, element, joined, rows, table
from conformance.reports.outline import MARKS, WORDS, Line, lines, peer_words, tally
from conformance.results import Judgement, Results
from gateway.contracts.adapter import Basis, Commitment, Descriptor, Exclusivity, Idempotency
from gateway.contracts.proposal import Operation

_APPLIED: Final = tuple(f"{operation.name.lower()}.applied" for operation in Operation)


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """One claim of the descriptor. `checks`: the requirements that try it, a whole id or a part of it that ends with
    a dot; none means that nothing can try it."""

    claim: str
    declared: str
    checks: tuple[str, ...]


def claim_rows(claims: Descriptor) -> Iterator[ClaimRow]:
    """Every claim, and which requirements find out whether it is so."""
    for operation in Operation:
        name = operation.name.lower()
        declared = operation in claims.operations
        tried = (f"{name}.applied", f"observe.{name}") if declared else (f"claims.no-{name}",)
        yield ClaimRow(name, "supported" if declared else "not supported", tried)
    yield ClaimRow(
        "native key",
        {
            Idempotency.UNIQUE: "accepted once; a second use is refused or has no effect",
            Idempotency.LOOKUP: "can be looked up, is not refused",
            Idempotency.NONE: "ignored by the system",
        }[claims.idempotency],
        ("replay.", "race.one-key"),
    )
    shared = claims.exclusivity is not Exclusivity.ENFORCED
    yield ClaimRow(
        "one appointment a slot",
        {
            Exclusivity.ENFORCED: "kept by the system",
            Exclusivity.ADVISORY: "a warning at most",
            Exclusivity.NONE: "not kept by the system",
        }[claims.exclusivity],
        ("slots.shared",) if shared else ("refused.slot-taken", "race.one-slot"),
    )
    unseen = claims.observation is Basis.NONE
    yield ClaimRow(
        "observation",
        {
            Basis.BY_KEY: "finds an appointment by our key",
            Basis.MATCHING: "finds an appointment by likeness",
            Basis.NONE: "not possible",
        }[claims.observation],
        ("claims.no-observation",) if unseen else ("observe.",),
    )
    settles = f"within {claims.settling_seconds} s" if claims.settling_seconds else "at once"
    yield ClaimRow("a change can be seen", settles, () if unseen else ("observe.absent", "lost."))
    posts = ", ".join((*claims.safe_posts, *(claims.safe_calls.methods if claims.safe_calls else ()))) or "none"
    yield ClaimRow("requests with a body that only read", posts, ("conduct.reads-only",))
    yield ClaimRow("requests an attempt needs", f"at most {claims.requests_per_attempt}", _APPLIED)
    relayed = f"that a relay took it, carried out within {claims.relay_seconds} s"
    meaning = "that it is done" if claims.commitment is Commitment.IMMEDIATE else relayed
    yield ClaimRow("a success reply says", meaning, ())
    yield ClaimRow("anything behind it delivers again", "yes" if claims.redelivers else "no", ())


def claims(results: Results) -> Markup:
    found = lines(results)
    body = rows(*((row.claim, row.declared, _finding(row, found)) for row in claim_rows(results.descriptor)))
    return table("Claims of the descriptor against findings", ("claim", "declared", "found by the run"), body)


def _finding(row: ClaimRow, found: Sequence[Line]) -> Markup:
    """Refuted by one failure; shown only where all that try it passed, as far as they apply."""
    tried = [
        line
        for line in found
        if line.counts is not Judgement.NOT_APPLICABLE
        and any(line.id == check or (check.endswith(".") and line.id.startswith(check)) for check in row.checks)
    ]
    if not tried:
        return element("span", "taken on trust: no check can try it", class_="quiet")
    counts = tally(tried)
    failed = [line for line in tried if line.counts is Judgement.FAILED]
    if failed:
        links = [element("a", element("code", line.id), href=f"#{line.id}") for line in failed[:4]]
        more = f" and {len(failed) - 4} more" if len(failed) > 4 else ""
        return joined(
            element("b", f"{MARKS[Judgement.FAILED]} in doubt", class_="word failed"),
            " ",
            joined(*links, between=", "),
            more,
        )
    if list(counts) == [Judgement.PASSED]:
        number = counts[Judgement.PASSED]
        told = f" by {number} {'check' if number == 1 else 'checks'}"
        return joined(element("b", f"{MARKS[Judgement.PASSED]} shown", class_="word passed"), told)
    told = ", ".join(f"{number} {WORDS[judgement]}" for judgement, number in counts.items())
    return joined(element("b", "! not fully shown", class_="word could-not-run"), f" {told}")


def mutants(results: Results) -> Markup:
    if not results.mutation:
        return element("p", "The adapter was not mutated in this run (", element("code", "run --mutate"), ").")
    caught = sum(score.caught for score in results.mutation)
    told = element(
        "p",
        element("b", f"{caught} of {len(results.mutation)}"),
        " deliberately broken copies of this adapter were noticed by at least one check.",
        class_="lead",
    )
    body = rows(
        *(
            (
                element("code", score.mutant),
                element("b", "✓ noticed", class_="word passed")
                if score.caught
                else element("b", "✗ not noticed", class_="word failed"),
                joined(*(element("code", each) for each in score.by), between=", ") or "–",
                peer_words(score.peer, results.profile),
            )
            for score in results.mutation
        )
    )
    return joined(told, table("Mutants of the adapter", ("mutant", "ended", "noticed by", "run on the"), body))


def calibration(results: Results) -> Markup:
    if results.target.twin is None:
        return element("p", "The run used no twin.")
    if not results.calibration:
        return element("p", "No check that ran on both ended differently on the twin and on the sandbox.")
    body = rows(
        *(
            (element("code", each.requirement), WORDS[each.target], WORDS[each.twin], each.detail or "–")
            for each in results.calibration
        )
    )
    return table(
        "Where twin and sandbox differ", ("requirement", "on the sandbox", "on the twin", "what differs"), body
    )


def residue(results: Results) -> Markup:
    if not results.residue:
        return element("p", "The run wrote nothing.")
    body = rows(
        *(
            (
                peer_words(each.peer, results.profile),
                str(each.created),
                f"{each.removed}, of which {each.kept} shown as cancelled" if each.kept else str(each.removed),
                element("b", f"! {each.remaining}", class_="word could-not-run") if each.remaining else "0",
                ", ".join(f"{at:%Y-%m-%d %H:%M}Z" for at in each.where) or "–",
                f"{each.writes} of {each.budget}",
            )
            for each in results.residue
        )
    )
    unsure = [peer_words(each.peer, results.profile) for each in results.residue if not each.verified]
    told = element(
        "p", f"The last look at the {' and the '.join(unsure)} failed: these are upper bounds.", class_="intro"
    )
    head = ("system", "created", "removed", "remaining", "slots that remain taken", "writes used")
    whole = table("What the run created and what became of it", head, body)
    return joined(told, whole) if unsure else whole
