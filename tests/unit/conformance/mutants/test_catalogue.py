"""The lists are complete, and each mutant can be told apart."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

import pytest

import conformance.mutants
import conformance.mutants.broken
from adapters.sandbox.adapter import SandboxAdapter
from conformance.mutants.broken.base import BrokenSandbox
from conformance.mutants.catalogue import BROKEN, CONTROLS, MUTANTS, WRAPPERS, Mutant
from conformance.mutants.wrapper import Wrapper
from conformance.target.safety import load_object
from gateway.contracts.adapter import Descriptor
from gateway.testing import make_connection

CONNECTION = make_connection("http://127.0.0.1:1/", adapter="sandbox")


def _written(base: type) -> Iterator[type]:
    """Every subclass that has a name of its own, in whatever module of the package."""
    for package in (conformance.mutants, conformance.mutants.broken):
        for module in iter_modules(package.__path__):
            import_module(f"{package.__name__}.{module.name}")
    seen, left = set(), [base]
    while left:
        kind = left.pop()
        left += kind.__subclasses__()
        if kind is not base and "name" in vars(kind) and kind.__module__.startswith("conformance."):
            seen.add(kind)
    yield from seen


def test_every_wrapper_and_every_broken_adapter_that_is_written_is_listed() -> None:
    assert set(_written(Wrapper)) == set(WRAPPERS)
    assert set(_written(BrokenSandbox)) == set(BROKEN)


def test_there_are_as_many_as_were_asked_for() -> None:
    assert len(WRAPPERS) >= 15
    assert len(BROKEN) >= 20
    assert [each.name for each in CONTROLS] == ["no-op", "null", "always-success"]


def test_no_two_have_one_name_or_one_flaw() -> None:
    assert len(MUTANTS) == len(WRAPPERS) + len(BROKEN) + len(CONTROLS)
    assert len({each.flaw for each in MUTANTS.values()}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=lambda each: each.name)
def test_each_is_made_afresh_describes_itself_and_has_a_place_to_be_tried_at(mutant: Mutant) -> None:
    assert mutant.make() is not mutant.make()
    assert type(mutant.make().describe(CONNECTION)) is Descriptor
    assert callable(load_object(mutant.launch))


@pytest.mark.parametrize("wrapper", WRAPPERS, ids=lambda each: each.name)
def test_a_wrapper_that_applies_nowhere_in_the_catalogue_is_never_tried(wrapper: type[Wrapper]) -> None:
    around = MUTANTS[wrapper.name].make()
    assert isinstance(around, wrapper)
    assert wrapper.applies(around._adapter.describe(CONNECTION))


def test_a_broken_adapter_is_the_honest_one_but_for_its_bug() -> None:
    assert all(issubclass(each, SandboxAdapter) for each in BROKEN)
