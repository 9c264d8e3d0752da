"""The gatekeeper: the two local gates first, then everything at once, reported in one order whatever comes first."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.audit.acknowledgement import Sinks
from gateway.clock import SystemClock
from gateway.config import Bounds
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.words import GateName
from gateway.errors import JournalFailed, JournalUnavailable
from gateway.gates import Gatekeeper, audit_readiness, external_readiness

IN_ORDER = [
    GateName.IDENTITY,
    GateName.TENANT,
    GateName.CONSENT,
    GateName.PROPOSAL,
    GateName.APPROVAL,
    GateName.EXTERNAL_READINESS,
    GateName.AUDIT_READINESS,
]
SIBLINGS = ("5e6f7a8b" * 8,)


class BenchClock(SystemClock):
    """Time stands where the bench's case says."""

    def __init__(self, now: Any) -> None:
        self._now = now

    def now(self) -> Any:
        return self._now


@dataclass
class Outside:
    """Journal, sink, boundary and evidence source in one; notes in which order it was asked, and answers late."""

    bench: Any
    asked: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    delays: dict[str, float] = field(default_factory=dict)
    raising: dict[str, Exception] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    readiness_code: Code | None = None
    is_related: bool = False

    async def _asked(self, what: str) -> None:
        self.asked.append(what)
        await asyncio.sleep(self.delays.get(what, 0))
        if error := self.raising.get(what):
            raise error
        self.answered.append(what)

    def _evidence(self, name: str) -> Callable[[Any], Awaitable[Any]]:
        async def answer(question: Any) -> Any:
            await self._asked(name)
            made = {"nonce": question.nonce, **self.facts.get(name, {})}
            return getattr(self.bench.answers, name).model_copy(update=made)

        return answer

    def gatekeeper(self) -> Gatekeeper:
        clock = BenchClock(self.bench.case.now)
        names = ("identity", "tenant", "consent", "notice")
        boundary: Any = SimpleNamespace(engage=self._engage)
        source: Any = SimpleNamespace(**{name: self._evidence(name) for name in names})
        sink: Any = SimpleNamespace(ready=lambda: self._asked("sink"), accept=None)
        journal: Any = SimpleNamespace(ready=lambda: self._asked("journal"), related=self._related)
        return Gatekeeper(
            evidence=source,
            boundary=boundary,
            journal=journal,
            sinks=Sinks(sinks={"one": sink}, seconds=1, clock=clock),
            clock=clock,
        )

    async def _engage(self, proposal: Any) -> Any:
        assert proposal == self.bench.proposal
        await self._asked("engage")
        return SimpleNamespace(siblings=SIBLINGS, readiness=self._readiness)

    async def _readiness(self) -> Code | None:
        await self._asked("readiness")
        return self.readiness_code

    async def _related(self, siblings: Any) -> bool:
        assert siblings == SIBLINGS
        await self._asked("related")
        return self.is_related


@pytest.fixture
def outside(bench: Any) -> Outside:
    return Outside(bench)


@pytest.mark.requirement("GATE-01")
async def test_seven_verdicts_in_the_order_of_the_specification(bench: Any, outside: Outside) -> None:
    judgement = await outside.gatekeeper().judge(bench.case)
    assert [verdict.gate for verdict in judgement.verdicts] == IN_ORDER
    assert (judgement.code, judgement.engagement is not None) == (None, True)


@pytest.mark.requirement("GATE-01")
@pytest.mark.parametrize(
    "slowest", ["identity", "tenant", "consent", "notice", "engage", "readiness", "sink", "journal"]
)
async def test_what_answers_last_is_not_reported_last(bench: Any, outside: Outside, slowest: str) -> None:
    outside.delays = {slowest: 0.03}
    outside.facts = {"consent": {"in_force": False}, "identity": {"patient_identified": False}}
    judgement = await outside.gatekeeper().judge(bench.case)
    assert [verdict.gate for verdict in judgement.verdicts] == IN_ORDER
    assert judgement.code is Code.PATIENT_UNIDENTIFIED
    assert set(outside.answered) >= {"identity", "tenant", "consent", "notice", "engage", "sink", "journal"}


@pytest.mark.requirement("GATE-01", "GATE-02")
@pytest.mark.parametrize(
    ("first", "second"), list(itertools.combinations(["identity", "tenant", "consent", "notice"], 2))
)
async def test_of_two_failures_the_earlier_gate_names_the_code(
    bench: Any, outside: Outside, first: str, second: str
) -> None:
    outside.raising = {first: RuntimeError(), second: RuntimeError()}
    judgement = await outside.gatekeeper().judge(bench.case)
    failed = [verdict.gate for verdict in judgement.verdicts if not verdict.passed]
    gates = {"identity": "identity", "tenant": "tenant", "consent": "consent", "notice": "proposal"}
    assert failed == [GateName(gates[first]), GateName(gates[second])]


