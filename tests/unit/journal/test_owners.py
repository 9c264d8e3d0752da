"""Locks that cannot be taken or asked for: a bounded error, never a guess at who lives, and no path in it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.contracts.references import OwnerId
from gateway.contracts.words import End
from gateway.errors import ConfigurationError, Conflict, JournalUnavailable
from gateway.journal._owners import Owners
from gateway.journal._sqlite import SqliteJournal

KEY = bytes(range(32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def folder(path: Path) -> Path:
    return path.with_name("journal.db.owners")


def test_a_file_where_the_locks_belong_is_a_matter_of_configuration(path: Path, folder: Path) -> None:
    folder.write_text("")
    with pytest.raises(ConfigurationError, match=r"journal\.db\.owners") as caught:
        SqliteJournal.open(path, key=KEY)
    assert str(path.parent) not in str(caught.value)


@pytest.mark.parametrize("call", ["open", "flock"])
def test_a_lock_that_the_system_refuses_is_a_matter_of_configuration(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(28, "canary")

    monkeypatch.setattr({"open": "os.open", "flock": "fcntl.flock"}[call], refuse)
    with pytest.raises(ConfigurationError) as caught:
        Owners(path)
    assert "canary" not in str(caught.value)


QUESTIONS: dict[str, Callable[[Owners], object]] = {
    "dead": lambda owners: owners.dead(OwnerId.random()),
    "others": lambda owners: owners.others(),
    "sweep": lambda owners: owners.sweep(()),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_where_the_system_does_not_answer_nobody_is_dead(path: Path, folder: Path, question: str) -> None:
    owners = Owners(path)
    folder.rename(folder.with_suffix(".away"))
    folder.write_text("")
    with pytest.raises(JournalUnavailable) as caught:
        QUESTIONS[question](owners)
    assert str(path.parent) not in str(caught.value)
    owners.release(referred=False)


def test_a_lock_is_the_owners_only_and_taken_before_it_has_its_name(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, real = list[str](), os.open

    def noting(name: Any, *given: Any) -> int:
        opened.append(Path(name).name)
        return real(name, *given)

    monkeypatch.setattr("os.open", noting)
    owners = Owners(path)
    assert opened == [f"{owners.owner}.new"]
    [lock] = folder.iterdir()
    assert (lock.name, stat.S_IMODE(lock.stat().st_mode)) == (f"{owners.owner}.lock", 0o600)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    owners.release(referred=False)


async def test_a_journal_that_cannot_be_asked_at_its_end_leaves_its_lock(path: Path, folder: Path) -> None:
    journal = SqliteJournal.open(path, key=KEY)
    journal._reader.close()
    with pytest.raises(JournalUnavailable, match=r"\(ProgrammingError\)$"):
        await journal.aclose()
    await journal.aclose()
    assert [lock.stem for lock in folder.iterdir()] == [journal.owner]


def test_an_owner_whose_lock_is_gone_is_dead(path: Path) -> None:
    owners = Owners(path)
    assert owners.dead(OwnerId.random())
    owners.release(referred=False)


def test_two_may_sweep_at_once(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owners, ended = Owners(path), folder / f"{OwnerId.random()}.lock"
    ended.touch()

    def swept_by_another(owner: str) -> bool:
        ended.unlink(missing_ok=True)
        return owner == ended.stem

    monkeypatch.setattr(owners, "dead", swept_by_another)
    owners.sweep(())
    assert [file.stem for file in folder.iterdir()] == [owners.owner]
    owners.release(referred=False)


async def test_recovery_of_a_journal_whose_locks_cannot_be_read_is_unavailable(
    path: Path, folder: Path, tell: Any
) -> None:
    one, two = SqliteJournal.open(path, key=KEY), SqliteJournal.open(path, key=KEY)
    case = await tell.case().recorded(one)
    assert (await one.append(tell.intended(case.header(), case=case))).admission == "admitted"
    with pytest.raises(Conflict):
        await two.compact()
    folder.rename(folder.with_suffix(".away"))
    folder.write_text("")
    for ask in (two.orphans, two.compact):
        with pytest.raises(JournalUnavailable):
            await ask()
    folder.unlink()
    folder.with_suffix(".away").rename(folder)
    assert await two.orphans() == []
    await tell.run(two, await tell.case().recorded(two), End.APPLIED)
    await one.aclose()
    await two.aclose()
