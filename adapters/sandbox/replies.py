"""What the sandbox's replies to a write mean, row by row. It is its own reference: `answers.py` lists what it says.

Owns: the tables. A reply to a write is a status and, where it is no success, the name of a problem (RFC 9457).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.contracts.adapter import Receipt
from gateway.contracts.failures import Code
from gateway.kit.replies import ANY, Row, Table

_PROBLEMS: Final = "adapters/sandbox/answers.py, its list of problems"
_ROUTES: Final = "adapters/sandbox/server.py, its routes"
_FAULTS: Final = "adapters/sandbox/faults.py"

_REFUSALS: Final[Table] = {
    (401, "unauthorised"): Row(Receipt.refused(Code.CREDENTIALS_REJECTED), _PROBLEMS),
    (403, "forbidden"): Row(Receipt.refused(Code.EXTERNAL_FORBIDDEN), _PROBLEMS),
    (404, "not-found"): Row(Receipt.refused(Code.TARGET_NOT_FOUND), _PROBLEMS),
    (409, "slot-taken"): Row(Receipt.refused(Code.SLOT_TAKEN), _PROBLEMS),
    (409, "not-booked"): Row(Receipt.refused(Code.TARGET_CHANGED), _PROBLEMS),
    (409, "key-reused"): Row(Receipt.unknown(Code.DUPLICATE_KEY), _PROBLEMS),
    (412, "stale-version"): Row(Receipt.refused(Code.TARGET_CHANGED), _PROBLEMS),
    (422, "invalid"): Row(Receipt.refused(Code.EXTERNAL_INVALID), _PROBLEMS),
    (428, "precondition-required"): Row(Receipt.refused(Code.EXTERNAL_INVALID), _PROBLEMS),
    (429, "throttled"): Row(Receipt.refused(Code.EXTERNAL_THROTTLED), _PROBLEMS),
    (500, "unavailable"): Row(Receipt.unknown(Code.EXTERNAL_ERROR), _FAULTS),
    (503, "unavailable"): Row(Receipt.unknown(Code.EXTERNAL_ERROR), _FAULTS),
}
BOOKING: Final[Table] = MappingProxyType(
    {
        (201, ANY): Row(Receipt.applied(), _ROUTES),
        (200, ANY): Row(Receipt.applied(), f"{_ROUTES}: the very same booking was made under this key before"),
        **_REFUSALS,
    }
)
CHANGE: Final[Table] = MappingProxyType({(200, ANY): Row(Receipt.applied(), _ROUTES), **_REFUSALS})

TABLES: Final[Mapping[str, Table]] = MappingProxyType(
    {"to a booking": BOOKING, "to a reschedule or a cancellation": CHANGE}
)
