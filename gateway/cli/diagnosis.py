"""`gateway doctor`: is this gateway fit to commit, and if not, what must be done.

Owns: the list of checks. Every finding says what it looked at and, unless all is well, what to do. It reads, opens
the journal (which proves its pragmas) and asks no external system anything.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.cli.answer import ExitCode, answering
from gateway.cli.connecting import wanted_secret
from gateway.cli.options import HOME, Home, Json, Keys
from gateway.cli.session import existing, version
from gateway.errors import DocumentError, GatewayError, UsageError

if TYPE_CHECKING:
    from gateway.gateway import Gateway

WRITTEN: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""No clock that shows an earlier time can be right."""

SIGNING_KEYS: Final = ("reviewer", "operator", "governance", "checkpoint", "conformance")

RENEWAL: Final = timedelta(days=30)
"""How long before a conformance statement or a governance record ends the doctor says so."""


class Health(StrEnum):
    WELL = "well"
    NOTE = "note"
    ILL = "ill"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what was found, and what to do about it (nothing, if all is well)."""

    subject: str
    health: Health
    found: str
    do: str = ""


def doctor(home: Home = HOME, keys: Keys = None, as_json: Json = False) -> None:
    """Check that this gateway is fit to commit; each finding says what to do. Exit 0 or 4."""
    with answering(as_json) as answer:
        from gateway.cli.page import listing, marked
        from gateway.cli.wording import Tone

        found = asyncio.run(examine(home, keys or home.absolute().parent / "keys"))
        tones = {Health.WELL: Tone.GOOD, Health.NOTE: Tone.CARE, Health.ILL: Tone.BAD}
        rows = [
            (marked(tones[each.health], each.subject), each.found + (f"\n{each.do}" if each.do else ""))
            for each in found
        ]
        fit = all(each.health is not Health.ILL for each in found)
        document = [
            {"subject": each.subject, "health": each.health.value, "found": each.found, "do": each.do} for each in found
        ]
        verdict = marked(Tone.GOOD, "fit to commit") if fit else marked(Tone.BAD, "not fit to commit yet")
        answer.give(
            {"fit": fit, "findings": document},
            [listing(("looked at", "found"), rows, ""), "", verdict],
            ExitCode.SUCCEEDED if fit else ExitCode.BLOCKED,
        )


async def examine(home: Path, keys: Path) -> list[Finding]:
    """All findings, in the order in which one would mend them."""
    findings = [*_program(), *_clock(), *_keys(keys, home)]
    try:
        from gateway.gateway import Gateway

        async with Gateway.open(existing(home)) as gateway:
            findings += [each async for each in _opened(gateway)]
    except GatewayError as error:
        do = "mend this first; what depends on it was not looked at"
        findings.append(Finding("configuration", Health.ILL, str(error), do))
    return findings


async def _opened(gateway: Gateway) -> AsyncIterator[Finding]:
    ports = gateway.ports
    settings = ports.configuration.settings
    sealed = f"sealed for {settings.environment}, seal {ports.configuration.seal_digest[:16]}…"
    yield Finding("configuration", Health.WELL, sealed)
    durability = ports.journal.durability
    yield Finding("journal", Health.WELL, durability.proven)
    if durability.caution:
        yield Finding("journal", Health.NOTE, durability.caution, durability.mend)
    for each in _policies(gateway):
        yield each
    for each in _governance(gateway):
        yield each
    for each in _conformity(gateway):
        yield each
    for each in _registry(gateway):
        yield each
    async for each in _connections(gateway):
        yield each
    async for each in _keepers(gateway):
        yield each
    async for each in _unfinished(gateway):
        yield each


def _program() -> Iterator[Finding]:
    yield Finding("version", Health.WELL, f"gateway {version()} on Python {platform.python_version()}")


def _clock() -> Iterator[Finding]:
    now = datetime.now(UTC)
    if now < WRITTEN:
        yield Finding("clock", Health.ILL, "shows a time before this gateway was written", "set the clock; use NTP")
    else:
        yield Finding("clock", Health.WELL, f"{now:%Y-%m-%d %H:%M:%S}Z")


def _keys(keys: Path, home: Path) -> Iterator[Finding]:
    """Presence, place and mode of this machine's signing keys; their content is never read here (AUTH-07)."""
    from gateway import documents

    if keys.resolve().is_relative_to(home.resolve()):
        yield Finding(
            "keys", Health.ILL, "lie inside the gateway's home", "keep them elsewhere and name that with --keys"
        )
        return
    missing = [name for name in SIGNING_KEYS if not (keys / f"{name}.json").is_file()]
    if len(missing) == len(SIGNING_KEYS):
        do = "name their directory with --keys, if this machine is to sign"
        yield Finding("keys", Health.NOTE, "no signing keys here", do)
        return
    exposed = [name for name in SIGNING_KEYS if name not in missing and documents.exposed(keys / f"{name}.json")]
    if exposed:
        yield Finding(
            "keys", Health.ILL, f"others may read: {', '.join(exposed)}", "set their mode to 600; replace them"
        )
    present = ", ".join(name for name in SIGNING_KEYS if name not in missing)
    yield Finding("keys", Health.WELL, f"here: {present}" + (f"; elsewhere: {', '.join(missing)}" if missing else ""))


