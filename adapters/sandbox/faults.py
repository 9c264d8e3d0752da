"""Fault switches: how a test makes the sandbox lose, delay, garble or falsify one reply.

Owns: which fault is armed for which operation, how often it may still fire, and the receipt that it did.
Refuses: to fire on an operation other than the one it was armed for.
Invariant: at most one fault fires on a request, the one armed first; each firing leaves its receipt.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from gateway.contracts.base import Model
from gateway.testing.wire import Delivery, Reply


class Action(StrEnum):
    """What the sandbox answers to; a fault is armed for one of them."""

    HEALTH = "health"
    CAPABILITIES = "capabilities"
    SLOTS = "slots"
    READ = "read"
    FIND = "find"
    BOOK = "book"
    RESCHEDULE = "reschedule"
    CANCEL = "cancel"


class Fault(StrEnum):
    """`before` and `after` are before and after the request took effect; the reply follows the effect."""

    DROP_BEFORE = "drop-before"
    DROP_AFTER = "drop-after"
    CUT_REPLY = "cut-reply"
    DELAY_BEFORE = "delay-before"
    DELAY_AFTER = "delay-after"
    ERROR_BEFORE = "error-before"
    ERROR_AFTER = "error-after"
    GARBAGE = "garbage"
    OVERSIZED = "oversized"
    DEVIATES = "deviates"
    STALE = "stale"
    DUPLICATE = "duplicate"
    REDIRECT = "redirect"
    UNAUTHORISED = "unauthorised"
    FORBIDDEN = "forbidden"
    THROTTLED = "throttled"


class Switch(Model):
    """One fault, armed for `times` requests of one action. `milliseconds` is for delays, `status` for errors."""

    fault: Fault
    action: Action
    times: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    milliseconds: Annotated[int, Field(ge=0, le=600_000)] = 0
    status: Annotated[int, Field(ge=500, le=599)] = 500


@dataclass(slots=True)
class Armed:
    """A switch and its receipts: the idempotency key (or None) of each request on which it fired."""

    switch: Switch
    fired_on: list[str | None] = field(default_factory=list)


class Switchboard:
    """The faults of one running server."""

    def __init__(self) -> None:
        self._armed: list[Armed] = []

    def arm(self, switch: Switch) -> None:
        self._armed.append(Armed(switch))

    def armed(self) -> Sequence[Armed]:
        """Every switch ever armed, with its receipts, oldest first."""
        return tuple(self._armed)

    def take(self, action: Action, key: str | None) -> Switch | None:
        """The fault to apply to this request, if any; it counts as fired."""
        for armed in self._armed:
            if armed.switch.action is action and len(armed.fired_on) < armed.switch.times:
                armed.fired_on.append(key)
                return armed.switch
        return None


PADDING_BYTES = 4 * 1024 * 1024
SHIFT = timedelta(hours=1)
_DELIVERIES: Mapping[Fault, Delivery] = {
    Fault.DROP_AFTER: Delivery.DROPPED,
    Fault.CUT_REPLY: Delivery.CUT,
    Fault.DUPLICATE: Delivery.TWICE,
}


def distort(fault: Fault, reply: Reply) -> Reply:
    """The reply as the fault lets it out; faults that strike before the effect leave it alone."""
    if fault in _DELIVERIES:
        return replace(reply, delivery=_DELIVERIES[fault])
    match fault:
        case Fault.GARBAGE:
            return replace(reply, body=b'{"id": \xff\x00 nonsense')
        case Fault.OVERSIZED:
            return replace(reply, body=reply.body + b" " * PADDING_BYTES)
        case Fault.STALE:
            return replace(reply, headers=(*reply.headers, ("age", "600"), ("x-cache", "HIT")))
        case Fault.DEVIATES:
            return replace(reply, body=json.dumps(_shifted(json.loads(reply.body))).encode())
    return reply


def _shifted(value: Any) -> Any:
    """Every appointment in a reply, an hour later than it is."""
    if isinstance(value, list):
        return [_shifted(each) for each in value]
    if isinstance(value, dict):
        moved = {name: _shifted(each) for name, each in value.items()}
        for name in {"start", "end"} & moved.keys():
            moved[name] = (datetime.fromisoformat(moved[name]) + SHIFT).isoformat()
        return moved
    return value
