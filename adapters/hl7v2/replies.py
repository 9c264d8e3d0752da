"""What each reply to a request means: tables from acknowledgement and error, and from status, to a bounded judgement.

Owns: the tables. Refuses: to take an acknowledgement for an appointment, anything that no row says for a refusal (I3),
and an appointment that was changed for another's change before a look. Pure; the tests walk every row.
Sources: HL7 v2.5.1 §2.9 (acknowledgement codes, table 0008), table 0357 (error codes), table 0278 (filler status).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from gateway.contracts.adapter import Receipt
from gateway.contracts.connection import Setting
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.kit.replies import ANY, Row, Table, judge

_INVALID: Final = Receipt.refused(Code.EXTERNAL_INVALID)
_REJECTIONS: Final = ("AE", "AR", "CE", "CR")
_ERRORS: Final[Mapping[str, tuple[Receipt, str]]] = {
    "100": (_INVALID, "table 0357: segment sequence error"),
    "101": (_INVALID, "table 0357: required field missing"),
    "102": (_INVALID, "table 0357: data type error"),
    "103": (_INVALID, "table 0357: table value not found"),
    "104": (_INVALID, "table 0357 (v2.7): value too long"),
    "200": (_INVALID, "table 0357: unsupported message type"),
    "201": (_INVALID, "table 0357: unsupported event code"),
    "202": (_INVALID, "table 0357: unsupported processing id"),
    "203": (_INVALID, "table 0357: unsupported version id"),
    "204": (_INVALID, "table 0357: unknown key identifier (patient, resource)"),
    "205": (Receipt.unknown(Code.DUPLICATE_KEY), "table 0357: duplicate key identifier"),
    "206": (Receipt.refused(Code.EXTERNAL_THROTTLED), "table 0357: application record locked, not performed"),
    "207": (Receipt.unknown(Code.EXTERNAL_ERROR), "table 0357: application internal error, a catch-all"),
}
_DEVIATES: Final = Receipt.unknown(Code.REPLY_DEVIATES)
_STATUSES: Final = (
    *("BOOKED", "OVERBOOK", "WAITLIST", "BLOCKED", "STARTED", "COMPLETE", "CANCELLED", "DC", "DELETED", "NOSHOW"),
)
_PENDING: Final = Receipt.unknown(Code.ACCEPTED_PENDING)

BOOKINGS: Final[Table] = MappingProxyType(
    {
        ("AA", ANY): Row(_PENDING, "v2.5.1 §2.9.2.2: accepted; without an SRR that shows it, no appointment"),
        ("CA", ANY): Row(_PENDING, "v2.5.1 §2.9.3: in safe storage, to be processed later"),
        **{(said, code): Row(*means) for said in _REJECTIONS for code, means in _ERRORS.items()},
        ("AR", ANY): Row(
            Receipt.unknown(Code.EXTERNAL_ERROR), "v2.5.1 §2.9.2.2: rejected, perhaps for want of a system"
        ),
        ("CE", ANY): Row(Receipt.unknown(Code.EXTERNAL_ERROR), "v2.5.1 §2.9.3: not accepted, for any other reason"),
    }
)
"""By MSA-1, and the error's code. AE and CR without a code have no row: they say nothing."""

CHANGES: Final[Table] = MappingProxyType(
    {
        **BOOKINGS,
        **{
            (said, "204"): Row(Receipt.refused(Code.TARGET_NOT_FOUND), "table 0357: unknown key; after a look")
            for said in _REJECTIONS
        },
    }
)

STATUSES: Final[Table] = MappingProxyType(
    {
        **{
            (operation, status): Row(_DEVIATES, "table 0278: wait-listed, overbooked, blocked, …: not as approved")
            for operation in Operation
            for status in _STATUSES
        },
        (Operation.BOOK, "BOOKED"): Row(Receipt.applied(), "table 0278: confirmed"),
        (Operation.RESCHEDULE, "BOOKED"): Row(Receipt.applied(), "table 0278: confirmed"),
        (Operation.CANCEL, "CANCELLED"): Row(Receipt.applied(), "table 0278: stopped from occurring"),
        **{
            (operation, status): Row(_PENDING, "table 0278: not yet confirmed")
            for operation in Operation
            for status in ("PENDING", "")
        },
    }
)
"""By operation and SCH-25, in capitals: partners differ. Where a status is right, the content must be, too."""

