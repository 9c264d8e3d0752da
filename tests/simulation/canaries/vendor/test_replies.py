"""Whatever a vendor says, and however it says it: nothing of it is kept, logged or repeated (I7, ADAPT-04)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from conformance.rehearsal import SLOT, target_of
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.statements import Finding
from gateway.contracts.words import Effect, ObservationFinding, State

Say = Callable[[Any], Any]

LATE = b"\0late"


def _raw(text: str) -> Say:
    return lambda vendor: text.replace("CANARY", vendor.aviary.one_of_each("bare bytes")).encode()


def _changed(vendor: Any, **members: Any) -> Any:
    return lambda asked, usual: vendor.document(201, **{**vendor.appointment, **members})


def _garbage(vendor: Any) -> bytes:
    return bytes(vendor.reply(200, b"{" + vendor.aviary.one_of_each("broken body").encode()))


def _cut(vendor: Any) -> bytes:
    body = vendor.aviary.one_of_each("body cut short").encode()
    return bytes(vendor.reply(201, body, ("Content-Length", "100000")))


def _chunked(asked: Any, usual: bytes) -> bytes:
    """The usual reply in one chunk, with canaries in chunk extension and trailer."""
    head, _, body = usual.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
    extension = b";patient=" + body[-40:-10].hex().encode()
    chunk = b"%x%s\r\n%s\r\n0\r\nX-Trailer: %s\r\n\r\n" % (len(body), extension, body, body[:20].hex().encode())
    return b"\r\n".join([*lines, b"Transfer-Encoding: chunked"]) + b"\r\n\r\n" + chunk


WRITES: dict[str, tuple[Say, State, Code, Effect]] = {
    "applied": (lambda vendor: lambda asked, usual: usual, State.SUCCEEDED, Code.COMMITTED, Effect.APPLIED),
    "applied, in chunks": (lambda vendor: _chunked, State.SUCCEEDED, Code.COMMITTED, Effect.APPLIED),
    "applied, after an early hint": (
        lambda vendor: lambda asked, usual: vendor.reply(103, b"", ("Content-Length", "0")) + usual,
        State.SUCCEEDED,
        Code.COMMITTED,
        Effect.APPLIED,
    ),
    "slot taken": (lambda v: v.problem(409, "slot-taken"), State.ERROR, Code.SLOT_TAKEN, Effect.REFUSED),
    "forbidden": (lambda v: v.problem(403, "forbidden"), State.ERROR, Code.EXTERNAL_FORBIDDEN, Effect.REFUSED),
    "unauthorised": (lambda v: v.problem(401, "unauthorised"), State.ERROR, Code.CREDENTIALS_REJECTED, Effect.REFUSED),
    "throttled": (lambda v: v.problem(429, "throttled"), State.ERROR, Code.EXTERNAL_THROTTLED, Effect.REFUSED),
    "invalid, and echoes what was sent": (
        lambda vendor: (
            lambda asked, usual: vendor.document(
                422, type="urn:sandbox-problem:invalid", detail=asked[3].decode(), headers=repr(asked[2])
            )
        ),
        State.ERROR,
        Code.EXTERNAL_INVALID,
        Effect.REFUSED,
    ),
    "key reused": (lambda v: v.problem(409, "key-reused"), State.ERROR, Code.DUPLICATE_KEY, Effect.UNKNOWN),
    "fault of its own": (lambda v: v.problem(503, "unavailable"), State.ERROR, Code.EXTERNAL_ERROR, Effect.UNKNOWN),
    "stack trace": (
        lambda v: v.reply(500, v.aviary.one_of_each("stack trace").encode()),
        State.ERROR,
        Code.EXTERNAL_ERROR,
        Effect.UNKNOWN,
    ),
    "accepted for later": (
        lambda vendor: lambda asked, usual: vendor.document(202, **vendor.appointment),
        State.ERROR,
        Code.REPLY_UNRECOGNISED,
        Effect.UNKNOWN,
    ),
    "redirect": (
        lambda v: v.reply(307, b"", ("Location", f"http://x:{v.aviary.plant('redirect')[-12:]}@127.0.0.1/")),
        State.ERROR,
        Code.REPLY_UNRECOGNISED,
        Effect.UNKNOWN,
    ),
    "another time": (
        lambda vendor: _changed(vendor, start="2036-01-01T00:00:00Z", end="2036-01-01T00:30:00Z"),
        State.ERROR,
        Code.REPLY_DEVIATES,
        Effect.UNKNOWN,
    ),
    "wrong types": (
        lambda vendor: _changed(vendor, version={vendor.aviary.plant("version as object"): 1}),
        State.ERROR,
        Code.REPLY_UNRECOGNISED,
        Effect.UNKNOWN,
    ),
    "broken JSON": (_garbage, State.ERROR, Code.REPLY_UNRECOGNISED, Effect.UNKNOWN),
    "cut short": (_cut, State.ERROR, Code.CONNECTION_LOST, Effect.UNKNOWN),
    "hung up": (lambda vendor: b"", State.ERROR, Code.CONNECTION_LOST, Effect.UNKNOWN),
    "no HTTP": (_raw("CANARY\r\n\r\n"), State.ERROR, Code.REPLY_UNRECOGNISED, Effect.UNKNOWN),
    "broken header": (
        _raw("HTTP/1.1 200 OK\r\nCANARY\r\n\r\n"),
        State.ERROR,
        Code.REPLY_UNRECOGNISED,
        Effect.UNKNOWN,
    ),
    "no end marked": (_raw("HTTP/1.1 200 OK\r\n\r\nCANARY"), State.ERROR, Code.REPLY_UNRECOGNISED, Effect.UNKNOWN),
    "header flood": (
        lambda v: v.reply(201, b"{}", ("X-Flood", v.aviary.plant("flood", v.aviary.kinds.EMAIL) * 1000)),
        State.ERROR,
        Code.REPLY_UNRECOGNISED,
        Effect.UNKNOWN,
    ),
    "body flood": (
        lambda v: v.reply(201, v.aviary.one_of_each("flood").encode() * 12_000),
        State.ERROR,
        Code.REPLY_UNRECOGNISED,
        Effect.UNKNOWN,
    ),
    "compressed": (
        lambda v: v.reply(201, b"x" * 100, ("Content-Encoding", "gzip")),
        State.ERROR,
        Code.REPLY_UNRECOGNISED,
        Effect.UNKNOWN,
    ),
    "cached": (
        lambda v: v.reply(201, b"{}", ("X-Cache", f"HIT {v.aviary.plant('X-Cache', v.aviary.kinds.EMAIL)}")),
        State.ERROR,
        Code.REPLY_CACHED,
        Effect.UNKNOWN,
    ),
    "late": (lambda vendor: LATE, State.ERROR, Code.EXTERNAL_TIMEOUT, Effect.UNKNOWN),
}


@pytest.mark.requirement("ADAPT-04", "ADAPT-02", "AUDIT-25", "AUDIT-28", "PHI-01", "PHI-02")
@pytest.mark.parametrize("said", WRITES)
async def test_nothing_of_a_reply_to_the_commit_stays(clinic: Any, vendor: Any, said: str) -> None:
    say, state, code, effect = WRITES[said]
    vendor.say["write"] = say(vendor)
    if isinstance(vendor.say["write"], bytes):
        vendor.say["write"] = lambda asked, usual: say(vendor)
    async with clinic.gateway() as gateway:
        outcome = await clinic.commit(gateway)
        await clinic.read_back(gateway)
    assert (outcome.state, outcome.code, outcome.effect) == (state, code, effect)
    ((_, _, headers, body),) = vendor.written
    assert headers["authorization"] == f"Bearer {clinic.token}"
    sent = json.loads(body)
    words = {each.value for each in clinic.aviary.canaries if each.place.startswith("vendor identifier")}
    assert {sent["patient"], *sent["participants"], sent["location"], sent["service"]} <= words
    assert clinic.leaks() == []


READS: dict[str, tuple[str, Say, Code]] = {
    "unauthorised": ("health", lambda v: v.problem(401, "unauthorised"), Code.CREDENTIALS_REJECTED),
    "forbidden": ("capabilities", lambda v: v.problem(403, "forbidden"), Code.EXTERNAL_FORBIDDEN),
    "no such permission": (
        "capabilities",
        lambda v: v.document(200, permissions=[v.aviary.plant("permission")]),
        Code.EXTERNAL_FORBIDDEN,
    ),
    "unavailable": ("health", lambda v: v.problem(503, "unavailable"), Code.EXTERNAL_UNAVAILABLE),
    "broken JSON": ("health", _garbage, Code.READINESS_UNVERIFIABLE),
    "redirect": ("health", lambda v: v.reply(302, b""), Code.READINESS_UNVERIFIABLE),
    "cut short": ("slots", _cut, Code.CONNECTION_LOST),
    "no HTTP": ("health", _raw("CANARY\r\n\r\n"), Code.REPLY_UNRECOGNISED),
    "cached": ("slots", lambda v: v.reply(200, b"{}", ("Age", "17")), Code.REPLY_CACHED),
    "late": ("health", lambda vendor: LATE, Code.EXTERNAL_TIMEOUT),
    "taken": ("slots", lambda v: v.document(200, free=False), Code.SLOT_TAKEN),
}


@pytest.mark.requirement("ADAPT-04", "AUDIT-28", "PHI-01", "PHI-02")
@pytest.mark.parametrize("said", READS)
async def test_nothing_of_a_reply_to_readiness_stays(clinic: Any, vendor: Any, said: str) -> None:
    action, say, code = READS[said]
    vendor.say[action] = say(vendor)
    async with clinic.gateway() as gateway:
        outcome = await clinic.commit(gateway)
        await clinic.read_back(gateway)
    assert (outcome.state, outcome.code) == (State.BLOCKED, code)
    assert vendor.asked
    assert vendor.written == []
    assert clinic.leaks() == []


LOOKS: dict[str, tuple[Say | None, ObservationFinding]] = {
    "present": (None, ObservationFinding.PRESENT),
    "absent": (lambda v: v.document(200, items=[]), ObservationFinding.INDETERMINATE),
    "different": (
        lambda vendor: (
            lambda asked, usual: vendor.document(
                200, items=[{**vendor.appointment, "location": vendor.aviary.plant("another place")}]
            )
        ),
        ObservationFinding.DIFFERENT,
    ),
    "somebody else's": (
        lambda v: v.document(200, items=[{"id": v.aviary.plant("another id"), "keys": []}]),
        ObservationFinding.INDETERMINATE,
    ),
    "broken JSON": (_garbage, ObservationFinding.INDETERMINATE),
    "no HTTP": (_raw("CANARY\r\n\r\n"), ObservationFinding.INDETERMINATE),
    "unauthorised": (lambda v: v.problem(401, "unauthorised"), ObservationFinding.INDETERMINATE),
    "late": (lambda vendor: LATE, ObservationFinding.INDETERMINATE),
}


@pytest.mark.requirement("ADAPT-04", "AUDIT-28", "PHI-01", "OPS-03")
@pytest.mark.parametrize("said", LOOKS)
async def test_nothing_of_what_a_look_sees_stays(clinic: Any, vendor: Any, said: str) -> None:
    say, finding = LOOKS[said]
    vendor.say["write"] = b""
    if say is not None:
        vendor.say["find"] = say(vendor)
    async with clinic.gateway() as gateway:
        proposal, approval = await clinic.proposed(gateway)
        lost = await clinic.witness.ask(gateway.commit(clinic.rehearsal.trigger(proposal, approval)))
        seen = await clinic.witness.ask(clinic.rehearsal.observe(gateway, proposal, lost))
        resolved = await clinic.witness.ask(clinic.rehearsal.resolve(gateway, seen, Finding.HANDLED_BY_HAND))
        await clinic.read_back(gateway)
    assert (lost.code, lost.effect) == (Code.CONNECTION_LOST, Effect.UNKNOWN)
    assert seen.observation.finding is finding
    assert resolved.resolution is Finding.HANDLED_BY_HAND
    assert len(vendor.written) == 1
    assert clinic.leaks() == []


@pytest.mark.requirement("PHI-01", "PHI-03", "PHI-04", "AUDIT-26", "AUDIT-28")
async def test_what_a_vendor_calls_an_appointment_goes_home_and_nowhere_else(clinic: Any, vendor: Any) -> None:
    """Booked, then cancelled by the vendor's own identifier and version, which only the registry knows."""
    async with clinic.gateway() as gateway:
        patient = clinic.rehearsal.enrol()
        clinic.identify(patient.patient, "patient")
        start = clinic.rehearsal.next_slot() + 7 * SLOT
        booking = await clinic.rehearsal.propose(gateway, patient, start=start)
        booked = await clinic.witness.ask(clinic.rehearsal.commit(gateway, booking))
        cancelling = await clinic.rehearsal.propose(
            gateway, patient, Operation.CANCEL, start=start, target=target_of(booked)
        )
        vendor.say["write"] = lambda asked, usual: vendor.problem(409, "not-booked")
        held = vendor.appointment
        vendor._write = lambda headers, body: b""
        cancelled = await clinic.witness.ask(clinic.rehearsal.commit(gateway, cancelling))
        await clinic.read_back(gateway)
    bound = clinic.local.registry.booking(booked.external_reference)
    assert (bound.history[-1].identifier, bound.history[-1].version) == (held["id"], held["version"])
    assert (cancelled.code, cancelled.effect) == (Code.TARGET_CHANGED, Effect.REFUSED)
    method, target, headers, _ = vendor.written[-1]
    assert (method, headers["if-match"]) == ("POST", f'"{held["version"]}"')
    assert held["id"].replace("/", "%2F") in target
    assert clinic.leaks() == []
