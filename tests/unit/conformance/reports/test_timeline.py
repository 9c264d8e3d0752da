"""The drawing of a fault: who had the request when, and where it was cut."""

from __future__ import annotations

import re

from conformance.reports.timeline import SHOWN, events, timeline
from conformance.results import ExchangeRecord, Results


def exchanges(results: Results) -> tuple[ExchangeRecord, ...]:
    (found,) = [each.exchanges for each in results.results if each.exchanges]
    return found


def exchange(**members: object) -> ExchangeRecord:
    return ExchangeRecord.model_validate(
        {"number": 1, "method": "POST", "target": "/", "mutating": True, "arrived": 0.1, **members}
    )


def texts(*drawn: ExchangeRecord) -> list[str]:
    return [event.text for event in events(drawn)]


def test_a_reply_that_was_lost_ends_at_the_proxy(failing: Results) -> None:
    second = [event for event in events(exchanges(failing)) if event.number == 2]
    assert [event.text for event in second] == ["POST", "POST passed on", "answered 201", "cut here: after-commit"]
    assert second[-1].cut
    assert second[-1].from_x == second[-1].to_x


def test_a_request_that_was_never_passed_on_reaches_no_system() -> None:
    assert texts(exchange(ended=0.2, point="after-send")) == ["POST", "cut here: after-send"]


def test_a_reply_that_was_cut_in_the_middle_shows_what_came_through() -> None:
    cut = exchange(forwarded=0.11, answered=0.2, ended=0.3, status=201, delivered_bytes=12, point="mid-reply")
    assert texts(cut)[-2:] == ["12 bytes passed on", "cut here: mid-reply"]


def test_a_whole_exchange_is_four_arrows_and_no_cut() -> None:
    whole = exchange(forwarded=0.11, answered=0.2, ended=0.21, status=201, delivered_bytes=90)
    assert texts(whole) == ["POST", "POST passed on", "answered 201", "201 passed on, 90 bytes"]
    assert not any(event.cut for event in events([whole]))


def test_overlapping_exchanges_are_told_in_the_order_of_time() -> None:
    first = exchange(forwarded=0.5, answered=0.9)
    second = exchange(number=2, arrived=0.2, forwarded=0.3, answered=0.4)
    assert [event.number for event in events([first, second])] == [1, 2, 2, 2, 1, 1]


def test_a_long_silence_is_told_instead_of_drawn(failing: Results) -> None:
    late = exchange(forwarded=0.11, answered=0.2, ended=5.2, point="late")
    assert "5.0 s pass" in timeline([late], "x")
    assert "s pass<" not in timeline(exchanges(failing), "x")


def test_only_the_last_exchanges_are_drawn() -> None:
    many = [exchange(number=number, arrived=float(number)) for number in range(1, SHOWN + 6)]
    drawn = re.findall(r"#(\d+) POST", timeline(many, "x"))
    assert drawn == [str(number) for number in range(6, SHOWN + 6)]
