"""What people rely on after so many operations, and whether a recovered journal keeps it.

Owns: the marks of a story as promises, and the comparison of a journal, reopened and recovered, with all of them.
Each broken promise is one sentence that begins with its kind; no promise broken is an empty list.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gateway.contracts.outcome import Outcome
from gateway.contracts.references import AttemptId, PracticeId, ProposalId
from gateway.contracts.statements import Finding
from gateway.contracts.words import Effect
from gateway.journal import AttemptFile, Journal, ProposalFile
from tests.power.recording import ENDED, Mark

SENT_ENDS: Final = frozenset({Effect.APPLIED, Effect.REFUSED, Effect.UNKNOWN})
"""What may be recorded of a request that did leave: anything but that it did not."""

MANY: Final = 10_000

_HASH: Final = re.compile(rb'"hash":"([0-9a-f]{64})"')


@dataclass(frozen=True, slots=True)
class Presented:
    """A trigger that was handed in: not a promise yet, but what one is about."""

    key: str
    practice: PracticeId
    proposal: ProposalId
    token: str


@dataclass(slots=True)
class Promises:
    """Everything promised so far; `add` takes the next mark."""

    count: int = 0
    made: str | None = None
    journal: str | None = None
    appended: list[tuple[AttemptId, int, str]] = field(default_factory=list)
    recorded: list[tuple[PracticeId, ProposalId, int, str]] = field(default_factory=list)
    suspended: set[str] = field(default_factory=set)
    accepted: set[str] = field(default_factory=set)
    answered: dict[AttemptId, Outcome] = field(default_factory=dict)
    archived: set[tuple[int, str]] = field(default_factory=set)
    checkpoints: list[str] = field(default_factory=list)
    presented: list[Presented] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    due: list[Presented] = field(default_factory=list)
    """Triggers whose request has been sent: presented again, they are replays."""

    def add(self, mark: Mark) -> None:
        if mark.kind == ENDED:
            return
        handler = getattr(self, f"_add_{mark.kind}")
        handler(**mark.detail)
        self.count += mark.kind != "presented"

    def _add_made(self, seal: str) -> None:
        self.made = seal

    def _add_opened(self, journal: str) -> None:
        self.journal = journal

    def _add_appended(self, attempt: str, seq: int, head: str) -> None:
        self.appended.append((AttemptId(attempt), seq, head))

    def _add_recorded(self, practice: str, proposal: str, seq: int, hash: str) -> None:
        self.recorded.append((PracticeId(practice), ProposalId(proposal), seq, hash))

    def _add_suspended(self, connection: str) -> None:
        self.suspended.add(connection)

    def _add_accepted(self, hashes: Sequence[str]) -> None:
        self.accepted |= set(hashes)

    def _add_answered(self, outcome: Mapping[str, Any]) -> None:
        told = Outcome.model_validate(outcome, strict=False)
        if told.recorded and told.attempt is not None:
            self.answered[told.attempt] = told

    def _add_archived(self, number: int, digest: str) -> None:
        self.archived.add((number, digest))

    def _add_checkpointed(self, text: str) -> None:
        self.checkpoints.append(text)

    def _add_presented(self, key: str, practice: str, proposal: str, token: str) -> None:
        self.presented.append(Presented(key, PracticeId(practice), ProposalId(proposal), token))

    def _add_sent(self, key: str) -> None:
        self.sent[key] += 1
        self.due.append(next(each for each in reversed(self.presented) if each.key == key))


@dataclass(frozen=True, slots=True)
class Found:
    """A recovered journal, read once."""

    identity: str
    attempts: Mapping[AttemptId, AttemptFile]
    proposals: Mapping[tuple[PracticeId, ProposalId], ProposalFile]
    suspended: frozenset[str]
    volumes: frozenset[tuple[int, str]]

    @classmethod
    async def read(cls, journal: Journal, suspended: frozenset[str]) -> Found:
        with journal.archive() as archive:
            identity = archive.meta.get("journal", "")
            volumes = frozenset((volume.number, volume.digest) for volume in archive.volumes())
        attempts = {file.attempt: file for file in await journal.attempts(limit=MANY)}
        proposals = {
            (file.proposal.practice, file.proposal.proposal_id): file for file in await journal.proposals(MANY)
        }
        return cls(identity, attempts, proposals, suspended, volumes)


def broken(promises: Promises, found: Found) -> Iterator[str]:
    """Every promise about the journal that does not hold."""
    if promises.journal is not None and promises.journal != found.identity:
        yield "opened: it is another journal"
    yield from _appended(promises, found)
    for practice, proposal, seq, hash_ in promises.recorded:
        file = found.proposals.get((practice, proposal))
        if file is None or len(file.records) < seq or file.records[seq - 1].hash != hash_:
            yield f"recorded: record {seq} of {proposal} is lost"
    for name in sorted(promises.suspended - found.suspended):
        yield f"suspended: {name} is not"
    for number, _ in sorted(promises.archived - found.volumes):
        yield f"archived: volume {number} is not recorded"
    for attempt, told in promises.answered.items():
        if not _same(told, found.attempts.get(attempt)):
            yield f"answered: the outcome of {attempt} is not the one that was told"
    for key in promises.sent:
        yield from _sent(promises, key, found)
    for left in found.attempts.values():
        if left.deadline is not None and left.outcome is None:
            yield f"recovered: {left.attempt} is still in flight"


def _appended(promises: Promises, found: Found) -> Iterator[str]:
    """Events that have left for a volume are the audit's to find: it has the volume, or the checkpoint over it."""
    for attempt, seq, head in promises.appended:
        file = found.attempts.get(attempt)
        if file is not None and file.volume is not None:
            continue
        if file is None or len(file.links) < seq or file.links[seq - 1].hash != head:
            yield f"appended: {attempt} is not there as far as event {seq}"


