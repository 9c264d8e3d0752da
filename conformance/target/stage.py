"""One system, ready to be tried: the connection through the proxy, the observer beside it, the pool of slots.

Owns: what all checks at one peer share, the pace that its limits ask for, and that nothing is written at a slot that
the ledger does not hold. Refuses: slots in which somebody else's appointment stands.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from conformance.faults import Exchange
from conformance.faults.messages import Reads
from conformance.faults.proxy import Proxy
from conformance.overhearing import as_guest
from conformance.requirement import Requirement
from conformance.results import Peer, Residue
from conformance.target.access import Access, open_access, telling, wrong_secret
from conformance.target.file import Pool, Target, TargetConnection, TargetError
from conformance.target.ledger import Cleaner, Ledger
from gateway.config import Bounds
from gateway.contracts.adapter import Adapter, Commitment, Descriptor
from gateway.contracts.connection import Connection, CredentialUse, Scheme, Setting
from gateway.testing import Observer, Premises, Seen, make_connection

LIMITED: Final = "limited"
"""The name of a credential that may read but not write."""

SECONDS_AROUND: Final = 2
"""What readiness may take beyond one request's limit; the gateway's own default is far longer."""


class NoObserverError(Exception):
    """Effects are counted by a person; the check awaits that count."""


class BlindObserverError(Exception):
    """The observer could not look; carries the type of what it raised, never its text."""


class NoSlotError(Exception):
    """Every slot of the pool is taken by somebody else."""


@dataclass(slots=True, kw_only=True)
class Stage:
    """`secret` is the connection's credential, `limited` one that may only read, where there is one; `name` is the
    adapter's. `withheld` are texts that must show up nowhere. `alone`: nobody else uses the system."""

    peer: Peer
    name: str
    label: str
    adapter: Adapter
    connection: Connection
    descriptor: Descriptor
    proxy: Proxy
    observer: Observer | None
    pool: Pool
    budget: int
    ledger: Ledger
    cleaner: Cleaner | None
    alone: bool = False
    secret: str = field(default="", repr=False)
    limited: str | None = field(default=None, repr=False)
    wrong_secret: str = field(default="", repr=False)
    withheld: tuple[str, ...] = field(default=(), repr=False)
    access: Access | None = field(default=None, repr=False)
    _cursor: int = 0
    _paced_from: float = field(default_factory=time.monotonic)
    _paced: int = 0
    _delivered: int = 0

    @property
    def bounds(self) -> Bounds:
        """As short as the connection's limits let them be, so that a system that hangs costs no minutes."""
        return Bounds(readiness_seconds=min(120, self.connection.limits.request_seconds + SECONDS_AROUND))

    @property
    def confidential(self) -> Sequence[str]:
        """Texts that must show up nowhere, the tokens granted so far among them."""
        return (*self.withheld, *(self.access.granted if self.access is not None else ()))

    @property
    def slots(self) -> Sequence[datetime]:
        step = timedelta(minutes=self.pool.every_minutes)
        return [self.pool.first + number * step for number in range(self.pool.slots)]

    async def free_slot(self) -> datetime:
        """The next slot of the pool in which nothing stands; raises `NoSlotError` after one round."""
        slots = self.slots
        for _ in slots:
            slot = slots[self._cursor % len(slots)]
            self._cursor += 1
            if self.observer is None or not await self._occupied(slot):
                return slot
        raise NoSlotError

    async def is_taken_by_strangers(self, slot: datetime) -> bool:
        """Whether somebody stands there who is none of the pool's patients; False where nobody can tell."""
        if self.alone:
            return False
        try:
            seen = await self._seen(slot)
        except (NoObserverError, BlindObserverError):
            return False
        return any(not each.cancelled and each.subject not in (None, *self.pool.subjects) for each in seen)

    async def standing(self, slot: datetime) -> Sequence[Seen]:
        """Appointments in the slot that were not there before the run; cancelled ones aside."""
        if self.cleaner is None:
            raise NoObserverError
        seen = await self._seen(slot)
        return [each for each in seen if not each.cancelled and each.start == slot and self.cleaner.is_new(each)]

    @property
    def strays(self) -> int:
        """New appointments of the pool's patients at times that no check meant, by the latest cleaning."""
        return 0 if self.cleaner is None else self.cleaner.strays

    async def pace(self) -> None:
        """Wait until another attempt's requests are within the connection's rate (its own declared budget)."""
        rate = self.connection.limits.requests_per_minute
        if rate is None:
            return
        self._paced += self.descriptor.requests_per_attempt + self.connection.credential.requests
        due = self._paced_from + max(0, self._paced - rate) * 60 / rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))

    def intend(self, requirement: Requirement, slot: datetime) -> None:
        """Durably, before anything can be sent."""
        self.ledger.intend(requirement.id, self.peer, slot)

    @property
    def relays(self) -> bool:
        """Whether a success reply is a relay's acceptance and no commitment (C-35)."""
        return self.descriptor.commitment is Commitment.RELAYED

    async def delivered(self) -> None:
        """Wait until nothing is under way, and what a relay took since the last wait is where it belongs."""
        await self.proxy.settle()
        if any(exchange.mutating for exchange in self.proxy.since(self._delivered)):
            await asyncio.sleep(self.descriptor.relay_seconds)
        self._delivered = self.proxy.latest

    async def clean(self) -> None:
        """Remove what the run created so far, last first."""
        await self.delivered()
        if self.cleaner is not None and self.proxy.writes:
            await self.cleaner.clean()

    @property
    def residue(self) -> Residue:
        """What the run wrote here and what became of it."""
        budget = {"writes": self.proxy.writes, "budget": self.budget}
        if self.cleaner is None or self.cleaner.residue is None:
            slots = tuple(sorted(intent.slot for intent in self.ledger.outstanding(self.peer)))
            count = len(slots)
            return Residue(
                peer=self.peer, created=count, removed=0, remaining=count, where=slots, verified=not count, **budget
            )
        return self.cleaner.residue.model_copy(update=budget)

    async def _occupied(self, slot: datetime) -> bool:
        return any(not each.cancelled for each in await self._seen(slot))

    async def _seen(self, slot: datetime) -> Sequence[Seen]:
        if self.observer is None:
            raise NoObserverError
        try:
            return await self.observer.appointments(slot, slot + timedelta(minutes=self.pool.minutes))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - an author's observer; its text could hold anything
            raise BlindObserverError(type(error).__name__) from None


