"""What is found afterwards, and by which key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.contracts.adapter import Basis
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding
from tests.unit.adapters.hl7v2.conftest import BLIND, KEY, answering, booked_version, key_of

Asking = Callable[..., Any]


async def test_without_queries_nothing_is_found(partner: Any, asking: Asking) -> None:
    found = await partner.look(asking(settings=BLIND))
    assert (found.finding, found.basis, partner.heard) == (ObservationFinding.INDETERMINATE, Basis.NONE, [])


@pytest.mark.requirement("CARD-01", "CARD-03")
@pytest.mark.parametrize(
    ("details", "finding"),
    [
        ({}, ObservationFinding.PRESENT),
        ({"status": "Pending"}, ObservationFinding.INDETERMINATE),
        ({"status": "Waitlist"}, ObservationFinding.DIFFERENT),
        ({"status": "Cancelled"}, ObservationFinding.DIFFERENT),
        ({"times": "^^^20310303110000^20310303113000"}, ObservationFinding.DIFFERENT),
        ({"group": "a later request"}, ObservationFinding.DIFFERENT),
    ],
)
async def test_a_booking_is_found_as_it_stands(
    partner: Any, asking: Asking, says: Any, shows: Any, details: Any, finding: ObservationFinding
) -> None:
    request = asking()
    partner.says["/SQM/S25"] = answering(says, shows(key_of(request), **details), status="OK")
    assert (await partner.look(request)).finding is finding


@pytest.mark.requirement("CARD-03", "CARD-06")
async def test_a_change_is_known_by_its_own_key(partner: Any, asking: Asking, says: Any, shows: Any) -> None:
    _, version = await booked_version(partner, asking, says, shows)
    request = asking(Operation.RESCHEDULE, version=version)
    own = f"{request.native_key(KEY, 20)}^X"
    for details, finding in (
        ({"group": own, "filler": "F1.2"}, ObservationFinding.PRESENT),
        ({}, ObservationFinding.ABSENT),
        ({"filler": "F1.2"}, ObservationFinding.INDETERMINATE),
        ({"group": own, "status": "Cancelled"}, ObservationFinding.DIFFERENT),
        ({"group": "another", "filler": "F1.3"}, ObservationFinding.INDETERMINATE),
    ):
        partner.says["/SQM/S25"] = answering(says, shows(key_of(request), **details), status="OK")
        assert (await partner.look(request)).finding is finding
    partner.says["/SQM/S25"] = answering(says)
    assert (await partner.look(request)).finding is ObservationFinding.INDETERMINATE


@pytest.mark.requirement("CARD-12", "CARD-03")
@pytest.mark.parametrize(
    ("agreed", "booking", "change"),
    [
        ({}, ObservationFinding.ABSENT, ObservationFinding.ABSENT),
        ({"acknowledgement": "enhanced"}, ObservationFinding.INDETERMINATE, ObservationFinding.INDETERMINATE),
        (
            {"acknowledgement": "enhanced", "settling-seconds": 1},
            ObservationFinding.ABSENT,
            ObservationFinding.ABSENT,
        ),
        ({"acknowledgement": "enhanced", "relay-seconds": 60}, ObservationFinding.ABSENT, ObservationFinding.ABSENT),
    ],
)
async def test_nothing_is_absent_while_a_queue_may_hold_it_for_ever(
    partner: Any, asking: Asking, says: Any, shows: Any, agreed: Any, booking: Any, change: Any
) -> None:
    partner.says["/SQM/S25"] = answering(says)
    assert (await partner.look(asking(settings=agreed))).finding is booking
    _, version = await booked_version(partner, asking, says, shows)
    assert (await partner.look(asking(Operation.RESCHEDULE, version=version, settings=agreed))).finding is change
    request = asking(settings=agreed)
    partner.says["/SQM/S25"] = answering(says, shows(key_of(request)), status="OK")
    assert (await partner.look(request)).finding is ObservationFinding.PRESENT
