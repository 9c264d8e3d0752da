"""What replies mean, dialect by dialect: tables as data, each row with the document that says so.

Owns: the tables, and which replies mean something only after a look.
Refuses: to take anything for a refusal or a success that no row says, or for a refusal that something on the way to the
server, or back, may have said (I3).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import httpx

from adapters.fhir.resources import OperationOutcome
from gateway.contracts.adapter import Claim, Receipt
from gateway.contracts.failures import Code
from gateway.kit.replies import ANY, Row, Table, word_in

_HTTP: Final = "HL7 FHIR R4, http.html"
_LOOK: Final = "HL7 FHIR R4, http.html#trules: a write is made whole or not at all; the look that followed"
_ORACLE: Final = "Oracle Health Millennium R4, Appointment"

REFUSED: Final[Table] = MappingProxyType(
    {
        (202, ANY): Row(
            Receipt.unknown(Code.ACCEPTED_PENDING),
            "RFC 9110 §15.3.3; HL7 FHIR R4, http.html#async: accepted, not yet made",
        ),
        (401, ANY): Row(Receipt.refused(Code.CREDENTIALS_REJECTED), f"{_HTTP}#Status-Codes"),
        (403, ANY): Row(Receipt.refused(Code.EXTERNAL_FORBIDDEN), f"{_HTTP}#Status-Codes"),
        (405, ANY): Row(Receipt.refused(Code.EXTERNAL_FORBIDDEN), f"{_HTTP}#summary"),
        (413, ANY): Row(Receipt.refused(Code.EXTERNAL_INVALID), "RFC 9110 §15.5.14"),
        (415, ANY): Row(Receipt.refused(Code.EXTERNAL_INVALID), f"{_HTTP}#mime-type"),
        (429, ANY): Row(Receipt.refused(Code.EXTERNAL_THROTTLED), "RFC 6585 §4"),
    }
)
"""Replies that mean the same in every dialect. 406 has no row: a framework may say it when it spells the reply to a
request that was carried out."""

TRANSACTION: Final[Table] = MappingProxyType(
    {
        **REFUSED,
        (200, ANY): Row(Receipt.applied(), f"{_HTTP}#transaction-response"),
        (400, ANY): Row(Receipt.refused(Code.EXTERNAL_INVALID), f"{_HTTP}#create: not parsed, or basic validation"),
        (404, ANY): Row(Receipt.refused(Code.EXTERNAL_INVALID), f"{_HTTP}#update: what an entry names is not there"),
        (410, ANY): Row(Receipt.refused(Code.EXTERNAL_INVALID), f"{_HTTP}#delete: what an entry names was deleted"),
        (422, ANY): Row(Receipt.refused(Code.EXTERNAL_INVALID), f"{_HTTP}#create: a profile or business rule"),
    }
)
"""Replies to a transaction. Rows of `AMBIGUOUS` statuses count only once a look has settled what changed; 406, 409 and
412 have none: where nothing changed, nobody can say why they came."""

_ENTRY: Final = "HL7 FHIR R4, bundle-definitions.html#Bundle.entry.response.status"
MADE: Final[Table] = MappingProxyType(
    {
        ("201", "BOOK"): Row(Receipt.applied(), f"{_ENTRY}; http.html#create"),
        ("200", "BOOK"): Row(Receipt.unknown(Code.DUPLICATE_KEY), f"{_HTTP}#ccreate: one match, nothing was created"),
        ("200", "RESCHEDULE"): Row(Receipt.applied(), f"{_ENTRY}; http.html#update"),
        ("200", "CANCEL"): Row(Receipt.applied(), f"{_ENTRY}; http.html#update"),
        ("201", "RESCHEDULE"): Row(
            Receipt.unknown(Code.REPLY_DEVIATES), f"{_HTTP}#upsert: what was to change was gone"
        ),
        ("201", "CANCEL"): Row(Receipt.unknown(Code.REPLY_DEVIATES), f"{_HTTP}#upsert: what was to change was gone"),
        ("202", ANY): Row(Receipt.unknown(Code.ACCEPTED_PENDING), "RFC 9110 §15.3.3"),
    }
)
"""What the Appointment's own entry says in a transaction that succeeded, by operation."""

SLOT_MADE: Final[Table] = MappingProxyType(
    {
        ("200", ANY): Row(Receipt.applied(), f"{_ENTRY}; http.html#update"),
        ("204", ANY): Row(Receipt.applied(), f"{_ENTRY}; RFC 9110 §15.3.5"),
        ("201", ANY): Row(
            Receipt.unknown(Code.REPLY_DEVIATES),
            f"{_HTTP}#upsert: the slot was gone, and was created anew; HAPI FHIR JPA 8.8.0, measured",
        ),
    }
)
"""What a Slot's entry says in a transaction that succeeded; any other status is REPLY_DEVIATES, too."""

AMBIGUOUS: Final = frozenset({400, 404, 406, 409, 410, 412, 422, 423, 424})
"""Statuses behind which our key, a slot or the appointment may stand: look before judging. What Oracle Health answers
for a taken slot is not documented."""

BARE: Final = frozenset({401, 429})
"""Refusals that count without an OperationOutcome: who asks, and how often, is judged before what is asked."""

KEY, TARGET_GONE, TARGET_MOVED, SLOT_MOVED = "key", "target gone", "target moved", "slot moved"
"""What a look after an ambiguous reply may find, in the order in which it counts."""

