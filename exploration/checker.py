"""What must be true of every run, judged by the external system's own counter and by the recorded journal.

Owns: the rules, each raised as a `ViolationError` that says what it found. At the first byte of a mutating request: its
intent is in the database, every sink has acknowledged it, the approval was fresh when it was last looked at, and no
sibling is open. At the end, per attempt and per key: what the peer counted against what was recorded; every answer
against the record, and every exception against what is promised; nothing in flight after recovery; the audit; no canary
anywhere that it must not be.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from exploration.journal import content, read_whole
from exploration.peer import Leaving
from exploration.ports import ACTOR, KilledError
from exploration.practice import BEGINNING, CANARY, SINKS, Asked
from gateway.audit.verify import verify_archive
from gateway.contracts.chain import RecordKind
from gateway.contracts.failures import Code
from gateway.contracts.outcome import ObservationRecord, Outcome
from gateway.contracts.signals import Signal
from gateway.contracts.statements import Decision, Finding, Resolution, Verdict
from gateway.contracts.words import Effect, ObservationFinding, Standing, State
from gateway.errors import GatewayError
from gateway.journal import Append

if TYPE_CHECKING:
    from exploration.world import Call, World


class ViolationError(AssertionError):
    """The gateway did what it must never do."""


@dataclass(slots=True)
class Sent:
    """One mutating request, from its first byte: whose it was, when that was, and what the peer says of it."""

    attempt: str
    approval: str
    at: float
    leaving: Leaving

    @property
    def key(self) -> str:
        return self.leaving.key


@dataclass(slots=True)
class Checker:
    """Watches one world. `looks` counts what looks have shown."""

    world: World
    sent: list[Sent] = field(default_factory=list)
    violations: list[ViolationError] = field(default_factory=list)
    looks: Counter[str] = field(default_factory=Counter)
    _standing: dict[str, str] = field(default_factory=dict)
    _looked: dict[str, datetime] = field(default_factory=dict)
    _verified: set[int] = field(default_factory=set)

    def begin(self) -> None:
        self.sent.clear()
        self.violations.clear()
        self.looks.clear()
        self._standing.clear()
        self._looked.clear()

    def state(self) -> int:
        sent = tuple(sorted((each.attempt, each.key) for each in self.sent))
        return hash((sent, tuple(sorted(self._standing.items())), tuple(sorted(self._looked.items()))))

    # -- while the run goes on --------------------------------------------------------------------------

    def intended(self, entry: Append) -> None:
        """What stood against the approval as the intent was recorded; nothing, or it must not be sent."""
        header, database = entry.header, self.world.database
        said = database.execute(
            "SELECT kind, reference FROM records WHERE practice = ? AND proposal = ? ORDER BY seq",
            (header.practice, header.proposal),
        ).fetchall()
        latest = dict(said)
        since = [kind for kind, reference in reversed(said)]
        since = since[: since.index(RecordKind.PROPOSAL)]
        faults = []
        if latest[RecordKind.PROPOSAL] != header.proposal_digest:
            faults.append("an earlier revision")
        if latest.get(RecordKind.DECISION) != header.approval:
            faults.append("a superseded decision")
        if RecordKind.STOP in since or RecordKind.WITHDRAWAL in since:
            faults.append("a stopped or withdrawn proposal")
        self._standing[entry.attempt.identity.attempt] = ", ".join(faults)

    def looked(self, attempt: str) -> None:
        """When the gateway took its last look: the instant at which the approval must still be fresh."""
        self._looked[attempt] = self.world.clock.now()

    def seen(self, seen: ObservationRecord) -> None:
        """A look has just been recorded. Absence is of the system that was written to, and after all that was said to
        be on its way. (A clock that steps in between may deceive whoever looks at it.)"""
        sent = next((each for each in self.sent if each.attempt == seen.attempt), None)
        looked_into = self.world.peer.looked.get(ACTOR.get().name)
        elsewhere = sent is not None and looked_into not in (None, sent.leaving.system)
        self.looks[f"{seen.finding}{' in another system' if elsewhere else ''}"] += 1
        if sent is None or seen.finding is not ObservationFinding.ABSENT:
            return
        if elsewhere:
            self.violations.append(ViolationError("the silence of another system counts as absence"))
        arrived, looked = sent.at + sent.leaving.lateness, (seen.at - BEGINNING - self.world.wall).total_seconds()
        if self.world.stepped < sent.at and looked < arrived:
            self.violations.append(ViolationError("an absence is recorded while a request may still be on its way"))

    def first_byte(self, leaving: Leaving) -> None:
        """A mutating request leaves, and can be called back no more. What is wrong with it is raised by `look`: here,
        deep inside the gateway, an exception would only be one more fault of the wire."""
        try:
            self._first_byte(leaving)
        except ViolationError as violation:
            self.violations.append(violation)

    def look(self) -> None:
        """Raises what has been found so far."""
        if self.violations:
            raise self.violations[0]

    def _first_byte(self, leaving: Leaving) -> None:
        asked = next((each for each in self.world.practice.asked.values() if each.key == leaving.key), None)
        if asked is None:
            raise ViolationError("a request whose key is no proposal's")
        database = self.world.database
        if database.in_transaction:
            raise ViolationError("a request leaves while a transaction is open")
        rows = database.execute(
            "SELECT attempt, approval, seq FROM attempts "
            "WHERE proposal_digest = ? AND deadline IS NOT NULL AND outcome IS NULL AND state = 'AUDITING'",
            (asked.digest,),
        ).fetchall()
        if len(rows) != 1:
            raise ViolationError(f"a request leaves with {len(rows)} recorded intents")
        ((attempt, approval, _),) = rows
        self._acknowledged(attempt)
        self._fresh(asked.digest, attempt, approval)
        self._alone(asked, attempt)
        self.sent.append(Sent(attempt, approval, self.world.loop.time(), leaving))
        counted = Counter(each.attempt for each in self.sent)
        if counted[attempt] > 1:
            raise ViolationError("an attempt sends a second mutating request")

    def _acknowledged(self, attempt: str) -> None:
        # A pause is an end of its own: the acceptances themselves and the pausing are for the journal alone.
        rows = self.world.database.execute(
            "SELECT hash FROM events WHERE attempt = ? AND json_extract(body, '$.signal') <> ? "
            "AND json_extract(body, '$.to_state') IS NOT ?",
            (attempt, Signal.AUDIT_ACCEPTED, State.PAUSED),
        )
        recorded = {row[0] for row in rows}
        for name in SINKS:
            if recorded - self.world.plugin.sinks[name].acknowledged:
                raise ViolationError(f"sink {name} has not acknowledged what leads to the request that leaves")

    def _fresh(self, revision: str, attempt: str, approval: str) -> None:
        if fault := self._standing.get(attempt, "an intent that nobody saw recorded"):
            raise ViolationError(f"a request leaves on {fault}")
        looked = self._looked.get(attempt)
        if looked is None:
            raise ViolationError("a request leaves without a last look at the stop latch")
        decision, proposal = self._decision(approval), self.world.practice.asked[revision].proposal
        if decision.verdict is not Verdict.APPROVE or decision.proposal_digest != revision:
            raise ViolationError("a request leaves on a decision that is no approval of it")
        for name, expires in (("approval", decision.expires_at), ("proposal", proposal.expires_at)):
            if looked >= expires:
                raise ViolationError(f"a request leaves on an expired {name}")

    def _alone(self, asked: Asked, attempt: str) -> None:
        """I1: of one slot, one patient's hour and one target, nothing else is in flight or unknown. By what people
        asked for, not by what the journal reserved."""
        open_ = self.world.database.execute(
            "SELECT proposal_digest FROM attempts WHERE attempt <> ? AND deadline IS NOT NULL AND (outcome IS NULL OR "
            "(effect = 'UNKNOWN' AND attempt NOT IN (SELECT attempt FROM records WHERE kind = 'resolution')))",
            (attempt,),
        )
        for (digest,) in open_:
            if shared := asked.claims & self.world.practice.asked[digest].claims:
                raise ViolationError(f"a request leaves while another attempt is open for {sorted(shared)}")

    def _decision(self, reference: str) -> Decision:
        (body,) = self.world.database.execute(
            "SELECT body FROM records WHERE kind = 'decision' AND reference = ?", (reference,)
        ).fetchone()
        keyring = self.world.practice.sealed.keyring
        return keyring.verify(body, Decision).statement

    # -- at the end -------------------------------------------------------------------------------------

    def finish(self, *, recovered: bool = True, audit: bool = True) -> None:
        """Everything at rest: compare all that was recorded, counted and answered."""
        rows = self.world.database.execute("SELECT * FROM attempts").fetchall()
        self._attempts(rows, recovered=recovered)
        self._keys()
        self._resolutions()
        self._answers({row["attempt"]: row for row in rows})
        self._secrecy()
        if self.world.loop.faults:
            raise ViolationError(f"asyncio saw: {self.world.loop.faults}")
        if audit:
            self._audit()

    def _attempts(self, rows: list[sqlite3.Row], *, recovered: bool) -> None:
        sent = {each.attempt: each.key for each in self.sent}
        unknown = sent.keys() - {row["attempt"] for row in rows}
        if unknown:
            raise ViolationError("a request was sent for an attempt that is not recorded")
        for row in rows:
            state, effect = State(row["state"]), row["effect"]
            key = sent.get(row["attempt"])
            if row["code"] == Code.INVARIANT_VIOLATION:
                raise ViolationError("the gateway refused a forbidden step of its own")
            if row["outcome"] is None:
                if recovered and row["deadline"] is not None:
                    raise ViolationError(f"an attempt is still {state} after recovery")
                continue
            if effect is None and key is not None:
                raise ViolationError(f"{state} {row['code']} says that nothing was dispatched, but a request was sent")
            if effect == Effect.NOT_SENT and key is not None:
                raise ViolationError(f"{state} {row['code']} says NOT_SENT, but a request was sent")
            if effect in (Effect.REFUSED, Effect.APPLIED) and key is None:
                raise ViolationError(f"{state} {row['code']} says {effect}, but nothing was sent")
            if state is State.SUCCEEDED and row["deadline"] is not None and effect != Effect.APPLIED:
                raise ViolationError(f"SUCCEEDED with effect {effect}")

    def _keys(self) -> None:
        """Per native key: the peer's own counter."""
        peer, database = self.world.peer, self.world.database
        attempts: dict[str, list[str]] = {}
        approvals: Counter[str] = Counter()
        for each in self.sent:
            attempts.setdefault(each.key, []).append(each.attempt)
            approvals[each.approval] += 1
        for approval, count in approvals.items():
            if count > 1:
                raise ViolationError(f"{count} mutating requests on one approval {approval}")
        for key in peer.received.keys() | attempts.keys():
            received, applied = peer.received[key], peer.applied[key]
            if received > len(attempts.get(key, ())):
                raise ViolationError(f"the peer counted {received} requests of {len(attempts.get(key, ()))} attempts")
            effects = Counter(
                database.execute("SELECT effect FROM attempts WHERE attempt = ?", (attempt,)).fetchone()[0]
                for attempt in attempts.get(key, ())
            )
            claimed, unknown = effects[Effect.APPLIED], effects[Effect.UNKNOWN] + effects[None]
            if not (claimed <= applied + peer.belated[key] and applied <= claimed + unknown):
                raise ViolationError(f"{applied} effects of one key; recorded are {dict(effects)}")
            if applied > 1:
                raise ViolationError(f"{applied} effects of one key")
        proposals: Counter[str] = Counter()
        for asked in self.world.practice.asked.values():
            proposals[asked.proposal.proposal_id] += peer.applied[asked.key]
        for proposal, count in proposals.items():
            if count > 1:
                raise ViolationError(f"{count} effects of one proposal {proposal}")

    def _resolutions(self) -> None:
        """Whoever stated absence named a look that proved it, and had not been told otherwise since."""
        looks: dict[str, list[ObservationRecord]] = {}
        for attempt, kind, body in self.world.database.execute(
            "SELECT attempt, kind, body FROM records WHERE kind IN ('observation', 'resolution') ORDER BY position"
        ):
            seen = looks.setdefault(attempt, [])
            if kind == RecordKind.OBSERVATION:
                seen.append(ObservationRecord.parse(body))
                continue
            stated = self.world.practice.sealed.keyring.verify(body, Resolution).statement
            if stated.finding is not Finding.ABSENT:
                continue
            named = next((n for n, each in enumerate(seen) if each.observation_id == stated.observation), None)
            if named is None:
                raise ViolationError("an absence is stated on no look")
            since = [each.finding for each in seen[named:]]
            if since[0] is not ObservationFinding.ABSENT or ObservationFinding.PRESENT in since:
                raise ViolationError(f"an absence is stated on looks that found it {[each.value for each in since]}")

    def _answers(self, rows: dict[str, Any]) -> None:
        for call in self.world.calls:
            if call.raised is not None and not isinstance(call.raised, KilledError):
                self.bounded(call.actor.name, call.raised)
            if isinstance(call.answer, Outcome):
                self._answer(call, call.answer, rows)

    @staticmethod
    def bounded(who: str, raised: BaseException) -> None:
        """Statements are refused by the gateway's own errors, without a patient's data; nobody is promised others."""
        if not isinstance(raised, GatewayError):
            raise ViolationError(f"{who} raised {type(raised).__name__}: {raised}") from raised
        if CANARY in f"{raised} {raised.__cause__} {raised.__context__}":
            raise ViolationError(f"a canary is in what {who} raised")

    def _answer(self, call: Call, answer: Outcome, rows: dict[str, Any]) -> None:
        who = call.actor.name
        if answer.attempt is None:
            if answer.recorded or answer.standing is not Standing.UNRESOLVED:
                raise ViolationError(f"{who} was told {answer.code} of no attempt, and that it is recorded")
            return
        row = rows.get(answer.attempt)
        if answer.code is Code.IN_FLIGHT:
            if row is None:
                raise ViolationError(f"{who} was told of an attempt in flight that is not recorded")
            return
        if not answer.recorded:
            self._unrecorded(who, answer, row)
            return
        if row is None or row["outcome"] is None:
            raise ViolationError(f"{who} was told {answer.code}, which is not recorded")
        if answer.state is State.PAUSED:
            return
        stored = Outcome.model_validate_json(row["outcome"])
        later: dict[str, object] = {"replayed": False, "observation": None, "resolution": None}
        if answer.resolution is not None:  # who is to do what is another matter from then on
            later |= {"next": None, "actor": None}
        if answer.model_copy(update=later) != stored.model_copy(update=later):
            raise ViolationError(f"{who} was told {answer.code}, but {stored.code} is recorded")

    def _unrecorded(self, who: str, answer: Outcome, row: Any) -> None:
        """Said to be unrecorded: then the record, if there is one after all, may only know better."""
        sent = any(each.attempt == answer.attempt for each in self.sent)
        if sent and answer.effect is not Effect.UNKNOWN:
            raise ViolationError(f"{who} was told {answer.code} with effect {answer.effect}, but a request was sent")
        if row is not None and row["effect"] is None and row["outcome"] and answer.effect is Effect.UNKNOWN and sent:
            raise ViolationError(f"{who} was told UNKNOWN, and no effect is recorded")

    def _secrecy(self) -> None:
        world = self.world
        if CANARY.encode() in world.database.serialize():
            raise ViolationError("a canary is in the journal")
        told = [call.answer for call in world.calls if isinstance(call.answer, Outcome)]
        if any(CANARY in answer.model_dump_json() for answer in told) or any(CANARY in line for line in world.logged):
            raise ViolationError("a canary is in an answer or a log")
        kept = {id(event): event for sink in world.plugin.sinks.values() for event in sink.events}
        if any(CANARY in event.model_dump_json() for event in kept.values()):
            raise ViolationError("a canary is in a sink")

    def _audit(self) -> None:
        """Public keys alone find nothing amiss. The verdict depends on the rows alone: equal rows are judged once."""
        rows = content(self.world.database)
        if rows in self._verified:
            return
        self._verified.add(rows)
        report = verify_archive(read_whole(self.world.database), (), self.world.practice.sealed.keyring)
        if report.flaws:
            raise ViolationError(f"the audit does not verify: {report.flaws}")