def _policies(gateway: Gateway) -> Iterator[Finding]:
    from gateway.contracts.failures import Refusal
    from gateway.contracts.proposal import Operation
    from gateway.contracts.statements import TriggerKind

    selections, found = gateway.ports.configuration.settings.policies, []
    for operation in Operation:
        try:
            version = gateway.ports.policies.select(selections, TriggerKind.OPERATOR, operation)
            found.append(f"{version.policy}/{version.version}")
        except Refusal as refusal:
            do = "select exactly one sealed version in gateway.json, then gateway seal"
            yield Finding("policy", Health.ILL, f"{operation}: {refusal.code}", do)
    if found:
        yield Finding("policy", Health.WELL, ", ".join(dict.fromkeys(found)))


def _governance(gateway: Gateway) -> Iterator[Finding]:
    from gateway.contracts.words import Environment

    ports = gateway.ports
    missing = ports.governance.missing(ports.clock.now())
    for gap in missing:
        yield Finding(
            "governance",
            Health.ILL,
            gap,
            "commits stay blocked until a complete record is signed: docs/operating.md, The governance record",
        )
    if not missing:
        yield Finding("governance", Health.WELL, f"admits commits in environment {ports.environment}")
    sandbox = ports.environment is Environment.SANDBOX
    record = ports.governance.sandbox if sandbox else ports.governance.record
    if record is not None and not missing and record.expires_at - ports.clock.now() < RENEWAL:
        do = "gateway seal signs a new one" if sandbox else "draft and sign a new one in time (gateway governance)"
        yield Finding("governance", Health.NOTE, f"the record ends on {record.expires_at:%Y-%m-%d}", do)


def _conformity(gateway: Gateway) -> Iterator[Finding]:
    """How long each connection's adapter is stated to conform; without a statement no gateway opens."""
    conformity, now = gateway.ports.conformity, gateway.ports.clock.now()
    if not conformity.needed:
        yield Finding("conformance", Health.WELL, f"no statement is needed in environment {gateway.ports.environment}")
    for name, stated in conformity.statements.items():
        covered = f"{name}: {stated.adapter} conforms, dialect {stated.facts.dialect}, {conformity.until(name, now)}"
        soon = stated.facts.expires_at - now < RENEWAL
        do = "run the suite again in time, then sign and install its statement (gateway conformance)" if soon else ""
        yield Finding("conformance", Health.NOTE if soon else Health.WELL, covered, do)


