"""Verification of attempts: the chain of events, the walk through the states, and the row beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.audit._records import Said
from gateway.audit.report import Findings, FlawCode, place
from gateway.contracts.canonical import digest
from gateway.contracts.chain import EVENT_DOMAIN, GENESIS
from gateway.contracts.failures import Code
from gateway.contracts.outcome import Outcome
from gateway.contracts.proposal import Notice, Proposal
from gateway.contracts.signals import Event, ProposalState, Signal
from gateway.contracts.statements import Finding
from gateway.contracts.words import TERMINAL, ApprovalUse, Effect, State
from gateway.ending import outcome_digest
from gateway.journal import StoredAttempt, attempt_key
from gateway.lifecycle import EDGES

RELEASED: Final = frozenset({Effect.NOT_SENT, Effect.REFUSED})


@dataclass(frozen=True, slots=True)
class Reserved:
    """What the journal must, and must not, still hold for an attempt."""

    hold: tuple[str | None, str | None, str] | None
    siblings: frozenset[tuple[str, str]]


def check_attempt(stored: StoredAttempt, said: Said, findings: Findings) -> Reserved:
    """One attempt; answers the reservations that follow from it. Of an archived one only its row is here."""
    findings.attempts += 1
    where = place("attempt", stored.attempt)
    outcome = _read_outcome(stored, findings, where)
    if stored.volume is None:
        check_events(stored, outcome, said, findings)
    else:
        findings.archived += 1
        findings.unless(_tombstone_agrees(stored, outcome, said), FlawCode.ROW_DIFFERS, where)
        findings.unless(_triggers_agree(stored), FlawCode.RESERVATION_DIFFERS, where)
    findings.unless(_key_agrees(stored, outcome), FlawCode.RESERVATION_DIFFERS, where)
    return _reserved(stored, outcome, said)


def check_archived(stored: StoredAttempt, said: Said, findings: Findings) -> None:
    """An archived attempt whose row was checked before, now with the events that its volume holds."""
    check_events(stored, _read_outcome(stored, findings, place("attempt", stored.attempt)), said, findings)


def check_events(stored: StoredAttempt, outcome: Outcome | None, said: Said, findings: Findings) -> None:
    """The chain, the walk, and whether row and statements say the same."""
    findings.events += len(stored.events)
    where = place("attempt", stored.attempt)
    events = _read_events(stored, findings)
    if events is None:
        return
    findings.unless(_identity_constant(stored, events), FlawCode.EVENT_INVALID, where)
    state = _walk(events, findings, where)
    findings.unless(_row_agrees(stored, events, state, said), FlawCode.ROW_DIFFERS, where)
    findings.unless(_triggers_agree(stored, events), FlawCode.RESERVATION_DIFFERS, where)
    findings.unless(_outcome_agrees(stored, events, outcome), FlawCode.OUTCOME_DIFFERS, where)
    findings.unless(_approvals_agree(events, said), FlawCode.APPROVAL_DIFFERS, where)
    resolution = said.resolutions.get(stored.attempt)
    if resolution is not None:
        agreed = events[-1].signal is Signal.ATTEMPT_COMPLETED and resolution.closing_hash == stored.events[-1].hash
        findings.unless(agreed and resolution.practice == stored.text("practice"), FlawCode.RECORD_INVALID, where)


def _read_events(stored: StoredAttempt, findings: Findings) -> list[Event] | None:
    """The events, or None where one cannot even be read."""
    events: list[Event] = []
    previous = GENESIS
    for number, found in enumerate(stored.events, start=1):
        where = place("event", stored.attempt, number)
        body = found.body.encode(errors="surrogateescape")
        holds = found.seq == number and digest(EVENT_DOMAIN, previous.encode() + body) == found.hash
        findings.unless(holds, FlawCode.CHAIN_BROKEN, where)
        previous = found.hash
        try:
            event = Event.model_validate_json(body)
        except ValueError:
            findings.flaw(FlawCode.EVENT_INVALID, where)
            return None
        findings.unless(event.canonical() == body and event.seq == number, FlawCode.EVENT_INVALID, where)
        events.append(event)
    if not events:
        findings.flaw(FlawCode.CHAIN_BROKEN, place("attempt", stored.attempt))
        return None
    return events


def _read_outcome(stored: StoredAttempt, findings: Findings, where: str) -> Outcome | None:
    text = stored.text("outcome")
    if text is None:
        return None
    try:
        outcome = Outcome.model_validate_json(text)
    except ValueError:
        findings.flaw(FlawCode.OUTCOME_DIFFERS, where)
        return None
    findings.unless(outcome.canonical() == text.encode(), FlawCode.OUTCOME_DIFFERS, where)
    return outcome


def _identity_constant(stored: StoredAttempt, events: Sequence[Event]) -> bool:
    """CORR-01, CORR-09, CORR-11: one attempt, one correlation, one trace, in every event."""
    identities = {(event.attempt, event.correlation, event.trace, event.environment, event.trigger) for event in events}
    return len(identities) == 1 and (events[0].attempt, events[0].trigger) == (
        stored.attempt,
        stored.text("trigger_id"),
    )


def _walk(events: Sequence[Event], findings: Findings, where: str) -> State:
    """Follow the recorded transitions (AUDIT-13); nothing but AttemptCompleted comes after the end."""
    state, completed = State.NEW, False
    for event in events:
        after_end = event.signal is Signal.ATTEMPT_COMPLETED and not completed
        if (state in TERMINAL) != after_end:
            findings.flaw(FlawCode.TRANSITION_ILLEGAL, where)
        completed = completed or event.signal is Signal.ATTEMPT_COMPLETED
        if event.signal is not Signal.STATE_TRANSITION_RECORDED:
            continue
        if event.from_state is not state or event.to_state is None or (state, event.to_state) not in EDGES:
            findings.flaw(FlawCode.TRANSITION_ILLEGAL, where)
        state = event.to_state or state
    findings.unless(completed == (state in TERMINAL), FlawCode.TRANSITION_ILLEGAL, where)
    return state


def _row_agrees(stored: StoredAttempt, events: Sequence[Event], state: State, said: Said) -> bool:
    """State and head, what the attempt is about, and its intent, as the events tell them."""
    intent = next((event for event in events if event.signal is Signal.INTENT_RECORDED), None)
    told: dict[str, str | int | None] = {"state": state, "seq": len(events), "head": stored.events[-1].hash}
    for name in ("purpose", "proposal", "proposal_digest", "approval", "operation"):
        value = _first(events, name)
        if value is not None and not isinstance(value, Notice):
            told[name] = value
    if intent is not None and intent.deadline is not None:
        told["deadline"] = intent.deadline.isoformat()
    revision = said.revisions.get(stored.text("proposal_digest") or "")
    if revision is not None and not _misnamed(stored, events, revision):
        told |= {"practice": revision.practice, "proposal": revision.proposal_id}
        about = (stored.text("connection"), stored.text("operation"))
        if about not in ((None, None), (revision.connection, revision.operation)):
            return False
    dispatched = intent is not None
    return (
        all(stored.columns[name] == value for name, value in told.items())
        and dispatched == (stored.columns["deadline"] is not None) == (stored.columns["owner"] is not None)
        and (not dispatched or revision is not None)
    )


def _tombstone_agrees(stored: StoredAttempt, outcome: Outcome | None, said: Said) -> bool:
    """What can be told without the events: the row is finished, whole and free of events, its outcome its own."""
    if outcome is None:
        return False
    resolution = said.resolutions.get(stored.attempt)
    known = stored.columns["effect"] != Effect.UNKNOWN or resolution is not None
    closes = resolution is None or resolution.closing_hash == stored.text("head")
    finished = outcome.closing_hash == stored.text("head") and stored.text("state") in TERMINAL
    return not stored.events and known and closes and finished and _row_of(stored, outcome)


def _misnamed(stored: StoredAttempt, events: Sequence[Event], revision: Proposal) -> bool:
    """Whether the trigger named one proposal and another's bytes, which an attempt that got no further keeps."""
    bound = next((event for event in events if event.signal is Signal.PROPOSAL_BOUND), None)
    unknown = bound is None or bound.proposal_state is ProposalState.UNKNOWN
    intended = any(event.signal is Signal.INTENT_RECORDED for event in events)
    return stored.text("proposal") != revision.proposal_id and unknown and not intended


