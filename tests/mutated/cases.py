"""The adapters whose replies are mutated. An adapter's part is one entry here and a recording beside (recording.py).

`meaning` are patterns whose first group is something that the adapter compares with what was approved, in the replies
to its commit and its looks: a reply in which one letter of it is another is never APPLIED, and never PRESENT.
`refusal` spells a reply to the write, from a status and a word of the adapter's own tables of replies; `within` says
that the system refuses inside a success of HTTP (or, in HL7, of MLLP), where all others refuse by a 4xx.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.mutated.recording import CONTROL, Said


@dataclass(frozen=True)
class Case:
    """`secret` is what the credential resolves to; `safe_posts` are the POSTs, `safe_calls` the JSON-RPC methods, that
    the peer need not count."""

    name: str
    meaning: tuple[re.Pattern[bytes], ...]
    refusal: Callable[[int | str, str], Said] | None = None
    within: bool = False
    secret: str = "a-token"
    safe_posts: tuple[str, ...] = ()
    safe_calls: tuple[str, ...] = ()


def tryton(status: int | str, word: str) -> Said:
    """Tryton's: an error's type and details, in a success of HTTP."""
    details: object = "no" if word == "ConcurrencyException" else ["no", "", None]
    body = {"id": 1, "result": [1]} if word == "result" else {"id": 1, "error": [word, details]}
    return Said(int(status), (("content-type", "application/json"),), json.dumps(body if word else "no").encode())


def acknowledgement(status: int | str, word: str) -> Said:
    """HL7's: MSA-1 and, where there is a code, an error (table 0357)."""
    error = f"ERR|||{word}^x^HL70357|E\r" if word else ""
    body = f"MSH|^~\\&|FILLER||||20310505||ACK|1|T|2.5.1\rMSA|{status}|{CONTROL.decode()}\r{error}"
    return Said(200, (), body.encode())


def problem(status: int | str, word: str) -> Said:
    """The sandbox's: RFC 9457."""
    body = {"type": f"urn:sandbox-problem:{word}", "title": "no", "status": status}
    return Said(int(status), (("content-type", "application/problem+json"),), json.dumps(body).encode())


def outcome(status: int | str, word: str) -> Said:
    """FHIR's OperationOutcome; for what an entry of a transaction says, the transaction's response."""
    headers = (("content-type", "application/fhir+json"),)
    if isinstance(status, int):
        body: dict[str, object] = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": word}]}
        return Said(status, headers, json.dumps(body).encode())
    entries = [{"response": {"status": status, "location": f"Appointment/{word}"}}]
    body = {"resourceType": "Bundle", "type": "transaction-response", "entry": entries}
    return Said(200, headers, json.dumps(body).encode())


def precondition(status: int | str, word: str) -> Said:
    """CalDAV's: RFC 4918, section 16."""
    status = status if isinstance(status, int) else 412  # a row about what a look found
    named = f'<C:{word} xmlns:C="urn:ietf:params:xml:ns:caldav"/>' if word else ""
    body = f'<?xml version="1.0"?><error xmlns="DAV:">{named}</error>'
    return Said(status, (("content-type", "text/xml"),), body.encode())


def graph(status: int | str, word: str) -> Said:
    """Microsoft Graph's, as its page on error responses shows it."""
    error = {"code": word, "message": "no", "innerError": {}}
    return Said(int(status), (("content-type", "application/json"),), json.dumps({"error": error}).encode())


def google(status: int | str, word: str) -> Said:
    """Google's, as its guide "Handle API errors" shows it."""
    error = {"errors": [{"domain": "global", "reason": word, "message": "no"}], "code": status, "message": "no"}
    return Said(int(status), (("content-type", "application/json"),), json.dumps({"error": error}).encode())


def error(status: int | str, word: str) -> Said:
    """athenaOne's: an error text after two empty lines. What stands for a finding in its tables is no status."""
    body = json.dumps({"error": word}) if word else "<h1>Not Authorized</h1>"
    return Said(
        status if isinstance(status, int) else 409, (("content-type", "application/json"),), f"\n\n{body}".encode()
    )


