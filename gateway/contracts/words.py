"""The closed vocabularies that outcomes, events and the journal share (DESIGN "Words")."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """E-01 §4.1: twelve states, five of them terminal (STATE-01, STATE-02)."""

    NEW = "NEW"
    VALIDATING = "VALIDATING"
    GATED = "GATED"
    AUTHORIZED = "AUTHORIZED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    AUDITING = "AUDITING"
    SUCCEEDED = "SUCCEEDED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"
    ERROR = "ERROR"
    BLOCKED = "BLOCKED"


TERMINAL = frozenset({State.SUCCEEDED, State.REJECTED, State.CANCELLED, State.ERROR, State.BLOCKED})


class Effect(StrEnum):
    """What is known of the external system after a commit (I3)."""

    NOT_SENT = "NOT_SENT"
    REFUSED = "REFUSED"
    APPLIED = "APPLIED"
    UNKNOWN = "UNKNOWN"


class End(StrEnum):
    """The rows of DESIGN's table "How attempts end"."""

    TRIGGER_DENIED = "TRIGGER_DENIED"
    POLICY_DENIED = "POLICY_DENIED"
    BLOCKED = "BLOCKED"
    PAUSED = "PAUSED"
    STOPPED_PAUSED = "STOPPED_PAUSED"
    STOPPED = "STOPPED"
    NOT_DISPATCHED = "NOT_DISPATCHED"
    NOT_SENT = "NOT_SENT"
    REFUSED = "REFUSED"
    APPLIED = "APPLIED"
    APPLIED_UNAUDITED = "APPLIED_UNAUDITED"
    UNKNOWN = "UNKNOWN"
    FAULT = "FAULT"
    CHECKED = "CHECKED"


class Hold(StrEnum):
    """What becomes of the hold on the proposal."""

    NONE = "none"
    RELEASED = "released"
    KEPT = "kept"
    FOR_EVER = "for-ever"


class ApprovalUse(StrEnum):
    USABLE = "usable"
    SPENT = "spent"


class Next(StrEnum):
    """What the caller needs next."""

    NONE = "NONE"
    NEW_ATTEMPT = "NEW_ATTEMPT"
    NEW_APPROVAL = "NEW_APPROVAL"
    NEW_PROPOSAL = "NEW_PROPOSAL"
    RESOLVE = "RESOLVE"
    FIX_SETUP = "FIX_SETUP"
    DECIDE = "DECIDE"


class Actor(StrEnum):
    """Who must act next."""

    NOBODY = "nobody"
    PATIENT = "patient"
    REVIEWER = "reviewer"
    OPERATOR = "operator"
    ENGINEER = "engineer"


class Unfinished(StrEnum):
    """What about an attempt is not over."""

    IN_FLIGHT = "in-flight"
    """It has an intent and no outcome."""
    UNRESOLVED = "unresolved"
    """Its effect is UNKNOWN and no human has resolved it."""


class Standing(StrEnum):
    CONFIRMED = "CONFIRMED"
    NOT_MADE = "NOT_MADE"
    UNRESOLVED = "UNRESOLVED"


class ObservationFinding(StrEnum):
    """A look by one idempotency key."""

    PRESENT = "PRESENT"
    ABSENT = "ABSENT"
    DIFFERENT = "DIFFERENT"
    INDETERMINATE = "INDETERMINATE"


class GateName(StrEnum):
    """F-01 §4's seven preconditions, in the order in which they are reported."""

    IDENTITY = "identity"
    TENANT = "tenant"
    CONSENT = "consent"
    PROPOSAL = "proposal"
    APPROVAL = "approval"
    EXTERNAL_READINESS = "external-readiness"
    AUDIT_READINESS = "audit-readiness"


class Severity(StrEnum):
    """Of a decision signal (CP-16)."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Environment(StrEnum):
    """C-27: a closed enum."""

    SANDBOX = "sandbox"
    STAGING = "staging"
    PRODUCTION = "production"
