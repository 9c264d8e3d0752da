"""F-03: every demand on an external system and its adapter, with a stable id.

Owns: the requirements of one contract version, and what each costs at the peer. Refuses: two requirements of one id.
`docs/conformance.md` is generated from here.

A requirement, once in a contract version, keeps its id and meaning. A new one carries the next version in `since`
and is advisory until the suite's `CONTRACT_VERSION` reaches it, so that an upgrade turns no adapter red overnight.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from conformance.faults import Point
from conformance.requirement import Need, Requirement, Tier
from gateway.contracts.proposal import Operation

_NEED: Final = MappingProxyType(
    {Operation.BOOK: Need.BOOK, Operation.RESCHEDULE: Need.RESCHEDULE, Operation.CANCEL: Need.CANCEL}
)
_LACK: Final = MappingProxyType(
    {Operation.BOOK: Need.NO_BOOK, Operation.RESCHEDULE: Need.NO_RESCHEDULE, Operation.CANCEL: Need.NO_CANCEL}
)
_DONE: Final = MappingProxyType(
    {Operation.BOOK: "booking", Operation.RESCHEDULE: "reschedule", Operation.CANCEL: "cancellation"}
)
NAME: Final = MappingProxyType({operation: operation.name.lower() for operation in Operation})
_WRITES: Final = MappingProxyType({Operation.BOOK: 1, Operation.RESCHEDULE: 2, Operation.CANCEL: 2})
_SLOTS: Final = MappingProxyType({Operation.BOOK: 1, Operation.RESCHEDULE: 2, Operation.CANCEL: 1})

LOST: Final[Mapping[Point, str]] = MappingProxyType(
    {
        Point.REFUSED: "no connection is accepted: NOT_SENT",
        Point.BEFORE_SEND: "the connection is reset before a byte is read: NOT_SENT or UNKNOWN",
        Point.MID_HEAD: "the connection breaks inside the request's head: UNKNOWN",
        Point.MID_SEND: "the connection breaks before the request's last byte: UNKNOWN",
        Point.AFTER_SEND: "the request is read whole and lost: UNKNOWN",
        Point.ERROR_BEFORE: "a 503 comes instead of the system's processing: UNKNOWN",
        Point.AFTER_COMMIT: "the system commits and its reply is lost: UNKNOWN",
        Point.MID_REPLY_HEAD: "the system commits and its reply breaks inside the head: UNKNOWN",
        Point.MID_REPLY: "the system commits and its reply breaks before the end: UNKNOWN",
        Point.LATE: "the system commits and its reply comes too late: UNKNOWN",
        Point.ERROR_AFTER: "the system commits and a 503 comes instead of its reply: UNKNOWN",
        Point.GARBAGE: "the system commits and what comes back is no HTTP: UNKNOWN",
        Point.GARBAGE_BODY: "the system commits and its reply's body is noise: UNKNOWN; APPLIED if it had none",
        Point.OVERSIZED: "the system commits and the reply has no end: UNKNOWN, within bounds of time and memory",
        Point.DUPLICATE: "the system commits and its reply comes twice: APPLIED or UNKNOWN",
        Point.REDELIVERED: "the request is delivered twice and only the second reply comes: APPLIED or UNKNOWN",
    }
)
"""The cut points of a lost acknowledgement, and what the attempt must then end as."""

CORE_POINTS: Final = frozenset({Point.AFTER_SEND, Point.AFTER_COMMIT})
"""Those tried for a booking on the vendor's own sandbox; all others need a twin."""

CRASHES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "before-send": "between intent and the request's first byte at the system",
        "after-send": "after the request was sent, before the system had it",
        "after-commit": "after the system committed, before its reply",
        "after-reply": "when the reply was passed on, before or while the outcome is recorded",
    }
)
"""Where the gateway's process is killed (kill -9)."""


