"""Each wrapper does what its flaw says, through the real boundary, to an adapter that is honest."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest

from adapters.sandbox.adapter import SandboxAdapter
from adapters.sandbox.faults import Action, Fault
from conformance.mutants import answers, claims, conduct, keys, looks, readiness
from conformance.mutants.catalogue import WRAPPERS
from conformance.mutants.wrapper import Wrapper
from gateway.contracts.adapter import (
    Adapter,
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
    version_digest,
)
from gateway.contracts.connection import Connection
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.proposal import Operation, Target
from gateway.contracts.references import AppointmentId
from gateway.contracts.words import Effect, ObservationFinding
from gateway.testing import make_connection

HONEST = SandboxAdapter()
NEVER_WAS = Target(appointment=AppointmentId.random(), version=version_digest("never"))


class Noting(Wrapper):
    """What the adapter itself answered or raised, before the boundary judged it."""

    def __init__(self, adapter: Adapter) -> None:
        super().__init__(adapter)
        self.receipt: Receipt | None = None
        self.raised: BaseException | None = None

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        try:
            self.receipt = await super().commit(authorized, write)
        except BaseException as error:
            self.raised = error
            raise
        return self.receipt


class Claiming(SandboxAdapter):
    """The honest adapter with other claims."""

    def __init__(self, **claimed: Any) -> None:
        self._claimed = claimed

    def describe(self, connection: Connection) -> Descriptor:
        return super().describe(connection).model_copy(update=self._claimed)


CONNECTION = make_connection("http://127.0.0.1:1/", adapter="sandbox")


# -- all of them -----------------------------------------------------------------------------------------


def test_there_are_many_kinds_of_wrappers_each_with_a_name_and_a_flaw_of_its_own() -> None:
    assert len(WRAPPERS) >= 30
    assert len({each.name for each in WRAPPERS}) == len({each.flaw for each in WRAPPERS}) == len(WRAPPERS)
    assert Wrapper not in WRAPPERS


@pytest.mark.parametrize("wrapper", WRAPPERS, ids=lambda each: each.name)
def test_a_wrapper_survives_the_way_into_another_process(wrapper: type[Wrapper]) -> None:
    assert type(pickle.loads(pickle.dumps(wrapper(HONEST)))) is wrapper  # noqa: S301 — made here


async def test_the_plain_wrapper_changes_nothing(yard: Any) -> None:
    booking = await yard.book(Wrapper(HONEST))
    assert (await booking.observe()).finding is ObservationFinding.PRESENT
    assert (await yard.change(booking, Wrapper(HONEST), Operation.RESCHEDULE, hours=1)).effect is Effect.APPLIED
    assert yard.writes == 2
    assert Wrapper(HONEST).describe(CONNECTION) == HONEST.describe(CONNECTION)


# -- keys and versions -----------------------------------------------------------------------------------


async def test_a_dropped_key_is_neither_found_nor_held_to_one_effect(yard: Any) -> None:
    mutant = keys.KeyDropped(HONEST)
    booking = await yard.book(mutant)
    assert (await booking.observe()).finding is ObservationFinding.ABSENT
    assert booking.request.native_key() not in yard.booked[0].keys


async def test_a_key_made_new_is_found_once_and_books_again_if_sent_again(yard: Any) -> None:
    mutant = keys.KeyMadeNew(HONEST)
    booking = await yard.book(mutant)
    made = yard.booked[0].keys
    assert booking.request.native_key() not in made
    assert (await booking.observe()).finding is not ObservationFinding.ABSENT
    other = await yard.book(mutant, hours=1)
    assert other.request.native_key() not in yard.booked[1].keys and yard.booked[1].keys != made


async def test_a_shared_key_makes_two_actions_one(yard: Any) -> None:
    mutant = keys.KeyShared(HONEST)
    await yard.book(mutant)
    result = await yard.commit(mutant, hours=1)
    assert (result.effect, result.code) == (Effect.UNKNOWN, Code.DUPLICATE_KEY)
    assert len(yard.booked) == 1


async def test_looking_elsewhere_finds_nothing(yard: Any) -> None:
    booking = await yard.book(keys.LookedUpElsewhere(HONEST))
    assert (await booking.observe()).finding is ObservationFinding.ABSENT


async def test_an_ignored_version_lets_a_change_through_that_was_approved_for_another(yard: Any) -> None:
    booking = await yard.book(HONEST)
    await yard.change(booking, HONEST, Operation.RESCHEDULE, hours=1)
    for mutant, code in ((HONEST, Code.TARGET_CHANGED), (keys.VersionIgnored(HONEST), None)):
        async with yard.following(booking, mutant, Operation.RESCHEDULE, hours=2) as late:
            assert await late.readiness() is code
    assert (await yard.change(booking, keys.VersionIgnored(HONEST), Operation.RESCHEDULE, hours=2)).effect is (
        Effect.APPLIED
    )


async def test_a_denied_version_blocks_what_was_approved(yard: Any) -> None:
    booking = await yard.book(HONEST)
    async with yard.following(booking, keys.VersionDenied(HONEST), Operation.CANCEL) as change:
        assert await change.readiness() is Code.TARGET_CHANGED


# -- readiness -------------------------------------------------------------------------------------------


async def test_never_ready_blocks_what_is_ready(yard: Any) -> None:
    async with yard.attempt(readiness.NeverReady(HONEST)) as harness:
        assert await harness.readiness() is Code.READINESS_UNVERIFIABLE


@pytest.mark.parametrize("mutant", [readiness.AlwaysReady(HONEST), readiness.CredentialsAssumed(HONEST)])
async def test_a_wrong_credential_is_called_ready(yard: Any, mutant: Adapter) -> None:
    async with yard.attempt(mutant, secret="wrong") as harness:
        assert await harness.readiness() is None


async def test_unanswered_readiness_is_called_ready(yard: Any) -> None:
    yard.arm(Fault.DROP_BEFORE, Action.SLOTS)
    async with yard.attempt(readiness.ReadyUnanswered(HONEST)) as harness:
        assert await harness.readiness() is None


async def test_remembered_readiness_does_not_see_that_the_slot_was_taken_since(yard: Any) -> None:
    mutant = readiness.ReadinessRemembered(HONEST)
    await yard.book(mutant)
    async with yard.attempt(mutant, patient="patient-2") as late, yard.attempt(HONEST, patient="patient-2") as honest:
        assert await honest.readiness() is Code.SLOT_TAKEN
        assert await late.readiness() is None


async def test_an_ignored_slot_is_open_and_an_ignored_one_alone(yard: Any) -> None:
    await yard.book(HONEST)
    mutant = readiness.SlotIgnored(HONEST)
    async with yard.attempt(mutant) as harness, yard.attempt(mutant, secret="wrong") as other:
        assert await harness.readiness() is None
        assert await other.readiness() is Code.CREDENTIALS_REJECTED


async def test_collapsed_readiness_has_one_reason_for_everything(yard: Any) -> None:
    mutant = readiness.ReadinessCollapsed(HONEST)
    async with yard.attempt(mutant, secret="wrong") as harness, yard.attempt(mutant) as well:
        assert await harness.readiness() is Code.EXTERNAL_UNAVAILABLE
        assert await well.readiness() is None


# -- looks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mutant", "finding"),
    [
        (looks.AlwaysPresent, ObservationFinding.PRESENT),
        (looks.AlwaysAbsent, ObservationFinding.ABSENT),
        (looks.AlwaysDifferent, ObservationFinding.DIFFERENT),
        (looks.NeverFinds, ObservationFinding.INDETERMINATE),
    ],
)
async def test_a_look_says_one_thing_whatever_there_is(
    yard: Any, mutant: type[Wrapper], finding: ObservationFinding
) -> None:
    booking = await yard.book(mutant(HONEST))
    assert (await booking.observe()).finding is finding
    async with yard.attempt(mutant(HONEST), hours=1) as harness:
        assert (await harness.observe()).finding is finding


async def test_an_unclear_look_is_called_absent(yard: Any) -> None:
    booking = await yard.book(looks.UnclearIsAbsent(HONEST))
    assert (await booking.observe()).finding is ObservationFinding.PRESENT
    yard.arm(Fault.ERROR_BEFORE, Action.FIND)
    assert (await booking.observe()).finding is ObservationFinding.ABSENT


async def test_a_remembered_look_does_not_see_what_happened_since(yard: Any) -> None:
    mutant = looks.LookRemembered(HONEST)
    booking = await yard.book(mutant)
    assert (await booking.observe()).finding is ObservationFinding.PRESENT
    await yard.change(booking, HONEST, Operation.CANCEL)
    assert (await booking.observe()).finding is ObservationFinding.PRESENT


async def test_an_understated_basis_is_seen_in_the_look(yard: Any) -> None:
    booking = await yard.book(looks.BasisUnderstated(HONEST))
    assert (await booking.observe()).basis is Basis.MATCHING


# -- answers ---------------------------------------------------------------------------------------------


async def _raw(yard: Any, mutant: Wrapper, fault: Fault | None, **details: Any) -> tuple[Noting, Effect, Code]:
    """The adapter's own receipt for a booking under a fault, and what the boundary made of it."""
    noting = Noting(mutant)
    if fault is not None:
        yard.arm(fault, Action.BOOK, **details)
    result = await yard.commit(noting)
    return noting, result.effect, result.code


