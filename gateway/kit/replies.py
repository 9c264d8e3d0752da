"""Tables of what a vendor's replies mean: data, so that they can be read, tested row by row and printed.

    WRITES: Final[Table] = MappingProxyType({
        (201, ANY): Row(Receipt.applied(), "vendor's API reference, create"),
        (409, "slotTaken"): Row(Receipt.refused(Code.SLOT_TAKEN), "vendor's error list"),
    })

Owns: the look-up and its order. A module `adapters.NAME.replies` shows its tables as `TABLES`, by title;
`docs/adapters/replies.md` is made from them.
Refuses: to take a reply for anything that no row says (I3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.contracts.adapter import Receipt
from gateway.contracts.failures import Code

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
