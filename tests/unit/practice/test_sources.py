"""Evidence and resolution over a real registry directory."""

from __future__ import annotations

import asyncio
import json
import os
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.contracts.adapter import version_digest
from gateway.contracts.evidence import Evidence, Question
from gateway.contracts.proposal import Target
from gateway.contracts.references import AppointmentId, ConnectionId, PatientId, PersonId, PracticeId
from gateway.errors import Conflict, DocumentError, NotFound
from gateway.hookspecs import Binding
from gateway.practice.records import Kind, StaffRole

CANARY = "Zephyrine Quillfeather"


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


async def answers(clinic: Any, question: Question) -> list[Evidence]:
    source = clinic.evidence
    asked = (source.identity, source.tenant, source.consent, source.notice)
    return list(await asyncio.gather(*(ask(question) for ask in asked)))


@pytest.mark.requirement("GATE-06", "GATE-09", "GATE-11")
async def test_every_answer_echoes_the_questions_nonce_and_says_when_it_was_read(clinic):
    for _ in range(2):
        clinic.clock.at += timedelta(minutes=1)
        question = clinic.question()
        for answer in await answers(clinic, question):
            assert answer.nonce == question.nonce
            assert answer.as_of == clinic.clock.at


@pytest.mark.requirement("GATE-03", "GATE-05")
async def test_an_enrolled_patient_and_staff_in_their_roles_are_identified(clinic):
    identity = await clinic.evidence.identity(clinic.question())
    assert identity.patient_identified
    assert identity.reviewer_known
    assert identity.reviewer_authorised
    assert identity.operator_authorised


@pytest.mark.requirement("GATE-03")
async def test_a_patient_who_is_unknown_unchecked_or_entered_twice_is_not_positively_identified(clinic):
    unchecked = PatientId.random()
    clinic.registry.enrol_patient(unchecked, identified=False)
    twice = PatientId.random()
    clinic.registry.enrol_patient(twice)
    rewrite(clinic.root / f"patients/{twice}.json", lambda record: record["entries"].append(record["entries"][0]))
    for patient in (PatientId.random(), unchecked, twice):
        identity = await clinic.evidence.identity(clinic.question(patient=patient))
        assert not identity.patient_identified


@pytest.mark.requirement("GATE-05", "GATE-06")
async def test_a_reviewer_who_has_just_left_or_lost_authority_is_so_in_the_next_answer(clinic):
    clinic.registry.enrol_person(clinic.reviewer, [StaffRole.REVIEWER], authorised=False)
    identity = await clinic.evidence.identity(clinic.question())
    assert (identity.reviewer_known, identity.reviewer_authorised) == (True, False)

    clinic.registry.enrol_person(clinic.reviewer, [StaffRole.REVIEWER], active=False)
    identity = await clinic.evidence.identity(clinic.question())
    assert (identity.reviewer_known, identity.reviewer_authorised) == (False, False)


@pytest.mark.requirement("GATE-05")
async def test_a_role_gives_no_other_role_and_a_stranger_has_none(clinic):
    swapped = await clinic.evidence.identity(clinic.question(reviewer=clinic.operator, operator=clinic.reviewer))
    assert swapped.reviewer_known
    assert not swapped.reviewer_authorised
    assert not swapped.operator_authorised
    stranger = await clinic.evidence.identity(clinic.question(reviewer=PersonId.random(), operator=PersonId.random()))
    assert not stranger.reviewer_known
    assert not stranger.reviewer_authorised
    assert not stranger.operator_authorised


@pytest.mark.requirement("GATE-07", "GATE-08")
async def test_only_what_the_practice_itself_enrolled_belongs_to_it(clinic):
    tenant = await clinic.evidence.tenant(clinic.question())
    assert tenant.practice == clinic.practice
    assert tenant.patient_belongs
    assert tenant.reviewer_belongs
    assert tenant.connection_belongs

    strangers = await clinic.evidence.tenant(
        clinic.question(patient=PatientId.random(), reviewer=PersonId.random(), connection=ConnectionId.random())
    )
    assert not strangers.patient_belongs
    assert not strangers.reviewer_belongs
    assert not strangers.connection_belongs


@pytest.mark.requirement("GATE-08", "GATE-09")
async def test_a_patient_or_connection_that_moved_to_another_practice_no_longer_belongs(clinic):
    other = PracticeId.random()
    patient = clinic.root / f"patients/{clinic.patient}.json"
    rewrite(patient, lambda record: record["entries"][0].update(practice=other))
    connection = clinic.root / f"connections/{clinic.connection}.json"
    rewrite(connection, lambda record: record.update(practice=other))
    tenant = await clinic.evidence.tenant(clinic.question(practice=other))
    assert tenant.practice == clinic.practice
    assert not tenant.patient_belongs
    assert not tenant.connection_belongs


@pytest.mark.requirement("GATE-10", "GATE-12")
async def test_a_proposal_names_the_consent_in_force_when_it_was_made(clinic):
    proposal = clinic.proposal()
    consent = await clinic.evidence.consent(clinic.question())
    assert consent.in_force
    assert consent.consent == proposal.consent


