"""What Microsoft Graph's replies mean: data, row by row, with the document that says so.

Owns: the tables, and the word that a reply says (`error.code`). A refusal counts only in Graph's own JSON: the same
status from something in between is unrecognised.
Refuses: to take our transactionId in use for a refusal, a 5xx for anything, and a precondition that failed for
"somebody else wrote" before a look.
Sources: "errors" is the Graph documentation's page "Microsoft Graph error responses and resource types", "create" its
"Create event", "update" its "Update event" (microsoft-graph-docs-contrib, v1.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import httpx

from adapters.msgraph import mapping
from gateway.contracts.adapter import Receipt, Request
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.kit.reading import READS as USUAL
from gateway.kit.reading import Said
from gateway.kit.replies import ANY, Row, Table, judge, shown, word_in

_INVALID: Final = Receipt.refused(Code.EXTERNAL_INVALID)
_ERROR: Final = Receipt.unknown(Code.EXTERNAL_ERROR)

_REFUSED: Final[Table] = MappingProxyType(
    {
        (400, ANY): Row(_INVALID, "errors, 400: malformed or incorrect"),
        (401, ANY): Row(Receipt.refused(Code.CREDENTIALS_REJECTED), "errors, 401"),
        (403, ANY): Row(Receipt.refused(Code.EXTERNAL_FORBIDDEN), "errors, 403: access is denied"),
        (405, ANY): Row(_INVALID, "errors, 405: the method is not allowed"),
        (413, ANY): Row(_INVALID, "errors, 413"),
        (415, ANY): Row(_INVALID, "errors, 415"),
        (422, ANY): Row(_INVALID, "errors, 422: semantically incorrect"),
        (423, ANY): Row(Receipt.refused(Code.EXTERNAL_UNAVAILABLE), "errors, 423: locked"),
        (429, ANY): Row(Receipt.refused(Code.EXTERNAL_THROTTLED), "errors, 429"),
        (500, ANY): Row(_ERROR, "errors, 500"),
        (503, ANY): Row(_ERROR, "errors, 503; reported: msgraph-sdk-ruby#38, events were created"),
        (504, ANY): Row(_ERROR, "errors, 504"),
        (507, ANY): Row(_ERROR, "errors, 507"),
        (509, ANY): Row(_ERROR, "errors, 509: throttled, yet no 4xx"),
    }
)

BOOK: Final[Table] = MappingProxyType(
    {
        **_REFUSED,
        (201, ANY): Row(Receipt.applied(), "create: 201 with the event"),
        (400, "ErrorDuplicateTransactionId"): Row(Receipt.unknown(Code.DUPLICATE_KEY), "reported with this status"),
        (404, ANY): Row(Receipt.refused(Code.EXTERNAL_UNAVAILABLE), "errors, 404: no such user or calendar"),
        (409, "ErrorDuplicateTransactionId"): Row(Receipt.unknown(Code.DUPLICATE_KEY), "reported with this status"),
        (409, "ConcurrentItemSave"): Row(Receipt.unknown(), "reported: the event may have been saved"),
    }
)
"""Replies to the creation of an event."""

CHANGE: Final[Table] = MappingProxyType(
    {
        **_REFUSED,
        (200, ANY): Row(Receipt.applied(), "update: 200 with the event"),
        (404, ANY): Row(Receipt.refused(Code.TARGET_NOT_FOUND), "errors, 404"),
        (409, "ConcurrentItemSave"): Row(Receipt.unknown(), "reported: the event may have been saved"),
        (410, ANY): Row(Receipt.refused(Code.TARGET_NOT_FOUND), "errors, 410: no longer available"),
    }
)
"""Replies to the update of an event that need no look."""


class Found(StrEnum):
    """What stands under the appointment's key after a 412 to its change."""

    OURS = "our write"
    CHANGED = "another version"
    UNCHANGED = "the approved version"
    NOTHING = "nothing"


AFTER_LOOK: Final[Table] = MappingProxyType(
    {
        (412, Found.OURS): Row(Receipt.unknown(Code.DUPLICATE_KEY), "errors, 412; something re-sent our request"),
        (412, Found.CHANGED): Row(Receipt.refused(Code.TARGET_CHANGED), "errors, 412: not the current state"),
        (412, Found.UNCHANGED): Row(Receipt.unknown(), "the look contradicts the 412, or was at a replica that lags"),
        (412, Found.NOTHING): Row(Receipt.unknown(), "errors, 412, and the event is gone"),
    }
)
"""412 to a change, which our own request, delivered twice, would also get; judged by the look that follows."""

TABLES: Final[Mapping[str, Table]] = MappingProxyType(
    {"create event": BOOK, "update event": CHANGE, "update event, after a look": AFTER_LOOK}
)
READS: Final[Mapping[int, Code]] = MappingProxyType({**USUAL, 404: Code.EXTERNAL_UNAVAILABLE})
"""Replies to a read: 404 is a user or a calendar that is not there ("errors")."""


class _Code(Said):
    code: str


class _Problem(Said):
    error: _Code


def word(reply: httpx.Response) -> str:
    """The code that Graph gives, or none where the body is not Graph's."""
    return word_in(reply, _Problem, lambda problem: problem.error.code)


def receipt(request: Request, reply: httpx.Response) -> Receipt:
    """What a complete reply to the write means, a look aside.

    The reply does not show the extended property (documented); what it was set to is what was sent.
    """
    table = BOOK if request.operation is Operation.BOOK else CHANGE
    event = shown(mapping.Event, reply, table, word(reply))
    if isinstance(event, Receipt):
        return event
    if not mapping.shows_approved(event, request):
        return Receipt.unknown(Code.REPLY_DEVIATES)
    version = mapping.version_of(event, mapping.keys_after(request))
    return Receipt.applied(identifier=event.id, version=version)


def settled(request: Request, events: tuple[mapping.Event, ...]) -> Receipt:
    """What a 412 to a change means, given the events that carry the appointment's key in its calendar now.

    By content, not by entity tag: a replica that lags may show the event before our write under any earlier tag.
    """
    if not events:
        return judge(AFTER_LOOK, 412, Found.NOTHING)
    if any(each.keys == mapping.keys_after(request) for each in events):
        return judge(AFTER_LOOK, 412, Found.OURS)
    unchanged = any(mapping.is_unchanged(each, request) for each in events)
    return judge(AFTER_LOOK, 412, Found.UNCHANGED if unchanged else Found.CHANGED)
