"""The verdict, per key, from the peer's own counter (docs/reliability.md), and on what callers were told.

Owns: the rules. Everything is read after the run: the peer's count, the journal as `open_archive` finds it, and the
callers' files. A rule that does not hold is a sentence in `Verdict.violations`.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.journal import Archive, StoredAttempt
from tests.chaos.keys import Key

SHOWN = 10


@dataclass(slots=True)
class Verdict:
    """`ends` counts attempts that were dispatched, by effect; `requests` keys by how many requests the peer saw."""

    keys: int = 0
    attempts: int = 0
    acknowledged: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    requests: Counter[int] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def unless(self, holds: bool, violation: str) -> None:
        if not holds:
            self.violations.append(violation)


def judge(
    keys: Sequence[Key],
    peer: Mapping[str, Any],
    archive: Archive,
    callers: Iterable[Path],
    unrecorded: Iterable[tuple[Key, Mapping[str, Any]]],
) -> Verdict:
    """Hold the journal and the callers' files against the peer's own count."""
    verdict = Verdict(keys=len(keys))
    sent = Counter(request["key"] for request in peer["requests"])
    made = Counter(key for appointment in peer["appointments"] for key in appointment["keys"])
    stored: dict[str, StoredAttempt] = {}
    of_proposal: dict[str, list[StoredAttempt]] = defaultdict(list)
    for attempt in archive.attempts():
        stored[attempt.attempt] = attempt
        of_proposal[str(attempt.columns["proposal"])].append(attempt)
        verdict.unless(attempt.columns["outcome"] is not None, f"{attempt.attempt} is in flight after recovery")
    verdict.attempts = len(stored)
    for key in keys:
        _judge_key(verdict, key, sent[key.native], made[key.native], of_proposal[key.proposal.proposal_id])
    verdict.unless(sent.keys() <= {key.native for key in keys}, "the peer saw a request under a key of nobody's")
    looks = {record.reference for record in archive.records() if record.kind == "observation"}
    for path in callers:
        _judge_caller(verdict, path, stored, looks)
    for key, outcome in unrecorded:
        _judge_unrecorded(verdict, key, outcome, sent[key.native], stored)
    return verdict


def _judge_key(verdict: Verdict, key: Key, sent: int, made: int, attempts: Sequence[StoredAttempt]) -> None:
    """Mutating requests ≤ 1; SUCCEEDED ⇒ exactly 1 and an appointment; REFUSED ⇒ no appointment; NOT_SENT ⇒ no
    request; UNKNOWN ⇒ 0 or 1; no other end."""
    name = key.native[:12]
    effects = [attempt.text("effect") for attempt in attempts]
    final = [effect for effect in effects if effect in ("APPLIED", "REFUSED", "UNKNOWN")]
    verdict.requests[sent] += 1
    verdict.ends.update(final or ["NOT_SENT" if "NOT_SENT" in effects else "never dispatched"])
    verdict.unless(sent <= 1, f"{name}: {sent} mutating requests")
    verdict.unless(made <= sent, f"{name}: {made} appointments from {sent} requests")
    verdict.unless(len(final) <= 1, f"{name}: ended {final}")
    verdict.unless(not sent or bool(final), f"{name}: a request that the journal knows nothing of")
    if "APPLIED" in final:
        verdict.unless(sent == made == 1, f"{name}: said to be made, of {sent} requests and {made} appointments")
    if "REFUSED" in final:
        verdict.unless(made == 0, f"{name}: said to be refused, and made")


def _judge_caller(verdict: Verdict, path: Path, stored: Mapping[str, StoredAttempt], looks: Collection[str]) -> None:
    """What a caller was told is in the journal, word for word; a look that it was told of is a record of its own."""
    for line in path.read_text(encoding="utf-8").splitlines():
        outcome = json.loads(line)["outcome"]
        verdict.acknowledged += 1
        found = stored.get(outcome["attempt"])
        text = None if found is None else found.text("outcome")
        kept = None if text is None else json.loads(text)
        look = outcome.pop("observation", None)
        outcome["replayed"] = False
        verdict.unless(kept == outcome, f"{outcome['attempt']}: told {outcome['code']}, and the journal differs")
        verdict.unless(
            look is None or look["observation_id"] in looks, f"{outcome['attempt']}: told of a look that is lost"
        )


def _judge_unrecorded(
    verdict: Verdict, key: Key, outcome: Mapping[str, Any], sent: int, stored: Mapping[str, StoredAttempt]
) -> None:
    """A call that was told "blocked" without a record dispatched nothing, whatever became of its intent."""
    attempt = stored.get(outcome.get("attempt") or "")
    if outcome["state"] == "BLOCKED" and attempt is not None:
        effect = attempt.text("effect")
        name = key.native[:12]
        verdict.unless(effect in (None, "NOT_SENT", "UNKNOWN"), f"{name}: told blocked, and {effect}")
        verdict.unless(effect != "UNKNOWN" or sent == 0, f"{name}: told blocked, and a request was sent")
