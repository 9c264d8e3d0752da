"""The reference pages that are made from the code: `docs/failures.md`, `docs/audit-events.md`, `docs/conformance.md`,
and those about our own adapters.

    python -m conformance.documents.reference           # writes them
    python -m conformance.documents.reference --check   # says whether they are current; exit 0 or 1

Owns: their wording and order. Which fields an event carries is read from the calls that record it, so the page
cannot promise what the code does not do. Refuses: a signal, end or type that it has no words for (KeyError).
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, get_args, get_origin

from conformance.documents.handbook import conformance_page
from conformance.documents.markdown import table
from conformance.documents.systems import replies_page, systems_page
from gateway.contracts.advice import ADVICE
from gateway.contracts.failures import FAILURES, Code, caller_next
from gateway.contracts.outcome import ENDS
from gateway.contracts.references import Reference
from gateway.contracts.signals import Event, Signal
from gateway.contracts.words import End

ROOT: Final = Path(__file__).resolve().parents[2]

END_MEANINGS: Final[Mapping[End, str]] = MappingProxyType(
    {
        End.TRIGGER_DENIED: "the trigger is unsigned, unknown, expired, or may not do this",
        End.POLICY_DENIED: "policy says no",
        End.BLOCKED: "something could not be proven, before the intent",
        End.PAUSED: "policy wants a human's answer; nothing is sent before it",
        End.STOPPED_PAUSED: "an operator stopped a paused attempt",
        End.STOPPED: "an operator stopped it after the intent, before the adapter was called",
        End.NOT_DISPATCHED: "the intent stands, but the adapter was never called",
        End.NOT_SENT: "the adapter was called; no byte of the mutating request left",
        End.REFUSED: "a complete reply says definitively no",
        End.APPLIED: "a complete reply says yes, and it is recorded everywhere",
        End.APPLIED_UNAUDITED: "a complete reply says yes, but a further audit sink refused the record of it",
        End.UNKNOWN: "a byte left, and nothing proves what became of it; or the process died",
        End.FAULT: "a defect of the gateway itself, before the intent",
        End.CHECKED: "a read-only attempt (check, observe) passed",
    }
)

SIGNAL_MEANINGS: Final[Mapping[Signal, str]] = MappingProxyType(
    {
        Signal.TRIGGER_RECEIVED: "somebody asked for an attempt",
        Signal.TRIGGER_REJECTED: "the trigger is refused; the attempt ends REJECTED",
        Signal.CONTEXT_VALIDATED: "everything that the attempt needs is there and admissible",
        Signal.CONTEXT_INVALID: "the context is malformed, contradictory or forbidden",
        Signal.CONTEXT_MISSING: "something that the attempt needs is not there",
        Signal.GATE_JUDGED: "one gate's verdict: all seven in order, or the two without network if one failed",
        Signal.PROPOSAL_BOUND: "the very bytes that this attempt is about",
        Signal.APPROVAL_BOUND: "the approval, its digest and when it was given",
        Signal.POLICY_EVALUATED: "which sealed policy version ruled, and what",
        Signal.DECISION_REQUIRED_EMITTED: "a human must look: policy pauses, or a blocked attempt is escalated",
        Signal.DECISION_ANSWERED: "a human's signed answer to a decision signal",
        Signal.DEPENDENCY_UNAVAILABLE: "an evidence source, the registry or the external system gave nothing usable",
        Signal.MUTATION_REQUESTED: "the operation that is about to be carried out",
        Signal.MUTATION_APPROVED: "the approval covers it",
        Signal.MUTATION_DENIED: "the journal did not admit the intent (stop, hold, sibling, used key)",
        Signal.INTENT_RECORDED: "what may be sent, and until when; durable before anything is",
        Signal.EXECUTION_STEP_STARTED: "a step begins",
        Signal.EXECUTION_STEP_COMPLETED: "a step ends; for a commit, how many requests were let through",
        Signal.EFFECT_RECORDED: "what is known of the external system",
        Signal.STATE_TRANSITION_RECORDED: "the attempt moved along one edge",
        Signal.AUDIT_ACCEPTED: "the journal or a sink acknowledged",
        Signal.AUDIT_FAILED: "a sink refused, or was late",
        Signal.OBSERVATION_RECORDED: "a look at the external system, and what it found",
        Signal.DISCREPANCY_RECORDED: "the look contradicts the recorded effect; a human decides",
        Signal.ATTEMPT_COMPLETED: "the last event; its hash closes the attempt's chain",
    }
)

NOTE: Final = "<!-- Made by `python -m conformance.documents.reference`; do not edit. -->"


def failures_page() -> str:
    """F-04 as a page: the ends, then every code with its meaning, what to do about it, its ends and who acts next."""
    lines = [
        *("# Failures", "", NOTE, ""),
        "Every attempt ends in one row of the first table, with one code of the second. Nothing else comes out: no",
        "exception, no vendor text.",
        *("", "## Ends", ""),
        *table(
            ("end", "means", "state", "effect", "hold on the proposal", "approval"),
            (
                (f"`{end}`", END_MEANINGS[end], row.state, row.effect or "–", row.hold, row.approval)
                for end, row in ENDS.items()
            ),
        ),
        *("", "## Codes", ""),
        "*Do* is what to mend or to find out first, *next* what follows. Where the end decides, the end wins: after",
        "UNKNOWN comes nothing before somebody has [looked and resolved](operating.md#when-it-is-not-known); after",
        "NOT_SENT and REFUSED comes a new approval, unless the code says that a new proposal is needed. What holds for",
        "one attempt, `gateway show ATTEMPT` says.",
        "",
        *table(("code", "means", "do", "ends", "next"), ((f"`{code}`", *_told(code)) for code in Code)),
    ]
    return "\n".join(lines) + "\n"


def _told(code: Code) -> tuple[str, str, str, str]:
    """Meaning, advice, ends, and who does what next; one `next` per distinct answer."""
    row, do = FAILURES[code], ADVICE[code]
    ends = [end for end in End if end in row.ends]
    if not ends:
        return row.meaning, do, "none: the call is no attempt", f"{row.next} ({row.actor})"
    answers: dict[str, list[End]] = {}
    for end in ends:
        next_, actor = caller_next(code, end)
        answers.setdefault(f"{next_} ({actor})", []).append(end)
    if len(answers) == 1:
        return row.meaning, do, ", ".join(ends), next(iter(answers))
    nexts = "; ".join(f"{', '.join(of)}: {answer}" for answer, of in answers.items())
    return row.meaning, do, ", ".join(ends), nexts


def events_page(root: Path = ROOT) -> str:
    """F-05 as a page: every signal with the fields that the code sets, then every field with its values."""
    set_by = fields_set(root)
    always = ("seq", "at", "signal", "environment", "attempt", "correlation", "trace", "trigger")
    details = [name for name in Event.model_fields if name not in always]
    lines = [
        *("# Audit events", "", NOTE, ""),
        "One closed schema. Each field is an opaque reference, a digest, an instant, a number or a word of a closed",
        "list; there is no free text to put a name or a vendor's reply into. The events of one attempt form a hash",
        "chain: each hash covers the one before it and the event's canonical JSON (RFC 8785).",
        *("", f"Every event carries {', '.join(f'`{name}`' for name in always)} (the trigger once it is known).", ""),
        *("## Signals", ""),
        *table(
            ("signal", "means", "further fields, where known"),
            (
                (f"`{each}`", SIGNAL_MEANINGS[each], _named([n for n in details if n in set_by.get(each, ())]))
                for each in Signal
            ),
        ),
        *("", "## Fields", ""),
        *table(("field", "holds"), ((f"`{name}`", _holds(name)) for name in Event.model_fields)),
    ]
    return "\n".join(lines) + "\n"


def fields_set(root: Path) -> dict[Signal, set[str]]:
    """For each signal, the keyword arguments of all calls that record it, in the core's own sources."""
    found: dict[Signal, set[str]] = {}
    sources = [*(root / "gateway").glob("*.py"), root / "gateway" / "audit" / "acknowledgement.py"]
    for path in sources:
        for signal, names in _recorded(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(signal, set()).update(names)
    return found


def _recorded(tree: ast.Module) -> Iterator[tuple[Signal, set[str]]]:
    implied = {"to": Signal.STATE_TRANSITION_RECORDED, "begin": Signal.EXECUTION_STEP_STARTED}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        names = {keyword.arg for keyword in node.keywords if keyword.arg is not None}
        first = node.args[0]
        if node.func.attr in ("note", "record") and isinstance(first, ast.Attribute):
            if isinstance(first.value, ast.Name) and first.value.id == "Signal":
                yield Signal[first.attr], names
        elif node.func.attr in implied and names <= set(Event.model_fields):
            yield implied[node.func.attr], names


def _holds(name: str) -> str:
    schema = Event.model_json_schema()["properties"][name]
    pattern = next((each["pattern"] for each in (schema, *schema.get("anyOf", ())) if "pattern" in each), "")
    return ", ".join(_kind(leaf, pattern) for leaf in _leaves(Event.model_fields[name].annotation))


def _leaves(annotation: Any) -> Iterator[Any]:
    """The plain types in an annotation: unions and `Annotated` opened, None and constraints left out."""
    if get_origin(annotation) is Annotated:
        yield from _leaves(get_args(annotation)[0])
    elif get_args(annotation):
        for each in get_args(annotation):
            yield from _leaves(each)
    elif annotation is not type(None):
        yield annotation


def _kind(kind: Any, pattern: str) -> str:
    if issubclass(kind, Reference):
        return f"a reference `{kind.kind}_…`"
    if kind is Code:
        return "a code of the [failure taxonomy](failures.md#codes)"
    if kind is Signal:
        return "one of the signals above"
    if issubclass(kind, StrEnum):
        return ", ".join(f"`{each.value}`" for each in kind)
    if kind is str:
        return f"text that matches `{pattern}`"
    return {bool: "true or false", int: "a number"}.get(kind, "a UTC instant")


def _named(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "–"


PAGES: Final[Mapping[str, Callable[[], str]]] = MappingProxyType(
    {
        "docs/failures.md": failures_page,
        "docs/audit-events.md": events_page,
        "docs/conformance.md": lambda: conformance_page(NOTE),
        "docs/adapters/replies.md": lambda: replies_page(NOTE),
        "docs/adapters/README.md": systems_page,
    }
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m conformance.documents.reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is not current")
    check = parser.parse_args(arguments).check
    stale = 0
    for name, make in PAGES.items():
        path = ROOT / name
        if path.exists() and path.read_text(encoding="utf-8") == make():
            continue
        stale += 1
        if not check:
            path.write_text(make(), encoding="utf-8")
        sys.stdout.write(f"{name} {'is not current' if check else 'written'}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
