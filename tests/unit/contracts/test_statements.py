"""Signed statements: closed vocabularies, one kind per signature type, and coherent triggers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.contracts.signals import Signal
from gateway.contracts.statements import (
    Condition,
    Decision,
    Finding,
    Purpose,
    ReviewerKind,
    Statement,
    Trigger,
    TriggerKind,
    Verdict,
)
from gateway.errors import InvalidInput


def trigger(document: dict[str, Any], **changes: Any) -> Trigger:
    merged = {name: value for name, value in (document | changes).items() if value is not None}
    return Trigger.parse(json.dumps(merged))


@pytest.mark.requirement("TRIG-01")
def test_a_trigger_is_one_of_three_classes_and_nothing_else(examples: dict[str, dict[str, Any]]) -> None:
    assert [str(kind) for kind in TriggerKind] == ["operator-initiated", "time-based", "external-event"]
    for unknown in ("provider-initiated", "ai-initiated", "webhook", "cron", "OPERATOR-INITIATED", ""):
        with pytest.raises(InvalidInput):
            trigger(examples["Trigger"], kind=unknown)


@pytest.mark.requirement("TRIG-05")
@pytest.mark.parametrize("field", ["purpose", "trigger_id", "kind", "operator", "proposal_digest"])
def test_a_trigger_without_identifier_purpose_class_or_operator_is_none(
    field: str, examples: dict[str, dict[str, Any]]
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        trigger(examples["Trigger"], **{field: None})
    assert refusal.value.faults == ((field, "missing", "missing"),)


@pytest.mark.requirement("TRIG-09")
def test_a_trigger_names_one_proposal(examples: dict[str, dict[str, Any]]) -> None:
    one = examples["Trigger"]["proposal_id"]
    for several in ([one], [one, one], f"{one},{one}"):
        with pytest.raises(InvalidInput):
            trigger(examples["Trigger"], proposal_id=several)


@pytest.mark.requirement("TRIG-10")
def test_no_purpose_is_a_fast_path() -> None:
    assert [str(purpose) for purpose in Purpose] == ["commit", "resume", "check", "observe"]


@pytest.mark.parametrize(
    ("purpose", "kept", "valid"),
    [
        ("commit", {"decision_id"}, True),
        ("commit", set(), False),
        ("commit", {"decision_id", "answer"}, False),
        ("commit", {"decision_id", "attempt"}, False),
        ("resume", {"decision_id", "answer"}, True),
        ("resume", {"decision_id"}, False),
        ("resume", {"answer"}, False),
        ("check", set(), True),
        ("check", {"decision_id"}, True),
        ("check", {"answer"}, False),
        ("observe", {"attempt"}, True),
        ("observe", set(), False),
        ("observe", {"attempt", "answer"}, False),
    ],
)
def test_a_trigger_carries_what_its_purpose_needs_and_no_more(
    purpose: str, kept: set[str], valid: bool, examples: dict[str, dict[str, Any]]
) -> None:
    document = examples["Trigger"] | {"purpose": purpose, "attempt": examples["Outcome"]["attempt"]}
    for optional in {"decision_id", "answer", "attempt"} - kept:
        document[optional] = None
    if valid:
        assert trigger(document).purpose == purpose
    else:
        with pytest.raises(InvalidInput):
            trigger(document)


@pytest.mark.requirement("AUTH-03")
def test_a_decision_is_one_of_three(examples: dict[str, dict[str, Any]]) -> None:
    assert [str(verdict) for verdict in Verdict] == ["approve", "reject", "request-modification"]
    for default in ("", "pending", "auto-approve", "approved", "timeout"):
        with pytest.raises(InvalidInput):
            Decision.parse(json.dumps(examples["Decision"] | {"verdict": default}))


@pytest.mark.requirement("GATE-19")
@pytest.mark.parametrize(
    "field", ["verdict", "operations", "reviewer", "reviewer_kind", "authentication", "expires_at"]
)
def test_nothing_of_a_decision_is_assumed(field: str, examples: dict[str, dict[str, Any]]) -> None:
    document = {name: value for name, value in examples["Decision"].items() if name != field}
    with pytest.raises(InvalidInput) as refusal:
        Decision.parse(json.dumps(document))
    assert refusal.value.faults == ((field, "missing", "missing"),)


@pytest.mark.requirement("MUT-02")
def test_an_approval_cannot_cover_what_is_on_neither_allow_list(examples: dict[str, dict[str, Any]]) -> None:
    for operation in ("schedule.delete@v1", "clinical.sign@v1", "*"):
        with pytest.raises(InvalidInput):
            Decision.parse(json.dumps(examples["Decision"] | {"operations": [operation]}))


@pytest.mark.requirement("PHI-05")
def test_the_closed_words_are_exactly_these() -> None:
    assert [str(kind) for kind in ReviewerKind] == ["human", "automation"]
    assert [str(finding) for finding in Finding] == ["APPLIED", "ABSENT", "HANDLED_BY_HAND"]
    assert [str(condition) for condition in Condition] == [
        "referral",
        "coverage",
        "clinical-clearance",
        "patient-confirmation",
        "other",
    ]


def test_each_kind_of_statement_has_a_signature_type_of_its_own() -> None:
    kinds = [kind.typ for kind in Statement.__subclasses__() if kind.__module__.startswith("gateway.contracts.")]
    assert len(kinds) == len(set(kinds)) == 5
    assert all(typ.startswith("gateway-") and typ.endswith("+jws") for typ in kinds)


# E-01 §7.2's signals and F-01's two (effect, discrepancy), as words.
REQUIRED_SIGNALS = (
    "TriggerReceived TriggerRejected ContextValidated ContextInvalid ContextMissing PolicyEvaluated "
    "DecisionRequiredEmitted ExecutionStepStarted ExecutionStepCompleted MutationRequested MutationDenied "
    "MutationApproved StateTransitionRecorded AuditAccepted AuditFailed AttemptCompleted DependencyUnavailable "
    "DiscrepancyRecorded"
)


def test_every_signal_of_the_specification_can_be_said() -> None:
    assert set(REQUIRED_SIGNALS.split()) <= {str(signal) for signal in Signal}
