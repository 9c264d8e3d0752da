"""The page: one file, well-formed, escaped, readable without colour, and true to the results."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from conformance.registry import LOST, REQUIREMENTS
from conformance.reports.failures import OPEN
from conformance.reports.markup import element, joined
from conformance.reports.matrix import SKETCHES
from conformance.reports.page import page
from conformance.results import AtMostOnce, Evidence, Judgement, Peer, Results, Verdict
from gateway.contracts.adapter import Basis, Commitment, Exclusivity, Idempotency
from gateway.contracts.proposal import Operation

RUNS = ["conformant", "failing", "incomplete", "readonly"]
VOID = {"meta", "input", "br", "col"}


class Outline(HTMLParser):
    """What stands in a page: elements in order with their attributes and own text, and whether all are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), (tag, attrs)
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    def all(self, name: str, class_: str = "") -> list[dict[str, str | None]]:
        return [
            attributes
            for tag, attributes in self.found
            if tag == name and (not class_ or class_ in (attributes.get("class") or "").split())
        ]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def outlined(results: Results) -> Outline:
    return Outline(page(results).decode())


def section(results: Results, name: str) -> str:
    """The text of one section."""
    (found,) = re.findall(rf'<section id="{name}".*?</section>', page(results).decode(), re.DOTALL)
    return Outline(found).text


@pytest.mark.parametrize("run", RUNS)
def test_the_page_is_well_formed_and_every_link_leads_somewhere(run: str, request: pytest.FixtureRequest) -> None:
    found = outlined(request.getfixturevalue(run))
    assert found.open == []
    names = [attributes["id"] for _, attributes in found.found if "id" in attributes]
    assert len(names) == len(set(names))
    links = [attributes["href"] or "" for attributes in found.all("a")]
    assert [link for link in links if not link.startswith("#") or link[1:] not in names] == []
    for svg in found.all("svg", "timeline"):
        assert set((svg["aria-labelledby"] or "").split()) <= set(names)


@pytest.mark.parametrize("run", RUNS)
def test_the_page_needs_no_network_and_no_script(run: str, request: pytest.FixtureRequest) -> None:
    text = page(request.getfixturevalue(run)).decode()
    assert not re.search(r"<script|<link|<img|<iframe|\bsrc=|@import|url\(|https?:|//\w|\son\w+=", text)
    (policy,) = [each["content"] or "" for each in Outline(text).all("meta") if "http-equiv" in each]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")


@pytest.mark.parametrize("run", RUNS)
def test_no_report_promises_more_than_at_most_once(run: str, request: pytest.FixtureRequest) -> None:
    results = request.getfixturevalue(run)
    assert not re.search(r"exactly[\s-]*once|guarantee", page(results).decode(), re.IGNORECASE)


def test_everything_from_the_results_is_escaped(failing: Results) -> None:
    bad = "<script>x</script>\"'&\u202e"
    failed = next(each for each in failing.results if each.exchanges)
    exchange = failed.exchanges[1].model_copy(
        update={"target": bad, "request_headers": (bad,), "request_body": bad, "reply_headers": (bad,),
                "reply_body": bad}
    )  # fmt: skip
    receipt = failed.receipts[0].model_copy(update={"facts": (bad,)})
    changed = failed.model_copy(update={"reason": bad, "exchanges": (exchange,), "receipts": (receipt,)})
    results = failing.model_copy(
        update={
            "results": tuple(changed if each is failed else each for each in failing.results),
            "target": failing.target.model_copy(update={"label": bad, "twin": bad}),
            "adapter": failing.adapter.model_copy(update={"distribution": bad, "version": bad}),
            "suite_version": bad,
            "calibration": (failing.calibration[0].model_copy(update={"detail": bad}),),
            "descriptor": failing.descriptor.model_copy(update={"safe_posts": ("/<b>",)}),
        }
    )
    text = page(results).decode()
    assert "<script" not in text
    assert "/&lt;b&gt;" in text
    assert "\u202e" not in text
    assert Outline(text).open == []
    assert Outline(text).text.count("<script>x</script>\"'&\ufffd") >= 12


