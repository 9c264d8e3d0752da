"""The HL7 v2 adapter: a placer application that speaks SRM and SQM to one filler over MLLP (HL7 v2.5.1 chapter 10).

Owns: which messages are sent, in what order. A commit is one SRM; its reply proves an appointment only by an SRR that
shows it, under our placer id, confirmed, as approved. A refusal that our own request, delivered twice, would get is
settled by one look.
Refuses: to change an appointment where the filler cannot be asked for it, or would carry out a request for a version
that is no longer there; HL7 knows no condition, so the filler must give a changed appointment a new filler id.

What a partner does not tell, a sealed connection declares (DIVERGENCES.md): `access-declared` stands for the right to
schedule, `slots-declared` for the filler's own guard of its slots where it answers no queries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import httpx

from adapters.hl7v2 import mapping, replies
from adapters.hl7v2.er7 import MalformedMessageError, Message, parse
from adapters.hl7v2.mapping import Entry, declared
from adapters.hl7v2.replies import Stands
from gateway.clock import Clock, SystemClock
from gateway.contracts.adapter import (
    Authorized,
    Basis,
    Claim,
    Descriptor,
    Exclusivity,
    Idempotency,
    Observation,
    Proof,
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
from gateway.kit.reading import not_ready
from gateway.kit.relay import relay_seconds
from gateway.kit.replies import judge


class Hl7v2Adapter:
    """Any filler application that takes SRM (ADAPT-05, ADAPT-09, CARD-01). Stateless; one serves all connections."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def describe(self, connection: Connection) -> Descriptor:
        """What the partner was agreed to do; HL7 itself promises none of it."""
        said: Mapping[str, Any] = connection.settings
        agreed = {name for name, value in said.items() if value is True}
        asked = "query" in agreed
        changes = (Operation.RESCHEDULE, Operation.CANCEL) if {"query", "filler-id-changes"} <= agreed else ()
        lookup = Idempotency.LOOKUP if asked else Idempotency.NONE
        return Descriptor(
            adapter="hl7v2",
            operations=(Operation.BOOK, *changes),
            idempotency=Idempotency.UNIQUE if "placer-id-unique" in agreed else lookup,
            exclusivity=Exclusivity.ENFORCED if isinstance(said.get("error-slot-taken"), str) else Exclusivity.NONE,
            relay_seconds=relay_seconds(connection),
            redelivers=said.get("redelivers", False),
            observation=Basis.BY_KEY if asked else Basis.NONE,
            settling_seconds=said.get("settling-seconds", 0),
            safe_posts=("/SQM/S25",) if asked else ("/NMQ/N01",),
            requests_per_attempt=5,  # target and slot; the request and a look; one observation
        )

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        """The filler answers now, and shows the target and the slot, where it can be asked."""
        if not mapping.is_expressible(request, self._clock.now()):
            return not_ready(Code.REPLY_UNRECOGNISED)
        look = self._target if declared(request, "query") else self._unseen
        try:
            target, found = await look(request, read)
        except Refusal as refusal:
            return not_ready(refusal.code)
        except MalformedMessageError:
            return not_ready(Code.REPLY_UNRECOGNISED)
        return Readiness(
            available=Proof.PROVEN,
            credentials=Proof.PROVEN,  # TLS took the certificate, or the sealed connection says that there is none
            authorised=Proof.PROVEN if declared(request, "access-declared") else Proof.UNVERIFIABLE,
            target=target,
            prepared=found,
        )

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        """One SRM. A look follows only a refusal that our own request would get if it were delivered twice."""
        request, approved = authorized.request, authorized.prepared
        filler = approved.filler if isinstance(approved, Entry) else ""
        if request.operation is not Operation.BOOK and not filler:
            raise ValueError("a change needs the approved version's filler id from readiness")
        said = mapping.request_message(request, self._clock.now(), filler)
        answer = await write.post(f"SRM/{mapping.EVENTS[request.operation]}", content=said)
        try:
            receipt = _receipt(parse(answer.content, mapping.charset(request)), request)
            return await self._settled(receipt, authorized, write) if receipt.code in replies.AMBIGUOUS else receipt
        except (Refusal, MalformedMessageError):
            return Receipt.unknown()

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        """Looks under the appointment's placer id. Where messages are accepted to be processed later, and nobody said
        how much later, nothing is absent."""
        request, found, finding = query.request, None, ObservationFinding.INDETERMINATE
        claims = self.describe(request.connection)
        if claims.observation is Basis.BY_KEY:
            with suppress(Refusal, MalformedMessageError):
                found = await self._find(request, read)
                finding = _finding(request, found)
        unsaid = mapping.is_accepted_first(request) and claims.settling_seconds + claims.relay_seconds == 0
        if unsaid and finding is ObservationFinding.ABSENT:
            finding = ObservationFinding.INDETERMINATE
        return Observation(
            finding=finding,
            basis=claims.observation,
            version=found.version if found else None,
            identifier=found.filler if found else None,
        )

    async def _target(self, request: Request, read: httpx.AsyncClient) -> tuple[TargetState, Entry | None]:
        """The state of target appointment and slot, and the appointment that a change starts from."""
        found: Entry | None = None
        if request.operation is not Operation.BOOK:
            found = await self._find(request, read)
            if found is None or found.is_over:
                return TargetState.ABSENT, None
            moved = request.operation is Operation.RESCHEDULE  # to other people or another place, perhaps
            same = found.is_of_patient(request) and (moved or found.is_as_approved(request))
            if not request.is_approved_version(found.version) or not same or not found.filler:
                return TargetState.CHANGED, None
        if request.operation is not Operation.CANCEL:
            shown = await self._ask(request, mapping.slot_query, read)
            besides = found.placer if found else None
            if any(each.overlaps(request) and not each.is_over and each.placer != besides for each in shown):
                return TargetState.TAKEN, None
        return TargetState.OPEN, found

    async def _settled(self, receipt: Receipt, authorized: Authorized, read: httpx.AsyncClient) -> Receipt:
        """What a refusal of `replies.AMBIGUOUS` means, by one look. Where none can tell (no queries, one that lags, a
        lock that our first delivery may still hold), it counts, unless an engine is known to deliver twice."""
        request, approved = authorized.request, authorized.prepared
        twice = declared(request, "redelivers")
        if receipt.code is Code.EXTERNAL_THROTTLED or not declared(request, "query"):
            return Receipt.unknown() if twice else receipt
        stands = _stands(request, approved, await self._find(request, read))
        lags = twice and bool(request.settings.get("settling-seconds"))
        unclear = lags and stands is Stands.UNCHANGED
        return judge(replies.AFTER_LOOK, Stands.UNCLEAR if unclear else stands, receipt.code)

    async def _unseen(self, request: Request, read: httpx.AsyncClient) -> tuple[TargetState, Entry | None]:
        """Any acknowledgement of ours, a rejection included, comes from the application that answers now."""
        tag = self._tag()
        answer = await read.post("NMQ/N01", content=mapping.probe(request, tag, self._clock.now()))
        if _acknowledged(parse(answer.content, mapping.charset(request)), tag) not in ("AA", "AE", "AR"):
            raise MalformedMessageError("no acknowledgement")
        guarded = request.operation is Operation.BOOK and declared(request, "slots-declared")
        return TargetState.OPEN if guarded else TargetState.UNVERIFIABLE, None

    async def _find(self, request: Request, read: httpx.AsyncClient) -> Entry | None:
        """The appointment under our placer id. None where the filler says that it has no data."""
        shown = await self._ask(request, mapping.key_query, read)
        if not shown:
            return None
        (found, *others) = shown
        if others or found.placer != mapping.placer_id(request) or len(found.spans) > 1 or len(found.patients) != 1:
            raise MalformedMessageError("not one appointment of one patient under one key, at one time")
        return found

    async def _ask(self, request: Request, query: mapping.Ask, read: httpx.AsyncClient) -> Sequence[Entry]:
        """What an SQR shows, all of it; nothing where it says that nothing was found. One that shows as many as were
        asked for may be cut. Raises `Refusal` or `MalformedMessageError`."""
        tag = self._tag()
        answer = await read.post("SQM/S25", content=query(request, tag, self._clock.now()))
        reply = parse(answer.content, mapping.charset(request))
        said, errors = _acknowledged(reply, tag), _errors(reply)
        if said != "AA" or errors:
            raise Refusal(replies.asked(said, errors, request.settings))
        qak, shown = reply.one("QAK"), mapping.entries(reply, request)
        whole = qak.text(1) in ("", tag) and not any(reply.all("DSC")) and len(shown) < mapping.MOST
        if reply.one("MSH").text(9) != "SQR" or not whole or (qak.text(2), bool(shown)) not in _FOUND:
            raise MalformedMessageError("no whole answer to the query")
        return shown

    def _tag(self) -> str:
        """Fresh for every query: some fillers answer a control id that they know from memory."""
        return f"Q{self._clock.token()[:19]}".upper()


