"""A new adapter's package: installable, typed, tested, and unable to book anything until it is filled in.

Owns: the files of `template/`, and the names that are made from the adapter's.
Refuses, as `UsageError`: a name that is not lower-case words joined by - or _, one that an installed plugin has, a
place that exists already or that cannot be written to.
Invariant: the directory appears whole or not at all.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Mapping
from importlib.metadata import entry_points, version
from importlib.resources import files
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import Final

from pydantic import TypeAdapter, ValidationError

from gateway.contracts.base import Slug
from gateway.errors import UsageError

PLUGINS: Final = "gateway"

FILES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "README.md": "README.md",
        "DIVERGENCES.md": "DIVERGENCES.md",
        "pyproject.toml": "pyproject.toml",
        "conformance.toml": "conformance.toml",
        "gitignore": ".gitignore",
        "package.py": "$module/__init__.py",
        "adapter.py": "$module/adapter.py",
        "mapping.py": "$module/mapping.py",
        "plugin.py": "$module/plugin.py",
        "testing.py": "$module/testing.py",
        "tests.py": "tests/test_adapter.py",
    }
)
"""Each template (with `.txt` behind it, so that no tool takes it for this project's own) and where it goes."""


def names(name: str) -> Mapping[str, str]:
    """What the templates call the adapter called `name`; raises `UsageError` for a name that cannot be one."""
    try:
        TypeAdapter(Slug).validate_python(name)
    except ValidationError:
        raise UsageError("the name must be lower-case words joined by - or _, at most 40 characters") from None
    words = re.split("[-_]", name)
    return {
        "name": name,
        "distribution": "-".join([*words, "adapter"]),
        "module": "_".join([*words, "adapter"]),
        "class_": "".join(word.capitalize() for word in words),
        "variable": "_".join([*words, "token"]).upper(),
        "version": version("scheduling-gateway"),
    }


def write(name: str, parent: Path) -> tuple[str, ...]:
    """Write the package into the new directory `parent/name`; its files' paths, relative to it, in order."""
    known = names(name)
    if name in entry_points(group=PLUGINS).names:
        raise UsageError("an installed plugin has this name already; choose another, or uninstall it")
    if not parent.is_dir():
        raise UsageError("the directory to write into is not there; make it, or name another with --directory")
    target = parent / name
    if target.exists() or target.is_symlink():
        raise UsageError("there is a file or directory of this name already; nothing was written")
    written = {Template(path).substitute(known): _filled(source, known) for source, path in FILES.items()}
    draft = parent / f".{name}-{secrets.token_hex(4)}"
    try:
        for path, text in written.items():
            place = draft / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
        os.rename(draft, target)  # noqa: PTH104 - unlike Path.rename it says in its documentation what it replaces
    except OSError:
        raise UsageError("the package could not be written there; nothing was kept") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return tuple(written)


def _filled(source: str, known: Mapping[str, str]) -> str:
    text = files(__package__).joinpath("template", f"{source}.txt").read_text(encoding="utf-8")
    return Template(text).substitute(known)
