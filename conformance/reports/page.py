"""`report.html`: one page that needs nothing else, for the engineer who made the adapter and the practice that gets it.

Owns: the order of the page. Refuses: scripts and anything from the network; its own policy forbids both.
Invariants: everything shown comes from the results, escaped; the verdict is derived again, never repeated.
"""

from __future__ import annotations

from importlib.resources import files

from conformance.reports.claims import calibration, claims, mutants, residue
from conformance.reports.failures import failures, told_at_length
from conformance.reports.inventory import inventory
from conformance.reports.markup import Markup, element, joined
from conformance.reports.matrix import matrix
from conformance.reports.outline import headline, lines
from conformance.reports.summary import at_most_once, identity, reach, verdict
from conformance.results import RESULTS_FILE, Judgement, Results

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(results: Results) -> bytes:
    """The whole document as UTF-8."""
    sections = _sections(results)
    style = files("conformance.reports").joinpath("report.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", headline(results)),
        element("style", Markup(style)),
    )
    links = [element("li", element("a", title, href=f"#{name}")) for name, title, _, _ in sections]
    body = element(
        "body",
        element("a", "To the verdict", href="#verdict", class_="skip"),
        element(
            "main",
            verdict(results),
            element("nav", element("ul", *links), aria_label="Sections"),
            *(_section(*section) for section in sections),
            id="verdict",
        ),
        element(
            "footer",
            element(
                "p", f"Made from {RESULTS_FILE}, which holds all of it; the verdict is derived from the single results."
            ),
        ),
    )
    return b"<!doctype html>\n" + element("html", head, body, lang="en").encode() + b"\n"


def _sections(results: Results) -> list[tuple[str, str, str, Markup]]:
    """Anchor, title, what it says, and content of each section, in order."""
    failed = sorted(
        (line for line in lines(results) if told_at_length(line)), key=lambda line: line.counts is not Judgement.FAILED
    )
    found = [
        ("identity", "What was tried", "", identity(results)),
        ("at-most-once", "At most once", "", at_most_once(results)),
    ]
    if failed:
        found.append(("failures", "What failed", _MASKED, failures(failed, results)))
    return [
        *found,
        ("lost", "Lost acknowledgement", _LOST, matrix(results)),
        ("requirements", "Requirements", "", inventory(results)),
        ("claims", "Claims and findings", _CLAIMS, claims(results)),
        ("mutants", "Mutants", "", mutants(results)),
        ("twin", "Twin and sandbox", _TWIN if results.target.twin else "", calibration(results)),
        ("residue", "What the run left behind", "", residue(results)),
        ("reach", "What this proves", "", reach(results)),
    ]


_MASKED = "Identifiers, bodies and header values of an exchange are masked before they are written down."
_LOST = (
    "The connection was cut between adapter and system at each of these points, for each operation. The attempt must "
    "end as said, send at most one mutating request, and a later look must find the truth. In the sketches: adapter, "
    "proxy, system; the request above, the reply below."
)
_CLAIMS = "A declared capability must work, and an undeclared one must be refused; both are tried."
_TWIN = "A twin stands in where the sandbox cannot bear a check. What differs between the two weakens its evidence."


def _section(name: str, title: str, told: str, content: Markup) -> Markup:
    heading = element("h2", title, id=f"{name}-title")
    told_too = element("p", told, class_="intro quiet") if told else None
    return element("section", heading, told_too, joined(content), id=name, aria_labelledby=f"{name}-title")
