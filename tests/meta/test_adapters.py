"""What every adapter under `adapters/` owes the house; a failing test tells what is wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutated.cases import CASES

ADAPTERS = sorted(path.parent.name for path in (Path(__file__).parents[2] / "adapters").glob("*/plugin.py"))
RECORDINGS = Path(__file__).parents[1] / "mutated" / "recordings"

each_adapter = pytest.mark.parametrize("name", ADAPTERS)


@each_adapter
def test_mutated_replies_are_tried_on_it(name: str) -> None:
    assert name in {case.name for case in CASES}, f"add a case for {name} to tests/mutated/cases.py"
    recording = RECORDINGS / f"{name}.json"
    assert recording.is_file(), f"record its peer: python -m tests.mutated record {name}"


def test_no_case_and_no_recording_is_left_over() -> None:
    assert {case.name for case in CASES} == {path.stem for path in RECORDINGS.glob("*.json")} == set(ADAPTERS)