_FOUND = (("OK", True), ("NF", False))
"""QAK-2 (table 0208), and whether appointments are shown."""


def _acknowledged(reply: Message, control_id: str) -> str:
    """MSA-1 of a reply to that very message; raises `MalformedMessageError`."""
    msa = reply.one("MSA")
    if msa.text(2) != control_id:
        raise MalformedMessageError("a reply to another message")
    return msa.text(1)


def _errors(reply: Message) -> list[tuple[str, str]]:
    """Standard code and partner's code of each error: ERR-3 and ERR-5, before v2.5 every ERR-1.4, before v2.4 MSA-6.
    Warnings are none, nor is what has no severity and says nothing, or that the message was accepted."""
    found: list[tuple[str, str]] = []
    for each in reply.all("ERR"):
        codes = [*_codes(each.texts(3), each.texts(3, 3)), *_codes(each.texts(1, 4), each.texts(1, 4, 3))] or [""]
        told = [(code, own) for code in codes for own in each.texts(5)]
        if each.text(4) not in ("W", "I"):
            found += [error for error in told if each.text(4) or error not in (("", ""), ("0", ""))]
    msa = reply.one("MSA")
    return found or [(code, "") for code in _codes(msa.texts(6), msa.texts(6, 3)) if code != "0"]


def _codes(codes: Iterator[str], systems: Iterator[str]) -> Iterator[str]:
    """Codes of table 0357 as they are; those of other tables keep their table's name, and no row is theirs."""
    for code, system in zip(codes, systems, strict=True):
        if code:
            yield code if system in ("", "HL70357") else f"{code}^{system}"


