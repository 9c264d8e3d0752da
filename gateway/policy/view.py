"""What a policy may see: one fixed, versioned selection of metadata per view.

Owns: the inputs of an evaluation, what counts as a write (MUT-06), and the request that each view makes of
them. Refuses: anything but closed words and opaque references; no view can be made at run time (POLICY-08).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from gateway.contracts.proposal import Operation, Origin
from gateway.contracts.references import PersonId
from gateway.contracts.statements import Choice, Purpose, TriggerKind
from gateway.contracts.words import Environment, GateName, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyInputs:
    """Everything that a ruling depends on; equal inputs under one version give equal rulings (POLICY-07).

    `operation` is any requested tool name, so that a forbidden one can be denied by name. `gates` are those
    that passed in this attempt. `approver` is None where a read-only attempt relies on no approval;
    `answer` is the signed answer to an earlier decision signal. `risk` is the connection's sealed tier.
    """

    trigger: TriggerKind
    purpose: Purpose
    operation: str
    environment: Environment
    origin: Origin
    initiator: PersonId
    operator: PersonId
    gates: tuple[GateName, ...]
    approver: PersonId | None = None
    risk: Severity = Severity.LOW
    answer: Choice | None = None


def is_write(operation: str, purpose: Purpose) -> bool:
    """MIG-06 §4.3: all but a check or observation of a scheduling operation.

    The reads are what is listed, so messages, notifications, tool mutations, persisted payloads, clinical
    state and whatever is invented next are writes.
    """
    return operation not in frozenset(Operation) or purpose not in (Purpose.CHECK, Purpose.OBSERVE)


def _person(person: PersonId) -> dict[str, dict[str, str]]:
    return {"__entity": {"type": "Person", "id": str(person)}}


def _scheduling_commit(inputs: PolicyInputs) -> dict[str, Any]:
    context: dict[str, Any] = {
        "trigger": str(inputs.trigger),
        "purpose": str(inputs.purpose),
        "write": is_write(inputs.operation, inputs.purpose),
        "origin": str(inputs.origin),
        "gates": sorted(inputs.gates),
        "risk": str(inputs.risk),
        "initiator": _person(inputs.initiator),
    }
    if inputs.approver is not None:
        context["approver"] = _person(inputs.approver)
    if inputs.answer is not None:
        context["answer"] = str(inputs.answer)
    return {
        "principal": {"type": "Person", "id": str(inputs.operator)},
        "action": {"type": "Action", "id": str(inputs.operation)},
        "resource": {"type": "Environment", "id": str(inputs.environment)},
        "context": context,
    }


VIEWS: Final[Mapping[tuple[str, int], Callable[[PolicyInputs], dict[str, Any]]]] = MappingProxyType(
    {("scheduling-commit", 1): _scheduling_commit}
)
