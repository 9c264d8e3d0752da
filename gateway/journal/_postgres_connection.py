"""One session with a PostgreSQL server that keeps what it acknowledges.

Owns: how a session is opened and proven, and the one question after every statement: was it refused, or is what
became of it unknown? `Refused` means that the server said no and nothing of the statement is recorded; `Lost` that
the answer never came, so that nobody here can tell. Nothing is ever sent again.
Refuses: with `ConfigurationError`, a server whose settings lose acknowledged writes, and a connection that anybody
on the way could listen to or answer in the server's stead.
"""

from __future__ import annotations

import asyncio
import ipaddress
import select
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import pq
from psycopg.rows import dict_row

from gateway.errors import ConfigurationError, JournalUnavailable

LOCK_SECONDS: Final = 5.0
"""How long a statement waits for other writers of the same journal."""
STATEMENT_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 20.0
"""How long an answer is waited for, the commit's sync and its replication included; then the session is given up. As
long a server is looked for, however many the URL names and however long their names are looked up."""
CONNECT_SECONDS: Final = 5
MIN_VERSION: Final = 140_000
_MAX_MESSAGES: Final = 16

KEEPALIVES: Final = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 15_000}
"""A peer that vanished without a word is noticed within about 15 seconds."""

_PROOF: Final = """
    SELECT current_setting('server_version_num')::integer AS version,
        current_setting('fsync') AS fsync,
        current_setting('full_page_writes') AS full_page_writes,
        current_setting('synchronous_commit') AS synchronous_commit,
        current_setting('synchronous_standby_names') AS standbys,
        current_setting('standard_conforming_strings') AS strings,
        current_setting('server_encoding') AS encoding,
        current_setting('session_replication_role') AS role,
        pg_is_in_recovery() AS standby,
        pg_backend_pid() AS backend,
        current_schema() AS schema
"""
_PIN: Final = """
    SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', false),
        set_config('synchronous_commit', current_setting('synchronous_commit'), false),
        set_config('default_transaction_isolation', 'read committed', false),
        set_config('lock_timeout', %(lock)s::text, false),
        set_config('statement_timeout', %(statement)s::text, false),
        set_config('idle_session_timeout', '0', false)
"""


