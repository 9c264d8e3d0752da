"""One sealed policy version: Cedar text, its schema, its view, and the ruling that they give.

Owns: what the annotations mean, and when an evaluation counts. Cedar skips a `forbid` that errs and then
allows, so any error in the diagnostics refuses; so does no decision, and a determining policy that is not
one of those parsed here. Texts are validated against the schema before they can rule at all.

Annotations: `@id("name")` on any policy; `@observe("once")` on a permit (C-36: an attempt that would end
UNKNOWN may look once); on a forbid `@code("…")`, the code of the denial, or `@decision("required")`, a
human's answer is wanted first; and `@severity("low|medium|high")` of the decision signal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Final, Self

import cedarpy
from pydantic import Field

from gateway.contracts.base import Model, Slug
from gateway.contracts.canonical import Digest
from gateway.contracts.failures import FAILURES, Code, Refusal
from gateway.contracts.proposal import Notice, Operation
from gateway.contracts.statements import Choice
from gateway.contracts.words import End, Severity
from gateway.errors import ConfigurationError
from gateway.policy.view import VIEWS, PolicyInputs

POLICY_FILE: Final = "policy.cedar"
SCHEMA_FILE: Final = "schema.cedarschema"
MANIFEST_FILE: Final = "manifest.json"

_SEVERITIES: Final = tuple(Severity)
_TOOLS: Final = frozenset({*Operation, *Notice})


class Manifest(Model):
    """`manifest.json`: which version this is, the view it rules on, and the SHA-256 of each file."""

    policy: Slug
    version: Annotated[int, Field(ge=1, le=9999)]
    view: Slug
    view_version: Annotated[int, Field(ge=1, le=9999)]
    files: Annotated[dict[str, Digest], Field(max_length=8)]


class PolicyDecision(StrEnum):
    ALLOW = "allow"
    DENY = "deny"
    DECISION_REQUIRED = "decision-required"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What one evaluation said, and which policy and view versions said it (CORR-04 to CORR-07).

    `code` is None exactly when allowed. `severity` is set where a decision signal must go out: with every
    decision that is required, and with a denial that escalates (C-11, DECIDE-04, DECIDE-07).
    """

    policy: str
    version: int
    view: str
    view_version: int
    decision: PolicyDecision
    code: Code | None
    severity: Severity | None
    observe_once: bool


