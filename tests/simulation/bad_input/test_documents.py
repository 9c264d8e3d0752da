"""Proposals that are none: what a program or a person may hand in by mistake, or in bad faith."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.contracts.references import PracticeId
from gateway.errors import Conflict, InvalidInput, MalformedInput

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEX = "0123456789abcdef0123456789abcdef"


def _set(**members: Any) -> Callable[[dict[str, Any], str], bytes]:
    """The good document with members replaced; CANARY in a text becomes the canary."""

    def change(good: dict[str, Any], canary: str) -> bytes:
        smuggled = {
            name: value.replace("CANARY", canary) if isinstance(value, str) else value
            for name, value in members.items()
        }
        return json.dumps({**good, **smuggled}).encode()

    return change


def _without(name: str) -> Callable[[dict[str, Any], str], bytes]:
    return lambda good, canary: json.dumps({key: value for key, value in good.items() if key != name}).encode()


MALFORMED: dict[str, tuple[Callable[[dict[str, Any], str], bytes | str], str]] = {
    "nothing": (lambda good, canary: b"", "not JSON"),
    "words": (lambda good, canary: canary.encode(), "not JSON"),
    "cut short": (lambda good, canary: json.dumps({**good, "name": canary})[:-1], "line 1"),
    "two documents": (lambda good, canary: json.dumps(good) + json.dumps({"name": canary}), "not JSON"),
    "NaN": (lambda good, canary: json.dumps({**good, "revision": float("nan"), "name": canary}), "NaN"),
    "infinity": (lambda good, canary: json.dumps({**good, "revision": float("-inf")}), "Infinity"),
    "a number of 5000 digits": (lambda good, canary: b'{"revision":' + b"7" * 5000 + b"}", "bounds"),
    "a member twice": (
        lambda good, canary: f'{json.dumps(good)[:-1]},"patient":"{canary}"}}',
        "appears twice",
    ),
    "a member twice, escaped": (
        lambda good, canary: f'{json.dumps(good)[:-1]},"p\\u0061tient":"{canary}"}}',
        "appears twice",
    ),
    "too deep": (lambda good, canary: b'{"a":' * 300 + b"1" + b"}" * 300, "nested deeper"),
    "deeper than Python goes": (lambda good, canary: b"[" * 30_000 + b"]" * 30_000, "bounds"),
    "too large": (lambda good, canary: json.dumps({**good, "note": canary * 4000}), "the limit is"),
    "not UTF-8": (lambda good, canary: b'{"patient":"\xff\xfe"}', "UTF-8"),
    "UTF-16": (lambda good, canary: json.dumps(good).encode("utf-16"), "UTF-8"),
    "a byte order mark": (lambda good, canary: b"\xef\xbb\xbf" + json.dumps(good).encode(), "not JSON"),
    "a lone surrogate": (lambda good, canary: '{"patient":"\ud800"}', "UTF-8"),
    "single quotes": (lambda good, canary: repr({**good, "name": canary}), "not JSON"),
}


@pytest.mark.requirement("GATE-17", "CTX-02", "FAIL-02")
@pytest.mark.parametrize("name", MALFORMED)
async def test_what_is_no_json_document_is_refused(stage: Any, name: str) -> None:
    spoil, names = MALFORMED[name]
    good = (await stage.approved())[0].plain()
    await stage.meets("propose", spoil(good, stage.canary), MalformedInput, names)


INVALID: dict[str, tuple[Callable[[dict[str, Any], str], bytes | str], str]] = {
    "a batch": (lambda good, canary: json.dumps([good, good]), "document"),
    "a string": (lambda good, canary: json.dumps(canary), "document"),
    "null": (lambda good, canary: b"null", "document"),
    "an unknown field": (lambda good, canary: json.dumps({**good, canary: canary}), "*: unknown member"),
    "an urgent flag": (_set(urgent=True), "*: unknown member"),
    "an emergency": (_set(priority="emergency CANARY"), "*: unknown member"),
    "the particulars themselves": (_set(particulars={"name": "x", "start": "x"}), "*: unknown member"),
    **{
        f"no {name}": (_without(name), f"{name}: missing")
        for name in ("proposal_id", "practice", "connection", "operation", "origin", "initiator", "patient")
    },
    "no consent": (_without("consent"), "consent: missing"),
    "no commitment": (_without("commitment"), "commitment: missing"),
    "no expiry": (_without("expires_at"), "expires_at: missing"),
    "null for a patient": (_set(patient=None), "patient"),
    "a name for a patient": (_set(patient="CANARY"), "patient"),
    "a name behind the right prefix": (_set(patient="pat_CANARY"), "patient"),
    "a telephone number": (_set(patient="+49 30 901820"), "patient"),
    "an e-mail address": (_set(patient="CANARY@clinic.example"), "patient"),
    "a birth date": (_set(patient="1957-03-21"), "patient"),
    "a padded record number": (_set(patient="pat_" + "00000000000000000000000048213377"), "patient"),
    "a number as reference": (_set(patient="pat_" + "48213377482133774821337748213377"), "patient"),
    "a short reference": (_set(patient=f"pat_{HEX[:-1]}"), "patient"),
    "capitals in a reference": (_set(patient=f"pat_{HEX.upper()}"), "patient"),
    "a line break behind a reference": (_set(patient=f"pat_{HEX}\n"), "patient"),
    "digits of another script": (_set(patient="pat_" + HEX.replace("1", "\u0661")), "patient"),
    "a reference of another kind": (_set(patient=f"psn_{HEX}"), "patient"),
    "a number for a patient": (_set(patient=48213377), "patient"),
    "a list of patients": (_set(patient=[f"pat_{HEX}", f"pat_{HEX}"]), "patient"),
    "a series": (_set(operation="schedule.series@v1"), "operation"),
    "a message": (_set(operation="comm.send_message@v1"), "operation"),
    "a path as operation": (_set(operation="../schedule.book@v1"), "operation"),
    "two operations": (_set(operation=["schedule.book@v1", "schedule.cancel@v1"]), "operation"),
    "an unknown origin": (_set(origin="CANARY"), "origin"),
    "revision nought": (_set(revision=0), "revision"),
    "revision one thousand": (_set(revision=1000), "revision"),
    "a revision in words": (_set(revision="1"), "revision"),
    "half a revision": (_set(revision=1.5), "revision"),
    "a revision that is true": (_set(revision=True), "revision"),
    "a consent in words": (_set(consent="CANARY"), "consent"),
    "a commitment too short": (_set(commitment="ab" * 31), "commitment"),
    "capitals in a commitment": (_set(commitment="AB" * 32), "commitment"),
    "a naive expiry": (_set(expires_at="2031-01-05T09:00:00"), "expires_at"),
    "an expiry of another zone": (_set(expires_at="2031-01-05T09:00:00+01:00"), "expires_at"),
    "an expiry as a number": (_set(expires_at=1925283600), "expires_at"),
    "an expiry as digits": (_set(expires_at="1925283600"), "expires_at"),
    "an expiry in words": (_set(expires_at="tomorrow CANARY"), "expires_at"),
    "a day that does not exist": (_set(expires_at="2031-02-30T09:00:00Z"), "expires_at"),
    "an expiry before its making": (
        _set(expires_at="2001-01-05T09:00:00Z"),
        "document: expires_at must be later than created_at",
    ),
    "a booking with a target": (_set(target={"appointment": f"apt_{HEX}", "version": "ab" * 32}), "a booking has none"),
    "a cancellation without a target": (_set(operation="schedule.cancel@v1"), "names its target"),
    "a target in words": (_set(operation="schedule.cancel@v1", target="CANARY"), "target"),
    "a target without a version": (
        _set(operation="schedule.cancel@v1", target={"appointment": f"apt_{HEX}"}),
        "target.version: missing",
    ),
    "another practice's": (_set(practice=PracticeId.random()), "practice: not this gateway's practice"),
}


@pytest.mark.requirement("GATE-17", "CTX-02", "PHI-05", "ABORT-04", "TRIG-09", "TRIG-10")
@pytest.mark.parametrize("name", INVALID)
async def test_a_document_of_other_content_is_refused_by_field(stage: Any, name: str) -> None:
    spoil, names = INVALID[name]
    proposal, _ = await stage.approved()
    await stage.meets("propose", spoil(proposal.plain(), stage.canary), InvalidInput, names)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"expires_at": "2035-01-05T09:00:00Z"}, "the next revision of this proposal is 2"),
        ({"revision": 3}, "the next revision of this proposal is 2"),
        ({"proposal_id": f"prp_{HEX}", "revision": 2}, "the next revision of this proposal is 1"),
    ],
    ids=["the same revision of other bytes", "a revision left out", "a second revision of nothing"],
)
async def test_a_revision_out_of_order_is_a_conflict(stage: Any, changes: dict[str, Any], names: str) -> None:
    proposal, _ = await stage.approved()
    await stage.meets("propose", json.dumps({**proposal.plain(), **changes}), Conflict, names)
