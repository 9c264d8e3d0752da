"""What may be believed after a commit: the whole space of traffic, answers and commitments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.boundary.effects import Silence, Traffic, classify
from gateway.contracts.adapter import Claim, Commitment, Receipt
from gateway.contracts.failures import FAILURES, Code
from gateway.contracts.words import Effect, End

CODES = st.sampled_from(Code)
TRAFFIC = st.builds(
    Traffic,
    sent=st.booleans(),
    status=st.none() | st.integers(100, 599),
    fault=st.none() | CODES,
    cause=st.none() | CODES,
)
ANSWERS = st.sampled_from(Silence) | st.builds(Receipt, claim=st.sampled_from(Claim), code=CODES)
COMMITMENTS = st.sampled_from(Commitment)


@pytest.mark.requirement("ADAPT-03", "FAIL-15")
@given(TRAFFIC, ANSWERS, COMMITMENTS)
def test_the_taxonomy_admits_every_pair_of_effect_and_code(
    traffic: Traffic, answer: Receipt | Silence, commitment: Commitment
) -> None:
    effect, code = classify(traffic, answer, commitment)
    assert End[effect.name] in FAILURES[code].ends


@given(TRAFFIC, ANSWERS, COMMITMENTS)
def test_not_sent_is_said_exactly_when_no_byte_left(
    traffic: Traffic, answer: Receipt | Silence, commitment: Commitment
) -> None:
    effect, _ = classify(traffic, answer, commitment)
    assert (effect is Effect.NOT_SENT) == (not traffic.sent)


@given(TRAFFIC, ANSWERS, COMMITMENTS)
def test_applied_needs_a_complete_success_that_the_adapter_recognised_and_no_fault(
    traffic: Traffic, answer: Receipt | Silence, commitment: Commitment
) -> None:
    effect, code = classify(traffic, answer, commitment)
    if effect is Effect.APPLIED:
        assert traffic.fault is None
        assert traffic.status is not None
        assert 200 <= traffic.status < 300
        assert isinstance(answer, Receipt)
        assert answer.claim is Claim.APPLIED
        assert commitment is Commitment.IMMEDIATE
        assert code is Code.COMMITTED


@given(TRAFFIC, ANSWERS, COMMITMENTS)
def test_refused_needs_a_complete_definitive_reply_that_the_adapter_recognised_and_no_fault(
    traffic: Traffic, answer: Receipt | Silence, commitment: Commitment
) -> None:
    effect, code = classify(traffic, answer, commitment)
    if effect is Effect.REFUSED:
        assert traffic.fault is None
        assert traffic.status is not None
        assert not 300 <= traffic.status < 400
        assert traffic.status != 408
        assert traffic.status < 500
        assert isinstance(answer, Receipt)
        assert answer.claim is Claim.REFUSED
        assert code is answer.code
        assert code is not Code.DUPLICATE_KEY


def whole(status: int) -> Traffic:
    return Traffic(sent=True, status=status)


@pytest.mark.parametrize(
    ("traffic", "answer", "expected"),
    [
        (whole(200), Receipt.applied(), (Effect.APPLIED, Code.COMMITTED)),
        (whole(201), Receipt.applied(), (Effect.APPLIED, Code.COMMITTED)),
        (whole(299), Receipt.applied(), (Effect.APPLIED, Code.COMMITTED)),
        (whole(199), Receipt.applied(), (Effect.UNKNOWN, Code.ADAPTER_FAULT)),
        (whole(300), Receipt.applied(), (Effect.UNKNOWN, Code.ADAPTER_FAULT)),
        (whole(202), Receipt.applied(), (Effect.UNKNOWN, Code.ACCEPTED_PENDING)),
        (whole(409), Receipt.applied(), (Effect.UNKNOWN, Code.ADAPTER_FAULT)),
        (whole(409), Receipt.refused(Code.SLOT_TAKEN), (Effect.REFUSED, Code.SLOT_TAKEN)),
        (whole(200), Receipt.refused(Code.EXTERNAL_INVALID), (Effect.REFUSED, Code.EXTERNAL_INVALID)),
        (whole(412), Receipt.refused(Code.DUPLICATE_KEY), (Effect.UNKNOWN, Code.DUPLICATE_KEY)),
        (whole(408), Receipt.refused(Code.EXTERNAL_TIMEOUT), (Effect.UNKNOWN, Code.EXTERNAL_TIMEOUT)),
        (whole(199), Receipt.refused(Code.SLOT_TAKEN), (Effect.UNKNOWN, Code.REPLY_UNRECOGNISED)),
        (whole(300), Receipt.refused(Code.SLOT_TAKEN), (Effect.UNKNOWN, Code.REPLY_UNRECOGNISED)),
        (whole(399), Receipt.refused(Code.SLOT_TAKEN), (Effect.UNKNOWN, Code.REPLY_UNRECOGNISED)),
        (whole(400), Receipt.refused(Code.SLOT_TAKEN), (Effect.REFUSED, Code.SLOT_TAKEN)),
        (whole(499), Receipt.refused(Code.SLOT_TAKEN), (Effect.REFUSED, Code.SLOT_TAKEN)),
        (whole(500), Receipt.refused(Code.SLOT_TAKEN), (Effect.UNKNOWN, Code.EXTERNAL_ERROR)),
        (whole(503), Receipt.refused(Code.SLOT_TAKEN), (Effect.UNKNOWN, Code.EXTERNAL_ERROR)),
        (whole(422), Receipt.refused(Code.COMMITTED), (Effect.UNKNOWN, Code.ADAPTER_FAULT)),
        (whole(200), Receipt.unknown(Code.REPLY_DEVIATES), (Effect.UNKNOWN, Code.REPLY_DEVIATES)),
        (whole(200), Receipt.unknown(Code.CONSENT_ABSENT), (Effect.UNKNOWN, Code.ADAPTER_FAULT)),
        (whole(200), Silence.LATE, (Effect.UNKNOWN, Code.EXTERNAL_TIMEOUT)),
        (whole(200), Silence.FAULTY, (Effect.UNKNOWN, Code.ADAPTER_FAULT)),
        (whole(200), Silence.BROKEN_OFF, (Effect.UNKNOWN, Code.ADAPTER_FAULT)),
        (Traffic(sent=True), Receipt.applied(), (Effect.UNKNOWN, Code.CONNECTION_LOST)),
        (Traffic(sent=True), Silence.LATE, (Effect.UNKNOWN, Code.EXTERNAL_TIMEOUT)),
        (Traffic(), Receipt.applied(), (Effect.NOT_SENT, Code.ADAPTER_FAULT)),
        (Traffic(), Receipt.refused(Code.SLOT_TAKEN), (Effect.NOT_SENT, Code.SLOT_TAKEN)),
        (Traffic(), Silence.LATE, (Effect.NOT_SENT, Code.EXTERNAL_TIMEOUT)),
        (
            Traffic(cause=Code.EXTERNAL_UNAVAILABLE),
            Receipt.unknown(Code.CONNECTION_LOST),
            (Effect.NOT_SENT, Code.EXTERNAL_UNAVAILABLE),
        ),
        (Traffic(cause=Code.EXTERNAL_TIMEOUT), Silence.BROKEN_OFF, (Effect.NOT_SENT, Code.EXTERNAL_TIMEOUT)),
        (Traffic(), Receipt.unknown(Code.REPLY_DEVIATES), (Effect.NOT_SENT, Code.ADAPTER_FAULT)),
        (Traffic(cause=Code.REPLY_CACHED), Silence.BROKEN_OFF, (Effect.NOT_SENT, Code.EXTERNAL_UNAVAILABLE)),
        (Traffic(fault=Code.HOST_FORBIDDEN), Silence.BROKEN_OFF, (Effect.NOT_SENT, Code.HOST_FORBIDDEN)),
    ],
)
def test_claims_meet_what_the_wire_saw(
    traffic: Traffic, answer: Receipt | Silence, expected: tuple[Effect, Code]
) -> None:
    assert classify(traffic, answer, Commitment.IMMEDIATE) == expected


@pytest.mark.requirement("CARD-12")
def test_a_relay_that_accepted_has_not_committed() -> None:
    assert classify(whole(201), Receipt.applied(), Commitment.RELAYED) == (Effect.UNKNOWN, Code.ACCEPTED_PENDING)


@pytest.mark.parametrize("answer", [Receipt.applied(), Receipt.refused(Code.SLOT_TAKEN), Silence.FAULTY])
def test_a_fault_after_a_byte_leaves_nothing_to_believe(answer: Receipt | Silence) -> None:
    traffic = Traffic(sent=True, status=201, fault=Code.ADAPTER_FAULT)
    assert classify(traffic, answer, Commitment.IMMEDIATE) == (Effect.UNKNOWN, Code.ADAPTER_FAULT)