def _same(told: Outcome, file: AttemptFile | None) -> bool:
    """What was said of the attempt's end stands, whatever was found out later."""
    if file is None or file.outcome is None:
        return False
    names = ("state", "code", "effect", "closing_hash", "external_reference", "version")
    stands = all(getattr(told, name) == getattr(file.outcome, name) for name in names)
    return stands and (told.resolution is None or told.resolution is file.outcome.resolution)


def _sent(promises: Promises, key: str, found: Found) -> Iterator[str]:
    """A request that left is in the journal, and nothing in it would let another one go."""
    subject = next((each.practice, each.proposal) for each in promises.presented if each.key == key)
    dispatched = [
        file
        for file in found.attempts.values()
        if file.header.proposal == subject[1]
        and file.outcome is not None
        and file.outcome.effect in SENT_ENDS
        and file.deadline is not None
    ]
    if len(dispatched) < promises.sent[key]:
        yield f"sent: {promises.sent[key]} requests for {subject[1]}, {len(dispatched)} in the journal"
        return
    held_by = found.proposals[subject].held_by if subject in found.proposals else None
    keeping = [file.attempt for file in dispatched if not _released(file)]
    if keeping != ([] if held_by is None else [held_by]):
        yield f"sent: {subject[1]} is held by {held_by}, and ought to be by {keeping}"


def _released(file: AttemptFile) -> bool:
    assert file.outcome is not None
    unknown = file.outcome.effect is Effect.UNKNOWN
    return file.outcome.effect is Effect.REFUSED or (unknown and file.resolution is Finding.ABSENT)


def unkept(promises: Promises, sink: Path) -> Iterator[str]:
    """Every event that the file sink acknowledged and no longer has."""
    kept = {found.decode() for found in _HASH.findall(sink.read_bytes())} if sink.is_file() else set()
    for hash_ in sorted(promises.accepted - kept):
        yield f"accepted: the sink has lost event {hash_}"


def unbound(promises: Promises, bindings: Path) -> Iterator[str]:
    """Every identifier that came home, by the outcome's own word, and is not there."""
    for told in promises.answered.values():
        home = told.effect is Effect.APPLIED and not told.binding_outstanding
        if home and not (bindings / f"{told.external_reference}.json").is_file():
            yield f"bound: what {told.attempt} brought home is lost"