def _readiness() -> Iterator[Requirement]:
    rows = ("CARD-01", "GATE-24", "GATE-27")
    yield Requirement(
        id="ready.proven",
        statement="Readiness of a booking into a free slot is proven, by reads alone.",
        rows=("CARD-01", "CARD-03", "GATE-24", "GATE-25", "GATE-26"),
        needs=(Need.BOOK,),
    )
    yield Requirement(
        id="ready.credentials-rejected",
        statement="A wrong credential refutes readiness: CREDENTIALS_REJECTED.",
        rows=("GATE-25", "ADAPT-03"),
        needs=(Need.BOOK, Need.CREDENTIAL),
    )
    yield Requirement(
        id="ready.forbidden",
        statement="A credential that may read but not write refutes readiness: EXTERNAL_FORBIDDEN.",
        rows=("GATE-26", "ADAPT-03"),
        stands_in=True,
        needs=(Need.BOOK, Need.CREDENTIAL),
    )
    yield Requirement(
        id="ready.slot-taken",
        statement="A slot that is taken blocks the booking before anything is sent: SLOT_TAKEN.",
        rows=("FAIL-17", "GATE-24"),
        needs=(Need.BOOK,),
        writes=1,
    )
    for operation in (Operation.RESCHEDULE, Operation.CANCEL):
        yield Requirement(
            id=f"ready.stale-version.{NAME[operation]}",
            statement=f"A {_DONE[operation]} approved for another version than the present is blocked: TARGET_CHANGED.",
            rows=("GATE-24", "CARD-09"),
            needs=(Need.BOOK, _NEED[operation]),
            writes=1,
            slots=_SLOTS[operation],
        )
        yield Requirement(
            id=f"ready.not-found.{NAME[operation]}",
            statement=f"A {_DONE[operation]} of an appointment that is not there is blocked: TARGET_NOT_FOUND, or"
            " PARTICULARS_MISSING where only a bound identifier would find it.",
            rows=("GATE-24", "CARD-09"),
            needs=(_NEED[operation],),
            slots=_SLOTS[operation],
        )
        yield Requirement(
            id=f"ready.cancelled.{NAME[operation]}",
            statement=f"A {_DONE[operation]} of a cancelled appointment is blocked: TARGET_CHANGED or _NOT_FOUND.",
            rows=("GATE-24", "CARD-09"),
            needs=tuple(dict.fromkeys((Need.BOOK, Need.CANCEL, _NEED[operation]))),
            tier=Tier.EXHAUSTIVE,
            writes=2,
            slots=_SLOTS[operation],
        )
    yield Requirement(
        id="ready.slot-taken.reschedule",
        statement="A reschedule into a taken slot is blocked before anything is sent: SLOT_TAKEN.",
        rows=("FAIL-17", "GATE-24"),
        needs=(Need.BOOK, Need.RESCHEDULE),
        tier=Tier.EXHAUSTIVE,
        writes=2,
        slots=2,
    )
    yield Requirement(
        id="ready.unbound-reference",
        statement="A reference that the practice bound to nothing is reported as PARTICULARS_MISSING, or not needed.",
        rows=("CARD-09", "ADAPT-03"),
        needs=(Need.BOOK,),
    )
    for name, what, code in (
        ("unreachable", "The system accepts no connection", "EXTERNAL_UNAVAILABLE"),
        ("unavailable", "The system answers 503 to every read", "EXTERNAL_UNAVAILABLE or READINESS_UNVERIFIABLE"),
        ("throttled", "The system answers 429 to every read", "EXTERNAL_THROTTLED or READINESS_UNVERIFIABLE"),
        ("hanging", "The system does not answer", "EXTERNAL_TIMEOUT"),
        ("cut", "Every reply breaks off", "CONNECTION_LOST, EXTERNAL_UNAVAILABLE or READINESS_UNVERIFIABLE"),
        ("garbage", "Every reply's body is noise", "a bounded code, never proven"),
    ):
        yield Requirement(
            id=f"ready.{name}",
            statement=f"{what}: readiness is not proven ({code}), and nothing is sent.",
            rows=(*rows, "FAIL-18", "FAIL-19", "ADAPT-04"),
            struck=True,
            needs=(Need.BOOK,),
        )


def _operations() -> Iterator[Requirement]:
    for operation in Operation:
        yield Requirement(
            id=f"{NAME[operation]}.applied",
            statement=f"A {_DONE[operation]} is carried out as approved, in one mutating request; an observer sees it.",
            rows=("ADAPT-05", "ADAPT-09", "CARD-02", "CARD-12", "CARD-15"),
            needs=tuple(dict.fromkeys((Need.BOOK, _NEED[operation]))),
            writes=_WRITES[operation] + (operation is Operation.CANCEL),
            slots=_SLOTS[operation] + 1,  # another attempt is about it, and must not be touched
            at_most_once=True,
        )
        yield Requirement(
            id=f"observe.{NAME[operation]}",
            statement=f"A {_DONE[operation]} that was carried out is observed as PRESENT, on the declared basis.",
            rows=("CARD-01", "CARD-03", "CARD-06"),
            needs=tuple(dict.fromkeys((Need.BOOK, _NEED[operation], Need.OBSERVATION))),
            writes=_WRITES[operation],
            slots=_SLOTS[operation],
        )
    yield Requirement(
        id="observe.absent",
        statement="A commit that never happened is observed as ABSENT once the settling time is over.",
        rows=("CARD-01", "CARD-03"),
        needs=(Need.BOOK, Need.OBSERVATION),
        looks=1,
    )
    yield Requirement(
        id="observe.superseded",
        statement="A booking that was moved since is no longer observed as PRESENT.",
        rows=("CARD-01", "CARD-03"),
        needs=(Need.BOOK, Need.RESCHEDULE, Need.OBSERVATION),
        tier=Tier.EXHAUSTIVE,
        writes=2,
        slots=2,
    )
    yield Requirement(
        id="observe.unavailable",
        statement="A look that brings 503, a stranger's 404, noise or nothing is INDETERMINATE, never a finding.",
        rows=("CARD-03", "ADAPT-03"),
        struck=True,
        needs=(Need.BOOK, Need.OBSERVATION),
    )


