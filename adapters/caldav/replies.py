"""What each reply means: tables from status and named precondition to a receipt, each row with its source; and proofs.

Owns: the tables. Refuses: to take anything for a refusal or a success that is not listed as one (I3).
Pure; the tests walk every row. Sources are RFC 9110 (HTTP), 4918 (WebDAV), 4791 (CalDAV), 3744 (privileges), 6585, and
what was measured (DIVERGENCES.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from adapters.caldav.dav import Collection
from adapters.caldav.mapping import Event
from gateway.contracts.adapter import Proof, Receipt, Request
from gateway.contracts.connection import Scheme
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.kit.access import declared_access
from gateway.kit.replies import ANY, Row, Table, judge

_DUPLICATE: Final = Receipt.unknown(Code.DUPLICATE_KEY)
_FORBIDDEN: Final = Receipt.refused(Code.EXTERNAL_FORBIDDEN)
_GONE: Final = Receipt.refused(Code.TARGET_NOT_FOUND)
_INVALID: Final = Receipt.refused(Code.EXTERNAL_INVALID)
_REPLACED: Final = Row(Receipt.unknown(Code.REPLY_DEVIATES), "RFC 9110 §9.3.4: replaced one, against If-None-Match")
_MEASURED: Final = "adapters/caldav/DIVERGENCES.md, ambiguous refusals"

CONDITIONS: Final[Table] = MappingProxyType(
    {
        (403, "no-uid-conflict"): Row(_DUPLICATE, "RFC 4791 §5.3.2.1"),
        (403, "need-privileges"): Row(_FORBIDDEN, "RFC 3744 §7.1.1"),
        **{
            (403, name): Row(_INVALID, "RFC 4791 §5.3.2.1")
            for name in (
                "supported-calendar-data",
                "valid-calendar-data",
                "valid-calendar-object-resource",
                "supported-calendar-component",
                "max-resource-size",
                "min-date-time",
                "max-date-time",
                "max-instances",
                "max-attendees-per-instance",
            )
        },
    }
)
"""What a named precondition of a refused PUT means; servers send the same names with 409 and 412. Our key in use is
never a refusal (I3)."""

_REPLIES: Final[Table] = {
    (202, ANY): Row(Receipt.unknown(Code.ACCEPTED_PENDING), "RFC 9110 §15.3.3"),
    (400, ANY): Row(_INVALID, "RFC 9110 §15.5.1"),
    (401, ANY): Row(Receipt.refused(Code.CREDENTIALS_REJECTED), "RFC 9110 §15.5.2"),
    (403, ANY): Row(_FORBIDDEN, "RFC 9110 §15.5.4"),
    **CONDITIONS,
    (405, ANY): Row(_FORBIDDEN, "RFC 9110 §15.5.6"),
    (408, ANY): Row(Receipt.unknown(Code.EXTERNAL_TIMEOUT), "RFC 9110 §15.5.9"),
    (413, ANY): Row(_INVALID, "RFC 9110 §15.5.14"),
    (415, ANY): Row(_INVALID, "RFC 9110 §15.5.16"),
    (422, ANY): Row(_INVALID, "RFC 9110 §15.5.21"),
    (423, ANY): Row(Receipt.refused(Code.EXTERNAL_UNAVAILABLE), "RFC 4918 §11.3"),
    (429, ANY): Row(Receipt.refused(Code.EXTERNAL_THROTTLED), "RFC 6585 §4"),
}
BOOKING: Final[Table] = MappingProxyType(
    {
        (201, ANY): Row(Receipt.applied(), "RFC 9110 §9.3.4"),
        (200, ANY): Row(
            Receipt.unknown(Code.REPLY_DEVIATES), "RFC 9110 §9.3.4: replaced something, against If-None-Match"
        ),
        (204, ANY): Row(
            Receipt.unknown(Code.REPLY_DEVIATES), "RFC 9110 §9.3.4: replaced something, against If-None-Match"
        ),
        **_REPLIES,
        (404, ANY): Row(Receipt.refused(Code.EXTERNAL_UNAVAILABLE), "RFC 9110 §15.5.5: no such collection"),
        (410, ANY): Row(Receipt.refused(Code.EXTERNAL_UNAVAILABLE), "RFC 9110 §15.5.11: no such collection"),
    }
)
CHANGE: Final[Table] = MappingProxyType(
    {
        (200, ANY): Row(Receipt.applied(), "RFC 9110 §9.3.4"),
        (204, ANY): Row(Receipt.applied(), "RFC 9110 §9.3.4"),
        (201, ANY): Row(Receipt.unknown(Code.REPLY_DEVIATES), "RFC 9110 §9.3.4: made one, against If-Match"),
        **_REPLIES,
        (404, ANY): Row(_GONE, "RFC 9110 §15.5.5"),
        (410, ANY): Row(_GONE, "RFC 9110 §15.5.11"),
    }
)
AMBIGUOUS: Final = frozenset({409, 412})
"""Replies to a PUT that mean different things on different servers: look before judging."""
LOOKED: Final[Table] = MappingProxyType(
    {
        ("409 or 412 to a booking", "our UID is there"): Row(_DUPLICATE, _MEASURED),
        ("409 or 412 to a booking", "nothing is there"): Row(
            Receipt.unknown(), f"{_MEASURED}: it may be where we do not look, or made and deleted since"
        ),
        ("409 or 412 to a change", "nothing is there"): Row(_GONE, _MEASURED),
        ("409 or 412 to a change", "our key is there"): Row(_DUPLICATE, f"{_MEASURED}: our request was sent again"),
        ("409 or 412 to a change", "another version"): Row(Receipt.refused(Code.TARGET_CHANGED), _MEASURED),
        ("409 or 412 to a change", "the version that was named"): Row(_INVALID, _MEASURED),
    }
)
"""An ambiguous reply and what the look after it found. A named precondition outranks the rows that prove nothing else:
nothing there after a booking, and the named version after a change."""

TABLES: Final[Mapping[str, Table]] = MappingProxyType(
    {
        "to the PUT of a booking": BOOKING,
        "to the PUT of a reschedule or a cancellation": CHANGE,
        "ambiguous, after the look that follows": LOOKED,
    }
)


def _named(conditions: frozenset[str]) -> Receipt | None:
    told = {CONDITIONS[403, name].receipt for name in conditions if (403, name) in CONDITIONS}
    if len(told) > 1:
        return Receipt.unknown()
    return told.pop() if told else None


def judged(operation: Operation, status: int, conditions: frozenset[str] = frozenset()) -> Receipt:
    """What a reply to the PUT means, by its status and, for a 403, the precondition it names."""
    named = _named(conditions) if status == 403 else None
    return named or judge(BOOKING if operation is Operation.BOOK else CHANGE, status)


def judged_after_look(
    request: Request, conditions: frozenset[str], *, events: tuple[Event, ...] | None, unchanged: bool
) -> Receipt:
    """What an AMBIGUOUS reply means, given the look that followed it.

    `events` are those found under the appointment's UID or address (None: nothing there); `unchanged`
    says that the resource is still at the version that If-Match named.
    """
    if request.operation is Operation.BOOK:
        if events is not None:
            return judge(LOOKED, "409 or 412 to a booking", "our UID is there")
        return _named(conditions) or judge(LOOKED, "409 or 412 to a booking", "nothing is there")
    if events is None:
        return judge(LOOKED, "409 or 412 to a change", "nothing is there")
    if any(event.key == request.native_key() for event in events):
        return judge(LOOKED, "409 or 412 to a change", "our key is there")
    if not unchanged:
        return judge(LOOKED, "409 or 412 to a change", "another version")
    return _named(conditions) or judge(LOOKED, "409 or 412 to a change", "the version that was named")


def credentials_proof(request: Request, collection: Collection) -> Proof:
    """Whether the server says that it knows who is asking (RFC 5397); GATE-25."""
    if request.connection.credential.scheme is Scheme.NONE or collection.authenticated:
        return Proof.PROVEN
    if collection.authenticated is None:
        return declared_access(request)
    return Proof.REFUTED  # a public calendar answers anybody: our credentials were not needed, or not seen


def write_proof(request: Request, collection: Collection) -> Proof:
    """Whether the server grants the privilege that the PUT needs (RFC 3744 §3, appendix B); GATE-26."""
    if collection.privileges is None:
        return declared_access(request)
    specific = "bind" if request.operation is Operation.BOOK else "write-content"
    return Proof.REFUTED if collection.privileges.isdisjoint({"all", "write", specific}) else Proof.PROVEN
