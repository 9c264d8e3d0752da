"""Where a journal may be, and that no secret is part of its address."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.errors import ConfigurationError
from gateway.journal import _postgres_archive
from gateway.journal._postgres import PostgresJournal
from gateway.journal.opening import JournalAddress, fault_of, located, open_archive, open_journal

ADDRESS = TypeAdapter(JournalAddress)

GOOD = [
    "journal.db",
    "postgresql://gateway@db.example/practice?sslmode=verify-full",
    "postgresql://gateway@one.example:5432,two.example:5433/practice?sslmode=verify-full&passfile=/etc/gateway/pass",
    "postgresql:///practice?service=journal",
    "postgresql://gateway@[2001:db8::7]:5432/practice?sslmode=verify-full",
]
SECRET = [
    "postgresql://gateway:hunter2@db.example/practice",
    "postgresql://gateway:@db.example/practice",
    "postgresql://db.example/practice?user=gateway&password=hunter2",
    "postgresql://db.example/practice?user=gateway&passWord=hunter2",
    "postgresql://db.example/practice?user=gateway&pass%77ord=hunter2",
    "postgresql://db.example/practice?sslkey=k&sslpassword=hunter2",
    "postgresql://somebody@practice:hunter2@db.example/practice",
    "postgresql://db.example/practice?password=",
    "postgresql://[cannot-be-read",
]
NO_ADDRESS = [
    "", ":memory:", "journal", "../journal.db", "/journal.db", "file:journal.db", "journal.db\n",
    "postgres://db.example/practice", "mysql://db.example/practice", "postgresql://db.example/practice\n",
    "postgresql://db.example/pra ctice", "postgresql://db.example/" + "x" * 500,
]  # fmt: skip


@pytest.mark.parametrize("address", GOOD)
def test_a_file_in_the_home_or_a_url_of_postgresql(address: str) -> None:
    assert ADDRESS.validate_python(address) == address
    assert located(Path("home"), address) == (Path("home/journal.db") if address == "journal.db" else address)


@pytest.mark.requirement("AUDIT-19")
@pytest.mark.parametrize("address", NO_ADDRESS)
def test_anything_else_is_no_place_for_a_journal(address: str) -> None:
    with pytest.raises(ValidationError, match=r"neither NAME\.db nor postgresql://"):
        ADDRESS.validate_python(address)


@pytest.mark.parametrize("address", SECRET)
def test_a_password_in_the_url_is_refused_with_what_to_do_instead(address: str) -> None:
    with pytest.raises(ValidationError, match="PGPASSFILE") as caught:
        ADDRESS.validate_python(address)
    assert "holds a password" in caught.value.errors()[0]["msg"]
    with pytest.raises(ConfigurationError, match="PGPASSFILE") as refused, open_archive(address):
        pass
    assert "hunter2" not in str(refused.value)


def test_what_is_wrong_with_an_address_is_said_with_what_to_do_instead() -> None:
    assert fault_of("journal.db") is None
    assert fault_of(":memory:") == "neither NAME.db nor postgresql://…"
    assert fault_of(SECRET[0]) == (
        "holds a password; keep it in a password file (passfile=, PGPASSFILE) or a service file (service=), "
        "or use a client certificate (sslcert=, sslkey=)"
    )


def test_an_address_has_five_hundred_characters_at_most() -> None:
    longest = "postgresql://" + "x" * 487
    assert ADDRESS.validate_python(longest) == longest
    with pytest.raises(ValidationError):
        ADDRESS.validate_python(longest + "x")


async def test_a_file_is_opened_in_the_home_under_its_key_and_read_by_its_path(tmp_path: Path) -> None:
    journal = await open_journal(tmp_path, "journal.db", bytes(range(32)))
    await journal.aclose()
    with pytest.raises(ConfigurationError, match="another key"):
        await open_journal(tmp_path, "journal.db", bytes(32))
    for where in (tmp_path / "journal.db", str(tmp_path / "journal.db")):
        with open_archive(where) as archive:
            assert set(archive.meta) == {"journal", "key"}


async def test_a_url_is_handed_to_postgresql_with_the_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[object] = []

    async def open_there(url: str, *, key: bytes) -> None:
        opened.append((url, key))

    @contextmanager
    def read_there(url: str, *, any_server: bool) -> Iterator[None]:
        opened.append((url, any_server))
        yield

    monkeypatch.setattr(PostgresJournal, "open", open_there)
    monkeypatch.setattr(_postgres_archive, "open_archive", read_there)
    await open_journal(tmp_path, GOOD[1], bytes(32))
    with open_archive(GOOD[1]), open_archive(GOOD[1], any_server=True):
        pass
    assert opened == [(GOOD[1], bytes(32)), (GOOD[1], False), (GOOD[1], True)]


async def test_a_missing_driver_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    needed = r"^a journal on PostgreSQL needs its driver: pip install '.\[postgres\]', in the checkout$"
    with pytest.raises(ConfigurationError, match=needed):
        await open_journal(tmp_path, GOOD[1], bytes(32))
    with pytest.raises(ConfigurationError, match=needed), open_archive(GOOD[1]):
        pass


def test_without_the_extra_the_error_says_what_to_install() -> None:
    """In a process of its own, in which there is no driver."""
    script = """
import sys
sys.modules["psycopg"] = None
from gateway.errors import ConfigurationError
from gateway.journal.opening import open_archive
try:
    with open_archive("postgresql:///x"):
        pass
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "pip install '.[postgres]'" in done.stdout


def test_the_driver_is_imported_only_where_a_url_is_configured() -> None:
    script = "import sys, gateway.gateway, gateway.cli.auditing, gateway.audit.verify; print('psycopg' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
