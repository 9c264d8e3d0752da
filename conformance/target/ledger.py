"""The ledger: what a run was about to create, written down before it was sent; and the broom that takes it away.

Owns: `ledger.jsonl` in the report directory, one durable line per fact, so that whoever finds the directory can
clean up after a run that was killed. It holds no identifier: a slot is its start instant, and appointments that
were there before the run are salted digests. Owns also what counts as the run's: an appointment that was not there
before, stands at a slot that the ledger has outstanding, and is for a subject of the pool where the system shows
one. Whatever fails one of the three is never touched; what is new and for a subject of the pool, but at another
time, is reported as remaining.
Invariants: `intend` has returned before the request may leave. Cleaning goes last created first, ends in bounded
time whatever the system does, and once begun ends also when the run is cancelled in the middle. Doing it again is
safe: it looks afresh.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, TypeAdapter

from conformance.results import Peer, RequirementId, Residue
from conformance.target.file import Pool, TargetError
from conformance.target.lines import Lines
from gateway.contracts.base import Instant, Model
from gateway.contracts.canonical import Digest, digest
from gateway.errors import DocumentError
from gateway.testing.premises import Observer, Seen

LEDGER_FILE: Final = "ledger.jsonl"
SEEN_DOMAIN: Final = "conformance-seen/v1"
CLEANING_SECONDS: Final = 120.0
REMOVAL_SECONDS: Final = 15.0
MARGIN: Final = timedelta(days=1)
"""How far around the pool a look goes: an adapter that mistakes the zone books beside it."""

_SEEN_PER_LINE: Final = 500
_WORDS_PER_LINE: Final = 200
_WORD: Final = re.compile(rb"[A-Za-z0-9_-]{16,}")
"""What could be a native key: 96 bits need sixteen letters of any alphabet of up to 64."""


class Opened(Model):
    """The first line. `salt` is the ledger's own."""

    kind: Literal["opened"] = "opened"
    format: Literal[1] = 1
    salt: Digest


class Before(Model):
    """Appointments that are not the run's, as digests of their identifiers."""

    kind: Literal["before"] = "before"
    peer: Peer
    seen: Annotated[tuple[Digest, ...], Field(max_length=_SEEN_PER_LINE)]


class Intended(Model):
    """A mutating request may create or change something here."""

    kind: Literal["intended"] = "intended"
    requirement: RequirementId
    peer: Peer
    slot: Instant


class Sent(Model):
    """Words of one mutating request that is about to be forwarded, as digests: by them a key is known again."""

    kind: Literal["sent"] = "sent"
    peer: Peer
    words: Annotated[tuple[Digest, ...], Field(max_length=_WORDS_PER_LINE)]


class Removed(Model):
    """One appointment of the run's was taken away."""

    kind: Literal["removed"] = "removed"
    peer: Peer
    slot: Instant


class Cleared(Model):
    """A look after removal found nothing of the run's standing here."""

    kind: Literal["cleared"] = "cleared"
    peer: Peer
    slot: Instant


Entry = Annotated[Opened | Before | Intended | Sent | Removed | Cleared, Field(discriminator="kind")]


