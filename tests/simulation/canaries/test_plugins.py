"""A plugin of the practice, or an adapter, that raises with data in its exception: only a bounded code comes out."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, ValidationError

from adapters.sandbox.faults import Action, Fault
from gateway.contracts.failures import Code
from gateway.contracts.outcome import Outcome
from gateway.contracts.words import Effect, State
from gateway.errors import JournalUnavailable, UsageError


class Strict(BaseModel):
    number: int


class UnprintableError(Exception):
    """Even its text raises, with data in that exception, too."""

    def __str__(self) -> str:
        raise ValueError(self.args[0])


def _noted(text: str) -> Exception:
    error = RuntimeError(text)
    error.add_note(text)
    error.__cause__ = KeyError(text)
    return error


def _invalid(text: str) -> Exception:
    try:
        Strict.model_validate({"number": text, text: text})
    except ValidationError as error:
        return error
    raise AssertionError


ERRORS: dict[str, Any] = {
    "a plain exception": RuntimeError,
    "notes and a cause": _noted,
    "a validation error": _invalid,
    "a transport error": lambda text: httpx.ConnectError(
        text, request=httpx.Request("GET", "http://x.example/" + text)
    ),
    "one of the gateway's own": UsageError,
    "an unprintable exception": UnprintableError,
    "a group": lambda text: ExceptionGroup(text, [ValueError(text)]),
    "a cancellation": asyncio.CancelledError,
    "an exit": SystemExit,
}

PLACES: dict[str, tuple[str, Code]] = {
    "identity evidence": ("gateway.practice.sources.RegistryEvidence.identity", Code.EVIDENCE_UNAVAILABLE),
    "notice evidence": ("gateway.practice.sources.RegistryEvidence.notice", Code.EVIDENCE_UNAVAILABLE),
    "resolver": ("gateway.practice.sources.RegistryResolver.resolve", Code.EVIDENCE_UNAVAILABLE),
    "credentials": ("gateway.boundary.credentials.FileSecrets.secret", Code.CREDENTIALS_REJECTED),
    "a sink's readiness": ("gateway.audit.sinks.FileSink.ready", Code.AUDIT_UNAVAILABLE),
    "readiness": ("adapters.sandbox.adapter.SandboxAdapter.readiness", Code.ADAPTER_FAULT),
}
"""Each is asked before the intent: the attempt is blocked and nothing is sent."""


def _break(monkeypatch: pytest.MonkeyPatch, aviary: Any, target: str, error: str) -> list[str]:
    """Let a method raise; the list says how often it did."""
    raised: list[str] = []

    async def raising(*_: object, **__: object) -> Any:
        raised.append(target)
        raise ERRORS[error](aviary.one_of_each(f"{error} of {target}"))

    monkeypatch.setattr(target, raising)
    return raised


@pytest.mark.requirement("AUDIT-25", "AUDIT-28", "PHI-01", "PHI-02", "ADAPT-04", "FAIL-13")
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("place", PLACES)
async def test_an_exception_before_the_intent_blocks_and_is_not_repeated(
    site: Any, monkeypatch: pytest.MonkeyPatch, place: str, error: str
) -> None:
    target, code = PLACES[place]
    if (place, error) in {("credentials", "a cancellation"), ("credentials", "an exit")}:
        code = Code.ADAPTER_FAULT  # it is asked within the adapter's phase, whose own end this looks like
    async with site.gateway() as gateway:
        raised = _break(monkeypatch, site.aviary, target, error)
        outcome = await site.commit(gateway)
        await site.read_back(gateway)
    assert raised
    assert isinstance(outcome, Outcome)
    assert (outcome.state, outcome.code, outcome.recorded) == (State.BLOCKED, code, True)
    assert await site.world.sent() == 0
    assert site.leaks() == []


@pytest.mark.requirement("AUDIT-15", "AUDIT-28", "NORETRY-04")
@pytest.mark.parametrize("error", ERRORS)
async def test_a_sink_that_raises_is_asked_once_and_not_quoted(
    site: Any, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    async with site.gateway() as gateway:
        raised = _break(monkeypatch, site.aviary, "gateway.audit.sinks.FileSink.accept", error)
        outcome = await site.commit(gateway)
        await site.read_back(gateway)
    assert (outcome.state, outcome.code, outcome.effect) == (State.BLOCKED, Code.AUDIT_UNAVAILABLE, Effect.NOT_SENT)
    assert len(raised) == 2  # the intent, and the end: each batch is offered once
    assert await site.world.sent() == 0
    assert site.leaks() == []


@pytest.mark.requirement("ADAPT-03", "ADAPT-04", "AUDIT-25")
@pytest.mark.parametrize("error", ERRORS)
async def test_an_adapter_that_raises_in_its_commit_is_not_quoted(
    site: Any, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    async with site.gateway() as gateway:
        _break(monkeypatch, site.aviary, "adapters.sandbox.adapter.SandboxAdapter.commit", error)
        outcome = await site.commit(gateway)
        await site.read_back(gateway)
    assert (outcome.state, outcome.code, outcome.effect) == (State.ERROR, Code.ADAPTER_FAULT, Effect.NOT_SENT)
    assert await site.world.sent() == 0
    assert site.leaks() == []


@pytest.mark.requirement("PHI-01", "AUDIT-28")
@pytest.mark.parametrize("error", ERRORS)
async def test_a_bind_hook_that_raises_leaves_the_effect_and_is_not_quoted(
    site: Any, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    async with site.gateway() as gateway:
        _break(monkeypatch, site.aviary, "gateway.practice.sources.RegistryResolver.bind", error)
        outcome = await site.commit(gateway)
        await site.read_back(gateway)
    assert (outcome.state, outcome.binding_outstanding) == (State.SUCCEEDED, True)
    assert await site.world.sent() == 1
    assert site.leaks() == []


@pytest.mark.requirement("ADAPT-04", "AUDIT-28")
@pytest.mark.parametrize("error", ERRORS)
async def test_an_adapter_that_raises_when_it_looks_is_not_quoted(
    site: Any, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    site.world.arm(Fault.DROP_AFTER, Action.BOOK)
    async with site.gateway() as gateway:
        raised = _break(monkeypatch, site.aviary, "adapters.sandbox.adapter.SandboxAdapter.observe", error)
        outcome = await site.commit(gateway)
        await site.read_back(gateway)
    assert raised
    assert (outcome.effect, outcome.observation.finding) == (Effect.UNKNOWN, "INDETERMINATE")
    assert site.leaks() == []


@pytest.mark.requirement("AUDIT-25", "PHI-02", "ABORT-07", "NORETRY-03")
@pytest.mark.parametrize("error", [JournalUnavailable, RuntimeError, UnprintableError])
async def test_a_defect_of_the_gateway_itself_is_not_quoted(
    site: Any, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    async with site.gateway() as gateway:
        text = site.aviary.one_of_each("a defect's text")
        judged: list[object] = []

        def broken(_: object, case: object) -> None:
            judged.append(case)
            raise error(text)

        monkeypatch.setattr("gateway.gates.Gatekeeper.judge_records", broken)
        outcome = await site.commit(gateway)
        await site.read_back(gateway)
    expected = Code.AUDIT_UNAVAILABLE if error is JournalUnavailable else Code.INVARIANT_VIOLATION
    assert outcome.code is expected
    assert len(judged) == 1
    assert await site.world.sent() == 0
    assert site.leaks() == []