class Refused(Exception):
    """The server's error: nothing of the statement is recorded, and the session lives on."""

    def __init__(self, sqlstate: str, because: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate
        self.because = because


class Lost(Exception):
    """The session ended, or was given up, while a statement was under way."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What the server said of itself when the session was opened."""

    version: int
    backend: int
    schema: str
    synchronous_commit: str
    standbys: str


class Connection:
    """A proven session in autocommit: each call is one statement, one transaction, one round trip."""

    def __init__(self, raw: psycopg.AsyncConnection[dict[str, Any]], answer_seconds: float) -> None:
        self._raw = raw
        self._answer_seconds = answer_seconds
        self._turn = asyncio.Lock()  # a warning is of the call that holds it
        self._warned = False
        raw.add_notice_handler(self._heard)

    @classmethod
    async def open(
        cls, url: str, *, lock_seconds: float = LOCK_SECONDS, answer_seconds: float = ANSWER_SECONDS
    ) -> tuple[Connection, Proof]:
        """Raises `JournalUnavailable` where no session can be had, `ConfigurationError` for one not to be trusted."""
        try:
            async with asyncio.timeout(answer_seconds):
                raw = await psycopg.AsyncConnection.connect(
                    url, autocommit=True, row_factory=dict_row, prepare_threshold=None, **parameters(url)
                )
        except (psycopg.Error, TimeoutError):
            raise JournalUnavailable(UNREACHABLE) from None
        connection = cls(raw, answer_seconds)
        try:
            check_privacy(raw.pgconn)
            [found] = await connection.call(_PROOF)
            proof = check_settings(found)
            milliseconds = {"lock": int(lock_seconds * 1000), "statement": int(STATEMENT_SECONDS * 1000)}
            await connection.call(_PIN, milliseconds)
        except (Lost, Refused) as fault:
            await connection.close()
            raise JournalUnavailable(f"the journal's server did not open a session ({_name(fault)})") from None
        except BaseException:
            await connection.close()
            raise
        return connection, proof

    async def call(self, query: str, values: Sequence[Any] | dict[str, Any] = ()) -> list[dict[str, Any]]:
        """One statement and its rows; raises `Refused` or `Lost`. Cancelling the caller does not take it back."""
        task = asyncio.ensure_future(self._execute(query, values))
        task.add_done_callback(noticed)
        done, _ = await asyncio.wait({task}, timeout=self._answer_seconds)
        if not done:
            self.sever()
            await asyncio.wait({task})
        return task.result()

    async def _execute(self, query: str, values: Sequence[Any] | dict[str, Any]) -> list[dict[str, Any]]:
        async with self._turn:
            self._warned = False
            try:
                cursor = await self._raw.execute(query, values or None)
                rows = await cursor.fetchall() if cursor.description else []
            except psycopg.Error as error:
                if self._raw.closed or error.sqlstate is None:
                    await self.close()
                    raise Lost from None
                raise Refused(error.sqlstate, str(error.diag.message_primary)) from None
            if self._warned:
                # A wait for the standbys that somebody cancelled ends with a warning and a success that is none.
                await self.close()
                raise Lost
            return rows

    def alive(self) -> bool:
        """Whether the session, as far as can be seen without a round trip, still stands. False is certain."""
        pgconn = self._raw.pgconn
        for _ in range(_MAX_MESSAGES):
            if pgconn.status != pq.ConnStatus.OK:
                return False
            if pgconn.transaction_status != pq.TransactionStatus.IDLE or not _readable(pgconn.socket):
                return True
            try:
                pgconn.consume_input()
            except psycopg.Error:
                return False
        return True

    def sever(self) -> None:
        """End the session without asking the server to cancel: a cancelled commit may be half replicated."""
        if self._raw.pgconn.status == pq.ConnStatus.OK:
            # libpq's own descriptor, shut and not closed: to close it while it is waited on could hit a stranger's.
            # Lent and taken back, since a twin of it is not to be had where the process has no descriptor left.
            with suppress(OSError):
                lent = socket.socket(fileno=self._raw.pgconn.socket)
                try:
                    lent.shutdown(socket.SHUT_RDWR)
                finally:
                    lent.detach()

    async def close(self) -> None:
        await self._raw.close()

    def _heard(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            self._warned = True


def _readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def noticed(task: asyncio.Task[Any]) -> None:
    """An abandoned task's error has been seen: whoever waited for it was cancelled."""
    if not task.cancelled():
        task.exception()


def _name(fault: Exception) -> str:
    return fault.sqlstate if isinstance(fault, Refused) else "connection lost"


def parameters(url: str) -> dict[str, Any]:
    """What the gateway asks of libpq where the URL does not say otherwise."""
    try:
        given = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        raise ConfigurationError("the journal's URL is none that PostgreSQL's libpq understands") from None
    wanted = {
        "connect_timeout": CONNECT_SECONDS,
        "application_name": "gateway",
        "target_session_attrs": "read-write",
        "client_encoding": "UTF8",
        **KEEPALIVES,
    }
    return {name: value for name, value in wanted.items() if name not in given} | {"client_encoding": "UTF8"}


def vacuum(url: str) -> None:
    """Let what the deleted events took be used again; as long as it takes. Raises `JournalUnavailable`."""
    try:
        with psycopg.connect(url, autocommit=True, **parameters(url)) as connection:
            check_privacy(connection.pgconn)
            connection.execute("SET statement_timeout = 0")
            connection.execute("VACUUM (ANALYZE) events")
    except psycopg.Error:
        raise JournalUnavailable(UNREACHABLE) from None


UNREACHABLE: Final = (
    "the journal's server cannot be reached, or refuses this user or database; check the journal's URL, its password "
    "file or certificate, and the server's log"
)
"""libpq does not say which of these it was, but in the server's own words and with names in them."""


def check_privacy(pgconn: pq.abc.PGconn) -> None:
    """Off this machine, only a server that proved who it is: whoever could answer in its stead could acknowledge
    what was never written. Raises `ConfigurationError`."""
    address = (pgconn.hostaddr or b"").decode()
    host = (pgconn.host or b"").decode()
    if host.startswith(("/", "@")) or (address and ipaddress.ip_address(address.partition("%")[0]).is_loopback):
        return
    mode = next((option.val for option in pgconn.info if option.keyword == b"sslmode"), None)
    if not pgconn.ssl_in_use or mode not in (b"verify-full", b"verify-ca"):
        raise ConfigurationError("the journal's server is not on this machine: say sslmode=verify-full in its URL")


def check_settings(found: dict[str, Any]) -> Proof:
    """Raises `ConfigurationError` naming every setting under which an acknowledged write could be lost."""
    if found["version"] < MIN_VERSION:
        raise ConfigurationError("the journal needs PostgreSQL 14 or later")
    commit = found["synchronous_commit"]
    faults = {
        "it is a standby in recovery; name the primary": found["standby"],
        "fsync is off": found["fsync"] != "on",
        "full_page_writes is off": found["full_page_writes"] != "on",
        f"synchronous_commit is {commit}; let it be on, or remote_apply, for the gateway's role": commit
        not in ("on", "remote_apply"),
        "standard_conforming_strings is off": found["strings"] != "on",
        f"its encoding is {found['encoding']}, not UTF8": found["encoding"] != "UTF8",
        "session_replication_role turns the journal's own triggers off": found["role"] != "origin",
        "the role has no schema to keep a journal in: CREATE SCHEMA AUTHORIZATION the role": found["schema"] is None,
    }
    if any(faults.values()):
        listed = "; ".join(fault for fault, present in faults.items() if present)
        raise ConfigurationError(f"this PostgreSQL server cannot keep a journal: {listed}")
    return Proof(found["version"], found["backend"], found["schema"], commit, found["standbys"])
