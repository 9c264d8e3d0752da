"""The transaction dialect: one Bundle moves Appointment and slots together, or nothing.

Owns: the Bundle of each operation, and the look that settles an ambiguous reply.
Refuses: to write a resource without naming the version that readiness read, and to take a slot that readiness did
not find free.

Settings: `idempotency` says how a server keeps the native key unique: `conditional-create` (the default; the entry's
`ifNoneExist` names the key), `client-id` (the key is the id; `ifNoneMatch: *`) or `lookup` (it does not; the key can be
looked up). `slots = false` is for servers without slots: then nothing keeps two appointments apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

import httpx

from adapters.fhir import availability, looking, mapping, replies
from adapters.fhir.capability import Needs
from adapters.fhir.resources import (
    MIME_TYPE,
    Appointment,
    Bundle,
    Gone,
    Held,
    Raw,
    Slot,
    body,
    etag_of,
    held,
)
from gateway.contracts.adapter import (
    Authorized,
    Basis,
    Claim,
    Descriptor,
    Exclusivity,
    Idempotency,
    Observation,
    Query,
    Readiness,
    Receipt,
    Request,
    TargetState,
)
from gateway.contracts.connection import Connection
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding
from gateway.kit.reading import not_ready, shaped
from gateway.kit.replies import judge

_HEADERS: Final = {"Accept": MIME_TYPE, "Content-Type": MIME_TYPE, "Prefer": "return=representation"}


class Uniqueness(StrEnum):
    """How the server keeps a native key from being used twice."""

    CONDITIONAL_CREATE = "conditional-create"
    CLIENT_ID = "client-id"
    LOOKUP = "lookup"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What readiness found: the Appointment to change, slots to take, to give back, and those that it keeps."""

    target: Held[Appointment] | None = field(default=None, repr=False)
    take: tuple[Held[Slot], ...] = field(default=(), repr=False)
    give: tuple[Held[Slot], ...] = field(default=(), repr=False)
    names: tuple[str, ...] = field(default=(), repr=False)