class Ledger:
    """Use `open`, and `close` at the end; it is locked for this process in between."""

    def __init__(self, lines: Lines, entries: Iterable[Opened | Before | Intended | Sent | Removed | Cleared]) -> None:
        self._lines = lines
        self._salt = ""
        self._before: dict[Peer, set[str]] = {}
        self._outstanding: dict[Peer, dict[datetime, Intended]] = {}
        self._sent: dict[Peer, set[str]] = {}
        self._removed: dict[Peer, int] = {}
        for entry in entries:
            self._take(entry)

    @classmethod
    def open(cls, path: Path | None) -> Self:
        """The ledger in that file, begun if there is none; None keeps it in memory. Raises `DocumentError`."""
        lines = Lines.open(path, LEDGER_FILE)
        try:
            ledger = cls(lines, _entries(lines))
            if not ledger._salt:
                ledger._note(Opened(salt=secrets.token_hex(32)))
        except DocumentError:
            lines.close()
            raise
        return ledger

    def close(self) -> None:
        self._lines.close()

    def intend(self, requirement: str, peer: Peer, slot: datetime) -> None:
        """Before a mutating request for that slot may be sent; durable when this returns."""
        self._note(Intended(requirement=requirement, peer=peer, slot=slot))

    def note_before(self, peer: Peer, identifiers: Iterable[str]) -> None:
        """These appointments are not the run's; further calls add to them."""
        fresh = sorted({self._digest(each) for each in identifiers} - self._before.get(peer, set()))
        for start in range(0, max(len(fresh), 1), _SEEN_PER_LINE):
            self._note(Before(peer=peer, seen=tuple(fresh[start : start + _SEEN_PER_LINE])))

    def note_sent(self, peer: Peer, *contents: bytes) -> None:
        """These are about to be forwarded in a mutating request; durable when this returns."""
        words = dict.fromkeys(self._word(word.decode()) for content in contents for word in _WORD.findall(content))
        self._note(Sent(peer=peer, words=tuple(words)[:_WORDS_PER_LINE]))

    def was_sent(self, peer: Peer, key: str) -> bool:
        """Whether a mutating request of this run carried the key, in whatever case the system shows it."""
        return self._word(key) in self._sent.get(peer, ())

    def note_removed(self, peer: Peer, slot: datetime) -> None:
        self._note(Removed(peer=peer, slot=slot))

    def note_cleared(self, peer: Peer, slot: datetime) -> None:
        self._note(Cleared(peer=peer, slot=slot))

    def outstanding(self, peer: Peer) -> tuple[Intended, ...]:
        """The latest intent of each slot that is not cleared since, last first."""
        return tuple(reversed(self._outstanding.get(peer, {}).values()))

    def is_outstanding(self, peer: Peer, slot: datetime) -> bool:
        return slot in self._outstanding.get(peer, ())

    def looked(self, peer: Peer) -> bool:
        """Whether it is known what stood there before the run."""
        return peer in self._before

    def was_there(self, peer: Peer, identifier: str) -> bool:
        return self._digest(identifier) in self._before.get(peer, ())

    def removed(self, peer: Peer) -> int:
        """How many appointments were taken away so far, in all parts of the run."""
        return self._removed.get(peer, 0)

    def _word(self, word: str) -> str:
        return self._digest("".join(filter(str.isalnum, word.casefold())))

    def _digest(self, identifier: str) -> str:
        return digest(SEEN_DOMAIN, f"{self._salt}|{identifier}".encode())

    def _note(self, entry: Opened | Before | Intended | Sent | Removed | Cleared) -> None:
        self._lines.append(entry.canonical())
        self._take(entry)

    def _take(self, entry: Opened | Before | Intended | Sent | Removed | Cleared) -> None:
        if isinstance(entry, Opened):
            self._salt = entry.salt
        elif isinstance(entry, Before):
            self._before.setdefault(entry.peer, set()).update(entry.seen)
        elif isinstance(entry, Intended):
            slots = self._outstanding.setdefault(entry.peer, {})
            slots.pop(entry.slot, None)  # the latest intent stands last
            slots[entry.slot] = entry
        elif isinstance(entry, Sent):
            self._sent.setdefault(entry.peer, set()).update(entry.words)
        elif isinstance(entry, Removed):
            self._removed[entry.peer] = self._removed.get(entry.peer, 0) + 1
        else:
            self._outstanding.get(entry.peer, {}).pop(entry.slot, None)


