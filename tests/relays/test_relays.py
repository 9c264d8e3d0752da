"""An acceptance is not a commitment (C-35): a relay before a real system, through the suite and through the gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conformance.engine import run
from conformance.rehearsal import Rehearsal, target_of
from conformance.results import Judgement, Results
from conformance.target.file import Target
from gateway.contracts.adapter import Commitment, Descriptor
from gateway.contracts.connection import Connection, CredentialUse, Scheme
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.statements import Finding
from gateway.contracts.words import Effect, ObservationFinding, Standing
from gateway.errors import Conflict
from gateway.gateway import Gateway
from gateway.hookspecs import hookimpl
from gateway.surfaces.local import LocalPractice
from gateway.testing import AdapterHarness, make_connection, make_request
from tests.relays.relay import RelayedAdapter, relayed

TRIED = (
    *("book.applied", "reschedule.applied", "cancel.applied", "observe.book", "observe.reschedule", "observe.cancel"),
    *("refused.slot-taken", "refused.stale-version.cancel", "refused.credentials", "refused.forbidden"),
    *("replay.book", "race.one-key", "race.one-slot", "lost.after-commit.book", "lost.mid-reply.reschedule"),
    *("lost.error-before-commit.cancel",),
)


class Believes(RelayedAdapter):
    """Takes the acceptance for the commitment."""

    def describe(self, connection: Connection) -> Descriptor:
        immediate = {"commitment": Commitment.IMMEDIATE, "relay_seconds": 0}
        return super().describe(connection).model_copy(update=immediate)


class Hurried(RelayedAdapter):
    """Says that the relay takes no time."""

    def describe(self, connection: Connection) -> Descriptor:
        return super().describe(connection).model_copy(update={"relay_seconds": 0})


async def tried(adapter: Any, directory: Path, *only: str) -> Results:
    document = {
        "sandbox": True,
        "label": "a relay",
        "writes": 400,
        "launch": "tests.relays.relay:premises",
        "connection": {
            "credential": {"scheme": "bearer", "name": "vendor"},
            "limits": {"request_seconds": 3, "commit_seconds": 6},
        },
        "pool": {
            "subjects": ("patient-1", "patient-2"),
            "practitioner": "practitioner-1",
            "location": "location-1",
            "service": "service-1",
            "first": "2031-05-05T08:00:00Z",
            "slots": 200,
        },
    }
    return await run(adapter, "sandbox", Target.parse(json.dumps(document)), directory=directory, only=only)


@pytest.mark.requirement("CARD-12", "CARD-13")
async def test_a_relay_is_tried_as_one(tmp_path: Path) -> None:
    results = await tried(RelayedAdapter(), tmp_path, *TRIED)
    unsettled = {
        entry.requirement: entry.reason
        for entry in results.results
        if entry.requirement in TRIED and entry.judgement is not Judgement.PASSED
    }
    assert unsettled == {}
    effects = {attempt.effect for entry in results.results for attempt in entry.attempts}
    assert Effect.APPLIED not in effects


@pytest.mark.parametrize("adapter", [Believes(), Hurried()], ids=["believes", "hurried"])
async def test_a_relay_that_is_not_declared_as_it_is_fails(adapter: Any, tmp_path: Path) -> None:
    results = await tried(adapter, tmp_path, "book.applied")
    (judged,) = (entry.judgement for entry in results.results if entry.requirement == "book.applied")
    assert judged is Judgement.FAILED


async def test_the_harness_builds_upon_what_a_look_found(tmp_path: Path) -> None:
    async with relayed(tmp_path) as (relay, premises):
        connection = make_connection(premises.base_url, credential=CredentialUse(scheme=Scheme.BEARER, name="vendor"))
        booking = AdapterHarness(RelayedAdapter(), make_request(connection), secret=premises.secrets["vendor"])
        async with booking:
            assert await booking.readiness() is None
            result = await booking.commit()
            assert (result.effect, result.code) == (Effect.UNKNOWN, Code.ACCEPTED_PENDING)
            assert booking.binding is None
            assert (await booking.observe()).finding is ObservationFinding.ABSENT
            await relay.close()
            assert (await booking.observe()).finding is ObservationFinding.PRESENT
            async with booking.following(Operation.CANCEL) as cancellation:
                assert await cancellation.readiness() is None
                assert (await cancellation.commit()).code is Code.ACCEPTED_PENDING
                await relay.close()
                assert (await cancellation.observe()).finding is ObservationFinding.PRESENT
        assert relay.taken == 2


class Installed:
    """The adapter under a name of its own, beside the installed ones."""

    @hookimpl
    def gateway_adapters(self) -> dict[str, Any]:
        return {"relayed": RelayedAdapter()}


@pytest.mark.requirement("CARD-12", "CARD-13")
async def test_what_a_relay_took_is_unknown_until_a_look_and_a_person_say_otherwise(tmp_path: Path) -> None:
    """Booked, moved and resolved by the orchestrator; the change is approved for the version that the look found."""
    async with relayed(tmp_path) as (relay, premises):
        connection = make_connection(
            premises.base_url,
            adapter="relayed",
            credential=CredentialUse(scheme=Scheme.BEARER, name="vendor"),
        )
        local = LocalPractice.create(tmp_path / "practice", [connection], practice=connection.practice)
        local.keep_secret("vendor", premises.secrets["vendor"])
        rehearsal = Rehearsal.prepare(local, connection)
        async with Gateway.open(local.home, plugins=[Installed()]) as gateway:
            patient = rehearsal.enrol()
            proposal = await rehearsal.propose(gateway, patient)
            booked = await rehearsal.commit(gateway, proposal)
            assert (booked.effect, booked.code) == (Effect.UNKNOWN, Code.ACCEPTED_PENDING)
            assert booked.standing is Standing.UNRESOLVED
            early = booked.observation or (await rehearsal.observe(gateway, proposal, booked)).observation
            assert early is not None and early.finding is ObservationFinding.INDETERMINATE
            with pytest.raises(Conflict):
                await rehearsal.resolve(gateway, booked, Finding.ABSENT)
            await relay.close()
            seen = await rehearsal.observe(gateway, proposal, booked)
            assert seen.observation is not None and seen.observation.finding is ObservationFinding.PRESENT
            resolved = await rehearsal.resolve(gateway, seen, Finding.APPLIED)
            assert resolved.standing is Standing.CONFIRMED
            moved = await rehearsal.propose(
                gateway, patient, operation=Operation.RESCHEDULE, target=target_of(resolved)
            )
            taken = await rehearsal.commit(gateway, moved)
            assert (taken.effect, taken.code) == (Effect.UNKNOWN, Code.ACCEPTED_PENDING)
            await relay.close()
            found = await rehearsal.observe(gateway, moved, taken)
            assert found.observation is not None and found.observation.finding is ObservationFinding.PRESENT
            assert (await rehearsal.resolve(gateway, found, Finding.APPLIED)).standing is Standing.CONFIRMED
        assert relay.taken == 2