def _first(events: Sequence[Event], name: str) -> str | None:
    return next((value for event in events if (value := getattr(event, name)) is not None), None)


def _outcome_agrees(stored: StoredAttempt, events: Sequence[Event], outcome: Outcome | None) -> bool:
    """The stored outcome is the one whose digest AttemptCompleted carries (AUDIT-16, AUDIT-24)."""
    state = stored.text("state")
    ended = state in TERMINAL
    if outcome is None:
        return not ended and state != State.PAUSED and stored.columns["code"] is stored.columns["effect"] is None
    last = events[-1]
    if not ended:
        return _row_of(stored, outcome) and state == State.PAUSED
    return (
        _row_of(stored, outcome)
        and outcome.closing_hash == stored.events[-1].hash
        and last.outcome_digest == outcome_digest(outcome)
        and (last.code, last.effect) == (outcome.code, outcome.effect)
    )


def _row_of(stored: StoredAttempt, outcome: Outcome) -> bool:
    """Whether the outcome is this row's, as it was when it was recorded."""
    row = (stored.attempt, stored.text("state"), stored.text("code"), stored.text("effect"))
    return row == (outcome.attempt, outcome.state, outcome.code, outcome.effect) and (
        outcome.observation,
        outcome.resolution,
        outcome.replayed,
    ) == (None, None, False)


