"""Faults below the adapter: where an exchange may be cut, and the receipt that it was.

Owns: the words that proxy and checks share. A fault is armed for the next exchange of a kind; the proxy alone
says whether it fired (F-03: no receipt, no verdict).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

UNREACHED: Final = "the system could not be reached"
BROKEN_OFF: Final = "the system closed the connection before its reply was whole"
OBSTACLES: Final = frozenset({UNREACHED, BROKEN_OFF})
"""The proxy's notes on an exchange whose system was not there, or went away: the day's obstacle, nobody's failure."""


class Point(StrEnum):
    """Where an exchange breaks, in the order in which it would have happened."""

    REFUSED = "refused"  # no connection is accepted
    BEFORE_SEND = "before-send"  # accepted, then reset before a byte is read
    MID_HEAD = "mid-head"  # reset after the first bytes of the request's head
    MID_SEND = "mid-send"  # reset before the request's last byte was read
    AFTER_SEND = "after-send"  # the whole request was read; nothing was forwarded
    ERROR_BEFORE = "error-before-commit"  # not forwarded; answered 503
    AFTER_COMMIT = "after-commit"  # forwarded and answered; not a byte of the reply is passed on
    MID_REPLY_HEAD = "mid-reply-head"  # … cut inside the reply's head
    MID_REPLY = "mid-reply"  # … cut inside the reply's body or, where it has none, before the head's end
    LATE = "late"  # … passed on too late
    ERROR_AFTER = "error-after-commit"  # … replaced by 503
    GARBAGE = "garbage"  # … replaced by bytes that are no HTTP
    GARBAGE_BODY = "garbage-body"  # … its body replaced by noise of the same length, status and headers kept
    OVERSIZED = "oversized"  # … replaced by one without end
    DUPLICATE = "duplicate"  # … passed on twice
    REDELIVERED = "redelivered"  # the request is forwarded a second time; the second reply is passed on
    # injected answers: nothing is forwarded
    UNAVAILABLE = "unavailable"  # 503
    THROTTLED = "throttled"  # 429 with Retry-After
    INVALID = "invalid"  # 422
    MISSING = "missing"  # 404, in words that are not the system's
    SLOW = "slow"  # a reply that drips, a byte at a time, and never ends
    ENDLESS_HEAD = "endless-head"  # header fields without end


class Which(StrEnum):
    """The exchanges that a fault is meant for."""

    MUTATION = "mutation"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Fault:
    """`once`: the next exchange of that kind only; else every one until the proxy is disarmed."""

    point: Point
    which: Which = Which.MUTATION
    once: bool = True


@dataclass(slots=True)
class Receipt:
    """What the proxy saw of an armed fault. `facts` are the proxy's own words, never the peer's.

    `fired` counts the exchanges it struck; `forwarded` says whether the struck request reached the system whole,
    and `answered` whether the system's complete reply came back to the proxy.
    """

    fault: Fault
    fired: int = 0
    forwarded: bool = False
    answered: bool = False
    exchange: int | None = None
    facts: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Exchange:
    """One request as it arrived at the proxy, and what became of it. Bodies stay in memory.

    Instants are monotonic seconds. `status` is the system's; `delivered` counts reply bytes passed on. `note` is the
    proxy's own word on an exchange that did not end by itself ("the system could not be reached").
    """

    number: int
    method: str
    target: str = field(repr=False)
    mutating: bool
    request_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    request_body: bytes = field(default=b"", repr=False)
    arrived: float = 0.0
    forwarded: float | None = None
    answered: float | None = None
    ended: float | None = None
    status: int | None = None
    reply_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    reply_body: bytes = field(default=b"", repr=False)
    delivered: int = 0
    point: Point | None = None
    note: str = ""
