"""`gateway propose FILE`: a patient's request becomes a recorded proposal.

Owns: the request that the practice's staff write. It says what is meant (particulars); the practice registry keeps
that and gives the proposal that commits to it; only the proposal, made of references, reaches the journal.
Registering and recording are two writes: particulars of a proposal that was never recorded mean nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.answer import answering
from gateway.cli.options import HOME, Home, Json
from gateway.cli.session import read_file, with_gateway
from gateway.errors import MalformedInput, UsageError

if TYPE_CHECKING:
    from gateway.contracts.proposal import Proposal
    from gateway.gateway import Gateway
    from gateway.journal import ProposalFile
    from gateway.practice.registry import Registry


def propose(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A request, or a complete proposal; - is stdin.")],
    told: Annotated[
        bool, typer.Option("--told", help="The patient was told of exactly this, and that it cannot be undone.")
    ] = False,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Record what a patient asked for. Recording commits nothing.

    A request is JSON: operation (book, reschedule or cancel), connection, initiator (psn_…), particulars (patient,
    participants, location, service, start, end, zone; target with appointment and version unless booking), and
    expires_at. To revise a proposal, name it in proposal_id.
    """
    with answering(as_json) as answer:
        from gateway.cli.page import facts_table, title
        from gateway.cli.timeline import Fact
        from gateway.cli.wording import OPERATIONS, Tone, day_time

        content = read_file(file)

        async def work(gateway: Gateway) -> ProposalFile:
            proposal = await _proposal(gateway, content)
            if told:
                registry_of(gateway).record_notice(proposal)
            return await gateway.propose(proposal.canonical())

        recorded = with_gateway(home, work).proposal
        facts = [
            Fact("operation", f"{OPERATIONS[recorded.operation]} ({recorded.operation})"),
            Fact("revision", str(recorded.revision)),
            Fact("connection", recorded.connection),
            Fact("expires", day_time(recorded.expires_at)),
            Fact("digest", recorded.proposal_digest),
            Fact("next", f"gateway review {recorded.proposal_id}", Tone.STRONG),
        ]
        document = {"proposal": recorded.plain(), "digest": recorded.proposal_digest}
        answer.give(document, [title("Proposal", recorded.proposal_id, "recorded"), facts_table(facts)])


async def _proposal(gateway: Gateway, content: bytes) -> Proposal:
    """A complete proposal as it is, or the one that the registry makes of a request."""
    from gateway.contracts.canonical import load_json
    from gateway.contracts.proposal import Operation, Proposal

    plain: Any = load_json(content)
    if not isinstance(plain, dict):
        raise MalformedInput("FILE: not a JSON object; see gateway propose --help")
    if "commitment" in plain:
        return Proposal.parse(content)
    words = {operation.value.partition(".")[2].partition("@")[0]: operation.value for operation in Operation}
    operation = plain.get("operation")
    if isinstance(operation, str) and operation in words:
        plain = {**plain, "operation": words[operation]}
    return await _registered(gateway, plain)


async def _registered(gateway: Gateway, plain: dict[str, Any]) -> Proposal:
    import json

    from gateway.cli.request import ProposalRequest
    from gateway.contracts.proposal import Operation

    request = ProposalRequest.parse(json.dumps(plain))
    if request.connection not in gateway.ports.configuration.connections:
        raise UsageError("connection: none sealed under that reference; see gateway connections list")
    if (request.operation is Operation.BOOK) != (request.particulars.target is None):
        raise UsageError("particulars.target: a reschedule or cancellation names its appointment; a booking has none")
    if request.expires_at <= gateway.ports.clock.now():
        raise UsageError("expires_at: must lie ahead")
    known = None
    if request.proposal_id is not None:
        known = await gateway.ports.journal.proposal(gateway.ports.practice, request.proposal_id)
        if known is None:
            raise UsageError("proposal_id: no such proposal to revise; leave it out for a new one")
    return registry_of(gateway).propose(
        connection=request.connection,
        operation=request.operation,
        initiator=request.initiator,
        particulars=request.particulars,
        expires_at=request.expires_at,
        proposal=request.proposal_id,
        revision=known.proposal.revision + 1 if known else 1,
    )


def registry_of(gateway: Gateway) -> Registry:
    """The practice registry that this gateway asks; raises `UsageError` where it asks another source."""
    configuration = gateway.ports.configuration
    return registry_at(
        configuration.home, configuration.settings.resolver.name, configuration.settings.resolver.options
    )


def registry_at(home: Path, name: str, options: dict[str, str]) -> Registry:
    from gateway.practice.plugin import NAME
    from gateway.practice.registry import Registry

    if name != NAME:
        raise UsageError(f"this gateway asks {name} instead of a practice registry; register it there")
    return Registry((home / options["directory"]).resolve())
