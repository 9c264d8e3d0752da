"""After a crash: every dispatched commit whose owner died becomes ERROR with effect UNKNOWN (I11).

Runs when a gateway opens and by an operator's command; nothing runs in the background. It never contacts
the external system and never dispatches: what became of the commit is for an observation and a human.
"""

from __future__ import annotations

from gateway.audit.acknowledgement import JOURNAL
from gateway.contracts.failures import Code
from gateway.contracts.outcome import ENDS, Outcome
from gateway.contracts.signals import Signal
from gateway.contracts.words import Effect, End
from gateway.ending import conclude
from gateway.journal import Admission, Append
from gateway.ports import Ports


async def recover(ports: Ports) -> list[Outcome]:
    """The outcomes of all orphaned attempts, each recorded by one append (AUDITING → ERROR).

    An attempt that another process recovered first is left to it; it is asked for again right before the sinks hear of
    it, so that they seldom hear of an end that the journal then does not take. Raises `JournalUnavailable` or
    `JournalFailed` where the journal cannot take them.
    """
    outcomes = []
    for orphan in await ports.journal.orphans():
        recorded = await ports.journal.attempt(orphan.attempt)
        if recorded is None or recorded.outcome is not None:
            continue
        attempt, now = orphan.resumable(), ports.clock.now()
        attempt = attempt.record(Signal.EFFECT_RECORDED, now, effect=Effect.UNKNOWN, code=Code.OWNER_DIED)
        attempt, _ = await ports.sinks.accept(attempt, attempt.pending)
        now = ports.clock.now()
        attempt = attempt.record(Signal.AUDIT_ACCEPTED, now, sink=JOURNAL)
        attempt, outcome = conclude(attempt, End.UNKNOWN, Code.OWNER_DIED, now, notice_outstanding=True)
        entry = Append(attempt=attempt, header=orphan.header, outcome=outcome, hold=ENDS[End.UNKNOWN].hold)
        appended = await ports.journal.append(entry)
        if appended.admission is Admission.ADMITTED:
            outcomes.append(outcome)
    return outcomes