@dataclass(frozen=True, slots=True)
class _Rule:
    """The annotations of one Cedar policy, understood."""

    code: Code = Code.POLICY_DENIED
    decision_required: bool = False
    severity: Severity | None = None
    observe_once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """Parsed once, at start; no file is read and nothing changes afterwards (POLICY-08)."""

    policy: str
    version: int
    view: str
    view_version: int
    _request: Callable[[PolicyInputs], dict[str, Any]] = field(repr=False)
    _rules: Mapping[str, _Rule] = field(repr=False)
    _policies: cedarpy.PolicySet = field(repr=False)
    _schema: cedarpy.Schema = field(repr=False)
    _entities: cedarpy.Entities = field(repr=False)

    @classmethod
    def parse(cls, manifest: Manifest, policies: str, schema: str) -> Self:
        """Raises `ConfigurationError` naming the version and what is wrong with it."""
        name = f"policy {manifest.policy}/{manifest.version}"
        view = VIEWS.get((manifest.view, manifest.view_version))
        if view is None:
            raise ConfigurationError(f"{name}: {MANIFEST_FILE} names a view that does not exist")
        try:
            parsed_schema = cedarpy.Schema.from_str(schema)
            parsed = cedarpy.PolicySet.from_str(policies)
            syntax = json.loads(cedarpy.policies_to_json_str(policies))
        except ValueError as error:
            raise ConfigurationError(f"{name}: {POLICY_FILE} or {SCHEMA_FILE} cannot be parsed: {error}") from None
        validation = cedarpy.validate_policies(policies, parsed_schema)
        if not validation.validation_passed:
            faults = "; ".join(str(fault) for fault in validation.errors)
            raise ConfigurationError(f"{name}: {POLICY_FILE} does not fit {SCHEMA_FILE}: {faults}")
        if syntax["templates"]:
            raise ConfigurationError(f"{name}: {POLICY_FILE} has a template, which can never rule")
        rules = {key: _rule(name, key, policy) for key, policy in syntax["staticPolicies"].items()}
        return cls(
            policy=manifest.policy,
            version=manifest.version,
            view=manifest.view,
            view_version=manifest.view_version,
            _request=view,
            _rules=MappingProxyType(rules),
            _policies=parsed,
            _schema=parsed_schema,
            _entities=cedarpy.Entities.from_json_str("[]", parsed_schema),  # brings the actions' groups in
        )

    def evaluate(self, inputs: PolicyInputs) -> Ruling:
        """The ruling; raises `Refusal(POLICY_UNAVAILABLE)` where there is none (DEP-02)."""
        if inputs.operation not in _TOOLS:
            return self._ruling(PolicyDecision.DENY, Code.TOOL_FORBIDDEN, Severity.HIGH)
        allowed, rules = self._determine(inputs)
        if allowed:
            return self._ruling(PolicyDecision.ALLOW, None, None, any(rule.observe_once for rule in rules))
        denials = [rule for rule in rules if not rule.decision_required]
        severities = [rule.severity for rule in rules if rule.severity is not None]
        # Only a question whose answer could matter is asked: what would be denied anyway is denied now.
        if rules and not denials and self._determine(replace(inputs, answer=Choice.PROCEED))[0]:
            return self._ruling(PolicyDecision.DECISION_REQUIRED, Code.DECISION_REQUIRED, _highest(severities))
        if inputs.risk is Severity.HIGH:
            severities.append(Severity.HIGH)
        codes = [rule.code for rule in denials if rule.code is not Code.POLICY_DENIED]
        severity = _highest(severities) if severities else None
        return self._ruling(PolicyDecision.DENY, codes[0] if codes else Code.POLICY_DENIED, severity)

    def _determine(self, inputs: PolicyInputs) -> tuple[bool, list[_Rule]]:
        """Whether Cedar allows, and the rules that determined it, in the order of the text."""
        try:
            result = cedarpy.is_authorized(self._request(inputs), self._policies, self._entities, self._schema)
            decision, reasons, errors = result.decision, result.diagnostics.reasons, result.diagnostics.errors
        except (ValueError, TypeError, KeyError):
            raise Refusal(Code.POLICY_UNAVAILABLE) from None
        if errors or decision is cedarpy.Decision.NoDecision or not set(reasons) <= self._rules.keys():
            raise Refusal(Code.POLICY_UNAVAILABLE)
        return decision is cedarpy.Decision.Allow, [rule for key, rule in self._rules.items() if key in reasons]

    def _ruling(
        self, decision: PolicyDecision, code: Code | None, severity: Severity | None, observe_once: bool = False
    ) -> Ruling:
        return Ruling(
            policy=self.policy,
            version=self.version,
            view=self.view,
            view_version=self.view_version,
            decision=decision,
            code=code,
            severity=severity,
            observe_once=observe_once,
        )


def _highest(severities: list[Severity]) -> Severity:
    return max(severities, key=_SEVERITIES.index)


def _rule(name: str, key: str, policy: dict[str, Any]) -> _Rule:
    """Understand one policy's annotations; an unknown or contradictory one keeps the version from loading."""
    annotations = {word: value for word, value in policy.get("annotations", {}).items() if word != "id"}
    known = {"observe"} if policy["effect"] == "permit" else {"code", "decision", "severity"}
    if unknown := annotations.keys() - known:
        raise ConfigurationError(f"{name}: {key}: annotation @{min(unknown)} is not known on a {policy['effect']}")
    if annotations.get("observe", "once") != "once" or annotations.get("decision", "required") != "required":
        raise ConfigurationError(f'{name}: {key}: only @observe("once") and @decision("required") exist')
    required = "decision" in annotations
    if required and ("code" in annotations or "severity" not in annotations):
        raise ConfigurationError(f"{name}: {key}: a required decision has a severity and no code")
    severity = annotations.get("severity")
    if severity is not None and severity not in _SEVERITIES:
        raise ConfigurationError(f"{name}: {key}: @severity is low, medium or high")
    code = annotations.get("code", Code.POLICY_DENIED)
    if code not in frozenset(Code) or End.POLICY_DENIED not in FAILURES[Code(code)].ends:
        raise ConfigurationError(f"{name}: {key}: @code is not the code of a policy denial")
    return _Rule(
        code=Code(code),
        decision_required=required,
        severity=Severity(severity) if severity is not None else None,
        observe_once="observe" in annotations,
    )
