"""What people are told to do: a sentence for every code, and nothing but a look where nobody knows what happened."""

from __future__ import annotations

import re

import pytest

from gateway.contracts.advice import ADVICE, AFTER_UNKNOWN, advice
from gateway.contracts.failures import FAILURES, Code
from gateway.contracts.words import Effect, End


def test_every_code_that_a_call_can_end_with_has_a_sentence_of_its_own() -> None:
    assert set(ADVICE) == set(Code)
    assert len(set(ADVICE.values())) == len(Code)


@pytest.mark.parametrize("code", list(Code))
def test_a_sentence_says_what_to_do_in_one_breath(code: Code) -> None:
    said = ADVICE[code]
    assert 10 < len(said) < 220
    assert re.match(r"[A-Z`]", said)
    assert said.endswith(".")
    assert said.count("`") % 2 == 0
    assert said.rstrip(".").lower() != FAILURES[code].meaning


@pytest.mark.requirement("CARD-04")
@pytest.mark.parametrize("code", [code for code in Code if End.UNKNOWN in FAILURES[code].ends])
def test_after_unknown_the_first_thing_is_a_look(code: Code) -> None:
    said = advice(code, Effect.UNKNOWN)
    assert re.search(r"\b[Ll]ook\b|looked", said)
    assert "gateway resolve ATTEMPT" in said or code is Code.OUTCOME_UNRECORDED  # its attempt is not closed yet
    assert (said == ADVICE[code]) is (FAILURES[code].ends == {End.UNKNOWN})


@pytest.mark.requirement("CARD-04")
@pytest.mark.parametrize("code", list(Code))
def test_no_sentence_says_to_commit_again_where_a_request_may_have_left(code: Code) -> None:
    """What follows is said by `next`, which knows the end; a sentence is shown whatever the end."""
    again = re.search(r"\bcommit\b|[Tt]ry again|again with", ADVICE[code])
    assert not (again and FAILURES[code].ends & {End.NOT_SENT, End.REFUSED, End.UNKNOWN})


def test_where_it_is_known_that_nothing_took_effect_the_codes_own_sentence_is_shown() -> None:
    for effect in (None, Effect.NOT_SENT, Effect.REFUSED):
        assert advice(Code.EXTERNAL_TIMEOUT, effect) == ADVICE[Code.EXTERNAL_TIMEOUT]
    assert advice(Code.EXTERNAL_TIMEOUT, Effect.UNKNOWN) == AFTER_UNKNOWN
