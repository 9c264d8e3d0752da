"""The golden matrix is read strictly, and every requirement has a control in it."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import pytest

from conformance.mutants.catalogue import MUTANTS
from conformance.mutants.matrix import MatrixError, load, read
from conformance.registry import REQUIREMENTS

TWO = ("no-op", "retries")


def test_every_mutant_has_a_row_and_every_requirement_a_mutant_that_turns_it_red() -> None:
    matrix = load(MUTANTS)
    assert matrix.red.keys() == MUTANTS.keys()
    assert matrix.without_control == ()
    assert matrix.unguarded == {}


def test_the_honest_control_alone_turns_nothing_red() -> None:
    assert [name for name, red in load(MUTANTS).red.items() if not red] == ["no-op"]


def test_each_row_is_headed_by_the_flaw_of_its_mutant() -> None:
    lines = files("conformance.mutants").joinpath("matrix.toml").read_text("utf-8").splitlines()
    above = {line.split(" = ")[0]: lines[number - 1] for number, line in enumerate(lines) if " = [" in line}
    assert above == {name: f"# {mutant.flaw}" for name, mutant in MUTANTS.items()}


def test_a_pattern_stands_for_all_that_it_matches_and_for_nothing_else() -> None:
    red = read('[red]\nno-op = []\nretries = ["lost.late.*", "race.one-key"]', TWO).red["retries"]
    assert red == {"lost.late.book", "lost.late.reschedule", "lost.late.cancel", "race.one-key"}


def test_a_requirement_that_nothing_turns_red_is_named_unless_a_reason_is_given() -> None:
    text = '[red]\nno-op = []\nretries = ["*"]'
    assert read(text, TWO).without_control == ()
    text = '[red]\nno-op = []\nretries = ["lost.*", "r*", "c*", "o*", "b*"]\n[unguarded]\n"slots.shared" = "a reason"'
    assert read(text, TWO).without_control == tuple(each for each in REQUIREMENTS if each.startswith("hostile."))


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ("no-op = []", "no row for retries"),
        ('no-op = []\nretries = []\nstranger = ["race.one-key"]', "row for stranger"),
        ('no-op = []\nretries = ["race.one-door"]', "the pattern race.one-door adds no requirement"),
        ('no-op = []\nretries = ["race.*", "race.one-key"]', "the pattern race.one-key adds no requirement"),
        ('no-op = []\nretries = ["race.*"]\n[unguarded]\n"race.one-key" = "a reason"', "excuses race.one-key"),
    ],
)
def test_a_matrix_that_does_not_fit_is_refused(rows: str, named: str) -> None:
    with pytest.raises(MatrixError, match=named):
        read(f"[red]\n{rows}", TWO)


def test_the_rows_stand_in_the_order_of_the_catalogue() -> None:
    document = tomllib.loads(files("conformance.mutants").joinpath("matrix.toml").read_text("utf-8"))
    assert list(document["red"]) == list(MUTANTS)
