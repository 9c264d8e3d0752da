"""Runs as they could have been: conformant, failing with exchanges and receipts, and incomplete."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from conformance.faults import Point
from conformance.registry import LOST, REQUIREMENTS
from conformance.requirement import Requirement
from conformance.results import (
    AdapterIdentity,
    AtMostOnce,
    AttemptRecord,
    Difference,
    Evidence,
    ExchangeRecord,
    Grade,
    Judgement,
    MutantScore,
    Peer,
    Profile,
    ReceiptRecord,
    Residue,
    Result,
    Results,
    TargetIdentity,
    Verdict,
)
from conformance.verdict import derive
from gateway.contracts.adapter import Basis, Commitment, Descriptor, Exclusivity, Idempotency
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect, ObservationFinding

BEGAN = datetime(2031, 3, 4, 9, 0, 0, tzinfo=UTC)
MADE = {Point.AFTER_COMMIT, Point.MID_REPLY_HEAD, Point.MID_REPLY, Point.LATE, Point.ERROR_AFTER, Point.GARBAGE,
        Point.GARBAGE_BODY, Point.OVERSIZED, Point.DUPLICATE, Point.REDELIVERED}  # fmt: skip
CLAIMS = Descriptor(
    adapter="exampleehr",
    operations=(Operation.BOOK, Operation.RESCHEDULE, Operation.CANCEL),
    idempotency=Idempotency.UNIQUE,
    exclusivity=Exclusivity.ENFORCED,
    observation=Basis.BY_KEY,
    settling_seconds=2,
    safe_posts=("/oauth/token",),
    requests_per_attempt=6,
)


def result(requirement: Requirement, at: datetime) -> Result:
    """How one requirement ends in a run in which all is well."""
    peer = Peer.TWIN if requirement.admits_twin else Peer.TARGET
    if requirement.missing(CLAIMS, credential=True):
        return Result(requirement=requirement.id, judgement=Judgement.NOT_APPLICABLE, peer=Peer.TARGET,
                      started_at=at, seconds=0.0)  # fmt: skip
    area, *rest = requirement.id.split(".")
    if area != "lost":
        operation = next((each for each in Operation if each.name.lower() == area), None)
        attempts = () if operation is None else (attempt(operation, Effect.APPLIED, Code.COMMITTED, 1),)
        counted = 1 if operation else None
        struck = ReceiptRecord(point="late", fired=1, forwarded=True, answered=True)
        return Result(requirement=requirement.id, judgement=Judgement.PASSED, peer=peer, started_at=at, seconds=0.31,
                      attempts=attempts, effects=counted, expected_effects=counted,
                      receipts=(struck,) * requirement.struck,
                      injected=area == "refused", overlap=4 if area == "race" else None)  # fmt: skip
    point, operation = Point(rest[0]), Operation[rest[1].upper()]
    made = point in MADE
    effect = Effect.NOT_SENT if point in (Point.REFUSED, Point.BEFORE_SEND) else Effect.UNKNOWN
    if point in (Point.DUPLICATE, Point.REDELIVERED):
        effect = Effect.APPLIED
    return Result(
        requirement=requirement.id,
        judgement=Judgement.PASSED,
        peer=peer,
        attempts=(
            attempt(operation, effect, Code.COMMITTED if effect is Effect.APPLIED else Code.CONNECTION_LOST,
                    0 if effect is Effect.NOT_SENT else 1,
                    ObservationFinding.PRESENT if made else ObservationFinding.ABSENT),
        ),
        receipts=(
            ReceiptRecord(point=point.value, fired=1, forwarded=made, answered=made, exchange=3,
                          facts=("the fault struck the intended request",)),
        ),
        effects=int(made),
        expected_effects=int(made),
        started_at=at,
        seconds=2.4,
    )  # fmt: skip


def attempt(operation: Operation, effect: Effect, code: Code, sent: int,
            finding: ObservationFinding | None = ObservationFinding.PRESENT) -> AttemptRecord:  # fmt: skip
    return AttemptRecord(operation=operation, ready=True, effect=effect, code=code, sent=sent, finding=finding,
                         basis=Basis.BY_KEY if finding else None, seconds=0.24)  # fmt: skip


def results(**changes: object) -> Results:
    """A conformant run; `changes` replace members, and the verdict is derived from what comes out."""
    made = tuple(result(each, BEGAN + timedelta(seconds=2 * at)) for at, each in enumerate(REQUIREMENTS.values()))
    whole = Results(
        contract_version=1,
        suite="5" * 64,
        suite_version="0.1.0",
        adapter=AdapterIdentity(name="exampleehr", distribution="exampleehr-adapter", version="1.4.2",
                                code_digest="3fa9c1" + "d0" * 29),
        descriptor=CLAIMS,
        commitment=Commitment.IMMEDIATE,
        credential=True,
        target=TargetIdentity(label="Example EHR sandbox, spring release", dialect="standard", fingerprint="b7" * 32,
                              observer=Grade.SECOND_CREDENTIAL, launched=False, twin="Example EHR twin"),
        profile=Profile.SANDBOX,
        exhaustive=False,
        salt="c4" * 32,
        parts=1,
        started_at=BEGAN,
        ended_at=BEGAN + timedelta(minutes=6, seconds=41),
        results=made,
        at_most_once=AtMostOnce(evidence=Evidence.NOT_VIOLATED, trials=64, points=tuple(p.value for p in LOST),
                                commits=97, requests=88, effects=61),
        residue=(
            Residue(peer=Peer.TARGET, created=19, removed=17, remaining=2, writes=27, budget=30,
                    where=(datetime(2041, 1, 7, 8, 0, tzinfo=UTC), datetime(2041, 1, 7, 8, 30, tzinfo=UTC))),
            Residue(peer=Peer.TWIN, created=58, removed=58, remaining=0, writes=103, budget=600),
        ),
        mutation=(
            MutantScore(mutant="drops-the-key", caught=True, by=("replay.book", "observe.book"), peer=Peer.TWIN),
            MutantScore(mutant="retries-on-timeout", caught=True, by=("lost.late.book", "conduct.one-mutation"),
                        peer=Peer.TWIN),
            MutantScore(mutant="commits-during-readiness", caught=True, by=("conduct.reads-only",), peer=Peer.TWIN),
            MutantScore(mutant="leaks-a-canary", caught=True, by=("conduct.confidential",), peer=Peer.TWIN),
        ),
        calibration=(
            Difference(requirement="refused.slot-taken", target=Judgement.PASSED, twin=Judgement.FAILED,
                       detail="The twin lets two appointments share a slot; the sandbox does not."),
        ),
        verdict=Verdict.CONFORMANT,
    ).model_copy(update=changes)  # fmt: skip
    return whole.model_copy(update={"verdict": derive(whole)})


def altered(whole: Results, **by_id: object) -> Results:
    """The same run with single results replaced: names with `_` for `.` and `-`, values are members to change, or None
    to leave the result out."""
    spelled = {each.requirement.replace(".", "_").replace("-", "_"): each.requirement for each in whole.results}
    wanted = {spelled[name]: change for name, change in by_id.items()}
    kept = [
        each.model_copy(update=wanted.get(each.requirement, {}))  # type: ignore[arg-type] # a test changes members of several types
        for each in whole.results
        if wanted.get(each.requirement, {}) is not None
    ]
    changed = whole.model_copy(update={"results": tuple(kept)})
    return changed.model_copy(update={"verdict": derive(changed)})


def exchanges() -> tuple[ExchangeRecord, ...]:
    return (
        ExchangeRecord(number=1, method="GET", target="/fhir/Slot/‹identifier›", mutating=False, status=200,
                       request_headers=("authorization: ‹masked›", "accept: application/fhir+json"),
                       reply_headers=("content-type: application/fhir+json", "etag: ‹masked 8›"),
                       reply_body='{"resourceType": "Slot", "id": "‹masked 12›", "status": "free"}',
                       delivered_bytes=71, arrived=0.012, forwarded=0.013, answered=0.061, ended=0.062),
        ExchangeRecord(number=2, method="POST", target="/fhir/Appointment", mutating=True, status=201,
                       request_headers=("authorization: ‹masked›", "content-type: application/fhir+json"),
                       request_body='{"resourceType": "Appointment", "identifier": [{"value": "‹key 64›"}]}',
                       reply_headers=("content-type: application/fhir+json", "location: ‹masked 40›"),
                       reply_body='{"resourceType": "Appointment", "id": "‹masked 12›"}',
                       delivered_bytes=0, arrived=0.071, forwarded=0.072, answered=0.163, ended=0.164,
                       point="after-commit"),
        ExchangeRecord(number=3, method="POST", target="/fhir/Appointment", mutating=True, status=201,
                       request_headers=("authorization: ‹masked›", "content-type: application/fhir+json"),
                       request_body='{"resourceType": "Appointment", "identifier": [{"value": "‹key 64›"}]}',
                       reply_headers=("content-type: application/fhir+json", "location: ‹masked 40›"),
                       reply_body='{"resourceType": "Appointment", "id": "‹masked 12›"}',
                       delivered_bytes=133, arrived=0.405, forwarded=0.406, answered=0.498, ended=0.499),
    )  # fmt: skip


def failing_run() -> Results:
    """An adapter that sends again after a lost reply, and takes any body for success."""
    whole = results(
        at_most_once=AtMostOnce(evidence=Evidence.VIOLATED, trials=64, points=tuple(p.value for p in LOST),
                                commits=97, requests=89, effects=62),
        mutation=(
            MutantScore(mutant="drops-the-key", caught=True, by=("replay.book",), peer=Peer.TWIN),
            MutantScore(mutant="swallows-a-conflict", caught=False, peer=Peer.TWIN),
        ),
    )  # fmt: skip
    return altered(
        whole,
        lost_after_commit_book={
            "judgement": Judgement.FAILED,
            "reason": "Expected one mutating request and one effect; found 2 requests and 2 effects.",
            "attempts": (
                attempt(Operation.BOOK, Effect.APPLIED, Code.COMMITTED, 2, ObservationFinding.DIFFERENT),
            ),
            "effects": 2,
            "expected_effects": 1,
            "exchanges": exchanges(),
            "receipts": (
                ReceiptRecord(point="after-commit", fired=1, forwarded=True, answered=True, exchange=2,
                              facts=("the system answered 201", "no byte of the reply was passed on")),
            ),
        },
        lost_garbage_body_book={
            "judgement": Judgement.FAILED,
            "reason": "Expected UNKNOWN after a body of noise; found APPLIED, though the body is needed.",
            "attempts": (attempt(Operation.BOOK, Effect.APPLIED, Code.COMMITTED, 1),),
        },
        lost_late_cancel={
            "judgement": Judgement.COULD_NOT_RUN,
            "reason": "The fault left no receipt: the adapter opened no connection.",
            "effects": None,
            "expected_effects": None,
        },
        conduct_one_mutation={
            "judgement": Judgement.FAILED,
            "reason": "Expected at most one mutating request an attempt; 1 attempt sent 2.",
        },
        ready_hanging={
            "judgement": Judgement.HARNESS_ERROR,
            "reason": "The proxy could not bind its port.",
        },
        observe_absent={"judgement": Judgement.PASSED, "peer": Peer.TWIN},
    )  # fmt: skip


def incomplete_run() -> Results:
    """A server that stopped half-way, in a run that was then interrupted."""
    whole = results(interrupted=True, mutation=(), calibration=())
    kept = whole.results[:70]
    stopped = tuple(
        each.model_copy(update={"judgement": Judgement.COULD_NOT_RUN, "attempts": (), "receipts": (), "effects": None,
                                "expected_effects": None, "reason": "The system accepts no connection any more."})
        if at > 62 else each
        for at, each in enumerate(kept)
    )  # fmt: skip
    changed = whole.model_copy(update={"results": stopped})
    return changed.model_copy(update={"verdict": derive(changed)})


def readonly_run() -> Results:
    whole = results(profile=Profile.PRODUCTION_READONLY, residue=(), mutation=(), calibration=(),
                    at_most_once=AtMostOnce(evidence=Evidence.UNOBSERVABLE, trials=0, points=(), commits=0, requests=0,
                                            effects=0))  # fmt: skip
    kept = tuple(each for each in whole.results if REQUIREMENTS[each.requirement].reads_only)
    changed = whole.model_copy(update={"results": kept})
    return changed.model_copy(update={"verdict": derive(changed)})


@pytest.fixture
def conformant() -> Results:
    return results()


@pytest.fixture
def failing() -> Results:
    return failing_run()


@pytest.fixture
def incomplete() -> Results:
    return incomplete_run()


@pytest.fixture
def readonly() -> Results:
    return readonly_run()


@pytest.fixture
def alter() -> Callable[..., Results]:
    return altered