def test_markup_escapes_children_attributes_and_what_joins_them() -> None:
    made = element("p", "<&", element("b", ">"), None, title='"<', lang=None, hidden=True, open=False)
    assert made == '<p title="&quot;&lt;" hidden>&lt;&amp;<b>&gt;</b></p>'
    assert joined("<", element("br"), between=" & ") == "&lt; &amp; <br>"


def test_the_filter_offers_what_occurs_and_the_style_knows_every_choice(failing: Results) -> None:
    style = files("conformance.reports").joinpath("report.css").read_text(encoding="utf-8")
    for key in (*(each.value for each in Judgement), "none"):
        for hidden in (f".line:not(.{key})", f".area:not(:has(.line.{key}))"):
            assert f"body:has(#show-{key}:checked) {hidden}" in style
    choices = outlined(failing).all("input")
    assert [each["id"] for each in choices] == [
        "show-all", "show-passed", "show-failed", "show-not-applicable", "show-could-not-run", "show-harness-error"
    ]  # fmt: skip
    assert [each["id"] for each in choices if "checked" in each] == ["show-all"]


@pytest.mark.parametrize("run", RUNS)
def test_the_verdict_is_the_one_heading_and_is_said_without_colour(run: str, request: pytest.FixtureRequest) -> None:
    results: Results = request.getfixturevalue(run)
    text = page(results).decode()
    (heading,) = re.findall(r"<h1>(.*?)</h1>", text)
    said = {
        Verdict.CONFORMANT: "is conformant",
        Verdict.NOT_CONFORMANT: "is not conformant",
        Verdict.INCOMPLETE: "Incomplete",
    }
    assert said[results.verdict] in heading
    assert (results.verdict is Verdict.CONFORMANT) is ("Missing for conformance" not in text)


def test_a_file_that_boasts_is_contradicted(failing: Results) -> None:
    boast = failing.model_copy(update={"verdict": Verdict.CONFORMANT})
    assert "The file says conformant; its own results say not-conformant." in outlined(boast).text
    assert "Believe the results" not in outlined(failing).text


@pytest.mark.parametrize("run", RUNS)
def test_every_table_tells_what_its_cells_are_about(run: str, request: pytest.FixtureRequest) -> None:
    found = outlined(request.getfixturevalue(run))
    assert len(found.all("table")) == len(found.all("caption")) > 14
    assert {each.get("scope") for each in found.all("th")} == {"col", "row", "rowgroup"}
    assert all(each.get("aria-label") and each.get("tabindex") == "0" for each in found.all("div", "frame"))


@pytest.mark.parametrize("run", RUNS)
def test_every_requirement_is_on_the_page_and_can_be_linked_to(run: str, request: pytest.FixtureRequest) -> None:
    found = outlined(request.getfixturevalue(run))
    rows = found.all("tr", "line")
    assert len(rows) == len(REQUIREMENTS)
    assert {attributes.get("id") for _, attributes in found.found} >= set(REQUIREMENTS)


def test_the_matrix_has_a_cell_for_every_cut_point_and_operation(failing: Results) -> None:
    assert set(SKETCHES) == set(LOST)
    found = outlined(failing)
    assert len(found.all("td", "cell")) == len(LOST) * len(Operation)
    assert len(found.all("svg", "sketch")) == len(LOST)
    assert len(found.all("td", "failed")) == 2
    told = section(failing, "lost")
    assert "after-commit the system commits and its reply is lost: UNKNOWN ✗ failed sandbox APPLIED 2 sent" in told
    assert "garbage-body" in told


def test_a_cut_point_that_was_not_tried_says_so(readonly: Results) -> None:
    assert section(readonly, "lost").count("· did not execute") == len(LOST) * len(Operation)


