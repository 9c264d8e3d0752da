"""The target file: what it must be, and that a refusal names the field and nothing of its content."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from conformance.target.file import TargetError
from conformance.target.safety import load

CANARY = "Zephyrine Quillfeather"


def refusal(path: Path) -> str:
    with pytest.raises(TargetError) as refused:
        load(path)
    assert CANARY not in str(refused.value) and "canary-subject" not in str(refused.value)
    return str(refused.value)


def test_a_good_file_is_read_and_its_instants_are_kept_in_utc(write):
    target = load(write())
    assert target.pool.first == datetime(2031, 5, 5, 8, 0, tzinfo=UTC)
    assert target.pool.subjects == ("canary-subject-1", "canary-subject-2")


@pytest.mark.parametrize("name", ["adapters/sandbox/conformance.toml", "adapters/caldav/conformance.toml"])
def test_the_target_files_of_the_projects_own_adapters_are_good(name):
    assert load(Path(__file__).parents[4] / name).launch is not None


@pytest.mark.parametrize("content", ["", "\n \n", "# only a comment\n"])
def test_an_empty_file_is_called_empty(tmp_path, content):
    (tmp_path / "target.toml").write_text(content)
    assert "is empty" in refusal(tmp_path / "target.toml")


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path):
    assert "is not there" in refusal(tmp_path / "target.toml")


def test_what_is_no_toml_is_named_by_line_and_column_alone(write):
    message = refusal(write(("writes = 60", f"writes = 60\n{CANARY} = 5")))
    assert "is not TOML: mend line 4, column" in message


def test_a_second_definition_is_no_toml_and_its_name_is_not_repeated(write):
    assert "is not TOML" in refusal(write(more=f'\n["{CANARY}"]\n["{CANARY}"]\n'))


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "target.toml").write_bytes(b"\xff\xfe")
    assert "is not UTF-8" in refusal(tmp_path / "target.toml")


def test_a_file_beyond_the_bound_is_refused(write):
    assert "larger than 65536 bytes" in refusal(write(more="#" * 65536))


def test_deep_nesting_is_refused(write):
    assert "nested too deeply" in refusal(write(more="\ndeny = " + "[" * 20000 + "]" * 20000))


def test_a_link_is_refused(write, tmp_path):
    (tmp_path / "link.toml").symlink_to(write())
    assert "symbolic link" in refusal(tmp_path / "link.toml")


def test_a_wrong_type_is_named_by_its_field(write):
    assert "writes: must be a whole number" in refusal(write(("writes = 60", f'writes = "{CANARY}"')))


def test_numbers_are_no_truth_values(write):
    assert "sandbox: must be true or false" in refusal(write(("sandbox = true", "sandbox = 1")))


def test_a_missing_field_is_named(write):
    assert "pool.practitioner: missing" in refusal(write(('practitioner = "practitioner-1"\n', "")))


def test_an_unknown_field_is_not_repeated_but_a_known_one_like_it_is_offered(write):
    message = refusal(write(("slots = 60", f'slot = 60\n"{CANARY}" = 1')))
    assert "pool.*: unknown member; did you mean slots?" in message
    assert "pool.*: unknown member; remove it" in message


def test_a_field_is_offered_for_its_own_place(write):
    """`subject` is a member of a token endpoint, `writes` of the file itself."""
    message = refusal(write(('subjects = ["canary-subject-1", "canary-subject-2"]', "subject = 1\nwrites = 1")))
    assert "pool.subject: unknown member; did you mean subjects?" in message
    assert "pool.writes: belongs elsewhere; move or remove it" in message


def test_a_time_without_an_offset_is_refused_by_its_field(write):
    assert "pool.first: " in refusal(write(("10:00:00+02:00", "10:00:00")))


def test_a_date_is_no_instant(write):
    assert "pool.first: " in refusal(write(("2031-05-05T10:00:00+02:00", "2031-05-05")))


def test_no_number_is_infinite(write):
    assert "writes: " in refusal(write(("writes = 60", "writes = inf")))


def test_contradictions_say_what_to_mend(write):
    assert "name an observer, or set grade = 'attested'" in refusal(write(('observer = "somewhere:observer"\n', "")))
    assert "slots would overlap" in refusal(write(("slots = 60", "slots = 60\nevery_minutes = 10")))
    assert "either connection.base_url or launch" in refusal(write(("writes", 'launch = "a:b"\nwrites')))


def test_a_fault_inside_a_mapping_shows_the_configured_name_and_no_other(write):
    message = refusal(write(more=f'\n[secrets.vendor]\nfile = 1\n[secrets."{CANARY}"]\nfile = "x"\n'))
    assert "secrets.vendor.file: " in message
    assert "secrets.*: " in message


def test_one_person_is_no_pool(write):
    assert "pool.subjects: " in refusal(write((', "canary-subject-2"', "")))
