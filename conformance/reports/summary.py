"""The top and the end of the page: the verdict and what is missing, what was tried, and what that proves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from conformance.faults import Point
from conformance.reports.failures import told_at_length
from conformance.reports.markup import Markup, element, joined
from conformance.reports.outline import MARKS, WORDS, headline, lines, missing, peer_words, tally
from conformance.results import Evidence, Grade, Judgement, Profile, Results, Verdict
from conformance.verdict import derive

GRADES: Final[Mapping[Grade, str]] = MappingProxyType(
    {
        Grade.SECOND_CREDENTIAL: "second credential: counted effects with a credential and a client of its own",
        Grade.INDEPENDENT_CLIENT: "independent client: counted effects with the adapter's credential, by other code",
        Grade.ATTESTED: "attested: a person looked at the system and said what stands there",
    }
)
_VERDICT_MARKS: Final[Mapping[Verdict, Judgement]] = MappingProxyType(
    {
        Verdict.CONFORMANT: Judgement.PASSED,
        Verdict.NOT_CONFORMANT: Judgement.FAILED,
        Verdict.INCOMPLETE: Judgement.COULD_NOT_RUN,
    }
)


def verdict(results: Results) -> Markup:
    """The first thing that anybody reads."""
    found = derive(results)
    like = _VERDICT_MARKS[found]
    doubt = None
    if results.verdict is not found:
        told = f"The file says {results.verdict}; its own results say {found}. Believe the results."
        doubt = element("p", told, class_="word failed")
    return element(
        "header",
        element(
            "p",
            f"Conformance report · suite {results.suite_version}, contract {results.contract_version}",
            class_="eyebrow",
        ),
        element(
            "div",
            element("span", MARKS[like], class_="seal", aria_hidden="true"),
            element("h1", headline(results)),
            class_="headline",
        ),
        doubt,
        _missing(results),
        _bar(results),
        class_=f"verdict {like.value}",
    )


def _missing(results: Results) -> Markup:
    told = missing(results)
    if not told:
        sentence = "Every required check passed, or is excused by what the adapter declares."
        return element("p", sentence, class_="lead")
    links = [
        element("a", element("code", line.id), href=f"#{line.id}") for line in lines(results) if told_at_length(line)
    ]
    shown = joined(*links[:8], between=", ")
    more = f" and {len(links) - 8} more" if len(links) > 8 else ""
    return element(
        "div",
        element("h2", "Missing for conformance"),
        element("ul", *(element("li", each) for each in told)),
        element("p", "See ", shown, more, ".") if links else None,
        class_="missing",
    )


def _bar(results: Results) -> Markup:
    """How all requirements ended, as one bar with its legend."""
    counts = tally(lines(results))
    whole = sum(counts.values())
    left, parts, legend = 0.0, [], []
    for judgement, number in counts.items():
        key, width = judgement.value if judgement else "none", 100 * number / whole
        parts.append(element("rect", x=f"{left:.2f}", y=0, width=f"{width:.2f}", height=4, class_=key))
        words = element("b", str(number)), f" {WORDS[judgement]}"
        legend.append(element("li", element("span", MARKS[judgement], class_=f"key {key}", aria_hidden="true"), *words))
        left += width
    picture = element("svg", *parts, viewBox="0 0 100 4", preserveAspectRatio="none", aria_hidden="true", class_="bar")
    peers = Counter(
        peer_words(result.peer, results.profile)
        for result in results.results
        if result.judgement is not Judgement.NOT_APPLICABLE
    )
    told = ", ".join(f"{number} on the {peer}" for peer, number in peers.items())
    origin = element("p", f"Checks ran: {told}.", class_="quiet origin") if told else ""
    return joined(picture, element("ul", *legend, class_="legend"), origin)


def identity(results: Results) -> Markup:
    """What was tried, on what, by which suite, when."""
    seconds = round((results.ended_at - results.started_at).total_seconds())
    target, adapter = results.target, results.adapter
    parts = f", in {results.parts} parts" if results.parts > 1 else ""
    minutes = f"{seconds // 60} min " if seconds >= 60 else ""
    facts = {
        "Adapter": f"{adapter.name}, from {adapter.distribution} {adapter.version}",
        "System": f"{target.label}{', started by the run itself' if target.launched else ''}",
        "Digest of the installed code": _digest(adapter.code_digest),
        "Fingerprint of the system": _digest(target.fingerprint),
        "Dialect": target.dialect,
        "Twin": target.twin or "none",
        "Observer": GRADES[target.observer],
        "Cut points": "all on the system itself"
        if results.exhaustive
        else "core on the sandbox, the others on the twin",
        "Suite": f"{results.suite_version}, contract version {results.contract_version}",
        "Profile": "sandbox" if results.profile is Profile.SANDBOX else "production, reads only: no write was sent",
        "Digest of the suite": _digest(results.suite),
        "Salt of the run's values": _digest(results.salt),
        "Began": f"{results.started_at:%Y-%m-%d %H:%M:%S} UTC",
        "Took": f"{minutes}{seconds % 60} s{parts}",
    }
    return element("dl", *(element("div", element("dt", name), element("dd", fact)) for name, fact in facts.items()))


def _digest(digest: str) -> Markup:
    return element("code", digest, class_="digest")


def at_most_once(results: Results) -> Markup:
    """Intents, requests and effects side by side, and how far that carries."""
    seen = results.at_most_once
    number = len(seen.points)
    trials = f"{seen.trials} trials over {number} named {'point' if number == 1 else 'points'}"
    word, told = {
        Evidence.NOT_VIOLATED: ("passed", f"Not violated in {trials}."),
        Evidence.VIOLATED: ("failed", f"Violated: in {trials}, something happened more than once."),
        Evidence.UNOBSERVABLE: ("could-not-run", "Unobservable: this run could not count effects."),
    }[seen.evidence]
    steps = (
        (seen.commits, "commits called", "the gateway dispatched an action"),
        (seen.requests, "requests on the wire", "mutating ones, counted at the proxy"),
        (seen.effects, "effects seen", "appointments in the slots, where a check asks"),
    )
    return joined(
        element("p", element("b", told, class_=f"word {word}"), class_="lead"),
        element(
            "ol",
            *(
                element("li", element("b", f"{number:,}"), element("span", name), element("small", meaning))
                for number, name, meaning in steps
            ),
            class_="funnel",
        ),
        element("p", _origin(results), class_="quiet"),
        element("p", f"Points: {', '.join(_in_order(seen.points))}.", class_="quiet") if seen.points else "",
        element(
            "p", "Trials are evidence and no proof: they show what did not happen where it was tried.", class_="quiet"
        ),
    )


def _in_order(points: Iterable[str]) -> list[str]:
    """As they would happen to a request; what is no point of this suite comes last."""
    order = {point.value: at for at, point in enumerate(Point)}
    return sorted(points, key=lambda point: order.get(point, len(order)))


def _origin(results: Results) -> str:
    """Which system the trials were made on."""
    peers = Counter(
        peer_words(result.peer, results.profile)
        for result in results.results
        for attempt in result.attempts
        if attempt.effect is not None
    )
    return f"Commits called {', '.join(f'on the {peer}: {number}' for peer, number in peers.items()) or 'nowhere'}."


def reach(results: Results) -> Markup:
    """What this proves, and what it does not."""
    return element(
        "div",
        element("div", element("h3", "It shows"), element("ul", *(element("li", each) for each in _shown(results)))),
        element(
            "div",
            element("h3", "It does not show"),
            element("ul", *(element("li", each) for each in _not_shown(results))),
        ),
        class_="pair",
    )


def _shown(results: Results) -> Iterator[str]:
    yield "How the installed code with the digest above behaved, on this system and dialect, at this time."
    yield "That each fault which a check passed on struck the intended request: the proxy has a receipt."
    if results.at_most_once.evidence is not Evidence.UNOBSERVABLE:
        yield "How many effects stood at the system, counted apart from the adapter, never read from its answers."
    if results.mutation:
        yield "Whether these checks notice deliberately broken copies of this very adapter."


def _not_shown(results: Results) -> Iterator[str]:
    yield "That the system in production behaves as its sandbox does, or that the sandbox was an honest one."
    if results.target.twin is not None:
        yield "Anything about the system where the evidence is labelled twin: a twin is a stand-in by the author."
    yield "That a second effect is impossible: it was looked for in the trials above, and nowhere else."
    yield "Whether code that is hostile inside the process hid from the suite."
    yield "Who ran it: that takes a signed statement, which gateway conformance verify checks against results.json."
