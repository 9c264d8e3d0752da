"""The pages about our own adapters, made from their code and from what runs of the suite showed.

Owns: `docs/adapters/replies.md` (every table of replies, row by row), and in `docs/adapters/README.md` the made parts:
the table of systems and that of lost acknowledgements. What code cannot say of a system stands, by hand, in
`docs/adapters/systems.toml`. An adapter of which nothing stands there, or no run is kept, is shown as that.
Refuses (ValueError): a cut that ended otherwise than in most runs, and of which nobody has written why.
"""

from __future__ import annotations

import importlib
import textwrap
import tomllib
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from conformance.documents.markdown import table, with_part
from conformance.documents.verdicts import ADAPTERS, ROOT, Cut, Record, kept
from conformance.faults import Point
from conformance.registry import LOST, NAME
from conformance.results import Judgement
from gateway.boundary.effects import Traffic, classify
from gateway.contracts.adapter import Basis, Commitment, Exclusivity, Idempotency
from gateway.contracts.base import Model, Slug
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect, ObservationFinding
from gateway.kit.replies import ANY, Row, Table

PAGE: Final = ROOT / "docs" / "adapters" / "README.md"
BY_HAND: Final = ROOT / "docs" / "adapters" / "systems.toml"

PEERS: Final[Mapping[str, str]] = {
    "server": "a server that others wrote",
    "ours": "a server of this project's, on a library that others wrote",
    "sandbox": "this project's own sandbox",
    "twin": "**twin**: this project's stand-in, from the vendor's documents",
    "stub": "**contract stub**: canned replies, from the vendor's specification",
}
"""What kind of peer a run was made against, as readers are told."""
_IDEMPOTENCY: Final = {
    Idempotency.UNIQUE: "unique: a second use of the key is refused",
    Idempotency.LOOKUP: "look-up by the key",
    Idempotency.NONE: "none",
}
_OBSERVATION: Final = {Basis.BY_KEY: "by key", Basis.MATCHING: "by likeness", Basis.NONE: "none"}
_STANDARD: Final = "standard"
"""The dialect of a connection that names none."""
_EXCLUSIVITY: Final = {
    Exclusivity.ENFORCED: "enforced",
    Exclusivity.ADVISORY: "advisory",
    Exclusivity.NONE: "none",
}


_OPENING: Final = (
    "Every reply to a write that an adapter recognises, what is said of it, and where that is written. An APPLIED row "
    "is half of the proof: what is in force is compared with what was approved, and a difference is `REPLY_DEVIATES`. "
    "Whatever has no row is UNKNOWN: `EXTERNAL_ERROR` for 5xx, else `REPLY_UNRECOGNISED`. Effects and codes are told "
    "in [Failures](../failures.md)."
)


OTHERWISE: Final[Mapping[tuple[Point, Effect | None, ObservationFinding | None], str]] = {
    (Point.GARBAGE_BODY, Effect.APPLIED, ObservationFinding.PRESENT): (
        "The system answers this write without a body. What it says stands in status and headers, which arrived whole; "
        "there was nothing to spoil. An adapter that says APPLIED by a spoilt body fails."
    ),
    (Point.DUPLICATE, Effect.UNKNOWN, ObservationFinding.PRESENT): (
        "Over MLLP a second message is more than was asked for, and nothing says which of the two is the reply, so "
        "neither is believed. An HTTP reply states its end, and what comes after it is not read."
    ),
    (Point.REDELIVERED, Effect.APPLIED, ObservationFinding.PRESENT): (
        "The system knows the repeated request by its key, and answers it with what the first one made. Others refuse "
        "the second delivery, and a refusal that our own request may have caused is UNKNOWN."
    ),
    (Point.REDELIVERED, Effect.UNKNOWN, ObservationFinding.DIFFERENT): (
        "**Two appointments stand there.** The gateway sent one request, and the network delivered it twice. This "
        "system refuses no second use of a key (native idempotency is a look-up), so it made two, and no adapter can "
        "prevent that. The look finds both and says DIFFERENT; a person cancels one. That is no violation of at most "
        "once, which speaks of what the gateway sends: without unique keys the suite allows as many bookings as there "
        "were deliveries."
    ),
}
"""Why a cut may end otherwise than in most runs, by what was said and seen."""


class Tried(Model):
    """What a person wrote of one run: the kind of its peer, the credentials it used, and how its dialect compares
    versions, where that is not as the system's other dialects do."""

    peer: Literal["server", "ours", "sandbox", "twin", "stub"]
    authentication: Annotated[str, Field(max_length=80)]
    concurrency: Annotated[str, Field(max_length=200)] | None = None