def test_each_failure_shows_reason_receipt_exchange_and_timeline(failing: Results) -> None:
    found = outlined(failing)
    assert [each["id"] for each in found.all("details", "failure")] == [
        "lost.after-commit.book",
        "lost.garbage-body.book",
        "conduct.one-mutation",
        "ready.hanging",
    ]
    assert len(found.all("svg", "timeline")) == 1
    told = section(failing, "failures")
    assert "Expected one mutating request and one effect; found 2 requests and 2 effects." in told
    assert "2 in the slot, 1 if carried out" in told
    assert "Fault after-commit fired 1 time on exchange 2; the request reached the system whole" in told
    assert "The system answered 201." in told
    assert "#2 POST /fhir/Appointment → 201, mutating cut: after-commit" in told
    assert '{"resourceType": "Appointment", "id": "‹masked 12›"}' in told


def test_of_many_failures_only_the_first_few_are_open(conformant: Results) -> None:
    broken = tuple(
        each.model_copy(update={"judgement": Judgement.FAILED}) if each.judgement is Judgement.PASSED else each
        for each in conformant.results
    )
    found = outlined(conformant.model_copy(update={"results": broken})).all("details", "failure")
    assert [("open" in each) for each in found] == [True] * OPEN + [False] * (len(found) - OPEN)


def test_a_conformant_run_has_no_section_of_failures(conformant: Results) -> None:
    assert 'id="failures"' not in page(conformant).decode()


def test_evidence_of_a_twin_is_called_so_wherever_it_stands(conformant: Results) -> None:
    twins = sum(each.peer is Peer.TWIN for each in conformant.results)
    matrix = sum(each.peer is Peer.TWIN for each in conformant.results if each.requirement.startswith("lost."))
    text = page(conformant).decode()
    assert text.count('<span class="tag">twin</span>') == twins
    assert text.count("<i>twin</i>") == matrix > 30
    assert f"{twins} on the twin" in outlined(conformant).text
    assert "Commits called on the sandbox: 5, on the twin: 46." in section(conformant, "at-most-once")
    assert "labelled twin" in section(conformant, "reach")


def test_a_read_only_run_never_calls_its_system_a_sandbox(readonly: Results) -> None:
    text = page(readonly).decode()
    assert '<span class="tag">production, reads only</span>' in text
    assert '<span class="tag">sandbox</span>' not in text


@pytest.mark.parametrize(
    ("evidence", "told"),
    [
        (Evidence.NOT_VIOLATED, "Not violated in 64 trials over 2 named points."),
        (Evidence.VIOLATED, "Violated: in 64 trials"),
        (Evidence.UNOBSERVABLE, "Unobservable: this run could not count effects."),
    ],
)
def test_at_most_once_is_told_with_its_trials(conformant: Results, evidence: Evidence, told: str) -> None:
    counted = AtMostOnce(
        evidence=evidence, trials=64, points=("late", "after-send"), commits=64, requests=60, effects=41
    )
    found = section(conformant.model_copy(update={"at_most_once": counted}), "at-most-once")
    assert told in found
    assert "Points: after-send, late." in found
    assert "64 commits called" in found
    assert "60 requests on the wire" in found
    assert "41 effects seen" in found


def test_a_claim_is_shown_in_doubt_or_not_fully_shown(conformant: Results, alter: Callable[..., Results]) -> None:
    assert "native key accepted once; a second use is refused or has no effect ✓ shown by 5 checks" in section(
        conformant, "claims"
    )
    doubted = alter(conformant, replay_book={"judgement": Judgement.FAILED})
    assert "✗ in doubt replay.book" in section(doubted, "claims")
    partly = alter(conformant, replay_book={"judgement": Judgement.COULD_NOT_RUN})
    assert "! not fully shown 4 passed, 1 could not run" in section(partly, "claims")
    absent = alter(conformant, replay_book=None)
    assert "! not fully shown 4 passed, 1 did not execute" in section(absent, "claims")


