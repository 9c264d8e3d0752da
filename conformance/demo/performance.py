"""One run of the demo, from an empty directory to a verdict.

Owns: the server's process, the practice's directory, the end checks, and the one document that says it all.
Whatever happens, the server is ended by its own handle before `run` returns or raises.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import FrameType
from typing import Any, Final, Self

import httpx

from adapters.caldav.testing import RadicaleServer
from conformance.demo.calendar import Calendar, CalendarUnreadableError, Held, save
from conformance.demo.page import Page, next_commands
from conformance.demo.play import Play
from conformance.demo.tampering import AuditTrial, try_audit
from conformance.demo.verdict import Check, Step
from conformance.demo.wire import Wire
from conformance.rehearsal import Rehearsal
from gateway.cli.answer import ExitCode
from gateway.contracts.adapter import spell_key
from gateway.contracts.connection import Connection, CredentialUse, Scheme
from gateway.contracts.references import AppointmentId, ConnectionId, PracticeId
from gateway.errors import ConfigurationError, GatewayError, UsageError
from gateway.gateway import Gateway
from gateway.surfaces.local import FILE_SINK, LocalPractice

SECRET: Final = "calendar"  # noqa: S105 - the credential's name
ZONE: Final = "Europe/Berlin"
STEPS: Final = 13
SENT: Final = 4
"""Three commits and the one whose reply is lost."""


@dataclass(slots=True)
class Performance:
    """What a run has come to so far; `run` fills it in."""

    directory: Path
    page: Page
    version: str = ""
    steps: list[Step] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    events: tuple[Held, ...] = ()
    audit: AuditTrial | None = None
    trouble: str | None = None

    @classmethod
    def prepare(cls, directory: Path | None, page: Page) -> Self:
        """Without a directory, a fresh temporary one is made. Raises `UsageError` for one that holds anything."""
        if directory is not None and directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise UsageError("--dir: not an empty directory; name a new one")
        return cls(directory.absolute() if directory else Path(tempfile.mkdtemp(prefix="gateway-demo-")), page)

    @property
    def ok(self) -> bool:
        """All steps made, each as it should be, and every check holds."""
        as_expected = not any(step.faults for step in self.steps) and all(check.ok for check in self.checks)
        return as_expected and self.trouble is None and len(self.steps) == STEPS and self.audit is not None

    def run(self) -> ExitCode:
        """Perform, check, close. Raises `ConfigurationError` where it cannot even begin."""
        try:
            with _terminable(), _radicale() as server:
                self.version = server.version
                asyncio.run(self._perform(server))
        except KeyboardInterrupt:
            self.trouble = "interrupted; the server has ended, what was made so far stays"
            self.page.trouble(self.trouble)
            return ExitCode.CANCELLED
        except GatewayError as error:
            if not self.steps:
                raise
            self.trouble = str(error)
            self.page.trouble(self.trouble)
        except (CalendarUnreadableError, httpx.HTTPError) as error:
            self.trouble = f"the calendar server's own account could not be read ({type(error).__name__})"
            self.page.trouble(self.trouble)
        attempts = {step.name: step.attempt for step in self.steps if step.attempt}
        self.page.closing(self.ok, len(self.steps), next_commands(self.directory, attempts))
        return ExitCode.SUCCEEDED if self.ok else ExitCode.ERROR

    def document(self) -> dict[str, Any]:
        """Everything as JSON, `ok` aside."""
        audit, trial = None, self.audit
        if trial is not None:
            audit = {
                "verified": trial.intact.intact,
                "events": trial.intact.events,
                "checkpoints": trial.intact.checkpoints,
                "tamper_detected": trial.tamper_detected,
                "flaws": [{"code": flaw.code.value, "where": flaw.where} for flaw in trial.altered.flaws],
                "verified_after_restoring": trial.restored.intact,
                "mutating_requests": trial.recorded_mutating_requests,
            }
        return {
            "server": {"name": "Radicale", "version": self.version},
            "directory": str(self.directory),
            "steps": [step.plain() for step in self.steps],
            "calendar": [held.plain() for held in self.events],
            "audit": audit,
            "checks": [check.plain() for check in self.checks],
            "trouble": self.trouble,
        }

    async def _perform(self, server: RadicaleServer) -> None:
        host, port = server.host.split(":")
        annex_url = f"{server.url}/{server.user}/annex/"
        server.make_calendar(annex_url)
        async with Wire.to(host, int(port)) as wire:
            practice = PracticeId.random()
            relayed = f"http://127.0.0.1:{wire.port}"
            addresses = [url.replace(server.url, relayed) for url in (server.collection_url, annex_url)]
            connections = [_connection(practice, address, wire.port) for address in addresses]
            local = LocalPractice.create(self.directory, connections, practice=practice, sinks=(FILE_SINK,))
            local.keep_secret(SECRET, f"{server.user}:{server.password}")
            self.page.opening(f"Radicale {server.version}", server.url, self.directory)
            front, annex = (Rehearsal.prepare(local, connection) for connection in connections)
            calendars = [Calendar(url, server.user, server.password) for url in (server.collection_url, annex_url)]
            async with Gateway.open(local.home) as gateway:
                play = Play(gateway, front, annex, wire, calendars, self.page, self.steps)
                await play.perform()
                journal = local.home / gateway.ports.configuration.settings.journal
            self.events = play.read()
        save(self.events, self.directory / "calendar")
        self.page.scene("What the server holds, read back by a plain HTTP request of the demo's own")
        self._check_calendar(play)
        self.audit = try_audit(local, journal)
        self.page.scene("The audit: verified, one byte of a copy flipped, verified again, flipped back")
        self._check_audit(self.audit, len(wire.mutating))

    def _check_calendar(self, play: Play) -> None:
        keys = sorted(spell_key(AppointmentId(appointment)) for appointment in play.appointments)
        held = "\n".join(map(str, self.events))
        self._check("events", "exactly the events that it should hold", "\n".join(play.holds), held)
        uids = sorted(held.uid for held in self.events)
        self._check("keys", "each under the key of its booking", _short(keys), _short(uids))

    def _check_audit(self, trial: AuditTrial, mutating: int) -> None:
        altered, seen = trial.altered, trial.intact
        self._check("wire", "mutating requests on the wire, in all", str(SENT), str(mutating))
        told = str(trial.recorded_mutating_requests)
        self._check("account", "mutating requests by the audit's own account", str(mutating), told)
        words = f"intact, {seen.checkpoints} checkpoint, {seen.events} events"
        found = words if seen.intact else f"not intact: {seen.flaws[0].code}"
        self._check("verified", "the journal, with public keys alone", words, found)
        found = "found out" if trial.tamper_detected else "not noticed"
        self._check("tampering", "a copy whose audit denies that a request was sent", "found out", found)
        for flaw in altered.flaws:
            self.page.flaw(flaw.code.value, flaw.where)
        self._check("restored", "the same copy, byte flipped back", "intact", _verdict(trial.restored.intact))

    def _check(self, name: str, title: str, expected: str, seen: str) -> None:
        check = Check(name=name, title=title, expected=expected, seen=seen)
        self.checks.append(check)
        self.page.check(check)


def _verdict(intact: bool) -> str:
    return "intact" if intact else "not intact"


def _short(keys: list[str]) -> str:
    return ", ".join(f"{key[:16]}…" for key in keys)


def _connection(practice: PracticeId, address: str, port: int) -> Connection:
    return Connection(
        connection_id=ConnectionId.random(),
        practice=practice,
        adapter="caldav",
        base_url=address,
        hosts=(f"127.0.0.1:{port}",),
        zone=ZONE,
        credential=CredentialUse(scheme=Scheme.BASIC, name=SECRET),
    )


@contextmanager
def _radicale() -> Iterator[RadicaleServer]:
    """The server, running; it ends with the context. Raises `ConfigurationError` where there is none."""
    with ExitStack() as stack:
        try:
            with _undisturbed():
                server = stack.enter_context(RadicaleServer())
        except PackageNotFoundError:
            raise ConfigurationError("Radicale is not installed: install this package with its extra `demo`") from None
        except RuntimeError as error:
            raise ConfigurationError(str(error)) from None
        yield server


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Put Ctrl-C off: between making a process and knowing its handle, nobody could end it."""
    received: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda number, _: received.append(number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    if received:
        raise KeyboardInterrupt


@contextmanager
def _terminable() -> Iterator[None]:
    """A termination request ends this like Ctrl-C does: with everything stopped."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # Not SIGINT raised again: a shell starts its background jobs with that one ignored
    raise KeyboardInterrupt
