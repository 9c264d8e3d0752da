"""Reading JSON without surprises, canonical bytes, and digests that cannot be taken for one another."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from gateway.contracts.base import Instant, Model
from gateway.contracts.canonical import MAX_DEPTH, MAX_DOCUMENT_BYTES, canonical, digest, load_json
from gateway.contracts.proposal import Proposal
from gateway.errors import InvalidInput, MalformedInput

CANARY = "Given Family"


class Noted(Model):
    """A model with room for an instant."""

    at: Instant


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "nothing",
        "'single'",
        "{} {}",
        '{"a": 1,}',
        '{"a": 01}',
        '{"a": +1}',
        "// comment\n{}",
        "\ufeff{}",
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": -Infinity}',
        '{"a": 1, "a": 1}',
        '{"a": {"b": 1, "b": 2}}',
        '[{"a": 1, "\\u0061": 2}]',
        nested(MAX_DEPTH + 2),
        nested(100_000 // 4),
        "9" * 5000,
        json.dumps("x" * MAX_DOCUMENT_BYTES),
        '"\ud800"',
        b"\xff\xfe{\x00}\x00",
        b'"\xc3\x28"',
    ],
    ids=range(23),
)
def test_what_is_not_one_bounded_unambiguous_json_document_is_malformed(text: str | bytes) -> None:
    with pytest.raises(MalformedInput):
        load_json(text)


def test_the_bounds_are_inclusive() -> None:
    exact = json.dumps("x" * (MAX_DOCUMENT_BYTES - 2))
    assert len(exact) == MAX_DOCUMENT_BYTES == 64 * 1024
    assert load_json(exact)
    assert load_json(nested(MAX_DEPTH)) is not None


@pytest.mark.requirement("AUDIT-25")
@pytest.mark.parametrize("template", ['{{"{0}": 1, "{0}": 2}}', '["{0}", NaN]', '{{"{0}": }}', '"{0}'])
def test_a_malformed_document_is_described_without_its_content(template: str) -> None:
    with pytest.raises(MalformedInput) as refusal:
        load_json(template.format(CANARY))
    error: BaseException | None = refusal.value
    while error is not None:
        assert CANARY not in repr(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@pytest.mark.parametrize(
    "instant",
    [
        "2026-01-05T09:00:00",
        "2026-01-05T09:00:00+01:00",
        "2026-01-05T09:00:00+00:00",
        "2026-01-05T09:00Z",
        "2026-01-05 09:00:00Z",
        "2026-01-05t09:00:00z",
        "2026-01-05T09:00:00.1234567Z",
        "2026-02-30T09:00:00Z",
        "2026-01-05T25:00:00Z",
        "2026-01-05",
        "1767603600",
        "0791234567",
        "٢٠٢٦-01-05T09:00:00Z",
        "",
    ],
)
@pytest.mark.requirement("PHI-05")
def test_only_a_utc_instant_spelled_out_is_an_instant(instant: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        Noted.parse(json.dumps({"at": instant}))
    assert [fault.field for fault in refusal.value.faults] == ["at"]


@pytest.mark.parametrize("instant", [1767603600, 1767603600.0, True, None, ["2026-01-05T09:00:00Z"]])
def test_a_number_is_no_instant(instant: object) -> None:
    with pytest.raises(InvalidInput):
        Noted.parse(json.dumps({"at": instant}))


def test_a_naive_instant_is_refused_in_code_too() -> None:
    with pytest.raises(ValueError, match="timezone"):
        Noted(at=datetime(2026, 1, 5, 9))


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)))
def test_an_instant_survives_its_own_canonical_form(naive: datetime) -> None:
    noted = Noted(at=naive.replace(tzinfo=UTC))
    assert Noted.parse(noted.canonical()) == noted
    assert Noted.parse(noted.canonical()).canonical() == noted.canonical()


def test_canonical_bytes_are_those_of_rfc_8785_written_out_by_hand(examples: dict[str, dict[str, Any]]) -> None:
    document = examples["Proposal"]
    del document["target"]
    document["operation"] = "schedule.book@v1"
    body, seal = "0123456789abcdef0123456789abcdef", document["consent"]
    assert Proposal.parse(json.dumps(document)).canonical().decode() == (
        f'{{"commitment":"{seal}","connection":"con_{body}","consent":"{seal}","created_at":"2026-01-05T09:00:00Z",'
        f'"expires_at":"2026-01-05T10:00:00Z","initiator":"psn_{body}","operation":"schedule.book@v1",'
        f'"origin":"patient","patient":"pat_{body}","practice":"prc_{body}","proposal_id":"prp_{body}","revision":1}}'
    )


def test_canonical_bytes_are_rfc_8785_for_every_model(model: type[Model], example: dict[str, Any]) -> None:
    value = model.parse(json.dumps(example))
    independent = json.dumps(value.plain(), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert value.canonical() == independent == rfc8785.dumps(json.loads(independent))
    assert model.parse(value.canonical()) == value


JSON = st.recursive(
    st.none() | st.booleans() | st.text() | st.floats(allow_nan=False, allow_infinity=False)
    # integers around the bound up to which they are exact
    | st.integers(min_value=-(2**53) - 2, max_value=2**53 + 2) | st.sampled_from([2**53 - 1, 2**53, -(2**53), 10**20]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
def test_the_quick_form_is_the_librarys_to_the_byte_and_refuses_what_it_refuses(content: Any) -> None:
    try:
        expected = rfc8785.dumps(content)
    except rfc8785.CanonicalizationError:
        with pytest.raises(rfc8785.CanonicalizationError):
            canonical(content)
    else:
        assert canonical(content) == expected


@pytest.mark.parametrize("content", [{1: "a"}, {"a": float("nan")}, {"a": {None: 1}}, {"a": 2**53}, "\ud800"])
def test_what_has_no_canonical_form_is_refused(content: Any) -> None:
    with pytest.raises(rfc8785.CanonicalizationError):
        canonical(content)


@given(st.data())
def test_order_and_white_space_of_the_input_do_not_change_the_digest(data: st.DataObject) -> None:
    names = ["proposal_id", "revision", "practice", "connection", "operation", "origin", "initiator", "patient"]
    names += ["consent", "commitment", "created_at", "expires_at"]
    body = "0123456789abcdef0123456789abcdef"
    seal = body * 2
    values: list[Any] = [f"prp_{body}", 1, f"prc_{body}", f"con_{body}", "schedule.book@v1", "patient"]
    values += [f"psn_{body}", f"pat_{body}", seal, seal, "2026-01-05T09:00:00Z", "2026-01-05T10:00:00Z"]
    document = dict(zip(names, values, strict=True))
    order = data.draw(st.permutations(names))
    indent = data.draw(st.sampled_from([None, 0, 3]))
    shuffled = json.dumps({name: document[name] for name in order}, indent=indent)
    assert Proposal.parse(shuffled).proposal_digest == Proposal.parse(json.dumps(document)).proposal_digest


def test_a_digest_is_sha_256_over_domain_zero_byte_and_content() -> None:
    assert digest("proposal/v1", b"{}") == hashlib.sha256(b"gateway/proposal/v1\x00{}").hexdigest()


@given(st.text("abc/v1", min_size=1), st.text("abc/v1", min_size=1), st.binary(max_size=20))
def test_digests_of_different_domains_never_meet(one: str, other: str, content: bytes) -> None:
    assert (digest(one, content) == digest(other, content)) is (one == other)


def test_moving_bytes_between_domain_and_content_changes_the_digest() -> None:
    assert digest("a", b"bc") != digest("ab", b"c")
    assert digest("event/v1", b"{}") != digest("record/v1", b"{}")
