"""`gateway practice …`: the practice's own entries in its registry.

The registry is the practice's, not the gateway's: these commands write what the practice knows, and commit nothing.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gateway.cli.answer import Answer, answering
from gateway.cli.options import HOME, Home, Json, exactly_one
from gateway.cli.session import existing, reference, with_gateway
from gateway.errors import UsageError

if TYPE_CHECKING:
    from gateway.gateway import Gateway
    from gateway.practice.records import Identified
    from gateway.practice.registry import Registry

PatientArgument = Annotated[str, typer.Argument(metavar="PATIENT", help="A pat_… reference.")]
ConnectionArgument = Annotated[str, typer.Argument(metavar="CONNECTION", help="A con_… reference.")]


class Role(StrEnum):
    """The registry's roles, spelled here so that `--help` needs no model."""

    REVIEWER = "reviewer"
    OPERATOR = "operator"


class Kind(StrEnum):
    """Kinds of references that a vendor may know by identifiers of its own."""

    PATIENT = "patient"
    PARTICIPANT = "participant"
    LOCATION = "location"
    SERVICE = "service"


EVERY_KIND: Final = list(Kind)


def add_person(
    role: Annotated[list[Role], typer.Option("--role", help="What they may do; may be given twice.")],
    person: Annotated[str | None, typer.Option("--person", help="A psn_… reference.", show_default="a new one")] = None,
    inactive: Annotated[bool, typer.Option("--inactive", help="No longer known to the practice.")] = False,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Enrol a member of staff, or replace what is recorded about them."""
    with answering(as_json) as answer:
        from gateway.contracts.references import PersonId
        from gateway.practice.records import StaffRole

        named = reference(PersonId, person, "--person") if person else PersonId.random()
        _registry(home).enrol_person(named, [StaffRole(each.value) for each in role], active=not inactive)
        _say(answer, {"person": named, "roles": [each.value for each in role], "active": not inactive}, named)


def add_patient(
    patient: Annotated[str | None, typer.Option("--patient", help="A pat_… reference.", show_default="new")] = None,
    unidentified: Annotated[bool, typer.Option("--unidentified", help="Nobody has checked who this is yet.")] = False,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Enrol a patient by an opaque reference."""
    with answering(as_json) as answer:
        from gateway.contracts.references import PatientId

        named = reference(PatientId, patient, "--patient") if patient else PatientId.random()
        _registry(home).enrol_patient(named, identified=not unidentified)
        _say(answer, {"patient": named, "identified": not unidentified}, named)


def consent(
    patient: PatientArgument,
    given: Annotated[bool, typer.Option("--given", help="Consent for scheduling is in force.")] = False,
    withdrawn: Annotated[bool, typer.Option("--withdrawn", help="It no longer is.")] = False,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Record consent given or withdrawn."""
    with answering(as_json) as answer:
        from gateway.contracts.references import PatientId

        in_force = exactly_one(given=given, withdrawn=withdrawn) == "given"
        named = reference(PatientId, patient, "PATIENT")
        recorded = _registry(home).set_consent(named, in_force=in_force)
        word = "in force" if in_force else "withdrawn"
        _say(answer, {"patient": named, "in_force": in_force, "consent": recorded}, f"consent of {named} is {word}")


def told(
    proposal: Annotated[str, typer.Argument(metavar="PROPOSAL", help="A prp_… reference.")],
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Record that the patient was told of exactly this proposal, and that it cannot be undone."""
    with answering(as_json) as answer:
        from gateway.cli.proposing import registry_of
        from gateway.contracts.references import ProposalId

        named = reference(ProposalId, proposal, "PROPOSAL")

        async def work(gateway: Gateway) -> None:
            registry_of(gateway).record_notice((await gateway.proposal(named)).proposal)

        with_gateway(home, work)
        _say(answer, {"proposal": named, "told": True}, f"the patient was told of {named}")


def add_connection(
    connection: ConnectionArgument,
    kind: Annotated[
        list[Kind], typer.Option("--kind", help="A kind that its system identifies; may be repeated.")
    ] = EVERY_KIND,
    none: Annotated[bool, typer.Option("--no-kinds", help="Its system identifies none of them.")] = False,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Say that a connection is the practice's own, and what its system has identifiers for."""
    with answering(as_json) as answer:
        from gateway.contracts.references import ConnectionId
        from gateway.practice.records import Kind as Known

        named = reference(ConnectionId, connection, "CONNECTION")
        kinds = [] if none else [Known(each.value) for each in kind]
        _registry(home).enrol_connection(named, kinds)
        _say(answer, {"connection": named, "kinds": [each.value for each in kinds]}, named)


def identify(
    connection: ConnectionArgument,
    subject: Annotated[str, typer.Argument(metavar="REFERENCE", help="pat_…, par_…, loc_… or svc_….")],
    identifier: Annotated[str, typer.Argument(metavar="IDENTIFIER", help="What the external system calls it.")],
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Record the external system's identifier of a reference. It is kept in the registry and not repeated."""
    with answering(as_json) as answer:
        from gateway import config
        from gateway.contracts.references import ConnectionId

        named = reference(ConnectionId, connection, "CONNECTION")
        meant = _identified(subject)
        if not 1 <= len(identifier) <= 500:
            raise UsageError("IDENTIFIER: must have 1 to 500 characters")
        if named not in config.load(existing(home)).connections:
            raise UsageError("CONNECTION: none sealed under that reference; see gateway connections list")
        _registry(home).map_identifier(named, meant, identifier)
        _say(answer, {"connection": named, "reference": meant}, meant)


def _identified(text: str) -> Identified:
    from gateway.contracts.references import LocationId, ParticipantId, PatientId, ServiceId

    kinds: dict[str, type[Identified]] = {
        "pat": PatientId,
        "par": ParticipantId,
        "loc": LocationId,
        "svc": ServiceId,
    }
    kind = kinds.get(text.partition("_")[0])
    if kind is None:
        raise UsageError("REFERENCE: must be a pat_, par_, loc_ or svc_ reference")
    return reference(kind, text, "REFERENCE")


def _registry(home: Path) -> Registry:
    """The registry that the home's settings name, without opening the gateway."""
    from gateway import config, documents
    from gateway.cli.proposing import registry_at

    settings = documents.load(config.Settings, existing(home) / config.SETTINGS, config.SETTINGS)
    assert settings is not None  # `existing` has seen the file
    return registry_at(home, settings.resolver.name, settings.resolver.options)


def _say(answer: Answer, document: dict[str, Any], text: str) -> None:
    from gateway.cli.page import marked
    from gateway.cli.wording import Tone

    answer.give(document, [marked(Tone.GOOD, f"recorded: {text}")])
