"""A journal held in memory, and what a forger does to it: one thing changed, and what follows from it fitted again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from gateway.audit import FlawCode, verify_archive
from gateway.audit._attempts import check_attempt
from gateway.audit._records import Said
from gateway.audit.report import Findings
from gateway.contracts.chain import GENESIS, Link
from gateway.contracts.outcome import Outcome
from gateway.contracts.signals import Event, Signal
from gateway.contracts.words import End
from gateway.journal import Archive, StoredAttempt, StoredEvent, StoredRecord, StoredVolume

LATER = datetime(2030, 1, 7, 9, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Held:
    """A journal held in memory (`Archive`): what a forger would have changed is changed here."""

    meta: Mapping[str, str]
    found: tuple[StoredAttempt, ...]
    told: tuple[StoredRecord, ...]
    holding: tuple[tuple[str, str, str], ...]
    reserving: tuple[tuple[str, str], ...]
    used: tuple[tuple[str, str, str], ...]
    broken: tuple[str, ...] = ()

    @classmethod
    def of(cls, archive: Archive) -> Held:
        return cls(
            meta=archive.meta,
            found=tuple(archive.attempts()),
            told=tuple(archive.records()),
            holding=tuple(archive.holds()),
            reserving=tuple(archive.siblings()),
            used=tuple(archive.triggers()),
        )

    def damage(self) -> Sequence[str]:
        return self.broken

    def attempts(self) -> Iterator[StoredAttempt]:
        return iter(self.found)

    def attempt(self, attempt: str) -> StoredAttempt | None:
        return next((stored for stored in self.found if stored.attempt == attempt), None)

    def volumes(self) -> Iterator[StoredVolume]:
        return iter(())

    def records(self) -> Iterator[StoredRecord]:
        return iter(self.told)

    def holds(self) -> Iterator[tuple[str, str, str]]:
        return iter(self.holding)

    def siblings(self) -> Iterator[tuple[str, str]]:
        return iter(self.reserving)

    def triggers(self) -> Iterator[tuple[str, str, str]]:
        return iter(self.used)

    def ended(self, end: End | None) -> StoredAttempt:
        """The one attempt that ended so; UNKNOWN: the one that nobody resolved."""
        number = [End.APPLIED, End.REFUSED, End.UNKNOWN, None, End.BLOCKED, End.PAUSED, "in flight"].index(
            end or "in flight"
        )
        return self.found[number]

    @property
    def resolved(self) -> StoredAttempt:
        return self.found[3]

    def changed(self, old: StoredAttempt, new: StoredAttempt) -> Held:
        return replace(self, found=tuple(new if one is old else one for one in self.found))

    def said(self, old: StoredRecord, *new: StoredRecord) -> Held:
        told = [one for record in self.told for one in (new if record is old else (record,))]
        return replace(self, told=tuple(told))


def flaws(archive: Any, world: Any, *kept: str) -> list[tuple[FlawCode, str]]:
    return [(flaw.code, flaw.where) for flaw in verify_archive(archive, kept, world.keyring).flaws]


def checked(stored: StoredAttempt, said: Said) -> list[tuple[FlawCode, str]]:
    findings = Findings()
    check_attempt(stored, said, findings)
    return [(flaw.code, flaw.where) for flaw in findings.report().flaws]


def row(stored: StoredAttempt, **columns: Any) -> StoredAttempt:
    return replace(stored, columns={**stored.columns, **columns})


def event(stored: StoredAttempt, number: int, **changes: Any) -> StoredAttempt:
    events = list(stored.events)
    events[number - 1] = replace(events[number - 1], **changes)
    return replace(stored, events=tuple(events))


def refitted(stored: StoredAttempt, change: Callable[[Event], dict[str, Any] | None]) -> StoredAttempt:
    """The chain with changed events (None drops one), its numbers, hashes, head and closing hash fitted again."""
    head, links = GENESIS, list[Link]()
    for old in stored.events:
        told = Event.model_validate_json(old.body)
        update = change(told)
        if update is not None:
            links.append(Link.after(head, told.model_copy(update={**update, "seq": len(links) + 1})))
            head = links[-1].hash
    events = tuple(StoredEvent(link.event.seq, link.body.decode(), link.hash) for link in links)
    columns: dict[str, Any] = {"seq": len(links), "head": head}
    if stored.columns["outcome"] is not None:
        outcome = Outcome.model_validate_json(str(stored.columns["outcome"]))
        closing = head if outcome.closing_hash is not None else None
        columns["outcome"] = outcome.model_copy(update={"closing_hash": closing}).canonical().decode()
    return replace(row(stored, **columns), events=events)


def on(at: Signal, /, **update: Any) -> Callable[[Event], dict[str, Any] | None]:
    return lambda told: update if told.signal is at else {}


def without(signal: Signal) -> Callable[[Event], dict[str, Any] | None]:
    return lambda told: None if told.signal is signal else {}


def replace_said(said: Said, resolutions: dict[str, Any]) -> Said:
    return Said(
        approvals=said.approvals, revisions=said.revisions, observations=said.observations, resolutions=resolutions
    )
