"""What is explored: a few callers, who wants what of whom, and how much may go wrong.

Owns: the stories. Each begins with a practice whose proposals and decisions are recorded, lets its callers loose at
once, and ends in an aftermath that must always hold: processes are restarted and recover, every trigger is presented
again, and a fresh one on the same approval is tried. What an aftermath finds is judged like everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from exploration.journal import Database
from exploration.matters import Work, attempting
from exploration.oracle import Deviations, Oracle, Price
from exploration.practice import Asked, Practice
from exploration.world import Weather, World
from gateway.contracts.references import DecisionId
from gateway.gateway import Gateway

SETTLED_SECONDS: Final = 60.0
"""After so long, whatever was under way anywhere has arrived or never will."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """One actor: its name, which process it calls, what it does, and the triggers that it presents."""

    name: str
    work: Work
    triggers: tuple[str, ...] = ()
    process: int = 0
    alike: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One story with its bounds. `calm` lets nothing go wrong in the aftermath."""

    name: str
    setting: str
    faults: int
    crashes: int
    together: int | None = None
    processes: int = 1
    calm: bool = True
    weather: Weather = field(default_factory=Weather)

    @property
    def budget(self) -> dict[Price, int]:
        together = self.faults + self.crashes if self.together is None else self.together
        return {Price.FAULT: self.faults, Price.CRASH: self.crashes, Price.ANY: together}


@dataclass(slots=True)
class Stage:
    """One practice on which scenarios of one setting are played, run after run, from one image of its journal."""

    world: World
    image: Database
    callers: tuple[Caller, ...]
    fresh: tuple[str, ...]

    @classmethod
    def set_up(cls, root: Path, scenario: Scenario) -> Stage:
        practice = Practice.create(root)
        world = World(practice, scenario.weather)
        world.begin(Deviations({}), Database.open())
        image = Database.open()
        with world.act():
            callers, fresh = SETTINGS[scenario.setting](_Prologue(world, practice), scenario)
            world.database.backup(image)
        return cls(world, image, tuple(callers), tuple(fresh))

    def play(self, scenario: Scenario, oracle: Oracle) -> None:
        """One run; raises what the checker finds."""
        world = self.world
        world.begin(oracle, self.image)
        with world.act():
            try:
                self._play(scenario, oracle)
            finally:
                world.finish()

    def _play(self, scenario: Scenario, oracle: Oracle) -> None:
        world = self.world
        processes = [world.start("p") for _ in range(scenario.processes)]
        for caller in self.callers:
            world.call(processes[caller.process % len(processes)], caller.name, caller.work, caller.alike)
        world.run()
        for running in list(world.running):
            world.close(running)
        first = world.start("p")  # whoever comes first recovers; the budget still holds
        if scenario.calm:
            oracle.calm()
        world.pass_time(SETTLED_SECONDS)
        world.close(first)
        again = world.start("p")
        for number, trigger in enumerate(dict.fromkeys(t for caller in self.callers for t in caller.triggers), start=1):
            world.call(again, f"again-{number}", committing(trigger))
        world.run()
        for number, trigger in enumerate(self.fresh, start=1):
            if not again.process.alive:
                again = world.start("p")
            world.call(again, f"fresh-{number}", committing(trigger))
            world.run()
        world.close(again)
        last = world.start("p")
        world.pass_time(SETTLED_SECONDS)
        world.close(last)
        world.checker.finish()


@dataclass(slots=True)
class _Prologue:
    """What was said before the curtain rises; nothing goes wrong in it."""

    world: World
    practice: Practice

    def propose(self, asked: Asked) -> Asked:
        self._record(lambda gateway: gateway.propose(asked.proposal.canonical().decode()))
        return asked

    def decide(self, asked: Asked) -> DecisionId:
        approval, token = self.practice.approve(asked)
        self._record(lambda gateway: gateway.decide(token))
        return approval

    def approved(self, asked: Asked | None = None) -> tuple[Asked, DecisionId]:
        asked = self.propose(asked or self.practice.ask())
        return asked, self.decide(asked)

    def _record(self, work: Work) -> None:
        running = self.world.start("prologue")
        call = self.world.call(running, "prologue", work)
        self.world.run()
        self.world.close(running)
        if call.raised is not None:
            raise call.raised


