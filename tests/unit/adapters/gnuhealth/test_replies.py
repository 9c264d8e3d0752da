"""Every row of the table of replies, and what has none."""

from __future__ import annotations

import json

import httpx
import pytest

from adapters.gnuhealth.replies import TABLES, WRITES, written
from gateway.contracts.adapter import Claim, Receipt
from gateway.contracts.failures import Code

REFUSED = Receipt.refused
EXPECTED = {
    (200, "result"): Receipt.applied(),
    (200, "UserError"): REFUSED(Code.EXTERNAL_INVALID),
    (200, "ConcurrencyException"): REFUSED(Code.TARGET_CHANGED),
    (200, "UserWarning"): REFUSED(Code.EXTERNAL_INVALID),
    (200, "LoginException"): REFUSED(Code.CREDENTIALS_REJECTED),
    (401, ""): REFUSED(Code.CREDENTIALS_REJECTED),
}
DETAILS = {"ConcurrencyException": "Records were modified in the meanwhile"}


def test_no_row_is_without_a_test_and_none_without_a_source() -> None:
    assert WRITES.keys() == EXPECTED.keys()
    assert list(TABLES.values()) == [WRITES]
    assert all(row.source for row in WRITES.values())


@pytest.mark.requirement("ADAPT-03", "FAIL-15")
@pytest.mark.parametrize(("status", "word"), EXPECTED)
def test_each_row_means_what_it_says(status: int, word: str) -> None:
    body: object = "<html>" if not word else {"id": 1, "error": [word, DETAILS.get(word, ["no", "", None])]}
    if word == "result":
        body = {"id": 1, "result": [7]}
    receipt, made = written(httpx.Response(status, content=json.dumps(body)))
    assert receipt == EXPECTED[status, word]
    assert made == ((7,) if word == "result" else None)


@pytest.mark.requirement("FAIL-19")
@pytest.mark.parametrize(
    "status",
    [201, 202, 204, 301, 307, 400, 403, 404, 405, 408, 409, 411, 412, 413, 415, 422, 423, 429, 500, 502, 503, 504],
)
def test_a_status_without_a_row_is_unknown(status: int) -> None:
    receipt, _ = written(httpx.Response(status, json={"id": 1, "result": [7]}))
    assert receipt.claim is Claim.UNKNOWN
    assert receipt.code is (Code.EXTERNAL_ERROR if status >= 500 else Code.REPLY_UNRECOGNISED)


@pytest.mark.requirement("FAIL-19")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"result":[7]}',
        b'{"id":1}',
        b'{"id":2,"result":[7]}',
        b'{"id":"1","result":[7]}',
        b'{"id":1,"result":[7],"error":null}',
        b'{"id":1,"result":"7"}',
        b'{"id":1,"result":{"id":7}}',
        b'{"id":1,"error":null}',
        b'{"id":1,"error":[]}',
        b'{"id":1,"error":["UserError"]}',
        b'{"id":1,"error":"UserError"}',
        b'{"id":1,"error":["UserError","Traceback"]}',
        b'{"id":1,"error":["UserError",""]}',
        b'{"id":1,"error":["ConcurrencyException",["x"]]}',
        b'{"id":1,"error":["result",["x"]]}',
        b'{"id":1,"error":[["UserError"],["x"]]}',
        b'{"id":1,"error":["UserError",["x"],1]}',
        b'{"id":1,"error":["MissingDependenciesException",["x"]]}',
        b'{"id":1,"error":["could not serialize access due to concurrent update",""]}',
        b'{"id":1,"result":[7]',
        b'\xff{"id":1,"result":[7]}',
    ],
    ids=range(25),
)
def test_a_body_without_a_row_is_unknown(body: bytes) -> None:
    receipt, _ = written(httpx.Response(200, content=body))
    assert receipt == Receipt.unknown(Code.REPLY_UNRECOGNISED)


def test_nothing_that_was_said_is_printed() -> None:
    from adapters.gnuhealth.replies import Found

    content = {
        "id": 1,
        "result": [
            {
                **dict.fromkeys(("patient", "healthprof", "institution", "speciality"), 4711),
                "id": 4712,
                "name": "CANARY",
                "appointment_date": None,
                "state": "CANARY",
                "_timestamp": "1.5",
                "_write": True,
            }
        ],
    }
    shown = repr(Found.model_validate_json(json.dumps(content)))
    assert "CANARY" not in shown and "471" not in shown
