"""Tables of what a vendor's replies mean: data, so that they can be read, tested row by row and printed.

    WRITES: Final[Table] = MappingProxyType({
        (201, ANY): Row(Receipt.applied(), "vendor's API reference, create"),
        (409, "slotTaken"): Row(Receipt.refused(Code.SLOT_TAKEN), "vendor's error list"),
    })

Owns: the look-up and its order, the vendor's word, and the record that a success must show. A module
`adapters.NAME.replies` shows its tables as `TABLES`, by title; `docs/adapters/replies.md` is made from them.
Refuses: to take a reply for anything that no row says. Whether a refusal by status alone counts, the adapter says, not
the table: what stands before a system answers with the same statuses, even after the system did what it was asked (I3).
`shown` takes none without the vendor's word; who takes one looks first, but at what is said before all else (401, 429).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import httpx

from gateway.contracts.adapter import Receipt
from gateway.contracts.failures import Code, Refusal
from gateway.kit.reading import Shape, shaped

ANY: Final = ""
"""In place of a word: every reply with this status whose word has no row of its own."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one reply to a write means, and the document or measurement that says so.

    An APPLIED row is half of the proof: the adapter compares what is in force with what was approved.
    """

    receipt: Receipt
    source: str


Table = Mapping[tuple[int | str, str], Row]
"""By status (an HTTP status, or a protocol's own) and the vendor's word beside it."""


def judge(table: Table, status: int | str, word: str = ANY) -> Receipt:
    """The row for status and word, else the one for status and `ANY`, else UNKNOWN: 5xx EXTERNAL_ERROR."""
    row = table.get((status, word)) or table.get((status, ANY))
    if row is not None:
        return row.receipt
    failed = isinstance(status, int) and 500 <= status <= 599
    return Receipt.unknown(Code.EXTERNAL_ERROR if failed else Code.REPLY_UNRECOGNISED)


def word_in(reply: httpx.Response, problem: type[Shape], word: Callable[[Shape], str]) -> str:
    """The vendor's word in a reply that is a problem of its own; `ANY` where the body is not of that shape."""
    try:
        return word(shaped(problem, reply.content))
    except Refusal:
        return ANY


def shown(record: type[Shape], reply: httpx.Response, table: Table, word: str) -> Shape | Receipt:
    """The record that the reply to a write shows, where the table knows such a success; else what the reply means.

    A record is half of the proof: the adapter compares it with what was approved. A reply that is no success means
    what its row says only in the vendor's own words: without a word, it is unrecognised.
    """
    if not reply.is_success:
        return judge(table if word else {}, reply.status_code, word)
    if (reply.status_code, ANY) not in table:
        return Receipt.unknown()
    try:
        return shaped(record, reply.content)
    except Refusal as refusal:
        return Receipt.unknown(refusal.code)