def committing(*triggers: str) -> Work:
    """Present these triggers, one after the other."""

    async def work(gateway: Gateway) -> Any:
        answer = None
        for trigger in triggers:
            answer = await attempting("commit", trigger)(gateway)
        return answer

    return work


Told = tuple[Sequence[Caller], Sequence[str]]
_NAMES: Final = ("anna", "boris", "clara")


def _same_key(prologue: _Prologue, callers: int) -> Told:
    asked, approval = prologue.approved()
    trigger, fresh = (prologue.practice.trigger(asked, approval) for _ in range(2))
    return [
        Caller(name=name, work=committing(trigger), triggers=(trigger,), process=number, alike="one key")
        for number, name in enumerate(_NAMES[:callers])
    ], [fresh]


def one_key_one_caller(prologue: _Prologue, scenario: Scenario) -> Told:
    return _same_key(prologue, 1)


def one_key_two_callers(prologue: _Prologue, scenario: Scenario) -> Told:
    return _same_key(prologue, 2)


def one_key_three_callers(prologue: _Prologue, scenario: Scenario) -> Told:
    return _same_key(prologue, 3)


def two_triggers(prologue: _Prologue, scenario: Scenario) -> Told:
    """Two operators start the same approved commit, each by a trigger of their own."""
    asked, approval = prologue.approved()
    triggers = [prologue.practice.trigger(asked, approval) for _ in range(2)]
    return [
        Caller(name=name, work=committing(trigger), triggers=(trigger,), process=number)
        for number, (name, trigger) in enumerate(zip(_NAMES, triggers, strict=False))
    ], []


def two_approvals(prologue: _Prologue, scenario: Scenario) -> Told:
    """While one commit runs, the reviewer approves again, and that approval is used, too."""
    asked, approval = prologue.approved()
    practice = prologue.practice
    second, token = practice.approve(asked)
    one, two = practice.trigger(asked, approval), practice.trigger(asked, second)

    async def decide_and_commit(gateway: Gateway) -> Any:
        await gateway.decide(token)
        return await gateway.commit(two)

    return [
        Caller(name="anna", work=committing(one), triggers=(one,)),
        Caller(name="boris", work=decide_and_commit, triggers=(two,), process=1),
    ], []


def siblings(prologue: _Prologue, scenario: Scenario) -> Told:
    """Two patients want the same hour of the same practitioner."""
    practice = prologue.practice
    first, one = prologue.approved()
    second, two = prologue.approved(practice.ask(start=first.resolved.particulars.start))
    triggers = practice.trigger(first, one), practice.trigger(second, two)
    return [
        Caller(name=name, work=committing(trigger), triggers=(trigger,), process=number)
        for number, (name, trigger) in enumerate(zip(_NAMES, triggers, strict=False))
    ], []


def _interrupted(prologue: _Prologue, speak: Callable[[Asked], Work]) -> Told:
    """A commit, and somebody who says something about its proposal meanwhile."""
    asked, approval = prologue.approved()
    trigger, fresh = (prologue.practice.trigger(asked, approval) for _ in range(2))
    return [
        Caller(name="anna", work=committing(trigger), triggers=(trigger,)),
        Caller(name="boris", work=speak(asked), process=1),
    ], [fresh]


def stopped(prologue: _Prologue, scenario: Scenario) -> Told:
    def speak(asked: Asked) -> Work:
        token = prologue.practice.office.stop(asked.proposal, operator=prologue.practice.operator).token
        return lambda gateway: gateway.stop(token)

    return _interrupted(prologue, speak)


