"""The commands of people who set a practice up and keep its records: init, connections add, seal, audit checkpoint.

Owns: that what is sealed is also signed for where it must be (the sandbox record), and where checkpoints are kept
(beside the home, never in it). Refuses: to seal over changes that nobody has seen, and to vouch for a journal that
does not verify.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gateway.cli.answer import Answer, answering
from gateway.cli.auditing import (
    CHECKPOINT_SUFFIX,
    Checkpoints,
    checkpoint_files,
    journal_at,
    read_checkpoint,
    trusted_keys,
)
from gateway.cli.options import HOME, Home, Json, Keys, Yes
from gateway.cli.session import existing, read_file
from gateway.errors import AuditTampered, ConfigurationError, Conflict, MalformedInput, UsageError
from gateway.surfaces.commands import agree

if TYPE_CHECKING:
    from gateway.config import Configuration
    from gateway.contracts.connection import Connection
    from gateway.surfaces.seat import Seat

SANDBOX_RECORD_HOLDS: Final = timedelta(days=90)


class Policy(StrEnum):
    """The shipped policies, spelled here so that `--help` needs no model."""

    STANDARD = "standard"
    TWO_PERSON = "two-person"


class Environment(StrEnum):
    SANDBOX = "sandbox"
    STAGING = "staging"
    PRODUCTION = "production"


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new directory.")],
    policy: Annotated[Policy, typer.Option("--policy", help="two-person: whoever approves may not trigger.")] = (
        Policy.STANDARD
    ),
    environment: Annotated[
        Environment, typer.Option("--environment", help="All but sandbox need a signed governance record to commit.")
    ] = Environment.SANDBOX,
    file_sink: Annotated[
        bool, typer.Option("--file-sink", help="Also keep the audit in a file, which must acknowledge.")
    ] = False,
    journal: Annotated[str, typer.Option("--journal", help="NAME.db in the home, or a PostgreSQL URL.")] = "journal.db",
    as_json: Json = False,
) -> None:
    """Make a practice on this machine: a sealed home, a registry, signing keys, a place for secrets."""
    with answering(as_json) as answer:
        from gateway.cli.page import facts_table, title
        from gateway.cli.timeline import Fact
        from gateway.cli.wording import Tone
        from gateway.contracts.words import Environment as Known
        from gateway.journal.opening import fault_of
        from gateway.surfaces.local import FILE_SINK, LocalPractice

        if fault := fault_of(journal):
            raise UsageError(f"--journal: {fault}")
        local = LocalPractice.create(
            directory,
            policy=policy.value,
            environment=Known(environment.value),
            sinks=(FILE_SINK,) if file_sink else (),
            journal=journal,
        )
        desk = local.desk
        places = {"home": "gateway", "registry": "practice", "keys": "keys", "secrets": "secrets"}
        steps = (
            f"export GATEWAY_HOME={directory / 'gateway'}",
            "gateway connections add FILE",
            "gateway practice add-patient, consent, identify",
            "gateway propose FILE --told, once the patient was told of it",
            "gateway review PROPOSAL --approve, gateway commit PROPOSAL",
            "gateway doctor says what is amiss; docs/operating.md, A first appointment",
        )
        facts = [Fact(name, str(directory / place)) for name, place in places.items()]
        facts += [Fact("practice", desk.practice), Fact("reviewer", desk.reviewer), Fact("operator", desk.operator)]
        facts += [Fact("next" if not number else "", step, Tone.STRONG) for number, step in enumerate(steps)]
        document = {
            "practice": desk.practice,
            "reviewer": desk.reviewer,
            "operator": desk.operator,
            "environment": environment.value,
            **{name: str(directory / place) for name, place in places.items()},
            "next": list(steps),
        }
        answer.give(document, [title("Practice", str(directory), "made and sealed"), facts_table(facts)])


def connections_add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A connection as JSON; - is stdin.")],
    replace: Annotated[bool, typer.Option("--replace", help="In place of the one with its connection_id.")] = False,
    yes: Yes = False,
    home: Home = HOME,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Add an external system: write its entry, seal anew, sign the sandbox record, tell the registry.

    Members: adapter, base_url, hosts (name:port), zone; credential, network, dialect, limits, settings as needed.
    connection_id and practice are filled in where they are left out.
    """
    with answering(as_json) as answer:
        from gateway import config, documents
        from gateway import home as homes
        from gateway.cli.connecting import wanted_secret
        from gateway.cli.page import facts_table
        from gateway.cli.proposing import registry_at
        from gateway.cli.timeline import Fact
        from gateway.cli.wording import Tone
        from gateway.contracts.connection import Connection
        from gateway.plugins import discover
        from gateway.surfaces.local import GOVERNANCE
        from gateway.surfaces.seat import Seat

        seat = Seat.find(keys, home)
        before = config.load(existing(home))
        connection = Connection.parse(_completed(read_file(file), before))
        if connection.practice != before.settings.practice:
            raise UsageError("practice: not this home's; one home serves one practice")
        known = before.connections.get(connection.connection_id)
        if known is not None and not replace:
            raise Conflict("connection_id: sealed already; pass --replace if that is meant")
        if connection.adapter not in (installed := discover().adapters()):
            raise UsageError(f"adapter: none of that name is installed; there are {', '.join(sorted(installed))}")
        if hosts := _unadmitted(seat, before, [*before.connections.values(), connection]):
            seat.key(GOVERNANCE)  # missing? then before anything is written
            question = (
                f"Sign a record that lets this sandbox reach {', '.join(hosts)} for {SANDBOX_RECORD_HOLDS.days} days?"
            )
            agree(answer, question, yes)
        name = f"{config.CONNECTIONS}/{connection.connection_id}.json"
        documents.write(home / name, documents.spell(connection), name)
        try:
            homes.seal(home)
        except ConfigurationError:
            _put_back(home / name, name, known)
            raise
        resolver = before.settings.resolver
        registry_at(home, resolver.name, resolver.options).enrol_connection(connection.connection_id)
        after = config.load(home)
        record = _sign_sandbox(seat, after)
        _sealed(answer, after, record, {"connection": connection.plain()}, f"added: {connection.connection_id}")
        if (wanted := wanted_secret(after, connection)) is not None:
            answer.give({"secret": wanted}, [facts_table([Fact("secret", f"it is {wanted}", Tone.STRONG)])])


