"""What each reply to a write means: tables from status and athenaOne's own error text to a bounded judgement.

Owns: the tables, with where each row is from. athenahealth's reference lists its error texts without saying which
request answers which; rows are those that its own replies, recorded by others against the Preview environment, show.
Refuses: to take any other reply for a refusal (I3). Nothing is searched in a text: it is one of these, or unknown; 403
needs any text of athenaOne's own, since what stands before it answers with the same statuses. Nor is a reply a refusal
by itself that our own request would get if something on its way had delivered it before: such rows are UNKNOWN
(DUPLICATE_KEY), and a look decides (`SLOT_NOW`, `TARGET_NOW`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import httpx
from pydantic import ValidationError

from gateway.contracts.adapter import Receipt
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.kit.reading import Said
from gateway.kit.replies import ANY, Row, Table, judge

TAKEN: Final = "That appointment time was already booked or not available for booking."
NOT_THERE: Final = "The appointment is not available."
NOT_BOOKED: Final = "Appointment ID is not a booked appointment"
_REFERENCE: Final = "docs.athenahealth.com/api/api-ref/appointment"
_CLIENT: Final = "recorded against Preview by the Ruby client athena_health (2016)"
_MIDDLEWARE: Final = "recorded against Preview by athena_middleware (2023)"

_ANY_WRITE: Final[Table] = MappingProxyType(
    {
        (200, ANY): Row(Receipt.applied(), _REFERENCE),
        (400, "Additional fields are required."): Row(Receipt.refused(Code.EXTERNAL_INVALID), _CLIENT),
        (400, "The data provided is invalid."): Row(
            Receipt.refused(Code.EXTERNAL_INVALID), "test double of a client in production (cityblock commons)"
        ),
        (400, "The specified patient does not exist in that department."): Row(
            Receipt.refused(Code.EXTERNAL_INVALID), "test double of the .NET SDK (athenahealth-sdk-dotnet)"
        ),
        (401, ANY): Row(
            Receipt.refused(Code.CREDENTIALS_REJECTED), f"{_CLIENT}: the API gateway's own reply; not applied"
        ),
        (403, ANY): Row(Receipt.refused(Code.EXTERNAL_FORBIDDEN), f"{_CLIENT}: with an error text; RFC 9110 §15.5.4"),
        (404, "Invalid practice."): Row(
            Receipt.refused(Code.EXTERNAL_FORBIDDEN), "test double of the .NET SDK (athenahealth-sdk-dotnet)"
        ),
    }
)


def _looked(source: str) -> Row:
    """A reply to what was refused, or to our own request's second delivery."""
    return Row(Receipt.unknown(Code.DUPLICATE_KEY), f"{source}; settled by a look")


_AWELL: Final = "test double of a client in production (awell extensions)"
_TAKEN_ROW: Final = _looked(f"{_CLIENT}, {_MIDDLEWARE}")

BOOK: Final[Table] = MappingProxyType(
    {
        **_ANY_WRITE,
        (404, NOT_THERE): _looked(_AWELL),
        (409, TAKEN): _TAKEN_ROW,
    }
)
CANCEL: Final[Table] = MappingProxyType(
    {
        **_ANY_WRITE,
        (400, NOT_BOOKED): _looked(_MIDDLEWARE),
        (404, NOT_THERE): _looked(_AWELL),
        (404, "This appointment has already been checked in."): Row(Receipt.refused(Code.TARGET_CHANGED), _MIDDLEWARE),
    }
)
RESCHEDULE: Final[Table] = MappingProxyType({**CANCEL, (409, TAKEN): _TAKEN_ROW})
SLOT_NOW: Final[Table] = MappingProxyType(
    {
        ("ours", ANY): Row(Receipt.unknown(Code.DUPLICATE_KEY), "the slot is its natural key: ours may be the booking"),
        ("another's", ANY): Row(Receipt.refused(Code.SLOT_TAKEN), f"{_CLIENT}: an id is booked once"),
    }
)
"""What 409, and 404 to a booking, mean by whose the slot is when it is looked at. An open slot decides nothing: while a
first delivery is at work (ten seconds and more), the second is refused, and the slot is still shown open."""
TARGET_NOW: Final[Table] = MappingProxyType(
    {
        ("given up", ANY): Row(Receipt.unknown(Code.DUPLICATE_KEY), f"{_REFERENCE}: ours may be the change"),
        ("moved elsewhere", ANY): Row(
            Receipt.refused(Code.TARGET_CHANGED), f"{_MIDDLEWARE}: the old record names the new one, and is not ours"
        ),
        ("changed", ANY): Row(Receipt.refused(Code.TARGET_CHANGED), f"{_REFERENCE}: ours would have ended it"),
    }
)
"""What 400 and 404 to a change mean by what its appointment is when it is looked at. That it is as approved decides
nothing, and neither does that it is gone."""

BY_OPERATION: Final[Mapping[Operation, Table]] = MappingProxyType(
    {Operation.BOOK: BOOK, Operation.RESCHEDULE: RESCHEDULE, Operation.CANCEL: CANCEL}
)

TABLES: Final[Mapping[str, Table]] = MappingProxyType(
    {
        "PUT appointments/{slot} (book)": BOOK,
        "PUT appointments/{id}/reschedule": RESCHEDULE,
        "PUT appointments/{id}/cancel": CANCEL,
        "GET appointments/{slot}, after 409, or 404 to a booking": SLOT_NOW,
        "GET appointments/{id}, after 400 or 404 to a change": TARGET_NOW,
    }
)


class Problem(Said):
    error: str


def word(reply: httpx.Response) -> str:
    """athenaOne's error text, or nothing where something before it answered."""
    try:
        return Problem.model_validate_json(reply.content).error
    except ValidationError:
        return ANY


def judged(operation: Operation, reply: httpx.Response) -> Receipt:
    """What the reply to a write means. Without a text of athenaOne's, only success and a missing credential do."""
    text = word(reply)
    return judge(BY_OPERATION[operation] if text or reply.status_code in (200, 401) else {}, reply.status_code, text)


def is_absent(reply: httpx.Response) -> bool:
    """Whether athenaOne itself, rather than something in its way, says that an appointment is not there."""
    return (reply.status_code, word(reply)) == (404, NOT_THERE)
