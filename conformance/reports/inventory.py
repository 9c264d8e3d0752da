"""Every requirement by area, a table each, with its evidence; what is shown can be narrowed without a script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conformance.reports.failures import told_at_length
from conformance.reports.markup import Markup, element, joined
from conformance.reports.outline import (
    MARKS,
    WORDS,
    Line,
    areas,
    lines,
    misconduct,
    peer_words,
    reason,
    standing,
    tally,
    title,
)
from conformance.results import Judgement, Result, Results


def inventory(results: Results) -> Markup:
    """The filter, then the areas; a row of a table is a requirement."""
    return joined(_filter(lines(results)), *(_area(area, found, results) for area, found in areas(results).items()))


def _filter(found: Sequence[Line]) -> Markup:
    counts = tally(found)
    choices = [("all", "all", len(found))]
    choices += [(_key(each), WORDS[each], number) for each, number in counts.items()]
    return element(
        "fieldset",
        element("legend", "Show"),
        *(
            element(
                "label",
                element("input", type="radio", name="show", id=f"show-{key}", checked=key == "all"),
                element("span", f"{word} {number}"),
            )
            for key, word, number in choices
        ),
        class_="filter",
    )


def _area(area: str, found: Sequence[Line], results: Results) -> Markup:
    """Closed where all is well, so that what is not stands out; the filter opens what it shows."""
    counts = tally(found)
    counted = ", ".join(f"{number} {WORDS[each]}" for each, number in counts.items())
    well = set(counts) <= {Judgement.PASSED, Judgement.NOT_APPLICABLE}
    head = element(
        "thead",
        element(
            "tr",
            *(element("th", each, scope="col", role="columnheader") for each in ("ended", "requirement", "evidence")),
            role="row",
        ),
        role="rowgroup",
    )
    body = element("tbody", *(_row(line, results) for line in found), role="rowgroup")
    named = element("caption", title(area))
    keys = [element("span", MARKS[each], class_=f"key {_key(each)}", aria_hidden="true") for each in counts]
    return element(
        "details",
        element("summary", element("h3", title(area)), element("span", counted), element("span", *keys, class_="keys")),
        element("table", named, head, body, role="table"),
        class_="area",
        open=not well,
    )


def _key(judgement: Judgement | None) -> str:
    return judgement.value if judgement else "none"


def _row(line: Line, results: Results) -> Markup:
    counts = _key(line.counts)
    long = told_at_length(line)
    name = element("code", line.id)
    level = "advisory" if line.advisory else line.requirement.level.value if line.requirement else ""
    why = reason(line, results) if line.counts is not Judgement.PASSED else ""
    return element(
        "tr",
        element(
            "td", element("span", f"{MARKS[line.counts]} {WORDS[line.counts]}", class_=f"word {counts}"), role="cell"
        ),
        element(
            "th",
            element("span", line.statement),
            element("small", element("a", name, href=f"#{line.id}") if long else name, " ", level),
            scope="row",
            role="rowheader",
        ),
        element(
            "td",
            element("p", why) if why else None,
            element("p", *_evidence(line.result, results), class_="facts") if line.result else None,
            role="cell",
        ),
        id=None if long else line.id,
        class_=f"line {counts}",
        role="row",
    )


def _evidence(result: Result, results: Results) -> Iterator[Markup]:
    if result.judgement is Judgement.NOT_APPLICABLE:
        return
    yield element("span", peer_words(result.peer, results.profile), class_="tag")
    if result.injected:
        yield element("span", "injected reply", class_="tag")
    if result.attempts:
        last = result.attempts[-1]
        number = len(result.attempts)
        sent = sum(attempt.sent for attempt in result.attempts)
        yield element("span", f"{number} {'attempt' if number == 1 else 'attempts'}, {sent} sent")
        if last.effect is not None:
            yield element("span", f"effect {last.effect}")
        elif last.readiness is not None:
            yield element("span", f"readiness {last.readiness}")
        if last.finding is not None:
            yield element("span", f"look {last.finding}")
    if counted := standing(result):
        yield element("span", counted)
    if result.overlap is not None:
        yield element("span", f"{result.overlap} overlapped")
    for word in misconduct(result):
        yield element("span", word, class_="word failed")
    for receipt in result.receipts:
        yield element("span", f"fault {'fired' if receipt.fired else 'did not fire'}")
