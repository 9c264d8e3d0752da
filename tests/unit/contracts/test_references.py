"""Opaque references: what can be written in one, and what cannot."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.contracts.references import PatientId, PersonId, Reference

# Canaries: what a person's data looks like. None of them may ever be a reference.
PERSONAL = (
    "Given Family",
    "given.family@example.org",
    "+41 79 123 45 67",
    "0791234567",
    "1980-01-31",
    "19800131",
    "2026-01-05T09:00:00Z",
    "MRN-0012345",
    "756.1234.5678.97",
    "please call the patient before noon",
)


@pytest.mark.requirement("PHI-05", "CORR-12")
@pytest.mark.parametrize("personal", PERSONAL)
@pytest.mark.parametrize("dress", ["{}", "{prefix}{}", "{prefix}{:0>32}", "{prefix}{:f<32}", "{prefix}{:a>64}"])
def test_no_reference_can_be_made_of_what_identifies_a_person(kind: type[Reference], personal: str, dress: str) -> None:
    compact = re.sub(r"[^0-9a-f]", "", personal.lower()) if "<" in dress or ">" in dress else personal
    with pytest.raises(ValueError, match="random hexadecimal digits"):
        kind(dress.format(compact, prefix=kind.kind + "_"))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "0123456789abcdef",
        "0123456789ABCDEF0123456789ABCDEF",
        "0123456789abcdef0123456789abcdeg",
        "0123456789abcdef0123456789abcde",
        "0123456789abcdef0123456789abcdef\n",
        "0123456789abcdef0123456789abcdef0",
        " 123456789abcdef0123456789abcdef",
        "0" * 32,
        "01234567" * 4,
        "0123456700000000abcdef0123456789",
        "٠" * 32,
    ],
)
@pytest.mark.requirement("PHI-05")
def test_a_body_that_is_not_32_or_64_random_looking_hexadecimal_digits_is_refused(body: str) -> None:
    with pytest.raises(ValueError, match="random hexadecimal digits"):
        PatientId(f"pat_{body}")


def test_the_refusal_does_not_repeat_what_was_refused() -> None:
    with pytest.raises(ValueError, match="must be") as refusal:
        PatientId("pat_Given Family")
    assert "Given" not in repr(refusal.value)


def test_every_kind_has_a_prefix_of_its_own_and_refuses_every_other(kind: type[Reference]) -> None:
    others = [other for other in Reference.__subclasses__() if other is not kind]
    assert kind.kind
    assert kind.kind not in {other.kind for other in others}
    for other in others:
        with pytest.raises(ValueError, match=f"'{kind.kind}_'"):
            kind(other.random())


def test_a_random_reference_is_one_of_its_own_kind_and_never_the_same(kind: type[Reference]) -> None:
    made = {kind.random() for _ in range(200)}
    assert len(made) == 200
    assert all(kind(str(reference)) == reference for reference in made)


def test_the_base_kind_itself_names_nothing() -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        Reference("_0123456789abcdef0123456789abcdef")


@pytest.mark.requirement("CORR-12")
@given(key=st.binary(min_size=16, max_size=32), content=st.binary(max_size=64))
def test_a_hashed_reference_depends_on_the_key_and_shows_nothing_of_the_content(key: bytes, content: bytes) -> None:
    reference = PersonId.hashed(key, content)
    assert reference == PersonId.hashed(key, content)
    assert reference != PersonId.hashed(key + b"x", content)
    assert reference != PersonId.hashed(key, content + b"x")
    assert len(reference) == len("psn_") + 64