def withdrawn(prologue: _Prologue, scenario: Scenario) -> Told:
    def speak(asked: Asked) -> Work:
        token = prologue.practice.office.withdraw(asked.proposal, operator=prologue.practice.operator).token
        return lambda gateway: gateway.withdraw(token)

    return _interrupted(prologue, speak)


def revised(prologue: _Prologue, scenario: Scenario) -> Told:
    def speak(asked: Asked) -> Work:
        document = prologue.practice.ask(revising=asked.proposal).proposal.canonical().decode()
        return lambda gateway: gateway.propose(document)

    return _interrupted(prologue, speak)


SETTINGS: Final[dict[str, Callable[[_Prologue, Scenario], Told]]] = {
    each.__name__: each
    for each in (
        one_key_one_caller,
        one_key_two_callers,
        one_key_three_callers,
        two_triggers,
        two_approvals,
        siblings,
        stopped,
        withdrawn,
        revised,
    )
}


_CALM_CLOCKS: Final = Weather(whole=False, clocks=False)
_RESTS: Final = Weather(whole=False, fine=False, clocks=False)
_TWO_PROCESSES: Final = Weather(whole=False, clocks=False, cancels=False, replaces=True)


def _table(*scenarios: Scenario) -> dict[str, Scenario]:
    return {each.name: each for each in scenarios}


SCENARIOS: Final = _table(
    Scenario(name="one-caller", setting="one_key_one_caller", faults=1, crashes=2),
    Scenario(name="two-callers", setting="one_key_two_callers", faults=1, crashes=1, together=1, weather=_CALM_CLOCKS),
    Scenario(
        name="two-processes",
        setting="one_key_two_callers",
        faults=0,
        crashes=1,
        processes=2,
        weather=_TWO_PROCESSES,
    ),
    Scenario(name="three-callers", setting="one_key_three_callers", faults=0, crashes=1, weather=_RESTS),
    *(
        Scenario(name=name.replace("_", "-"), setting=name, faults=0, crashes=1, weather=_RESTS)
        for name in ("two_triggers", "two_approvals", "siblings")
    ),
    *(
        Scenario(name=name, setting=name, faults=1, crashes=1, together=1, weather=_RESTS)
        for name in ("stopped", "withdrawn", "revised")
    ),
)
"""What every test run walks."""

WHOLE: Final = _table(
    *(
        Scenario(
            name=f"{name.replace('_', '-')}-fault-or-crash",
            setting=name,
            faults=1,
            crashes=1,
            together=1,
            weather=_RESTS,
        )
        for name in ("two_triggers", "two_approvals", "siblings")
    ),
    Scenario(name="one-caller-two-faults", setting="one_key_one_caller", faults=2, crashes=2),
    Scenario(name="two-callers-all-faults", setting="one_key_two_callers", faults=1, crashes=1, together=1),
    Scenario(
        name="two-callers-fault-and-crash", setting="one_key_two_callers", faults=1, crashes=1, weather=_CALM_CLOCKS
    ),
    Scenario(
        name="two-processes-fault-and-crash",
        setting="one_key_two_callers",
        faults=1,
        crashes=1,
        processes=2,
        weather=_TWO_PROCESSES,
    ),
    Scenario(
        name="three-callers-all-kinds",
        setting="one_key_three_callers",
        faults=1,
        crashes=1,
        together=1,
        weather=_RESTS,
    ),
    Scenario(
        name="three-callers-every-port", setting="one_key_three_callers", faults=0, crashes=1, weather=_CALM_CLOCKS
    ),
    *(
        Scenario(
            name=f"{name.replace('_', '-')}-every-port",
            setting=name,
            faults=1,
            crashes=1,
            together=1,
            weather=_CALM_CLOCKS,
        )
        for name in ("two_triggers", "two_approvals", "siblings", "stopped", "withdrawn", "revised")
    ),
)
"""What `make explore` walks besides."""


def by_name(name: str) -> Scenario:
    return SCENARIOS[name] if name in SCENARIOS else WHOLE[name]
