"""What a run costs, and that its core stays within thirty writes whatever an adapter claims."""

from __future__ import annotations

import json
from itertools import combinations, product

import pytest

from conformance.registry import REQUIREMENTS
from conformance.requirement import Tier
from conformance.results import Peer, Profile
from conformance.target.file import Pool, Target, TargetConnection
from conformance.target.plan import plan
from gateway.contracts.adapter import Basis, Descriptor, Exclusivity, Idempotency
from gateway.contracts.connection import Limits
from gateway.contracts.proposal import Operation

CORE_WRITES = 30
ALL = tuple(Operation)
OPERATIONS = [chosen for number in (1, 2, 3) for chosen in combinations(ALL, number)]


@pytest.fixture
def pool():
    return Pool.model_validate_json(
        '{"subjects":["patient-1","patient-2"],"practitioner":"p","location":"l","service":"s",'
        '"first":"2031-05-05T08:00:00Z","slots":400}'
    )


@pytest.fixture
def make(pool):
    def make(*, rate: int | None = None, **details) -> Target:
        details.setdefault("observer", "somewhere:observer")
        connection = TargetConnection(
            base_url=None if "launch" in details else "http://127.0.0.1:9/", limits=Limits(requests_per_minute=rate)
        )
        return Target(sandbox=True, label="vendor", writes=30, connection=connection, pool=pool, **details)

    return make


def claims(operations=ALL, idempotency=Idempotency.UNIQUE, exclusivity=Exclusivity.ENFORCED, **details) -> Descriptor:
    details.setdefault("observation", Basis.BY_KEY)
    return Descriptor(
        adapter="vendor", operations=operations, idempotency=idempotency, exclusivity=exclusivity, **details
    )


@pytest.mark.parametrize("operations", OPERATIONS, ids=lambda chosen: "+".join(each.name for each in chosen))
def test_the_core_needs_at_most_thirty_writes_for_every_combination_of_claims(make, operations):
    core = [each for each in REQUIREMENTS.values() if each.tier is Tier.CORE]
    for idempotency, exclusivity, basis, credential, limited in product(
        Idempotency, Exclusivity, Basis, (True, False), (True, False)
    ):
        descriptor = claims(operations, idempotency, exclusivity, observation=basis)
        cost = plan(core, descriptor, make(), credential=credential, limited=limited)
        assert cost.writes() <= CORE_WRITES


def test_every_requirement_is_planned_excused_or_told_to_be_impossible(make):
    cost = plan(REQUIREMENTS.values(), claims(), make(), credential=True, limited=True)
    told = [*cost.excused, *cost.unable, *(check for share in cost.peers for check in share.checks)]
    assert sorted(told) == sorted(REQUIREMENTS)


def test_without_a_twin_the_exhaustive_checks_could_not_run(make):
    cost = plan(REQUIREMENTS.values(), claims(), make(), credential=True, limited=True)
    assert "lost.late.book" in cost.unable and cost.share(Peer.TWIN) is None
    assert "lost.after-commit.book" in cost.share(Peer.TARGET).checks


def test_a_twin_bears_everything_and_costs_the_target_nothing(make):
    with_twin = plan(REQUIREMENTS.values(), claims(), make(twin="a:b"), credential=True, limited=True)
    without = plan(REQUIREMENTS.values(), claims(), make(), credential=True, limited=True)
    assert {"lost.late.book", "book.applied"} <= set(with_twin.share(Peer.TWIN).checks) and not with_twin.unable
    assert with_twin.share(Peer.TARGET) == without.share(Peer.TARGET)


@pytest.mark.parametrize("details", [{"launch": "a:b"}, {"exhaustive": True}])
def test_a_target_that_bears_it_is_tried_exhaustively_itself(make, details):
    cost = plan(REQUIREMENTS.values(), claims(), make(**details), credential=True, limited=True)
    assert not cost.unable and "lost.late.book" in cost.share(Peer.TARGET).checks


def test_without_a_reading_credential_what_needs_one_moves_to_the_twin(make):
    lacking = {"ready.forbidden", "refused.forbidden"}
    cost = plan(REQUIREMENTS.values(), claims(), make(twin="a:b", launch="a:b"), credential=True, limited=False)
    assert set(cost.share(Peer.TWIN).checks) - set(cost.share(Peer.TARGET).checks) == lacking
    assert (
        set(plan(REQUIREMENTS.values(), claims(), make(launch="a:b"), credential=True, limited=False).unable) == lacking
    )


def test_production_is_only_read(make):
    cost = plan(
        REQUIREMENTS.values(),
        claims(),
        make(twin="a:b"),
        credential=True,
        limited=True,
        profile=Profile.PRODUCTION_READONLY,
    )
    assert cost.share(Peer.TWIN) is None
    assert cost.writes() == 0 and "ready.proven" in cost.share(Peer.TARGET).checks
    assert all(REQUIREMENTS[check].reads_only for check in cost.share(Peer.TARGET).checks)


def test_minutes_follow_the_pace_and_the_settling_time(make):
    def minutes(rate: int | None, settling: int) -> float:
        descriptor = claims(settling_seconds=settling, requests_per_attempt=4)
        cost = plan(
            [REQUIREMENTS["lost.after-commit.book"]], descriptor, make(rate=rate), credential=True, limited=True
        )
        return cost.share(Peer.TARGET).minutes

    assert minutes(None, 0) == 0
    assert minutes(None, 90) == 1.5
    assert minutes(4, 90) == 3.5  # one attempt and one look, four requests each, at four a minute


def test_reads_writes_slots_and_looks_are_told_to_programs(make):
    cost = plan([REQUIREMENTS["lost.after-commit.book"]], claims(), make(rate=16), credential=True, limited=True)
    document = json.loads(json.dumps(cost.document()))
    assert document["peers"] == [
        {
            "peer": "target",
            "checks": ["lost.after-commit.book"],
            "reads": 15,
            "writes": 1,
            "slots": 1,
            "looks": 1,
            "settling_seconds": 0,
            "minutes": 1.0,
        }
    ]


def test_what_needs_no_attempt_costs_nothing(make):
    cost = plan([REQUIREMENTS["claims.steady"]], claims(), make(), credential=True, limited=True)
    share = cost.share(Peer.TARGET)
    assert (share.reads, share.writes, share.slots, share.minutes) == (0, 0, 0, 0)