CASES: Final = (
    Case(
        "gnuhealth",
        meaning=(
            re.compile(rb'"(?:patient|healthprof|institution|speciality)":(\d+)'),
            re.compile(rb'"name":"([0-9A-Z]{20})'),
            re.compile(rb'"state":"([a-z_]+)"'),
            re.compile(rb'"(?:day|hour|minute)":(\d+)'),
        ),
        refusal=tryton,
        within=True,
        secret="user:password",
        safe_calls=("model.ir.model.access.get_access", "model.gnuhealth.appointment.search_read"),
    ),
    Case(
        "sandbox",
        meaning=(
            re.compile(rb'"(?:start|end)":"(20[\d-]+T\d\d:\d\d):'),
            re.compile(rb'"(?:patient|location|service|status)":"([^"]+)"'),
            re.compile(rb'"keys":\["([0-9a-f]+)"\]'),
        ),
        refusal=problem,
    ),
    Case(
        "fhir",
        meaning=(
            re.compile(rb'"resourceType":"Appointment"(?:(?!"resourceType").)*?"start":"(20[\d-]+T\d\d:\d\d):'),
            re.compile(rb'"resourceType":"Appointment"(?:(?!"resourceType").)*?"end":"(20[\d-]+T\d\d:\d\d):'),
            re.compile(rb'"status":"(booked|cancelled)"'),
            re.compile(rb'"reference":"((?:Patient|Practitioner|Location|HealthcareService)/[^"]+)"'),
            re.compile(rb'"value":"([0-9a-f]{64})"\}\]'),
        ),
        refusal=outcome,
        within=True,
    ),
    Case(
        "hl7v2",
        meaning=(
            re.compile(rb"\^\^\^(2031\d{8})00\^"),
            re.compile(rb"\|(Booked|Cancelled)\^\^HL70278"),
            re.compile(rb"\rSCH\|([0-9A-Z]{20})\^"),
            re.compile(rb"\r(?:PID|AIP|AIL|AIS)\|1\|\|([a-z0-9-]+)"),
        ),
        refusal=acknowledgement,
        within=True,
        safe_posts=("/SQM/S25",),
    ),
    Case(
        "caldav",
        meaning=(
            re.compile(rb"^DT(?:START|END):(\d{8}T\d{4})", re.MULTILINE),
            re.compile(rb"^UID:([0-9a-f]+)", re.MULTILINE),
        ),
        refusal=precondition,
        secret="user:password",
    ),
    Case(
        "msgraph",
        meaning=(
            re.compile(rb'"dateTime":"(20[\d-]+T\d\d:\d\d):'),
            re.compile(rb'"(?:transactionId|showAs|type)":"([^"]+)"'),
            re.compile(rb'"value":"([0-9a-f]+/[0-9a-f]+)"'),
        ),
        refusal=graph,
    ),
    Case(
        "google_calendar",
        meaning=(
            re.compile(rb'"dateTime":"(20[\d-]+T\d\d:\d\d):'),
            re.compile(rb'"(?:id|status|gatewayKey)":"([^"]+)"'),
        ),
        refusal=google,
    ),
    Case(
        "athenahealth",
        meaning=(
            # of an appointment that was moved away: whose it is and in what state, where it was asked for itself
            re.compile(
                rb'"(?:date|starttime|departmentid|patientid|appointmentstatus)":"([^"]+)"'
                rb'(?![^}]*"rescheduledappointmentid")'
            ),
            re.compile(rb'"duration":(\d+)(?![^}]*"rescheduledappointmentid")'),
            re.compile(rb'^\[\{[^}]*"patientid":"([^"]+)"'),
            re.compile(rb'^\[\{[^}]*"appointmentstatus":"([^"]+)"'),
            re.compile(rb'^\{"status":"([^"]+)"'),
        ),
        refusal=error,
    ),
)
