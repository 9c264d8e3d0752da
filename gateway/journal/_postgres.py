"""The journal on PostgreSQL: several gateway processes on one database, one round trip and one barrier per append.

Owns: `PostgresJournal`. An append returns after the server acknowledged its commit and not before (I6): written
out there and, where `synchronous_standby_names` says so, at the standbys. All durable writes of one journal are in
one order, by a lock that a statement takes and its commit drops, so every condition is checked on what is there.
Refuses: a server whose settings lose acknowledged writes, another key than the journal's own, and to dispatch for
an owner whose session is over.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, Final

from gateway.contracts.chain import Record, RecordKind
from gateway.contracts.references import AttemptId, ConnectionId, OwnerId, PracticeId, ProposalId, TriggerId
from gateway.contracts.statements import Finding
from gateway.contracts.words import Unfinished
from gateway.errors import ConfigurationError, GatewayError, JournalUnavailable
from gateway.journal import (
    NOT_OURS,
    Admission,
    Append,
    Appended,
    Archive,
    AttemptFile,
    Durability,
    ProposalFile,
    StoredAttempt,
    StoredVolume,
)
from gateway.journal import _postgres_reads as reads
from gateway.journal._entries import ATTEMPTS_AT_ONCE, Statement, check, row_of, trigger_key
from gateway.journal._key import SiblingKey
from gateway.journal._postgres_archive import open_archive
from gateway.journal._postgres_connection import ANSWER_SECONDS, LOCK_SECONDS, Proof, vacuum
from gateway.journal._postgres_session import Line, Server, Session
from gateway.journal._postgres_writer import Writer, read

NO_LOCKS: Final = (
    "this server's advisory locks keep nobody out: connect to PostgreSQL itself, not through a pooler that pools "
    "transactions, nor to an engine that has such locks in name only"
)


class PostgresJournal:
    """`Journal` in one schema of one database. Use from one event loop."""

    def __init__(self, server: Server, proof: Proof, line: Line, writer: Writer) -> None:
        self._server = server
        self._proof = proof
        self._line = line
        self._writer = writer
        self._open = True

    @classmethod
    async def open(
        cls, url: str, *, key: bytes, lock_seconds: float = LOCK_SECONDS, answer_seconds: float = ANSWER_SECONDS
    ) -> PostgresJournal:
        """Open, or make, the journal in the schema that comes first on the role's search path.

        `key` is as for SQLite. `lock_seconds` bounds the wait for other processes' writes, `answer_seconds` the
        wait for any answer. Raises `ConfigurationError` saying what to mend, `JournalUnavailable`.
        """
        server, connection, proof = await Server(url, SiblingKey(key), lock_seconds, answer_seconds).first()
        line = Line(server, connection)
        try:
            session = await Session.open(server)
        except BaseException:
            await line.close()
            raise
        writer = Writer(server, session)
        [held] = await line.ask(reads.HELD, (session.owner,))
        if not held["held"]:
            await writer.close()
            await line.close()
            raise ConfigurationError(NO_LOCKS)
        return cls(server, proof, line, writer)

    @property
    def owner(self) -> OwnerId:
        """A new one after each lost session."""
        return self._writer.owner

    @property
    def durability(self) -> Durability:
        proof = self._proof
        proven = f"PostgreSQL {proof.version // 10_000}, fsync, full_page_writes and synchronous_commit read back"
        if proof.standbys:
            return Durability(f"{proven}; synchronous standbys are named")
        return Durability(
            proven,
            caution="no synchronous standby is named: this server's disk is the only copy of what was acknowledged",
            mend="name standbys in synchronous_standby_names, or never fail over to a copy that may lag behind",
        )

    async def ready(self) -> None:
        """The writer's session stands, its lock is held, the server still syncs, and a real write goes through."""
        session = await self._writer.session()
        await self._line.ask("SELECT journal_ready(%s)", (session.owner,))

    async def append(self, entry: Append) -> Appended:
        check(entry)
        intent = entry.intent
        content = {
            **row_of(entry),
            "do": "append",
            "previous": entry.attempt.pending[0].previous,
            "key": trigger_key(entry),
            "events": [(link.event.seq, link.body.decode(), link.hash) for link in entry.attempt.pending],
            "hold": entry.hold,
            "intent": None
            if intent is None
            else {"attempt_key": intent.attempt_key, "siblings": intent.siblings, "judged": intent.judged},
        }
        answer = await self._writer.submit(json.dumps(content))
        holder = answer["holder"]
        return Appended(Admission(answer["admission"]), None if holder is None else AttemptId(holder))

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
        statement = Statement.of(
            practice, proposal, kind, reference, body, attempt=attempt, expected_head=expected_head
        )
        content = {
            "do": "record",
            "practice": practice,
            "proposal": proposal,
            "kind": kind,
            "reference": reference,
            "body": body,
            "attempt": attempt,
            "expected_head": expected_head,
            "revision": None if statement.revision is None else statement.revision.revision,
        }
        return _record(await self._writer.submit(json.dumps(content)), kind, reference, body)

    async def resolve(
        self, attempt: AttemptId, reference: str, body: str, finding: Finding, *, looks: int | None = None
    ) -> Record:
        told = {"attempt": attempt, "reference": reference, "body": body, "finding": finding, "looks": looks}
        answer = await self._writer.submit(json.dumps({"do": "resolve", **told}))
        return _record(answer, RecordKind.RESOLUTION, reference, body)

    async def archivable(self, before: datetime) -> AsyncIterator[StoredAttempt]:
        [row] = await self._line.ask(reads.LAST_POSITION)
        for after in range(0, row["last"], ATTEMPTS_AT_ONCE):
            names = {"before": f"{before:%Y-%m-%dT%H:%M:%S}", "after": after, "upto": after + ATTEMPTS_AT_ONCE}
            for found in await self._line.ask(reads.ARCHIVABLE, names):
                yield reads.stored(found)

    async def archive_events(self, volume: StoredVolume, attempts: Sequence[StoredAttempt]) -> None:
        content = {
            "number": volume.number,
            "digest": volume.digest,
            "ended_before": volume.ended_before,
            "count": volume.attempts,
            "attempts": [
                (stored.attempt, stored.columns["seq"], stored.columns["head"], len(stored.events))
                for stored in attempts
            ],
        }
        [row] = await self._line.ask("SELECT journal_archive(%s) AS answer", (json.dumps(content),), writes=True)
        answer = read(row["answer"])
        if isinstance(answer, GatewayError):
            raise answer

    async def compact(self) -> None:
        """PostgreSQL reuses the space by itself; this makes it do so now, and nobody waits. Its files do not shrink."""
        await asyncio.to_thread(vacuum, self._server.url)

    async def suspend(self, connection: ConnectionId, suspended: bool) -> None:
        await self._writer.submit(json.dumps({"do": "suspend", "connection": connection, "suspended": suspended}))

    async def reserve(self, connection: ConnectionId, requests: int, per_minute: int, now: datetime) -> datetime | None:
        """Minutes are the server's: gateways on several machines have several clocks. `now` is for the answer."""
        [row] = await self._line.ask("SELECT journal_reserve(%s, %s, %s) AS wait", (connection, requests, per_minute))
        seconds: int | None = row["wait"]
        return None if seconds is None else now + timedelta(seconds=seconds)

    async def proposal(self, practice: PracticeId, proposal: ProposalId) -> ProposalFile | None:
        rows = await self._line.ask(reads.PROPOSAL, {"practice": practice, "proposal": proposal})
        return next(iter(reads.proposal_files(rows)), None)

    async def proposals(self, limit: int = 100) -> Sequence[ProposalFile]:
        return reads.proposal_files(await self._line.ask(reads.PROPOSALS, {"limit": limit}))

    async def stopped(
        self,
        practice: PracticeId,
        proposal: ProposalId,
        revision: str | None = None,
        *,
        dispatching: AttemptId | None = None,
    ) -> bool:
        if dispatching is None:
            [row] = await self._line.ask(reads.STOPPED, (practice, proposal, revision))
            return bool(row["stopped"])
        names = {"practice": practice, "proposal": proposal, "revision": revision}
        [row] = await self._line.ask(reads.DISPATCHING, {**names, "attempt": dispatching, "owner": self.owner})
        if not row["ours"]:
            raise JournalUnavailable(NOT_OURS)
        return bool(row["stopped"])

    async def trigger(self, trigger: TriggerId) -> tuple[str, AttemptId] | None:
        rows = await self._line.ask(reads.TRIGGER, (trigger,))
        return (rows[0]["digest"], AttemptId(rows[0]["attempt"])) if rows else None

    async def intent(self, attempt_key: str) -> AttemptId | None:
        rows = await self._line.ask(reads.INTENT, (attempt_key,))
        return AttemptId(rows[0]["attempt"]) if rows else None

    async def related(self, siblings: Sequence[str]) -> bool:
        [row] = await self._line.ask(reads.RELATED, (list(siblings),))
        return bool(row["related"])

    async def attempt(self, attempt: AttemptId) -> AttemptFile | None:
        return next(iter(reads.files(await self._line.ask(reads.ATTEMPT, (attempt,)))), None)

    async def attempts(
        self, *, proposal: ProposalId | None = None, standing: Unfinished | None = None, limit: int = 100
    ) -> Sequence[AttemptFile]:
        query = reads.ATTEMPTS[standing]
        return reads.files(await self._line.ask(query, {"proposal": proposal, "limit": limit}))

    async def paused(self, practice: PracticeId, proposal: ProposalId) -> Sequence[AttemptFile]:
        return reads.files(await self._line.ask(reads.PAUSED, (practice, proposal)))

    async def orphans(self) -> Sequence[AttemptFile]:
        """Also forgets dead owners to whom no attempt in flight refers."""
        found = reads.files(await self._line.ask(reads.ORPHANS))
        await self._line.ask("SELECT journal_sweep()")
        return found

    async def suspended(self, connection: ConnectionId) -> bool:
        [row] = await self._line.ask(reads.SUSPENDED, (connection,))
        return bool(row["suspended"])

    def sibling_digest(self, *parts: str) -> str:
        return self._server.key.digest(parts)

    def archive(self) -> AbstractContextManager[Archive]:
        return open_archive(self._server.url)

    async def aclose(self) -> None:
        """Write out what waits, then let go of lock and connections. May be called twice."""
        if not self._open:
            return
        self._open = False
        try:
            await self._writer.close()
        finally:
            await self._line.close()


def _record(answer: dict[str, Any], kind: RecordKind, reference: str, body: str) -> Record:
    return Record(answer["seq"], kind, reference, body, answer["previous"], answer["hash"])
