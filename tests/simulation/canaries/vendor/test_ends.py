"""Attempts of every end, against a vendor that puts canaries everywhere: none stays, whatever the end."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.contracts.failures import Code
from gateway.contracts.statements import Choice, Finding
from gateway.contracts.words import Effect, Severity, State
from gateway.errors import JournalFailed
from gateway.surfaces.local import OPERATOR

REQUIRED = ("AUDIT-28", "CORR-12", "DECIDE-02", "OPS-03", "PHI-01", "PHI-02", "PHI-05")


def _operator(clinic: Any) -> tuple[Any, Any]:
    return clinic.local.surface(OPERATOR), clinic.local.desk.operator


@pytest.mark.requirement(*REQUIRED)
async def test_a_check(clinic: Any, vendor: Any) -> None:
    async with clinic.gateway() as gateway:
        proposal, approval = await clinic.proposed(gateway)
        surface, operator = _operator(clinic)
        token = surface.check(proposal, operator=operator, approval=approval).token
        outcome = await clinic.witness.ask(gateway.check(token))
        await clinic.read_back(gateway)
    assert outcome.code is Code.CHECK_PASSED
    assert vendor.asked
    assert vendor.written == []
    assert clinic.leaks() == []


@pytest.mark.requirement(*REQUIRED)
@pytest.mark.parametrize(
    ("choice", "state", "code"),
    [
        (Choice.PROCEED, State.SUCCEEDED, Code.COMMITTED),
        (Choice.DECLINE, State.REJECTED, Code.DECISION_DECLINED),
        (None, State.CANCELLED, Code.OPERATOR_STOP),
    ],
)
async def test_a_pause_and_what_ends_it(make_clinic: Any, choice: Choice | None, state: State, code: Code) -> None:
    clinic = await make_clinic(risk=Severity.HIGH)
    async with clinic.gateway() as gateway:
        proposal, approval = await clinic.proposed(gateway)
        paused = await clinic.witness.ask(gateway.commit(clinic.rehearsal.trigger(proposal, approval)))
        assert paused.state is State.PAUSED
        surface, operator = _operator(clinic)
        if choice is None:
            await clinic.witness.ask(gateway.stop(surface.stop(proposal, operator=operator).token))
        else:
            answer = surface.resume(proposal, operator=operator, approval=approval, paused=paused, choice=choice)
            await clinic.witness.ask(gateway.resume(answer.token))
        file = await gateway.attempt(paused.attempt)
        await clinic.read_back(gateway)
    assert (file.state, file.outcome.code) == (state, code)
    assert clinic.leaks() == []


@pytest.mark.requirement(*REQUIRED)
async def test_a_denial_by_policy(make_clinic: Any) -> None:
    clinic = await make_clinic(policy="two-person")
    async with clinic.gateway() as gateway:
        proposal, approval = await clinic.proposed(gateway)
        surface = clinic.local.surface("reviewer")
        alone = surface.commit(proposal, operator=clinic.local.desk.reviewer, approval=approval).token
        outcome = await clinic.witness.ask(gateway.commit(alone))
        await clinic.read_back(gateway)
    assert (outcome.state, outcome.code) == (State.REJECTED, Code.TWO_PERSONS_REQUIRED)
    assert clinic.leaks() == []


@pytest.mark.requirement(*REQUIRED)
async def test_a_stop_a_withdrawal_and_an_unsigned_trigger(clinic: Any) -> None:
    async with clinic.gateway() as gateway:
        surface, operator = _operator(clinic)
        codes = []
        for act in ("stop", "withdraw"):
            proposal, approval = await clinic.proposed(gateway)
            token = getattr(surface, act)(proposal, operator=operator).token
            await clinic.witness.ask(getattr(gateway, act)(token))
            ended = await clinic.witness.ask(gateway.commit(clinic.rehearsal.trigger(proposal, approval)))
            codes.append(ended.code)
        unsigned = clinic.aviary.one_of_each("an unsigned trigger")
        codes.append((await clinic.witness.ask(gateway.commit(unsigned))).code)
        await clinic.read_back(gateway)
    assert codes == [Code.OPERATOR_STOP, Code.PROPOSAL_WITHDRAWN, Code.TRIGGER_UNSIGNED]
    assert clinic.leaks() == []


@pytest.mark.requirement(*REQUIRED)
async def test_recovery_replay_observation_and_resolution(clinic: Any, vendor: Any) -> None:
    async with clinic.gateway() as gateway:
        proposal, approval = await clinic.proposed(gateway)
        trigger = clinic.rehearsal.trigger(proposal, approval)
        journal, appends = gateway.ports.journal, []

        class Breaking:
            def __getattr__(self, name: str) -> Any:
                return getattr(journal, name)

            async def append(self, entry: Any) -> Any:
                appends.append(entry)
                if len(appends) == 2:
                    raise JournalFailed(clinic.aviary.one_of_each("a broken journal"))
                return await journal.append(entry)

        gateway.ports.journal = Breaking()
        unrecorded = await clinic.witness.ask(gateway.commit(trigger))
    async with clinic.gateway() as gateway:
        (recovered,) = gateway.recovered
        clinic.witness.keep(recovered)
        replayed = await clinic.witness.ask(gateway.commit(trigger))
        seen = await clinic.witness.ask(clinic.rehearsal.observe(gateway, proposal, recovered))
        resolved = await clinic.witness.ask(clinic.rehearsal.resolve(gateway, seen, Finding.APPLIED))
        sibling = await clinic.witness.ask(clinic.rehearsal.commit(gateway, proposal))
        await clinic.read_back(gateway)
    assert (unrecorded.code, unrecorded.recorded) == (Code.OUTCOME_UNRECORDED, False)
    assert (recovered.code, recovered.effect) == (Code.OWNER_DIED, Effect.UNKNOWN)
    assert replayed.replayed
    assert resolved.resolution is Finding.APPLIED
    assert sibling.code is Code.PROPOSAL_EXECUTED
    assert len(vendor.written) == 1
    assert clinic.leaks() == []


@pytest.mark.requirement("PHI-04", "CORR-12", "PHI-05")
async def test_every_key_and_identifier_is_a_reference_or_a_digest(clinic: Any) -> None:
    """Nothing that names something in the journal can hold more than random or hashed digits."""
    import re
    import sqlite3
    from contextlib import closing

    opaque = re.compile(r"[a-z]{3}_(?:[0-9a-f]{32}|[0-9a-f]{64})|[0-9a-f]{64}")
    async with clinic.gateway() as gateway:
        await clinic.commit(gateway)
    names = {
        "attempts": ("attempt", "trigger_id", "proposal", "connection", "approval", "owner"),
        "triggers": ("trigger_id", "digest", "attempt"),
        "holds": ("practice", "proposal", "attempt"),
        "siblings": ("sibling", "attempt"),
        "events": ("attempt", "hash"),
        "records": ("practice", "proposal", "hash"),
    }
    looked = 0
    with closing(sqlite3.connect(clinic.local.home / "journal.db")) as database:
        for table, wanted in names.items():
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            for column in set(wanted) & set(columns):
                for (value,) in database.execute(f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL"):
                    assert opaque.fullmatch(str(value)), (table, column)
                    looked += 1
    assert looked > 50