def _key_agrees(stored: StoredAttempt, outcome: Outcome | None) -> bool:
    """The attempt key is kept, and is the right one, exactly where the approval is spent or may still be (IDEM-04)."""
    usable = outcome is not None and outcome.state in TERMINAL and outcome.approval is ApprovalUse.USABLE
    if stored.columns["deadline"] is None or usable:
        return stored.columns["attempt_key"] is None
    return stored.columns["attempt_key"] == attempt_key(stored.text("proposal_digest"), stored.text("approval"))


def _triggers_agree(stored: StoredAttempt, events: Sequence[Event] | None = None) -> bool:
    """The caller's keys stay used up (IDEM-01): the attempt's own trigger, unless it collided with another's, and one
    for each answer to a pause. Of an archived attempt the events, which count the answers, may not be at hand."""
    used = [trigger for trigger, _ in stored.triggers]
    own = stored.text("trigger_id")
    collided = stored.text("code") == Code.IDEMPOTENCY_COLLISION
    took = own is not None and not collided
    if took != (own in used):
        return False
    return events is None or len(used) == took + sum(event.signal is Signal.DECISION_ANSWERED for event in events)


def _approvals_agree(events: Sequence[Event], said: Said) -> bool:
    """C-03: an approval's digest and instant are those of the retained signed decision (AUDIT-21, AUDIT-22)."""
    return all(
        said.approvals.get(event.approval or "") == (event.approval_digest, event.approved_at)
        for event in events
        if event.approval_digest is not None
    )


def _reserved(stored: StoredAttempt, outcome: Outcome | None, said: Said) -> Reserved:
    """The table "How attempts end", read backwards: what is held follows from what is known."""
    if stored.columns["deadline"] is None:
        return Reserved(None, frozenset())
    effect = None if outcome is None else outcome.effect
    resolution = said.resolutions.get(stored.attempt) if effect is Effect.UNKNOWN else None
    free = effect in RELEASED or (resolution is not None and resolution.finding is Finding.ABSENT)
    open_end = effect is None or (effect is Effect.UNKNOWN and resolution is None)
    siblings = (stored.text("siblings") or "").split() if open_end else []
    return Reserved(
        None if free else (stored.text("practice"), stored.text("proposal"), stored.attempt),
        frozenset((sibling, stored.attempt) for sibling in siblings),
    )
