"""Well-formed, truly signed, and still not to be followed: the wrong time, purpose, subject or moment."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.contracts.failures import Code
from gateway.contracts.proposal import Origin
from gateway.contracts.references import (
    AttemptId,
    ConnectionId,
    DecisionId,
    ObservationId,
    PracticeId,
    ProposalId,
    SignalId,
    TriggerId,
)
from gateway.contracts.statements import Finding, Verdict
from gateway.errors import Conflict, InvalidInput, NotFound, SignatureRefused

pytestmark = pytest.mark.asyncio(loop_scope="module")

EARLIER = "2001-01-05T09:00:00Z"
LATER = "2041-01-05T09:00:00Z"

Change = Callable[[dict[str, Any]], dict[str, Any]]

TRIGGERS: dict[str, tuple[str, Change, Code, str]] = {
    "expired": ("commit", lambda _: {"issued_at": EARLIER, "expires_at": "2001-01-05T10:00:00Z"},
                Code.TRIGGER_EXPIRED, "no longer, or not yet, valid"),
    "not yet valid": ("commit", lambda _: {"issued_at": LATER, "expires_at": "2041-01-06T09:00:00Z"},
                      Code.TRIGGER_EXPIRED, "no longer, or not yet, valid"),
    "time-based": ("commit", lambda _: {"kind": "time-based"}, Code.TRIGGER_FORBIDDEN, "of this kind"),
    "an external event": ("commit", lambda _: {"kind": "external-event"}, Code.TRIGGER_FORBIDDEN, "of this kind"),
    "of no known kind": ("commit", lambda _: {"kind": "implicit"}, Code.TRIGGER_UNKNOWN, "known kind and purpose"),
    "an urgent kind": ("commit", lambda _: {"kind": "emergency"}, Code.TRIGGER_UNKNOWN, "known kind and purpose"),
    "of no known purpose": ("commit", lambda _: {"purpose": "force"}, Code.TRIGGER_UNKNOWN, "known kind and purpose"),
    "a check's, committed": ("commit", lambda _: {"purpose": "check"}, Code.TRIGGER_FORBIDDEN, "of this kind"),
    "a commit's, checked": ("check", lambda _: {"purpose": "commit"}, Code.TRIGGER_FORBIDDEN, "of this kind"),
    "two operations at once": ("commit", lambda _: {"purpose": ["commit", "commit"]},
                               Code.TRIGGER_UNKNOWN, "known kind and purpose"),
    "of several proposals": ("commit", lambda good: {"proposal_id": [good["proposal_id"]] * 2},
                             Code.TRIGGER_UNKNOWN, "known kind and purpose"),
    "without an approval": ("commit", lambda _: {"decision_id": None}, Code.TRIGGER_UNKNOWN, "known kind"),
    "with an answer to nothing": ("commit", lambda _: {"answer": _answer()}, Code.TRIGGER_UNKNOWN, "known kind"),
    "with an attempt to look at": ("commit", lambda _: {"attempt": AttemptId.random()},
                                   Code.TRIGGER_UNKNOWN, "known kind"),
    "of other bytes": ("commit", lambda _: {"proposal_digest": "0f1e2d3c" * 8}, Code.PROPOSAL_UNKNOWN, "exact bytes"),
    "of an unknown proposal": ("commit", lambda _: {"proposal_id": ProposalId.random()},
                               Code.PROPOSAL_UNKNOWN, "no proposal"),
    "of an unknown approval": ("commit", lambda _: {"decision_id": DecisionId.random()},
                               Code.APPROVAL_MISSING, "no approval"),
    "another practice's": ("commit", lambda _: {"practice": PracticeId.random()},
                           Code.TRIGGER_UNSIGNED, "trusted operator surface"),
}  # fmt: skip


def _answer() -> dict[str, str]:
    return {"attempt": AttemptId.random(), "signal": SignalId.random(), "choice": "proceed"}


@pytest.mark.requirement(
    "ABORT-02", "TRIG-01", "TRIG-03", "TRIG-05", "TRIG-06", "TRIG-07", "TRIG-09", "TRIG-10", "POLICY-06"
)
@pytest.mark.parametrize("name", TRIGGERS)
async def test_a_trigger_that_may_not_start_this_is_refused(stage: Any, name: str) -> None:
    call, change, code, names = TRIGGERS[name]
    good = await stage.valid(call)
    changed = {key: value for key, value in {**good, **change(good)}.items() if value is not None}
    await stage.meets(call, stage.signed(call, changed), code, names)


async def _commit(stage: Any, proposal: Any, approval: Any, **changes: Any) -> str:
    operator = stage.local.surface("operator")
    good = operator.commit(proposal, operator=stage.local.desk.operator, approval=approval).statement
    return str(stage.signed("commit", {**good.plain(), **changes}))


async def _other_proposals_approval(stage: Any) -> str:
    proposal, _ = await stage.approved()
    _, other = await stage.approved()
    return await _commit(stage, proposal, other)


async def _provider(stage: Any) -> str:
    proposal, _ = await stage.approved()
    revised = proposal.model_copy(update={"origin": Origin.PROVIDER, "revision": 2})
    await stage.gateway.propose(revised.canonical())
    return await _commit(stage, revised, await stage.rehearsal.decide(stage.gateway, revised))


async def _decided(stage: Any, **changes: Any) -> str:
    """A commit on a decision that was truly signed with these changes."""
    proposal, _ = await stage.approved()
    reviewer = stage.local.surface("reviewer")
    verdict = reviewer.review(proposal, reviewer=stage.local.desk.reviewer, verdict=Verdict.APPROVE).decision.statement
    await stage.gateway.decide(stage.signed("decide", {**verdict.plain(), **changes}))
    return await _commit(stage, proposal, verdict.decision_id)


async def _used(stage: Any) -> str:
    """A trigger id that did something else before."""
    proposal, approval = await stage.approved()
    first = await _commit(stage, proposal, approval, trigger_id=(taken := TriggerId.random()))
    await stage.gateway.commit(first)
    other, approval = await stage.approved()
    return await _commit(stage, other, approval, trigger_id=taken)


SUBJECTS: dict[str, tuple[Callable[[Any], Awaitable[str]], Code, str]] = {
    "another proposal's approval": (_other_proposals_approval, Code.APPROVAL_MISSING, "no approval"),
    "a provider's own request": (_provider, Code.ORIGIN_FORBIDDEN, "patient's request"),
    "an expired approval": (
        lambda stage: _decided(stage, issued_at=EARLIER, expires_at=EARLIER[:-2] + "1Z"),
        Code.APPROVAL_EXPIRED,
        "no longer, or not yet, valid",
    ),
    "an approval from the future": (
        lambda stage: _decided(
            stage, issued_at=LATER, expires_at=LATER[:-2] + "1Z", authentication={"method": "passkey", "at": LATER}
        ),
        Code.APPROVAL_EXPIRED,
        "no longer, or not yet, valid",
    ),
    "an approval of other bytes": (
        lambda stage: _decided(stage, proposal_digest="0f1e2d3c" * 8),
        Code.APPROVAL_MISMATCH,
        "other bytes",
    ),
    "an approval of another operation": (
        lambda stage: _decided(stage, operations=["schedule.cancel@v1"]),
        Code.APPROVAL_UNCOVERED,
        "does not cover",
    ),
    "an approval of nothing": (lambda stage: _decided(stage, operations=[]), Code.APPROVAL_UNCOVERED, "does not cover"),
    "a rejection": (lambda stage: _decided(stage, verdict="reject"), Code.APPROVAL_MISSING, "no approval"),
    "a machine's approval": (
        lambda stage: _decided(stage, reviewer_kind="automation"),
        Code.APPROVER_NOT_HUMAN,
        "human",
    ),
    "a conditional approval": (
        lambda stage: _decided(stage, conditions=["referral"]),
        Code.APPROVAL_CONDITIONAL,
        "conditions",
    ),
    "a trigger id that was used": (_used, Code.IDEMPOTENCY_COLLISION, "trigger id"),
}


@pytest.mark.requirement("POLICY-06", "TRIG-08", "GATE-01", "FAIL-26")
@pytest.mark.parametrize("name", SUBJECTS)
async def test_a_commit_without_a_fitting_approval_is_blocked(stage: Any, name: str) -> None:
    build, code, names = SUBJECTS[name]
    await stage.meets("commit", await build(stage), code, names)


async def _observing(stage: Any, proposal: Any, attempt: AttemptId) -> str:
    surface = stage.local.surface("operator")
    return str(surface.observe(proposal, operator=stage.local.desk.operator, attempt=attempt).token)


async def _observe_unknown(stage: Any) -> str:
    return await _observing(stage, (await stage.approved())[0], AttemptId.random())


async def _observe_undispatched(stage: Any) -> str:
    proposal, _ = await stage.approved()
    blocked = await stage.gateway.commit(await _commit(stage, proposal, DecisionId.random()))
    return await _observing(stage, proposal, blocked.attempt)


async def _observe_as_another(stage: Any) -> str:
    _, lost = await stage.lost()
    return await _observing(stage, (await stage.approved())[0], lost.attempt)


async def _resume(stage: Any, attempt: Any, proposal: Any, approval: Any) -> str:
    answer = {"attempt": attempt, "signal": SignalId.random(), "choice": "proceed"}
    return await _commit(stage, proposal, approval, purpose="resume", answer=answer)


async def _resume_unknown(stage: Any) -> str:
    return await _resume(stage, AttemptId.random(), *(await stage.approved()))


async def _resume_finished(stage: Any) -> str:
    proposal, approval = await stage.approved()
    done = await stage.gateway.commit(await _commit(stage, proposal, approval))
    return await _resume(stage, done.attempt, proposal, approval)


MOMENTS: dict[str, tuple[str, Callable[[Any], Awaitable[str]], Code, str]] = {
    "observe an unknown attempt": ("observe", _observe_unknown, Code.CONTEXT_MISSING, "was not given"),
    "observe what was never dispatched": ("observe", _observe_undispatched, Code.CONTEXT_INVALID, "context"),
    "observe under another proposal": ("observe", _observe_as_another, Code.CONTEXT_MISSING, "was not given"),
    "resume an unknown attempt": ("resume", _resume_unknown, Code.TRIGGER_FORBIDDEN, "of this kind"),
    "resume a finished attempt": ("resume", _resume_finished, Code.TRIGGER_FORBIDDEN, "of this kind"),
}


@pytest.mark.requirement("POLICY-06", "TRIG-07")
@pytest.mark.parametrize("name", MOMENTS)
async def test_a_trigger_about_the_wrong_attempt_is_refused(stage: Any, name: str) -> None:
    call, build, code, names = MOMENTS[name]
    await stage.meets(call, await build(stage), code, names)


RESOLUTIONS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "an unknown attempt": ({"attempt": AttemptId.random()}, NotFound, "attempt"),
    "another closing hash": ({"closing_hash": "0f1e2d3c" * 8}, Conflict, "closing_hash"),
    "a finding in words": ({"finding": "probably"}, InvalidInput, "finding"),
    "absent, on nobody's word": ({"finding": "ABSENT"}, Conflict, "observation"),
    "absent, on an unknown observation": (
        {"finding": "ABSENT", "observation": ObservationId.random()},
        Conflict,
        "observation",
    ),
    "another practice's": ({"practice": PracticeId.random()}, SignatureRefused, "practice"),
    "several attempts at once": ({"attempt": [AttemptId.random(), AttemptId.random()]}, InvalidInput, "attempt"),
}


@pytest.mark.requirement("FAIL-23", "FAIL-26")
@pytest.mark.parametrize("name", RESOLUTIONS)
async def test_a_resolution_that_does_not_fit_is_refused(stage: Any, name: str) -> None:
    changes, error, names = RESOLUTIONS[name]
    await stage.meets("resolve", stage.signed("resolve", {**await stage.valid("resolve"), **changes}), error, names)


@pytest.mark.requirement("FAIL-23")
async def test_absence_on_an_observation_that_saw_it_present_is_refused(stage: Any) -> None:
    proposal, lost = await stage.lost()
    seen = await stage.rehearsal.observe(stage.gateway, proposal, lost)
    good = await stage.valid("resolve")
    relying = {
        **good,
        "attempt": lost.attempt,
        "closing_hash": lost.closing_hash,
        "finding": "ABSENT",
        "observation": seen.observation.observation_id,
    }
    await stage.meets("resolve", stage.signed("resolve", relying), Conflict, "observation")


async def test_a_second_resolution_is_refused(stage: Any) -> None:
    _, lost = await stage.lost()
    await stage.rehearsal.resolve(stage.gateway, lost, Finding.APPLIED)
    good = await stage.valid("resolve")
    second = {**good, "attempt": lost.attempt, "closing_hash": lost.closing_hash, "finding": "HANDLED_BY_HAND"}
    await stage.meets("resolve", stage.signed("resolve", second), Conflict, "attempt")


async def test_what_is_known_is_not_resolved(stage: Any) -> None:
    proposal, approval = await stage.approved()
    done = await stage.gateway.commit(await _commit(stage, proposal, approval))
    good = await stage.valid("resolve")
    known = {**good, "attempt": done.attempt, "closing_hash": done.closing_hash}
    await stage.meets("resolve", stage.signed("resolve", known), Conflict, "attempt")


@pytest.mark.parametrize("call", ["stop", "withdraw", "decide"])
async def test_a_statement_about_an_unknown_proposal_is_refused(stage: Any, call: str) -> None:
    good = await stage.valid(call)
    token = stage.signed(call, {**good, "proposal_id": ProposalId.random()})
    await stage.meets(call, token, NotFound, "proposal")


@pytest.mark.parametrize(
    ("call", "name"), [("stop", "statement_id"), ("withdraw", "statement_id"), ("decide", "decision_id")]
)
async def test_a_reference_that_said_something_else_before_is_a_conflict(stage: Any, call: str, name: str) -> None:
    good = await stage.valid(call)
    await getattr(stage.gateway, call)(stage.signed(call, good))
    moment = {"issued_at": EARLIER}
    await stage.meets(call, stage.signed(call, {**good, **moment}), Conflict, "reference")


@pytest.mark.parametrize(("call", "kind"), [("proposal", ProposalId), ("attempt", AttemptId)])
async def test_what_was_never_recorded_is_not_found(stage: Any, call: str, kind: Any) -> None:
    await stage.meets(call, kind.random(), NotFound, call)


async def test_an_unknown_connection_cannot_be_suspended(stage: Any) -> None:
    with pytest.raises(NotFound, match="connection"):
        await stage.gateway.suspend(ConnectionId.random(), True)


async def test_a_statement_of_a_key_that_is_trusted_no_more_is_refused(stage: Any) -> None:
    """Revoked: the practice took the key out of its keys and sealed anew."""
    from gateway.gateway import Gateway
    from gateway.home import seal

    token = stage.signed("stop", good := await stage.valid("stop"))
    keys = stage.local.home / "keys.json"
    before = keys.read_bytes()
    listed = json.loads(before)
    listed["keys"] = [key for key in listed["keys"] if key["kid"] != "operator"]
    keys.write_text(json.dumps(listed))
    seal(stage.local.home)
    try:
        async with Gateway.open(stage.local.home) as gateway:
            with pytest.raises(SignatureRefused, match="kid"):
                await gateway.stop(token)
            outcome = await gateway.commit(stage.signed("commit", await stage.valid("commit")))
    finally:
        keys.write_bytes(before)
        seal(stage.local.home)
    assert outcome.code is Code.TRIGGER_UNSIGNED
    assert good["proposal_id"] not in outcome.model_dump_json()


async def test_a_trigger_with_another_proposals_bytes_leaves_a_journal_that_verifies(stage: Any) -> None:
    one, approval = await stage.approved()
    other, _ = await stage.approved()
    mixed = await _commit(stage, one, approval, proposal_digest=other.proposal_digest)
    await stage.meets("commit", mixed, Code.PROPOSAL_UNKNOWN, "exact bytes")
    stage.verify()
