"""Writing the registry: whole documents, owner-only, none lost between writers."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from gateway.contracts.canonical import MAX_DOCUMENT_BYTES
from gateway.contracts.proposal import Operation, Origin
from gateway.contracts.references import AppointmentId, PatientId, PersonId, PracticeId
from gateway.errors import Conflict, DocumentError, NotFound, UsageError
from gateway.hookspecs import Binding
from gateway.practice import registry
from gateway.practice.records import StaffRole
from gateway.practice.registry import Registry


def test_everything_is_written_for_the_owner_only_and_nothing_temporary_is_left(clinic):
    clinic.registry.record_notice(clinic.proposal())
    for path in clinic.root.rglob("*"):
        allowed = stat.S_IRWXU if path.is_dir() else stat.S_IRUSR | stat.S_IWUSR
        assert stat.S_IMODE(path.stat().st_mode) == allowed, path.name
        assert not path.name.endswith(".new")
    assert not clinic.registry.exposed()
    clinic.root.chmod(0o750)
    assert clinic.registry.exposed()


def test_a_second_registry_in_the_same_place_is_refused(clinic):
    with pytest.raises(Conflict, match=r"people\.json"):
        Registry.create(clinic.root, PracticeId.random())
    assert clinic.registry.people().practice == clinic.practice


def test_concurrent_writers_lose_none_of_each_others_entries(clinic):
    people = [PersonId.random() for _ in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda person: clinic.registry.enrol_person(person, [StaffRole.OPERATOR]), people))
    known = clinic.registry.people()
    assert all(known.find(person) for person in people)


def test_a_writer_that_holds_the_lock_for_ever_is_named_and_not_waited_for(clinic, monkeypatch):
    monkeypatch.setattr(registry, "LOCK_SECONDS", 0.05)
    with ThreadPoolExecutor(1) as pool, (clinic.root / registry.LOCK).open("r+") as stuck:
        fcntl.flock(stuck, fcntl.LOCK_EX)
        waiting = pool.submit(clinic.registry.enrol_person, PersonId.random(), [StaffRole.OPERATOR])
        with pytest.raises(DocumentError, match=r"^another process holds registry\.lock"):
            waiting.result(10)
    person = PersonId.random()
    clinic.registry.enrol_person(person, [StaffRole.OPERATOR])
    assert clinic.registry.people().find(person)


def test_a_writer_killed_at_any_moment_leaves_the_old_document_or_the_new_one(clinic):
    script = (
        "import sys; from pathlib import Path\n"
        "from gateway.practice.registry import Registry\n"
        "from gateway.contracts.references import PatientId\n"
        "registry = Registry(Path(sys.argv[1]))\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    registry.set_consent(PatientId(sys.argv[2]), in_force=True)\n"
    )
    revisions = []
    for _ in range(3):
        command = [sys.executable, "-c", script, str(clinic.root), clinic.patient]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            seen = clinic.registry.consent(clinic.patient)
            assert seen is not None
            while clinic.registry.consent(clinic.patient) == seen:
                pass
            os.kill(writer.pid, signal.SIGKILL)
        consent = clinic.registry.consent(clinic.patient)
        assert consent is not None
        revisions.append(consent.revision)
        clinic.registry.set_consent(clinic.patient, in_force=True)
    assert revisions == sorted(set(revisions))


def test_a_document_that_would_outgrow_the_bound_is_refused_and_the_old_one_stays(clinic):
    proposal = clinic.proposal()
    appointment = AppointmentId.random()
    long = "i" * 500

    def bind(version: int) -> None:
        connection = clinic.sealed_connection()
        clinic.registry.bind(
            Binding(
                connection=connection, proposal=proposal, appointment=appointment, identifier=long, version=str(version)
            )
        )

    versions = iter(range(MAX_DOCUMENT_BYTES // len(long)))
    with pytest.raises(DocumentError, match="larger than"):
        any(bind(version) for version in versions)
    booking = clinic.registry.booking(appointment)
    assert booking is not None
    assert len(booking.history) == next(versions) - 1


def test_a_person_listed_twice_makes_the_list_unusable(clinic):
    path = clinic.root / "people.json"
    text = path.read_text()
    path.write_text(text.replace(clinic.operator, clinic.reviewer))
    with pytest.raises(DocumentError, match=r"people\.json"):
        clinic.registry.people()


def test_a_proposal_made_here_is_complete_and_commits_to_the_registered_particulars(clinic):
    proposal = clinic.proposal()
    assert proposal.practice == clinic.practice
    assert proposal.operation is Operation.BOOK
    assert proposal.origin is Origin.PATIENT
    assert proposal.patient == clinic.patient
    assert proposal.created_at == clinic.clock.at
    registered = clinic.registry.registered(proposal.proposal_id, 1)
    assert registered is not None
    (match,) = registered.matches
    assert match.particulars.commitment(match.salt) == proposal.commitment


@pytest.mark.requirement("PHI-01")
@pytest.mark.parametrize("end", ["start", "end"])
def test_an_expiry_that_would_tell_the_appointments_time_is_refused(clinic, end):
    """A proposal is kept in the journal; the particulars are not."""
    particulars = clinic.particulars()
    with pytest.raises(UsageError, match="expires_at"):
        clinic.registry.propose(
            connection=clinic.connection,
            operation=Operation.BOOK,
            initiator=PersonId.random(),
            particulars=particulars,
            expires_at=getattr(particulars, end),
        )
    assert not (clinic.root / "particulars").exists()


def test_equal_particulars_get_different_commitments(clinic):
    assert clinic.proposal().commitment != clinic.proposal().commitment


def test_nothing_is_proposed_for_a_patient_without_a_consent_on_record(clinic):
    with pytest.raises(NotFound, match=r"gateway practice consent pat_\w+ --given"):
        clinic.registry.propose(
            connection=clinic.connection,
            operation=Operation.BOOK,
            initiator=PersonId.random(),
            particulars=clinic.particulars(patient=PatientId.random()),
            expires_at=clinic.clock.at + timedelta(days=1),
        )
    assert not (clinic.root / "particulars").exists()
