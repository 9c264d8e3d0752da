"""The traps of Cedar, each with a policy that falls into it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cedarpy
import pytest

from gateway.contracts.failures import Code, Refusal
from gateway.contracts.words import Severity
from gateway.errors import ConfigurationError
from gateway.policy import PolicyDecision, PolicyInputs, PolicyVersion, shipped
from gateway.policy.version import Manifest

SCHEMA = (shipped("standard", 1) / "schema.cedarschema").read_text()
MANIFEST = Manifest(policy="trial", version=3, view="scheduling-commit", view_version=1, files={})
PERMIT = "permit (principal, action, resource);"


def parse(policies: str, schema: str = SCHEMA) -> PolicyVersion:
    return PolicyVersion.parse(MANIFEST, policies, schema)


@pytest.mark.requirement("DEP-02", "POLICY-01")
@pytest.mark.parametrize("effect", ["forbid", "permit"])
def test_a_policy_that_errs_blocks_although_cedar_would_allow(commit: PolicyInputs, effect: str) -> None:
    """Validation cannot see an overflow; Cedar skips the erring policy and allows."""
    broken = PERMIT + effect + " (principal, action, resource) when { 9223372036854775807 + 1 == 0 };"
    version = parse(broken)
    plain = cedarpy.is_authorized(
        {"principal": 'Person::"a"', "action": 'Action::"schedule.book@v1"', "resource": 'Environment::"b"'},
        broken,
        "[]",
    )
    assert plain.decision is cedarpy.Decision.Allow
    with pytest.raises(Refusal) as refused:
        version.evaluate(commit)
    assert refused.value.code is Code.POLICY_UNAVAILABLE


@pytest.mark.requirement("DEP-04")
def test_a_decision_is_not_asked_for_where_the_question_itself_cannot_be_evaluated(commit: PolicyInputs) -> None:
    """The rule errs only once the answer is there; asking would pause an attempt that can never resume."""
    asks = (
        '@decision("required") @severity("low") forbid (principal, action, resource) unless { context has answer };'
        "forbid (principal, action, resource) when { context has answer && 9223372036854775807 + 1 == 0 };"
    )
    with pytest.raises(Refusal) as refused:
        parse(PERMIT + asks).evaluate(commit)
    assert refused.value.code is Code.POLICY_UNAVAILABLE


@pytest.mark.requirement("DEP-02")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("risk: String", "risk: Long"),
        ("risk: String,", "risk: String, age: Long,"),
        ("origin: String,", ""),
        ('"schedule.book@v1", ', ""),
    ],
    ids=["other type", "one input too many", "one too few", "action unknown"],
)
def test_a_schema_that_does_not_fit_the_view_decides_nothing(commit: PolicyInputs, old: str, new: str) -> None:
    assert old in SCHEMA
    with pytest.raises(Refusal) as refused:
        parse(PERMIT, SCHEMA.replace(old, new)).evaluate(commit)
    assert refused.value.code is Code.POLICY_UNAVAILABLE


def test_the_refusal_repeats_nothing_of_what_was_evaluated(commit: PolicyInputs) -> None:
    with pytest.raises(Refusal) as refused:
        parse(PERMIT, SCHEMA.replace("risk: String", "risk: Long")).evaluate(commit)
    assert commit.operator not in repr(refused.value)
    assert refused.value.__cause__ is None


def test_a_group_of_actions_covers_its_members(commit: PolicyInputs) -> None:
    """Without the schema's own entities Cedar knows no member of a group, and denies or fails to forbid."""
    grouped = PERMIT + 'forbid (principal, action in Action::"schedule", resource);'
    assert parse(grouped).evaluate(commit).decision is PolicyDecision.DENY


