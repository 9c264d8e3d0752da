"""What each reply means: tables from status and named precondition to a bounded judgement, and proofs.

Owns: the tables. Refuses: to take anything for a refusal or a success that is not listed as one (I3).
Pure; the tests walk every row.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from adapters.caldav.dav import Collection
from adapters.caldav.mapping import Event
from gateway.contracts.adapter import Claim, Proof, Request
from gateway.contracts.connection import Scheme
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation

ACCESS_DECLARED: Final = "access-declared"
PROBE_REFUSALS: Final[Mapping[int, Code]] = MappingProxyType(
    {
        401: Code.CREDENTIALS_REJECTED,
        403: Code.EXTERNAL_FORBIDDEN,
        429: Code.EXTERNAL_THROTTLED,
    }
)
"""Replies that refute readiness with a code of their own; all others but 207 are EXTERNAL_UNAVAILABLE."""

Judgement = tuple[Claim, Code]
_REFUSED_INVALID: Final = (Claim.REFUSED, Code.EXTERNAL_INVALID)

_REPLIES: Final[Mapping[int, Judgement]] = {
    202: (Claim.UNKNOWN, Code.ACCEPTED_PENDING),
    400: _REFUSED_INVALID,
    401: (Claim.REFUSED, Code.CREDENTIALS_REJECTED),
    403: (Claim.REFUSED, Code.EXTERNAL_FORBIDDEN),
    405: (Claim.REFUSED, Code.EXTERNAL_FORBIDDEN),
    408: (Claim.UNKNOWN, Code.EXTERNAL_TIMEOUT),
    413: _REFUSED_INVALID,
    415: _REFUSED_INVALID,
    422: _REFUSED_INVALID,
    423: (Claim.REFUSED, Code.EXTERNAL_UNAVAILABLE),
    429: (Claim.REFUSED, Code.EXTERNAL_THROTTLED),
}
BOOK_REPLIES: Final[Mapping[int, Judgement]] = MappingProxyType(
    {
        **_REPLIES,
        201: (Claim.APPLIED, Code.COMMITTED),
        200: (Claim.UNKNOWN, Code.REPLY_DEVIATES),  # replaced something, against If-None-Match
        204: (Claim.UNKNOWN, Code.REPLY_DEVIATES),
        404: (Claim.REFUSED, Code.EXTERNAL_UNAVAILABLE),  # no such collection
        410: (Claim.REFUSED, Code.EXTERNAL_UNAVAILABLE),
    }
)
CHANGE_REPLIES: Final[Mapping[int, Judgement]] = MappingProxyType(
    {
        **_REPLIES,
        200: (Claim.APPLIED, Code.COMMITTED),
        204: (Claim.APPLIED, Code.COMMITTED),
        201: (Claim.UNKNOWN, Code.REPLY_DEVIATES),  # made something, against If-Match
        404: (Claim.REFUSED, Code.TARGET_NOT_FOUND),
        410: (Claim.REFUSED, Code.TARGET_NOT_FOUND),
    }
)
AMBIGUOUS: Final = frozenset({409, 412})
"""Replies to a PUT that mean different things on different servers: look before judging."""

CONDITIONS: Final[Mapping[str, Judgement]] = MappingProxyType(
    {
        "no-uid-conflict": (Claim.UNKNOWN, Code.DUPLICATE_KEY),
        "need-privileges": (Claim.REFUSED, Code.EXTERNAL_FORBIDDEN),  # RFC 3744 §7.1.1
        **dict.fromkeys(
            (  # RFC 4791 §5.3.2.1
                "supported-calendar-data",
                "valid-calendar-data",
                "valid-calendar-object-resource",
                "supported-calendar-component",
                "max-resource-size",
                "min-date-time",
                "max-date-time",
                "max-instances",
                "max-attendees-per-instance",
            ),
            _REFUSED_INVALID,
        ),
    }
)
"""What a named precondition of a refused PUT means. Our key in use is never a refusal (I3)."""


def _named(conditions: frozenset[str]) -> Judgement | None:
    judged = {CONDITIONS[name] for name in conditions if name in CONDITIONS}
    if len(judged) > 1:
        return Claim.UNKNOWN, Code.REPLY_UNRECOGNISED
    return judged.pop() if judged else None


def judge(operation: Operation, status: int, conditions: frozenset[str] = frozenset()) -> Judgement:
    """What a reply to the PUT means, by its status and, for a 403, the precondition it names."""
    if status == 403 and (named := _named(conditions)):
        return named
    if 500 <= status <= 599:
        return Claim.UNKNOWN, Code.EXTERNAL_ERROR
    table = BOOK_REPLIES if operation is Operation.BOOK else CHANGE_REPLIES
    return table.get(status, (Claim.UNKNOWN, Code.REPLY_UNRECOGNISED))


def judge_ambiguous(
    request: Request, conditions: frozenset[str], *, events: tuple[Event, ...] | None, unchanged: bool
) -> Judgement:
    """What an AMBIGUOUS reply means, given the look that followed it.

    `events` are those found under the appointment's UID or address (None: nothing there); `unchanged`
    says that the resource is still at the version that If-Match named.
    """
    named = _named(conditions)
    if request.operation is Operation.BOOK:
        if events is not None:
            return Claim.UNKNOWN, Code.DUPLICATE_KEY
        # unnamed, it may be our UID in a calendar that we do not see, or made and deleted since
        return named or (Claim.UNKNOWN, Code.REPLY_UNRECOGNISED)
    if events is None:
        return Claim.REFUSED, Code.TARGET_NOT_FOUND
    if any(event.key == request.native_key() for event in events):
        return Claim.UNKNOWN, Code.DUPLICATE_KEY  # something re-sent our request after it took effect
    if not unchanged:
        return Claim.REFUSED, Code.TARGET_CHANGED
    return named or _REFUSED_INVALID


def credentials_proof(request: Request, collection: Collection) -> Proof:
    """Whether the server says that it knows who is asking (RFC 5397); GATE-25."""
    if request.connection.credential.scheme is Scheme.NONE or collection.authenticated:
        return Proof.PROVEN
    if collection.authenticated is None:
        return Proof.PROVEN if request.settings.get(ACCESS_DECLARED) is True else Proof.UNVERIFIABLE
    return Proof.REFUTED  # a public calendar answers anybody: our credentials were not needed, or not seen


def write_proof(request: Request, collection: Collection) -> Proof:
    """Whether the server grants the privilege that the PUT needs (RFC 3744 §3, appendix B); GATE-26."""
    if collection.privileges is None:
        return Proof.PROVEN if request.settings.get(ACCESS_DECLARED) is True else Proof.UNVERIFIABLE
    specific = "bind" if request.operation is Operation.BOOK else "write-content"
    return Proof.REFUTED if collection.privileges.isdisjoint({"all", "write", specific}) else Proof.PROVEN
