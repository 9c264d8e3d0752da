"""The journal: the one store of attempts, events, proposals, decisions and holds.

Owns: the contract that both databases fulfil. One `append` is one durable transaction and, returned,
one acknowledgement (I6). Unique keys in the schema hold I1 even where the code above is wrong.
Refuses: to answer for anything it could not make durable. `JournalUnavailable` means that nothing was
recorded; `JournalFailed` that nobody can tell whether it was, and the process must stop dispatching.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from gateway.contracts.canonical import digest
from gateway.contracts.chain import Link, Record, RecordKind
from gateway.contracts.outcome import Outcome
from gateway.contracts.proposal import Operation, Proposal
from gateway.contracts.references import (
    AttemptId,
    ConnectionId,
    DecisionId,
    OwnerId,
    PracticeId,
    ProposalId,
    Reference,
    TriggerId,
)
from gateway.contracts.statements import Finding, Purpose
from gateway.contracts.words import Effect, Hold, State, Unfinished
from gateway.lifecycle import Attempt, Identity

ATTEMPT_KEY_DOMAIN: Final = "attempt-key/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What an attempt is about. References are None where the trigger did not carry them believably.

    `trigger_digest` is the SHA-256 of the trigger's bytes, or None for a trigger that reserves no key
    (unsigned, or a collision): strangers cannot use up a caller's key.
    """

    purpose: Purpose
    trigger: TriggerId | None = None
    trigger_digest: str | None = None
    practice: PracticeId | None = None
    proposal: ProposalId | None = None
    proposal_digest: str | None = None
    connection: ConnectionId | None = None
    operation: Operation | None = None
    approval: DecisionId | None = None

    @property
    def attempt_key(self) -> str:
        return attempt_key(self.proposal_digest, self.approval)


