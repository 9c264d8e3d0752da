"""What a server says that it can do (CapabilityStatement), and what that proves about a write.

Owns: which statements prove, refute or leave open that this connection may write as its dialect does.
Refuses: to take what a server leaves unsaid for granted. A sealed connection may declare it: setting
`access-declared` stands for the account's right to write, `if-match-declared` for a server that keeps
versions without saying that it compares them, `operations-declared` for one that lists no operations at all.
None overrides anything that a server does say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from adapters.fhir.resources import Element
from gateway.contracts.adapter import Proof, Request
from gateway.kit.access import declared_access

IF_MATCH_DECLARED: Final = "if-match-declared"
OPERATIONS_DECLARED: Final = "operations-declared"


class Coded(Element):
    code: str


class Named(Element):
    name: str


class OnType(Element):
    type: str
    interaction: tuple[Coded, ...] = ()
    versioning: str | None = None
    conditional_create: bool = False
    update_create: bool = False
    operation: tuple[Named, ...] = ()

    @property
    def can(self) -> frozenset[str]:
        """Interactions by their codes, operations by their names, as `$book`."""
        operations = {f"${each.name.removeprefix('$')}" for each in self.operation}
        return frozenset({each.code for each in self.interaction} | operations)


class Rest(Element):
    mode: str
    resource: tuple[OnType, ...] = ()
    interaction: tuple[Coded, ...] = ()
    operation: tuple[Named, ...] = ()


class CapabilityStatement(Element):
    resource_type: Literal["CapabilityStatement"]
    fhir_version: str
    rest: tuple[Rest, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a write, and the reads around it, ask of a server.

    `reads` and `writes` are interactions and `$operations` by resource type (`""` for the whole system), `features`
    elements of the Appointment's statement that must be true, `compared` types whose versions the server must compare.
    """

    reads: Mapping[str, frozenset[str]]
    writes: Mapping[str, frozenset[str]]
    features: tuple[str, ...] = ()
    compared: frozenset[str] = field(default_factory=frozenset)


def proofs(statement: CapabilityStatement, needs: Needs, request: Request) -> tuple[Proof, Proof]:
    """(available, authorised). A statement may be made for the account that asks; one that leaves a write out refutes
    the right to it. One that lists it says what the server can do, not who may."""
    server = next((rest for rest in statement.rest if rest.mode == "server"), Rest(mode="server"))
    types = {each.type: each for each in server.resource}
    system = OnType(type="", interaction=server.interaction)

    def can(told: OnType, asked: frozenset[str]) -> bool:
        silent = not told.operation and request.settings.get(OPERATIONS_DECLARED) is True
        return {code for code in asked if not (silent and code.startswith("$"))} <= told.can

    def lacks(needed: Mapping[str, frozenset[str]]) -> bool:
        return not all(can(types.get(kind, _NOTHING) if kind else system, asked) for kind, asked in needed.items())

    appointment = types.get("Appointment", _NOTHING)
    sound = (
        statement.fhir_version.startswith("4.0")
        and not lacks(needs.reads)
        and all(getattr(appointment, feature) for feature in needs.features)
        and all(_compares(types.get(kind, _NOTHING), request) for kind in needs.compared)
    )
    available = Proof.PROVEN if sound else Proof.UNVERIFIABLE
    if lacks(needs.writes):
        return available, Proof.REFUTED
    return available, declared_access(request)


_NOTHING: Final = OnType(type="")


def _compares(kind: OnType, request: Request) -> bool:
    """Whether the server refuses a stale `If-Match` (valueset-versioning-policy.html)."""
    if kind.versioning == "versioned-update":
        return True
    return kind.versioning != "no-version" and request.settings.get(IF_MATCH_DECLARED) is True
