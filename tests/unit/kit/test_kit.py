"""The kit that adapters share: look-ups, reading, wall time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.contracts.adapter import IdentifierMissingError, Proof, Receipt, TargetState
from gateway.contracts.failures import Code, Refusal
from gateway.kit.access import ACCESS_DECLARED, declared_access
from gateway.kit.paths import segment
from gateway.kit.reading import READS, Said, not_ready, said, shaped
from gateway.kit.relay import RELAY_SECONDS, relay_seconds
from gateway.kit.replies import ANY, Row, Table, judge, shown, word_in
from gateway.kit.wall_time import AmbiguousWallTimeError, to_instant, to_wall
from gateway.testing import make_connection, make_request

TABLE: Table = MappingProxyType(
    {
        (409, "taken"): Row(Receipt.refused(Code.SLOT_TAKEN), "reference"),
        (409, ANY): Row(Receipt.unknown(Code.DUPLICATE_KEY), "reference"),
        ("AE", "204"): Row(Receipt.refused(Code.TARGET_NOT_FOUND), "table 0357"),
        (503, "asleep"): Row(Receipt.unknown(Code.ACCEPTED_PENDING), "reference"),
    }
)


@pytest.mark.parametrize(
    ("status", "word", "expected"),
    [
        (409, "taken", Receipt.refused(Code.SLOT_TAKEN)),
        (409, "another", Receipt.unknown(Code.DUPLICATE_KEY)),
        (409, ANY, Receipt.unknown(Code.DUPLICATE_KEY)),
        ("AE", "204", Receipt.refused(Code.TARGET_NOT_FOUND)),
        ("AE", "205", Receipt.unknown()),
        (503, "asleep", Receipt.unknown(Code.ACCEPTED_PENDING)),
        (503, "awake", Receipt.unknown(Code.EXTERNAL_ERROR)),
        (500, ANY, Receipt.unknown(Code.EXTERNAL_ERROR)),
        (599, ANY, Receipt.unknown(Code.EXTERNAL_ERROR)),
        (600, ANY, Receipt.unknown()),
        (499, ANY, Receipt.unknown()),
        (200, "taken", Receipt.unknown()),
    ],
)
def test_a_reply_means_what_its_row_says_and_otherwise_nothing(status: int | str, word: str, expected: Receipt) -> None:
    assert judge(TABLE, status, word) == expected


class Slot(Said):
    free: bool


class Problem(Said):
    code: str


@pytest.mark.parametrize(
    ("reply", "word", "expected"),
    [
        (httpx.Response(201, json={"free": True}), ANY, Slot(free=True)),
        (httpx.Response(201, json={"free": True}), "a word", Slot(free=True)),
        (httpx.Response(201, content=b"{"), ANY, Receipt.unknown()),
        (httpx.Response(200, json={"free": True}), ANY, Receipt.unknown()),  # a success that no row knows
        (httpx.Response(409, json={"free": True}), "taken", Receipt.refused(Code.SLOT_TAKEN)),
        (httpx.Response(409, json={"free": True}), "another", Receipt.unknown(Code.DUPLICATE_KEY)),
        (httpx.Response(409), ANY, Receipt.unknown()),  # something in between said so
        (httpx.Response(503), ANY, Receipt.unknown(Code.EXTERNAL_ERROR)),
    ],
)
def test_a_write_shows_its_record_or_is_refused_in_the_vendors_own_words(
    reply: httpx.Response, word: str, expected: Slot | Receipt
) -> None:
    table: Table = {**TABLE, (201, ANY): Row(Receipt.applied(), "reference")}
    assert shown(Slot, reply, table, word) == expected


@pytest.mark.parametrize(("body", "word"), [(b'{"code": "taken"}', "taken"), (b"{}", ANY), (b"<html/>", ANY)])
def test_a_word_is_the_vendors_own_or_none(body: bytes, word: str) -> None:
    assert word_in(httpx.Response(409, content=body), Problem, lambda problem: problem.code) == word


def test_what_a_system_says_is_read_whole_or_not_at_all() -> None:
    assert said(Slot, httpx.Response(200, json={"free": True, "else": 1})).free
    assert said(Slot, httpx.Response(207, json={"free": True}), status=207).free
    for reply in (
        httpx.Response(200, json={"free": "perhaps"}),
        httpx.Response(200, content=b"{"),
        httpx.Response(302),
    ):
        with pytest.raises(Refusal) as refused:
            said(Slot, reply)
        assert refused.value.code is Code.REPLY_UNRECOGNISED
    with pytest.raises(Refusal):
        shaped(Slot, b"[]")


@pytest.mark.parametrize(("status", "code"), sorted(READS.items()))
def test_a_reply_that_refutes_readiness_has_its_code(status: int, code: Code) -> None:
    with pytest.raises(Refusal) as refused:
        said(Slot, httpx.Response(status, json={"free": True}))
    assert refused.value.code is code
    assert not_ready(code).available is not Proof.UNVERIFIABLE


def test_a_read_that_nobody_understands_leaves_everything_unverifiable() -> None:
    seen = not_ready(Code.REPLY_UNRECOGNISED)
    assert {seen.available, seen.credentials, seen.authorised} == {Proof.UNVERIFIABLE}
    assert seen.target is TargetState.UNVERIFIABLE


def test_what_a_system_says_is_never_printed() -> None:
    class Patient(Said):
        name: str

    assert "canary" not in repr(Patient(name="canary"))


@pytest.mark.parametrize(
    ("wall", "zone"),
    [
        (datetime(2031, 3, 30, 2, 30), "Europe/Berlin"),  # missing
        (datetime(2031, 10, 26, 2, 30), "Europe/Berlin"),  # twice
        (datetime(2031, 3, 9, 2, 0), "America/New_York"),
        (datetime(2031, 11, 2, 1, 59), "America/New_York"),
        (datetime(2031, 4, 6, 1, 45), "Australia/Lord_Howe"),  # clocks change by half an hour
    ],
)
def test_wall_time_that_means_two_instants_or_none_is_refused(wall: datetime, zone: str) -> None:
    with pytest.raises(AmbiguousWallTimeError):
        to_instant(wall, zone)


def test_an_instant_that_the_clocks_show_twice_has_no_wall_time() -> None:
    both = [datetime(2031, 10, 26, hour, 30, tzinfo=UTC) for hour in (0, 1)]  # 02:30 CEST and 02:30 CET
    for instant in both:
        with pytest.raises(AmbiguousWallTimeError):
            to_wall(instant, "Europe/Berlin")


def test_wall_time_carries_no_zone() -> None:
    with pytest.raises(ValueError, match="no zone"):
        to_instant(datetime(2031, 5, 5, 9, tzinfo=UTC), "Europe/Berlin")


@given(
    st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2036, 1, 1)),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"]),
)
def test_wall_time_leads_back_to_its_instant(moment: datetime, zone: str) -> None:
    instant = moment.replace(tzinfo=UTC)
    try:
        wall = to_wall(instant, zone)
    except AmbiguousWallTimeError:
        return  # within the hour that is shown twice
    assert wall.tzinfo is None
    assert to_instant(wall, zone) == instant
    assert abs(wall - instant.replace(tzinfo=None)) < timedelta(hours=15)


@pytest.mark.parametrize(
    ("declared", "proof"),
    [(True, Proof.PROVEN), (False, Proof.UNVERIFIABLE), ("true", Proof.UNVERIFIABLE), (1, Proof.UNVERIFIABLE)],
)
def test_a_sealed_connection_vouches_for_access_by_true_alone(declared: bool | str | int, proof: Proof) -> None:
    connection = make_connection("https://ehr.example.org/", settings={ACCESS_DECLARED: declared})
    assert declared_access(make_request(connection)) is proof


@pytest.mark.parametrize(
    ("identifier", "spelled"),
    [
        ("1205967", "1205967"),
        ("a/../b", "a%2F..%2Fb"),
        ("...", "..."),
        ("%2e%2e", "%252e%252e"),
        ("room 1@practice.example?x#y", "room%201%40practice.example%3Fx%23y"),
        ("\\ä", "%5C%C3%A4"),
    ],
)
def test_an_identifier_is_one_segment_of_a_path(identifier: str, spelled: str) -> None:
    assert segment(identifier) == spelled
    base = httpx.URL("https://ehr.example.org/v1/appointments/")
    assert base.join(f"{segment(identifier)}/cancel").raw_path == f"/v1/appointments/{spelled}/cancel".encode()


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize("identifier", ["", ".", ".."])
def test_an_identifier_that_would_address_something_else_names_nobody(identifier: str) -> None:
    with pytest.raises(IdentifierMissingError):
        segment(identifier)


def test_a_request_is_carried_out_at_once_or_never_unless_somebody_says_otherwise() -> None:
    unsaid = make_connection("https://ehr.example.org/")
    said_so = make_connection("https://ehr.example.org/", settings={RELAY_SECONDS: 0})
    assert (relay_seconds(unsaid), relay_seconds(unsaid, 100), relay_seconds(said_so, 100)) == (0, 100, 0)


def test_unsaid_access_is_unverifiable() -> None:
    assert declared_access(make_request("https://ehr.example.org/")) is Proof.UNVERIFIABLE