@pytest.mark.parametrize("fault", [Fault.FORBIDDEN, Fault.THROTTLED])
async def test_a_swallowed_refusal_is_claimed_as_success(yard: Any, fault: Fault) -> None:
    noting, *_ = await _raw(yard, answers.RefusalSwallowed(HONEST), fault)
    assert noting.receipt is not None and noting.receipt.claim is Claim.APPLIED


@pytest.mark.parametrize("fault", [Fault.DROP_BEFORE, Fault.DROP_AFTER, Fault.CUT_REPLY])
async def test_silence_is_claimed_as_a_refusal(yard: Any, fault: Fault) -> None:
    noting, effect, _ = await _raw(yard, answers.SilenceRefused(HONEST), fault)
    assert noting.receipt is not None and noting.receipt.claim is Claim.REFUSED
    assert effect is Effect.UNKNOWN  # the boundary's word


async def test_what_is_not_understood_is_claimed_as_a_refusal(yard: Any) -> None:
    noting, effect, _ = await _raw(yard, answers.UnknownRefused(HONEST), Fault.GARBAGE)
    assert noting.receipt is not None and noting.receipt.claim is Claim.REFUSED
    assert effect is Effect.REFUSED and len(yard.booked) == 1


@pytest.mark.parametrize("fault", [Fault.DROP_AFTER, Fault.FORBIDDEN, Fault.GARBAGE])
async def test_anything_is_claimed_as_success(yard: Any, fault: Fault) -> None:
    noting, *_ = await _raw(yard, answers.AnythingApplied(HONEST), fault)
    assert noting.receipt is not None and noting.receipt.claim is Claim.APPLIED