def test_a_claim_that_nothing_tries_is_taken_on_trust(conformant: Results) -> None:
    told = section(conformant, "claims")
    assert "anything behind it delivers again no taken on trust" in told


def test_every_kind_of_claim_has_words(conformant: Results) -> None:
    for idempotency in Idempotency:
        for exclusivity in Exclusivity:
            for basis in Basis:
                claims = conformant.descriptor.model_copy(
                    update={"idempotency": idempotency, "exclusivity": exclusivity, "observation": basis,
                            "commitment": Commitment.RELAYED, "relay_seconds": 30, "redelivers": True,
                            "operations": (Operation.BOOK,)}
                )  # fmt: skip
                told = section(conformant.model_copy(update={"descriptor": claims}), "claims")
                assert "that a relay took it, carried out within 30 s" in told
                assert "cancel not supported" in told


def test_mutants_are_scored_and_none_is_said_to_be_none(conformant: Results, failing: Results) -> None:
    assert "4 of 4 deliberately broken copies" in section(conformant, "mutants")
    assert "1 of 2 deliberately broken copies" in section(failing, "mutants")
    assert "swallows-a-conflict ✗ not noticed – twin" in section(failing, "mutants")
    assert "not mutated" in section(conformant.model_copy(update={"mutation": ()}), "mutants")


def test_calibration_and_residue_are_told_also_where_there_is_nothing(conformant: Results, readonly: Results) -> None:
    assert "refused.slot-taken passed failed The twin lets two appointments share a slot" in section(conformant, "twin")
    assert "No check that ran on both" in section(readonly, "twin")
    alone = conformant.model_copy(update={"target": conformant.target.model_copy(update={"twin": None})})
    assert "The run used no twin." in section(alone, "twin")
    assert "sandbox 19 17 ! 2 2041-01-07 08:00Z, 2041-01-07 08:30Z 27 of 30" in section(conformant, "residue")
    assert "The run wrote nothing." in section(readonly, "residue")


def test_a_residue_that_could_not_be_looked_at_is_an_upper_bound(conformant: Results) -> None:
    unsure = conformant.residue[0].model_copy(update={"verified": False, "kept": 3})
    told = section(conformant.model_copy(update={"residue": (unsure,)}), "residue")
    assert "The last look at the sandbox failed: these are upper bounds." in told
    assert "17, of which 3 shown as cancelled" in told


def test_misconduct_is_named_in_the_row_and_in_the_failure(conformant: Results, alter: Callable[..., Results]) -> None:
    found = alter(conformant, book_applied={"judgement": Judgement.FAILED, "misconduct": ("leak",)})
    assert page(found).decode().count("a secret or a payload let out") == 2


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_all_text_has_the_contrast_that_wcag_asks_for(scheme: str) -> None:
    style = files("conformance.reports").joinpath("report.css").read_text(encoding="utf-8")
    light, dark, printed = (dict(re.findall(r"--([\w-]+): (#\w+)", each)) for each in style.split(":root {")[1:4])
    colours = {"light": light, "dark": dark, "print": printed}[scheme]
    colours = {name: "#" + "".join(c * 2 for c in value[1:]) if len(value) == 4 else value
               for name, value in colours.items()}  # fmt: skip
    tones = ("good", "bad", "care", "fault", "none")
    pairs = [(tone, f"{tone}-ground") for tone in tones] + [(tone, "sheet") for tone in tones]
    pairs += [(each, ground) for each in ("ink", "quiet", "accent") for ground in ("paper", "sheet", "faint")]
    pairs += [(each, f"{tone}-ground") for each in ("ink", "quiet") for tone in tones]
    for text, ground in pairs:
        first, second = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
        assert (first + 0.05) / (second + 0.05) >= 4.5, (scheme, text, ground)