class Transaction:
    """Implements `Adapter` for the dialects `standard` and `transaction`."""

    def describe(self, connection: Connection) -> Descriptor:
        """By the sealed settings alone; readiness blocks where the server does not declare as much."""
        lookup = _uniqueness(connection) is Uniqueness.LOOKUP
        return Descriptor(
            adapter="fhir",
            operations=tuple(Operation),
            idempotency=Idempotency.LOOKUP if lookup else Idempotency.UNIQUE,
            exclusivity=Exclusivity.ENFORCED if _has_slots(connection) else Exclusivity.NONE,
            observation=Basis.BY_KEY,
            settling_seconds=looking.settling(connection),
            requests_per_attempt=10,  # readiness 6 (statement, SMART, target, schedules, slots twice), commit 3, a look
        )

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        """The server can and may, the target is as approved, its slots are free. `prepared` is a Plan."""
        if not mapping.is_expressible(request):
            return not_ready(Code.REPLY_UNRECOGNISED)
        try:
            capable = await looking.capability(request, _needs(request), read)
            state, plan = await self._plan(request, read)
        except Refusal as refusal:
            return not_ready(refusal.code)
        return looking.readiness(capable, state, plan)

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        """One transaction. Reads follow where its reply shows no Appointment, or may mean several things."""
        request, plan = authorized.request, authorized.prepared
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": _entries(request, plan)}
        address = request.connection.base_url.rstrip("/")  # [base] itself, as http.html#transaction has it
        reply = await write.post(address, content=body(bundle), headers=_HEADERS)
        try:
            if replies.is_ambiguous(replies.TRANSACTION, reply):
                return await self._settled(reply, request, plan, write)
            receipt = judge(replies.TRANSACTION, reply.status_code)
            if receipt.claim is not Claim.APPLIED:
                return receipt
            return await self._made(reply, request, plan, write)
        except Refusal:
            return Receipt.unknown()

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        """Looks at the Appointment itself: by id where it is known, else by key."""
        request = query.request
        try:
            stored = await self._appointment(request, read)
        except Refusal as refusal:  # of a booking's id, deleted: it was made, and is no more
            deleted = isinstance(refusal, Gone) and request.operation is Operation.BOOK
            finding = ObservationFinding.DIFFERENT if deleted else ObservationFinding.INDETERMINATE
            return Observation(finding=finding, basis=Basis.BY_KEY)
        return Observation(
            finding=mapping.finding(stored, request),
            basis=Basis.BY_KEY,
            version=stored.versioned if stored else None,
            identifier=stored.content.id if stored else None,
        )

    async def _plan(self, request: Request, read: httpx.AsyncClient) -> tuple[TargetState, Plan | None]:
        target, own, given = None, frozenset[str](), tuple[Held[Slot], ...]()
        if request.operation is not Operation.BOOK:
            try:
                target = await self._appointment(request, read)
            except Gone:
                return TargetState.ABSENT, None
            state = mapping.target_state(target, request)
            if target is None or state is not TargetState.OPEN:
                return state, None
            if not mapping.has_key(target.content, request.target_key()):
                return TargetState.ABSENT, None  # what stands there was not booked under the key that was approved
            own = mapping.held_slots(target.content, request)
        if not _has_slots(request.connection):
            asks = request.operation is not Operation.CANCEL
            free = await looking.is_free(request, target.content.id if target else None, read) if asks else True
            return (TargetState.OPEN if free else TargetState.TAKEN), Plan(target=target)
        if own:
            given = tuple(one for one in await looking.slots_named(own, read) if one.content.status == "busy")
            if any(one.content.overbooked or not one.writable for one in given):
                return TargetState.UNVERIFIABLE, None
        if request.operation is Operation.CANCEL:
            return TargetState.OPEN, Plan(target=target, give=given)
        asked = await looking.schedules(request, read)
        slots = await looking.slots_within(request, asked, read) if asked else ()
        availability.only_asked(asked, slots, request)
        state, picked = availability.chosen(asked, slots, request, own)
        names = tuple(one.reference for one in picked)
        take = tuple(one for one in picked if one.reference not in own or one.content.status == "free")
        return state, Plan(
            target=target, take=take, give=tuple(one for one in given if one.reference not in names), names=names
        )

    async def _appointment(self, request: Request, read: httpx.AsyncClient) -> Held[Appointment] | None:
        """The Appointment that this request makes or changes."""
        booking = request.operation is Operation.BOOK
        key = request.native_key() if booking else request.target_key()
        bound = _known_id(request)
        return await looking.by_key(key, read) if bound is None else await looking.by_id(bound, read)

    async def _made(self, reply: httpx.Response, request: Request, plan: Plan, read: httpx.AsyncClient) -> Receipt:
        """Every entry succeeded, and the Appointment that is in force is what was approved."""
        bundle = shaped(Bundle, reply.content)
        told = [entry.response for entry in bundle.entry if entry.response is not None]
        count = 1 + len(plan.take) + len(plan.give)
        if bundle.type != "transaction-response" or not count == len(told) == len(bundle.entry):
            return Receipt.unknown()
        slots = [judge(replies.SLOT_MADE, each.status[:3]).claim for each in told[1:]]
        if not told[0].status.startswith("2") or not all(claim is Claim.APPLIED for claim in slots):
            return Receipt.unknown(Code.REPLY_DEVIATES)  # made in part, as though it had been a batch
        receipt = judge(replies.MADE, told[0].status[:3], request.operation.name)
        if receipt.claim is not Claim.APPLIED:
            return receipt
        shown = bundle.entry[0].resource
        if shown is None:
            identifier = plan.target.content.id if plan.target else looking.created(told[0].location)
            stored = await looking.by_id(identifier, read)
        else:
            stored = held(Appointment, shown)
        if stored is None or (plan.target is not None and stored.reference != plan.target.reference):
            return Receipt.unknown(Code.REPLY_DEVIATES)
        return mapping.receipt(stored, request, plan.names or None)

    async def _settled(self, reply: httpx.Response, request: Request, plan: Plan, read: httpx.AsyncClient) -> Receipt:
        """Slots first, then the Appointment: had our own earlier request taken the slot, its key would be there by the
        second look."""
        names = [one.reference for one in (*plan.take, *plan.give)]
        now = {one.reference: one for one in (await looking.slots_named(names, read) if names else ())}
        try:
            word = _found(request, plan, now, await self._appointment(request, read))
        except Gone:
            word = replies.KEY if request.operation is Operation.BOOK else replies.TARGET_GONE
        if _known_id(request) is None:
            word = looking.settled(word, request.connection)
        return judge(replies.SETTLED, word) if word else judge(replies.TRANSACTION, reply.status_code)


