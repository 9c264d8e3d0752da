"""Who carries entries to the database: whatever waits goes into one statement, under one barrier.

Owns: group commit within the process, and what a failure means. Where the server refused, or no session could be had,
nothing is recorded: `JournalUnavailable`. Where the session was lost before the answer came, a new one, under a new
owner, is asked what is recorded; where there is none to be had, nobody can tell: `JournalFailed`. Nothing is sent
twice.
Refuses: to go on after a failure that nothing here foresees: it leaves no caller waiting, and is the last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.contracts.references import OwnerId
from gateway.errors import Conflict, GatewayError, InvariantViolation, JournalFailed, JournalUnavailable, NotFound
from gateway.journal._postgres_connection import Lost, Refused
from gateway.journal._postgres_session import Server, Session, Shared

MAX_BATCH: Final = 60
"""Entries in one statement: PostgreSQL keeps 64 subtransactions at hand, beyond that every look gets dearer."""

Answer = dict[str, Any]
_EARLIER: Final = "an earlier write to the journal failed; restart and recover"
_REFUSALS: Final[dict[str, type[GatewayError]]] = {"GW001": Conflict, "GW002": NotFound, "GW003": InvariantViolation}


@dataclass(frozen=True, slots=True)
class _Job:
    text: str
    future: asyncio.Future[Answer]


class Writer:
    """One statement at a time, over whatever waits meanwhile. Use from one event loop."""

    def __init__(self, server: Server, session: Session) -> None:
        self._server = server
        self._session = session
        self._again = Shared(self._reopen)
        self._waiting: list[_Job] = []
        self._running: asyncio.Task[None] | None = None
        self._closed = False
        self._failed = False

    @property
    def owner(self) -> OwnerId:
        return self._session.owner

    async def submit(self, text: str) -> Answer:
        """The answer to one entry (JSON, as `journal_write` reads it), once it is durable.

        Cancelling the caller does not take the entry back.
        """
        if self._closed:
            raise JournalUnavailable("the journal is closed")
        if self._failed:
            raise JournalFailed(_EARLIER)
        job = _Job(text, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await job.future

    async def session(self) -> Session:
        """The session as it stands, or a new one under a new owner; raises `JournalUnavailable`, or `JournalFailed`
        after a failure."""
        if self._failed:
            raise JournalFailed(_EARLIER)
        return self._session if self._session.connection.alive() else await self._again()

    async def _reopen(self) -> Session:
        await self._session.connection.close()
        self._session = await Session.open(self._server)
        return self._session

    async def close(self) -> None:
        """Write out what waits, then give the owner's lock back."""
        self._closed = True
        if self._running is not None:
            await asyncio.wait({self._running})
        await self._again.over()
        await self._session.close()

    async def _run(self) -> None:
        batch: list[_Job] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
                results = await self._results([job.text for job in batch])
                for job, result in zip(batch, results, strict=True):
                    _deliver(job.future, result)
        except BaseException as error:  # whatever it was, each caller gets an answer, and nobody knows how far it came
            self._failed = True
            name = type(error).__name__
            for job in (*batch, *self._waiting):
                _deliver(job.future, JournalFailed(f"a write to the journal failed ({name}); restart and recover"))
            if not isinstance(error, Exception):
                raise
        finally:
            self._running = None

    async def _results(self, texts: Sequence[str]) -> list[Answer | GatewayError]:
        try:
            session = await self.session()
        except JournalUnavailable as error:
            return [JournalUnavailable(*error.args) for _ in texts]
        try:
            return [read(answer) for answer in await session.write(texts)]
        except Refused as refusal:
            if refusal.sqlstate == "GW004":
                await session.connection.close()
            return [JournalUnavailable(f"nothing was recorded ({refusal.sqlstate})") for _ in texts]
        except Lost:
            return await self._settled(session, texts)

    async def _settled(self, lost: Session, texts: Sequence[str]) -> list[Answer | GatewayError]:
        """Ask a new session, at once, what became of them; who gets no answer is in doubt."""
        try:
            answers = await (await self.session()).settle(lost, texts)
        except (JournalUnavailable, Refused, Lost):
            return [JournalFailed("the journal's server was lost in mid-write; restart and recover") for _ in texts]
        return [
            JournalUnavailable("the journal's server was lost; nothing was recorded") if answer is None else answer
            for answer in answers
        ]


def read(answer: Answer) -> Answer | GatewayError:
    """What the journal's functions answered, or the error that it stands for."""
    if "refused" not in answer:
        return answer
    kind = _REFUSALS.get(answer["refused"])
    if kind is None:
        return InvariantViolation(f"the journal's own rules refuse this: {answer['because']}")
    return kind(answer["because"])


def _deliver(future: asyncio.Future[Answer], result: Answer | GatewayError) -> None:
    if future.done():  # its caller was cancelled; the entry is recorded all the same
        return
    if isinstance(result, GatewayError):
        future.set_exception(result)
    else:
        future.set_result(result)
