"""What the adapter claims; and whole attempts against the twin, through the real boundary."""

from __future__ import annotations

from datetime import timedelta

import pluggy
import pytest

from adapters.athenahealth import plugin
from adapters.athenahealth.adapter import AthenahealthAdapter
from adapters.athenahealth.testing import PATIENTS
from gateway import hookspecs
from gateway.contracts.adapter import Basis, Exclusivity, Idempotency
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect
from gateway.contracts.words import ObservationFinding as Finding
from gateway.testing import AdapterHarness, Premises
from tests.unit.adapters.athenahealth.conftest import MORNING, VENDOR, harness, make_request

HOUR = timedelta(hours=1)


@pytest.mark.requirement("CARD-01")
def test_the_plugin_registers_the_adapter_under_its_name() -> None:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    manager.check_pending()
    (registered,) = manager.hook.gateway_adapters()
    assert registered.keys() == {"athenahealth"}
    assert isinstance(registered["athenahealth"], AthenahealthAdapter)


def test_the_descriptor_claims_no_key_and_a_slot_that_is_booked_once(adapter: AthenahealthAdapter) -> None:
    claims = adapter.describe(make_request().connection)
    assert set(claims.operations) == set(Operation)
    assert (claims.idempotency, claims.exclusivity) == (Idempotency.NONE, Exclusivity.ENFORCED)
    assert (claims.observation, claims.safe_posts) == (Basis.MATCHING, ())
    with pytest.raises(ValueError, match="unheard_of"):
        adapter.describe(make_request(unheard_of=True).connection)


@pytest.mark.requirement("CARD-13")
@pytest.mark.parametrize(("commit_seconds", "seconds"), [(20, 100), (119, 1), (120, 0), (300, 0)])
def test_absence_counts_only_after_what_athena_takes_at_the_worst(
    adapter: AthenahealthAdapter, commit_seconds: int, seconds: int
) -> None:
    connection = make_request().connection
    limits = connection.limits.model_copy(update={"commit_seconds": commit_seconds})
    assert adapter.describe(connection.model_copy(update={"limits": limits})).relay_seconds == seconds


# -- through the boundary, against the twin -----------------------------------------------------------------


def budget(attempt: AdapterHarness) -> int:
    """What the adapter declares, and the token that the boundary fetches."""
    connection = attempt.request.connection
    return AthenahealthAdapter().describe(connection).requests_per_attempt + connection.credential.requests


async def carried_out(attempt: AdapterHarness) -> AdapterHarness:
    async with attempt:
        assert await attempt.readiness() is None
        result = await attempt.commit()
        assert (result.effect, result.code, result.mutating_requests) == (Effect.APPLIED, Code.COMMITTED, 1)
        look = await attempt.observe()
        assert (look.finding, look.basis, look.version) == (Finding.PRESENT, Basis.MATCHING, result.version)
        assert attempt.requests <= budget(attempt)
    return attempt


@pytest.mark.requirement("ADAPT-09", "CARD-15")
async def test_book_reschedule_and_cancel_and_the_identifier_that_changes_comes_home(premises: Premises) -> None:
    booking = await carried_out(harness(premises))
    moved = await carried_out(booking.following(Operation.RESCHEDULE, MORNING + HOUR))
    cancelled = await carried_out(moved.following(Operation.CANCEL))
    assert booking.binding and moved.binding and cancelled.binding
    assert booking.binding.identifier != moved.binding.identifier == cancelled.binding.identifier
    assert len({each.binding.version for each in (booking, moved, cancelled) if each.binding}) == 3
    assert premises.observer is not None
    assert not await premises.observer.appointments(MORNING, MORNING + HOUR)
    (left,) = await premises.observer.appointments(MORNING + HOUR, MORNING + 2 * HOUR)
    assert (left.cancelled, left.subject, left.keys) == (True, PATIENTS[0], ())


async def test_a_reschedule_is_the_longest_attempt_and_needs_no_more_than_declared(premises: Premises) -> None:
    booking = await carried_out(harness(premises))
    moved = await carried_out(booking.following(Operation.RESCHEDULE, MORNING + HOUR))
    assert moved.requests == budget(moved)


@pytest.mark.requirement("FAIL-17")
async def test_a_slot_that_somebody_has_and_one_that_the_patient_has_are_taken(premises: Premises) -> None:
    await carried_out(harness(premises))
    for patient in PATIENTS[:2]:
        async with harness(premises, vendor=VENDOR | {"patient": patient}) as attempt:
            assert await attempt.readiness() is Code.SLOT_TAKEN


