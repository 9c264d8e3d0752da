"""Proposals and particulars: what may be asked, and the commitment that binds it."""

from __future__ import annotations

import json
import secrets
from enum import EnumType
from typing import Any

import pytest

from gateway.contracts.proposal import Notice, Operation, Origin, Particulars, Proposal
from gateway.errors import InvalidInput

SALT = "00112233445566778899aabbccddeeff" * 2


def proposal(document: dict[str, Any], **changes: Any) -> Proposal:
    return Proposal.parse(json.dumps(document | changes))


@pytest.mark.requirement("MUT-02", "ADAPT-09", "FAIL-25")
def test_the_commit_operations_are_book_reschedule_and_cancel_and_nothing_undoes_them() -> None:
    assert [str(operation) for operation in Operation] == [
        "schedule.book@v1",
        "schedule.reschedule@v1",
        "schedule.cancel@v1",
    ]


@pytest.mark.requirement("MUT-01")
def test_the_communication_mutations_are_exactly_the_two_of_the_allow_list() -> None:
    assert [str(notice) for notice in Notice] == ["comm.send_message@v1", "comm.create_notification@v1"]


@pytest.mark.requirement("MUT-01")
def test_the_allow_list_cannot_grow_at_run_time() -> None:
    with pytest.raises(TypeError):
        EnumType("Wider", (Notice,), EnumType.__prepare__("Wider", (Notice,)))
    with pytest.raises(ValueError, match="not a valid"):
        Notice("clinical.sign@v1")


@pytest.mark.requirement("MUT-02", "MUT-07")
@pytest.mark.parametrize(
    "operation",
    [
        "schedule.delete@v1",
        "schedule.book@v2",
        "SCHEDULE.BOOK@V1",
        "comm.send_message@v1",
        "clinical.sign@v1",
        "clinical.attest@v1",
        "encounter.finalize@v1",
        "record.lock@v1",
        "*",
        "",
    ],
)
def test_no_other_operation_can_be_proposed(operation: str, examples: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(InvalidInput) as refusal:
        proposal(examples["Proposal"], operation=operation)
    assert [fault.field for fault in refusal.value.faults] == ["operation"]


@pytest.mark.requirement("TRIG-09")
def test_a_proposal_is_one_action_and_cannot_be_a_batch(examples: dict[str, dict[str, Any]]) -> None:
    document = examples["Proposal"]
    for batch in ([document, document], {"proposals": [document]}):
        with pytest.raises(InvalidInput):
            Proposal.parse(json.dumps(batch))
    for field in ("operation", "patient", "target", "commitment"):
        with pytest.raises(InvalidInput):
            proposal(document, **{field: [document[field], document[field]]})


@pytest.mark.requirement("TRIG-10")
@pytest.mark.parametrize("field", ["urgent", "emergency", "priority", "override", "bypass", "force", "skip_approval"])
def test_nothing_in_a_proposal_can_ask_for_a_faster_path(field: str, examples: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(InvalidInput):
        proposal(examples["Proposal"], **{field: True})


def test_who_asked_is_one_of_three() -> None:
    assert [str(origin) for origin in Origin] == ["patient", "provider", "system"]


@pytest.mark.parametrize("operation", ["schedule.reschedule@v1", "schedule.cancel@v1"])
def test_only_a_booking_has_no_target(operation: str, examples: dict[str, dict[str, Any]]) -> None:
    document = examples["Proposal"]
    assert proposal(document, operation=operation).target is not None
    with pytest.raises(InvalidInput):
        proposal({name: value for name, value in document.items() if name != "target"}, operation=operation)
    with pytest.raises(InvalidInput):
        proposal(document, operation="schedule.book@v1")


@pytest.mark.parametrize("expires_at", ["2026-01-05T09:00:00Z", "2026-01-05T08:59:59Z"])
def test_a_proposal_must_expire_after_it_was_made(expires_at: str, examples: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(InvalidInput):
        proposal(examples["Proposal"], expires_at=expires_at)


@pytest.mark.requirement("AUTH-06")
def test_any_change_of_a_proposal_changes_its_digest(examples: dict[str, dict[str, Any]]) -> None:
    document = examples["Proposal"]
    other = "fedcba9876543210fedcba9876543210"
    changes: list[dict[str, Any]] = [
        {"revision": 2},
        {"operation": "schedule.cancel@v1"},
        {"origin": "provider"},
        {"consent": other * 2},
        {"commitment": other * 2},
        {"target": document["target"] | {"version": other * 2}},
        {"expires_at": "2026-01-05T10:00:00.000001Z"},
        {"created_at": "2026-01-05T08:00:00Z"},
    ]
    changes += [
        {field: document[field][:4] + other}
        for field in ("proposal_id", "practice", "connection", "initiator", "patient")
    ]
    digests = {proposal(document, **change).proposal_digest for change in [{}, *changes]}
    assert len(digests) == len(changes) + 1


@pytest.mark.requirement("CARD-09")
def test_any_change_of_the_particulars_or_the_salt_changes_the_commitment(examples: dict[str, dict[str, Any]]) -> None:
    document = examples["Particulars"]
    other = "fedcba9876543210fedcba9876543210"
    changes: list[dict[str, Any]] = [
        {"patient": f"pat_{other}"},
        {"participants": [{"role": "device", "participant": document["participants"][0]["participant"]}]},
        {"participants": document["participants"] * 2},
        {"location": f"loc_{other}"},
        {"service": f"svc_{other}"},
        {"reason": "follow-up"},
        {"start": "2026-01-05T09:00:00.000001Z"},
        {"end": "2026-01-05T11:00:00Z"},
        {"zone": "Europe/Berlin"},
        {"target": document["target"] | {"version": other * 2}},
    ]
    commitments = {Particulars.parse(json.dumps(document | change)).commitment(SALT) for change in [{}, *changes]}
    assert len(commitments) == len(changes) + 1
    particulars = Particulars.parse(json.dumps(document))
    assert particulars.commitment(SALT) != particulars.commitment(secrets.token_hex(32))


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", "/etc/localtime", "", "europe/zurich\n"])
def test_a_zone_is_one_that_the_time_zone_database_knows(zone: str, examples: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(InvalidInput) as refusal:
        Particulars.parse(json.dumps(examples["Particulars"] | {"zone": zone}))
    assert [fault.field for fault in refusal.value.faults] == ["zone"]


def test_an_appointment_ends_after_it_starts(examples: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(InvalidInput):
        Particulars.parse(json.dumps(examples["Particulars"] | {"end": "2026-01-05T09:00:00Z"}))