def _refusals() -> Iterator[Requirement]:
    yield Requirement(
        id="refused.credentials",
        statement="A credential that ends between readiness and commit: REFUSED, CREDENTIALS_REJECTED, nothing made.",
        rows=("FAIL-15", "ADAPT-03"),
        needs=(Need.BOOK, Need.CREDENTIAL),
        writes=1,
        looks=1,
    )
    yield Requirement(
        id="refused.forbidden",
        statement="A right to write that ends between readiness and commit: REFUSED, EXTERNAL_FORBIDDEN, nothing made.",
        rows=("FAIL-15", "ADAPT-03"),
        stands_in=True,
        needs=(Need.BOOK, Need.CREDENTIAL),
        writes=1,
        looks=1,
    )
    for name, status in (("invalid", 422), ("throttled", 429)):
        yield Requirement(
            id=f"refused.{name}",
            statement=f"A {status} to the commit is REFUSED or UNKNOWN with a bounded code, never APPLIED.",
            rows=("FAIL-15", "FAIL-18", "ADAPT-03", "ADAPT-04"),
            struck=True,
            needs=(Need.BOOK,),
            tier=Tier.EXHAUSTIVE,
            writes=1,
            looks=1,
        )
    yield Requirement(
        id="refused.slot-taken",
        statement="A slot taken between readiness and commit: REFUSED, SLOT_TAKEN; one appointment stands there.",
        rows=("FAIL-17", "FAIL-15"),
        needs=(Need.BOOK, Need.EXCLUSIVE_SLOTS),
        writes=2,
    )
    yield Requirement(
        id="slots.shared",
        statement="Where the system lets appointments overlap, the outcome says what an observer sees.",
        rows=("FAIL-17", "CARD-04"),
        needs=(Need.BOOK, Need.SHARED_SLOTS),
        writes=2,
    )
    for operation in (Operation.RESCHEDULE, Operation.CANCEL):
        yield Requirement(
            id=f"refused.stale-version.{NAME[operation]}",
            statement=f"Changed between readiness and {_DONE[operation]}: REFUSED, then blocked; the change stands.",
            rows=("FAIL-15", "CARD-09"),
            needs=tuple(dict.fromkeys((Need.BOOK, Need.RESCHEDULE, _NEED[operation]))),
            writes=3,
            slots=3 if operation is Operation.RESCHEDULE else 2,
        )
        yield Requirement(
            id=f"refused.cancelled.{NAME[operation]}",
            statement=f"Cancelled between readiness and {_DONE[operation]}: REFUSED, or UNKNOWN (DUPLICATE_KEY) where a"
            " look can only match; it stays cancelled.",
            rows=("FAIL-15", "CARD-09"),
            needs=tuple(dict.fromkeys((Need.BOOK, Need.CANCEL, _NEED[operation]))),
            tier=Tier.EXHAUSTIVE,
            writes=3,
            slots=_SLOTS[operation],
        )


def _idempotency() -> Iterator[Requirement]:
    for operation in Operation:
        yield Requirement(
            id=f"replay.{NAME[operation]}",
            statement=f"The same {_DONE[operation]} sent again under its own native key has one effect; never REFUSED.",
            rows=("CARD-06", "ADAPT-05", "IDEM-04"),
            needs=tuple(dict.fromkeys((Need.BOOK, _NEED[operation], Need.UNIQUE_KEY))),
            tier=Tier.CORE if operation is Operation.BOOK else Tier.EXHAUSTIVE,
            writes=_WRITES[operation] + 1,
            slots=_SLOTS[operation],
            at_most_once=True,
        )
    yield Requirement(
        id="replay.other-content",
        statement="A native key sent again with other content changes nothing and is UNKNOWN.",
        rows=("CARD-06", "IDEM-03"),
        needs=(Need.BOOK, Need.UNIQUE_KEY),
        tier=Tier.EXHAUSTIVE,
        writes=2,
        slots=2,
        at_most_once=True,
    )
    yield Requirement(
        id="race.one-key",
        statement="Four overlapping commits of one native key have one effect.",
        rows=("CARD-06", "IDEM-04"),
        needs=(Need.BOOK, Need.UNIQUE_KEY),
        tier=Tier.EXHAUSTIVE,
        writes=4,
        at_most_once=True,
    )
    yield Requirement(
        id="race.one-slot",
        statement="Four overlapping bookings of one slot leave one appointment; the others are REFUSED, SLOT_TAKEN.",
        rows=("FAIL-17", "CARD-10"),
        needs=(Need.BOOK, Need.EXCLUSIVE_SLOTS),
        tier=Tier.EXHAUSTIVE,
        writes=4,
        at_most_once=True,
    )


