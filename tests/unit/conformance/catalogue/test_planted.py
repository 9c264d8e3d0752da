"""What counts as catching a planted bug: a small tree with one bug, and layers that do and do not see it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from conformance.catalogue.planted import Bug, Catch, Layer, Verdict, disagreements, judge, planted, read, renewed, row

PATCH = """\
one becomes two

Layers: {layers}

diff --git a/gateway/__init__.py b/gateway/__init__.py
--- a/gateway/__init__.py
+++ b/gateway/__init__.py
@@ -1,2 +1,2 @@
 def one():
-    return 1
+    return {instead}
"""
TESTS = {
    "sees": "from gateway import one\n\ndef test_one():\n    assert one() == 1\n",
    "blind": "from gateway import one\n\ndef test_one():\n    assert one()\n",
    "names": "import gateway\n\ndef test_one():\n    assert gateway.one() == 1\n",
}
SETTINGS = '[tool.pytest.ini_options]\naddopts = ["--import-mode=importlib", "-p", "conformance.catalogue.plugin"]\n'


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway" / "__init__.py").write_text("def one():\n    return 1\n")
    (tmp_path / "pyproject.toml").write_text(SETTINGS)
    for name, text in TESTS.items():
        (tmp_path / f"test_{name}.py").write_text(text)
    return tmp_path


LAYERS = {name: Layer(name, name, (f"test_{name}.py",)) for name in TESTS}


def bug(tree: Path, *layers: str, instead: str = "2") -> Bug:
    path = tree / "a-bug.patch"
    path.write_text(PATCH.format(layers=", ".join(layers), instead=instead))
    return read(path, LAYERS)


def test_a_layer_catches_a_bug_when_a_test_of_its_fails_and_not_when_all_pass(tree: Path) -> None:
    verdict = judge(bug(tree, "sees", "names", "blind"), LAYERS, tree)
    assert [catch.test for catch in verdict.catches] == ["test_sees.py::test_one", "test_names.py::test_one", None]
    assert not verdict.caught
    assert replace(verdict, catches=verdict.catches[:2]).caught
    assert (tree / "gateway" / "__init__.py").read_text() == "def one():\n    return 1\n"


@pytest.mark.parametrize("instead", ["missing", "1 +", "1 + None"])
def test_code_that_cannot_run_is_no_evidence(tree: Path, instead: str) -> None:
    assert judge(bug(tree, "names", instead=instead), LAYERS, tree).catches[0].test is None


def test_a_patch_that_does_not_apply_catches_nothing(tree: Path) -> None:
    planted = bug(tree, "sees", "names")
    (tree / "gateway" / "__init__.py").write_text("def one():\n    return 3 - 2\n")
    verdict = judge(planted, LAYERS, tree)
    assert not verdict.caught
    assert all("does not apply" in catch.complaint for catch in verdict.catches)


def test_layers_of_one_kind_count_once(tree: Path) -> None:
    catches = tuple(Catch(replace(layer, kind="unit"), "test_sees.py::test_one") for layer in LAYERS.values())
    assert not Verdict(bug(tree, "sees", "names"), catches).caught


@pytest.mark.parametrize(
    ("old", "new"), [("one becomes two\n", "\n"), ("Layers: sees", "Layer: sees"), ("sees", "seen")]
)
def test_a_patch_says_what_it_is_and_which_layers_catch_it(tree: Path, old: str, new: str) -> None:
    path = bug(tree, "sees", "names").path
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match="a-bug"):
        read(path, LAYERS)


def test_a_row_tells_the_bug_its_place_and_who_caught_it(tree: Path) -> None:
    planted = bug(tree, "sees", "names")
    told = row(Verdict(planted, (Catch(LAYERS["sees"], "tests/test_a.py::TestIt::test_one[x]"),)))
    assert told == ("one becomes two", "`gateway/__init__.py`", "sees: `test_one`")


def test_a_run_of_some_bugs_renews_their_rows_and_drops_those_without_a_patch(tree: Path) -> None:
    first = bug(tree, "sees", "names")
    second, third = replace(first, says="two becomes three"), replace(first, says="three becomes four")
    catches = tuple(Catch(LAYERS[name], f"tests/test_a.py::test_{name}[x]") for name in ("sees", "names"))
    page = "before\n<!-- planted bugs: made by hand -->\n<!-- planted bugs: end -->\nafter\n"
    page = renewed(page, [Verdict(each, catches) for each in (third, first)], [first, second, third])
    assert re.findall(r"^\| (.*?) \|.*test_(\w+)` \|$", page, re.MULTILINE) == [
        ("one becomes two", "names"),
        ("three becomes four", "names"),
    ]
    missed = (catches[0], Catch(LAYERS["names"], None, "nothing failed"))
    again = (Catch(LAYERS["names"], "test_b.py::test_else"), Catch(LAYERS["sees"], "test_b.py::test_more"))
    page = renewed(page, [Verdict(second, again), Verdict(third, missed)], [first, second, third])
    assert re.findall(r"^\| (.*?) \|.*test_(\w+)` \|$", page, re.MULTILINE) == [
        ("one becomes two", "names"),
        ("two becomes three", "more"),
    ]
    assert page.startswith("before\n<!-- planted bugs: made by hand -->\n") and page.endswith(" end -->\nafter\n")


def test_a_patch_of_which_the_page_does_not_tell_is_noticed(request: pytest.FixtureRequest) -> None:
    assert len(disagreements("", request.config.rootpath)) == len(planted())