def _receipt(reply: Message, request: Request) -> Receipt:
    said = _acknowledged(reply, mapping.own_key(request))
    kind, event = (reply.one("MSH").text(9, number) for number in (1, 2))
    shown, errors = mapping.entries(reply, request), _errors(reply)
    if said != "AA" or kind != "SRR" or not shown:
        rejected = replies.rejected(request.operation, said, errors, request.settings)
        return Receipt.unknown() if shown and rejected.claim is Claim.REFUSED else rejected
    if errors:
        return Receipt.unknown()
    if len(shown) != 1 or event != mapping.EVENTS[request.operation]:
        return Receipt.unknown(Code.REPLY_DEVIATES)
    (entry,) = shown
    judged = judge(replies.STATUSES, request.operation, entry.status)
    if judged.claim is not Claim.APPLIED:
        return judged
    if not entry.carries_out(request) or entry.group not in ("", mapping.own_key(request)):
        return Receipt.unknown(Code.REPLY_DEVIATES)
    return Receipt.applied(identifier=entry.filler or None, version=entry.version)


def _stands(request: Request, approved: Entry | None, found: Entry | None) -> Stands:
    """Whose write a look shows. It does not tell where what was to change is gone, or has no key (SCH-4) of another
    write and may yet be ours."""
    booking = request.operation is Operation.BOOK
    if found is None:
        return Stands.UNCHANGED if booking else Stands.UNCLEAR
    if booking or found.group == mapping.own_key(request):
        return Stands.OURS
    if request.is_approved_version(found.version):
        return Stands.UNCHANGED
    keyless = approved is not None and found.group == approved.group and found.carries_out(request)
    return Stands.CHANGED if found.group and not keyless else Stands.UNCLEAR


def _finding(request: Request, found: Entry | None) -> ObservationFinding:
    """A change is known by its own key in SCH-4, and its absence by the approved version."""
    booking = request.operation is Operation.BOOK
    if found is None:
        return ObservationFinding.ABSENT if booking else ObservationFinding.INDETERMINATE
    status = judge(replies.STATUSES, request.operation, found.status)
    done = status.claim is Claim.APPLIED and found.carries_out(request)
    if done and found.group in (mapping.own_key(request), "" if booking else None):
        return ObservationFinding.PRESENT
    if status.code is Code.ACCEPTED_PENDING:
        return ObservationFinding.INDETERMINATE
    if booking:
        return ObservationFinding.DIFFERENT
    if request.is_approved_version(found.version):
        return ObservationFinding.ABSENT
    mine = found.group == mapping.own_key(request)
    return ObservationFinding.DIFFERENT if mine else ObservationFinding.INDETERMINATE
