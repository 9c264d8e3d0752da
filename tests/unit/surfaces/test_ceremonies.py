"""What each act signs, and that the trusted half reads exactly that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.clock import SystemClock
from gateway.contracts.failures import Code
from gateway.contracts.outcome import Outcome
from gateway.contracts.proposal import Notice, Operation, Origin, Proposal
from gateway.contracts.references import (
    AttemptId,
    ConnectionId,
    DecisionId,
    ObservationId,
    PatientId,
    PersonId,
    PracticeId,
    ProposalId,
    SignalId,
)
from gateway.contracts.statements import (
    Authentication,
    AuthenticationMethod,
    Choice,
    Decision,
    Finding,
    Purpose,
    Resolution,
    ReviewerKind,
    Statement,
    Stop,
    Trigger,
    TriggerKind,
    Verdict,
    Withdrawal,
)
from gateway.contracts.words import Actor, ApprovalUse, Next, State
from gateway.signatures import Keyring, TrustedKeys
from gateway.surfaces.ceremonies import DECISION_HOLDS, TRIGGER_HOLDS, Surface
from gateway.surfaces.keys import Algorithm, LocalKey
from gateway.surfaces.sign import sign

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PRACTICE = PracticeId.random()
OPERATOR = PersonId.random()
REVIEWER = PersonId.random()
KINDS: tuple[type[Statement], ...] = (Decision, Trigger, Stop, Withdrawal, Resolution)


class Noon(SystemClock):
    """A clock that stands still; identifiers stay random."""

    def now(self) -> datetime:
        return NOW


@pytest.fixture(params=["Ed25519", "ES256"])
def key(request: pytest.FixtureRequest) -> LocalKey:
    algorithm: Algorithm = request.param
    return LocalKey.generate("desk", algorithm)


@pytest.fixture
def surface(key: LocalKey) -> Surface:
    return Surface(key, Noon())


@pytest.fixture
def keyring(key: LocalKey) -> Keyring:
    return Keyring(TrustedKeys(keys=(key.public([kind.typ for kind in KINDS], PRACTICE),)))


def propose(expires_at: datetime = NOW + timedelta(days=2)) -> Proposal:
    return Proposal(
        proposal_id=ProposalId.random(),
        revision=1,
        practice=PRACTICE,
        connection=ConnectionId.random(),
        operation=Operation.BOOK,
        origin=Origin.PATIENT,
        initiator=PersonId.random(),
        patient=PatientId.random(),
        consent="0123456789abcdef" * 4,
        commitment="fedcba9876543210" * 4,
        created_at=NOW - timedelta(hours=1),
        expires_at=expires_at,
    )


PROPOSAL = propose()


def test_an_approval_binds_the_proposals_bytes_and_covers_what_was_asked(surface: Surface, keyring: Keyring) -> None:
    review = surface.review(PROPOSAL, reviewer=REVIEWER, verdict=Verdict.APPROVE, notices=(Notice.SEND_MESSAGE,))
    decision = keyring.verify(review.decision.token, Decision, practice=PRACTICE).statement
    assert decision == review.decision.statement
    assert (decision.proposal_id, decision.proposal_digest) == (PROPOSAL.proposal_id, PROPOSAL.proposal_digest)
    assert decision.operations == (Operation.BOOK, Notice.SEND_MESSAGE)
    assert (decision.reviewer, decision.reviewer_kind) == (REVIEWER, ReviewerKind.HUMAN)
    assert decision.authentication == Authentication(method=AuthenticationMethod.LOCAL_KEY, at=NOW)
    assert (decision.issued_at, decision.expires_at) == (NOW, NOW + DECISION_HOLDS)
    assert decision.conditions == ()
    assert review.trigger is None


@pytest.mark.requirement("AUTH-03")
@pytest.mark.parametrize("verdict", [Verdict.REJECT, Verdict.REQUEST_MODIFICATION])
def test_only_an_approval_covers_anything_or_can_be_committed(
    surface: Surface, keyring: Keyring, verdict: Verdict
) -> None:
    review = surface.review(PROPOSAL, reviewer=REVIEWER, verdict=verdict, notices=(Notice.SEND_MESSAGE,))
    decision = keyring.verify(review.decision.token, Decision).statement
    assert (decision.verdict, decision.operations) == (verdict, ())
    with pytest.raises(ValueError, match="only an approval"):
        surface.review(PROPOSAL, reviewer=REVIEWER, verdict=verdict, commit=True)


def test_an_approval_never_outlives_its_proposal(surface: Surface) -> None:
    soon = propose(NOW + timedelta(minutes=20))
    review = surface.review(soon, reviewer=REVIEWER, verdict=Verdict.APPROVE)
    assert review.decision.statement.expires_at == soon.expires_at


def test_a_reviewer_may_sign_the_trigger_in_the_same_act(surface: Surface, keyring: Keyring) -> None:
    review = surface.review(PROPOSAL, reviewer=REVIEWER, verdict=Verdict.APPROVE, commit=True)
    assert review.trigger is not None
    trigger = keyring.verify(review.trigger.token, Trigger).statement
    assert (trigger.purpose, trigger.kind, trigger.operator) == (Purpose.COMMIT, TriggerKind.OPERATOR, REVIEWER)
    assert trigger.decision_id == review.decision.statement.decision_id
    assert trigger.proposal_digest == PROPOSAL.proposal_digest
    assert trigger.expires_at == NOW + TRIGGER_HOLDS


def test_every_start_is_a_trigger_of_its_own(surface: Surface) -> None:
    approval = DecisionId.random()
    starts = [surface.commit(PROPOSAL, operator=OPERATOR, approval=approval).statement.trigger_id for _ in range(5)]
    assert len(set(starts)) == 5


def paused(signal: SignalId | None) -> Outcome:
    return Outcome(
        attempt=AttemptId.random(),
        state=State.PAUSED,
        code=Code.DECISION_REQUIRED,
        next=Next.DECIDE,
        actor=Actor.OPERATOR,
        approval=ApprovalUse.USABLE,
        signal=signal,
    )


@pytest.mark.parametrize("choice", Choice)
def test_a_resume_answers_the_very_signal_that_asked(surface: Surface, keyring: Keyring, choice: Choice) -> None:
    waiting, approval = paused(SignalId.random()), DecisionId.random()
    signed = surface.resume(PROPOSAL, operator=OPERATOR, approval=approval, paused=waiting, choice=choice)
    trigger = keyring.verify(signed.token, Trigger).statement
    assert (trigger.purpose, trigger.decision_id) == (Purpose.RESUME, approval)
    assert trigger.answer is not None
    assert (trigger.answer.attempt, trigger.answer.signal, trigger.answer.choice) == (
        waiting.attempt,
        waiting.signal,
        choice,
    )


def test_an_attempt_that_asked_nothing_gets_no_answer(surface: Surface) -> None:
    with pytest.raises(ValueError, match="waits for no answer"):
        surface.resume(
            PROPOSAL, operator=OPERATOR, approval=DecisionId.random(), paused=paused(None), choice=Choice.PROCEED
        )


def test_check_and_observation_say_that_they_only_look(surface: Surface, keyring: Keyring) -> None:
    attempt = AttemptId.random()
    check = keyring.verify(surface.check(PROPOSAL, operator=OPERATOR).token, Trigger).statement
    look = keyring.verify(surface.observe(PROPOSAL, operator=OPERATOR, attempt=attempt).token, Trigger).statement
    assert (check.purpose, check.attempt, check.decision_id) == (Purpose.CHECK, None, None)
    assert (look.purpose, look.attempt, look.decision_id) == (Purpose.OBSERVE, attempt, None)


def test_stop_withdrawal_and_resolution_name_what_they_are_about(surface: Surface, keyring: Keyring) -> None:
    stop = keyring.verify(surface.stop(PROPOSAL, operator=OPERATOR).token, Stop).statement
    withdrawal = keyring.verify(surface.withdraw(PROPOSAL, operator=OPERATOR).token, Withdrawal).statement
    assert stop.proposal_id == withdrawal.proposal_id == PROPOSAL.proposal_id
    assert stop.operator == withdrawal.operator == OPERATOR
    assert stop.statement_id != withdrawal.statement_id
    attempt, observation, closing_hash = AttemptId.random(), ObservationId.random(), "0123456789abcdef" * 4
    signed = surface.resolve(
        PRACTICE,
        attempt,
        closing_hash=closing_hash,
        finding=Finding.ABSENT,
        resolver=OPERATOR,
        observation=observation,
    )
    resolution = keyring.verify(signed.token, Resolution).statement
    assert (resolution.attempt, resolution.closing_hash) == (attempt, closing_hash)
    assert (resolution.finding, resolution.observation, resolution.resolver) == (Finding.ABSENT, observation, OPERATOR)


def test_a_statement_without_a_kind_cannot_be_signed(key: LocalKey) -> None:
    with pytest.raises(ValueError, match="its own typ"):
        sign(Statement(practice=PRACTICE, issued_at=NOW), key)


def test_the_token_stays_out_of_representations(surface: Surface) -> None:
    signed = surface.stop(PROPOSAL, operator=OPERATOR)
    assert signed.token not in repr(signed)