@pytest.mark.requirement("FAIL-17")
@pytest.mark.parametrize(
    ("patient", "effect", "code"),
    [
        pytest.param(PATIENTS[1], Effect.REFUSED, Code.SLOT_TAKEN, id="another-patient"),
        pytest.param(PATIENTS[0], Effect.UNKNOWN, Code.DUPLICATE_KEY, id="the-same-patient"),
    ],
)
async def test_a_slot_taken_in_between_is_refused_unless_ours_may_be_the_booking(
    premises: Premises, patient: str, effect: Effect, code: Code
) -> None:
    async with harness(premises, vendor=VENDOR | {"patient": patient}) as late:
        assert await late.readiness() is None
        await carried_out(harness(premises))
        result = await late.commit()
    assert (result.effect, result.code, result.mutating_requests) == (effect, code, 1)


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL], ids=str)
async def test_what_was_moved_in_between_is_refused_and_then_blocked(premises: Premises, operation: Operation) -> None:
    booking = await carried_out(harness(premises))
    start = MORNING + (HOUR if operation is Operation.RESCHEDULE else timedelta())
    async with booking.following(operation, start) as late:
        assert await late.readiness() is None
        await carried_out(booking.following(Operation.RESCHEDULE, MORNING + 2 * HOUR))
        result = await late.commit()
        assert (result.effect, result.code) == (Effect.REFUSED, Code.TARGET_CHANGED)
        assert (await late.observe()).finding is not Finding.PRESENT
        assert late.requests <= budget(late)
    async with booking.following(operation, start) as again:
        assert await again.readiness() is Code.TARGET_CHANGED


@pytest.mark.requirement("CARD-06", "FAIL-17")
@pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL], ids=str)
async def test_a_change_that_something_delivered_twice_is_unknown_and_a_look_finds_it(
    premises: Premises, operation: Operation
) -> None:
    booking = await carried_out(harness(premises))
    start = MORNING + (HOUR if operation is Operation.RESCHEDULE else timedelta())
    async with booking.following(operation, start) as late:
        assert await late.readiness() is None
        await carried_out(booking.following(operation, start))
        result = await late.commit()
        assert (result.effect, result.code, result.mutating_requests) == (Effect.UNKNOWN, Code.DUPLICATE_KEY, 1)
        assert (await late.observe()).finding is Finding.PRESENT
        assert late.requests <= budget(late)


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL], ids=str)
@pytest.mark.parametrize(
    ("bound", "code"),
    [(None, Code.PARTICULARS_MISSING), ("404", Code.TARGET_NOT_FOUND), ("../open", Code.TARGET_NOT_FOUND)],
)
async def test_a_target_is_found_by_its_bound_identifier_and_in_no_other_way(
    premises: Premises, operation: Operation, bound: str | None, code: Code
) -> None:
    async with harness(premises, operation, target=(bound, "any")) as attempt:
        assert await attempt.readiness() is code


@pytest.mark.requirement("GATE-25", "GATE-26")
async def test_credentials_and_the_right_to_schedule_are_proven_or_refuted(premises: Premises) -> None:
    async with harness(premises) as attempt:
        attempt.use_secret("nobody:nothing")
        assert await attempt.readiness() is Code.CREDENTIALS_REJECTED
    for scope in ("athena/service/Athenanet.MDP.Appointment.*", None):
        async with harness(premises, scope=scope) as attempt:
            assert await attempt.readiness() is Code.CREDENTIALS_REJECTED
    async with harness(premises, known_as="limited") as attempt:
        assert await attempt.readiness() is Code.EXTERNAL_FORBIDDEN
    async with harness(premises, access_declared=False) as attempt:
        assert await attempt.readiness() is Code.READINESS_UNVERIFIABLE


@pytest.mark.requirement("FAIL-15")
async def test_rights_that_end_in_between_are_refusals(premises: Premises) -> None:
    for secret, code in (
        ("nobody:nothing", Code.CREDENTIALS_REJECTED),
        (premises.secrets["limited"], Code.EXTERNAL_FORBIDDEN),
    ):
        async with harness(premises) as attempt:
            assert await attempt.readiness() is None
            attempt.use_secret(secret)
            result = await attempt.commit()
            assert (result.effect, result.code) == (Effect.REFUSED, code)


@pytest.mark.parametrize("missing", sorted(VENDOR))
async def test_a_missing_identifier_stops_before_the_adapter_asks_anything(premises: Premises, missing: str) -> None:
    known = {name: identifier for name, identifier in VENDOR.items() if name != missing}
    async with harness(premises, vendor=known) as attempt:
        assert await attempt.readiness() is Code.PARTICULARS_MISSING
        assert attempt.requests == attempt.request.connection.credential.requests
