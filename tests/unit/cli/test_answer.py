"""How a command ends: one document, one exit code, and nothing that it should not say."""

from __future__ import annotations

import json

import pytest
import typer

from gateway.cli.answer import ExitCode, answering
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.faults import Fault
from gateway.errors import (
    AuditTampered,
    ConfigurationError,
    Conflict,
    DocumentError,
    GatewayError,
    InvalidInput,
    InvariantViolation,
    JournalFailed,
    JournalUnavailable,
    MalformedInput,
    NotFound,
    SignatureRefused,
)

CANARY = "canary-7f3a"


def ended(error: Exception, as_json: bool) -> int:
    with pytest.raises(typer.Exit) as exit_, answering(as_json):
        raise error
    return exit_.value.exit_code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MalformedInput("x"), ExitCode.USAGE),
        (InvalidInput("Proposal", (Fault("patient", "missing", "missing"),)), ExitCode.USAGE),
        (SignatureRefused("x"), ExitCode.USAGE),
        (NotFound("x"), ExitCode.USAGE),
        (Conflict("x"), ExitCode.USAGE),
        (ConfigurationError("x"), ExitCode.BLOCKED),
        (DocumentError("x"), ExitCode.BLOCKED),
        (JournalUnavailable("x"), ExitCode.BLOCKED),
        (Refusal(Code.PARTICULARS_CHANGED), ExitCode.BLOCKED),
        (JournalFailed("x"), ExitCode.ERROR),
        (InvariantViolation("x"), ExitCode.ERROR),
        (AuditTampered("x"), ExitCode.ERROR),
    ],
)
def test_each_kind_of_error_has_its_exit_code(
    error: GatewayError, code: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(error, as_json=True) == code
    document = json.loads(capsys.readouterr().out)
    assert (document["ok"], document["exit_code"]) == (False, code)
    assert document["error"]["kind"] == type(error).__name__


def test_input_that_a_contract_refuses_names_each_field(capsys: pytest.CaptureFixture[str]) -> None:
    later = "expires_at must be later than created_at"
    faults = (Fault("patient", "missing", "missing"), Fault("expires_at", "value_error", later))
    error = InvalidInput("Proposal", faults)
    ended(error, as_json=True)
    assert json.loads(capsys.readouterr().out)["error"]["faults"] == [
        {"field": "patient", "fault": "missing", "message": "missing"},
        {"field": "expires_at", "fault": "value_error", "message": later},
    ]
    ended(error, as_json=False)
    said = capsys.readouterr()
    assert said.out == "" and "patient: missing" in said.err and f"expires_at: {later}" in said.err


@pytest.mark.parametrize("as_json", [True, False])
def test_a_bug_is_told_by_type_and_place_and_never_by_its_text(
    as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(ValueError(CANARY), as_json) == ExitCode.ERROR
    said = capsys.readouterr()
    text = said.out + said.err
    assert CANARY not in text and "Traceback" not in text
    assert "ValueError in " in text and (said.out == "") is not as_json


def test_a_document_is_the_only_thing_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as exit_, answering(True) as answer:
        answer.give({"a": 1}, ["a page"], ExitCode.PAUSED)
    assert exit_.value.exit_code == 7
    said = capsys.readouterr()
    assert json.loads(said.out) == {"ok": False, "exit_code": 7, "a": 1}
    assert said.err == ""
