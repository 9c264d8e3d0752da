"""One sandbox for the tests of the benchmarks; each has a directory of its own on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.site import Site, site


@pytest.fixture(scope="session")
def shared_site() -> Iterator[Site]:
    with site() as made:
        yield made


@pytest.fixture
def ground(shared_site: Site, tmp_path: Path) -> Site:
    return replace(shared_site, directory=tmp_path)
