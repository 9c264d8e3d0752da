"""The people of a practice: what they ask, decide, start, doubt and repeat, drawn by a history's own generator.

Owns: their acts, each a few calls let loose at once, and what they remember (`exploration.matters`). They sign by the
machines' wall clock, and have a watch of their own. Refuses: to state that something is absent where no look said so.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from exploration.matters import Matter, Mystery, attempting, saying, target_of
from exploration.peer import BELATED_SECONDS
from exploration.practice import BEGINNING, SLOT
from gateway.contracts.connection import Connection
from gateway.contracts.outcome import Outcome
from gateway.contracts.proposal import Operation, Target
from gateway.contracts.references import AttemptId
from gateway.contracts.statements import Choice, Finding, Verdict

if TYPE_CHECKING:
    from exploration.history import History
    from exploration.world import Running

PATIENCE_SECONDS: Final = 180.0
"""So long after a clock was put forward or back, people believe no look that finds nothing: what was sent before has
arrived by then. Otherwise they believe the gateway, which waits by the clock."""

KEPT: Final = 24
"""How many matters people still think of."""


class People:
    """Everybody in one history."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._random = history.random
        self._practice = history.world.practice
        self._matters: deque[Matter] = deque(maxlen=KEPT)
        self._mysteries: dict[str, Mystery] = {}
        self._booked: list[Target] = []
        self._slots = 0

    def act(self) -> None:
        """One to three acts at once."""
        self._practice.clock.at = self._history.world.clock.now()
        several = self._random.choice((1, 1, 1, 2, 3))
        for act in self._random.choices([act for act, _ in _ACTS], [share for _, share in _ACTS], k=several):
            act(self)

    def again(self, at: Running | None = None) -> None:
        """A trigger that was presented before."""
        matter = self._matter()
        if matter.triggers:
            kind, token = self._random.choice(matter.triggers)
            self._history.call(kind, attempting(kind, token), matter.learn, at)

    # -- what they do, bit by bit -----------------------------------------------------------------------

    def _ask(self, operation: Operation = Operation.BOOK, **how: Any) -> Matter:
        how.setdefault("connection", self._connection())
        if how.get("start") is None:
            how["start"] = self._next_hour()
        matter = Matter(self._practice.ask(operation, **how))
        self._matters.append(matter)
        return matter

    def _next_hour(self) -> datetime:
        """An hour that nobody has asked for."""
        self._slots += 1
        return BEGINNING + timedelta(days=30) + self._slots * SLOT

    def _connection(self) -> Connection:
        calm, risky = self._practice.connections.values()
        return risky if self._history.chance(0.2) else calm

    def _record(self, matter: Matter) -> None:
        """Have it recorded and approved, as far as the gateway takes it."""
        document = matter.asked.proposal.canonical().decode()
        self._history.say("propose", saying("propose", document))
        self._history.drive()
        self._approve(matter)
        self._history.drive()

    def _approve(self, matter: Matter) -> None:
        matter.approval, token = self._practice.approve(matter.asked)
        self._history.say("decide", saying("decide", token))

    def _token(self, matter: Matter, kind: str = "commit") -> str | None:
        practice, proposal = self._practice, matter.asked.proposal
        operator = practice.reviewer if self._history.chance(0.1) else practice.operator
        if kind == "check":
            return practice.office.check(proposal, operator=operator, approval=matter.approval).token
        if matter.approval is None:
            return None
        return practice.office.commit(proposal, operator=operator, approval=matter.approval).token

    def _present(self, matter: Matter, kind: str, token: str, at: Running | None = None) -> None:
        matter.triggers.append((kind, token))

        def learn(answer: Outcome) -> None:
            matter.learn(answer)
            if not answer.replayed and (target := target_of(answer)) is not None:
                self._booked.append(target)

        self._history.call(kind, attempting(kind, token), learn, at)

    def _commit_of(self, matter: Matter) -> None:
        """One to three callers: with one trigger, or with one each."""
        callers, token = self._random.choice((1, 1, 1, 2, 3)), self._token(matter)
        for _ in range(callers):
            if token is not None:
                self._present(matter, "commit", token)
            if self._history.chance(0.4):
                token = self._token(matter)

    def _matter(self) -> Matter:
        return self._random.choice(self._matters) if self._matters else self._ask()

    # -- acts -------------------------------------------------------------------------------------------

    def _book(self) -> None:
        matter = self._ask()
        self._record(matter)
        self._commit_of(matter)
        self._interfere(matter)

    def _change(self) -> None:
        """Reschedule or cancel what was booked; sometimes two people the same appointment."""
        if not self._booked:
            self._book()
            return
        target = self._booked.pop(self._random.randrange(len(self._booked)))
        for _ in range(self._random.choice((1, 1, 1, 2))):
            operation = self._random.choice((Operation.RESCHEDULE, Operation.CANCEL))
            matter = self._ask(operation, target=target)
            self._record(matter)
            self._commit_of(matter)

    def _siblings(self) -> None:
        """Two proposals for one hour: of two patients, or of one."""
        first = self._ask()
        wanted = first.asked.resolved.particulars
        connection = self._practice.connections[first.asked.proposal.connection]
        patient = wanted.patient if self._history.chance(0.5) else None
        second = self._ask(start=wanted.start, patient=patient, connection=connection)
        for matter in (first, second):
            self._record(matter)
        for matter in (first, second):
            self._commit_of(matter)

    def _interfere(self, matter: Matter) -> None:
        """While a commit runs, somebody says something about its proposal."""
        if self._history.chance(0.25):
            self._random.choice((self._stop, self._withdraw, self._revise, self._approve, self._reject))(matter)

    def _stop(self, matter: Matter) -> None:
        practice = self._practice
        self._history.say(
            "stop", saying("stop", practice.office.stop(matter.asked.proposal, operator=practice.operator).token)
        )

    def _withdraw(self, matter: Matter) -> None:
        practice = self._practice
        signed = practice.office.withdraw(matter.asked.proposal, operator=practice.operator)
        self._history.say("withdraw", saying("withdraw", signed.token))

    def _revise(self, matter: Matter) -> None:
        proposal = matter.asked.proposal
        connection = self._practice.connections[proposal.connection]
        matter.asked = self._practice.ask(
            proposal.operation,
            target=proposal.target,
            start=self._next_hour(),
            revising=proposal,
            connection=connection,
        )
        matter.approval = None
        self._history.say("propose", saying("propose", matter.asked.proposal.canonical().decode()))

    def _reject(self, matter: Matter) -> None:
        practice = self._practice
        signed = practice.reviews.review(matter.asked.proposal, reviewer=practice.reviewer, verdict=Verdict.REJECT)
        self._history.say("decide", saying("decide", signed.decision.token))

    def _speak(self) -> None:
        """Somebody says something about an older proposal; sometimes it is tried again afterwards."""
        matter = self._matter()
        self._random.choice((self._stop, self._withdraw, self._revise, self._reject))(matter)
        self._history.drive()
        if self._history.chance(0.7):
            self._approve(matter)
            self._commit_of(matter)

    def _replay(self) -> None:
        for _ in range(self._random.choice((1, 2, 4))):
            self.again()

    def _afresh(self) -> None:
        """Another trigger, and perhaps another approval, for what may have ended already."""
        matter = self._matter()
        if self._history.chance(0.6) or matter.approval is None:
            self._approve(matter)
            self._history.drive()
        self._commit_of(matter)

    def _check(self) -> None:
        matter = self._matter()
        token = self._token(matter, "check")
        if token is not None:
            self._present(matter, "check", token)

    def _answer(self) -> None:
        """Answer an attempt that paused, perhaps twice at once, or stop it."""
        paused = [matter for matter in self._matters if matter.paused and matter.approval]
        if not paused:
            self._book()
            return
        matter = self._random.choice(paused)
        if self._history.chance(0.15):
            self._stop(matter)
            return
        outcome, practice = matter.paused.pop(), self._practice
        for _ in range(self._random.choice((1, 1, 2))):
            choice = Choice.DECLINE if self._history.chance(0.2) else Choice.PROCEED
            assert matter.approval is not None
            signed = practice.office.resume(
                matter.asked.proposal,
                operator=practice.operator,
                approval=matter.approval,
                paused=outcome,
                choice=choice,
            )
            self._present(matter, "resume", signed.token)
        self._interfere(matter)

    def _look(self) -> None:
        """Look at what ended unknown."""
        self._find()
        self._look_into(self._drawn())

    def _look_into(self, mysteries: list[Mystery]) -> None:
        for mystery in mysteries:
            if self._history.chance(0.5):
                self._pass(self._random.choice((20, 60, PATIENCE_SECONDS)))
            for _ in range(2 if self._history.chance(0.1) else 1):
                self._look_at(mystery)
        self._history.drive()

    def _look_at(self, mystery: Mystery) -> None:
        world, practice = self._history.world, self._practice
        trigger = practice.office.observe(mystery.asked.proposal, operator=practice.operator, attempt=mystery.attempt)
        began = world.loop.time()

        def learn(answer: Outcome) -> None:
            mystery.learn(answer, convincing=world.stepped + PATIENCE_SECONDS <= began)

        self._history.call("observe", attempting("observe", trigger.token), learn)

    def _resolve(self) -> None:
        """State what became of it: by what was seen, else that people saw to it. Some have looked before somebody else
        did, and some while somebody else does."""
        self._find()
        drawn, practice = self._drawn(), self._practice
        self._look_into(drawn)
        for mystery in drawn:
            if mystery.absent and not mystery.present and self._history.chance(0.7):
                self._look_again(mystery)
            present = None if mystery.absent and self._history.chance(0.5) else mystery.present
            seen = present or mystery.absent
            finding = Finding.APPLIED if present else Finding.ABSENT if seen else Finding.HANDLED_BY_HAND
            if seen is None and self._history.chance(0.7):
                continue
            signed = practice.office.resolve(
                practice.reference,
                mystery.attempt,
                closing_hash=mystery.closing_hash,
                finding=finding,
                resolver=practice.operator,
                observation=seen,
            )
            self._history.say("resolve", saying("resolve", signed.token))
            self._history.told.events[f"resolved {finding}"] += 1
            if finding is Finding.ABSENT:
                self._history.drive()
                matter = Matter(mystery.asked)
                self._matters.append(matter)
                self._approve(matter)
                self._history.drive()
                self._commit_of(matter)

    def _look_again(self, mystery: Mystery) -> None:
        """Much later, when what nobody announced may have arrived; sometimes while somebody states what was seen."""
        self._pass(BELATED_SECONDS)
        self._look_at(mystery)
        if self._history.chance(0.5):
            self._history.drive()

    def _pass(self, seconds: float) -> None:
        self._history.world.pass_time(seconds)
        self._practice.clock.at = self._history.world.clock.now()

    def _find(self) -> None:
        """What the list of unresolved attempts shows to whoever looks at it."""
        rows = self._history.world.database.execute(
            "SELECT attempt, proposal_digest, outcome FROM attempts a WHERE outcome IS NOT NULL "
            "AND (effect = 'UNKNOWN' OR (state = 'ERROR' AND effect = 'APPLIED')) AND NOT EXISTS "
            "(SELECT 1 FROM records r WHERE r.attempt = a.attempt AND r.kind = 'resolution') ORDER BY a.rowid"
        ).fetchall()
        known, self._mysteries = self._mysteries, {}
        for attempt, digest, outcome in rows:
            asked = self._practice.asked[digest]
            self._mysteries[attempt] = known.get(attempt) or Mystery(
                AttemptId(attempt), asked, json.loads(outcome)["closing_hash"]
            )

    def _drawn(self) -> list[Mystery]:
        found = list(self._mysteries.values())
        return self._random.sample(found, min(len(found), self._random.choice((1, 1, 2, 4))))

    def _suspend(self) -> None:
        connection = self._random.choice(list(self._practice.connections))
        self._history.say("suspend", lambda gateway: gateway.suspend(connection, True))
        self._history.drive()
        for _ in range(3):
            self._commit_of(self._matter())
        self._history.drive()
        self._history.say("suspend", lambda gateway: gateway.suspend(connection, False))

    def _restart(self) -> None:
        self._history.restart()

    def _move(self) -> None:
        """Every process is started anew under another seal; then somebody looks at what ended unknown last."""
        self._find()
        if not self._mysteries:
            self._book()
            return
        self._history.move()
        self._pass(self._random.choice((20, 60)))
        self._look_at(list(self._mysteries.values())[-1])
        self._history.drive()

    def _power_cut(self) -> None:
        self._history.power_cut()

    def _jump(self) -> None:
        self._history.jump()
        self._practice.clock.at = self._history.world.clock.now()


_ACTS: Final[tuple[tuple[Callable[[People], None], int], ...]] = (
    (People._book, 18),
    (People._replay, 26),
    (People._afresh, 12),
    (People._change, 12),
    (People._siblings, 4),
    (People._speak, 4),
    (People._check, 8),
    (People._answer, 5),
    (People._look, 6),
    (People._resolve, 8),
    (People._suspend, 1),
    (People._restart, 2),
    (People._move, 3),
    (People._power_cut, 1),
    (People._jump, 3),
)
