"""Reading WebDAV from a server that may be odd or hostile."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.caldav import dav


def multistatus(*responses: str) -> bytes:
    return (
        f'<multistatus xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">{"".join(responses)}</multistatus>'.encode()
    )


def response(properties: str, status: str = "HTTP/1.1 200 OK", more: str = "") -> str:
    propstat = f"<propstat><prop>{properties}</prop><status>{status}</status></propstat>"
    return f"<response><href>/c/a.ics</href>{propstat}{more}</response>"


COMPONENTS = '<C:supported-calendar-component-set><C:comp name="{}"/></C:supported-calendar-component-set>'
CALENDAR = "<resourcetype><collection/><C:calendar/></resourcetype>"


@pytest.mark.parametrize(
    ("properties", "holds"),
    [
        (CALENDAR, True),
        (CALENDAR + COMPONENTS.format("VEVENT"), True),
        (CALENDAR + COMPONENTS.format("VTODO"), False),
        ("<resourcetype><collection/></resourcetype>", False),
        ("", False),
    ],
)  # fmt: skip
def test_a_collection_holds_events_only_if_it_is_a_calendar_for_them(properties: str, holds: bool) -> None:
    assert dav.read_collection(multistatus(response(properties))).holds_events is holds


@pytest.mark.parametrize(
    ("properties", "authenticated"),
    [
        ("<current-user-principal><href>/me/</href></current-user-principal>", True),
        ("<current-user-principal><unauthenticated/></current-user-principal>", False),
        ("", None),
    ],
)
def test_the_principal_says_whether_the_server_knows_us(properties: str, authenticated: bool | None) -> None:
    assert dav.read_collection(multistatus(response(properties))).authenticated is authenticated


def test_properties_under_another_status_than_200_do_not_count() -> None:
    granted = "<current-user-privilege-set><privilege><all/></privilege></current-user-privilege-set>"
    assert dav.read_collection(multistatus(response(granted))).privileges == frozenset({"all"})
    assert dav.read_collection(multistatus(response(granted, "HTTP/1.1 404 Not Found"))).privileges is None


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><multistatus xmlns="DAV:">&b;</multistatus>'
MISSING = "<response><href>/c/</href><status>HTTP/1.1 404 Not Found</status></response>"
TRUNCATED = "<response><href>/c/</href><status>HTTP/1.1 507 Insufficient Storage</status></response>"


@pytest.mark.parametrize(
    "content",
    [
        b"", b"not xml", b"<a>", b"\xff\xfe<\x00a\x00/\x00>\x00", BOMB, b"<html/>", b"<multistatus/>",
        multistatus(MISSING), multistatus(response(""), TRUNCATED), multistatus("<x/>" * 20_001),
    ],
)  # fmt: skip
def test_a_reply_that_does_not_say_what_was_asked_is_refused(content: bytes) -> None:
    with pytest.raises(dav.UnreadableReplyError):
        dav.read_hits(content)
    with pytest.raises(dav.UnreadableReplyError):
        dav.read_collection(content)


def test_a_collection_is_exactly_one_response() -> None:
    for count in (0, 2):
        with pytest.raises(dav.UnreadableReplyError):
            dav.read_collection(multistatus(*[response(CALENDAR)] * count))


def test_a_hit_without_shown_data_stays_a_hit() -> None:
    hidden = "<propstat><prop><C:calendar-data/></prop><status>HTTP/1.1 404 Not Found</status></propstat>"
    hits = dav.read_hits(multistatus(response('<getetag>"1"</getetag>', more=hidden)))
    assert hits == (dav.Hit("a.ics", '"1"', None),)


def test_conditions_are_read_from_an_error_body_and_from_nothing_else() -> None:
    body = b'<error xmlns="DAV:"><C:no-uid-conflict xmlns:C="urn:ietf:params:xml:ns:caldav"/></error>'
    assert dav.read_conditions(body) == {"no-uid-conflict"}
    assert dav.read_conditions(b"Precondition failed.") == frozenset()
    assert dav.read_conditions(b"<html><no-uid-conflict/></html>") == frozenset()
    assert dav.read_conditions(b"<!DOCTYPE x>" + body) == frozenset()


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: multistatus(response(text)))))
def test_any_bytes_are_read_or_refused_and_nothing_else(content: bytes) -> None:
    for read in (dav.read_hits, dav.read_collection):
        with contextlib.suppress(dav.UnreadableReplyError):
            read(content)
    assert isinstance(dav.read_conditions(content), frozenset)
