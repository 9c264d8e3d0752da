"""One complete, valid example of every contract model: each optional field is set."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

import gateway.contracts.adapter
import gateway.contracts.evidence
import gateway.contracts.outcome
import gateway.contracts.signals  # noqa: F401 (imported so that every model is known)
from gateway.contracts.base import Model
from gateway.contracts.references import Reference

DIGEST = "0f1e2d3c4b5a69788796a5b4c3d2e1f0" * 2
BODY = "0123456789abcdef0123456789abcdef"
EARLY = "2026-01-05T09:00:00Z"
LATE = "2026-01-05T10:00:00Z"


def reference(kind: str) -> str:
    return f"{kind}_{BODY}"


TARGET = {"appointment": reference("apt"), "version": DIGEST}
STATEMENT = {"practice": reference("prc"), "issued_at": EARLY}
OBSERVED = {
    "observation_id": reference("obs"),
    "finding": "PRESENT",
    "at": EARLY,
    "external_reference": reference("apt"),
    "version": DIGEST,
}
ANSWER = {"attempt": reference("att"), "signal": reference("dsg"), "choice": "proceed"}
EVIDENCE = {"nonce": BODY, "as_of": EARLY}

EXAMPLES: dict[str, dict[str, Any]] = {
    "Target": TARGET,
    "Proposal": {
        "proposal_id": reference("prp"),
        "revision": 1,
        "practice": reference("prc"),
        "connection": reference("con"),
        "operation": "schedule.reschedule@v1",
        "origin": "patient",
        "initiator": reference("psn"),
        "patient": reference("pat"),
        "consent": DIGEST,
        "commitment": DIGEST,
        "target": TARGET,
        "created_at": EARLY,
        "expires_at": LATE,
    },
    "Participant": {"role": "practitioner", "participant": reference("par")},
    "Particulars": {
        "patient": reference("pat"),
        "participants": [{"role": "practitioner", "participant": reference("par")}],
        "location": reference("loc"),
        "service": reference("svc"),
        "reason": "check-up",
        "start": EARLY,
        "end": LATE,
        "zone": "Europe/Zurich",
        "target": TARGET,
    },
    "Signed": {},
    "Statement": STATEMENT,
    "Authentication": {"method": "passkey", "at": EARLY},
    "Decision": STATEMENT
    | {
        "decision_id": reference("dec"),
        "proposal_id": reference("prp"),
        "proposal_digest": DIGEST,
        "verdict": "approve",
        "operations": ["schedule.book@v1", "comm.send_message@v1"],
        "reviewer": reference("psn"),
        "reviewer_kind": "human",
        "authentication": {"method": "passkey", "at": EARLY},
        "conditions": ["referral"],
        "expires_at": LATE,
    },
    "Answer": ANSWER,
    "Trigger": STATEMENT
    | {
        "trigger_id": reference("trg"),
        "kind": "operator-initiated",
        "purpose": "resume",
        "operator": reference("psn"),
        "proposal_id": reference("prp"),
        "proposal_digest": DIGEST,
        "decision_id": reference("dec"),
        "answer": ANSWER,
        "expires_at": LATE,
    },
    "Stop": STATEMENT
    | {"statement_id": reference("stm"), "proposal_id": reference("prp"), "operator": reference("psn")},
    "Withdrawal": STATEMENT
    | {"statement_id": reference("stm"), "proposal_id": reference("prp"), "operator": reference("psn")},
    "Resolution": STATEMENT
    | {
        "statement_id": reference("stm"),
        "attempt": reference("att"),
        "closing_hash": DIGEST,
        "finding": "ABSENT",
        "observation": reference("obs"),
        "resolver": reference("psn"),
    },
    "Question": {
        "nonce": BODY,
        "practice": reference("prc"),
        "connection": reference("con"),
        "patient": reference("pat"),
        "initiator": reference("psn"),
        "reviewer": reference("psn"),
        "operator": reference("psn"),
        "proposal_digest": DIGEST,
    },
    "Evidence": EVIDENCE,
    "IdentityEvidence": EVIDENCE
    | {
        "patient_identified": True,
        "reviewer_known": True,
        "reviewer_authorised": True,
        "operator_authorised": True,
    },
    "TenantEvidence": EVIDENCE
    | {"practice": reference("prc"), "patient_belongs": True, "reviewer_belongs": True, "connection_belongs": True},
    "ConsentEvidence": EVIDENCE | {"in_force": True, "consent": DIGEST},
    "NoticeEvidence": EVIDENCE | {"informed_of": DIGEST, "irreversibility_told": True},
    "CredentialUse": {"scheme": "basic", "name": "calendar"},
    "TokenEndpoint": {"url": "https://login.example.org/token", "scope": "system/Appointment.cruds"},
    "Limits": {"requests_per_minute": 60},
    "Connection": {
        "connection_id": reference("con"),
        "practice": reference("prc"),
        "adapter": "sandbox",
        "base_url": "http://127.0.0.1:8080/api",
        "hosts": ["127.0.0.1:8080"],
        "zone": "Europe/Zurich",
    },
    "Descriptor": {
        "adapter": "sandbox",
        "operations": ["schedule.book@v1"],
        "idempotency": "unique",
        "exclusivity": "enforced",
        "observation": "by-key",
    },
    "SafeCalls": {"address": "/clinic/", "methods": ["model.party.search_read"]},
    "Observed": OBSERVED,
    "ObservationRecord": OBSERVED
    | {
        "attempt": reference("att"),
        "closing_hash": DIGEST,
        "basis": "by-key",
        "as_of": EARLY,
        "discrepancy": True,
    },
    "Outcome": {
        "attempt": reference("att"),
        "state": "ERROR",
        "code": "CONNECTION_LOST",
        "effect": "UNKNOWN",
        "next": "RESOLVE",
        "actor": "operator",
        "approval": "spent",
        "external_reference": reference("apt"),
        "version": DIGEST,
        "not_before": LATE,
        "signal": reference("dsg"),
        "observation": OBSERVED,
        "resolution": "ABSENT",
        "closing_hash": DIGEST,
    },
    "Event": {
        "seq": 1,
        "at": EARLY,
        "signal": "StateTransitionRecorded",
        "environment": "sandbox",
        "attempt": reference("att"),
        "correlation": reference("cor"),
        "trace": BODY,
        "trigger": reference("trg"),
        "trigger_kind": "operator-initiated",
        "purpose": "commit",
        "code": "COMMITTED",
        "from_state": "NEW",
        "to_state": "VALIDATING",
        "operation": "schedule.book@v1",
        "proposal": reference("prp"),
        "proposal_digest": DIGEST,
        "proposal_state": "current",
        "approval": reference("dec"),
        "approval_digest": DIGEST,
        "approved_at": EARLY,
        "gate": "identity",
        "passed": True,
        "policy": "standard",
        "policy_version": 1,
        "view": "readiness",
        "view_version": 1,
        "policy_evaluation": reference("pev"),
        "allowed": True,
        "decision_signal": reference("dsg"),
        "severity": "low",
        "answer": "proceed",
        "step": "commit",
        "sink": "file",
        "effect": "APPLIED",
        "external_reference": reference("apt"),
        "version": DIGEST,
        "requests": 3,
        "mutating_requests": 1,
        "deadline": LATE,
        "absence_from": LATE,
        "system": DIGEST,
        "observation": reference("obs"),
        "finding": "PRESENT",
        "outcome_digest": DIGEST,
    },
}


def descendants(parent: type[Model]) -> Iterator[type[Model]]:
    for child in parent.__subclasses__():
        if child.__module__.startswith("gateway.contracts."):
            yield child
            yield from descendants(child)


MODELS: dict[str, type[Model]] = {model.__name__: model for model in descendants(Model)}
# Held behind the boundary, or sealed configuration of the practice: everything else reaches orchestration.
NOT_CARRIED = {
    "Particulars",
    "Participant",
    "Connection",
    "CredentialUse",
    "TokenEndpoint",
    "Limits",
    "Descriptor",
    "SafeCalls",
    "Signed",
}
REFERENCES: tuple[type[Reference], ...] = tuple(Reference.__subclasses__())


@pytest.fixture
def model(model_name: str) -> type[Model]:
    """One contract model after the other."""
    return MODELS[model_name]


@pytest.fixture
def carried(model_name: str) -> str:
    """The name of one model after the other that reaches orchestration."""
    return model_name


@pytest.fixture
def example(model_name: str) -> dict[str, Any]:
    """Its complete valid document, to be changed at will."""
    return copy.deepcopy(EXAMPLES[model_name])


@pytest.fixture(scope="session")
def models() -> dict[str, type[Model]]:
    """Every contract model by name."""
    return MODELS


@pytest.fixture
def examples() -> dict[str, dict[str, Any]]:
    """A valid document of every contract model by name, to be changed at will."""
    return copy.deepcopy(EXAMPLES)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `model_name`, `model` or `example` runs for every model (with `carried`, for
    those that reach orchestration); one that asks for `kind`, for every kind of reference."""
    if "model_name" in metafunc.fixturenames:
        reach = set(MODELS) - NOT_CARRIED if "carried" in metafunc.fixturenames else set(MODELS)
        metafunc.parametrize("model_name", sorted(reach))
    if "kind" in metafunc.fixturenames:
        metafunc.parametrize("kind", REFERENCES, ids=lambda kind: kind.__name__)
