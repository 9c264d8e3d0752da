"""Targets, observers and systems that are not what they say."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.sandbox.adapter import SandboxAdapter
from adapters.sandbox.testing import ControlObserver
from conformance.target import system
from conformance.target.file import TargetError
from gateway.testing import Premises, Seen

APART = "class Watches:\n    pass\n"
BESIDE = "class Adapter:\n    pass\n\n\nclass Watches:\n    pass\n"
IMPORTING = "from a_vendor.adapter import Adapter\n\n\nclass Watches:\n    pass\n"
IMPORTING_THE_MODULE = "from a_vendor import adapter\n\n\nclass Watches:\n    pass\n"
INHERITING = "from a_vendor.adapter import Watches as Theirs\n\n\nclass Watches(Theirs):\n    pass\n"


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An adapter and an observer from a package of this content."""

    def make(name: str, adapter: str, watching: str) -> tuple[Any, Any]:
        package = tmp_path / name
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "adapter.py").write_text(adapter)
        (package / "watching.py").write_text(watching.replace("a_vendor", name))
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()
        return importlib.import_module(f"{name}.adapter"), importlib.import_module(f"{name}.watching")

    return make


def premises(observer: Any) -> Premises:
    return Premises(base_url="http://127.0.0.1:1/", label="any", observer=observer)


@pytest.mark.requirement("CARD-07")
@pytest.mark.parametrize(
    ("name", "watching"),
    [("importing", IMPORTING), ("importing_the_module", IMPORTING_THE_MODULE), ("inheriting", INHERITING)],
)
def test_an_observer_that_imports_the_adapter_is_refused(made: Any, name: str, watching: str) -> None:
    adapter, observing = made(name, BESIDE, watching)
    with pytest.raises(TargetError, match=rf"{name}\.(watching|adapter) holds or imports the adapter"):
        system.must_be_apart(premises(observing.Watches()), adapter.Adapter())


def test_an_observer_beside_the_adapter_in_one_module_is_refused(made: Any) -> None:
    adapter, observing = made("beside", BESIDE, APART)
    with pytest.raises(TargetError, match=r"beside\.adapter holds or imports the adapter"):
        system.must_be_apart(premises(adapter.Watches()), adapter.Adapter())
    system.must_be_apart(premises(observing.Watches()), adapter.Adapter())


class Both(ControlObserver, SandboxAdapter):
    """Looks as the adapter does."""

    async def appointments(self, start: datetime, end: datetime) -> Sequence[Seen]:
        return ()


async def test_an_adapter_that_observes_itself_is_refused_before_anything_is_sent(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.sandbox.testing.observer", lambda base_url, secrets: Both(base_url))
    with pytest.raises(TargetError, match="holds or imports the adapter"):
        await site.run("book.applied")
    assert site.received() == 0