@pytest.mark.requirement("GATE-11", "GATE-12")
async def test_consent_withdrawn_or_given_again_shows_at_once_even_within_one_instant(clinic):
    proposal = clinic.proposal()
    clinic.registry.set_consent(clinic.patient, in_force=False)
    withdrawn = await clinic.evidence.consent(clinic.question())
    assert not withdrawn.in_force

    clinic.registry.set_consent(clinic.patient, in_force=True)
    again = await clinic.evidence.consent(clinic.question())
    assert again.in_force
    assert again.consent not in (proposal.consent, withdrawn.consent)


@pytest.mark.requirement("GATE-10")
async def test_no_consent_on_record_is_no_consent(clinic):
    consent = await clinic.evidence.consent(clinic.question(patient=PatientId.random()))
    assert not consent.in_force
    assert consent.consent is None


@pytest.mark.requirement("GATE-30")
async def test_a_notice_counts_for_the_very_proposal_and_patient_it_was_given_for(clinic):
    proposal = clinic.proposal()
    before = await clinic.evidence.notice(clinic.question(proposal))
    assert before.informed_of is None

    clinic.registry.record_notice(proposal)
    told = await clinic.evidence.notice(clinic.question(proposal))
    assert told.informed_of == proposal.proposal_digest
    assert told.irreversibility_told

    other_proposal = await clinic.evidence.notice(clinic.question(clinic.proposal()))
    other_patient = await clinic.evidence.notice(clinic.question(proposal, patient=PatientId.random()))
    for nobody in (other_proposal, other_patient):
        assert nobody.informed_of is None
        assert not nobody.irreversibility_told


@pytest.mark.requirement("GATE-30")
async def test_a_patient_who_was_not_told_of_irreversibility_is_reported_so(clinic):
    proposal = clinic.proposal()
    clinic.registry.record_notice(proposal, irreversibility_told=False)
    told = await clinic.evidence.notice(clinic.question(proposal))
    assert told.informed_of == proposal.proposal_digest
    assert not told.irreversibility_told


@pytest.mark.requirement("GOV-13")
@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("people.json", "identity"),
        ("people.json", "tenant"),
        ("patients/{patient}.json", "identity"),
        ("connections/{connection}.json", "tenant"),
        ("consents/{patient}.json", "consent"),
        ("notices/{digest}.json", "notice"),
    ],
)
@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"patient": 1, "patient": 2}',
        f'{{"{CANARY}": "{CANARY}"}}',
        f'"{CANARY}"',
        " " * 70_000,
    ],
)
async def test_a_document_that_cannot_be_read_raises_and_repeats_nothing_of_it(clinic, name, ask, content):
    proposal = clinic.proposal()
    path = clinic.root / name.format(
        patient=clinic.patient, connection=clinic.connection, digest=proposal.proposal_digest
    )
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    with pytest.raises(DocumentError) as refusal:
        await getattr(clinic.evidence, ask)(clinic.question(proposal))
    assert path.name in str(refusal.value)
    assert CANARY not in "".join(traceback.format_exception(refusal.value))


@pytest.mark.requirement("GOV-13")
async def test_a_document_filed_under_another_name_raises(clinic):
    stranger = PatientId.random()
    for folder in ("patients", "consents"):
        source = clinic.root / f"{folder}/{clinic.patient}.json"
        (clinic.root / f"{folder}/{stranger}.json").write_bytes(source.read_bytes())
    for ask in (clinic.evidence.identity, clinic.evidence.consent):
        with pytest.raises(DocumentError, match="about something else"):
            await ask(clinic.question(patient=stranger))


@pytest.mark.requirement("GOV-13")
async def test_a_link_or_a_pipe_in_place_of_a_document_raises_rather_than_hangs(clinic):
    path = clinic.root / f"consents/{clinic.patient}.json"
    elsewhere = path.rename(clinic.root / "elsewhere.json")
    path.symlink_to(elsewhere)
    with pytest.raises(DocumentError, match="symbolic link"):
        await clinic.evidence.consent(clinic.question())
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DocumentError, match="regular file"):
        await clinic.evidence.consent(clinic.question())


@pytest.mark.requirement("CARD-09")
async def test_a_proposal_resolves_to_its_particulars_salt_and_vendor_identifiers(clinic):
    proposal = clinic.proposal()
    (resolved,) = await clinic.resolver.resolve(proposal)
    assert resolved.particulars == clinic.particulars()
    assert resolved.particulars.commitment(resolved.salt) == proposal.commitment
    assert resolved.identifiers == {
        clinic.practitioner: "vendor-practitioner-7",
        clinic.location: "vendor-room-2",
    }


