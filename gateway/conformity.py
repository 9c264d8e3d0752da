"""Which code an adapter is: the digest that a conformance statement names and that production compares.

Owns: the rule. The code of an adapter is every file of the package that holds its class, and of the packages that
hold the classes it inherits from (the gateway's own and Python's left out); for a class in a top-level module it
is that one file. `__pycache__` is not looked at: it is made from the files beside it, and differs by machine. Nothing
tells a file that only tests use from one that commits, so a changed byte, a renamed or an added file of any kind makes
other code. An editable and an ordinary install of the same files are the same code; a file's mode and time, the
distribution's name and version, and the libraries that an adapter imports are not part of it.
Refuses, as `ConfigurationError`: links and anything else that is no regular file, code that is not on disk, and more
of it than an adapter can need. Runs when a gateway opens and when a run of the suite begins, never in an attempt.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

from gateway import documents
from gateway.contracts.adapter import Adapter
from gateway.contracts.base import Slug
from gateway.contracts.canonical import digest
from gateway.errors import ConfigurationError, DocumentError
from gateway.plugins import GIVEN, GROUP

CODE_DOMAIN: Final = "code/v1"
MAX_FILES: Final = 4096
MAX_FILE_BYTES: Final = 16 * 1024 * 1024

_BYTECODE: Final = "__pycache__"
_LENGTH_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class AdapterCode:
    """An adapter as it is installed here. Only `name` and `digest` are ever compared; the rest is for people."""

    name: Slug
    distribution: str
    version: str
    digest: str


def identify(adapter: Adapter, name: Slug) -> AdapterCode:
    """The code of `adapter`, offered under `name`; raises `ConfigurationError` where it cannot be read."""
    places = [kind.__module__ for kind in type(adapter).__mro__ if not _given(kind.__module__)]
    if not places:
        raise ConfigurationError(f"adapter {name}: its class is not in a module of its own; put it in a package")
    distribution, version = _distribution(places[0])
    return AdapterCode(name, distribution, version, code_digest(*places))


def code_digest(*modules: str) -> str:
    """SHA-256 over the files of the packages that hold these imported modules, or that these packages are.

    Under the domain tag, for each file in order of its name (package, `/`, path with `/`): the length of the name
    (8 bytes, big-endian), the name, and the SHA-256 of the file's bytes. Raises `ConfigurationError`.
    """
    listed: dict[str, bytes] = {}
    for module in modules:
        for name, path in _files(module):
            listed[name] = _sha256(path, name)
            if len(listed) > MAX_FILES:
                raise ConfigurationError(f"{module}: more than {MAX_FILES} files of code; keep data out of the package")
    content = b"".join(
        len(name).to_bytes(_LENGTH_BYTES, "big") + name + listed[name.decode()]
        for name in sorted(name.encode() for name in listed)
    )
    return digest(CODE_DOMAIN, content)


def _given(module: str) -> bool:
    """Whether it comes with Python or the gateway, for which the statement's contract version speaks."""
    top = module.partition(".")[0]
    return top in sys.stdlib_module_names or top == "gateway"


def _files(module: str) -> Iterator[tuple[str, Path]]:
    imported = sys.modules.get(module)
    source = getattr(imported, "__file__", None)
    if source is None or not Path(source).is_file():
        raise ConfigurationError(f"{module}: its code is not a file on disk; install it unpacked")
    package = module if hasattr(imported, "__path__") else module.rpartition(".")[0]
    if package:
        yield from _below(Path(source).parent, package)
    else:
        yield Path(source).name, Path(source)


def _below(directory: Path, shown: str) -> Iterator[tuple[str, Path]]:
    try:
        entries = list(os.scandir(directory))
    except OSError:
        raise ConfigurationError(f"{shown}: its code cannot be read; check owner and mode") from None
    for entry in entries:
        name = f"{shown}/{entry.name}"
        if entry.is_symlink():
            raise ConfigurationError(f"{name} is a symbolic link; an adapter's code is the files themselves")
        if not entry.is_dir():
            yield name, Path(entry.path)
        elif entry.name != _BYTECODE:
            yield from _below(Path(entry.path), name)


def _sha256(path: Path, shown: str) -> bytes:
    try:
        content = documents.read(path, shown, MAX_FILE_BYTES)
    except DocumentError as error:
        raise ConfigurationError(str(error)) from None
    if content is None:
        raise ConfigurationError(f"{shown} vanished while it was read; is an installation under way?")
    return hashlib.sha256(content).digest()


def _distribution(module: str) -> tuple[str, str]:
    """Name and version of the distribution whose entry point leads into the module's package."""
    package = module.rpartition(".")[0] or module
    for entry in entry_points(group=GROUP):
        if entry.dist is not None and f"{entry.module}.".startswith(f"{package}."):
            return entry.dist.name, entry.dist.version
    return GIVEN, ""
