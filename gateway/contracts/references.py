"""Opaque references: the only names that orchestration knows things by.

A reference is a kind, an underscore, and 32 (random) or 64 (hashed) hexadecimal digits. Names,
numbers, times and addresses cannot be written in it (I7, PHI-05); padded or repeated digits,
which could smuggle a record number, are refused. Each kind is a type of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from gateway.contracts.faults import ContentError

_BODY = re.compile(r"(?:[0-9a-f]{32}|[0-9a-f]{64})\Z")
_RUN = re.compile(r"(.)\1{7}")
_MIN_DISTINCT_DIGITS = 8  # a random body has fewer about once in 10 million


def _opaque(body: str) -> bool:
    return (
        _BODY.match(body) is not None
        and len(set(body)) >= _MIN_DISTINCT_DIGITS
        and not body.isdecimal()
        and _RUN.search(body) is None
    )


class Reference(str):
    """Base of all reference kinds; `Kind(text)` raises ValueError for anything else."""

    kind: ClassVar[str] = ""
    __slots__ = ()

    def __init_subclass__(cls, *, kind: str) -> None:
        cls.kind = kind

    def __new__(cls, text: str) -> Self:
        if type(text) is cls:
            return text
        if not cls.kind or not text.startswith(cls.kind + "_") or not _opaque(text[len(cls.kind) + 1 :]):
            raise ContentError(f"must be '{cls.kind}_' and 32 or 64 random hexadecimal digits")
        return str.__new__(cls, text)

    @classmethod
    def random(cls) -> Self:
        while True:
            body = secrets.token_hex(16)
            if _opaque(body):
                return cls(f"{cls.kind}_{body}")

    @classmethod
    def hashed(cls, key: bytes, content: bytes) -> Self:
        """A reference that only a holder of `key` can recompute (HMAC-SHA-256)."""
        return cls(f"{cls.kind}_{hmac.new(key, content, hashlib.sha256).hexdigest()}")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        spelled = core_schema.no_info_after_validator_function(cls, core_schema.str_schema(max_length=80))
        # What is a reference of this kind already was proven opaque when it was made.
        made = core_schema.union_schema([core_schema.is_instance_schema(cls), spelled], mode="left_to_right")
        return core_schema.json_or_python_schema(json_schema=spelled, python_schema=made)


class PracticeId(Reference, kind="prc"):
    """One practice (tenant)."""


class PatientId(Reference, kind="pat"):
    """The patient, as the practice's registry knows them."""


class PersonId(Reference, kind="psn"):
    """A human who initiates, reviews or operates."""


class ParticipantId(Reference, kind="par"):
    """A practitioner, room or device that takes part (FHIR Appointment.participant)."""


class LocationId(Reference, kind="loc"):
    """Where the appointment takes place."""


class ServiceId(Reference, kind="svc"):
    """The kind of appointment."""


class ConnectionId(Reference, kind="con"):
    """One practice's sealed entry for one external system."""


class ProposalId(Reference, kind="prp"):
    """A proposal; its revisions share it."""


class DecisionId(Reference, kind="dec"):
    """A signed decision; an approval is one."""


class TriggerId(Reference, kind="trg"):
    """A trigger: the caller's idempotency key."""


class AttemptId(Reference, kind="att"):
    """One governed run (orchestration_attempt_id, E-01 §7.1)."""


class CorrelationId(Reference, kind="cor"):
    """Common to all audit events of one attempt (audit_correlation_id, E-01 §7.1)."""


class EvaluationId(Reference, kind="pev"):
    """One policy evaluation (policy_evaluation_id, E-01 §7.1)."""


class SignalId(Reference, kind="dsg"):
    """One decision signal (decision_signal_id, E-01 §7.1)."""


class StatementId(Reference, kind="stm"):
    """A signed stop, withdrawal or resolution."""


class ObservationId(Reference, kind="obs"):
    """One recorded look at the external system."""


class AppointmentId(Reference, kind="apt"):
    """An appointment this gateway booked: the digest of its native key, opaque to the vendor."""


class OwnerId(Reference, kind="own"):
    """A running gateway process."""
