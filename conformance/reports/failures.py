"""What failed, at length: what was expected and found, the attempts, the fault's receipt, and the masked exchange."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from conformance.reports.markup import Markup, element, joined, rows, table
from conformance.reports.outline import MARKS, WORDS, Line, misconduct, peer_words, reason, standing
from conformance.reports.timeline import SHOWN, timeline
from conformance.results import AttemptRecord, ExchangeRecord, Judgement, ReceiptRecord, Result, Results

OPEN: Final = 3
"""Entries that are open from the start; a badly broken adapter fails half of the suite for one reason."""


def told_at_length(line: Line) -> bool:
    """Whether a requirement has an entry of its own: it failed, or the suite did."""
    return line.result is not None and line.counts in (Judgement.FAILED, Judgement.HARNESS_ERROR)


def failures(found: Sequence[Line], results: Results) -> Markup:
    """One entry for each that is told at length; the first few are open."""
    return joined(
        *(
            _entry(line, line.result, results, open_=at < OPEN)
            for at, line in enumerate(found)
            if line.result is not None
        )
    )


def _entry(line: Line, result: Result, results: Results, *, open_: bool) -> Markup:
    counts = line.counts.value if line.counts else "none"
    return element(
        "details",
        element(
            "summary",
            element(
                "h3",
                element("span", f"{MARKS[line.counts]} {WORDS[line.counts]}", class_=f"word {counts}"),
                " ",
                element("code", line.id),
            ),
            element("span", reason(line, results), class_="reason"),
        ),
        element("p", line.statement, class_="statement"),
        element("p", *_facts(result, results), class_="facts"),
        _attempts(result.attempts) if result.attempts else None,
        element("ul", *_receipts(result.receipts), class_="receipts") if result.receipts else None,
        _wire(line.id, result.exchanges) if result.exchanges else None,
        id=line.id,
        class_=f"failure {counts}",
        open=open_,
    )


def _facts(result: Result, results: Results) -> Iterator[Markup]:
    yield element("span", f"on the {peer_words(result.peer, results.profile)}")
    if counted := standing(result):
        yield element("span", counted)
    if result.overlap is not None:
        yield element("span", f"{result.overlap} requests overlapped")
    for word in misconduct(result):
        yield element("b", word, class_="word failed")
    if result.injected:
        yield element("span", "the reply was injected by the suite")
    yield element("span", f"{result.seconds:.2f} s")


def _attempts(attempts: Sequence[AttemptRecord]) -> Markup:
    head = ("operation", "readiness", "effect", "code", "mutating requests", "look afterwards", "seconds")
    return table(
        "Attempts",
        head,
        rows(
            *(
                (
                    attempt.operation.name.lower(),
                    "proven" if attempt.ready else str(attempt.readiness or "–"),
                    str(attempt.effect or "–"),
                    str(attempt.code or "–"),
                    str(attempt.sent),
                    f"{attempt.finding}, {attempt.basis}" if attempt.finding else "–",
                    f"{attempt.seconds:.2f}",
                )
                for attempt in attempts
            )
        ),
    )


def _receipts(receipts: Sequence[ReceiptRecord]) -> Iterator[Markup]:
    for receipt in receipts:
        fired = f"fired {receipt.fired} {'time' if receipt.fired == 1 else 'times'}" if receipt.fired else "never fired"
        reached = "reached the system whole" if receipt.forwarded else "did not reach the system whole"
        answered = "the system answered it" if receipt.answered else "the system did not answer it"
        which = f" on exchange {receipt.exchange}" if receipt.exchange is not None else ""
        told = f" {fired}{which}; the request {reached}, {answered}. "
        facts = "".join(f"{fact[:1].upper()}{fact[1:].rstrip('.')}. " for fact in receipt.facts)
        yield element("li", "Fault ", element("code", receipt.point), told, facts)


def _wire(name: str, exchanges: Sequence[ExchangeRecord]) -> Markup:
    left = len(exchanges) - SHOWN
    return joined(
        element("h4", "On the wire"),
        timeline(exchanges, name),
        *(_exchange(exchange) for exchange in exchanges[-SHOWN:]),
        element("p", f"{left} earlier ones are in results.json.", class_="quiet") if left > 0 else "",
    )


def _exchange(exchange: ExchangeRecord) -> Markup:
    status = f" → {exchange.status}" if exchange.status is not None else " → no reply"
    cut = element("span", f"cut: {exchange.point}", class_="word failed") if exchange.point else None
    kind = "mutating" if exchange.mutating else "read"
    summary = element(
        "summary",
        f"#{exchange.number} ",
        element("code", f"{exchange.method} {exchange.target}"),
        f"{status}, {kind} ",
        cut,
    )
    return element(
        "details",
        summary,
        element("h5", "Request"),
        element("pre", _message(exchange.request_headers, exchange.request_body)),
        element("h5", "Reply of the system"),
        element("pre", _message(exchange.reply_headers, exchange.reply_body)),
        open=exchange.point is not None,
    )


def _message(headers: Sequence[str], body: str) -> str:
    return "\n".join([*headers, *(["", body] if body else [])]) or "nothing"
