"""The engine keeps its four invariants, also against itself in other threads, and gives them up where told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest

from gateway.testing.engine import Appointment, Booking, Engine, RejectedError, Rejection, Status

WORKERS = 8


@pytest.fixture
def engine(database: Path) -> Iterator[Engine]:
    with Engine.open(database) as opened:
        yield opened


@pytest.fixture
def booked(engine: Engine, slot: Booking) -> Appointment:
    return engine.book("first", slot).appointment


def rejection(error: pytest.ExceptionInfo[RejectedError]) -> Rejection:
    return error.value.rejection


def later(booking: Booking, minutes: int) -> Booking:
    by = timedelta(minutes=minutes)
    return replace(booking, start=booking.start + by, end=booking.end + by)


def test_a_booking_is_kept_as_given_at_version_one_under_its_key(engine: Engine, slot: Booking) -> None:
    written = engine.book("first", slot)
    assert written.replayed is False
    assert written.appointment.booking == slot
    assert (written.appointment.version, written.appointment.status) == (1, Status.BOOKED)
    assert engine.find("first") == engine.appointment(written.appointment.id) == written.appointment


@pytest.mark.parametrize("minutes", [-29, -1, 0, 1, 29])
def test_an_overlapping_time_is_taken_for_every_shared_participant(
    engine: Engine, slot: Booking, booked: Appointment, minutes: int
) -> None:
    other = replace(later(slot, minutes), patient="patient-2", participants=("practitioner-2", "device-1"))
    with pytest.raises(RejectedError) as error:
        engine.book("second", other)
    assert rejection(error) is Rejection.SLOT_TAKEN
    assert engine.find("second") is None
    assert engine.effects() == 1


@pytest.mark.parametrize("minutes", [-30, 30])
def test_adjoining_times_do_not_overlap(engine: Engine, slot: Booking, booked: Appointment, minutes: int) -> None:
    assert engine.book("second", later(slot, minutes)).appointment.version == 1


def test_a_longer_booking_around_an_existing_one_is_refused(engine: Engine, slot: Booking, booked: Appointment) -> None:
    around = replace(slot, start=slot.start - timedelta(hours=1), end=slot.end + timedelta(hours=1))
    with pytest.raises(RejectedError) as error:
        engine.book("second", around)
    assert rejection(error) is Rejection.SLOT_TAKEN


def test_other_participants_may_meet_at_the_same_time(engine: Engine, slot: Booking, booked: Appointment) -> None:
    engine.book("second", replace(slot, participants=("practitioner-2",)))
    assert len(engine.appointments()) == 2


def test_the_same_key_and_content_writes_once(engine: Engine, slot: Booking, booked: Appointment) -> None:
    again = engine.book("first", slot)
    assert (again.replayed, again.appointment) == (True, booked)
    assert engine.effects() == 1


def test_the_same_key_with_other_content_is_refused_for_any_operation(
    engine: Engine, slot: Booking, booked: Appointment
) -> None:
    attempts: tuple[Callable[[], object], ...] = (
        lambda: engine.book("first", later(slot, 60)),
        lambda: engine.reschedule("first", booked.id, "1", slot),
        lambda: engine.cancel("first", booked.id, "1", None),
    )
    for attempt in attempts:
        with pytest.raises(RejectedError) as error:
            attempt()
        assert rejection(error) is Rejection.KEY_REUSED
    assert engine.appointment(booked.id) == booked


def test_a_reschedule_moves_in_place_and_frees_the_old_time(engine: Engine, slot: Booking, booked: Appointment) -> None:
    moved = engine.reschedule("second", booked.id, "1", later(slot, 15)).appointment
    assert (moved.id, moved.version, moved.keys) == (booked.id, 2, ("first", "second"))
    assert moved.booking == later(slot, 15)
    assert engine.is_free(slot.participants, slot.start, slot.start + timedelta(minutes=15))
    assert not engine.is_free(slot.participants, moved.booking.start, moved.booking.end)
    assert engine.find("first") == engine.find("second") == moved


def test_a_reschedule_onto_a_taken_time_changes_nothing(engine: Engine, slot: Booking, booked: Appointment) -> None:
    engine.book("other", later(slot, 60))
    with pytest.raises(RejectedError) as error:
        engine.reschedule("second", booked.id, "1", later(slot, 45))
    assert rejection(error) is Rejection.SLOT_TAKEN
    assert engine.appointment(booked.id) == booked


def test_a_reschedule_cannot_change_the_patient(engine: Engine, slot: Booking, booked: Appointment) -> None:
    with pytest.raises(RejectedError) as error:
        engine.reschedule("second", booked.id, "1", replace(slot, patient="patient-2"))
    assert rejection(error) is Rejection.INVALID


def test_a_cancellation_frees_the_time_and_keeps_the_record(engine: Engine, slot: Booking, booked: Appointment) -> None:
    cancelled = engine.cancel("second", booked.id, "1", "patient-request").appointment
    assert (cancelled.status, cancelled.version) == (Status.CANCELLED, 2)
    assert cancelled.booking == replace(slot, reason="patient-request")
    assert engine.book("third", slot).appointment.id != booked.id
    assert engine.find("second") == cancelled


@pytest.mark.parametrize("version", ["0", "2", "", "*", "one"])
def test_only_the_current_version_may_be_written_over(
    engine: Engine, slot: Booking, booked: Appointment, version: str
) -> None:
    with pytest.raises(RejectedError) as moved:
        engine.reschedule("second", booked.id, version, later(slot, 60))
    with pytest.raises(RejectedError) as cancelled:
        engine.cancel("third", booked.id, version, None)
    assert rejection(moved) is rejection(cancelled) is Rejection.STALE_VERSION
    assert engine.appointment(booked.id) == booked


def test_a_cancelled_appointment_is_never_revived(engine: Engine, slot: Booking, booked: Appointment) -> None:
    engine.cancel("second", booked.id, "1", None)
    with pytest.raises(RejectedError) as moved:
        engine.reschedule("third", booked.id, "2", later(slot, 60))
    with pytest.raises(RejectedError) as cancelled:
        engine.cancel("fourth", booked.id, "2", None)
    assert rejection(moved) is rejection(cancelled) is Rejection.NOT_BOOKED


def test_what_is_not_there_cannot_be_written_or_found(engine: Engine, slot: Booking) -> None:
    with pytest.raises(RejectedError) as error:
        engine.cancel("first", "nothing", "1", None)
    assert rejection(error) is Rejection.NOT_FOUND
    assert engine.find("first") is None
    assert engine.appointment("nothing") is None


def test_a_replayed_write_answers_with_the_record_as_it_stands(
    engine: Engine, slot: Booking, booked: Appointment
) -> None:
    engine.cancel("second", booked.id, "1", None)
    again = engine.book("first", slot)
    assert again.replayed
    assert again.appointment.status is Status.CANCELLED


@pytest.mark.parametrize(
    "nonsense",
    [{"participants": ()}, {"participants": ("a", "a")}, {"end": "start"}],
    ids=["nobody", "twice", "no-time"],
)
def test_nonsense_is_invalid(engine: Engine, slot: Booking, nonsense: dict[str, object]) -> None:
    changes = {"end": slot.start} if "end" in nonsense else nonsense
    with pytest.raises(RejectedError) as error:
        engine.book("first", replace(slot, **changes))
    assert rejection(error) is Rejection.INVALID
    assert engine.effects() == 0


def in_threads(database: Path, slot: Booking, keys: list[str]) -> list[str]:
    """Book one slot with each key at once, each in a thread and engine of its own; what each was told."""
    barrier = Barrier(len(keys))

    def worker(key: str) -> str:
        with Engine.open(database) as engine:
            barrier.wait()
            try:
                written = engine.book(key, slot)
            except RejectedError as error:
                return error.rejection.value
            return "replayed" if written.replayed else "written"

    with ThreadPoolExecutor(len(keys)) as pool:
        return sorted(pool.map(worker, keys))


def test_threads_with_keys_of_their_own_get_one_slot_once(engine: Engine, database: Path, slot: Booking) -> None:
    for day in range(10):
        told = in_threads(database, later(slot, day * 24 * 60), [f"{day}-{worker}" for worker in range(WORKERS)])
        assert told == ["slot-taken"] * (WORKERS - 1) + ["written"]
    assert engine.effects() == 10


def test_threads_with_one_key_write_once_and_all_hear_of_it(engine: Engine, database: Path, slot: Booking) -> None:
    assert in_threads(database, slot, ["one"] * WORKERS) == ["replayed"] * (WORKERS - 1) + ["written"]
    assert engine.effects() == 1


def test_an_engine_without_exclusivity_lets_appointments_overlap_and_says_that_the_time_is_taken(
    database: Path, slot: Booking
) -> None:
    with Engine.open(database, exclusive=False) as engine:
        first, second = engine.book("first", slot).appointment, engine.book("second", slot).appointment
        moved = engine.reschedule("third", second.id, "1", later(slot, 10)).appointment
        assert not engine.is_free(slot.participants, slot.start, slot.end)
        assert engine.appointments() == (first, moved)


def test_an_engine_without_unique_keys_writes_each_time_and_finds_all_of_it(database: Path, slot: Booking) -> None:
    with Engine.open(database, unique_keys=False) as engine:
        first = engine.book("one", slot)
        second = engine.book("one", later(slot, 60))
        assert not first.replayed and not second.replayed
        assert engine.search("one") == (first.appointment, second.appointment)
        assert engine.find("one") == first.appointment
        assert engine.cancel("one", first.appointment.id, "1", None).appointment.keys == ("one", "one")
        assert engine.effects() == 3


def test_an_engine_without_unique_keys_still_keeps_times_apart(database: Path, slot: Booking) -> None:
    with Engine.open(database, unique_keys=False) as engine:
        engine.book("one", slot)
        with pytest.raises(RejectedError) as error:
            engine.book("one", slot)
    assert rejection(error) is Rejection.SLOT_TAKEN


def test_a_write_without_a_key_is_made_each_time_and_shows_none(engine: Engine, slot: Booking) -> None:
    first = engine.book(None, slot).appointment
    second = engine.book(None, later(slot, 60)).appointment
    assert first.keys == second.keys == ()
    assert engine.cancel("named", first.id, "1", None).appointment.keys == ("named",)
    assert engine.appointments()[0].keys == ("named",)


def test_a_removed_appointment_was_never_there(engine: Engine, slot: Booking, booked: Appointment) -> None:
    other = engine.book("other", later(slot, 60)).appointment
    engine.reschedule("second", booked.id, "1", later(slot, 15))
    assert engine.remove(booked.id) is True
    assert engine.appointments() == (other,)
    assert engine.find("first") is engine.find("second") is None
    assert (engine.effects(), engine.is_free(slot.participants, slot.start, slot.end)) == (1, True)
    assert engine.book("first", slot).replayed is False


def test_what_is_not_there_cannot_be_removed(engine: Engine, booked: Appointment) -> None:
    assert engine.remove("nothing") is False
    assert engine.appointments() == (booked,)


def test_everything_is_still_there_after_reopening(database: Path, slot: Booking) -> None:
    with Engine.open(database) as engine:
        written = engine.book("first", slot).appointment
        engine.tally("POST", "/appointments", "first")
    with Engine.open(database) as engine:
        assert engine.appointments() == (written,)
        assert [(each.method, each.path, each.key) for each in engine.requests()] == [
            ("POST", "/appointments", "first")
        ]
        assert engine.book("first", slot).replayed
