"""A package as `gateway adapters new` writes it, and the same one built and installed beside this environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from conformance.author import scaffold

COMMAND = "from gateway.cli import main; main()"


@dataclass(frozen=True)
class Installed:
    """`project` is the author's checkout, `site` where its wheel was installed."""

    project: Path
    site: Path

    def python(self, *words: str) -> subprocess.CompletedProcess[str]:
        """This interpreter in the project, in a process of its own."""
        known = os.environ | {"PYTHONPATH": str(self.site), "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            [sys.executable, *words], cwd=self.project, env=known, capture_output=True, text=True, check=False
        )

    def gateway(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.python("-c", COMMAND, *words)


def installed_at(project: Path, site: Path) -> Installed:
    installing = ["pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--no-input"]
    installed = Installed(project, site)
    done = installed.python("-m", *installing, "--disable-pip-version-check", "--target", str(site), ".")
    assert done.returncode == 0, done.stderr
    return installed


@pytest.fixture(scope="session")
def install() -> Callable[[Path, Path], Installed]:
    """Builds a wheel of a project and installs it into a new directory."""
    return installed_at


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The package `acme`, as it is written, installed."""
    parent = tmp_path_factory.mktemp("blank")
    scaffold.write("acme", parent)
    return installed_at(parent / "acme", parent / "site")
