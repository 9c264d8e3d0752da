"""What each reply means: tables from status and named precondition to a receipt, each row with its source; and proofs.

Owns: the tables. Refuses: to take anything for a refusal or a success that is not listed as one, and a refusal for one
before a look (I3).
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
_INVALID: Final = Receipt.refused(Code.EXTERNAL_INVALID)
_UNAVAILABLE: Final = Receipt.refused(Code.EXTERNAL_UNAVAILABLE)
_REPLACED: Final = Row(Receipt.unknown(Code.REPLY_DEVIATES), "RFC 9110 §9.3.4: replaced one, against If-None-Match")
_UNSEEN: Final = "it may be where we do not look, or made and deleted since"
_MEASURED: Final = "adapters/caldav/DIVERGENCES.md, refusals"

CONDITIONS: Final[Mapping[str, Row]] = MappingProxyType(
    {
        "no-uid-conflict": Row(_DUPLICATE, "RFC 4791 §5.3.2.1"),
        "need-privileges": Row(_FORBIDDEN, "RFC 3744 §7.1.1"),
        **{
            name: Row(_INVALID, "RFC 4791 §5.3.2.1")
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
"""What a named precondition of a refused PUT means, whatever the status: servers send the same names with 403, 409 and
412. Our key in use is never a refusal (I3)."""

_REFUSED: Final[Table] = {
    (400, ANY): Row(_INVALID, "RFC 9110 §15.5.1"),
    (403, ANY): Row(_FORBIDDEN, "RFC 9110 §15.5.4"),
    **{(403, name): row for name, row in CONDITIONS.items()},
    (404, ANY): Row(_UNAVAILABLE, "RFC 9110 §15.5.5: no such collection"),
    (405, ANY): Row(_FORBIDDEN, "RFC 9110 §15.5.6"),
    (410, ANY): Row(_UNAVAILABLE, "RFC 9110 §15.5.11: no such collection"),
    (413, ANY): Row(_INVALID, "RFC 9110 §15.5.14"),
    (415, ANY): Row(_INVALID, "RFC 9110 §15.5.16"),
    (422, ANY): Row(_INVALID, "RFC 9110 §15.5.21"),
    (423, ANY): Row(_UNAVAILABLE, "RFC 4918 §11.3"),
    (429, ANY): Row(Receipt.refused(Code.EXTERNAL_THROTTLED), "RFC 6585 §4"),
}
_REPLIES: Final[Table] = {
    (202, ANY): Row(Receipt.unknown(Code.ACCEPTED_PENDING), "RFC 9110 §15.3.3"),
    (401, ANY): Row(Receipt.refused(Code.CREDENTIALS_REJECTED), "RFC 9110 §15.5.2: not applied"),
    (408, ANY): Row(Receipt.unknown(Code.EXTERNAL_TIMEOUT), "RFC 9110 §15.5.9"),
    **_REFUSED,
}
BOOKING: Final[Table] = MappingProxyType(
    {
        (201, ANY): Row(Receipt.applied(), "RFC 9110 §9.3.4"),
        (200, ANY): _REPLACED,
        (204, ANY): _REPLACED,
        **_REPLIES,
        (409, ANY): Row(Receipt.unknown(), f"{_MEASURED}: {_UNSEEN}"),
        (412, ANY): Row(Receipt.unknown(), f"{_MEASURED}: {_UNSEEN}"),
    }
)
CHANGE: Final[Table] = MappingProxyType(
    {
        (200, ANY): Row(Receipt.applied(), "RFC 9110 §9.3.4"),
        (204, ANY): Row(Receipt.applied(), "RFC 9110 §9.3.4"),
        (201, ANY): Row(Receipt.unknown(Code.REPLY_DEVIATES), "RFC 9110 §9.3.4: made one, against If-Match"),
        **_REPLIES,
        (409, ANY): Row(_INVALID, _MEASURED),
        (412, ANY): Row(_INVALID, _MEASURED),
    }
)
AMBIGUOUS: Final = frozenset({409, 412, *(status for status, _ in _REFUSED)})
"""Refusals: servers seldom give them words of their own, and anything on the way gives the same, even after the server
stored the event. Their rows count only where the look that follows found nothing at our address and UID, after a
booking, or after a change the version that was named."""
LOOKED: Final[Table] = MappingProxyType(
    {
        ("any", "ours is there"): Row(_DUPLICATE, f"{_MEASURED}: it took effect, or was sent again"),
        **{
            (status, "nothing is there"): Row(Receipt.refused(Code.TARGET_NOT_FOUND), _MEASURED)
            for status in (404, 409, 410, 412)
        },
        **{(status, "another version"): Row(Receipt.refused(Code.TARGET_CHANGED), _MEASURED) for status in (409, 412)},
    }
)
"""What any other look means. A change's own key may be lost on a server that drops what it does not know: another
version is another's write only where the reply said so."""

TABLES: Final[Mapping[str, Table]] = MappingProxyType(
    {
        "to the PUT of a booking (4xx, but for 401 and 408: once a look found nothing of it)": BOOKING,
        "to the PUT of a change (4xx, but for 401 and 408: once a look found the named version)": CHANGE,
        "to the PUT, where the look after a 4xx found something else": LOOKED,
    }
)


def judged(operation: Operation, status: int) -> Receipt:
    """What a reply to the PUT means by its status."""
    return judge(BOOKING if operation is Operation.BOOK else CHANGE, status)


def judged_after_look(
    request: Request, status: int, conditions: frozenset[str], *, events: tuple[Event, ...] | None, unchanged: bool
) -> Receipt:
    """What an AMBIGUOUS reply means, given the look that followed it.

    `events` are those found under the appointment's UID or address (None: nothing there); `unchanged`
    says that the resource is still at the version that If-Match named.
    """
    books = request.operation is Operation.BOOK
    if events is not None and (books or any(event.key == request.native_key() for event in events)):
        return judge(LOOKED, "any", "ours is there")
    if not books and not unchanged:
        return judge(LOOKED, status, "nothing is there" if events is None else "another version")
    told = {CONDITIONS[name].receipt for name in conditions if name in CONDITIONS}
    if len(told) > 1:
        return Receipt.unknown()
    return told.pop() if told else judged(request.operation, status)


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
