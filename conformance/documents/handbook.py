"""F-03 as a page, `docs/conformance.md`: the requirements, the cut points, and what `results.json` holds.

Owns: the page's wording and order. Requirements come from the registry, fields and their types from the models, so the
page cannot promise what the suite does not do. Refuses (KeyError): a field, word or area that it has no words for.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from conformance.conduct import CONDUCT
from conformance.documents.fields import FIELDS, MODELS
from conformance.documents.markdown import table
from conformance.registry import LOST, NAME, REQUIREMENTS
from conformance.reports.outline import AREAS, MISCONDUCT, NEEDS
from conformance.requirement import CONTRACT_VERSION, Level, Requirement, Tier
from conformance.results import Evidence, Grade, Judgement, Verdict
from conformance.verdict import Exit
from gateway.contracts.base import Model
from gateway.contracts.proposal import Operation

VERDICTS: Final[Mapping[Verdict, str]] = MappingProxyType(
    {
        Verdict.CONFORMANT: "every required check passed, or is excused by what the adapter declares",
        Verdict.NOT_CONFORMANT: "a required check failed, or an action happened more than once",
        Verdict.INCOMPLETE: "no check failed, but one that is required did not execute, could not run, or ended with "
        "an error of the suite; or the run was interrupted or read-only",
    }
)
JUDGEMENTS: Final[Mapping[Judgement, str]] = MappingProxyType(
    {
        Judgement.PASSED: "what was demanded was seen",
        Judgement.FAILED: "something else was seen",
        Judgement.NOT_APPLICABLE: "the adapter does not declare what the check needs; never an experience of the run",
        Judgement.COULD_NOT_RUN: "an obstacle: a system that is not there or goes away, a slot taken by strangers, the "
        "write budget, a fault without a receipt; excuses nothing",
        Judgement.HARNESS_ERROR: "the suite's own fault; excuses nothing",
    }
)
EXITS: Final[Mapping[Exit, str]] = MappingProxyType(
    {
        Exit.CONFORMANT: "conformant",
        Exit.NOT_CONFORMANT: "not conformant",
        Exit.INCOMPLETE: "incomplete, or the run was refused before it began",
        Exit.HARNESS_ERROR: "incomplete, and the suite is to be mended",
    }
)
GRADES: Final[Mapping[Grade, str]] = MappingProxyType(
    {
        Grade.SECOND_CREDENTIAL: "effects are counted with a credential and a client of the observer's own",
        Grade.INDEPENDENT_CLIENT: "effects are counted with the adapter's credential, by other code",
        Grade.ATTESTED: "a person looks at the system and says what stands there",
    }
)
EVIDENCE: Final[Mapping[Evidence, str]] = MappingProxyType(
    {
        Evidence.VIOLATED: "an attempt sent two mutating requests, or an observer saw two effects of one action",
        Evidence.NOT_VIOLATED: "not seen in the trials that the run made, over the cut points that it names",
        Evidence.UNOBSERVABLE: "nobody counted effects, so nothing can be said",
    }
)


def conformance_page(note: str) -> str:
    """The whole page; `note` says that it is made from the code."""
    sections = (
        _opening(note),
        _words(),
        _verdict(),
        _requirements(),
        _cut_points(),
        _conduct(),
        _results(),
        _reading(),
    )
    return "\n".join(line for section in sections for line in (*section, ""))[:-1] + "\n"


def _prose(text: str, *, indent: str = "") -> list[str]:
    """A paragraph, or a point whose further lines are indented, as lines of the page."""
    return textwrap.wrap(
        " ".join(text.split()), 118, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _opening(note: str) -> Iterator[str]:
    must = sum(each.level is Level.MUST for each in REQUIREMENTS.values())
    core = sum(each.tier is Tier.CORE for each in REQUIREMENTS.values())
    yield from ("# Conformance", "", note, "")
    yield from _prose(
        f"""What is asked of an external scheduling system and of the adapter that speaks to it (F-03), as
        requirements with stable ids. This is contract version {CONTRACT_VERSION}: {len(REQUIREMENTS)}
        requirements, {must} for every adapter and {len(REQUIREMENTS) - must} for those that declare the
        capability; {core} of them form the core tier."""
    )
    yield from ("", "```sh", "gateway conformance run ADAPTER --target FILE --report DIR", "```", "")
    yield from _prose(
        """The suite puts a proxy between the adapter and a sandbox of the system. It cuts connections there,
        counts requests there, and lets an observer count effects at the system. How to write an adapter and get
        it through is in [Writing an adapter](adapters/writing.md)."""
    )


def _words() -> Iterator[str]:
    yield from ("## Words", "", "How one check ended:", "")
    yield from table(("judgement", "means"), ((f"`{each}`", meaning) for each, meaning in JUDGEMENTS.items()))
    yield from ("", "What a run shows:", "")
    yield from table(("verdict", "means"), ((f"`{each}`", meaning) for each, meaning in VERDICTS.items()))
    yield from ("", "What a program is told:", "")
    yield from table(("exit code", "means"), ((each.value, meaning) for each, meaning in EXITS.items()))
    yield from ("", "Who counted effects, best first:", "")
    yield from table(("observer", "means"), ((f"`{each}`", meaning) for each, meaning in GRADES.items()))
    yield from ("", "At most once, over the whole run. Trials are evidence and no proof:", "")
    yield from table(("evidence", "means"), ((f"`{each}`", meaning) for each, meaning in EVIDENCE.items()))


def _verdict() -> Iterator[str]:
    yield from ("## How a verdict comes about", "")
    yield from _prose(
        """A pure function of the raw results; what a file says of itself is derived again by whoever reads it."""
    )
    yield ""
    yield "- Which checks are required is the registry's word. A result that is missing counts against the run."
    yield "- A failure outranks everything; an error of the suite outranks incomplete."
    yield from _prose(
        """- An excuse counts only where the descriptor lacks the capability. A claim that was not tried is an
        error.""",
        indent="  ",
    )
    yield from _prose(
        """- A pass on the twin counts where the requirement admits one (exhaustive tier, or marked \\*), else
        as `could-not-run`.""",
        indent="  ",
    )
    yield from _prose(
        """- A fault check passes only where the proxy has a receipt that the fault struck the intended
        request.""",
        indent="  ",
    )
    yield "- A new requirement is advisory until the contract version that it names."


def _requirements() -> Iterator[str]:
    yield from ("## Requirements", "")
    yield from _prose(
        """Level: `must` is asked of every adapter; `if-declared` of one that declares what stands behind it. Tier:
        `core` runs on the sandbox itself, `exhaustive` on a twin, unless the target says that the sandbox bears
        it. Writes: at most so many mutating requests. Rows: the
        [catalogue's](../conformance/catalogue/requirements.csv) requirements that it serves. Those marked
        \\* are core, but may run on a twin where no read-only credential can be had."""
    )
    by_area: dict[str, list[Requirement]] = {}
    for requirement in REQUIREMENTS.values():
        by_area.setdefault(requirement.id.partition(".")[0], []).append(requirement)
    for area, found in by_area.items():
        yield from ("", f"### {AREAS[area]}", "")
        if area == "lost":
            yield "One for each cut point and operation; see [Cut points](#cut-points)."
            continue
        head = ("id", "statement", "level", "tier", "writes", "rows")
        yield from table(head, (_row(each) for each in found))


def _row(requirement: Requirement) -> tuple[object, ...]:
    name = f"`{requirement.id}`" + (" \\*" if requirement.stands_in else "")
    return name, requirement.statement, _level(requirement), requirement.tier, requirement.writes, _rows(requirement)


def _level(requirement: Requirement) -> str:
    needs = ", ".join(NEEDS[need] for need in requirement.needs)
    return f"{requirement.level}: {needs}" if needs else requirement.level.value


def _rows(requirement: Requirement) -> str:
    return ", ".join(requirement.rows)


def _cut_points() -> Iterator[str]:
    yield from ("## Cut points", "")
    yield from _prose(
        """Where an acknowledgement is lost, in the order in which it would have happened, and what the attempt
        must end as. Nothing is sent again, at most one mutating request is on the wire, and a look after the
        settling time finds the truth. Each is tried for every operation that the adapter declares."""
    )
    yield ""
    yield from table(
        ("point", "what happens: effect", "requirements", "tier", "rows"),
        (
            (f"`{point}`", ending, "<br>".join(f"`{each.id}`" for each in tried), _tiers(tried), _rows(tried[0]))
            for point, ending in LOST.items()
            for tried in [[REQUIREMENTS[f"lost.{point}.{NAME[operation]}"] for operation in Operation]]
        ),
    )


def _tiers(tried: list[Requirement]) -> str:
    return "<br>".join(each.tier.value for each in tried)


def _conduct() -> Iterator[str]:
    yield from ("## Conduct", "")
    yield from _prose("""Noted in every check, judged once over the whole run:""")
    yield ""
    yield from table(
        ("misconduct", "means", "breaks"),
        ((f"`{slug}`", MISCONDUCT[slug], f"`{name}`") for name, slugs in CONDUCT.items() for slug in slugs),
    )


def _results() -> Iterator[str]:
    yield from ("## results.json", "")
    yield from _prose(
        """Everything that a run leaves behind, and all that reports, statements and verification read. UTF-8, one
        JSON object; what is absent is left out. There is no host name, no identifier of the system's, and no
        text of a peer's that was not masked. Sentences are the suite's own."""
    )
    for model in MODELS:
        yield from ("", f"### {model.__name__}", "", MODELS[model], "")
        properties = model.model_json_schema()["properties"]
        yield from table(
            ("member", "holds", "means"),
            ((f"`{name}`", _holds(schema), _meaning(model, name)) for name, schema in properties.items()),
        )


def _meaning(model: type[Model], name: str) -> str:
    return FIELDS[model.__name__][name]


def _holds(schema: Mapping[str, Any]) -> str:
    """A JSON schema in a few words."""
    if "anyOf" in schema:
        return f"{_holds(next(each for each in schema['anyOf'] if each.get('type') != 'null'))}, or absent"
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})" if name in {model.__name__ for model in MODELS} else _word(name)
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema["type"] == "array":
        return f"list of: {_holds(schema['items'])}"
    if schema.get("format") == "date-time":
        return "instant (UTC)"
    if schema.get("pattern") == "^[0-9a-f]{64}$":
        return "digest (64 hexadecimal digits)"
    limit = f" of at most {schema['maxLength']} characters" if "maxLength" in schema else ""
    return {"string": f"text{limit}", "integer": "whole number", "number": "number", "boolean": "true or false"}[
        schema["type"]
    ]


def _word(name: str) -> str:
    """A closed vocabulary: its own values, or where they are told."""
    told = {
        "Judgement": "#words",
        "Verdict": "#words",
        "Grade": "#words",
        "Evidence": "#words",
        "Code": "failures.md#codes",
    }
    if name in told:
        return f"[{name.lower()}]({told[name]})"
    schema = {key: value for model in MODELS for key, value in model.model_json_schema().get("$defs", {}).items()}[name]
    values = schema.get("enum")
    return "one of " + ", ".join(f"`{value}`" for value in values) if values else "the adapter's claims"


def _reading() -> Iterator[str]:
    yield from ("## The report directory", "")
    yield from _prose(
        """`results.json` is the evidence. `junit.xml` tells a continuous integration system: a suite for each
        area, a skip for what could not run, and a case `verdict` that fails unless the run is conformant, so
        that skips never look green. `report.html` is for people; it needs no network and runs no script:"""
    )
    yield ""
    yield from _prose(
        """- **The verdict** in one sentence, derived again from the single results, and what is missing for
        conformance.""",
        indent="  ",
    )
    yield "- **What was tried**: which installed code, on which system, counted by whom."
    yield "- **At most once**: commits called, mutating requests at the proxy, effects at the system."
    yield from _prose(
        """- **What failed**: expected and found, the fault's receipt, the masked exchange, and a timeline of
        who had the request when.""",
        indent="  ",
    )
    yield "- **Lost acknowledgement**: every cut point by every operation, with a sketch of where it cuts."
    yield "- **Requirements**, with what each rests on. `sandbox` and `twin` say whose evidence it is."
    yield "- **Claims and findings**: what the adapter declares, and whether the run bears it out."
    yield from _prose(
        """- **Mutants**, **twin and sandbox**, **what the run left behind**, and what all this proves and does
        not.""",
        indent="  ",
    )
