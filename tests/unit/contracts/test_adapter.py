"""Native keys, versions, and the bounded words in which an adapter answers."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.contracts.adapter import (
    Claim,
    Descriptor,
    Proof,
    Readiness,
    Receipt,
    Request,
    TargetState,
    native_key,
    spell_key,
    version_digest,
)
from gateway.contracts.connection import Connection
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation, Particulars
from gateway.contracts.references import AppointmentId, PracticeId
from gateway.errors import InvalidInput

PRACTICE = PracticeId("prc_0123456789abcdef0123456789abcdef")
SEAL = "0f1e2d3c4b5a69788796a5b4c3d2e1f0" * 2
ALPHABETS = (string.hexdigits[:16], string.digits, string.ascii_letters + string.digits, "01")


@pytest.mark.requirement("CARD-06", "ADAPT-05", "IDEM-01")
def test_the_native_key_depends_on_practice_proposal_and_operation_alone() -> None:
    key = native_key(PRACTICE, SEAL, Operation.BOOK)
    assert key == native_key(PRACTICE, SEAL, Operation.BOOK)
    others = {
        native_key(PracticeId.random(), SEAL, Operation.BOOK),
        native_key(PRACTICE, SEAL[1:] + SEAL[:1], Operation.BOOK),
        native_key(PRACTICE, SEAL, Operation.CANCEL),
        native_key(PRACTICE, SEAL, Operation.RESCHEDULE),
    }
    assert len(others | {key}) == 5


@pytest.mark.requirement("PHI-04")
def test_the_native_key_is_a_digest_and_nothing_of_its_inputs_is_in_it() -> None:
    key = native_key(PRACTICE, SEAL, Operation.BOOK)
    assert key == AppointmentId(key)
    assert PRACTICE.removeprefix("prc_") not in key
    assert SEAL[:32] not in key


@given(st.binary(min_size=32, max_size=32), st.sampled_from(ALPHABETS))
def test_a_key_is_spelled_in_the_vendors_alphabet_and_different_keys_differently(body: bytes, alphabet: str) -> None:
    key = AppointmentId.hashed(b"key", body)
    other = AppointmentId.hashed(b"other", body)
    length = 256 if alphabet == "01" else 64
    spelled = spell_key(key, alphabet, length)
    assert set(spelled) <= set(alphabet)
    assert 0 < len(spelled) <= length
    assert spelled == spell_key(key, alphabet, length) != spell_key(other, alphabet, length)


@given(st.binary(min_size=32, max_size=32))
def test_a_key_in_full_length_loses_nothing(body: bytes) -> None:
    key = AppointmentId.hashed(b"key", body)
    spelled = spell_key(key)
    assert int(spelled[::-1], 16) == int(key.removeprefix("apt_"), 16)


@pytest.mark.requirement("CARD-06")
@pytest.mark.parametrize(
    ("alphabet", "max_length", "admitted"),
    [
        ("0123456789abcdef", 24, True),
        ("0123456789abcdef", 23, False),
        ("01", 96, True),
        ("01", 95, False),
        (string.digits, 29, True),
        (string.digits, 28, False),
        ("0", 1000, False),
        ("", 1000, False),
        ("aab", 1000, False),
    ],
)
def test_a_key_with_room_for_fewer_than_96_bits_is_refused(alphabet: str, max_length: int, admitted: bool) -> None:
    key = native_key(PRACTICE, SEAL, Operation.BOOK)
    if admitted:
        assert len(spell_key(key, alphabet, max_length)) <= max_length
    else:
        with pytest.raises(ValueError, match="96 bits"):
            spell_key(key, alphabet, max_length)


def request(examples: dict[str, dict[str, Any]], *, target: bool) -> Request:
    document = examples["Particulars"]
    if not target:
        del document["target"]
    else:
        document["target"]["version"] = version_digest('"etag-1"')
    return Request(
        operation=Operation.RESCHEDULE if target else Operation.BOOK,
        particulars=Particulars.parse(json.dumps(document)),
        identifiers={},
        key=native_key(PRACTICE, SEAL, Operation.BOOK),
        connection=Connection.parse(json.dumps(examples["Connection"])),
    )


def test_only_the_version_that_was_approved_is_the_approved_version(examples: dict[str, dict[str, Any]]) -> None:
    moved = request(examples, target=True)
    assert moved.is_approved_version('"etag-1"')
    assert not moved.is_approved_version('"etag-2"')
    assert moved.target_key() == spell_key(AppointmentId(examples["Target"]["appointment"]))


def test_a_booking_has_neither_target_nor_approved_version(examples: dict[str, dict[str, Any]]) -> None:
    booking = request(examples, target=False)
    assert not booking.is_approved_version('"etag-1"')
    with pytest.raises(ValueError, match="no target"):
        booking.target_key()


@pytest.mark.parametrize(
    ("code", "available", "credentials", "authorised"),
    [
        (Code.CREDENTIALS_REJECTED, "proven", "refuted", "unverifiable"),
        (Code.EXTERNAL_FORBIDDEN, "proven", "proven", "refuted"),
        (Code.EXTERNAL_UNAVAILABLE, "refuted", "unverifiable", "unverifiable"),
    ],
)
def test_a_refuting_reply_proves_no_more_than_it_says(
    code: Code, available: str, credentials: str, authorised: str
) -> None:
    readiness = Readiness.refuted(code)
    assert (readiness.available, readiness.credentials, readiness.authorised) == (available, credentials, authorised)
    assert readiness.target is TargetState.UNVERIFIABLE


def test_proven_readiness_is_proven_in_every_part() -> None:
    readiness = Readiness.proven()
    assert {readiness.available, readiness.credentials, readiness.authorised} == {Proof.PROVEN}
    assert readiness.target is TargetState.OPEN


@pytest.mark.requirement("ADAPT-02", "CARD-15")
def test_what_the_vendor_calls_things_is_in_no_repr() -> None:
    receipt = Receipt.applied(identifier="vendor-4711", version='"etag-4711"')
    assert "4711" not in repr(receipt)
    assert "4711" not in repr(Readiness.proven(prepared="etag-4711"))


def test_a_receipt_claims_one_of_three_and_success_has_one_code() -> None:
    assert Receipt.applied().code is Code.COMMITTED
    assert Receipt.refused(Code.SLOT_TAKEN).claim is Claim.REFUSED
    assert Receipt.unknown().claim is Claim.UNKNOWN
    assert [str(claim) for claim in Claim] == ["applied", "refused", "unknown"]


@pytest.mark.parametrize(
    "change",
    [
        {"operations": []},
        {"operations": ["schedule.book@v1"] * 4},
        {"operations": ["schedule.delete@v1"]},
        {"requests_per_attempt": 0},
        {"requests_per_attempt": 65},
        {"settling_seconds": -1},
        {"safe_posts": ["search"]},
        {"safe_posts": ["/search with space"]},
        {"idempotency": "probably"},
    ],
)
def test_a_claim_outside_the_contract_is_refused(change: dict[str, Any], examples: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(InvalidInput):
        Descriptor.parse(json.dumps(examples["Descriptor"] | change))
