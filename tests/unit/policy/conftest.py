"""The shipped versions sealed afresh, and inputs that they allow."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.contracts.proposal import Operation, Origin
from gateway.contracts.references import PersonId
from gateway.contracts.statements import Purpose, TriggerKind
from gateway.contracts.words import Environment, GateName
from gateway.policy import PolicyInputs, PolicyStore, seal, shipped


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A practice's `policies` directory with both shipped versions."""
    directory = tmp_path / "policies"
    for policy in ("standard", "two-person"):
        seal(shipped(policy, 1), directory)
    return directory


@pytest.fixture
def store(sealed: Path) -> PolicyStore:
    return PolicyStore.load(sealed)


@pytest.fixture
def commit() -> PolicyInputs:
    """A commit of a patient's booking, approved by one person and triggered by another."""
    return PolicyInputs(
        trigger=TriggerKind.OPERATOR,
        purpose=Purpose.COMMIT,
        operation=Operation.BOOK,
        environment=Environment.SANDBOX,
        origin=Origin.PATIENT,
        initiator=PersonId.random(),
        operator=PersonId.random(),
        approver=PersonId.random(),
        gates=tuple(GateName),
    )