@pytest.mark.requirement("FAIL-26", "GATE-01")
async def test_nothing_is_asked_where_the_record_says_no(bench: Any, outside: Outside) -> None:
    gatekeeper = outside.gatekeeper()
    refused = gatekeeper.judge_records(bench.filed(withdrawn=True))
    unapproved = gatekeeper.judge_records(bench.decided(conditions=("referral",)))
    assert refused is not None
    assert unapproved is not None
    assert (refused.code, unapproved.code) == (Code.PROPOSAL_WITHDRAWN, Code.APPROVAL_CONDITIONAL)
    assert [verdict.gate for verdict in refused.verdicts] == [GateName.PROPOSAL, GateName.APPROVAL]
    assert gatekeeper.judge_records(bench.case) is None
    assert outside.asked == []


@pytest.mark.requirement("GATE-06", "GATE-11", "CACHE-01")
async def test_each_attempt_asks_everything_anew(bench: Any, outside: Outside) -> None:
    gatekeeper = outside.gatekeeper()
    await gatekeeper.judge(bench.case)
    first = sorted(outside.asked)
    await gatekeeper.judge(bench.case)
    assert sorted(outside.asked) == sorted(first * 2)


@pytest.mark.requirement("DEP-06")
async def test_evidence_that_is_of_another_kind_proves_nothing(bench: Any, outside: Outside) -> None:
    async def wrong(question: Any) -> Any:
        return bench.answers.tenant.model_copy(update={"nonce": question.nonce})

    gatekeeper = outside.gatekeeper()
    gatekeeper.evidence.consent = wrong
    assert (await gatekeeper.judge(bench.case)).code is Code.EVIDENCE_UNAVAILABLE


@pytest.mark.requirement("DEP-06")
async def test_a_source_that_is_late_proves_nothing_and_is_not_waited_for(bench: Any, outside: Outside) -> None:
    outside.delays = {"consent": 60.0}
    case = replace(bench.case, bounds=Bounds().model_copy(update={"evidence_seconds": 0.02}))
    assert (await outside.gatekeeper().judge(case)).code is Code.EVIDENCE_UNAVAILABLE
    assert "consent" not in outside.answered


@pytest.mark.requirement("GATE-28")
@pytest.mark.parametrize("what", ["sink", "journal"])
async def test_audit_readiness_needs_the_journal_and_every_sink(bench: Any, outside: Outside, what: str) -> None:
    outside.raising = {what: JournalUnavailable()}
    assert (await outside.gatekeeper().judge(bench.case)).code is Code.AUDIT_UNAVAILABLE


@pytest.mark.requirement("GATE-28")
async def test_a_failed_disk_is_no_readiness(outside: Outside) -> None:
    outside.raising = {"journal": JournalFailed()}
    gatekeeper = outside.gatekeeper()
    assert await audit_readiness.fetch(gatekeeper.journal, gatekeeper.sinks) is Code.AUDIT_UNAVAILABLE


@pytest.mark.requirement("GATE-24", "GATE-27")
@pytest.mark.parametrize("code", [Code.EXTERNAL_UNAVAILABLE, Code.READINESS_UNVERIFIABLE, Code.CREDENTIALS_REJECTED])
async def test_external_readiness_is_what_the_system_said(bench: Any, outside: Outside, code: Code) -> None:
    outside.readiness_code = code
    assert (await outside.gatekeeper().judge(bench.case)).code is code


@pytest.mark.requirement("GATE-24")
async def test_what_cannot_be_resolved_is_not_asked(bench: Any, outside: Outside) -> None:
    outside.raising = {"engage": Refusal(Code.PARTICULARS_CHANGED)}
    judgement = await outside.gatekeeper().judge(bench.case)
    assert (judgement.code, judgement.engagement) == (Code.PARTICULARS_CHANGED, None)
    assert "readiness" not in outside.asked


@pytest.mark.requirement("CARD-10")
async def test_an_unresolved_sibling_is_found_before_the_system_is_asked(bench: Any, outside: Outside) -> None:
    outside.is_related = True
    gatekeeper = outside.gatekeeper()
    _, code = await external_readiness.fetch(gatekeeper.boundary, gatekeeper.journal, bench.proposal)
    assert code is Code.RELATED_UNRESOLVED
    assert "readiness" not in outside.asked


@pytest.mark.requirement("GATE-06")
async def test_evidence_as_old_as_another_attempt_is_stale(bench: Any, outside: Outside) -> None:
    outside.facts = {"consent": {"as_of": bench.case.now - timedelta(minutes=2)}}
    assert (await outside.gatekeeper().judge(bench.case)).code is Code.EVIDENCE_STALE