PARTNER: Final[Table] = MappingProxyType(
    {
        ("error-slot-taken", ANY): Row(Receipt.refused(Code.SLOT_TAKEN), "partner's own code (ERR-5); after a look"),
        ("error-changed", ANY): Row(Receipt.refused(Code.TARGET_CHANGED), "partner's own code (ERR-5); after a look"),
        ("error-forbidden", ANY): Row(
            Receipt.refused(Code.EXTERNAL_FORBIDDEN), "the partner's own code (ERR-5), as sealed"
        ),
    }
)
"""HL7 has no code for these (table 0533 is the partner's to fill): by the setting that names the partner's code."""

AMBIGUOUS: Final = frozenset({Code.EXTERNAL_THROTTLED, Code.SLOT_TAKEN, Code.TARGET_CHANGED, Code.TARGET_NOT_FOUND})
"""Codes of refusals that our own request, delivered twice, may get, too: its first delivery holds the lock or the slot,
or changed the appointment's filler id."""


class Stands(StrEnum):
    """What a look finds under the appointment's placer id after a refusal of `AMBIGUOUS`."""

    OURS = "our write"
    CHANGED = "another's write"
    UNCHANGED = "as approved"
    UNCLEAR = "nobody's write for certain"


_LOOK: Final = "as agreed with the partner (DIVERGENCES); the look that followed found"
AFTER_LOOK: Final[Table] = MappingProxyType(
    {
        (Stands.OURS, ANY): Row(Receipt.unknown(Code.DUPLICATE_KEY), f"{_LOOK} our key: it was re-sent"),
        (Stands.CHANGED, ANY): Row(Receipt.refused(Code.TARGET_CHANGED), f"{_LOOK} another write"),
        (Stands.UNCLEAR, ANY): Row(Receipt.unknown(), f"{_LOOK} what may be ours, or may lag"),
        (Stands.UNCHANGED, Code.TARGET_NOT_FOUND): Row(_INVALID, f"{_LOOK} it: another identifier is unknown"),
        (Stands.UNCHANGED, Code.TARGET_CHANGED): Row(Receipt.refused(Code.TARGET_CHANGED), f"{_LOOK} nothing of ours"),
        (Stands.UNCHANGED, Code.SLOT_TAKEN): Row(Receipt.refused(Code.SLOT_TAKEN), f"{_LOOK} nothing of ours"),
    }
)
"""By what stands there, and the code that the refusal itself has."""

TABLES: Final[Mapping[str, Table]] = MappingProxyType(
    {
        "Acknowledgement of a booking (SRM^S01)": BOOKINGS,
        "Acknowledgement of a reschedule or cancellation (SRM^S02, S04)": CHANGES,
        "Filler status in an SRR with AA (SCH-25)": STATUSES,
        "Codes that a sealed connection names": PARTNER,
        "TARGET_NOT_FOUND (204), TARGET_CHANGED and SLOT_TAKEN, after a look": AFTER_LOOK,
    }
)


def rejected(
    operation: Operation, said: str, errors: Iterable[tuple[str, str]], settings: Mapping[str, Setting]
) -> Receipt:
    """What an acknowledgement without an appointment means. `errors` are (standard code, partner's code); where several
    errors mean different things, nobody knows which of them counts."""
    table = BOOKINGS if operation is Operation.BOOK else CHANGES
    meant = {_one(table, said, code, own, settings) for code, own in errors} or {judge(table, said)}
    return meant.pop() if len(meant) == 1 else Receipt.unknown()


def asked(said: str, errors: Iterable[tuple[str, str]], settings: Mapping[str, Setting]) -> Code:
    """What a query that was not answered says of readiness: only what refutes it has a code of its own."""
    receipt = rejected(Operation.BOOK, said, errors, settings)
    if receipt.code is Code.EXTERNAL_ERROR:
        return Code.EXTERNAL_UNAVAILABLE
    refutes = receipt.code in (Code.EXTERNAL_FORBIDDEN, Code.EXTERNAL_THROTTLED)
    return receipt.code if refutes else Code.REPLY_UNRECOGNISED


def _one(table: Table, said: str, code: str, own: str, settings: Mapping[str, Setting]) -> Receipt:
    if own and said in _REJECTIONS:
        for (setting, _), row in PARTNER.items():
            if settings.get(str(setting)) == own:
                return row.receipt
    return judge(table, said, code if said in _REJECTIONS else ANY)