def _lost() -> Iterator[Requirement]:
    for point, ending in LOST.items():
        for operation in Operation:
            core = point in CORE_POINTS and operation is Operation.BOOK
            yield Requirement(
                id=f"lost.{point}.{NAME[operation]}",
                statement=f"During a {_DONE[operation]}, {ending}. Nothing is sent again, and a look finds the truth.",
                rows=("CARD-02", "CARD-04", "FAIL-16", "FAIL-20"),
                struck=True,
                needs=tuple(dict.fromkeys((Need.BOOK, _NEED[operation]))),
                tier=Tier.CORE if core else Tier.EXHAUSTIVE,
                writes=_WRITES[operation] + (point is Point.REDELIVERED),
                slots=_SLOTS[operation],
                looks=1,
                at_most_once=True,
            )


def _crashes() -> Iterator[Requirement]:
    for name, where in CRASHES.items():
        yield Requirement(
            id=f"crash.{name}",
            statement=f"Killed {where}: after recovery nothing was sent twice; a look finds the truth.",
            rows=("CARD-04", "FAIL-16", "FAIL-20"),
            struck=True,
            needs=(Need.BOOK,),
            tier=Tier.EXHAUSTIVE,
            writes=1,
            looks=1,
            at_most_once=True,
        )


def _claims() -> Iterator[Requirement]:
    for operation in Operation:
        yield Requirement(
            id=f"claims.no-{NAME[operation]}",
            statement=f"A {_DONE[operation]} that is declared unsupported, tried all the same, has no effect.",
            rows=("CARD-01", "ADAPT-09"),
            needs=(_LACK[operation],),
            tier=Tier.EXHAUSTIVE,
            writes=2,
            slots=2,
        )
    yield Requirement(
        id="claims.no-observation",
        statement="Where observation is declared impossible, a look brings no finding.",
        rows=("CARD-01", "CARD-03"),
        needs=(Need.NO_OBSERVATION,),
    )
    yield Requirement(
        id="claims.steady",
        statement="The descriptor is valid, and the same whenever it is asked for.",
        rows=("CARD-01", "CARD-14"),
        slots=0,
    )


def _hostile() -> Iterator[Requirement]:
    for name, statement in (
        ("slow-reply", "A reply that drips without end is given up in time."),
        ("endless-head", "Header fields without end are given up, within bounds of memory."),
    ):
        yield Requirement(
            id=f"hostile.{name}",
            statement=statement,
            rows=("FAIL-19", "ADAPT-03"),
            struck=True,
            needs=(Need.BOOK,),
            tier=Tier.EXHAUSTIVE,
        )


def _conduct() -> Iterator[Requirement]:
    """Judged over the whole run, from everything that happened in it; hence last."""
    for name, statement, rows, at_most_once in (
        (
            "one-mutation",
            "No attempt sends, or tries to send, a second mutating request.",
            ("CARD-02", "NORETRY-01"),
            True,
        ),
        ("reads-only", "Readiness and observe send no mutating request, and try none.", ("CARD-03",), True),
        (
            "bounded-codes",
            "Every answer is within the contract: no ADAPTER_FAULT on a reply that can be read.",
            ("ADAPT-03", "FAIL-15", "CARD-14"),
            False,
        ),
        (
            "confidential",
            "No secret, payload or canary in anything returned, raised, printed or logged.",
            ("ADAPT-02", "ADAPT-04", "PHI-03", "PHI-04", "CARD-15"),
            False,
        ),
        (
            "one-door",
            "The adapter opens no connection of its own and starts no process.",
            ("ADAPT-06", "CARD-02"),
            True,
        ),
    ):
        yield Requirement(id=f"conduct.{name}", statement=statement, rows=rows, slots=0, at_most_once=at_most_once)


def _all() -> Iterator[Requirement]:
    yield from _claims()
    yield from _readiness()
    yield from _operations()
    yield from _refusals()
    yield from _idempotency()
    yield from _lost()
    yield from _crashes()
    yield from _hostile()
    yield from _conduct()


def _registry() -> Mapping[str, Requirement]:
    found: dict[str, Requirement] = {}
    for requirement in _all():
        if requirement.id in found:
            raise ValueError(f"two requirements are called {requirement.id}")
        found[requirement.id] = requirement
    return MappingProxyType(found)


REQUIREMENTS: Final[Mapping[str, Requirement]] = _registry()
"""All of them by id, in the order in which a run takes them."""