def seal(yes: Yes = False, home: Home = HOME, keys: Keys = None, as_json: Json = False) -> None:
    """Seal the home's files as they are now, once somebody has reviewed what changed; sign the sandbox record."""
    with answering(as_json) as answer:
        from gateway import config
        from gateway import home as homes
        from gateway.surfaces.seat import Seat

        seat = Seat.find(keys, home)
        try:
            config.load(existing(home))
        except ConfigurationError as changed:
            if (screen := answer.aside()) is not None:
                screen.print(str(changed).partition(": if the change")[0], markup=False)
            agree(answer, "Seal these changes?", yes)
            homes.seal(home)
        after = config.load(home)
        _sealed(answer, after, _sign_sandbox(seat, after), {}, "sealed")


def audit_checkpoint(
    checkpoints: Checkpoints = None, home: Home = HOME, keys: Keys = None, as_json: Json = False
) -> None:
    """Sign what the journal holds now, so that nothing of it can vanish unseen. Keep copies elsewhere."""
    with answering(as_json) as answer:
        from gateway import documents
        from gateway.audit import checkpoint as checkpoints_of
        from gateway.audit.verify import verify_file
        from gateway.cli.page import marked
        from gateway.cli.wording import Tone
        from gateway.journal.opening import open_archive
        from gateway.signatures import Keyring
        from gateway.surfaces.local import CHECKPOINT
        from gateway.surfaces.seat import Seat
        from gateway.surfaces.sign import sign

        seat = Seat.find(keys, home)
        directory, journal = checkpoints or home.absolute().parent / "checkpoints", journal_at(None, home)
        if directory.resolve().is_relative_to(home.resolve()):
            raise UsageError("--checkpoints: kept outside the home, or whoever alters the journal alters them, too")
        held = [read_checkpoint(path) for path in checkpoint_files(directory)[-1:]]  # each lists everything
        keyring = Keyring(trusted_keys(home / "keys.json"))
        if not verify_file(journal, held, keyring).intact:
            raise AuditTampered("nothing was signed; run gateway audit verify")
        sealed = [checkpoints_of.read(text, keyring) for text in held]
        previous = max(sealed, key=lambda each: each.checkpoint.number, default=None)
        with open_archive(journal) as archive:
            statement, heads = checkpoints_of.draw(archive, seat.desk.practice, seat.clock.now(), previous)
        text = checkpoints_of.write(sign(statement, seat.key(CHECKPOINT)), heads)
        checkpoints_of.read(text, keyring)  # a key that is not trusted would make a checkpoint that nobody can use
        name = f"{statement.number:06d}{CHECKPOINT_SUFFIX}"
        documents.make_directory(directory)
        documents.write(directory / name, text.encode(), name, limit=checkpoints_of.MAX_HEADS_BYTES)
        said = f"checkpoint {statement.number} covers {statement.attempts} attempts, {statement.proposals} proposals"
        page = [marked(Tone.GOOD, said), marked(Tone.PLAIN, f"kept as {directory / name}; keep a copy elsewhere")]
        answer.give({"checkpoint": statement.plain(), "file": str(directory / name)}, page)


