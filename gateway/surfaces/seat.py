"""This machine's surfaces at the command line: which keys lie here, and who sits at them.

Owns: where keys are looked for (`--keys`, else `keys` beside the home). Refuses: a directory inside the home.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from gateway import documents
from gateway.clock import Clock, SystemClock
from gateway.errors import ConfigurationError
from gateway.surfaces.ceremonies import Surface
from gateway.surfaces.keys import LocalKey
from gateway.surfaces.local import Desk


@dataclass(frozen=True, slots=True)
class Seat:
    """A directory of keys, and whose they are."""

    keys: Path
    desk: Desk
    clock: Clock

    @classmethod
    def find(cls, keys: Path | None, home: Path) -> Self:
        """The seat that belongs to this home; raises `ConfigurationError` saying where to look."""
        directory = keys if keys is not None else home.absolute().parent / "keys"
        if directory.resolve().is_relative_to(home.resolve()):
            raise ConfigurationError("keys: signing keys stay outside the gateway's home; choose another place")
        desk = documents.load(Desk, directory / "desk.json", "desk.json")
        if desk is None:
            raise ConfigurationError(
                "no desk.json among the keys: name their directory with --keys or GATEWAY_KEYS, "
                "or make a practice with `gateway init DIR`"
            )
        return cls(directory, desk, SystemClock())

    def key(self, name: str) -> LocalKey:
        """The signing key of that surface, read now; raises `ConfigurationError`."""
        return LocalKey.load(self.keys / f"{name}.json")

    def surface(self, name: str) -> Surface:
        return Surface(self.key(name), self.clock)
