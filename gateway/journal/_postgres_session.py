"""The two sessions of one gateway process: the owner's, which writes, and the line for everything else.

Owns: `Server`, which knows the journal again wherever it connects; `Session`, whose advisory lock says that this
process lives (I11): PostgreSQL drops it when the session ends, however it ends, and no lease can run out under a
slow commit; a new session is a new owner; and `Line`, which reads, asks whether others live, and does the light
writes that need no barrier. It connects anew where it must: what it asks can be asked by anybody at any time.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from gateway.contracts.references import OwnerId
from gateway.errors import AuditTampered, ConfigurationError, JournalFailed, JournalUnavailable
from gateway.journal._key import SiblingKey
from gateway.journal._postgres_connection import Connection, Lost, Proof, Refused, noticed
from gateway.journal._postgres_schema import prepare, recognise

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Server:
    """Where the journal is, and which one it is: every connection is to the same, however often it fails over."""

    url: str
    key: SiblingKey
    lock_seconds: float
    answer_seconds: float
    journal: str = ""

    async def first(self) -> tuple[Server, Connection, Proof]:
        """Make or find the journal there. Raises `ConfigurationError` saying what to mend, `JournalUnavailable`."""
        connection, proof = await self._open()
        try:
            return replace(self, journal=await prepare(connection, self.key)), connection, proof
        except BaseException:
            await connection.close()
            raise

    async def connect(self) -> Connection:
        """Another connection to the same journal, on a server that still keeps what it acknowledges; or
        `JournalUnavailable`: a gateway that runs is not told to mend its configuration."""
        try:
            connection, _ = await self._open()
        except ConfigurationError as error:
            raise JournalUnavailable(*error.args) from None
        try:
            found = await recognise(connection, self.key)
        except (ConfigurationError, Lost, Refused):
            found = ""
        except BaseException:
            await connection.close()
            raise
        if found != self.journal:
            await connection.close()
            raise JournalUnavailable("the server does not hold the journal that it held before")
        return connection

    async def _open(self) -> tuple[Connection, Proof]:
        return await Connection.open(self.url, lock_seconds=self.lock_seconds, answer_seconds=self.answer_seconds)


class Session:
    """The writer's connection, and the owner whose lock it holds."""

    def __init__(self, connection: Connection, owner: OwnerId, lock: int) -> None:
        self.connection = connection
        self.owner = owner
        self._lock = lock

    @classmethod
    async def open(cls, server: Server) -> Session:
        """Take a lock and only then give it a name: nobody can find it untaken and take its owner for dead.

        Raises `JournalUnavailable`.
        """
        connection, owner, lock = await server.connect(), OwnerId.random(), secrets.randbits(62)
        taken = False
        try:
            [row] = await connection.call("SELECT pg_try_advisory_lock(%s) AS taken", (lock,))
            if row["taken"]:
                await connection.call(
                    "INSERT INTO owners (owner, lock, backend) VALUES (%s, %s, pg_backend_pid())", (owner, lock)
                )
                taken = True
        except (Lost, Refused):
            taken = False
        finally:
            if not taken:
                await connection.close()
        if not taken:
            raise JournalUnavailable("the journal's server gave this process no owner's lock")
        return cls(connection, owner, lock)

    async def write(self, jobs: Sequence[str]) -> list[dict[str, Any]]:
        """All jobs in one statement, one round trip and one barrier; an answer for each. Raises `Refused`, `Lost`."""
        [row] = await self.connection.call("SELECT journal_write(%b, %b) AS answers", (self.owner, list(jobs)))
        answers: list[dict[str, Any]] = row["answers"]
        return answers

    async def settle(self, lost: Session, jobs: Sequence[str]) -> list[dict[str, Any] | None]:
        """What became of jobs that the lost session was sent: their answers, None for what is not recorded and never
        will be. Waits until its backend is over; nothing is sent again. Raises `Refused`, `Lost`."""
        values = (self.owner, lost._lock, list(jobs))
        [row] = await self.connection.call("SELECT journal_settle(%b, %b, %b) AS answers", values)
        answers: list[dict[str, Any] | None] = row["answers"]
        return answers

    async def close(self) -> None:
        """Give the lock back, and the name with it unless an attempt in flight refers to it."""
        try:
            if self.connection.alive():
                await self.connection.call("SELECT journal_leave(%s)", (self.owner,))
        except (Lost, Refused):
            return  # others sweep it up
        finally:
            await self.connection.close()


class Shared(Generic[T]):
    """One try at a time: whoever asks while it lasts takes its end, so that nobody waits for others' failures first.
    A caller that is cancelled does not end it."""

    def __init__(self, attempt: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._attempt = attempt
        self._running: asyncio.Task[T] | None = None

    async def __call__(self) -> T:
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._attempt())
            self._running.add_done_callback(noticed)
        return await asyncio.shield(self._running)

    async def over(self) -> None:
        """Wait for the try that lasts, if one does."""
        if self._running is not None:
            await asyncio.wait({self._running})


class Line:
    """One connection for questions. Raises `JournalUnavailable` for whatever keeps an answer from coming."""

    def __init__(self, server: Server, connection: Connection) -> None:
        self._server = server
        self._connection = connection
        self._again = Shared(self._connect)

    async def ask(
        self, query: str, values: Sequence[Any] | dict[str, Any] = (), *, writes: bool = False
    ) -> list[dict[str, Any]]:
        """The rows. With `writes`, an answer that was lost is `JournalFailed`: nobody can tell what it was."""
        try:
            connection = await self._connected()
            return await connection.call(query, values)
        except Lost:
            kind = JournalFailed if writes else JournalUnavailable
            raise kind("the journal's server was lost before it answered") from None
        except Refused as refusal:
            if refusal.sqlstate == "XX001":  # data_corrupted
                raise AuditTampered("a stored row is not what was written; run `gateway audit verify`") from None
            raise JournalUnavailable(f"the journal's server did not answer ({refusal.sqlstate})") from None

    async def _connected(self) -> Connection:
        return self._connection if self._connection.alive() else await self._again()

    async def _connect(self) -> Connection:
        await self._connection.close()
        self._connection = await self._server.connect()
        return self._connection

    async def close(self) -> None:
        await self._again.over()
        await self._connection.close()
