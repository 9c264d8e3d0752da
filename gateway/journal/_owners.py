"""Whose process is alive: one file per gateway process, locked for its life (I11).

Owns: `<journal>.owners/<own_…>.lock`. The kernel drops an exclusive `flock` when its holder dies, however
it dies; a lease or a process id could lie. Separate descriptors exclude one another, so a second journal
in the same process counts as another owner. A child made by `fork` without `exec` keeps the lock alive.
Refuses: to guess where the operating system does not answer; whoever cannot be asked is not dead.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from gateway.contracts.references import OwnerId
from gateway.errors import ConfigurationError, JournalUnavailable


class Liveness(Protocol):
    """Which processes live; `owner` is this one. Questions raise `JournalUnavailable` where nobody can tell."""

    owner: OwnerId

    def dead(self, owner: str) -> bool:
        """Whether that process has ended. Never true of this one."""
        ...

    def others(self) -> bool:
        """Whether any other process has the journal open."""
        ...

    def sweep(self, referred: Collection[str]) -> None:
        """Forget dead owners to whom nothing in the journal refers any more."""
        ...

    def release(self, *, referred: bool) -> None:
        """End: others see this process dead from now on."""
        ...


class Owners:
    """This process's lock, and the question whether another's is still held: `Liveness` by files."""

    def __init__(self, journal: Path) -> None:
        """Take this process's lock; raises `ConfigurationError` where it cannot be had."""
        self._folder = journal.with_name(journal.name + ".owners")
        self.owner = OwnerId.random()
        # Locked before it has its name: nobody can find it unlocked and take its owner for dead.
        unnamed = self._path(self.owner).with_suffix(".new")
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._descriptor = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                unnamed.rename(self._path(self.owner))
            except OSError:
                os.close(self._descriptor)
                raise
        except OSError as error:
            raise ConfigurationError(
                f"no lock can be taken in {self._folder.name} ({os.strerror(error.errno or 0)}); it must be a "
                "directory of the gateway's own, on a local disk with room"
            ) from None

    def _path(self, owner: str) -> Path:
        return self._folder / f"{owner}.lock"

    def _named(self) -> list[str]:
        return [path.stem for path in self._folder.iterdir() if path.match("own_*.lock")]

    def dead(self, owner: str) -> bool:
        """Whether that owner's lock can be taken, or its file is gone. Never true of this process."""
        if owner == self.owner:
            return False
        with _asking():
            try:
                descriptor = os.open(self._path(owner), os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                return True
            try:
                return _locked(descriptor)
            finally:
                os.close(descriptor)

    def others(self) -> bool:
        """Whether any other process, or another journal in this one, has the journal open."""
        with _asking():
            return any(name != self.owner and not self.dead(name) for name in self._named())

    def sweep(self, referred: Collection[str]) -> None:
        """Remove the lock files of dead owners to whom nothing in the journal refers any more."""
        with _asking():
            for name in self._named():
                if name not in referred and self.dead(name):
                    self._path(name).unlink(missing_ok=True)

    def release(self, *, referred: bool) -> None:
        """Give the lock back; the file stays while an attempt in flight refers to it."""
        if not referred:
            with suppress(OSError):  # whoever opens the journal next sweeps it up
                self._path(self.owner).unlink()
        os.close(self._descriptor)


@contextmanager
def _asking() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise JournalUnavailable(
            f"which processes have the journal open cannot be told ({os.strerror(error.errno or 0)})"
        ) from None


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
