"""The planted bugs, as far as it can be seen without running them: `make planted` runs them."""

from __future__ import annotations

from pathlib import Path

from conformance.catalogue.planted import PAGE, disagreements, git_apply, layers, planted


def test_every_planted_bug_can_still_be_planted(root: Path) -> None:
    faults = {bug.name: git_apply(bug, root, "--check") for bug in planted()}
    told = "the code under these patches has changed: mend the patches, then run `make planted`"
    assert {name: fault for name, fault in faults.items() if fault} == {}, told
    assert len(faults) >= 30


def test_every_layer_is_made_of_tests_that_are_there(root: Path) -> None:
    assert [place for layer in layers().values() for place in layer.tests if not (root / place).exists()] == []


def test_a_bug_names_layers_of_two_kinds_at_least() -> None:
    known = layers()
    assert [bug.name for bug in planted() if len({known[name].kind for name in bug.layers}) < 2] == []


def test_the_page_tells_of_planted_bugs_and_of_tests_that_are_there(root: Path) -> None:
    assert disagreements((root / PAGE).read_text(encoding="utf-8"), root) == []
