"""The explorer: every scenario of a test run exhausted without a broken rule, and what is planted is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exploration.explorer import Exploration, explore, replay
from exploration.practice import CANARY
from exploration.scenarios import SCENARIOS, Scenario, Stage, by_name
from exploration.world import Weather
from gateway import execution
from gateway.boundary import Boundary
from gateway.contracts.connection import Connection
from gateway.contracts.failures import Code
from gateway.contracts.outcome import Outcome
from gateway.contracts.proposal import Particulars
from gateway.contracts.words import Effect, End, Next, State
from gateway.gateway import Gateway
from gateway.journal import _sqlite_writes as writes

CALM = Weather(whole=False, clocks=False, cancels=False)
RESTS = replace(CALM, fine=False)
TWO_CALLERS = Scenario(name="planted", setting="one_key_two_callers", faults=0, crashes=0, weather=CALM)
TWO_PROPOSALS = Scenario(name="planted", setting="siblings", faults=0, crashes=0, weather=CALM)
ONE_CALLER = Scenario(name="planted", setting="one_key_one_caller", faults=1, crashes=0, weather=CALM)


@pytest.mark.requirement("IDEM-05", "CARD-05", "STATE-40")
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_run_of_a_scenario_keeps_the_rules(name: str, figure: Callable[[str], None]) -> None:
    found = explore(SCENARIOS[name])
    figure(found.line())
    assert not found.failures, found.failures[0].as_test()
    assert found.exhausted
    assert found.runs > found.pruned > 0


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario(name="a fault and a crash", setting="one_key_one_caller", faults=1, crashes=1, weather=CALM),
        Scenario(name="two callers", setting="one_key_two_callers", faults=0, crashes=0, weather=RESTS),
        Scenario(name="two processes", setting="one_key_two_callers", faults=0, crashes=0, weather=RESTS, processes=2),
        Scenario(name="a stop and a crash", setting="stopped", faults=0, crashes=1, weather=RESTS),
        Scenario(name="a withdrawal and a crash", setting="withdrawn", faults=0, crashes=1, weather=RESTS),
        Scenario(name="a revision and a crash", setting="revised", faults=0, crashes=1, weather=RESTS),
    ],
    ids=lambda scenario: scenario.name,
)
def test_pruning_loses_no_end(scenario: Scenario) -> None:
    pruned, whole = explore(scenario), explore(scenario, pruning=False)
    assert pruned.exhausted
    assert whole.exhausted
    assert whole.runs > pruned.runs
    assert set(pruned.ends) == set(whole.ends)


# -- what is planted is found -------------------------------------------------------------------------------


def broken(scenario: Scenario) -> Exploration:
    found = explore(scenario)
    assert found.failures, found.line()
    return found


@pytest.fixture
def without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that looks before it writes and no more while it writes, in tables whose keys are gone."""
    set_up = Stage.set_up

    def unlocked(root: Path, scenario: Scenario) -> Stage:
        stage = set_up(root, scenario)
        for table, columns in (
            ("holds", "practice TEXT, proposal TEXT, attempt TEXT"),
            ("siblings", "sibling TEXT, attempt TEXT"),
            ("triggers", "trigger_id TEXT, digest TEXT, attempt TEXT"),
        ):
            stage.image.execute(f"DROP TABLE {table}")
            stage.image.execute(f"CREATE TABLE {table} ({columns}) STRICT")
        [attempts] = stage.image.execute("SELECT sql FROM sqlite_schema WHERE name = 'attempts'").fetchone()
        stage.image.execute("DROP TABLE attempts")
        stage.image.execute(attempts.replace("attempt_key TEXT UNIQUE", "attempt_key TEXT"))
        return stage

    monkeypatch.setattr(Stage, "set_up", unlocked)
    monkeypatch.setattr(writes, "_key_taken", lambda connection, entry: None)
    monkeypatch.setattr(writes, "_intent_refused", lambda connection, entry, intent: None)


@pytest.mark.usefixtures("without_keys")
def test_a_check_that_is_not_one_with_its_insert_is_found() -> None:
    failure = broken(TWO_CALLERS).failures[0]
    assert "2 mutating requests" in failure.message or "2 requests" in failure.message, failure.message


def test_two_open_attempts_for_one_hour_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def unrelated(boundary: Boundary, connection: Connection, particulars: Particulars) -> tuple[str, ...]:
        return ()

    monkeypatch.setattr(Boundary, "_siblings", unrelated)
    assert "another attempt is open for" in broken(TWO_PROPOSALS).failures[0].message


def test_an_exception_that_no_caller_is_promised_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = Gateway.commit

    async def bursting(gateway: Gateway, trigger: str) -> Outcome:
        await commit(gateway, trigger)
        raise KeyError(CANARY)

    monkeypatch.setattr(Gateway, "commit", bursting)
    assert "raised KeyError" in broken(ONE_CALLER).failures[0].message


def test_advice_that_is_not_the_recorded_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = Gateway.commit

    async def advising(gateway: Gateway, trigger: str) -> Outcome:
        answer = await commit(gateway, trigger)
        return answer.model_copy(update={"next": Next.NEW_ATTEMPT})

    monkeypatch.setattr(Gateway, "commit", advising)
    assert "is recorded" in broken(ONE_CALLER).failures[0].message


def test_a_violation_prints_as_a_test_that_repeats_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "END_OF_EFFECT", {**execution.END_OF_EFFECT, Effect.UNKNOWN: End.NOT_SENT})
    failure = broken(ONE_CALLER).failures[0]
    said: dict[str, Any] = {"replay": lambda name, choices: replay(ONE_CALLER, choices)}
    exec(failure.as_test(), said)  # noqa: S102 — it is the explorer's own text
    with pytest.raises(AssertionError, match="NOT_SENT"):
        said["test_planted_found_by_the_explorer"]()


def test_what_was_said_meanwhile_and_cannot_be_read_blocks_like_an_unavailable_audit() -> None:
    choices = [("turn#4", "boris"), ("turn#7", "anna"), ("anna:journal.proposal#2", "unavailable")]
    world = replay(by_name("two-approvals-fault-or-crash"), choices)
    [anna] = [call.answer for call in world.everyone if call.actor.name == "anna"]
    assert (anna.state, anna.code, anna.effect) == (State.BLOCKED, Code.AUDIT_UNAVAILABLE, None)


def test_a_choice_that_never_came_up_is_no_replay() -> None:
    with pytest.raises(LookupError, match="never came up"):
        replay(ONE_CALLER, [("anna:nowhere#1", "bad")])