@pytest.mark.parametrize(
    ("policies", "fault"),
    [
        ("permit (principal, action, resource)", "cannot be parsed"),
        ("allow everything", "cannot be parsed"),
        ('@id("a") @id("b") permit (principal, action, resource);', "cannot be parsed"),
        ("permit (principal, action, resource) when { context.missing };", "does not fit"),
        ("forbid (principal, action, resource) when { context.answer == 'x' };", "cannot be parsed"),
        ('forbid (principal, action, resource) when { context.answer == "x" };', "does not fit"),
        ("forbid (principal, action, resource) when { context.risk > 3 };", "does not fit"),
        ('permit (principal, action == Action::"patient.create@v1", resource);', "does not fit"),
        ("permit (principal == ?principal, action, resource);", "template"),
        ('@note("x") permit (principal, action, resource);', "@note is not known on a permit"),
        ('@code("POLICY_DENIED") permit (principal, action, resource);', "@code is not known on a permit"),
        ('@decision("required") @severity("low") permit (principal, action, resource);', "not known on a permit"),
        ('@observe("once") forbid (principal, action, resource);', "@observe is not known on a forbid"),
        ('@observe("twice") permit (principal, action, resource);', "only @observe"),
        ('@decision("maybe") @severity("low") forbid (principal, action, resource);', "only @observe"),
        ('@decision("required") forbid (principal, action, resource);', "severity and no code"),
        (
            '@decision("required") @severity("low") @code("POLICY_DENIED") forbid (principal, action, resource);',
            "severity and no code",
        ),
        ('@severity("extreme") forbid (principal, action, resource);', "@severity is"),
        ('@code("NO_SUCH_CODE") forbid (principal, action, resource);', "@code is not"),
        ('@code("COMMITTED") forbid (principal, action, resource);', "@code is not"),
        ('@code("POLICY_UNAVAILABLE") forbid (principal, action, resource);', "@code is not"),
        ('@code("") forbid (principal, action, resource);', "@code is not"),
    ],
)
def test_what_could_not_be_understood_later_is_refused_when_loading(policies: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault) as refused:
        parse(policies)
    assert "trial/3" in str(refused.value)


def test_a_schema_that_cannot_be_parsed_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cannot be parsed"):
        parse(PERMIT, "entity")


def test_annotations_follow_their_policy_and_not_its_position(commit: PolicyInputs) -> None:
    """Determining policies are named by position; the rules between them must not shift the annotations."""
    idle = 'forbid (principal, action, resource) when { context.risk == "none" };'
    named = '@code("TWO_PERSONS_REQUIRED") @severity("medium") forbid (principal, action, resource);'
    for position in range(12):
        ruling = parse(PERMIT + idle * position + named + idle * (11 - position)).evaluate(commit)
        assert (ruling.code, ruling.severity) == (Code.TWO_PERSONS_REQUIRED, Severity.MEDIUM)


def test_a_determining_policy_that_is_none_of_those_read_blocks(commit: PolicyInputs) -> None:
    version = parse(PERMIT)
    with pytest.raises(Refusal) as refused:
        replace(version, _rules={}).evaluate(commit)
    assert refused.value.code is Code.POLICY_UNAVAILABLE


@pytest.mark.parametrize("arrange", [lambda text: text, lambda text: text[::-1]], ids=["as listed", "reversed"])
def test_a_denial_outranks_a_question_and_the_highest_severity_stands(
    commit: PolicyInputs, arrange: Callable[[list[str]], list[str]]
) -> None:
    question = '@decision("required") @severity("low") forbid (principal, action, resource);'
    denial = '@code("DECISION_DECLINED") @severity("high") forbid (principal, action, resource);'
    unnamed = "forbid (principal, action, resource);"
    ruling = parse("".join(arrange([PERMIT, question, denial, unnamed]))).evaluate(commit)
    assert (ruling.decision, ruling.code) == (PolicyDecision.DENY, Code.DECISION_DECLINED)
    assert ruling.severity is Severity.HIGH


def test_of_several_questions_the_gravest_counts(commit: PolicyInputs) -> None:
    asks = "".join(
        f'@decision("required") @severity("{severity}") forbid (principal, action, resource) '
        "unless { context has answer };"
        for severity in ("low", "high", "medium")
    )
    ruling = parse(PERMIT + asks).evaluate(commit)
    assert (ruling.decision, ruling.severity) == (PolicyDecision.DECISION_REQUIRED, Severity.HIGH)


def test_a_question_that_no_answer_settles_is_a_denial(commit: PolicyInputs) -> None:
    ask = '@decision("required") @severity("low") forbid (principal, action, resource);'
    assert parse(PERMIT + ask).evaluate(commit).decision is PolicyDecision.DENY


def test_only_a_permit_that_says_so_allows_a_look(commit: PolicyInputs) -> None:
    assert not parse(PERMIT).evaluate(commit).observe_once
    assert parse('@observe("once") ' + PERMIT).evaluate(commit).observe_once


@pytest.mark.requirement("POLICY-06")
def test_no_policy_at_all_denies(commit: PolicyInputs) -> None:
    ruling = parse("").evaluate(commit)
    assert (ruling.decision, ruling.code) == (PolicyDecision.DENY, Code.POLICY_DENIED)
    assert not ruling.observe_once
