"""An external system made ready for a conformance run, and the observer that looks beside the adapter.

Owns: the two things that an adapter's author gives to the suite besides the adapter: an observer, and, where the
system can be started on this machine, a factory of `Premises`. A target file names both as `package.module:name`.
Refuses nothing by itself; the suite checks what it is given.
Invariant for authors: an observer shares no code with the adapter under test. It counts what the adapter did, so
an error that both made would cancel out.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One appointment as an observer sees it. `start` and `end` are aware instants, end exclusive.

    `identifier` is what `Observer.remove` takes. `keys` are the native keys that the record shows, in the system's
    own spelling, and `subject` the system's identifier of the patient; both are empty where it shows none.
    """

    identifier: str = field(repr=False)
    start: datetime
    end: datetime
    cancelled: bool = False
    keys: tuple[str, ...] = ()
    subject: str | None = field(default=None, repr=False)


class Observer(Protocol):
    """A look at the external system, and a broom, that go past the adapter: own client, better own credential."""

    async def appointments(self, start: datetime, end: datetime) -> Sequence[Seen]:
        """Every appointment that touches [start, end) in the run's calendar or practice; cancelled ones where the
        system still shows them. Raising makes the check that asked could-not-run."""
        ...

    async def remove(self, identifier: str) -> bool:
        """Take an appointment away for good, or cancel it where nothing more can be done. False: it stays."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Premises:
    """A system that answers at `base_url` (loopback, ends with `/`), for one run.

    `label` is how reports call it, with its version. `observer` is None where a person counts. `secrets` are the
    connection's credentials by name; `limited` is one that may read but not write. `settings` are added to the
    connection's own. `token_url` is the system's own token endpoint, in place of the one that the connection names.
    `trust` is the run's end of TLS, for a system whose authority only these premises know, with the
    certificate of its own that the system asks for.
    """

    base_url: str
    label: str
    observer: Observer | None
    secrets: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    settings: Mapping[str, str | int | bool] = field(default_factory=lambda: MappingProxyType({}))
    token_url: str | None = None
    trust: ssl.SSLContext | None = field(default=None, repr=False)


class ObserverFactory(Protocol):
    """What a target file names for a system that runs already. `trust` is given only where the target file names
    authorities of its own (`connection.trust`)."""

    def __call__(
        self, base_url: str, secrets: Mapping[str, str], *, trust: ssl.SSLContext | None = None
    ) -> Observer: ...


class PremisesFactory(Protocol):
    """Starts the system for one run, and ends it: `async with factory() as premises`."""

    def __call__(self) -> AbstractAsyncContextManager[Premises]: ...
