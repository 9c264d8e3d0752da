"""What people may see of an exchange: its shape, and nothing of anybody's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.faults import Exchange, Point
from conformance.redaction import HIDDEN, masked, masked_body, masked_target

CANARY = "Zq7Kx9Vt3"
"""Mixed case and digits: no grammar of names, words or lists admits it."""

around = st.text(max_size=12).map(lambda text: text + CANARY)
values = st.recursive(
    st.one_of(around, st.integers(), st.booleans(), st.none(), st.floats()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(around, inner, max_size=4)),
    max_leaves=12,
)


def exchange(**parts: Any) -> Exchange:
    return Exchange(**({"number": 3, "method": "PUT", "target": "/", "mutating": True} | parts))


def test_paths_and_queries_keep_only_plain_words() -> None:
    assert masked_target("/dav/home/Smith.ics?mode=full&key=a1&A7=x") == "/dav/home/‹…›?mode=full&key=‹…›&‹…›=x"


def test_a_target_that_was_read_in_part_is_shown_empty() -> None:
    assert masked_target("") == ""


def test_header_values_are_shown_for_framing_only() -> None:
    record = masked(
        exchange(
            request_headers=(
                ("Authorization", "Bearer abc"),
                ("Content-Type", 'text/calendar; charset="utf-8"'),
                ("If-None-Match", "*"),
                ("Depth", "1"),
            ),
            reply_headers=(
                ("ETag", '"abc"'),
                ("Retry-After", "30"),
                ("Allow", "GET, PUT"),
                ("Content-Type", "application/json; boundary=abc"),
                ("If-None-Match", '"abc"'),
                ("X-Patient-77", "abc"),
            ),
        ),
        0.0,
    )
    assert record.request_headers == (
        "Authorization: ‹…›",
        'Content-Type: text/calendar; charset="utf-8"',
        "If-None-Match: *",
        "Depth: 1",
    )
    assert record.reply_headers == (
        "ETag: ‹…›",
        "Retry-After: 30",
        "Allow: GET, PUT",
        "Content-Type: ‹…›",
        "If-None-Match: ‹…›",
        "‹…›: ‹…›",
    )


def test_json_is_shown_as_keys_and_kinds() -> None:
    body = json.dumps({"status": "booked", "n": 12, "a b": [True, None, 1.5], "inner": {"k": []}}).encode()
    assert masked_body(body) == (
        '{"status": ‹text 6›, "n": ‹number›, "‹…›": [true, null, ‹number›], "inner": {"k": []}}'
    )


def test_xml_is_shown_as_element_names() -> None:
    body = b'<?xml version="1.0"?><d:status xmlns:d="DAV:" a="secret">HTTP ok<!-- secret --><p7/></d:status>'
    assert masked_body(body) == "<status>‹text 7›<‹…›></‹…›></status>"


def test_a_calendar_is_shown_as_property_names_with_status_method_and_version() -> None:
    body = (
        b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nSUMMARY;LANGUAGE=de:Mr\r\n  Smith\r\n"
        b"STATUS:CONFIRMED\r\nSTATUS:SMITH\r\nSmith: unfolded\r\nno colon\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    assert masked_body(body).splitlines() == [
        *("BEGIN:VCALENDAR", "VERSION:2.0", "METHOD:REQUEST", "BEGIN:VEVENT", "SUMMARY:‹text 8›"),
        *("STATUS:CONFIRMED", "STATUS:‹text 5›", "‹…›:‹text 9›", "‹…›", "END:VEVENT", "END:VCALENDAR"),
    ]


@pytest.mark.parametrize(
    "body",
    [b"\xff\x00", b"grant_type=password", b"[" * 100_000, b"<a>", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'],
)
def test_what_cannot_be_read_is_a_number_of_bytes(body: bytes) -> None:
    assert masked_body(body) == f"‹binary {len(body)} bytes›"


def test_everything_is_bounded() -> None:
    many = tuple((f"x-{'a' * 20}", "1") for _ in range(500))
    long = json.dumps([{"key": "v"}] * 40 + [["v"] * 2000] * 5 + [{"k" * 30: "v"}] * 60).encode()
    record = masked(exchange(target="/a" * 5000, request_headers=many, request_body=long), 0.0)
    assert len(record.target) == 500
    assert len(record.request_headers) == 65 and record.request_headers[-1] == "… 436 more"
    assert len(masked_body(b"<a>" + b"<b>x</b>" * 3000 + b"</a>")) == 4000
    assert len(record.request_body) <= 4000


def test_instants_become_seconds_since_the_start_and_facts_stay() -> None:
    record = masked(
        exchange(arrived=10.5, forwarded=10.6, ended=11.0, status=201, delivered=7, point=Point.AFTER_COMMIT), 10.0
    )
    assert (record.arrived, record.forwarded, record.answered, record.ended) == (0.5, 0.6, None, 1.0)
    assert (record.number, record.status, record.delivered_bytes, record.point) == (3, 201, 7, "after-commit")


def test_an_unknown_method_is_not_repeated() -> None:
    assert masked(exchange(method="SMITH"), 0.0).method == "OTHER"


def test_what_still_contains_a_secret_is_withheld_whole() -> None:
    record = masked(
        exchange(target="/home/hunter", request_headers=(("X-Hunter", "1"),), reply_body=b'{"Hunter": 1}'),
        0.0,
        ["hunter", ""],
    )
    assert (record.target, record.request_headers, record.reply_body) == (HIDDEN, (HIDDEN,), HIDDEN)


@given(method=around, segment=around, body=values, name=around, value=around)
def test_no_value_survives_in_any_place(method: str, segment: str, body: object, name: str, value: str) -> None:
    text = json.dumps(value)[1:-1]
    element = f"<a b='{CANARY}' {CANARY}='1'><{CANARY}>{CANARY}</{CANARY}><!--{CANARY}--></a>"
    calendar = (
        f"BEGIN:VCALENDAR\r\n{CANARY}:1\r\nSUMMARY;A={CANARY}:{text}\r\nSTATUS:{CANARY}\r\n{text}\r\nEND:{CANARY}"
    )
    for content in (json.dumps(body), text, element, calendar, f"<a>{text}"):
        record = masked(
            exchange(
                method=method,
                target=f"/{segment}/x?{name}={value}&a={segment}",
                request_headers=((name, value), ("Content-Type", value), ("Allow", f"GET, {value}")),
                request_body=content.encode(),
                reply_headers=((name, value), ("Retry-After", value), ("Connection", value)),
                reply_body=content.encode("utf-16"),
            ),
            0.0,
        )
        assert CANARY.casefold() not in record.model_dump_json().casefold()


def test_an_hl7_message_shows_its_segments_and_its_closed_codes() -> None:
    said = (
        f"MSH|^~\\&|{CANARY}|B|||20310303||SRR^S01^SRR_S01|1|T|2.5.1|||AL|{CANARY}\rMSA|AE|{CANARY}|text\r"
        f"ERR|||205^{CANARY}^HL70357|E|{CANARY}\rSCH|{'|' * 23}|Booked^{CANARY}\rQAK|{CANARY}|OK\r"
        f"PID|1||{CANARY}\rZ{CANARY[:2]}|AE\r{CANARY}|x\r"
    )
    assert masked_body(said.encode()).split("\n") == [
        "MSH|‹text 4›|‹text 9›|‹text 1›|||‹text 8›||SRR^S01^SRR_S01|‹text 1›|‹text 1›|2.5.1|||AL|‹text 9›",
        "MSA|AE|‹text 9›|‹text 4›",
        "ERR|||205^‹text 17›|‹text 1›|‹text 9›",
        f"SCH|{'|' * 23}|Booked^‹text 9›",
        "QAK|‹text 9›|OK",
        "PID|‹text 1›||‹text 9›",
        f"{HIDDEN}|‹text 2›",
        f"{HIDDEN}|‹text 1›",
    ]


def test_a_message_is_named_and_nothing_like_it() -> None:
    assert masked_target("/SRM/S01") == "/SRM/S01"
    assert masked_target("/SRM/S01x") == masked_target("/S01/SRM") == f"/{HIDDEN}/{HIDDEN}"


def test_a_message_without_end_is_bounded() -> None:
    assert len(masked_body(b"MSH|^~\\&\r" + b"NTE|" * 5000 + b"NTE|x\r" * 5000)) <= 4000
