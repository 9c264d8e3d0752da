"""The adapter against the real server, through a plain client; effects counted by an observer of its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pluggy
import pytest

from adapters.sandbox import plugin
from adapters.sandbox.adapter import SandboxAdapter
from gateway import hookspecs
from gateway.contracts.adapter import (
    Authorized,
    Basis,
    Claim,
    Exclusivity,
    Idempotency,
    IdentifierMissingError,
    Observation,
    Proof,
    Query,
    Readiness,
    Receipt,
    Request,
    TargetState,
)
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding

if TYPE_CHECKING:
    from tests.unit.adapters.sandbox.conftest import Practice

HOUR = timedelta(hours=1)


@pytest.fixture
def adapter() -> SandboxAdapter:
    return SandboxAdapter()


class Office:
    """One adapter at one server, and the observer beside it."""

    def __init__(self, adapter: SandboxAdapter, api: httpx.AsyncClient, control: httpx.AsyncClient) -> None:
        self.adapter, self.api, self.control = adapter, api, control

    async def readiness(self, request: Request) -> Readiness:
        return await self.adapter.readiness(request, self.api)

    async def commit(self, request: Request, prepared: Any = None) -> Receipt:
        return await self.adapter.commit(Authorized(request=request, prepared=prepared), self.api)

    async def carry_out(self, request: Request) -> Receipt:
        """Readiness, then commit with what it prepared."""
        readiness = await self.readiness(request)
        assert readiness.target is TargetState.OPEN
        return await self.commit(request, readiness.prepared)

    async def observe(self, request: Request) -> Observation:
        return await self.adapter.observe(Query(request=request), self.api)

    async def arm(self, fault: str, action: str, **more: Any) -> None:
        assert (await self.control.post("/faults", json={"fault": fault, "action": action} | more)).status_code == 201

    async def journal(self) -> Any:
        return (await self.control.get("/journal")).json()

    async def counts(self) -> tuple[int, int]:
        """(mutating requests received, writes in effect)"""
        journal = await self.journal()
        return len(journal["requests"]), journal["effects"]


@pytest.fixture
def office(adapter: SandboxAdapter, api: httpx.AsyncClient, control: httpx.AsyncClient) -> Office:
    return Office(adapter, api, control)


@pytest.fixture
async def booked(office: Office, practice: Practice) -> Request:
    """A booking that was carried out."""
    request = practice.request()
    assert (await office.carry_out(request)).claim is Claim.APPLIED
    return request


def follow_up(practice: Practice, operation: Operation, booked: Request, version: str = "1", **more: Any) -> Request:
    start = booked.particulars.start + (HOUR if operation is Operation.RESCHEDULE else timedelta(0))
    fields: dict[str, Any] = {"start": start, "target": (booked.key, version)}
    return practice.request(operation, **(fields | more))


@pytest.mark.requirement("CARD-01")
def test_the_plugin_registers_the_adapter_under_its_name() -> None:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    manager.check_pending()
    (registered,) = manager.hook.gateway_adapters()
    assert registered.keys() == {"sandbox"}
    assert isinstance(registered["sandbox"], SandboxAdapter)


def test_the_descriptor_claims_what_the_server_keeps(adapter: SandboxAdapter, practice: Practice) -> None:
    claims = adapter.describe(practice.request().connection)
    assert set(claims.operations) == set(Operation)
    assert (claims.idempotency, claims.exclusivity) == (Idempotency.UNIQUE, Exclusivity.ENFORCED)
    assert (claims.observation, claims.settling_seconds) == (Basis.BY_KEY, 0)


@pytest.mark.requirement("ADAPT-09")
async def test_book_reschedule_and_cancel_each_take_one_mutating_request(
    office: Office, practice: Practice, booked: Request
) -> None:
    assert await office.counts() == (1, 1)
    moved = follow_up(practice, Operation.RESCHEDULE, booked)
    receipt = await office.carry_out(moved)
    assert (receipt.claim, receipt.version, await office.counts()) == (Claim.APPLIED, "2", (2, 2))
    gone = follow_up(practice, Operation.CANCEL, booked, "2", start=moved.particulars.start, reason="patient-request")
    receipt = await office.carry_out(gone)
    assert (receipt.claim, receipt.version, await office.counts()) == (Claim.APPLIED, "3", (3, 3))
    (held,) = (await office.journal())["appointments"]
    assert held == {
        "id": receipt.identifier,
        "version": "3",
        "status": "cancelled",
        "keys": [booked.native_key(), moved.native_key(), gone.native_key()],
        "patient": "patient-1",
        "participants": ["practitioner-1", "device-1"],
        "location": "location-1",
        "service": "service-1",
        "reason": "patient-request",
        "start": "2031-05-06T10:00:00Z",
        "end": "2031-05-06T10:30:00Z",
    }


async def test_readiness_proves_everything_and_writes_nothing(office: Office, practice: Practice) -> None:
    assert await office.readiness(practice.request()) == Readiness.proven()
    assert await office.counts() == (0, 0)


async def test_one_attempt_needs_no_more_requests_than_declared(
    office: Office, practice: Practice, booked: Request
) -> None:
    sent: list[httpx.Request] = []

    async def count(request: httpx.Request) -> None:
        sent.append(request)

    office.api.event_hooks = {"request": [count]}
    moved = follow_up(practice, Operation.RESCHEDULE, booked)
    await office.carry_out(moved)
    await office.observe(moved)
    assert len(sent) == office.adapter.describe(moved.connection).requests_per_attempt


@pytest.mark.parametrize("operation", Operation, ids=str)
async def test_a_missing_identifier_stops_before_any_request(
    adapter: SandboxAdapter, practice: Practice, booked: Request, operation: Operation
) -> None:
    whole = booked if operation is Operation.BOOK else follow_up(practice, operation, booked)
    async with httpx.AsyncClient(base_url="http://127.0.0.1:9", trust_env=False) as nowhere:
        for missing in practice.identifiers:
            known = {name: value for name, value in practice.identifiers.items() if name != missing}
            request = replace(whole, identifiers=known)
            for asked in (
                adapter.readiness(request, nowhere),
                adapter.commit(Authorized(request=request), nowhere),
                adapter.observe(Query(request=request), nowhere),
            ):
                with pytest.raises(KeyError):
                    await asked


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize("identifier", ["", ".", ".."])
@pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL], ids=str)
async def test_a_target_bound_to_what_would_address_something_else_is_bound_to_nothing(
    office: Office, practice: Practice, booked: Request, operation: Operation, identifier: str
) -> None:
    with pytest.raises(IdentifierMissingError):
        await office.readiness(follow_up(practice, operation, booked, bound=identifier))


@pytest.mark.requirement("GATE-24")
async def test_a_system_that_is_down_is_not_available(office: Office, practice: Practice) -> None:
    await office.arm("error-before", "health", status=503)
    assert (await office.readiness(practice.request())).available is Proof.REFUTED


@pytest.mark.requirement("GATE-25")
async def test_wrong_credentials_are_refuted(office: Office, practice: Practice) -> None:
    office.api.headers["Authorization"] = "Bearer wrong"
    readiness = await office.readiness(practice.request())
    assert (readiness.available, readiness.credentials) == (Proof.PROVEN, Proof.REFUTED)


@pytest.mark.requirement("GATE-26")
async def test_credentials_that_may_only_read_are_not_authorised(office: Office, practice: Practice) -> None:
    office.api.headers["Authorization"] = "Bearer may-only-read"
    readiness = await office.readiness(practice.request())
    assert (readiness.credentials, readiness.authorised) == (Proof.PROVEN, Proof.REFUTED)


@pytest.mark.requirement("GATE-27")
@pytest.mark.parametrize("action", ["health", "capabilities", "slots", "find"])
@pytest.mark.parametrize("fault", ["garbage", "redirect"])
async def test_a_reply_that_proves_nothing_leaves_readiness_unverifiable(
    office: Office, practice: Practice, booked: Request, action: str, fault: str
) -> None:
    await office.arm(fault, action)
    readiness = await office.readiness(follow_up(practice, Operation.RESCHEDULE, booked))
    assert readiness.available is Proof.UNVERIFIABLE
    assert readiness.target is TargetState.UNVERIFIABLE


@pytest.mark.parametrize("action", ["health", "capabilities", "slots"])
async def test_a_broken_connection_is_left_to_the_boundary(office: Office, practice: Practice, action: str) -> None:
    await office.arm("drop-before", action)
    with pytest.raises(httpx.TransportError):
        await office.readiness(practice.request())


async def test_a_taken_slot_is_seen_and_refused(office: Office, practice: Practice, booked: Request) -> None:
    second = practice.request(proposal="1", start=booked.particulars.start + timedelta(minutes=15))
    assert (await office.readiness(second)).target is TargetState.TAKEN
    assert await office.commit(second) == Receipt.refused(Code.SLOT_TAKEN)
    assert await office.counts() == (2, 1)


async def test_a_move_is_not_hindered_by_the_appointment_itself(
    office: Office, practice: Practice, booked: Request
) -> None:
    start = booked.particulars.start + timedelta(minutes=10)
    moved = follow_up(practice, Operation.RESCHEDULE, booked, start=start)
    assert (await office.carry_out(moved)).claim is Claim.APPLIED


@pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL], ids=str)
async def test_a_target_is_found_by_its_bound_identifier_too(
    office: Office, practice: Practice, booked: Request, operation: Operation
) -> None:
    (held,) = (await office.journal())["appointments"]
    request = follow_up(practice, operation, booked, bound=held["id"])
    assert (await office.carry_out(request)).identifier == held["id"]
    nowhere = follow_up(practice, operation, booked, bound="../health")
    assert (await office.readiness(nowhere)).target is TargetState.ABSENT


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL], ids=str)
async def test_a_binding_to_another_appointment_of_the_patient_is_no_target(
    office: Office, practice: Practice, booked: Request, operation: Operation
) -> None:
    other = practice.request(proposal="1", start=booked.particulars.start + 3 * HOUR)
    stale = await office.carry_out(other)
    assert stale.version == "1"  # versions are small counters: the approved one is the other's as well
    request = follow_up(practice, operation, booked, bound=stale.identifier, start=other.particulars.start)
    assert (await office.readiness(request)).target is TargetState.ABSENT


async def test_a_reply_about_another_appointment_than_was_asked_for_proves_nothing(
    adapter: SandboxAdapter, office: Office, practice: Practice, booked: Request
) -> None:
    (held,) = (await office.journal())["appointments"]

    def answer(request: httpx.Request) -> httpx.Response:
        answers = {"/health": {"status": "ok"}, "/capabilities": {"permissions": ["write"]}}
        return httpx.Response(200, json=answers.get(request.url.path, held))

    request = follow_up(practice, Operation.CANCEL, booked, bound="another")
    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(base_url="http://127.0.0.1:9", transport=transport) as confused:
        assert (await adapter.readiness(request, confused)).target is TargetState.UNVERIFIABLE


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL], ids=str)
async def test_a_change_without_the_approved_version_is_not_sent(
    office: Office, practice: Practice, booked: Request, operation: Operation
) -> None:
    prepared = (await office.readiness(follow_up(practice, operation, booked))).prepared
    for request, target in ((follow_up(practice, operation, booked, "2"), prepared), (booked, None)):
        with pytest.raises(ValueError, match="approved version"):
            await office.commit(replace(request, operation=operation), target)
    assert await office.counts() == (1, 1)


@pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL], ids=str)
async def test_a_target_at_another_version_or_gone_is_not_touched(
    office: Office, practice: Practice, booked: Request, operation: Operation
) -> None:
    prepared = (await office.readiness(follow_up(practice, operation, booked))).prepared
    assert (await office.readiness(follow_up(practice, operation, booked, "2"))).target is TargetState.CHANGED
    stranger = practice.request(operation, target=(practice.request(proposal="9").key, "1"))
    assert (await office.readiness(stranger)).target is TargetState.ABSENT
    meanwhile = follow_up(practice, Operation.CANCEL, booked, reason="meanwhile", proposal="8")
    assert (await office.carry_out(meanwhile)).claim is Claim.APPLIED
    late = follow_up(practice, operation, booked)
    assert (await office.readiness(late)).target is TargetState.CHANGED
    assert await office.commit(late, prepared) == Receipt.refused(Code.TARGET_CHANGED)
    assert await office.counts() == (3, 2)


async def test_a_target_that_is_not_what_the_reviewer_saw_is_not_touched(
    office: Office, practice: Practice, booked: Request
) -> None:
    other_patient = dict(practice.identifiers) | {practice.patient: "patient-2"}
    for operation in (Operation.RESCHEDULE, Operation.CANCEL):
        request = replace(follow_up(practice, operation, booked), identifiers=other_patient)
        assert (await office.readiness(request)).target is TargetState.CHANGED
    elsewhen = follow_up(practice, Operation.CANCEL, booked, start=booked.particulars.start + HOUR)
    assert (await office.readiness(elsewhen)).target is TargetState.CHANGED


@pytest.mark.requirement("ADAPT-05", "CARD-06")
async def test_the_same_approved_action_made_anew_changes_nothing_at_the_vendor(
    office: Office, practice: Practice, booked: Request
) -> None:
    moved = {"start": booked.particulars.start + HOUR}

    async def twice(operation: Operation, version: str) -> tuple[Receipt, Receipt]:
        first, second = (follow_up(practice, operation, booked, version, **moved) for _ in range(2))
        prepared = (await office.readiness(first)).prepared
        return await office.commit(first, prepared), await office.commit(second, prepared)

    again = await office.commit(practice.request())
    assert (again.claim, again.version, await office.counts()) == (Claim.APPLIED, "1", (2, 1))
    for operation, version, count in ((Operation.RESCHEDULE, "1", (4, 2)), (Operation.CANCEL, "2", (6, 3))):
        first, second = await twice(operation, version)
        assert (first.claim, second) == (Claim.APPLIED, first)
        assert await office.counts() == count
    assert len((await office.journal())["appointments"]) == 1


@pytest.mark.requirement("ADAPT-05")
async def test_each_commit_carries_its_own_native_key(office: Office, practice: Practice, booked: Request) -> None:
    moved = follow_up(practice, Operation.RESCHEDULE, booked)
    await office.carry_out(moved)
    received = [each["key"] for each in (await office.journal())["requests"]]
    assert received == [booked.native_key(), moved.native_key()]
    assert len(set(received)) == 2


async def test_a_key_that_wrote_something_else_leaves_the_effect_unknown(
    office: Office, practice: Practice, booked: Request
) -> None:
    later = practice.request(start=booked.particulars.start + HOUR)
    assert replace(later, key=booked.key).native_key() == booked.native_key()
    assert await office.commit(replace(later, key=booked.key)) == Receipt.unknown(Code.DUPLICATE_KEY)


async def test_a_repeat_after_someone_cancelled_is_not_called_a_success(
    office: Office, practice: Practice, booked: Request
) -> None:
    await office.carry_out(follow_up(practice, Operation.CANCEL, booked))
    assert await office.commit(booked) == Receipt.unknown(Code.REPLY_DEVIATES)


@pytest.mark.parametrize(
    ("fault", "more", "receipt", "effects", "finding"),
    [
        ("error-before", {"status": 503}, Receipt.unknown(Code.EXTERNAL_ERROR), 0, "ABSENT"),
        ("error-after", {"status": 503}, Receipt.unknown(Code.EXTERNAL_ERROR), 1, "PRESENT"),
        ("error-after", {"status": 500}, Receipt.unknown(Code.EXTERNAL_ERROR), 1, "PRESENT"),
        ("error-after", {"status": 502}, Receipt.unknown(Code.EXTERNAL_ERROR), 1, "PRESENT"),
        ("garbage", {}, Receipt.unknown(), 1, "PRESENT"),
        ("deviates", {}, Receipt.unknown(Code.REPLY_DEVIATES), 1, "PRESENT"),
        ("redirect", {}, Receipt.unknown(), 0, "ABSENT"),
        ("unauthorised", {}, Receipt.refused(Code.CREDENTIALS_REJECTED), 0, "ABSENT"),
        ("forbidden", {}, Receipt.refused(Code.EXTERNAL_FORBIDDEN), 0, "ABSENT"),
        ("throttled", {}, Receipt.refused(Code.EXTERNAL_THROTTLED), 0, "ABSENT"),
    ],
)
async def test_a_faulty_reply_is_never_a_success_and_a_look_finds_the_truth(
    office: Office,
    practice: Practice,
    fault: str,
    more: dict[str, int],
    receipt: Receipt,
    effects: int,
    finding: str,
) -> None:
    await office.arm(fault, "book", **more)
    request = practice.request()
    assert await office.carry_out(request) == receipt
    assert await office.counts() == (1, effects)
    assert (await office.observe(request)).finding is ObservationFinding(finding)


@pytest.mark.parametrize("operation", Operation, ids=str)
@pytest.mark.parametrize("fault", ["drop-before", "drop-after", "cut-reply"])
async def test_a_lost_reply_sends_nothing_more_and_a_look_finds_the_truth(
    office: Office, practice: Practice, operation: Operation, fault: str
) -> None:
    request, already = practice.request(), 0
    if operation is not Operation.BOOK:
        assert (await office.carry_out(request)).claim is Claim.APPLIED
        request, already = follow_up(practice, operation, request), 1
    action = {Operation.BOOK: "book", Operation.RESCHEDULE: "reschedule", Operation.CANCEL: "cancel"}[operation]
    await office.arm(fault, action)
    with pytest.raises(httpx.TransportError):
        await office.carry_out(request)
    made = fault != "drop-before"
    assert await office.counts() == (already + 1, already + made)
    seen = (await office.observe(request)).finding
    assert seen is (ObservationFinding.PRESENT if made else ObservationFinding.ABSENT)


@pytest.mark.parametrize("fault", ["stale", "oversized", "duplicate"])
async def test_a_true_reply_in_odd_wrapping_is_read_as_what_it_says(
    office: Office, practice: Practice, fault: str
) -> None:
    # That it came from a cache, or is too long, is the boundary's to see (REPLY_CACHED, reply_bytes).
    await office.arm(fault, "book")
    assert (await office.carry_out(practice.request())).claim is Claim.APPLIED
    assert await office.counts() == (1, 1)


async def test_a_look_reports_the_record_that_it_found(office: Office, practice: Practice, booked: Request) -> None:
    (held,) = (await office.journal())["appointments"]
    assert await office.observe(booked) == Observation(
        finding=ObservationFinding.PRESENT, basis=Basis.BY_KEY, version="1", identifier=held["id"]
    )
    assert (await office.observe(practice.request(proposal="7"))).finding is ObservationFinding.ABSENT
    await office.carry_out(follow_up(practice, Operation.RESCHEDULE, booked))
    assert (await office.observe(booked)).finding is ObservationFinding.DIFFERENT


@pytest.mark.parametrize("fault", ["error-before", "garbage", "unauthorised", "forbidden", "throttled", "redirect"])
async def test_a_look_that_is_refused_proves_nothing(
    office: Office, practice: Practice, booked: Request, fault: str
) -> None:
    await office.arm(fault, "find")
    assert (await office.observe(booked)).finding is ObservationFinding.INDETERMINATE


@pytest.mark.requirement("ADAPT-02")
async def test_vendor_words_stay_out_of_every_printable_answer(
    office: Office, practice: Practice, booked: Request
) -> None:
    moved = follow_up(practice, Operation.RESCHEDULE, booked)
    readiness = await office.readiness(moved)
    receipt = await office.commit(moved, readiness.prepared)
    seen = await office.observe(moved)
    (held,) = (await office.journal())["appointments"]
    vendor_words = {held["id"], *practice.identifiers.values()}
    for answer in (readiness, readiness.prepared, receipt, seen):
        assert not [word for word in vendor_words if word in repr(answer) or word in str(answer)]
