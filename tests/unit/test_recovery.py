"""What becomes of attempts whose owner died."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.contracts.failures import Code
from gateway.contracts.outcome import ENDS, Outcome
from gateway.contracts.signals import Signal
from gateway.contracts.words import Effect, End, State
from gateway.errors import JournalUnavailable
from gateway.journal import Admission, Appended, AttemptFile
from gateway.lifecycle import Attempt
from gateway.recovery import recover
from tests.unit.scripted import ACCEPTED, DEADLINE, HEADER, NOW, Script, ending, gated, move, told


async def orphan() -> AttemptFile:
    """An attempt whose owner died after its intent."""
    script = Script(latched=JournalUnavailable())
    run = script.run(attempt=replace(script.run().attempt, stored=0))
    whole = Attempt(identity=run.attempt.identity).to(State.VALIDATING, NOW).to(State.GATED, NOW)
    run.attempt = whole
    await ending(run, gated(script))
    (entry,) = script.entries
    return AttemptFile(
        attempt=entry.attempt.identity.attempt,
        header=HEADER,
        state=entry.attempt.state,
        links=entry.attempt.pending,
        outcome=None,
        owner=None,
        deadline=DEADLINE,
        resolution=None,
    )


@pytest.mark.requirement("STATE-25")
@pytest.mark.parametrize("refusing", [(), (1,)])
async def test_an_orphan_becomes_an_error_of_unknown_effect_in_one_append(refusing: tuple[int, ...]) -> None:
    file = await orphan()
    script = Script(found=[file], refusing=refusing)
    (outcome,) = await recover(script.ports())
    (entry,) = script.entries
    assert script.said == ["sink", "append"]
    sink = (
        ACCEPTED[1]
        if not refusing
        else {
            "signal": Signal.AUDIT_FAILED,
            "sink": "one",
            "code": Code.AUDIT_UNAVAILABLE,
        }
    )
    died = {"code": Code.OWNER_DIED}
    assert told(entry.attempt.pending) == [
        {"signal": Signal.EFFECT_RECORDED, "effect": Effect.UNKNOWN, **died},
        sink,
        ACCEPTED[0],
        move(State.AUDITING, State.ERROR, **died),
        {
            "signal": Signal.ATTEMPT_COMPLETED,
            "to_state": State.ERROR,
            "effect": Effect.UNKNOWN,
            "outcome_digest": entry.attempt.pending[-1].event.outcome_digest,
            **died,
        },
    ]
    assert {link.event.at for link in entry.attempt.pending} == {NOW}
    assert [[event.signal for event in batch] for batch in script.offered] == [[Signal.EFFECT_RECORDED]]
    assert (entry.header, entry.intent, entry.hold) == (HEADER, None, ENDS[End.UNKNOWN].hold)
    assert entry.outcome == outcome
    assert (outcome.attempt, outcome.state, outcome.code) == (file.attempt, State.ERROR, Code.OWNER_DIED)
    assert outcome.notice_outstanding
    assert entry.attempt.pending[0].previous == file.links[-1].hash


async def test_of_an_orphan_that_has_ended_meanwhile_the_sinks_hear_nothing() -> None:
    first, second = await orphan(), await orphan()
    (ended,) = await recover(Script(found=[first]).ports())
    script = Script(found=[first, second], meanwhile={first.attempt: ended})
    assert [outcome.attempt for outcome in await recover(script.ports())] == [second.attempt]
    assert [{event.attempt for event in batch} for batch in script.offered] == [{second.attempt}]
    assert [entry.attempt.identity.attempt for entry in script.entries] == [second.attempt]


async def test_an_orphan_that_another_process_recovered_first_is_left_to_it() -> None:
    first, second = await orphan(), await orphan()
    script = Script(found=[first, second], admissions=[Appended(Admission.LOST), Appended(Admission.ADMITTED)])
    outcomes: list[Outcome] = await recover(script.ports())
    assert [outcome.attempt for outcome in outcomes] == [second.attempt]
