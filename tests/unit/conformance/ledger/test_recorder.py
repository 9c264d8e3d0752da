"""A run that stopped is taken up where it stopped, if it is still the same run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from conformance.recorder import Header, Recorder
from conformance.results import Judgement, Peer, Profile, Result
from conformance.target.file import TargetError
from gateway.errors import DocumentError

NOON = datetime(2031, 5, 5, 12, 0, tzinfo=UTC)


def header(**changes) -> Header:
    given = {"adapter": "aa" * 32, "suite": "bb" * 32, "target": "cc" * 32, "file": "ee" * 32, "salt": "dd" * 32}
    return Header(**{"profile": Profile.SANDBOX, "started_at": NOON, **given, **changes})


def result(requirement: str, judgement: Judgement = Judgement.PASSED) -> Result:
    return Result(requirement=requirement, judgement=judgement, peer=Peer.TARGET, started_at=NOON, seconds=1.0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.jsonl"


def test_a_new_run_has_one_part_and_no_results(path):
    recorder = Recorder.open(path, header())
    assert (recorder.parts, recorder.load()) == (1, ())


def test_a_resumed_run_keeps_its_results_its_salt_and_its_beginning(path):
    recorder = Recorder.open(path, header())
    recorder.append(result("book.applied"))
    recorder.append(result("observe.book", Judgement.FAILED))
    recorder.append(result("race.one-key", Judgement.NOT_APPLICABLE))
    recorder.close()
    later = header(salt="ee" * 32, started_at=NOON + timedelta(hours=1))
    again = Recorder.open(path, later, resume=True)
    assert again.parts == 2
    assert [each.requirement for each in again.load()] == ["book.applied", "observe.book", "race.one-key"]
    assert again.header == header()


@pytest.mark.parametrize("judgement", [Judgement.COULD_NOT_RUN, Judgement.HARNESS_ERROR])
def test_what_could_not_run_is_taken_again_and_its_later_result_counts(path, judgement):
    recorder = Recorder.open(path, header())
    recorder.append(result("book.applied", judgement))
    recorder.close()
    again = Recorder.open(path, header(), resume=True)
    assert again.load() == ()
    again.append(result("book.applied"))
    again.close()
    assert Recorder.open(path, header(), resume=True).load() == (result("book.applied"),)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"adapter": "00" * 32}, "the adapter's code changed"),
        ({"suite": "00" * 32}, "the suite's code changed"),
        ({"target": "00" * 32}, "the target changed"),
        ({"profile": Profile.PRODUCTION_READONLY}, "the profile changed"),
    ],
)
def test_another_run_is_not_continued(path, change, named):
    Recorder.open(path, header()).close()
    with pytest.raises(TargetError, match=named):
        Recorder.open(path, header(**change), resume=True)
    Recorder.open(path, header(), resume=True).close()  # the refusal let the file go


def test_a_run_is_not_begun_over_another(path):
    Recorder.open(path, header()).close()
    with pytest.raises(TargetError, match="--resume"):
        Recorder.open(path, header())


def test_a_run_that_was_killed_before_its_first_line_begins_anew(path):
    path.write_bytes(b'{"kind":"ru')
    assert Recorder.open(path, header(), resume=True).parts == 1


def test_a_result_that_was_being_written_is_taken_again(path):
    recorder = Recorder.open(path, header())
    recorder.append(result("book.applied"))
    recorder.close()
    path.write_bytes(path.read_bytes()[:-9])
    assert Recorder.open(path, header(), resume=True).load() == ()


@pytest.mark.parametrize("line", [b"{}", b'{"kind":"result","result":{}}'])
def test_an_edited_file_is_refused(path, line):
    Recorder.open(path, header()).close()
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(DocumentError, match=r"run.jsonl, line 3"):
        Recorder.open(path, header(), resume=True)


def test_without_a_directory_results_are_kept_in_memory():
    recorder = Recorder.open(None, header())
    recorder.append(result("book.applied"))
    assert len(recorder.load()) == 1
