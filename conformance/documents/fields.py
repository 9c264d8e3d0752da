"""What each member of `results.json` means; the words of the tables in `docs/conformance.md`.

Invariant: one entry for every member of every model, none for what is not there; a test holds both.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from conformance.results import (
    AdapterIdentity,
    AtMostOnce,
    AttemptRecord,
    Difference,
    ExchangeRecord,
    MutantScore,
    ReceiptRecord,
    Residue,
    Result,
    Results,
    TargetIdentity,
)
from gateway.contracts.adapter import Descriptor
from gateway.contracts.base import Model
from gateway.contracts.calls import SafeCalls

MODELS: Final[Mapping[type[Model], str]] = MappingProxyType(
    {
        Results: "The document.",
        AdapterIdentity: "Which code was tried.",
        TargetIdentity: "Which system, without naming a host.",
        Descriptor: "What the adapter claims for this connection.",
        SafeCalls: "JSON-RPC methods that change nothing, where reads and writes are sent to one address.",
        Result: "One requirement, once.",
        AttemptRecord: "One attempt of the adapter at one action.",
        ReceiptRecord: "A fault that was armed, and what the proxy saw of it.",
        ExchangeRecord: "One request at the proxy and its reply, masked. Kept for checks that did not pass.",
        AtMostOnce: "Commits, requests and effects of the whole run, compared.",
        Residue: "What the run wrote to one system, and what became of it.",
        MutantScore: "One broken copy of the adapter.",
        Difference: "A check that ended otherwise on the twin than on the sandbox.",
    }
)
FIELDS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "Results": {
            "format": "the version of this schema",
            "contract_version": "the version of the requirements",
            "suite": "digest of the suite's installed code",
            "suite_version": "its version",
            "adapter": "the code that was tried",
            "descriptor": "what the adapter claims",
            "commitment": "whether a success reply is the commitment, or a relay's acceptance",
            "credential": "whether the connection has a credential at all",
            "target": "the system that it was tried on",
            "profile": "whether the run wrote; a read-only one can never be conformant",
            "exhaustive": "whether the system itself bears every check",
            "salt": "digest of what this run's values were made from",
            "parts": "in how many parts the run was made (`--resume`)",
            "started_at": "when the first part began",
            "ended_at": "when the last one ended",
            "results": "every check that was executed",
            "at_most_once": "the evidence on doubles",
            "residue": "one entry for each system that was written to",
            "mutation": "empty unless the adapter was mutated (`--mutate`)",
            "calibration": "twin against sandbox",
            "known": "failures that the target file lists beforehand; they change no verdict",
            "interrupted": "whether the run was broken off",
            "verdict": "what the suite made of it; derive it again before believing it",
        },
        "AdapterIdentity": {
            "name": "under which it is registered",
            "distribution": "the package that brought it",
            "version": "of that package",
            "code_digest": "of what is installed; a statement admits this very code",
        },
        "TargetIdentity": {
            "label": "the author's name for it",
            "dialect": "of the connection",
            "fingerprint": "digest of address, dialect and settings",
            "observer": "how independent the count of effects is",
            "launched": "whether the run started the system itself",
            "twin": "the author's name for the stand-in",
        },
        "Descriptor": {
            "adapter": "its name",
            "operations": "supported ones",
            "idempotency": "what the system does with the native key",
            "exclusivity": "whether the system keeps two appointments out of one slot",
            "commitment": "whether a success reply is the commitment",
            "relay_seconds": "how long a request may still be carried out once its attempt's time is over",
            "redelivers": "whether anything behind the adapter sends again",
            "observation": "how an appointment is found again",
            "settling_seconds": "how long until a change can be seen",
            "safe_posts": "path prefixes of POST requests that change nothing",
            "safe_calls": "JSON-RPC methods that change nothing",
            "requests_per_attempt": "the most that readiness, commit and one look need together",
        },
        "SafeCalls": {
            "address": "path from the server's root to which reads and writes are sent alike",
            "methods": "whole names; any other counts as mutating",
        },
        "Result": {
            "requirement": "its id",
            "judgement": "how it ended",
            "peer": "which system it talked to",
            "reason": "what was expected and what was found",
            "attempts": "what the adapter was asked and what it answered",
            "receipts": "of the faults that were armed",
            "exchanges": "what went over the wire",
            "injected": "whether the reply in question was made up by the suite",
            "effects": "appointments that the observer counted in the slot",
            "expected_effects": "what should stand there; after a lost reply, what would if it was carried out",
            "overlap": "how many requests were on the wire at the same time",
            "misconduct": "what the adapter did besides answering, see [Conduct](#conduct)",
            "started_at": "when it began",
            "seconds": "how long it took",
        },
        "AttemptRecord": {
            "operation": "what was to be done",
            "readiness": "why it was not ready",
            "ready": "whether readiness was proven",
            "effect": "what is known of the system after the commit; absent where none was called",
            "code": "the bounded code of the outcome",
            "sent": "mutating requests that the proxy counted",
            "finding": "what a look found afterwards",
            "basis": "how that look found it",
            "seconds": "how long it took",
        },
        "ReceiptRecord": {
            "point": "where the exchange was to break",
            "fired": "how many exchanges it struck",
            "forwarded": "whether the request reached the system whole",
            "answered": "whether the system's complete reply came back to the proxy",
            "exchange": "the number of the exchange",
            "facts": "further observations, in the proxy's own words",
        },
        "ExchangeRecord": {
            "number": "in the order of arrival",
            "method": "of the request",
            "target": "path and query, identifiers masked",
            "mutating": "whether it may change something",
            "request_headers": "names, and values where they tell nothing",
            "request_body": "its structure, values masked",
            "status": "of the system's reply",
            "reply_headers": "as those of the request",
            "reply_body": "as that of the request",
            "delivered_bytes": "how much of a reply the adapter was given",
            "arrived": "seconds from the start of the check until the proxy had the request",
            "forwarded": "… until it was passed on",
            "answered": "… until the system's reply was whole",
            "ended": "… until the connection was done with it",
            "point": "the fault that struck it",
        },
        "AtMostOnce": {
            "evidence": "what that shows",
            "trials": "attempts that reached their commit",
            "points": "the cut points at which a fault fired",
            "commits": "how often a commit was called",
            "requests": "mutating requests on the wire",
            "effects": "effects that the observer counted",
        },
        "Residue": {
            "peer": "which system",
            "created": "appointments",
            "removed": "of those",
            "remaining": "that could not be removed",
            "where": "the starts of the slots that remain taken",
            "kept": "removed ones that are still shown, as cancelled",
            "verified": "whether the last look succeeded; if not, the figures are upper bounds",
            "writes": "mutating requests, cleaning up included",
            "budget": "the most that the target file allows",
        },
        "MutantScore": {
            "mutant": "how the copy was broken",
            "caught": "whether any check noticed",
            "by": "the checks that did",
            "peer": "where it ran",
        },
        "Difference": {
            "requirement": "its id",
            "target": "how it ended on the sandbox",
            "twin": "how it ended on the twin",
            "detail": "what differs",
        },
    }
)
