"""The signed statement of a conformant run: drawn up from its raw results, and checked against them.

    draw_up(raw, installed, *, now, valid_days) -> ConformanceStatement     # then gateway.surfaces.sign.sign
    verify(token, raw, keys, *, now, installed) -> Verified[ConformanceStatement]
    suite_digest() -> str

`raw` are the exact bytes of `results.json`, `installed` is `gateway.conformity.identify(adapter, name)`.
Owns: that a statement says nothing that its raw results do not. One function makes the whole statement of them;
verification makes it again and compares every member, so nothing in it is believed.
Refuses, as `UsageError` naming what is wrong: a run that is not conformant by `conformance.verdict.derive`, read-only
or interrupted ones, ids that this suite does not know, other code than is installed, an edited member on either side,
and an instant outside the statement's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from conformance.registry import REQUIREMENTS
from conformance.reports.document import read
from conformance.requirement import CONTRACT_VERSION
from conformance.results import RESULTS_FILE, Evidence, Judgement, Peer, Profile, Results, Verdict
from conformance.verdict import at_most_once, derive, unmet
from gateway.attestation import (
    MAX_DAYS,
    AtMostOnceEvidence,
    ConformanceStatement,
    DigestSet,
    Facts,
    MutationScore,
    Resource,
    TestedTarget,
    TestResult,
)
from gateway.conformity import AdapterCode, code_digest
from gateway.errors import UsageError
from gateway.signatures import Keyring, TrustedKeys, Verified
from gateway.signatures import verify as verify_signature

DAYS: Final = 365
SUITE: Final = "conformance"


class StatementError(UsageError):
    """These results, or this statement, do not hold; says what does not."""


def suite_digest() -> str:
    """The digest of this suite's own installed code, by the rule for an adapter's."""
    return code_digest(SUITE)


def draw_up(raw: bytes, installed: AdapterCode, *, now: datetime, valid_days: int = DAYS) -> ConformanceStatement:
    """The statement of a conformant run, valid until `valid_days` after the run ended; raises `UsageError`.

    Signing later gains no time: only a new run does. The suite and the adapter must still be what they were.
    """
    results = read(raw)
    _must_be_conformant(results)
    _must_be_installed(results.adapter.name, results.adapter.code_digest, installed)
    if results.suite != suite_digest():
        raise StatementError("the suite is not the one that made these results; run it again")
    if not 1 <= valid_days <= MAX_DAYS:
        raise StatementError(f"days: from 1 to {MAX_DAYS}")
    if now < results.ended_at:
        raise StatementError("the run ends in the future; one of the two clocks is wrong")
    expires_at = results.ended_at + timedelta(days=valid_days)
    if expires_at <= now:
        raise StatementError(f"the run ended {valid_days} days ago or earlier; run the suite again")
    return _statement(results, raw, now, expires_at)


def verify(
    token: str, raw: bytes, keys: Keyring | TrustedKeys, *, now: datetime, installed: AdapterCode | None = None
) -> Verified[ConformanceStatement]:
    """The statement in `token`, if a trusted key signed it, everything in it follows from `raw`, and it holds now.

    With `installed`, it must be of that adapter's code. Raises `UsageError` naming the first thing that is wrong.
    """
    verified = verify_signature(token, ConformanceStatement, keys)
    stated = verified.statement
    by_name = {resource.name: resource.digests.sha256 for resource in stated.predicate.configuration}
    if by_name.get(RESULTS_FILE) != hashlib.sha256(raw).hexdigest():
        raise StatementError(f"{RESULTS_FILE} is not the one that was signed: its SHA-256 differs")
    results = read(raw)
    _must_be_conformant(results)
    derived = _statement(results, raw, stated.facts.issued_at, stated.facts.expires_at)
    if altered := sorted(_differences(stated.plain(), derived.plain())):
        raise StatementError(f"the statement does not follow from {RESULTS_FILE}: {', '.join(altered[:5])}")
    if now < stated.facts.issued_at:
        raise StatementError("the statement is not valid yet; check the clock")
    if now >= stated.facts.expires_at:
        raise StatementError(f"the statement expired on {stated.facts.expires_at:%Y-%m-%d}; run the suite again")
    if installed is not None:
        _must_be_installed(stated.adapter, stated.code_digest, installed)
    return verified


def _must_be_conformant(results: Results) -> None:
    if results.contract_version != CONTRACT_VERSION:
        raise StatementError(f"the results are of contract version {results.contract_version}, not {CONTRACT_VERSION}")
    if unknown := sorted({entry.requirement for entry in results.results} - REQUIREMENTS.keys()):
        raise StatementError(f"{len(unknown)} results are of requirements that this suite does not have")
    if results.profile is not Profile.SANDBOX:
        raise StatementError(f"a run of profile {results.profile} writes nothing, so it proves no commit")
    observed = results.at_most_once.evidence is not Evidence.UNOBSERVABLE
    counted = at_most_once(results.results, observed=observed)
    if counted.evidence is Evidence.VIOLATED:
        raise StatementError("at most once was violated")
    if counted != results.at_most_once:
        raise StatementError(f"the at-most-once evidence in {RESULTS_FILE} does not follow from its results")
    verdict = derive(results)
    if verdict is not Verdict.CONFORMANT:
        named = ", ".join(requirement.id for requirement, _ in unmet(results))
        raise StatementError(f"the run is {verdict}" + (f": {_shortened(named)}" if named else ""))
    if results.verdict is not verdict:
        raise StatementError(f"{RESULTS_FILE} says {results.verdict}, but its results yield {verdict}")


def _must_be_installed(name: str, digest: str, installed: AdapterCode) -> None:
    if name != installed.name:
        raise StatementError(f"of adapter {name}, not {installed.name}")
    if digest != installed.digest:
        raise StatementError(
            f"adapter {name}: other code is installed than was tried (every file counts); run the suite again"
        )


def _statement(results: Results, raw: bytes, issued_at: datetime, expires_at: datetime) -> ConformanceStatement:
    """What these results say, whole: a pure function, which verification repeats."""
    warned = _ended(results, *(set(Judgement) - {Judgement.PASSED, Judgement.NOT_APPLICABLE}))
    try:
        return ConformanceStatement(
            subject=(_resource(results.adapter.name, results.adapter.code_digest),),
            predicate=TestResult(
                result="WARNED" if warned else "PASSED",
                configuration=(
                    _resource(SUITE, results.suite),
                    _resource(RESULTS_FILE, hashlib.sha256(raw).hexdigest()),
                    _resource("target", results.target.fingerprint),
                ),
                passedTests=_ended(results, Judgement.PASSED),
                warnedTests=warned,
                gateway=_facts(results, issued_at, expires_at),
            ),
        )
    except ValidationError as error:
        named = ", ".join(sorted({str(fault["loc"][-1]) if fault["loc"] else fault["msg"] for fault in error.errors()}))
        raise StatementError(f"{RESULTS_FILE} cannot be stated: {named}") from None


def _facts(results: Results, issued_at: datetime, expires_at: datetime) -> Facts:
    counted, target, caught = results.at_most_once, results.target, [entry.caught for entry in results.mutation]
    on_twin = {entry.requirement for entry in results.results if entry.peer is Peer.TWIN}
    return Facts(
        contract_version=results.contract_version,
        suite_version=results.suite_version,
        dialect=target.dialect,
        capabilities=results.descriptor,
        credential=results.credential,
        exhaustive=results.exhaustive,
        target=TestedTarget(
            label=target.label,
            fingerprint=target.fingerprint,
            observer=target.observer.value,
            launched=target.launched,
            twin=target.twin,
            remaining=sum(left.remaining for left in results.residue),
        ),
        salt=results.salt,
        parts=results.parts,
        not_applicable=_ended(results, Judgement.NOT_APPLICABLE),
        could_not_run=_ended(results, Judgement.COULD_NOT_RUN, Judgement.HARNESS_ERROR),
        on_twin=tuple(name for name in _ended(results, Judgement.PASSED) if name in on_twin),
        at_most_once=AtMostOnceEvidence(
            evidence=counted.evidence.value,
            trials=counted.trials,
            points=counted.points,
            commits=counted.commits,
            requests=counted.requests,
            effects=counted.effects,
        ),
        mutation=MutationScore(tried=len(caught), caught=sum(caught)) if caught else None,
        attempts=sum(len(entry.attempts) for entry in results.results),
        started_at=results.started_at,
        ended_at=results.ended_at,
        issued_at=issued_at,
        expires_at=expires_at,
    )


def _ended(results: Results, *judgements: Judgement) -> tuple[str, ...]:
    return tuple(entry.requirement for entry in results.results if entry.judgement in judgements)


def _resource(name: str, digest: str) -> Resource:
    return Resource(name=name, digest=DigestSet(sha256=digest))


def _differences(stated: Any, derived: Any, path: str = "") -> Iterator[str]:
    """Paths of the members that differ; values stay unnamed."""
    if isinstance(stated, dict) and isinstance(derived, dict):
        for name in stated.keys() | derived.keys():
            yield from _differences(stated.get(name), derived.get(name), f"{path}.{name}" if path else name)
    elif stated != derived:
        yield path


def _shortened(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:300]}…"