class System(Model):
    """What a person wrote of one system, and of its kept runs by name. `beside` are credentials that it takes, too,
    which no run used."""

    title: Annotated[str, Field(max_length=80)]
    concurrency: Annotated[str, Field(max_length=200)]
    beside: Annotated[str, Field(max_length=200)] | None = None
    runs: dict[Slug, Tried]


def packages() -> list[str]:
    """The packages under `adapters/`, by name."""
    return sorted(path.parent.name for path in ADAPTERS.glob("*/plugin.py"))


@cache
def systems(path: Path = BY_HAND) -> Mapping[str, System]:
    """What stands in `systems.toml`, by package; of a package that does not stand there, nothing is known."""
    written = {name: System.model_validate(entry) for name, entry in tomllib.loads(path.read_text("utf-8")).items()}
    return {name: System(title=name, concurrency="–", runs={}) for name in packages()} | written


def tables(package: str) -> Mapping[str, Table]:
    """An adapter's tables of replies, by title."""
    found: Mapping[str, Table] = importlib.import_module(f"adapters.{package}.replies").TABLES
    return found


def outcome(status: int | str, row: Row) -> tuple[str, str]:
    """The effect and code that the boundary makes of a row, where the reply is complete. A protocol without statuses of
    HTTP's has none that would forbid a claim."""
    traffic = Traffic(sent=True, status=status if isinstance(status, int) else 200)
    effect, code = classify(traffic, row.receipt, Commitment.IMMEDIATE)
    return effect.value, code.value


# -- replies -----------------------------------------------------------------------------------------------


def replies_page(note: str) -> str:
    """Every row of every table of every adapter."""
    return "\n".join(_replies(note)) + "\n"


def _replies(note: str) -> Iterator[str]:
    yield from ("# What vendors' replies mean", "", note, "")
    yield from textwrap.wrap(_OPENING, 118)
    for package in packages():
        yield from ("", f"## {systems()[package].title}")
        for title, rows in tables(package).items():
            yield from ("", f"### {package}: {title}", "")
            yield from table(("reply", "effect", "code", "source"), (_told(*key, row) for key, row in rows.items()))


def _told(status: int | str, word: str, row: Row) -> tuple[str, str, str, str]:
    effect, code = outcome(status, row)
    reply = f"{status}" if word is ANY else f"{status} `{word}`" if isinstance(status, int) else f"{status}: {word}"
    return reply, effect, f"`{code}`", row.source


# -- systems -----------------------------------------------------------------------------------------------


def systems_page() -> str:
    """The page with its made parts made again."""
    page = with_part(PAGE.read_text(encoding="utf-8"), "systems", _systems())
    return with_part(page, "lost acknowledgements", _lost())


def runs() -> Iterator[tuple[str, System, str, Record | None]]:
    """Package, system, name and record of every run that `systems.toml` names; None: none is kept."""
    records = kept()
    for package in packages():
        system = systems()[package]
        for name in system.runs or [package.replace("_", "-")]:
            yield package, system, name, records.get(name) if name in system.runs else None


def _systems() -> Iterator[str]:
    head = (
        *("system", "operations", "native idempotency", "slot exclusivity", "concurrency control", "authentication"),
        *("observation", "proven against", "verdict"),
    )
    yield from table(head, (_row(*each) for each in runs()))


def _row(package: str, system: System, name: str, record: Record | None) -> tuple[str, ...]:
    tried = system.runs.get(name)
    if record is None or tried is None:
        title = f"[{system.title}](../../adapters/{package}/DIVERGENCES.md)"
        return title, "–", "–", "–", system.concurrency, "–", "–", "–", "no run is kept"
    claims = record.claims
    observation = _OBSERVATION[claims.observation]
    if claims.settling_seconds:
        observation += f", after {claims.settling_seconds} s"
    if claims.commitment is Commitment.RELAYED:
        observation += f"; a relay, up to {claims.relay_seconds} s"
    return (
        f"[{_title(system, record)}](../../adapters/{package}/DIVERGENCES.md)",
        ", ".join(NAME[each] for each in Operation if each in claims.operations),
        _IDEMPOTENCY[claims.idempotency],
        _EXCLUSIVITY[claims.exclusivity],
        tried.concurrency or system.concurrency,
        tried.authentication + (f" (not tried: {system.beside})" if system.beside else ""),
        observation,
        f"{record.peer} ({PEERS[tried.peer]})",
        _verdict(record),
    )