@asynccontextmanager
async def open_stage(  # noqa: PLR0913 - a stage is put together once
    peer: Peer,
    name: str,
    adapter: Adapter,
    *,
    target: Target,
    premises: Premises,
    trust: ssl.SSLContext | None,
    ledger: Ledger,
    faults: bool = True,
    reads_only: bool = False,
    canary: str = "",
) -> AsyncIterator[Stage]:
    """The premises behind a proxy. What was there is noted before anything can be written; what the run made is
    removed at the end, whatever ends it. Raises `TargetError` for an adapter that does not describe itself."""
    told = target.connection
    credential = told.credential.name or ""
    alone = peer is Peer.TWIN or target.launch is not None
    direct = _connection(name, told, premises.base_url, premises.settings, told.credential)
    descriptor = _described(adapter, name, direct)
    async with AsyncExitStack() as stack:
        access = await stack.enter_async_context(
            open_access(told.credential, premises.token_url, trust, launched=alone)
        )
        proxy = await stack.enter_async_context(
            Proxy.open(
                premises.base_url,
                reads=Reads(descriptor.safe_posts, descriptor.safe_calls),
                trust=trust,
                writes=target.writes,
                faults=faults,
                read_only=reads_only,
                canary=canary,
                before=lambda exchange: ledger.note_sent(peer, *_carried(exchange)),
            )
        )
        watcher = premises.observer
        cleaner = None if watcher is None else Cleaner(watcher, ledger, target.pool, peer, alone=alone)
        stage = Stage(
            peer=peer,
            name=name,
            label=premises.label,
            adapter=adapter,
            connection=_connection(name, told, proxy.url, premises.settings, access.use),
            descriptor=descriptor,
            proxy=proxy,
            observer=premises.observer,
            pool=target.pool,
            budget=target.writes,
            ledger=ledger,
            cleaner=cleaner,
            alone=alone,
            secret=premises.secrets.get(credential, ""),
            limited=premises.secrets.get(LIMITED),
            wrong_secret=wrong_secret(told.credential),
            withheld=tuple(filter(None, (*_telling(told, premises), canary, *target.pool.subjects))),
            access=access,
        )
        if cleaner is not None:
            await cleaner.begin()
        try:
            yield stage
        finally:
            proxy.disarm()
            await stage.clean()


def claims(adapter: Adapter, name: str, told: TargetConnection) -> Descriptor:
    """What the adapter claims for a target's connection, asked before anything is started; raises `TargetError`."""
    direct = _connection(name, told, told.base_url or "http://127.0.0.1:1/", {}, told.credential)
    return _described(adapter, name, direct)


def _carried(exchange: Exchange) -> Iterator[bytes]:
    """Where a native key can be in a request; its credential is none of them."""
    yield exchange.target.encode()
    yield exchange.request_body
    yield from (value.encode() for name, value in exchange.request_headers if name.lower() != "authorization")


def _connection(
    name: str, told: TargetConnection, base_url: str, settings: Mapping[str, Setting], credential: CredentialUse
) -> Connection:
    return make_connection(
        base_url,
        adapter=name,
        dialect=told.dialect,
        network=told.network,
        zone=told.zone,
        credential=credential,
        limits=told.limits,
        settings={**told.settings, **settings},
    )


def _described(adapter: Adapter, name: str, connection: Connection) -> Descriptor:
    with suppress(Exception, SystemExit), as_guest():  # a stranger's code, whose text could hold anything
        claimed = adapter.describe(connection)
        if type(claimed) is Descriptor:
            return Descriptor.model_validate_json(claimed.model_dump_json())
    raise TargetError(f"adapter {name} does not describe itself for this connection; mend its describe()")


def _telling(told: TargetConnection, premises: Premises) -> Iterator[str]:
    ours = (told.credential.name, LIMITED)
    for name, secret in premises.secrets.items():
        yield from telling(told.credential.scheme if name in ours else Scheme.NONE, secret)