def _known_id(request: Request) -> str | None:
    """The Appointment's id, where the practice bound it or a key is one."""
    named = request.particulars.target
    bound = request.identifiers.get(named.appointment) if named is not None else None
    if bound is None and _uniqueness(request.connection) is Uniqueness.CLIENT_ID:
        return request.native_key() if named is None else request.target_key()
    return bound


def _found(request: Request, plan: Plan, now: Mapping[str, Held[Slot]], stored: Held[Appointment] | None) -> str | None:
    """The word of `replies.SETTLED` for what a look found; None: all is as readiness read it."""

    def moved(slots: tuple[Held[Slot], ...]) -> bool:
        return any(one.reference not in now or now[one.reference].version != one.version for one in slots)

    booking = request.operation is Operation.BOOK
    if stored is not None and (booking or mapping.has_key(stored.content, request.native_key())):
        return replies.KEY
    if not booking and stored is None:
        return replies.TARGET_GONE
    if moved(plan.give) or (
        stored is not None and plan.target is not None and stored.versioned != plan.target.versioned
    ):
        return replies.TARGET_MOVED
    return replies.SLOT_MOVED if moved(plan.take) else None


def _entries(request: Request, plan: Plan) -> list[dict[str, Any]]:
    """The Appointment first: its reply is the first, too (http.html#transaction-response)."""
    slots = [
        _put(request, slot, mapping.occupied(slot, free=free))
        for group, free in ((plan.take, False), (plan.give, True))
        for slot in group
    ]
    if request.operation is not Operation.BOOK:
        if plan.target is None:
            raise ValueError("a change needs the Appointment that readiness read")
        return [_put(request, plan.target, mapping.changed(plan.target, request, plan.names)), *slots]
    key, content = request.native_key(), mapping.appointment(request, plan.names)
    match _uniqueness(request.connection):
        case Uniqueness.CLIENT_ID:
            entry = _entry(request, f"Appointment/{key}", {**content, "id": key}, {"ifNoneMatch": "*"})
        case uniqueness:
            once = {"ifNoneExist": f"identifier={mapping.KEY_SYSTEM}|{key}"}
            asked = {"method": "POST", "url": "Appointment"}
            asked |= once if uniqueness is Uniqueness.CONDITIONAL_CREATE else {}
            entry = {"fullUrl": uuid5(NAMESPACE_URL, key).urn, "resource": content, "request": asked}
    return [entry, *slots]


def _put(request: Request, stored: Held[Any], content: Raw) -> dict[str, Any]:
    if stored.version is None:
        raise ValueError("a resource without a version cannot be written back")
    return _entry(request, stored.reference, content, {"ifMatch": etag_of(stored.version)})


def _entry(request: Request, name: str, content: Raw, condition: Mapping[str, str]) -> dict[str, Any]:
    address = f"{request.connection.base_url.rstrip('/')}/{name}"
    return {"fullUrl": address, "resource": content, "request": {"method": "PUT", "url": name, **condition}}


def _uniqueness(connection: Connection) -> Uniqueness:
    """Raises ValueError for a setting that is none of the three."""
    return Uniqueness(str(connection.settings.get("idempotency", Uniqueness.CONDITIONAL_CREATE)))


def _has_slots(connection: Connection) -> bool:
    return connection.settings.get("slots", True) is not False


def _needs(request: Request) -> Needs:
    uniqueness, slots = _uniqueness(request.connection), _has_slots(request.connection)
    booking = request.operation is Operation.BOOK
    create = "update" if uniqueness is Uniqueness.CLIENT_ID else "create"
    feature = {Uniqueness.CONDITIONAL_CREATE: ("conditional_create",), Uniqueness.CLIENT_ID: ("update_create",)}
    reads = {"": frozenset({"transaction"}), "Appointment": frozenset({"read", "search-type"})}
    writes = {"Appointment": frozenset({create if booking else "update"})}
    compared = frozenset({"Slot"} if slots else ()) | frozenset(() if booking else {"Appointment"})
    if slots:
        reads |= dict.fromkeys(("Schedule", "Slot"), frozenset({"search-type"}))
        writes |= {"Slot": frozenset({"update"})}
    return Needs(reads=reads, writes=writes, features=feature.get(uniqueness, ()) if booking else (), compared=compared)
