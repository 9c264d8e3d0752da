"""What Tryton says in JSON-RPC: shapes of results, and what each reply to a write means.

Owns: the table. Tryton answers what it refused with status 200 and `error: [type, details]`; only its door
(credentials, routes, sizes) uses HTTP's own statuses, without a word of its own: credentials aside, anything on the way
says the same, and such a reply has no row. Any other exception of the server comes as `error: [text, traceback]`, with
status 200 as well, and proves nothing either.
Refuses: to take anything for a refusal or a success that is not listed as one (I3).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

import httpx
from pydantic import BeforeValidator, Field, StringConstraints

from gateway.contracts.adapter import Receipt
from gateway.contracts.failures import Code, Refusal
from gateway.kit.reading import Said, shaped
from gateway.kit.replies import ANY, Row, Table, judge

CALL_ID: Final = 1
"""Every call has a connection's turn to itself, so its number says nothing."""

RESULT: Final = "result"
_MEASURED: Final = "measured: GNU Health 5.0.6, trytond 7.0.59, PostgreSQL 18"
_JSONRPC: Final = "trytond 7.0, protocols/jsonrpc.py"
_DISPATCHER: Final = "trytond 7.0, protocols/dispatcher.py"

WRITES: Final[Table] = MappingProxyType(
    {
        (200, RESULT): Row(Receipt.applied(), _MEASURED),
        (200, "UserError"): Row(Receipt.refused(Code.EXTERNAL_INVALID), _MEASURED),  # rolled back; a look says why
        (200, "ConcurrencyException"): Row(Receipt.refused(Code.TARGET_CHANGED), _MEASURED),
        (200, "UserWarning"): Row(Receipt.refused(Code.EXTERNAL_INVALID), f"{_DISPATCHER}: raised, rolled back"),
        (200, "LoginException"): Row(Receipt.refused(Code.CREDENTIALS_REJECTED), f"{_JSONRPC}: one more factor asked"),
        (401, ANY): Row(Receipt.refused(Code.CREDENTIALS_REJECTED), f"{_MEASURED}; RFC 9110 §15.5.2: not applied"),
    }
)
TABLES: Final[Mapping[str, Table]] = MappingProxyType({"replies to create and write": WRITES})


def _instant(value: object) -> object:
    """Tryton's spelling of a date and time: naive, and in UTC by its own rule (DIVERGENCES.md)."""
    if not isinstance(value, dict) or value.get("__class__") != "datetime":
        raise ValueError("not a date and time")
    try:
        return datetime(**{name: part for name, part in value.items() if name != "__class__"}, tzinfo=UTC)
    except (TypeError, OverflowError):
        raise ValueError("not a date and time") from None


Moment = Annotated[datetime, BeforeValidator(_instant)]
Stamp = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,12}(?:\.[0-9]{1,6})?$")]


class Record(Said):
    """One appointment. `stamp` is what a conditional write has to name; `writable` is by record rules alone."""

    id: Annotated[int, Field(ge=1)]
    name: str | None
    patient: int | None
    healthprof: int | None
    institution: int | None
    speciality: int | None
    appointment_date: Moment | None
    state: str | None
    stamp: Stamp = Field(alias="_timestamp")
    writable: bool = Field(alias="_write")

    @property
    def version(self) -> str | None:
        """None where the database tells no fractions of a second: two writes in one second would look alike."""
        return self.stamp if "." in self.stamp else None


FIELDS: Final = tuple(field.alias or name for name, field in Record.model_fields.items() if name != "id")


class Found(Said):
    """The answer to search_read."""

    id: Literal[1]
    result: tuple[Record, ...]


class Rights(Said):
    """What a credential may do with a model."""

    read: bool
    write: bool
    create: bool


class Access(Said):
    """The answer to get_access, by model."""

    id: Literal[1]
    result: dict[str, Rights]


class Written(Said):
    """The answer to create, the ids made, or to write, nothing; or an error in the place of either."""

    id: Literal[1]
    result: tuple[int, ...] | None = None
    error: tuple[Any, ...] | None = None

    @property
    def word(self) -> str:
        """Which row of the table; empty for what no row may speak of."""
        if self.model_fields_set == {"id", "result"}:
            return RESULT
        if self.model_fields_set != {"id", "error"} or self.error is None or len(self.error) != 2:
            return ""
        kind, details = self.error
        # a type of Tryton's own; the text of any other exception could be the same word, with a traceback beside it
        known = isinstance(details, list) if kind != "ConcurrencyException" else isinstance(details, str)
        return kind if known and isinstance(kind, str) and kind != RESULT else ""


def written(reply: httpx.Response) -> tuple[Receipt, tuple[int, ...] | None]:
    """What the reply to a write means by the table, and the ids that it says were made."""
    if reply.status_code != 200:
        return judge(WRITES, reply.status_code), None
    try:
        answer = shaped(Written, reply.content)
    except Refusal as refusal:
        return Receipt.unknown(refusal.code), None
    return judge(WRITES, reply.status_code, answer.word), answer.result