def _completed(content: bytes, configuration: Configuration) -> str:
    """The connection with its two references filled in where they were left out."""
    import json

    from gateway.contracts.canonical import load_json
    from gateway.contracts.references import ConnectionId

    plain: Any = load_json(content)
    if not isinstance(plain, dict):
        raise MalformedInput("FILE: not a JSON object; see gateway connections add --help")
    given = {"connection_id": ConnectionId.random(), "practice": configuration.settings.practice}
    return json.dumps({**given, **plain})


def _put_back(path: Path, name: str, known: Connection | None) -> None:
    from gateway import documents

    if known is None:
        path.unlink(missing_ok=True)
    else:
        documents.write(path, documents.spell(known), name)


def _unadmitted(seat: Seat, configuration: Configuration, connections: Iterable[Connection]) -> tuple[str, ...]:
    """The hosts that a sandbox reaches only with a signed record: all but loopback."""
    from gateway.contracts.words import Environment as Known
    from gateway.governance import Governance

    if configuration.settings.environment is not Known.SANDBOX:
        return ()
    bare, now = Governance(configuration, None, None), seat.clock.now()
    hosts = {host for connection in connections for host in connection.hosts}
    places = {host: host.rpartition(":") for host in hosts}
    return tuple(sorted(host for host, (name, _, port) in places.items() if not bare.admits_host(name, int(port), now)))


def _sign_sandbox(seat: Seat, configuration: Configuration) -> tuple[str, ...]:
    """Sign a record that admits this seal's hosts beyond loopback; the hosts, or nothing where none is needed."""
    from gateway import documents
    from gateway.governance import SANDBOX_FILE, SandboxRecord
    from gateway.surfaces.local import GOVERNANCE
    from gateway.surfaces.sign import sign

    hosts = _unadmitted(seat, configuration, configuration.connections.values())
    if not hosts:
        (configuration.home / SANDBOX_FILE).unlink(missing_ok=True)
        return ()
    now = seat.clock.now()
    record = SandboxRecord(
        practice=configuration.settings.practice,
        issued_at=now,
        seal=configuration.seal_digest,
        hosts=hosts,
        expires_at=now + SANDBOX_RECORD_HOLDS,
    )
    documents.write(configuration.home / SANDBOX_FILE, sign(record, seat.key(GOVERNANCE)).encode(), SANDBOX_FILE)
    return hosts


def _sealed(answer: Answer, after: Configuration, hosts: tuple[str, ...], document: dict[str, Any], said: str) -> None:
    from gateway.cli.page import facts_table, marked
    from gateway.cli.timeline import Fact
    from gateway.cli.wording import Tone
    from gateway.contracts.words import Environment as Known

    facts = [Fact("seal", after.seal_digest)]
    if hosts:
        facts.append(Fact("sandbox", f"a signed record admits {', '.join(hosts)} for 90 days"))
    if after.settings.environment is not Known.SANDBOX:
        facts.append(Fact("governance", "the governance record must be signed anew for this seal", Tone.CARE))
        facts.append(
            Fact("conformance", "each adapter needs a statement: gateway doctor says which lacks one", Tone.CARE)
        )
    answer.give(
        {**document, "seal": after.seal_digest, "sandbox_hosts": list(hosts)},
        [marked(Tone.GOOD, said), facts_table(facts)],
    )
