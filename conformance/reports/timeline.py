"""What happened to a request on its way, drawn: adapter, proxy and system as lanes, time downwards.

Owns: the picture of the exchanges of one failed check. Rows are equally far apart, since a lost reply takes seconds
and a read milliseconds; the offset beside each row says when, and a gap says how long nothing happened.
Refuses: text of a peer's. It shows methods, status codes, counts of bytes and the proxy's own words for a cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from conformance.reports.markup import Markup, element, joined
from conformance.results import ExchangeRecord

SHOWN: Final = 24
"""Exchanges drawn: the last ones."""

_ADAPTER, _PROXY, _SYSTEM = 84, 284, 484
_WIDTH, _TOP, _ROW, _GAP = 540, 62, 32, 20
_PAUSE_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Event:
    """Something at the proxy. `from_x` to `to_x` is the way; `cut` says that it ended there."""

    at: float
    number: int
    from_x: int
    to_x: int
    text: str
    mutating: bool
    cut: bool = False


def events(exchanges: Sequence[ExchangeRecord]) -> tuple[Event, ...]:
    """In the order in which they happened; what happened at one instant keeps the order of its exchange."""
    found = [event for exchange in exchanges for event in _of(exchange)]
    return tuple(sorted(found, key=lambda event: event.at))


def _of(exchange: ExchangeRecord) -> Iterator[Event]:
    number, mutating = exchange.number, exchange.mutating
    yield Event(exchange.arrived, number, _ADAPTER, _PROXY, exchange.method, mutating)
    latest = exchange.arrived
    if exchange.forwarded is not None:
        latest = exchange.forwarded
        yield Event(latest, number, _PROXY, _SYSTEM, f"{exchange.method} passed on", mutating)
    if exchange.answered is not None:
        latest = exchange.answered
        yield Event(latest, number, _SYSTEM, _PROXY, f"answered {exchange.status or ''}".strip(), mutating)
    ended = exchange.ended if exchange.ended is not None else latest
    if exchange.point is not None:
        if exchange.delivered_bytes:
            yield Event(ended, number, _PROXY, _ADAPTER, f"{exchange.delivered_bytes} bytes passed on", mutating)
        yield Event(ended, number, _PROXY, _PROXY, f"cut here: {exchange.point}", mutating, cut=True)
    elif exchange.delivered_bytes:
        told = f"{exchange.status or 'reply'} passed on, {exchange.delivered_bytes} bytes"
        yield Event(ended, number, _PROXY, _ADAPTER, told, mutating)


def timeline(exchanges: Sequence[ExchangeRecord], name: str) -> Markup:
    """The drawing as SVG; `name` makes its ids unique on the page."""
    drawn = events(exchanges[-SHOWN:])
    parts: list[Markup] = []
    y, before = _TOP, None
    for event in drawn:
        if before is not None and event.at - before >= _PAUSE_SECONDS:
            parts.append(_label(_ADAPTER - 10, y - 4, f"{event.at - before:.1f} s pass", "end", "pause"))
            y += _GAP
        parts.append(_row(event, y))
        y, before = y + _ROW, event.at
    height = y + 4
    lanes = [_lane(x, word, height) for x, word in ((_ADAPTER, "adapter"), (_PROXY, "proxy"), (_SYSTEM, "system"))]
    title, told = f"{name}-title", f"{name}-told"
    picture = element(
        "svg",
        element("title", "What happened between adapter, proxy and system", id=title),
        element("desc", _told(drawn), id=told),
        *lanes,
        *parts,
        viewBox=f"0 0 {_WIDTH} {height}",
        role="img",
        aria_labelledby=f"{title} {told}",
        class_="timeline",
    )
    return element("div", picture, class_="frame", role="region", tabindex=0, aria_label="Timeline of the exchanges")


def _told(drawn: Sequence[Event]) -> str:
    return "; ".join(f"{event.at:.3f} s, exchange {event.number}: {event.text}" for event in drawn) or "nothing"


def _lane(x: int, word: str, height: int) -> Markup:
    return joined(
        element("line", x1=x, x2=x, y1=34, y2=height - 8, class_="lane"),
        element("rect", x=x - 48, y=6, width=96, height=26, rx=6, class_="head"),
        _label(x, 24, word, "middle", "word"),
    )


def _row(event: Event, y: int) -> Markup:
    when = _label(_ADAPTER - 10, y + 4, f"{event.at:.3f} s", "end", "when")
    kind = "write" if event.mutating else "read"
    if event.cut:
        x, arm = event.from_x, 7
        cross = f"M{x - arm} {y - arm}L{x + arm} {y + arm}M{x + arm} {y - arm}L{x - arm} {y + arm}"
        return joined(when, element("path", d=cross, class_="cut"), _label(x + 14, y + 4, event.text, "start", "cut"))
    toward = 1 if event.to_x > event.from_x else -1
    tip = event.to_x - 2 * toward
    head = f"M{tip} {y}l{-8 * toward} -4.5v9z"
    middle = (event.from_x + event.to_x) // 2
    return joined(
        when,
        element("line", x1=event.from_x, x2=tip - 6 * toward, y1=y, y2=y, class_=kind),
        element("path", d=head, class_=f"tip {kind}"),
        _label(middle, y - 6, f"#{event.number} {event.text}", "middle", kind),
    )


def _label(x: int, y: int, text: str, anchor: str, kind: str) -> Markup:
    return element("text", text, x=x, y=y, text_anchor=anchor, class_=kind)
