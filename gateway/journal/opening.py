"""Where a journal is, and the one way to open it there: a file in the home, or a URL of PostgreSQL.

Owns: the form of that address, as `gateway.json` and `--journal` give it.
Refuses: a password in a URL. `gateway.json` is sealed, copied and reviewed; a secret in it would be no secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator

from gateway.contracts.faults import ContentError
from gateway.errors import ConfigurationError
from gateway.journal import Archive, Journal

SCHEME: Final = "postgresql://"
MAX_ADDRESS: Final = 500

_FILE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,76}\.db", re.ASCII)
_URL: Final = re.compile(rf"{SCHEME}[!-~]*", re.ASCII)
_SECRETS: Final = frozenset({"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"})


def fault_of(address: str) -> str | None:
    """Why this is no address of a journal; None where it is one."""
    if len(address) > MAX_ADDRESS or not (_FILE.fullmatch(address) or _URL.fullmatch(address)):
        return "neither NAME.db nor postgresql://…"
    if address.startswith(SCHEME) and _holds_secret(address):
        return (
            "holds a password; keep it in a password file (passfile=, PGPASSFILE) or a service file (service=), "
            "or use a client certificate (sslcert=, sslkey=)"
        )
    return None


def _checked(address: str) -> str:
    fault = fault_of(address)
    if fault is not None:
        raise ContentError(fault)
    return address


JournalAddress = Annotated[str, AfterValidator(_checked)]
"""A file in the home, or PostgreSQL's URL: a journal in memory would be no audit at all (AUDIT-19)."""


def _holds_secret(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return True  # what cannot be read cannot be shown to hold none
    return ":" in parts.netloc.rpartition("@")[0] or any(
        name.lower() in _SECRETS for name, _ in parse_qsl(parts.query, keep_blank_values=True)
    )


def located(home: Path, address: str) -> Path | str:
    """What `open_archive` takes: the file in this home, or the URL."""
    return address if address.startswith(SCHEME) else home / address


async def open_journal(home: Path, address: str, key: bytes) -> Journal:
    """Open, or make, the journal of a home. Raises `ConfigurationError` saying what to mend, `JournalUnavailable`."""
    if not address.startswith(SCHEME):
        from gateway.journal._sqlite import SqliteJournal  # noqa: PLC0415 — each database is imported where it is used

        return SqliteJournal.open(home / address, key=key)
    _need_driver()
    from gateway.journal._postgres import PostgresJournal  # noqa: PLC0415 — an extra: only where a URL is configured

    return await PostgresJournal.open(address, key=key)


@contextmanager
def open_archive(where: Path | str, *, any_server: bool = False) -> Iterator[Archive]:
    """A whole journal, to be read: of a URL's servers the one that writes or, with `any_server`, a standby as well.

    Raises `ConfigurationError`, `AuditTampered`; `JournalUnavailable` for a URL.
    """
    if isinstance(where, str) and where.startswith(SCHEME):
        if fault := fault_of(where):
            raise ConfigurationError(f"the journal's URL: {fault}")
        _need_driver()
        from gateway.journal import _postgres_archive  # noqa: PLC0415 — an extra: only where a URL is given

        with _postgres_archive.open_archive(where, any_server=any_server) as archive:
            yield archive
        return
    from gateway.journal import _sqlite_archive  # noqa: PLC0415 — each database is imported where it is used

    with _sqlite_archive.open_archive(Path(where)) as file:
        yield file


def _need_driver() -> None:
    try:
        import psycopg  # noqa: F401, PLC0415 — asks only whether it is there
    except ImportError:
        raise ConfigurationError(
            "a journal on PostgreSQL needs its driver: pip install '.[postgres]', in the checkout"
        ) from None
