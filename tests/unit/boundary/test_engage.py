"""References resolved afresh, and held against what was approved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from gateway.config import Bounds
from gateway.contracts.adapter import Idempotency, Readiness, Request, native_key
from gateway.contracts.connection import Connection
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.proposal import Operation, Proposal, Target
from gateway.contracts.references import AppointmentId, ConnectionId, PatientId, PracticeId

OTHER_SALT = "ab" * 32


async def refused(practice: Any) -> Code:
    with pytest.raises(Refusal) as refusal:
        await practice.engage()
    assert practice.guest.called == []
    return refusal.value.code


@pytest.mark.requirement("CARD-09")
async def test_particulars_that_match_the_approved_commitment_are_engaged(practice: Any) -> None:
    engagement = await practice.engage()
    assert engagement.connection is practice.connection
    assert engagement.descriptor.adapter == "guest"


@pytest.mark.requirement("CARD-09")
async def test_an_hour_moved_since_the_approval_blocks(practice: Any) -> None:
    moved = practice.particulars.model_copy(update={"end": practice.particulars.end.replace(minute=45)})
    practice.registry.matches = [practice.resolved(particulars=moved)]
    assert await refused(practice) is Code.PARTICULARS_CHANGED


@pytest.mark.requirement("CARD-09")
async def test_another_salt_is_another_commitment(practice: Any) -> None:
    practice.registry.matches = [practice.resolved(salt=OTHER_SALT)]
    assert await refused(practice) is Code.PARTICULARS_CHANGED


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize(("count", "code"), [(0, Code.PARTICULARS_MISSING), (2, Code.PARTICULARS_AMBIGUOUS)])
async def test_none_and_several_matches_block(practice: Any, count: int, code: Code) -> None:
    practice.registry.matches = [practice.resolved()] * count
    assert await refused(practice) is code


@pytest.mark.requirement("CARD-09")
async def test_every_attempt_asks_the_practice_again(practice: Any) -> None:
    boundary = practice.boundary()
    await boundary.engage(practice.proposal)
    practice.registry.matches = []
    with pytest.raises(Refusal) as refusal:
        await boundary.engage(practice.proposal)
    assert refusal.value.code is Code.PARTICULARS_MISSING


@pytest.mark.parametrize("error", [RuntimeError, SystemExit, asyncio.CancelledError])
async def test_a_registry_that_fails_blocks_without_its_words(practice: Any, error: type[BaseException]) -> None:
    practice.registry.failing = error("canary")
    with pytest.raises(Refusal) as refusal:
        await practice.engage()
    assert refusal.value.code is Code.EVIDENCE_UNAVAILABLE
    assert "canary" not in repr(refusal.value)
    assert refusal.value.__context__ is None


async def test_registry_and_adapter_are_asked_about_the_proposal_and_its_connection(
    practice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    resolve, describe = practice.registry.resolve, practice.guest.describe

    async def resolving(proposal: Proposal) -> Any:
        asked.append(proposal)
        return await resolve(proposal)

    def describing(connection: Connection) -> Any:
        asked.append(connection)
        return describe(connection)

    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        asked.append((request.operation, request.connection))
        await read.get("ready")
        return Readiness.proven()

    monkeypatch.setattr(practice.registry, "resolve", resolving)
    monkeypatch.setattr(practice.guest, "describe", describing)
    practice.guest.ready = ready
    assert await (await practice.engage()).readiness() is None
    proposal, connection = practice.proposal, practice.connection
    assert asked == [connection, proposal, (proposal.operation, connection)]


async def test_a_registry_that_does_not_answer_in_time_blocks(practice: Any, hurried: Bounds) -> None:
    async def resolve(proposal: object) -> None:
        await asyncio.Event().wait()

    practice.registry.resolve = resolve
    practice.bounds = hurried
    assert await refused(practice) is Code.EVIDENCE_UNAVAILABLE


async def test_a_registry_that_answers_nonsense_blocks(practice: Any) -> None:
    answers = (
        None,
        7,
        "resolved",
        [None],
        [practice.resolved(salt="short")],
        [practice.resolved(salt=None)],
        [practice.resolved(particulars="x")],
        [practice.resolved(identifiers={"a": 7})],
        [practice.resolved(identifiers=None)],
    )
    for matches in answers:
        practice.registry.matches = matches
        assert await refused(practice) is Code.EVIDENCE_UNAVAILABLE


async def test_particulars_of_another_patient_contradict_the_proposal(practice: Any) -> None:
    practice.proposal = practice.proposal.model_copy(update={"patient": PatientId.random()})
    assert await refused(practice) is Code.CONTEXT_INVALID


async def test_particulars_of_another_target_contradict_the_proposal(practice_at: Callable[..., Any]) -> None:
    practice = practice_at("http://127.0.0.1:1/", ("127.0.0.1:1",), Operation.CANCEL)
    other = Target(appointment=AppointmentId.random(), version=practice.proposal.target.version)
    practice.proposal = practice.proposal.model_copy(update={"target": other})
    assert await refused(practice) is Code.CONTEXT_INVALID


async def test_an_unknown_connection_or_one_of_another_practice_is_refused(practice: Any) -> None:
    known = practice.proposal
    for change in ({"connection": ConnectionId.random()}, {"practice": PracticeId.random()}):
        practice.proposal = known.model_copy(update=change)
        assert await refused(practice) is Code.CONNECTION_UNKNOWN


async def test_a_connection_without_its_adapter_is_unknown(practice: Any) -> None:
    practice.connection = practice.connection.model_copy(update={"adapter": "not-installed"})
    assert await refused(practice) is Code.CONNECTION_UNKNOWN


@pytest.mark.requirement("MUT-09")
async def test_an_undeclared_operation_is_refused(practice: Any) -> None:
    practice.guest.claims = {"operations": (Operation.CANCEL,)}
    assert await refused(practice) is Code.OPERATION_UNSUPPORTED


@pytest.mark.requirement("CARD-12")
@pytest.mark.parametrize("idempotency", Idempotency)
async def test_a_relay_that_redelivers_needs_a_key_that_the_vendor_refuses_twice(
    practice: Any, idempotency: Idempotency
) -> None:
    practice.guest.claims = {"redelivers": True, "idempotency": idempotency}
    if idempotency is Idempotency.UNIQUE:
        await practice.engage()
    else:
        assert await refused(practice) is Code.OPERATION_UNSUPPORTED


async def test_a_booking_is_called_by_its_native_key(practice: Any) -> None:
    proposal = practice.proposal
    key = native_key(proposal.practice, proposal.proposal_digest, proposal.operation)
    assert (await practice.engage()).reference == key


@pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL])
async def test_a_change_is_called_by_the_appointment_it_changes(
    practice_at: Callable[..., Any], operation: Operation
) -> None:
    practice = practice_at("http://127.0.0.1:1/", ("127.0.0.1:1",), operation)
    engagement = await practice.engage()
    assert engagement.reference == practice.proposal.target.appointment
    assert f"target|{engagement.reference}" in engagement.siblings


async def test_siblings_are_each_slot_the_patients_hour_and_the_target(practice: Any) -> None:
    particulars, connection = practice.particulars, practice.connection.connection_id
    start = "2031-03-04T09:00:00+00:00"
    assert (await practice.engage()).siblings == (
        *(f"slot|{connection}|{each.participant}|{start}" for each in particulars.participants),
        f"patient|{particulars.patient}|{start}",
    )