async def test_collapsed_codes_are_one_and_the_same(yard: Any) -> None:
    codes = {
        (await _raw(yard, answers.CodesCollapsed(HONEST), fault))[2] for fault in (Fault.FORBIDDEN, Fault.THROTTLED)
    }
    assert codes == {Code.EXTERNAL_INVALID}


async def test_an_unclear_refusal_ends_unknown(yard: Any) -> None:
    assert (await _raw(yard, answers.RefusalUnclear(HONEST), Fault.FORBIDDEN))[1] is Effect.UNKNOWN


async def test_an_unclear_success_ends_unknown(yard: Any) -> None:
    assert (await _raw(yard, answers.SuccessUnclear(HONEST), None))[1] is Effect.UNKNOWN


async def test_a_lost_version_does_not_come_home(yard: Any) -> None:
    booking = await yard.book(answers.VersionLost(HONEST))
    assert booking.binding is not None and booking.binding.version is None


async def test_a_made_up_version_cannot_be_built_upon(yard: Any) -> None:
    booking = await yard.book(answers.VersionMadeUp(HONEST))
    async with yard.following(booking, HONEST, Operation.CANCEL) as change:
        assert await change.readiness() is Code.TARGET_CHANGED


# -- conduct ---------------------------------------------------------------------------------------------


def _tried(events: Sequence[httpx.Request]) -> int:
    return sum(request.method not in ("GET", "HEAD") for request in events)


class Counting(Wrapper):
    """Every request that the adapter asked for, admitted or not."""

    def __init__(self, adapter: Adapter) -> None:
        super().__init__(adapter)
        self.asked: dict[str, list[httpx.Request]] = {"readiness": [], "commit": [], "observe": []}

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        return await super().readiness(request, self._noted("readiness", read))

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        return await super().commit(authorized, self._noted("commit", write))

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        return await super().observe(query, self._noted("observe", read))

    def _noted(self, phase: str, client: httpx.AsyncClient) -> httpx.AsyncClient:
        async def note(request: httpx.Request) -> None:
            self.asked[phase].append(request)

        client.event_hooks = {"request": [note]}
        return client


