"""The lost-acknowledgement matrix: every cut point by every operation, as a table that is a picture.

Owns: the small sketch of where each point cuts. What a point means, and how the attempt must end, is the registry's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from conformance.faults import Point
from conformance.registry import LOST
from conformance.reports.markup import Markup, element, joined, table
from conformance.reports.outline import MARKS, WORDS, Line, lines, peer_words
from conformance.results import Results
from gateway.contracts.proposal import Operation


@dataclass(frozen=True, slots=True)
class Sketch:
    """How far request and reply come, in thirds of the way: 0 adapter, 3 proxy, 6 system. `reply` counts back from
    the system, None: no reply. `own`: what the adapter gets is not the system's."""

    request: int
    reply: int | None = None
    own: bool = False


SKETCHES: Final[Mapping[Point, Sketch]] = MappingProxyType(
    {
        Point.REFUSED: Sketch(0),
        Point.BEFORE_SEND: Sketch(1),
        Point.MID_HEAD: Sketch(1),
        Point.MID_SEND: Sketch(2),
        Point.AFTER_SEND: Sketch(3),
        Point.ERROR_BEFORE: Sketch(3, 6, own=True),
        Point.AFTER_COMMIT: Sketch(6, 3),
        Point.MID_REPLY_HEAD: Sketch(6, 4),
        Point.MID_REPLY: Sketch(6, 5),
        Point.LATE: Sketch(6, 6),
        Point.ERROR_AFTER: Sketch(6, 6, own=True),
        Point.GARBAGE: Sketch(6, 6, own=True),
        Point.GARBAGE_BODY: Sketch(6, 6, own=True),
        Point.OVERSIZED: Sketch(6, 6, own=True),
        Point.DUPLICATE: Sketch(6, 6),
    }
)


def matrix(results: Results) -> Markup:
    """One row a cut point, one column an operation."""
    by_id = {line.id: line for line in lines(results)}
    groups = (
        ("Before the system committed", [point for point in LOST if SKETCHES[point].request < 6]),
        ("After the system committed", [point for point in LOST if SKETCHES[point].request == 6]),
    )
    bodies = joined(*(_group(name, points, by_id, results) for name, points in groups))
    head = ("cut point", "where", *(operation.name.lower() for operation in Operation))
    return table("Lost acknowledgement: cut points by operation", head, bodies, class_="matrix")


def _group(name: str, points: Sequence[Point], by_id: Mapping[str, Line], results: Results) -> Markup:
    heading = element("tr", element("th", name, colspan=5, scope="rowgroup"), class_="group")
    made = [
        element(
            "tr",
            element("th", element("b", point.value), element("span", _expected(point)), scope="row"),
            element("td", sketch(point), class_="where"),
            *(
                _cell(by_id.get(f"lost.{point}.{operation.name.lower()}"), operation, results)
                for operation in Operation
            ),
        )
        for point in points
    ]
    return element("tbody", heading, *made)


def _expected(point: Point) -> str:
    return LOST[point]


def _cell(line: Line | None, operation: Operation, results: Results) -> Markup:
    if line is None:
        return element("td", "unknown to this registry")
    counts = line.counts.value if line.counts else "none"
    mark = joined(element("b", f"{MARKS[line.counts]} {WORDS[line.counts]}"))
    linked = element("a", mark, href=f"#{line.id}")
    told: list[Markup] = []
    if line.result is not None:
        acted = [attempt for attempt in line.result.attempts if attempt.operation is operation]
        if acted:
            last = acted[-1]
            told.append(element("span", str(last.effect or last.readiness or "no effect"), class_="effect"))
            sent = f"{last.sent} sent"
            told.append(element("span", f"{sent}, look {last.finding}" if last.finding else sent))
        told.append(element("i", peer_words(line.result.peer, results.profile)))
    return element("td", linked, *told, class_=f"cell {counts}")


def sketch(point: Point) -> Markup:
    """Adapter, proxy and system as three dots; the request goes right above, the reply comes back below."""
    drawn = SKETCHES[point]
    reach = 10 + 15 * drawn.request
    parts = [element("line", x1=10, x2=100, y1=y, y2=y, class_="way") for y in (10, 22)]
    if drawn.request:
        parts.append(element("line", x1=10, x2=reach, y1=10, y2=10, class_="gone"))
    end_x, end_y = reach, 10
    if drawn.reply is not None:
        end_x, end_y = 100 - 15 * drawn.reply, 22
        if drawn.own:
            if drawn.request == 6:
                parts.append(element("line", x1=100, x2=55, y1=22, y2=22, class_="gone"))
            parts.append(element("line", x1=55, x2=10, y1=22, y2=22, class_="own"))
        else:
            parts.append(element("line", x1=100, x2=end_x, y1=22, y2=22, class_="gone"))
    parts += [element("circle", cx=x, cy=16, r=4, class_="place") for x in (10, 55, 100)]
    parts += _ending(point, end_x, end_y)
    return element("svg", *parts, viewBox="0 0 110 32", width=110, height=32, aria_hidden="true", class_="sketch")


def _ending(point: Point, x: int, y: int) -> Sequence[Markup]:
    """A cross where it is cut; a word where something arrives after all."""
    word = {
        Point.ERROR_BEFORE: "503",
        Point.ERROR_AFTER: "503",
        Point.LATE: "late",
        Point.GARBAGE: "noise",
        Point.GARBAGE_BODY: "noise",
        Point.OVERSIZED: "endless",
        Point.DUPLICATE: "twice",
    }.get(point)
    if word is not None:
        return (element("text", word, x=32, y=31, text_anchor="middle"),)
    return (element("path", d=f"M{x - 5} {y - 5}l10 10m0 -10l-10 10", class_="cut"),)