def _title(system: System, record: Record) -> str:
    """The system, and which of its dialects was spoken, where it has several."""
    return system.title if record.dialect == _STANDARD else f"{system.title}, dialect `{record.dialect}`"


def _verdict(record: Record) -> str:
    counts = ", ".join(f"{count} {judgement.value}" for judgement, count in record.judged.items())
    told = ", ".join(f"`{requirement}`" for requirement in record.on_twin)
    beside = f"; {len(record.on_twin)} of them ({told}) on the {record.twin} beside it" if told else ""
    return f"{record.verdict.value} on {record.on:%Y-%m-%d}: {counts}{beside}"


# -- lost acknowledgements ---------------------------------------------------------------------------------


def _lost() -> Iterator[str]:
    """What nearly all runs showed at each cut, which did otherwise and why, and each run's counts."""
    shown = {name: (system, record) for _, system, name, record in runs() if record is not None}
    records = {name: record for name, (_, record) in shown.items()}
    sentences: list[str] = []
    rows = [_at(point, records, sentences) for point in LOST]
    yield from table(("cut", "what happens there", "as a rule", "otherwise"), rows)
    yield ""
    for number, sentence in enumerate(sentences, start=1):
        yield from textwrap.wrap(f"{number}. {sentence}", 120, subsequent_indent="   ", break_on_hyphens=False)
    head = ("run", "system", "peer", "at most once", "commits", "requests", "effects")
    yield ""
    yield from table(head, (_counts(name, system, record) for name, (system, record) in shown.items()))
    if twins := [name for name, record in records.items() if any(cut.twin for cut in record.cuts)]:
        yield from ("", f"Some cuts were tried on a twin beside the system, by {', '.join(twins)}.")


def _at(point: Point, records: Mapping[str, Record], sentences: list[str]) -> tuple[str, str, str, str]:
    """One row: the most common answer is the rule, and each other one names its runs and the sentence that explains it,
    which joins `sentences` where it is not there yet."""
    cuts = {
        (name, cut.operation): cut
        for name, record in records.items()
        for cut in record.cuts
        if cut.point is point and cut.judgement is not Judgement.NOT_APPLICABLE
    }
    told = {key: _cut(cut) for key, cut in cuts.items()}
    rule = max(told.values(), key=list(told.values()).count, default="–")
    others = {said: [key for key in told if told[key] == said] for said in told.values() if said != rule}
    cells = []
    for said, keys in others.items():
        names = ", ".join(_whose(name, keys, told) for name in dict.fromkeys(name for name, _ in keys))
        why = [_why(name, cuts[name, operation]) for name, operation in keys]
        sentences += [each for each in dict.fromkeys(why) if each and each not in sentences]
        notes = "".join(f" ({sentences.index(each) + 1})" for each in dict.fromkeys(why) if each)
        cells.append(f"{said}: {names}{notes}")
    return f"`{point}`", LOST[point].partition(":")[0], rule, "; ".join(cells)


def _whose(name: str, keys: Collection[tuple[str, Operation]], told: Collection[tuple[str, Operation]]) -> str:
    """The run and, unless it did so with every operation, with which."""
    of = [operation for each, operation in keys if each == name]
    every = len(of) == sum(each == name for each, _ in told)
    return f"`{name}`" + ("" if every else f" ({', '.join(NAME[each] for each in of)})")


def _why(name: str, cut: Cut) -> str:
    """The sentence for a cut that ended otherwise, if it passed: a failure is no way of a system's."""
    if cut.judgement is not Judgement.PASSED:
        return ""
    if sentence := OTHERWISE.get((cut.point, cut.effect, cut.finding)):
        return sentence
    raise ValueError(f"{name}, {cut.point}, {NAME[cut.operation]}: {_cut(cut)}; OTHERWISE does not say why")


def _counts(name: str, system: System, record: Record) -> tuple[object, ...]:
    once = record.at_most_once
    peer = f"{record.peer} ({PEERS[system.runs[name].peer].partition(':')[0]})"
    counts = (once.commits, once.requests, once.effects)
    return f"`{name}`", _title(system, record), peer, once.evidence.value, *counts


def _cut(cut: Cut) -> str:
    """What was said, mutating requests on the wire, and what a look found."""
    if cut.effect is None:
        return f"**{cut.judgement.value}**"
    look = "no look" if cut.finding is None else cut.finding.value
    failed = "" if cut.judgement is Judgement.PASSED else f" (**{cut.judgement.value}**)"
    return f"{cut.effect.value}, {cut.sent} sent, {look}{failed}"
