"""What `standard` and `two-person` allow, deny and ask."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import PolicySelection
from gateway.contracts.failures import FAILURES, Code, Refusal
from gateway.contracts.proposal import Notice, Operation, Origin
from gateway.contracts.references import PersonId
from gateway.contracts.statements import Choice, Purpose, TriggerKind
from gateway.contracts.words import End, Environment, GateName, Severity
from gateway.policy import PolicyDecision, PolicyInputs, PolicyStore, PolicyVersion, Ruling, is_write, seal, shipped

BOTH = ("standard", "two-person")


def version(store: PolicyStore, policy: str) -> PolicyVersion:
    selection = PolicySelection(trigger=TriggerKind.OPERATOR, operation=Operation.BOOK, policy=policy, version=1)
    return store.select([selection], TriggerKind.OPERATOR, Operation.BOOK)


def rule(store: PolicyStore, inputs: PolicyInputs, policy: str = "standard") -> Ruling:
    return store.evaluate(version(store, policy), inputs)


@pytest.mark.parametrize("policy", BOTH)
@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("purpose", [Purpose.COMMIT, Purpose.RESUME])
def test_an_approved_patients_request_is_allowed(
    store: PolicyStore, commit: PolicyInputs, policy: str, operation: Operation, purpose: Purpose
) -> None:
    ruling = rule(store, replace(commit, operation=operation, purpose=purpose), policy)
    assert (ruling.decision, ruling.code, ruling.severity) == (PolicyDecision.ALLOW, None, None)
    assert ruling.observe_once


@pytest.mark.requirement("CORR-04", "CORR-05", "CORR-06", "CORR-07")
@pytest.mark.parametrize("policy", BOTH)
def test_a_ruling_names_the_versions_that_made_it(store: PolicyStore, commit: PolicyInputs, policy: str) -> None:
    ruling = rule(store, commit, policy)
    assert (ruling.policy, ruling.version, ruling.view, ruling.view_version) == (policy, 1, "scheduling-commit", 1)


@pytest.mark.requirement("POLICY-06", "FAIL-03")
@pytest.mark.parametrize(
    "change",
    [
        {"trigger": TriggerKind.TIME},
        {"trigger": TriggerKind.EXTERNAL_EVENT},
        {"origin": Origin.PROVIDER},
        {"origin": Origin.SYSTEM},
        {"approver": None},
        *({"gates": tuple(gate for gate in GateName if gate is not missing)} for missing in GateName),
    ],
    ids=lambda change: str(next(iter(change.items()))),
)
@pytest.mark.parametrize("policy", BOTH)
def test_what_no_permit_names_is_denied(
    store: PolicyStore, commit: PolicyInputs, policy: str, change: dict[str, Any]
) -> None:
    ruling = rule(store, replace(commit, **change), policy)
    assert (ruling.decision, ruling.code) == (PolicyDecision.DENY, Code.POLICY_DENIED)
    assert not ruling.observe_once


@pytest.mark.requirement("AUTH-07")
@pytest.mark.parametrize("policy", BOTH)
def test_nobody_approves_their_own_request(store: PolicyStore, commit: PolicyInputs, policy: str) -> None:
    assert rule(store, replace(commit, approver=commit.initiator), policy).decision is PolicyDecision.DENY


def test_two_person_wants_an_approver_other_than_the_operator(store: PolicyStore, commit: PolicyInputs) -> None:
    alone = replace(commit, operator=commit.approver or commit.operator)
    assert rule(store, alone, "standard").decision is PolicyDecision.ALLOW
    ruling = rule(store, alone, "two-person")
    assert (ruling.decision, ruling.code) == (PolicyDecision.DENY, Code.TWO_PERSONS_REQUIRED)


def test_two_person_lets_the_approver_look(store: PolicyStore, commit: PolicyInputs) -> None:
    alone = replace(commit, operator=commit.approver or commit.operator, purpose=Purpose.CHECK)
    assert rule(store, alone, "two-person").decision is PolicyDecision.ALLOW


@pytest.mark.parametrize(
    ("trigger", "purpose", "decision"),
    [
        (TriggerKind.OPERATOR, Purpose.CHECK, PolicyDecision.ALLOW),
        (TriggerKind.OPERATOR, Purpose.OBSERVE, PolicyDecision.ALLOW),
        (TriggerKind.TIME, Purpose.OBSERVE, PolicyDecision.ALLOW),
        (TriggerKind.TIME, Purpose.CHECK, PolicyDecision.DENY),
        (TriggerKind.EXTERNAL_EVENT, Purpose.OBSERVE, PolicyDecision.DENY),
    ],
)
@pytest.mark.parametrize("policy", BOTH)
def test_reads_need_no_approval_and_still_an_explicit_permit(
    store: PolicyStore,
    commit: PolicyInputs,
    policy: str,
    trigger: TriggerKind,
    purpose: Purpose,
    decision: PolicyDecision,
) -> None:
    inputs = replace(commit, trigger=trigger, purpose=purpose, approver=None, gates=(), risk=Severity.HIGH)
    assert rule(store, inputs, policy).decision is decision


@pytest.mark.parametrize("policy", BOTH)
def test_a_high_risk_commit_asks_a_human_first(store: PolicyStore, commit: PolicyInputs, policy: str) -> None:
    ruling = rule(store, replace(commit, risk=Severity.HIGH), policy)
    assert ruling.decision is PolicyDecision.DECISION_REQUIRED
    assert (ruling.code, ruling.severity) == (Code.DECISION_REQUIRED, Severity.HIGH)
    assert not ruling.observe_once


@pytest.mark.parametrize("risk", [Severity.LOW, Severity.MEDIUM])
@pytest.mark.parametrize("policy", BOTH)
def test_a_lower_risk_asks_nobody(store: PolicyStore, commit: PolicyInputs, policy: str, risk: Severity) -> None:
    assert rule(store, replace(commit, risk=risk), policy).decision is PolicyDecision.ALLOW


def test_the_answer_to_proceed_lets_a_high_risk_commit_go(store: PolicyStore, commit: PolicyInputs) -> None:
    resumed = replace(commit, purpose=Purpose.RESUME, risk=Severity.HIGH, answer=Choice.PROCEED)
    assert rule(store, resumed).decision is PolicyDecision.ALLOW


@pytest.mark.parametrize("risk", Severity)
@pytest.mark.parametrize("policy", BOTH)
def test_the_answer_to_decline_denies(store: PolicyStore, commit: PolicyInputs, policy: str, risk: Severity) -> None:
    ruling = rule(store, replace(commit, purpose=Purpose.RESUME, risk=risk, answer=Choice.DECLINE), policy)
    assert (ruling.decision, ruling.code) == (PolicyDecision.DENY, Code.DECISION_DECLINED)


@pytest.mark.requirement("POLICY-10")
def test_no_answer_overrides_a_denial(store: PolicyStore, commit: PolicyInputs) -> None:
    alone = replace(commit, operator=commit.approver or commit.operator, answer=Choice.PROCEED, purpose=Purpose.RESUME)
    for risk in Severity:
        assert rule(store, replace(alone, risk=risk), "two-person").code is Code.TWO_PERSONS_REQUIRED
        assert rule(store, replace(alone, risk=risk, origin=Origin.SYSTEM)).decision is PolicyDecision.DENY


def test_nobody_is_asked_about_what_would_be_denied_anyway(store: PolicyStore, commit: PolicyInputs) -> None:
    ruling = rule(store, replace(commit, risk=Severity.HIGH, trigger=TriggerKind.TIME))
    assert (ruling.decision, ruling.code) == (PolicyDecision.DENY, Code.POLICY_DENIED)


@pytest.mark.requirement("DECIDE-04")
def test_a_denial_escalates_at_a_high_risk_tier_and_only_there(store: PolicyStore, commit: PolicyInputs) -> None:
    for answer in (None, Choice.PROCEED):
        denied = replace(commit, origin=Origin.PROVIDER, answer=answer)
        rulings = [rule(store, replace(denied, risk=risk)) for risk in Severity]
        assert {ruling.decision for ruling in rulings} == {PolicyDecision.DENY}
        assert [ruling.severity for ruling in rulings] == [None, None, Severity.HIGH]


@pytest.mark.requirement("DECIDE-07")
@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize(
    "operation", [*Notice, "schedule.book@v2", "patient.create@v1", 'x"', "schedule", "communicate", ""]
)
@pytest.mark.parametrize("policy", BOTH)
def test_a_tool_that_is_not_allow_listed_is_denied_by_name_and_escalates(
    store: PolicyStore, commit: PolicyInputs, policy: str, operation: str, purpose: Purpose
) -> None:
    ruling = rule(store, replace(commit, operation=operation, purpose=purpose), policy)
    assert (ruling.decision, ruling.code) == (PolicyDecision.DENY, Code.TOOL_FORBIDDEN)
    assert ruling.severity is Severity.HIGH


PEOPLE = [PersonId.random() for _ in range(3)]
INPUTS = st.builds(
    PolicyInputs,
    trigger=st.sampled_from(TriggerKind),
    purpose=st.sampled_from(Purpose),
    operation=st.sampled_from([*Operation, *Notice, "patient.create@v1"]),
    environment=st.sampled_from(Environment),
    origin=st.sampled_from(Origin),
    initiator=st.sampled_from(PEOPLE),
    operator=st.sampled_from(PEOPLE),
    approver=st.sampled_from([None, *PEOPLE]),
    gates=st.sampled_from([tuple(GateName), tuple(reversed(GateName)), tuple(GateName)[1:], ()]),
    risk=st.sampled_from(Severity),
    answer=st.sampled_from([None, *Choice]),
)


@pytest.fixture(scope="module")
def twins() -> list[PolicyStore]:
    """Two stores that were sealed and loaded apart."""
    stores = []
    for _ in range(2):
        with TemporaryDirectory() as directory:
            for policy in BOTH:
                seal(shipped(policy, 1), Path(directory) / "policies")
            stores.append(PolicyStore.load(Path(directory) / "policies"))
    return stores


@pytest.mark.requirement("POLICY-07", "DECIDE-03")
@given(inputs=INPUTS, policy=st.sampled_from(BOTH), order=st.permutations(GateName))
def test_equal_inputs_give_equal_rulings(
    twins: list[PolicyStore], inputs: PolicyInputs, policy: str, order: list[GateName]
) -> None:
    shuffled = replace(inputs, gates=tuple(gate for gate in order if gate in inputs.gates))
    first = rule(twins[0], inputs, policy)
    assert first == rule(twins[0], inputs, policy) == rule(twins[1], shuffled, policy)


@pytest.mark.requirement("POLICY-06", "POLICY-09")
@given(inputs=INPUTS, policy=st.sampled_from(BOTH))
def test_a_write_is_allowed_only_with_everything_that_it_needs(
    twins: list[PolicyStore], inputs: PolicyInputs, policy: str
) -> None:
    ruling = rule(twins[0], inputs, policy)
    if ruling.decision is PolicyDecision.ALLOW and is_write(inputs.operation, inputs.purpose):
        assert inputs.trigger is TriggerKind.OPERATOR
        assert inputs.operation in frozenset(Operation)
        assert inputs.origin is Origin.PATIENT
        assert inputs.approver not in (None, inputs.initiator)
        assert set(inputs.gates) == set(GateName)
        assert inputs.answer is not Choice.DECLINE
        assert inputs.risk is not Severity.HIGH or inputs.answer is Choice.PROCEED
        assert policy == "standard" or inputs.approver != inputs.operator


@pytest.mark.requirement("DECIDE-02")
@given(inputs=INPUTS, policy=st.sampled_from(BOTH))
def test_a_ruling_is_made_of_closed_words_and_repeats_nobody(
    twins: list[PolicyStore], inputs: PolicyInputs, policy: str
) -> None:
    ruling = rule(twins[0], inputs, policy)
    assert not any(person in repr(ruling) for person in PEOPLE)
    if ruling.decision is PolicyDecision.ALLOW:
        assert ruling.code is None
        assert ruling.severity is None
    else:
        end = End.PAUSED if ruling.decision is PolicyDecision.DECISION_REQUIRED else End.POLICY_DENIED
        assert ruling.code is not None
        assert end in FAILURES[ruling.code].ends


def test_a_version_of_another_store_does_not_rule(twins: list[PolicyStore], commit: PolicyInputs) -> None:
    with pytest.raises(Refusal) as refused:
        twins[0].evaluate(version(twins[1], "standard"), commit)
    assert refused.value.code is Code.POLICY_UNAVAILABLE
