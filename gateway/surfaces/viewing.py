"""What a reviewer sees before deciding (C-37): resolved live by the practice's own registry, kept nowhere.

Owns: the check that what is shown is what the proposal commits to. The patient stays an opaque reference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from zoneinfo import ZoneInfo

from gateway.cli.proposing import registry_of
from gateway.cli.timeline import Fact
from gateway.cli.wording import OPERATIONS, Tone
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.proposal import Operation, Particulars, Proposal
from gateway.errors import UsageError
from gateway.gateway import Gateway
from gateway.hookspecs import Resolved
from gateway.plugins import discover
from gateway.practice.sources import RegistryResolver

IRREVERSIBLE = "This cannot be undone by the gateway: changing it back is a new proposal and a new approval."


async def resolve(gateway: Gateway, proposal: Proposal) -> Resolved:
    """What the proposal's references mean at this moment; raises `Refusal` unless that is one thing, and the
    very one that was proposed."""
    configuration = gateway.ports.configuration
    resolver = discover().reference_resolver(configuration.settings.resolver, configuration.home)
    found = await resolver.resolve(proposal)
    if not found:
        raise await asyncio.to_thread(_missing, gateway, proposal)
    if len(found) > 1:
        raise Refusal(Code.PARTICULARS_AMBIGUOUS)
    if found[0].particulars.commitment(found[0].salt) != proposal.commitment:
        raise Refusal(Code.PARTICULARS_CHANGED)
    return found[0]


class Unidentified(Refusal):
    """`PARTICULARS_MISSING`, told to a person of the practice: its references are opaque and may be named to them."""

    def __init__(self, do: str) -> None:
        super().__init__(Code.PARTICULARS_MISSING)
        self.args = (f"{self}; {do}",)


def _missing(gateway: Gateway, proposal: Proposal) -> Refusal:
    try:
        registry, connection = registry_of(gateway), proposal.connection
    except UsageError:  # of another resolver nobody here knows what it lacks
        return Refusal(Code.PARTICULARS_MISSING)
    if references := RegistryResolver(registry).unidentified(proposal):
        commands = (f"gateway practice identify {connection} {each} IDENTIFIER" for each in references)
        return Unidentified(f"say what that system calls them: {'; '.join(commands)}")
    if registry.connection(connection) is None:
        return Unidentified(f"say that the connection is yours: gateway practice add-connection {connection}")
    return Unidentified("the particulars were never registered, or are gone: propose anew")


def view(proposal: Proposal, resolved: Resolved) -> Sequence[Fact]:
    """What the reviewer signs for, in words."""
    particulars, names = resolved.particulars, resolved.identifiers
    facts = [
        Fact("operation", OPERATIONS[proposal.operation], Tone.STRONG),
        Fact("service", _named(particulars.service, names)),
        *(Fact(each.role.value, _named(each.participant, names)) for each in particulars.participants),
        Fact("start", _local(particulars, "start"), Tone.STRONG),
        Fact("end", _local(particulars, "end")),
        Fact("place", _named(particulars.location, names)),
        Fact("patient", particulars.patient),
    ]
    if particulars.reason is not None:
        facts.append(Fact("reason", particulars.reason))
    if particulars.target is not None:
        word = "moves" if proposal.operation is Operation.RESCHEDULE else "cancels"
        facts.append(Fact(word, particulars.target.appointment))
    return [*facts, Fact("", IRREVERSIBLE, Tone.CARE)]


def _local(particulars: Particulars, which: str) -> str:
    at = (particulars.start if which == "start" else particulars.end).astimezone(ZoneInfo(particulars.zone))
    return f"{at:%A %Y-%m-%d %H:%M} {particulars.zone} (UTC{at:%z})"


def _named(reference: str, names: Mapping[str, str]) -> str:
    """The external system's word for it, where there is one; it may hold nothing that steers a terminal."""
    if reference not in names:
        return reference
    word = "".join(letter if letter.isprintable() else "?" for letter in names[reference])
    return f"{word}  ({reference})"