class Cleaner:
    """One peer's. `begin` before the first write, `clean` after the last; `residue` is what the last one found, and
    `strays` how much of it stands where nothing was intended. `alone`: nobody else uses the system, so that whatever
    is new there is the run's."""

    def __init__(
        self,
        observer: Observer,
        ledger: Ledger,
        pool: Pool,
        peer: Peer,
        *,
        alone: bool = False,
        seconds: float = CLEANING_SECONDS,
    ) -> None:
        self.residue: Residue | None = None
        self.strays = 0
        self._observer, self._ledger, self._pool, self._peer = observer, ledger, pool, peer
        self._alone, self._seconds = alone, seconds

    async def begin(self) -> None:
        """Note what stands there already; what an earlier part of this run left is removed first. Raises
        `TargetError` where the observer cannot look: such a run must not write."""
        if self._ledger.outstanding(self._peer):
            await self.clean()
        try:
            seen = await self._look()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - an author's observer, whose text could hold anything
            raise TargetError(
                f"the observer raised {type(error).__name__} at its first look; is the system up, and are the "
                "observer and its credentials right?"
            ) from None
        self._ledger.note_before(self._peer, (each.identifier for each in seen if not self._ours(each)))

    async def clean(self) -> Residue:
        """Remove what is the run's, look again, and say what remains. A cancellation is obeyed after the end."""
        task = asyncio.create_task(self._bounded())
        cancelled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError as error:
                if task.cancelled():
                    raise
                cancelled = error
        self.residue = task.result()
        if cancelled is not None:
            raise cancelled
        return self.residue

    def is_new(self, seen: Seen) -> bool:
        """Whether it was not there before the run; False as long as `begin` has not looked."""
        return self._ledger.looked(self._peer) and not self._ledger.was_there(self._peer, seen.identifier)

    async def _bounded(self) -> Residue:
        try:
            async with asyncio.timeout(self._seconds):
                if not self._ledger.looked(self._peer):  # then nothing can be told from what was there before
                    return self._unverified()
                swept = await self._sweep()
                return self._found(swept, await self._look())
        except (Exception, SystemExit):  # noqa: BLE001 - an author's observer: whatever it raises, the ledger knows the upper bound
            return self._unverified()

    async def _sweep(self) -> Sequence[Seen]:
        """Ask for the removal of all that is the run's; what was asked for."""
        order = {intent.slot: place for place, intent in enumerate(self._ledger.outstanding(self._peer))}
        if not order:
            return ()
        ours = sorted((each for each in await self._look() if self._ours(each)), key=lambda each: order[each.start])
        for each in ours:
            await self._remove(each)
        return ours

    async def _remove(self, seen: Seen) -> None:
        try:
            async with asyncio.timeout(REMOVAL_SECONDS):
                await self._observer.remove(seen.identifier)
        except (Exception, SystemExit):  # noqa: BLE001, S110 - an author's observer; the look that follows says whether it stands
            pass

    def _found(self, swept: Sequence[Seen], seen: Sequence[Seen]) -> Residue:
        """The residue by a look after the sweep; what it settles is noted in the ledger."""
        ours = [each for each in seen if self._ours(each) or self._astray(each) or self._doubtful(each)]
        standing = [each for each in ours if not each.cancelled]
        still, shown = {each.identifier for each in standing}, {each.identifier for each in seen}
        self.strays = sum(not self._ours(each) for each in standing)
        gone = [each for each in swept if each.identifier not in still]
        occupied = {each.start for each in standing}
        for each in gone:
            self._ledger.note_removed(self._peer, each.start)
        for intent in self._ledger.outstanding(self._peer):
            if intent.slot not in occupied:
                self._ledger.note_cleared(self._peer, intent.slot)
        removed = self._ledger.removed(self._peer)
        return Residue(
            peer=self._peer,
            created=removed + len(standing),
            removed=removed,
            remaining=len(standing),
            where=tuple(sorted(occupied)),
            kept=sum(each.identifier in shown for each in gone),
        )

    def _unverified(self) -> Residue:
        removed, slots = self._ledger.removed(self._peer), self._ledger.outstanding(self._peer)
        return Residue(
            peer=self._peer,
            created=removed + len(slots),
            removed=removed,
            remaining=len(slots),
            where=tuple(sorted(intent.slot for intent in slots)),
            verified=False,
        )

    async def _look(self) -> Sequence[Seen]:
        length = timedelta(minutes=self._pool.every_minutes * self._pool.slots)
        return await self._observer.appointments(self._pool.first - MARGIN, self._pool.first + length + MARGIN)

    def _ours(self, seen: Seen) -> bool:
        if not (self.is_new(seen) and self._ledger.is_outstanding(self._peer, seen.start)):
            return False
        if seen.subject is not None and seen.subject not in self._pool.subjects:
            return False
        if self._alone or not seen.keys:
            return self._alone or seen.subject is not None
        return any(self._ledger.was_sent(self._peer, key) for key in seen.keys)

    def _doubtful(self, seen: Seen) -> bool:
        """New, where the run meant to write, and shown without patient and key: nobody can tell whose it is."""
        shown = seen.keys or seen.subject is not None
        return not shown and self.is_new(seen) and self._ledger.is_outstanding(self._peer, seen.start)

    def _astray(self, seen: Seen) -> bool:
        return self.is_new(seen) and seen.subject is not None and seen.subject in self._pool.subjects


def _entries(lines: Lines) -> Iterator[Opened | Before | Intended | Sent | Removed | Cleared]:
    reader: TypeAdapter[Opened | Before | Intended | Sent | Removed | Cleared] = TypeAdapter(Entry)
    strange, misplaced = "not a line of a ledger; clean up by hand", "out of place; clean up by hand"
    return lines.entries(reader, Opened, strange=strange, misplaced=misplaced)