@pytest.mark.parametrize(
    ("mutant", "fault"),
    [
        (conduct.CommitsTwice, None),
        (conduct.Retries, Fault.DROP_AFTER),
        (conduct.RetriesErrors, Fault.ERROR_BEFORE),
    ],
)
async def test_a_commit_is_tried_twice_and_the_boundary_lets_one_out(
    yard: Any, mutant: type[Wrapper], fault: Fault | None
) -> None:
    counting = Counting(mutant(HONEST))
    if fault is not None:
        yard.arm(fault, Action.BOOK)
    await yard.commit(counting)
    assert _tried(counting.asked["commit"]) == 2
    assert yard.writes == 1


@pytest.mark.parametrize("mutant", [conduct.Retries, conduct.RetriesErrors])
async def test_a_retrying_wrapper_does_not_send_twice_what_was_answered(yard: Any, mutant: type[Wrapper]) -> None:
    counting = Counting(mutant(HONEST))
    assert (await yard.commit(counting)).effect is Effect.APPLIED
    assert _tried(counting.asked["commit"]) == 1


async def test_a_commit_is_tried_in_readiness(yard: Any) -> None:
    counting = Counting(conduct.CommitsInReadiness(HONEST))
    async with yard.attempt(counting) as harness:
        assert await harness.readiness() is Code.ADAPTER_FAULT
    assert _tried(counting.asked["readiness"]) == 1
    assert yard.writes == 0


async def test_a_commit_is_tried_in_a_look(yard: Any) -> None:
    counting = Counting(conduct.CommitsInObserve(HONEST))
    async with yard.attempt(counting) as harness:
        assert (await harness.observe()).finding is ObservationFinding.INDETERMINATE
    assert _tried(counting.asked["observe"]) == 1


async def test_what_was_exchanged_is_logged(yard: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="vendor"):
        await yard.book(conduct.LeaksIntoLog(HONEST))
    assert "patient-1" in caplog.text