@pytest.mark.requirement("CARD-09")
async def test_particulars_moved_after_the_proposal_no_longer_match_its_commitment(clinic):
    proposal = clinic.proposal()
    clinic.clock.at += timedelta(hours=1)
    clinic.registry.register_particulars(proposal.proposal_id, proposal.revision, clinic.particulars())
    (resolved,) = await clinic.resolver.resolve(proposal)
    assert resolved.particulars.commitment(resolved.salt) != proposal.commitment


@pytest.mark.requirement("CARD-09")
async def test_what_is_not_registered_not_enrolled_or_not_identified_resolves_to_nothing(clinic):
    proposal = clinic.proposal()
    unregistered = proposal.model_copy(update={"revision": 2})
    assert await clinic.resolver.resolve(unregistered) == ()
    elsewhere = proposal.model_copy(update={"connection": ConnectionId.random()})
    assert await clinic.resolver.resolve(elsewhere) == ()
    clinic.registry.enrol_connection(clinic.connection, tuple(Kind))
    assert await clinic.resolver.resolve(proposal) == ()
    clinic.registry.map_identifier(clinic.connection, clinic.patient, "vendor-patient-1")
    clinic.registry.map_identifier(clinic.connection, clinic.service, "vendor-type-3")
    (resolved,) = await clinic.resolver.resolve(proposal)
    assert resolved.identifiers[clinic.patient] == "vendor-patient-1"
    assert resolved.identifiers[clinic.service] == "vendor-type-3"


@pytest.mark.requirement("CARD-09")
async def test_two_registered_particulars_or_two_identifiers_are_several_matches(clinic):
    proposal = clinic.proposal()
    clinic.registry.map_identifier(clinic.connection, clinic.location, "vendor-room-2", "vendor-room-3")
    assert len(await clinic.resolver.resolve(proposal)) == 2
    clinic.registry.map_identifier(clinic.connection, clinic.location, "vendor-room-2")
    assert len(await clinic.resolver.resolve(proposal)) == 1
    path = clinic.root / f"particulars/{proposal.proposal_id}-1.json"
    rewrite(path, lambda record: record["matches"].append(record["matches"][0]))
    assert len(await clinic.resolver.resolve(proposal)) == 2


@pytest.mark.requirement("CARD-15")
async def test_a_bound_appointment_resolves_to_the_vendors_identifier_next_time_and_keeps_its_history(clinic):
    appointment = AppointmentId.random()
    booked = clinic.proposal()
    rescheduled = clinic.proposal(Target(appointment=appointment, version=version_digest('"1"')))
    for proposal, identifier, version in ((booked, "vendor-event-9", '"1"'), (rescheduled, None, '"2"')):
        binding = Binding(
            connection=clinic.sealed_connection(),
            proposal=proposal,
            appointment=appointment,
            identifier=identifier,
            version=version,
        )
        await clinic.resolver.bind(binding)
        await clinic.resolver.bind(binding)
    (resolved,) = await clinic.resolver.resolve(rescheduled)
    assert resolved.identifiers.get(appointment) == "vendor-event-9"
    booking = clinic.registry.booking(appointment)
    assert booking is not None
    assert [bound.version for bound in booking.history] == ['"1"', '"2"']


@pytest.mark.requirement("CARD-15")
async def test_nothing_foreign_shows_in_a_repr_or_in_evidence(clinic):
    appointment = AppointmentId.random()
    clinic.registry.map_identifier(clinic.connection, clinic.location, CANARY)
    proposal = clinic.proposal(Target(appointment=appointment, version=version_digest(CANARY)))
    clinic.registry.record_notice(proposal)
    binding = Binding(
        connection=clinic.sealed_connection(),
        proposal=proposal,
        appointment=appointment,
        identifier=CANARY,
        version=CANARY,
    )
    await clinic.resolver.bind(binding)
    found = await clinic.resolver.resolve(proposal)
    assert CANARY in found[0].identifiers.values()
    registered = clinic.registry.registered(proposal.proposal_id, 1)
    shown = [binding, found, registered, clinic.registry, clinic.evidence, clinic.resolver]
    shown += [clinic.registry.booking(appointment), *await answers(clinic, clinic.question(proposal))]
    for thing in shown:
        assert CANARY not in repr(thing)
        assert found[0].salt not in repr(thing)
        assert found[0].particulars.start.isoformat() not in repr(thing)


@pytest.mark.requirement("CARD-15")
async def test_a_binding_to_a_strange_or_another_connection_is_refused(clinic):
    appointment = AppointmentId.random()
    proposal = clinic.proposal()
    ours = clinic.sealed_connection()
    other = ours.model_copy(update={"connection_id": ConnectionId.random()})
    values = {"proposal": proposal, "appointment": appointment, "identifier": "a", "version": None}
    with pytest.raises(NotFound, match="does not know the connection"):
        await clinic.resolver.bind(Binding(connection=other, **values))
    await clinic.resolver.bind(Binding(connection=ours, **values))
    clinic.registry.enrol_connection(other.connection_id, ())
    with pytest.raises(Conflict, match="another connection"):
        await clinic.resolver.bind(Binding(connection=other, **values))
