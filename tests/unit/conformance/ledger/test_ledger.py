"""What a run was about to create is on the disk before it can be created, and stays there if the run is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from conformance.results import Peer
from conformance.target.ledger import Ledger
from conformance.target.lines import Lines
from gateway.errors import DocumentError

SLOT = datetime(2031, 5, 5, 8, 0, tzinfo=UTC)
LATER = SLOT + timedelta(minutes=30)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.jsonl"


def slots(ledger, peer=Peer.TARGET):
    return [intent.slot for intent in ledger.outstanding(peer)]


def test_an_intent_is_on_the_disk_when_the_call_returns(path, monkeypatch):
    ledger, synced = Ledger.open(path), []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(path.read_bytes()), real(descriptor)))
    ledger.intend("book.applied", Peer.TARGET, SLOT)
    (content,) = synced
    assert json.loads(content.splitlines()[-1]) == {
        "kind": "intended",
        "peer": "target",
        "requirement": "book.applied",
        "slot": "2031-05-05T08:00:00Z",
    }


def test_an_intent_that_cannot_be_written_is_no_intent(path, monkeypatch):
    ledger = Ledger.open(path)

    def fail(descriptor: int) -> None:
        raise OSError(5, "input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DocumentError, match=r"ledger.jsonl cannot be written"):
        ledger.intend("book.applied", Peer.TARGET, SLOT)
    assert slots(ledger) == []


def test_what_was_written_is_found_again_last_first_and_cleared_slots_are_not(path):
    ledger = Ledger.open(path)
    ledger.note_before(Peer.TARGET, ["strangers-1"])
    ledger.intend("book.applied", Peer.TARGET, SLOT)
    ledger.intend("book.applied", Peer.TARGET, LATER)
    ledger.intend("cancel.applied", Peer.TARGET, SLOT)
    ledger.intend("book.applied", Peer.TWIN, LATER)
    ledger.note_removed(Peer.TARGET, LATER)
    ledger.close()
    again = Ledger.open(path)
    assert slots(again) == [SLOT, LATER] and slots(again, Peer.TWIN) == [LATER]
    assert again.removed(Peer.TARGET) == 1 and again.removed(Peer.TWIN) == 0
    assert again.was_there(Peer.TARGET, "strangers-1") and not again.was_there(Peer.TWIN, "strangers-1")
    again.note_cleared(Peer.TARGET, LATER)
    again.close()
    assert slots(Ledger.open(path)) == [SLOT]


def test_no_identifier_is_in_the_file_and_two_ledgers_digest_alike_to_nothing(tmp_path):
    for name in ("one", "two"):
        ledger = Ledger.open(tmp_path / name)
        ledger.note_before(Peer.TARGET, ["strangers-appointment"])
        ledger.close()
    one, two = ((tmp_path / name).read_text() for name in ("one", "two"))
    assert "strangers" not in one
    assert one.splitlines()[1] != two.splitlines()[1]


def test_many_strangers_are_remembered_over_several_lines(path):
    ledger = Ledger.open(path)
    ledger.note_before(Peer.TARGET, [f"appointment-{number}" for number in range(1201)])
    ledger.close()
    again = Ledger.open(path)
    assert all(again.was_there(Peer.TARGET, f"appointment-{number}") for number in range(1201))


def test_an_empty_calendar_was_looked_at_all_the_same(path):
    ledger = Ledger.open(path)
    assert not ledger.looked(Peer.TARGET)
    ledger.note_before(Peer.TARGET, [])
    ledger.close()
    assert Ledger.open(path).looked(Peer.TARGET)


def test_a_torn_last_line_was_never_acknowledged_and_is_dropped(path):
    ledger = Ledger.open(path)
    ledger.intend("book.applied", Peer.TARGET, SLOT)
    ledger.close()
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"kind":"intended","pee')
    again = Ledger.open(path)
    assert slots(again) == [SLOT] and path.read_bytes() == whole
    again.intend("book.applied", Peer.TARGET, LATER)
    again.close()
    assert slots(Ledger.open(path)) == [LATER, SLOT]


@pytest.mark.parametrize(
    "line", [b"nonsense", b'{"kind":"intended"}', b'{"kind":"opened","salt":"' + b"0" * 64 + b'"}']
)
def test_a_line_that_is_not_the_ledgers_stops_everything(path, line):
    Ledger.open(path).close()
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(DocumentError, match=r"ledger.jsonl, line 2"):
        Ledger.open(path)
    Lines.open(path, "it").close()  # the refusal let the file go


def test_a_ledger_without_its_first_line_is_none(path):
    path.write_text('{"kind":"before","peer":"target","seen":[]}\n')
    with pytest.raises(DocumentError, match="line 1"):
        Ledger.open(path)


def test_two_processes_never_share_a_ledger(path):
    ledger = Ledger.open(path)
    script = "import sys, pathlib; from conformance.target.ledger import Ledger; Ledger.open(pathlib.Path(sys.argv[1]))"
    second = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False)
    assert "is in use" in second.stderr
    ledger.close()


def test_links_directories_and_what_cannot_be_opened_are_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("link", "missing/ledger.jsonl", "."):
        with pytest.raises(DocumentError, match="cannot be opened"):
            Ledger.open(tmp_path / name)


def test_the_file_is_its_owners_alone(path):
    Ledger.open(path).close()
    assert path.stat().st_mode & 0o777 == 0o600