SETTLED: Final[Table] = MappingProxyType(
    {
        (KEY, ANY): Row(Receipt.unknown(Code.DUPLICATE_KEY), f"{_LOOK} found our key"),
        (TARGET_GONE, ANY): Row(Receipt.refused(Code.TARGET_NOT_FOUND), f"{_LOOK} found no appointment"),
        (TARGET_MOVED, ANY): Row(Receipt.refused(Code.TARGET_CHANGED), f"{_LOOK} found another version"),
        (SLOT_MOVED, ANY): Row(Receipt.refused(Code.SLOT_TAKEN), f"{_LOOK} found a slot at another version"),
    }
)
"""What an ambiguous reply meant, by what the look found."""

_ORACLE_REFUSED: Final[Table] = MappingProxyType(
    {
        **REFUSED,
        (400, ANY): Row(Receipt.refused(Code.EXTERNAL_INVALID), "Oracle Health Millennium R4, Client Errors 1"),
        (404, ANY): Row(Receipt.refused(Code.TARGET_NOT_FOUND), "Oracle Health Millennium R4, Client Errors 4"),
        (422, ANY): Row(Receipt.refused(Code.EXTERNAL_INVALID), f"{_ORACLE}, Errors"),
        (423, ANY): Row(Receipt.refused(Code.EXTERNAL_UNAVAILABLE), f"{_ORACLE}, Errors: it is being modified"),
        (424, ANY): Row(Receipt.refused(Code.EXTERNAL_UNAVAILABLE), f"{_ORACLE}, Errors: it could not be updated"),
    }
)
ORACLE_CREATE: Final[Table] = MappingProxyType(
    {**_ORACLE_REFUSED, (201, ANY): Row(Receipt.applied(), f"{_ORACLE}, Create: empty body, Location and ETag")}
)
ORACLE_PATCH: Final[Table] = MappingProxyType(
    {**_ORACLE_REFUSED, (200, ANY): Row(Receipt.applied(), f"{_ORACLE}, Patch: empty body, ETag")}
)
"""Rows of `AMBIGUOUS` statuses count only once a look found nothing; 406, 409 (another version, or whatever a taken
slot is answered with) and 412 have none."""

APPOINTMENT, OUTCOME, BOTH = "Appointment", "OperationOutcome", "Appointment and OperationOutcome"
"""What an operation's reply holds: an Appointment, and perhaps hints; only an OperationOutcome that failed; both."""

_IHE: Final = "IHE ITI Scheduling 1.0.0, ITI-117"
IHE_BOOK: Final[Table] = MappingProxyType(
    {
        **REFUSED,
        (200, APPOINTMENT): Row(Receipt.applied(), f"{_IHE} §2:3.117.4.2.2"),
        (201, APPOINTMENT): Row(Receipt.applied(), f"{_IHE} §2:3.117.4.2.2; {_HTTP}#create"),
        (200, OUTCOME): Row(Receipt.refused(Code.EXTERNAL_INVALID), f"{_IHE} §2:3.117.4.2.2: unsuccessful"),
        (200, BOTH): Row(Receipt.unknown(Code.REPLY_DEVIATES), f"{_IHE} §2:3.117.4.2.2: one or the other"),
        (201, BOTH): Row(Receipt.unknown(Code.REPLY_DEVIATES), f"{_IHE} §2:3.117.4.2.2: one or the other"),
        (400, ANY): Row(Receipt.refused(Code.EXTERNAL_INVALID), "IHE ITI Scheduling 1.0.0, table 2:3.115.4.2.4-1"),
        (404, ANY): Row(Receipt.refused(Code.EXTERNAL_INVALID), "HL7 FHIR R4, operations.html#response"),
        (422, ANY): Row(Receipt.refused(Code.EXTERNAL_INVALID), f"{_HTTP}#Status-Codes"),
    }
)
_MEDPLUM: Final = "Medplum, Appointment $book (beta, 2026)"
MEDPLUM_BOOK: Final[Table] = MappingProxyType(
    {
        **REFUSED,
        (201, APPOINTMENT): Row(Receipt.applied(), f"{_MEDPLUM}, Output"),
        (201, BOTH): Row(Receipt.unknown(Code.REPLY_DEVIATES), f"{_MEDPLUM}, Output: Appointment and Slots"),
        (400, ANY): Row(Receipt.refused(Code.EXTERNAL_INVALID), f"{_MEDPLUM}, Error Responses"),
        (404, ANY): Row(Receipt.refused(Code.EXTERNAL_INVALID), "HL7 FHIR R4, operations.html#response"),
        (422, ANY): Row(Receipt.refused(Code.EXTERNAL_INVALID), f"{_HTTP}#Status-Codes"),
    }
)
"""Refusals of `$book` count only once a look found neither our key nor the time taken; 406, 409 and 412 have no row."""


def is_ambiguous(table: Table, reply: httpx.Response) -> bool:
    """Whether a look must say what a reply meant: by its status, or because it refuses, and not in FHIR's own words.
    What stands before a server may answer so after the server has done what was asked."""
    row = table.get((reply.status_code, ANY))
    refused = row is not None and row.receipt.claim is Claim.REFUSED and reply.status_code not in BARE
    told = word_in(reply, OperationOutcome, lambda outcome: OUTCOME if outcome.failed else ANY)
    return reply.status_code in AMBIGUOUS or (refused and told != OUTCOME)


TABLES: Final[Mapping[str, Table]] = MappingProxyType(
    {
        "transaction": TRANSACTION,
        "transaction, the Appointment's entry": MADE,
        "transaction, a Slot's entry": SLOT_MADE,
        "after a look": SETTLED,
        "ihe-book": IHE_BOOK,
        "medplum": MEDPLUM_BOOK,
        "oracle, create": ORACLE_CREATE,
        "oracle, patch": ORACLE_PATCH,
    }
)
