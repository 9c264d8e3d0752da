"""What counts as a write."""

from __future__ import annotations

import pytest

from gateway.contracts.proposal import Notice, Operation
from gateway.contracts.statements import Purpose
from gateway.policy import is_write


@pytest.mark.requirement("MUT-06")
@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize(
    "operation",
    [
        *Notice,
        "comm.place_call@v1",
        "tool.mutate@v1",
        "payload.persist@v1",
        "clinical.advance@v1",
        "schedule.book@v2",
        "",
    ],
)
def test_messages_tools_payloads_and_clinical_state_are_writes_whatever_the_purpose(
    operation: str, purpose: Purpose
) -> None:
    assert is_write(operation, purpose)


@pytest.mark.parametrize("operation", Operation)
def test_only_checking_and_observing_a_scheduling_operation_are_reads(operation: Operation) -> None:
    reads = {purpose for purpose in Purpose if not is_write(operation, purpose)}
    assert reads == {Purpose.CHECK, Purpose.OBSERVE}
