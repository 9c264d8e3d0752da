"""The results as bytes: read back as they were, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conformance.reports import ReportError, read, spell, write_reports
from conformance.results import Results
from gateway.errors import InvalidInput, MalformedInput


@pytest.mark.parametrize("run", ["conformant", "failing", "incomplete", "readonly"])
def test_what_was_spelled_is_read_back_as_it_was(run: str, request: pytest.FixtureRequest) -> None:
    results: Results = request.getfixturevalue(run)
    assert read(spell(results)) == results
    assert spell(read(spell(results))) == spell(results)


def test_results_larger_than_any_other_document_are_read(failing: Results) -> None:
    entry = next(each for each in failing.results if each.exchanges)
    bulky = entry.model_copy(update={"exchanges": entry.exchanges * 60})
    results = failing.model_copy(update={"results": (*failing.results, bulky)})
    assert len(spell(results)) > 100_000
    assert read(spell(results)) == results


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"salt": "SECRET-of-a-patient"}, "salt"),
        ({"verdict": "fine"}, "verdict"),
        ({"results": [{"requirement": "book.applied"}]}, "results.0.judgement"),
        ({"remark": "SECRET-of-a-patient"}, "*"),
    ],
)
def test_wrong_content_is_refused_by_field_and_never_repeated(
    conformant: Results, change: dict[str, Any], field: str
) -> None:
    document = json.loads(spell(conformant)) | change
    with pytest.raises(InvalidInput) as refused:
        read(json.dumps(document).encode())
    assert field in [fault.field for fault in refused.value.faults]
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": 1, "format": 1}', b"\xff", b"[NaN]"])
def test_what_is_no_single_document_is_refused(content: bytes) -> None:
    with pytest.raises(MalformedInput):
        read(content)


def test_the_report_directory_holds_three_whole_files_and_nothing_else(conformant: Results, tmp_path: Path) -> None:
    directory = tmp_path / "new" / "report"
    write_reports(conformant, directory)
    write_reports(conformant, directory)
    assert {path.name for path in directory.iterdir()} == {"results.json", "junit.xml", "report.html"}
    assert read((directory / "results.json").read_bytes()) == conformant


def test_a_report_directory_that_is_a_file_is_refused(conformant: Results, tmp_path: Path) -> None:
    (tmp_path / "report").write_text("mine")
    with pytest.raises(ReportError, match=r"report: .*name another"):
        write_reports(conformant, tmp_path / "report")
    assert (tmp_path / "report").read_text() == "mine"


def test_what_cannot_be_written_costs_no_results_and_leaves_no_half_file(conformant: Results, tmp_path: Path) -> None:
    (tmp_path / "junit.xml" / "kept").mkdir(parents=True)
    with pytest.raises(ReportError, match=r"junit\.xml"):
        write_reports(conformant, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "junit.xml"}
    assert read((tmp_path / "results.json").read_bytes()) == conformant