def _registry(gateway: Gateway) -> Iterator[Finding]:
    from gateway.cli.proposing import registry_of

    try:
        registry = registry_of(gateway)
        people, exposed = registry.people(), registry.exposed()
    except UsageError:
        name = gateway.ports.configuration.settings.resolver.name
        yield Finding("registry", Health.WELL, f"evidence comes from {name}")
        return
    except (DocumentError, OSError):
        yield Finding("registry", Health.ILL, "people.json cannot be read", "restore the practice registry")
        return
    if people.practice != gateway.ports.practice:
        yield Finding("registry", Health.ILL, "is of another practice", "name the right directory in gateway.json")
    if exposed:
        yield Finding("registry", Health.NOTE, "others may look into it", "set its directory's mode to 700")
    if not people.people:
        yield Finding("registry", Health.NOTE, "knows no staff", "gateway practice add-person --role reviewer")
    else:
        yield Finding("registry", Health.WELL, f"knows {len(people.people)} members of staff")


async def _connections(gateway: Gateway) -> AsyncIterator[Finding]:
    from gateway.contracts.failures import Refusal

    ports = gateway.ports
    for name, connection in sorted(ports.configuration.connections.items()):
        try:
            descriptor = ports.boundary.describe(name)
        except Refusal:
            do = "install its adapter (gateway adapters list), or mend its entry and seal"
            yield Finding("connection", Health.ILL, f"{name}: adapter {connection.adapter} cannot be used", do)
            continue
        if not ports.admits_commit(connection, ports.clock.now()):
            do = "gateway seal signs a sandbox record for its hosts; elsewhere the governance record must be complete"
            yield Finding("connection", Health.ILL, f"{name}: its hosts are not admitted", do)
        elif await ports.journal.suspended(name):
            yield Finding("connection", Health.NOTE, f"{name}: suspended", f"gateway connections resume {name}")
        else:
            words = ", ".join(operation.partition(".")[2].partition("@")[0] for operation in descriptor.operations)
            yield Finding("connection", Health.WELL, f"{name}: {connection.adapter} can {words}")
        if (wanted := wanted_secret(ports.configuration, connection)) is None:
            continue
        secret = f"{name}: {connection.credential.name}, for scheme {connection.credential.scheme}"
        if await ports.boundary.is_unlockable(name):
            yield Finding("secret", Health.WELL, f"{secret}, is at hand")
        else:
            do = f"it is {wanted}, of the user that the gateway runs as"
            yield Finding("secret", Health.ILL, f"{secret}, is missing, open to others or of another shape", do)
    if not ports.configuration.connections:
        yield Finding("connection", Health.NOTE, "none sealed", "gateway connections add FILE")


async def _keepers(gateway: Gateway) -> AsyncIterator[Finding]:
    ports = gateway.ports
    try:
        await ports.journal.ready()
    except GatewayError:
        yield Finding("audit", Health.ILL, "the journal would not acknowledge", "check the disk: space, mode, mount")
        return
    if await ports.sinks.ready():
        names = ", ".join(("journal", *ports.sinks.sinks))
        yield Finding("audit", Health.WELL, f"ready to acknowledge: {names}")
    else:
        names = ", ".join(ports.sinks.sinks)
        yield Finding("audit", Health.ILL, f"a sink is not ready, of: {names}", "mend it; nothing commits without it")


async def _unfinished(gateway: Gateway) -> AsyncIterator[Finding]:
    from gateway.contracts.words import Unfinished

    journal, clock = gateway.ports.journal, gateway.ports.clock
    latest = [file.links[-1].event.at for file in await journal.attempts(limit=1) if file.links]
    if latest and latest[0] > clock.now() + gateway.ports.skew:
        do = "find out which clock was wrong before committing anything"
        yield Finding("clock", Health.ILL, "the journal's latest event lies in the future", do)
    if gateway.recovered:
        do = "gateway list --unresolved"
        yield Finding("attempts", Health.NOTE, f"{len(gateway.recovered)} just closed: their process had died", do)
    if orphans := await journal.orphans():
        yield Finding("attempts", Health.ILL, f"{len(orphans)} are orphaned", "gateway recover")
    if unresolved := await journal.attempts(standing=Unfinished.UNRESOLVED, limit=10_000):
        do = "gateway list --unresolved; then gateway observe --unresolved and gateway resolve"
        yield Finding("attempts", Health.NOTE, f"{len(unresolved)} not known whether made", do)
    else:
        yield Finding("attempts", Health.WELL, "none orphaned, none unresolved")
