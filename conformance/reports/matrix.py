"""The lost-acknowledgement matrix: every cut point by every operation, as a table that is a picture.

Owns: the small sketch of where each point cuts. What a point means, and how the attempt must end, is the registry's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from conformance.faults import Point
from conformance.registry import LOST
from conformance.reports.markup import Markup, element, joined, table
from conformance.reports.outline import MARKS, WORDS, Line, lines, peer_words
from conformance.results import AttemptRecord, Results
from gateway.contracts.proposal import Operation

_AWAY: Final = 24
"""Where the system is."""
_GOES, _COMES = 11, 23


@dataclass(frozen=True, slots=True)
class Sketch:
    """How far request and reply come, in twelfths of the way between two places: 0 adapter, 12 proxy, 24 system.
    `reply` is where it ends, None: there is none. `own`: what the adapter gets from the proxy is not the system's."""

    request: int
    reply: int | None = None
    own: bool = False


SKETCHES: Final[Mapping[Point, Sketch]] = MappingProxyType(
    {
        Point.REFUSED: Sketch(0),
        Point.BEFORE_SEND: Sketch(3),
        Point.MID_HEAD: Sketch(6),
        Point.MID_SEND: Sketch(9),
        Point.AFTER_SEND: Sketch(12),
        Point.ERROR_BEFORE: Sketch(12, 0, own=True),
        Point.AFTER_COMMIT: Sketch(24, 12),
        Point.MID_REPLY_HEAD: Sketch(24, 8),
        Point.MID_REPLY: Sketch(24, 4),
        Point.LATE: Sketch(24, 0),
        Point.ERROR_AFTER: Sketch(24, 0, own=True),
        Point.GARBAGE: Sketch(24, 0, own=True),
        Point.GARBAGE_BODY: Sketch(24, 0, own=True),
        Point.OVERSIZED: Sketch(24, 0, own=True),
        Point.DUPLICATE: Sketch(24, 0),
        Point.REDELIVERED: Sketch(24, 0),
    }
)
WORDS_ON_THE_WAY: Final[Mapping[Point, str]] = MappingProxyType(
    {
        Point.ERROR_BEFORE: "503",
        Point.ERROR_AFTER: "503",
        Point.LATE: "late",
        Point.GARBAGE: "noise",
        Point.GARBAGE_BODY: "noise",
        Point.OVERSIZED: "endless",
        Point.DUPLICATE: "twice",
        Point.REDELIVERED: "second",
    }
)
"""What comes to the adapter where something comes after all."""


def matrix(results: Results) -> Markup:
    """One row a cut point, one column an operation."""
    by_id = {line.id: line for line in lines(results)}
    groups = (
        ("Before the system committed", [point for point in LOST if SKETCHES[point].request < _AWAY]),
        ("After the system committed", [point for point in LOST if SKETCHES[point].request == _AWAY]),
    )
    bodies = joined(*(_group(name, points, by_id, results) for name, points in groups))
    where = element("span", *(element("span", place) for place in ("adapter", "proxy", "system")), class_="posts")
    head = ("cut point", where, *(operation.name.lower() for operation in Operation))
    return table("Lost acknowledgement: cut points by operation", head, bodies, class_="matrix")


def _group(name: str, points: Sequence[Point], by_id: Mapping[str, Line], results: Results) -> Markup:
    heading = element("tr", element("th", name, colspan=5, scope="rowgroup"), class_="group")
    made = [
        element(
            "tr",
            element("th", element("b", point.value), element("span", LOST[point]), scope="row"),
            element("td", sketch(point), class_="where"),
            *(
                _cell(by_id.get(f"lost.{point}.{operation.name.lower()}"), operation, results)
                for operation in Operation
            ),
        )
        for point in points
    ]
    return element("tbody", heading, *made)


def _cell(line: Line | None, operation: Operation, results: Results) -> Markup:
    if line is None:
        return element("td", "unknown to this registry")
    counts = line.counts.value if line.counts else "none"
    linked = element("a", f"{MARKS[line.counts]} {WORDS[line.counts]}", href=f"#{line.id}")
    if line.result is None:
        return element("td", linked, class_=f"cell {counts}", data_operation=operation.name.lower())
    acted = [attempt for attempt in line.result.attempts if attempt.operation is operation]
    told = [element("span", word) for attempt in acted[-1:] for word in _found(attempt)]
    peer = element("i", peer_words(line.result.peer, results.profile))
    return element(
        "td", linked, peer, element("div", *told), class_=f"cell {counts}", data_operation=operation.name.lower()
    )


def _found(attempt: AttemptRecord) -> Iterator[str]:
    yield str(attempt.effect or attempt.readiness or "no effect")
    yield f"{attempt.sent} sent"
    if attempt.finding is not None:
        yield f"look {attempt.finding}"


def sketch(point: Point) -> Markup:
    """Adapter, proxy and system as three posts; the request goes right above, the reply comes back below."""
    drawn = SKETCHES[point]
    parts = [element("line", x1=x, x2=x, y1=3, y2=31, class_="place") for x in (_x(0), _x(12), _x(_AWAY))]
    if drawn.request:
        parts.append(_way(0, drawn.request, _GOES, "gone"))
    if drawn.own:
        if drawn.request == _AWAY:
            parts.append(_way(_AWAY, 12, _COMES, "gone"))
        parts.append(_way(12, 0, _COMES, "own"))
    elif drawn.reply is not None:
        parts.append(_way(_AWAY, drawn.reply, _COMES, "gone"))
    word = WORDS_ON_THE_WAY.get(point)
    if word is not None:
        parts.append(element("text", word, x=_x(6), y=_COMES + 11, text_anchor="middle"))
    else:
        x, y = (_x(drawn.request), _GOES) if drawn.reply is None else (_x(drawn.reply), _COMES)
        parts.append(element("path", d=f"M{x - 5} {y - 5}l10 10m0 -10l-10 10", class_="cut"))
    return element("svg", *parts, viewBox="0 0 128 36", width=128, height=36, aria_hidden="true", class_="sketch")


def _x(twelfths: int) -> int:
    return 8 + twelfths * 112 // _AWAY


def _way(start: int, end: int, y: int, class_: str) -> Markup:
    return element("line", x1=_x(start), x2=_x(end), y1=y, y2=y, class_=class_)