@pytest.mark.parametrize(
    ("mutant", "stream"), [(conduct.LeaksIntoOutput, "out"), (conduct.LeaksIntoErrorOutput, "err")]
)
async def test_what_was_exchanged_is_printed(
    yard: Any, mutant: type[Wrapper], stream: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await yard.book(mutant(HONEST))
    assert "patient-1" in getattr(capsys.readouterr(), stream)


async def test_what_was_sent_stands_in_the_exception(yard: Any) -> None:
    noting, effect, code = await _raw(yard, conduct.LeaksIntoException(HONEST), Fault.DROP_AFTER)
    assert "patient-1" in str(noting.raised)
    assert (effect, code) == (Effect.UNKNOWN, Code.CONNECTION_LOST)  # in nothing else does it show


@contextlib.contextmanager
def _audited(*events: str) -> Iterator[list[str]]:
    """Audit hooks cannot be taken away, so this one goes deaf."""
    heard: list[str] = []
    listening = True

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if listening and event in events:
            heard.append(event)

    sys.addaudithook(hook)
    yield heard
    listening = False


async def test_a_connection_of_its_own_is_opened(yard: Any) -> None:
    def connections(heard: list[str]) -> int:
        return heard.count("socket.connect")

    with _audited("socket.connect") as honest:
        await yard.commit(HONEST)
    with _audited("socket.connect") as heard:
        assert (await yard.commit(conduct.OwnConnection(HONEST), hours=1)).effect is Effect.APPLIED
    assert connections(heard) == connections(honest) + 1


async def test_a_process_of_its_own_is_started(yard: Any) -> None:
    with _audited("subprocess.Popen") as heard:
        assert (await yard.commit(conduct.OwnProcess(HONEST))).effect is Effect.APPLIED
    assert heard == [subprocess.Popen.__module__ + ".Popen"]


async def test_calling_elsewhere_is_refused_by_the_boundary(yard: Any) -> None:
    async with yard.attempt(conduct.CallsElsewhere(HONEST)) as harness:
        assert await harness.readiness() is Code.HOST_FORBIDDEN


async def test_a_credential_of_its_own_is_refused_by_the_boundary(yard: Any) -> None:
    async with yard.attempt(conduct.OwnCredential(HONEST)) as harness:
        assert await harness.readiness() is Code.ADAPTER_FAULT


async def test_a_kept_client_can_send_nothing(yard: Any) -> None:
    assert (await yard.commit(conduct.ClientKept(HONEST))).effect is Effect.NOT_SENT
    assert yard.writes == 0


@pytest.mark.parametrize(
    ("mutant", "kind"), [(conduct.RaisesOnRefusal, ValueError), (conduct.LeavesOnRefusal, SystemExit)]
)
async def test_a_refusal_raises(yard: Any, mutant: type[Wrapper], kind: type[BaseException]) -> None:
    noting, effect, code = await _raw(yard, mutant(HONEST), Fault.FORBIDDEN)
    assert isinstance(noting.raised, kind)
    assert (effect, code) == (Effect.UNKNOWN, Code.ADAPTER_FAULT)


async def test_nothing_is_answered(yard: Any) -> None:
    assert (await yard.commit(conduct.AnswersNothing(HONEST))).code is Code.ADAPTER_FAULT
    assert len(yard.booked) == 1


async def test_a_deaf_adapter_goes_on_after_the_boundary_gave_it_up(yard: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = asyncio.Event()

    class Ending(Wrapper):
        async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
            try:
                return await super().commit(authorized, write)
            finally:
                ended.set()

    monkeypatch.setattr(conduct, "DEAF_SECONDS", 1.5)  # from the request's bound (1 s) beyond the commit's (2 s)
    yard.arm(Fault.DELAY_AFTER, Action.BOOK, milliseconds=1500)
    assert (await yard.commit(Ending(conduct.Deaf(HONEST)))).code is Code.EXTERNAL_TIMEOUT
    assert not ended.is_set()
    await ended.wait()


async def test_a_hoarder_takes_its_memory_when_a_reply_cannot_be_used(yard: Any) -> None:
    yard.arm(Fault.STALE, Action.BOOK)
    tracemalloc.start()
    try:
        await yard.commit(conduct.Hoards(HONEST))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak > conduct.HOARD_BYTES


# -- claims ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mutant", "honest", "field", "claimed"),
    [
        (claims.ExclusivityClaimed, {"exclusivity": Exclusivity.NONE}, "exclusivity", Exclusivity.ENFORCED),
        (claims.UniqueKeysClaimed, {"idempotency": Idempotency.LOOKUP}, "idempotency", Idempotency.UNIQUE),
        (claims.ObservationClaimed, {"observation": Basis.NONE}, "observation", Basis.BY_KEY),
        (claims.ObservationDenied, {}, "observation", Basis.NONE),
        (claims.BudgetTooSmall, {}, "requests_per_attempt", 1),
        (claims.BookingHidden, {}, "operations", (Operation.RESCHEDULE, Operation.CANCEL)),
        (claims.RescheduleHidden, {}, "operations", (Operation.BOOK, Operation.CANCEL)),
        (claims.CancelHidden, {}, "operations", (Operation.BOOK, Operation.RESCHEDULE)),
    ],
)
def test_a_claim_is_changed_and_nothing_else(
    mutant: type[Wrapper], honest: dict[str, Any], field: str, claimed: object
) -> None:
    kept = Claiming(**honest)
    told = kept.describe(CONNECTION)
    assert mutant.applies(told)
    changed = mutant(kept).describe(CONNECTION)
    assert getattr(changed, field) == claimed != getattr(told, field)
    assert changed.model_copy(update={field: getattr(told, field)}) == told


def test_a_wrapper_does_not_apply_where_its_flaw_would_be_none() -> None:
    told = HONEST.describe(CONNECTION)
    left_out = {each.name for each in WRAPPERS if not each.applies(told)}
    assert left_out == {"exclusivity-claimed", "unique-keys-claimed", "observation-claimed"}
    bare = told.model_copy(
        update={"operations": (Operation.BOOK,), "observation": Basis.NONE, "idempotency": Idempotency.NONE}
    )
    assert {"version-lost", "always-present", "key-dropped", "cancel-hidden"} <= {
        each.name for each in WRAPPERS if not each.applies(bare)
    }


async def test_a_hidden_operation_is_refused_by_the_boundary_and_carried_out_by_the_adapter(yard: Any) -> None:
    booking = await yard.book(HONEST)
    mutant = claims.CancelHidden(HONEST)
    with pytest.raises(Refusal):
        async with yard.following(booking, mutant, Operation.CANCEL):
            pass

    class Undeclared(Wrapper):
        def describe(self, connection: Connection) -> Descriptor:
            return HONEST.describe(connection)

    assert (await yard.change(booking, Undeclared(mutant), Operation.CANCEL)).effect is Effect.APPLIED


async def test_a_budget_that_is_too_small_ends_the_attempt(yard: Any) -> None:
    async with yard.attempt(claims.BudgetTooSmall(HONEST)) as harness:
        assert await harness.readiness() is Code.ADAPTER_FAULT


def test_an_unsteady_descriptor_differs_from_itself() -> None:
    mutant = claims.Unsteady(HONEST)
    assert mutant.describe(CONNECTION) != mutant.describe(CONNECTION)
