"""F-03 as a page: every requirement, every cut point and every member of the results, once."""

from __future__ import annotations

import re

from conformance.documents.fields import FIELDS, MODELS
from conformance.documents.handbook import EXITS, JUDGEMENTS, VERDICTS, conformance_page
from conformance.faults import Point
from conformance.registry import LOST, REQUIREMENTS
from conformance.results import Judgement, Results, Verdict
from conformance.verdict import Exit


def test_every_requirement_stands_there_once_with_its_statement() -> None:
    page = conformance_page("note").partition("## results.json")[0].partition("\n## Conduct")[0]
    told = re.findall(r"`((?:[a-z]+)(?:[.-][a-z]+)+)`", page)
    assert sorted(each for each in told if each in REQUIREMENTS) == sorted(REQUIREMENTS)
    for requirement in REQUIREMENTS.values():
        if not requirement.id.startswith("lost."):
            (row,) = [line for line in page.splitlines() if line.startswith(f"| `{requirement.id}`")]
            assert requirement.statement in row
            assert f"| {requirement.tier} | {requirement.writes} | {', '.join(requirement.rows)} |" in row
            assert ("\\*" in row) is requirement.stands_in


def test_every_cut_point_has_a_row_with_its_ending() -> None:
    rows = re.findall(
        r"^\| `([\w-]+)` \| (.*?) \|", conformance_page("note").partition("## Cut points")[2], re.MULTILINE
    )
    told = dict(rows[: len(LOST)])
    assert told == {point.value: ending for point, ending in LOST.items()}
    assert set(LOST) <= set(Point)


def test_every_word_of_a_run_is_explained() -> None:
    assert set(JUDGEMENTS) == set(Judgement)
    assert set(VERDICTS) == set(Verdict)
    assert set(EXITS) == set(Exit)


def test_every_member_of_the_results_is_explained_and_nothing_else() -> None:
    explained = {model.__name__ for model in MODELS}
    structures = {
        name for name, schema in Results.model_json_schema()["$defs"].items() if schema.get("type") == "object"
    }
    assert explained == structures | {"Results"}
    assert {model.__name__: set(model.model_fields) for model in MODELS} == {
        name: set(members) for name, members in FIELDS.items()
    }


def test_a_note_stands_at_the_top_and_no_line_of_prose_is_overlong() -> None:
    page = conformance_page("<!-- note -->")
    assert page.startswith("# Conformance\n\n<!-- note -->\n")
    assert page.endswith(".\n")
    assert [line for line in page.splitlines() if not line.startswith("|") and len(line) > 120] == []
    assert "  " not in page.replace("\n  ", "\n")
