"""What the sandbox says: appointments as JSON, and RFC 9457 problem documents.

Owns: the closed list of problems. Refuses to repeat anything that the client sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from gateway.testing.engine import Appointment
from gateway.testing.twin import document
from gateway.testing.wire import Reply

PROBLEM_PREFIX = "urn:sandbox-problem:"

_PROBLEMS: Mapping[str, tuple[int, str]] = {
    "unauthorised": (401, "a valid bearer token is required"),
    "forbidden": (403, "this token may not do that"),
    "not-found": (404, "there is nothing here"),
    "key-reused": (409, "this idempotency key already wrote something else"),
    "not-booked": (409, "the appointment is no longer booked"),
    "slot-taken": (409, "a participant is occupied at that time"),
    "stale-version": (412, "If-Match names another version than the current one"),
    "invalid": (422, "the request is not valid"),
    "precondition-required": (428, "If-Match is required"),
    "throttled": (429, "too many requests; this one was not processed"),
    "unavailable": (503, "the sandbox reports a fault of its own"),
}


def problem(name: str, *headers: tuple[str, str], status: int | None = None) -> Reply:
    """A problem document (RFC 9457 §3); `status` overrides the usual one."""
    usual, title = _PROBLEMS[name]
    code = usual if status is None else status
    body = json.dumps({"type": PROBLEM_PREFIX + name, "title": title, "status": code}).encode()
    return Reply(status=code, headers=(("content-type", "application/problem+json"), *headers), body=body)


def appointment_body(appointment: Appointment) -> dict[str, Any]:
    """An appointment as the API shows it; `version` is the ETag's content."""
    booking = appointment.booking
    return {
        "id": appointment.id,
        "version": str(appointment.version),
        "status": appointment.status.value,
        "keys": list(appointment.keys),
        "patient": booking.patient,
        "participants": list(booking.participants),
        "location": booking.location,
        "service": booking.service,
        "reason": booking.reason,
        "start": _instant(booking.start),
        "end": _instant(booking.end),
    }


def appointment_document(status: int, appointment: Appointment, *headers: tuple[str, str]) -> Reply:
    """An appointment with its ETag (RFC 9110 §8.8.3)."""
    return document(status, appointment_body(appointment), ("etag", f'"{appointment.version}"'), *headers)


def _instant(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