def attempt_key(proposal_digest: str | None, approval: str | None) -> str:
    """One approved operation on one proposal: whoever reserves this executes it (IDEM-01, IDEM-04)."""
    return digest(ATTEMPT_KEY_DOMAIN, f"{proposal_digest}|{approval}".encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What the intent append reserves, all or nothing.

    `judged` is `ProposalFile.standing` as the gates saw it: if anything but an observation has been recorded
    about the proposal since, the intent is not admitted. None asks for no such condition.
    """

    attempt_key: str
    siblings: tuple[str, ...]
    deadline: datetime
    judged: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """One atomic write: the attempt's pending links and everything that goes with them.

    `attempt.stored` 0 makes the row and reserves the trigger's key; otherwise the stored row must still
    be unfinished at that sequence number. `outcome` is set when the attempt ends or pauses; `hold` then
    says what becomes of hold and siblings. A resume reserves its own trigger (`resume`).
    """

    attempt: Attempt
    header: Header
    intent: Intent | None = None
    outcome: Outcome | None = None
    hold: Hold = Hold.NONE
    resume: tuple[TriggerId, str] | None = None


class Admission(StrEnum):
    """What became of an append. All but ADMITTED wrote nothing."""

    ADMITTED = "admitted"
    KEY_TAKEN = "key-taken"
    KEY_COLLISION = "key-collision"
    STOPPED = "stopped"
    MOVED = "moved"
    EXECUTED = "executed"
    FROZEN = "frozen"
    RELATED = "related"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Appended:
    """`holder` is the attempt that already has the key, for KEY_TAKEN (same bytes or same attempt key)."""

    admission: Admission
    holder: AttemptId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalFile:
    """Everything recorded about one proposal, read in one consistent look.

    `proposal` is the latest revision. `held_by` is None where nothing holds it; `hold_effect` is the holder's
    effect (None while in flight) and `hold_resolution` its resolution. `records` are in chain order.
    """

    proposal: Proposal
    records: tuple[Record, ...]
    stopped: bool
    withdrawn: bool
    held_by: AttemptId | None
    hold_effect: Effect | None
    hold_resolution: Finding | None = None

    @property
    def revisions(self) -> tuple[str, ...]:
        """The digests of all revisions, the latest last."""
        return tuple(record.reference for record in self.records if record.kind is RecordKind.PROPOSAL)

    @property
    def standing(self) -> str:
        """The hash of the last thing that anybody said about the proposal; looking at it says nothing."""
        return next(record.hash for record in reversed(self.records) if record.kind is not RecordKind.OBSERVATION)

    @property
    def executed(self) -> bool:
        """Held for ever: carried out, by the gateway or, a human says, otherwise (GATE-16)."""
        return self.hold_effect is Effect.APPLIED or self.hold_resolution in (Finding.APPLIED, Finding.HANDLED_BY_HAND)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFile:
    """Everything recorded about one attempt. `outcome` is None while it is in flight; for a paused
    attempt it is the pause's own answer. Resolution and latest observation are already in `outcome`.
    An archived attempt has no `links` here: they are in `volume`, and ended before `ended_before`."""

    attempt: AttemptId
    header: Header
    state: State
    links: tuple[Link, ...]
    outcome: Outcome | None
    owner: OwnerId | None
    deadline: datetime | None
    resolution: Finding | None
    volume: int | None = None
    ended_before: datetime | None = None

    @property
    def ended_by(self) -> datetime | None:
        """By when the last event was recorded: its own instant or, where it is archived, a later one."""
        return self.links[-1].event.at if self.links else self.ended_before

    def resumable(self) -> Attempt:
        """The attempt as a value again, to be continued: same identity, same chain, nothing pending."""
        first, last = self.links[0].event, self.links[-1]
        identity = Identity(
            attempt=first.attempt,
            correlation=first.correlation,
            trace=first.trace,
            environment=first.environment,
            trigger=first.trigger,
        )
        return Attempt(identity=identity, state=self.state, seq=last.event.seq, head=last.hash, stored=last.event.seq)


class JournalId(Reference, kind="jrn"):
    """One journal, named at random when it is made."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One row as it is found; `body` may be anything."""

    seq: int
    body: str
    hash: str


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """One row as it is found. `attempt` and `finding` repeat what the body of a resolution or observation says."""

    position: int
    practice: str
    proposal: str
    seq: int
    kind: str
    reference: str
    body: str
    hash: str
    attempt: str | None
    finding: str | None


@dataclass(frozen=True, slots=True)
class StoredVolume:
    """One row as it is found: a file of archived events. `digest` is the SHA-256 of the file, as `sha256sum`
    prints it; all its `attempts` ended before `ended_before`, an instant in UTC as text."""

    number: int
    digest: str
    ended_before: str
    attempts: int


@dataclass(frozen=True, slots=True)
class StoredAttempt:
    """One row as it is found, with its events in order and the triggers that it has used up. Where `volume`
    names one, the events are there and not here."""

    columns: Mapping[str, str | int | None]
    triggers: tuple[tuple[str, str], ...]
    events: tuple[StoredEvent, ...]

    @property
    def attempt(self) -> str:
        return str(self.columns["attempt"])

    @property
    def position(self) -> int:
        return int(self.columns["position"] or 0)

    @property
    def end(self) -> tuple[int, str]:
        """How long the chain of events is, and its last hash: as found or, where it is archived, as the row says.
        Raises IndexError where there is neither."""
        if self.volume is None:
            return self.events[-1].seq, self.events[-1].hash
        return int(self.columns["seq"] or 0), str(self.columns["head"])

    @property
    def volume(self) -> int | None:
        value = self.columns.get("volume")  # a journal of the first schema has no such column
        return None if value is None else int(value)

    def text(self, name: str) -> str | None:
        value = self.columns[name]
        return None if value is None else str(value)


NOT_OURS = "this process does not own an attempt of that name in flight; nothing may be dispatched for it"


@dataclass(frozen=True, slots=True)
class Durability:
    """What opening the journal proved of its database, in words; `caution` and `mend` are for people."""

    proven: str
    caution: str = ""
    mend: str = ""


class Archive(Protocol):
    """Everything that a journal holds, as found and unjudged, in one consistent look, without its key:
    what verification, checkpoints and exports read. Methods raise `AuditTampered` where the file itself
    cannot be read any more."""

    @property
    def meta(self) -> Mapping[str, str]:
        """`journal` (its `JournalId`) and `key` (the digest of its key)."""
        ...

    def damage(self) -> Sequence[str]:
        """What the database itself finds wrong: broken pages, indexes and references."""
        ...

    def attempts(self) -> Iterator[StoredAttempt]:
        """The oldest first."""
        ...

    def attempt(self, attempt: str) -> StoredAttempt | None:
        """One of them."""
        ...

    def volumes(self) -> Iterator[StoredVolume]:
        """By number."""
        ...

    def records(self) -> Iterator[StoredRecord]:
        """By practice, proposal and sequence number."""
        ...

    def holds(self) -> Iterator[tuple[str, str, str]]:
        """(practice, proposal, attempt)."""
        ...

    def siblings(self) -> Iterator[tuple[str, str]]:
        """(sibling, attempt)."""
        ...

    def triggers(self) -> Iterator[tuple[str, str, str]]:
        """(trigger, digest, attempt)."""
        ...


class Journal(Protocol):
    """Both databases fulfil this contract; `tests/unit/journal` runs one suite over both."""

    @property
    def owner(self) -> OwnerId:
        """This process, whose death is visible to others by its lock (I11). On PostgreSQL the death of its session
        is, and with a new session comes a new owner."""
        ...

    @property
    def durability(self) -> Durability: ...

    async def ready(self) -> None:
        """Prove, now, that an append would be acknowledged; raises `JournalUnavailable` (GATE-28)."""
        ...

    async def append(self, entry: Append) -> Appended:
        """One durable write, or nothing. Concurrent appends may share one barrier."""
        ...

    async def record(
        self,
        practice: PracticeId,
        proposal: ProposalId,
        kind: RecordKind,
        reference: str,
        body: str,
        *,
        attempt: AttemptId | None = None,
        expected_head: str | None = None,
    ) -> Record:
        """Chain one more statement to a proposal, durably. The same reference and body again returns the
        existing record; the same reference with another body raises `Conflict`. The first record of a
        proposal is its first revision; any other kind before it raises `NotFound`. With `expected_head`,
        a chain that has moved on raises `Conflict`. `attempt` is given for an observation.

        `stopped` and `withdrawn` of a proposal hold for statements later than its latest revision."""
        ...

    async def resolve(
        self, attempt: AttemptId, reference: str, body: str, finding: Finding, *, looks: int | None = None
    ) -> Record:
        """Chain a resolution and change the holds in one write. The first resolution of an attempt wins:
        another raises `Conflict`; an attempt whose outcome is known raises `Conflict` too, and so does one that was
        looked at since: `looks` is how many looks at it whoever judged the resolution has seen."""
        ...

    async def proposal(self, practice: PracticeId, proposal: ProposalId) -> ProposalFile | None: ...

    async def proposals(self, limit: int = 100) -> Sequence[ProposalFile]:
        """The newest first."""
        ...

    async def stopped(
        self,
        practice: PracticeId,
        proposal: ProposalId,
        revision: str | None = None,
        *,
        dispatching: AttemptId | None = None,
    ) -> bool:
        """Whether a stop is latched on the latest revision or, where given, on the one with this digest:
        a later revision lifts no stop from an attempt at an earlier one (C-18).

        `dispatching` is the attempt for which this is the last look: raises `JournalUnavailable` unless it is in
        flight and this process still owns it, so that nobody can have recovered it (I11)."""
        ...

    async def trigger(self, trigger: TriggerId) -> tuple[str, AttemptId] | None:
        """(digest of its bytes, attempt) of a trigger id that is taken."""
        ...

    async def intent(self, attempt_key: str) -> AttemptId | None:
        """The attempt that reserved this attempt key (proposal digest, approval, operation), if any."""
        ...

    async def related(self, siblings: Sequence[str]) -> bool:
        """Whether an attempt in flight or unknown reserved any of these; the intent append asks again."""
        ...

    async def attempt(self, attempt: AttemptId) -> AttemptFile | None: ...

    async def attempts(
        self, *, proposal: ProposalId | None = None, standing: Unfinished | None = None, limit: int = 100
    ) -> Sequence[AttemptFile]:
        """The newest first."""
        ...

    async def paused(self, practice: PracticeId, proposal: ProposalId) -> Sequence[AttemptFile]:
        """All attempts at this proposal that wait for an answer, the oldest first."""
        ...

    async def orphans(self) -> Sequence[AttemptFile]:
        """Attempts in flight whose owner is dead: an intent without an outcome."""
        ...

    def archivable(self, before: datetime) -> AsyncIterator[StoredAttempt]:
        """Finished attempts whose events are still here and which ended before `before` (whole seconds), the
        oldest first. An effect that is unknown and unresolved is not finished. Reads through all attempts, in many
        short looks: what is archived meanwhile has been handed out."""
        ...

    async def archive_events(self, volume: StoredVolume, attempts: Sequence[StoredAttempt]) -> None:
        """Record the next volume, mark these attempts and delete their events: one durable write, or nothing.
        What is in no file yet is then lost, so the file comes first. Raises `Conflict` where the volume is not
        the next, or an attempt not as given: somebody else has archived meanwhile."""
        ...

    async def compact(self) -> None:
        """Give the space of deleted events back to the file system, as far as the database does not by itself.
        Raises `Conflict` while another process has the journal open, if that would make its callers wait."""
        ...

    async def suspend(self, connection: ConnectionId, suspended: bool) -> None: ...

    async def suspended(self, connection: ConnectionId) -> bool: ...

    async def reserve(self, connection: ConnectionId, requests: int, per_minute: int, now: datetime) -> datetime | None:
        """Take `requests` from the connection's current minute, over all processes, however their clocks differ;
        None, or the instant by the caller's clock from which it may be tried again. Costs no durable barrier."""
        ...

    def sibling_digest(self, *parts: str) -> str:
        """HMAC-SHA-256 under this journal's own key: siblings' inputs could be guessed, so the key is
        never in the journal."""
        ...

    def archive(self) -> AbstractContextManager[Archive]:
        """Everything, as the server that writes has it, for checkpoints, exports and archiving. Blocking; meant for
        commands, not for the path of a commit."""
        ...

    async def aclose(self) -> None: ...
