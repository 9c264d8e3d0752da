"""What Google's replies mean: data, row by row, with the document that says so.

Owns: the tables, and the word that a reply says (`reason` of its first error). A refusal counts only in Google's own
words: the same status from something in between is unrecognised.
Refuses: to take our id in use for a refusal, and a precondition that failed for "somebody else wrote" before a look.
Sources: "errors" is the Calendar API guide "Handle API errors" (2026-04-01), "versions" its guide "Get specific
versions of resources", "discovery" the discovery document calendar.v3, revision 20261030.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Final

import httpx
from pydantic import Field

from adapters.google_calendar import mapping
from gateway.contracts.adapter import Receipt, Request
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.proposal import Operation
from gateway.kit.reading import Said, Shape, said
from gateway.kit.replies import ANY, Row, Table, judge, shown, word_in

_REFUSED: Final[Table] = MappingProxyType(
    {
        (400, ANY): Row(Receipt.refused(Code.EXTERNAL_INVALID), "errors, 400: user error, permanent"),
        (401, "authError"): Row(Receipt.refused(Code.CREDENTIALS_REJECTED), "errors, 401"),
        (403, "userRateLimitExceeded"): Row(Receipt.refused(Code.EXTERNAL_THROTTLED), "errors, 403"),
        (403, "rateLimitExceeded"): Row(Receipt.refused(Code.EXTERNAL_THROTTLED), "errors, 403"),
        (403, "quotaExceeded"): Row(Receipt.refused(Code.EXTERNAL_THROTTLED), "errors, 403"),
        (403, "forbiddenForNonOrganizer"): Row(Receipt.refused(Code.EXTERNAL_FORBIDDEN), "errors, 403"),
        (403, "insufficientPermissions"): Row(Receipt.refused(Code.EXTERNAL_FORBIDDEN), "reported: scope too narrow"),
        (403, "requiredAccessLevel"): Row(Receipt.refused(Code.EXTERNAL_FORBIDDEN), "reported: role too low"),
        (429, "rateLimitExceeded"): Row(Receipt.refused(Code.EXTERNAL_THROTTLED), "errors, 429"),
        (500, "backendError"): Row(Receipt.unknown(Code.EXTERNAL_ERROR), "errors, 500"),
    }
)

BOOK: Final[Table] = MappingProxyType(
    {
        **_REFUSED,
        (200, ANY): Row(Receipt.applied(), "discovery, events.insert: responds with the Event"),
        (403, "forbidden"): Row(Receipt.refused(Code.EXTERNAL_FORBIDDEN), "reported"),
        (404, "notFound"): Row(Receipt.refused(Code.EXTERNAL_UNAVAILABLE), "errors, 404: no such calendar for us"),
        (409, "duplicate"): Row(Receipt.unknown(Code.DUPLICATE_KEY), "errors, 409: our id exists, or did"),
    }
)
"""Replies to events.insert."""

CHANGE: Final[Table] = MappingProxyType(
    {
        **_REFUSED,
        (200, ANY): Row(Receipt.applied(), "discovery, events.patch: responds with the Event"),
        (404, "notFound"): Row(Receipt.refused(Code.TARGET_NOT_FOUND), "errors, 404"),
    }
)
"""Replies to events.patch that need no look."""


class Found(StrEnum):
    """What stands under the appointment's id after a refused change."""

    OURS = "our write"
    CHANGED = "another version"
    UNCHANGED = "the approved version"


AFTER_LOOK: Final[Table] = MappingProxyType(
    {
        (412, Found.OURS): Row(Receipt.unknown(Code.DUPLICATE_KEY), "versions; something re-sent our request"),
        (412, Found.CHANGED): Row(Receipt.refused(Code.TARGET_CHANGED), "errors, 412; versions"),
        (410, Found.OURS): Row(Receipt.unknown(Code.DUPLICATE_KEY), "errors, 410; something re-sent our request"),
        (410, Found.CHANGED): Row(Receipt.refused(Code.TARGET_CHANGED), "errors, 410: deleted already"),
        (403, Found.OURS): Row(Receipt.unknown(Code.DUPLICATE_KEY), "reported; something re-sent our request"),
        (403, Found.CHANGED): Row(Receipt.refused(Code.TARGET_CHANGED), "reported: a deleted event forbids changes"),
        (403, Found.UNCHANGED): Row(Receipt.unknown(), "reported; the look may have been at a replica that lags"),
    }
)
"""Replies to events.patch that our own request, delivered twice, would also get; judged by the look that follows."""

AMBIGUOUS: Final = frozenset({(403, "forbidden"), (410, "deleted"), (412, "conditionNotMet")})

TABLES: Final[Mapping[str, Table]] = MappingProxyType(
    {
        "events.insert (book)": BOOK,
        "events.patch (reschedule, cancel)": CHANGE,
        "events.patch, after a look": AFTER_LOOK,
    }
)

READS: Final[Mapping[tuple[int, str], Code]] = MappingProxyType(
    {
        (403, "userRateLimitExceeded"): Code.EXTERNAL_THROTTLED,
        (403, "rateLimitExceeded"): Code.EXTERNAL_THROTTLED,
        (403, "quotaExceeded"): Code.EXTERNAL_THROTTLED,
        (404, "notFound"): Code.EXTERNAL_UNAVAILABLE,
    }
)
"""Replies to a read that mean something else than their status alone ("errors")."""


class _Reason(Said):
    reason: str


class _Errors(Said):
    errors: Annotated[tuple[_Reason, ...], Field(min_length=1)]


class _Problem(Said):
    error: _Errors


def word(reply: httpx.Response) -> str:
    """The reason that Google gives, or none where the body is not Google's."""
    return word_in(reply, _Problem, lambda problem: problem.error.errors[0].reason)


def read(shape: type[Shape], reply: httpx.Response) -> Shape:
    """What a reply to a read says; raises `Refusal` as the kit's does, and with the codes of `READS`."""
    code = READS.get((reply.status_code, word(reply)))
    if code is not None:
        raise Refusal(code)
    return said(shape, reply)


def receipt(request: Request, reply: httpx.Response) -> Receipt:
    """What a complete reply to the write means, a look aside."""
    table = BOOK if request.operation is Operation.BOOK else CHANGE
    event = shown(mapping.Event, reply, table, word(reply))
    if isinstance(event, Receipt):
        return event
    if not mapping.in_force(event, request):
        return Receipt.unknown(Code.REPLY_DEVIATES)
    return Receipt.applied(identifier=event.id, version=event.etag)


def settled(request: Request, status: int, event: mapping.Event, sent: str) -> Receipt:
    """What an `AMBIGUOUS` reply means, given the event that stands there now; `sent` is the etag in If-Match."""
    if event.key == request.native_key(mapping.ALPHABET):
        return judge(AFTER_LOOK, status, Found.OURS)
    if event.is_cancelled and event.key is None:
        return Receipt.unknown()  # whose cancellation it was, a tombstone need not say
    return judge(AFTER_LOOK, status, Found.UNCHANGED if event.etag == sent else Found.CHANGED)
