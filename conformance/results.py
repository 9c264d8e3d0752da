"""What a run leaves behind: `results.json`, whose schema is documented in `docs/conformance.md`.

Owns: the words of a verdict and the frozen document that reports, statements and verification all read.
Refuses: free text of a peer's or an adapter's. Every sentence in here is the suite's own; identifiers, bodies and
header values of an exchange are masked before they get here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from gateway.contracts.adapter import Basis, Commitment, Descriptor
from gateway.contracts.base import Instant, Model, Slug
from gateway.contracts.canonical import Digest
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect, ObservationFinding

RESULTS_FILE = "results.json"
MAX_EXCHANGES = 200
"""Of one check; the last ones tell why it failed."""
RESULTS_DOMAIN = "conformance-results/v1"

RequirementId = Annotated[str, StringConstraints(pattern=r"^[a-z]+(?:[.-][a-z]+)+$", max_length=80)]
Sentence = Annotated[str, StringConstraints(max_length=400)]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(allow_inf_nan=False)]


class Judgement(StrEnum):
    """How one check ended: a claim excuses (not applicable), an obstacle (could not run) does not."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not-applicable"  # only from declared capabilities
    COULD_NOT_RUN = "could-not-run"  # contention, budget, no receipt, a precondition that did not hold
    HARNESS_ERROR = "harness-error"  # the suite's own fault


class Verdict(StrEnum):
    """Of a whole run."""

    CONFORMANT = "conformant"
    NOT_CONFORMANT = "not-conformant"
    INCOMPLETE = "incomplete"


class Peer(StrEnum):
    """Which system a check talked to. Only the target's own replies say anything about the vendor."""

    TARGET = "target"
    TWIN = "twin"


class Grade(StrEnum):
    """How independent the observer is, best first."""

    SECOND_CREDENTIAL = "second-credential"
    INDEPENDENT_CLIENT = "independent-client"
    ATTESTED = "attested"


class Profile(StrEnum):
    SANDBOX = "sandbox"
    PRODUCTION_READONLY = "production-readonly"


class ReceiptRecord(Model):
    """A fault that was armed: whether it fired, on which exchange, and what the proxy saw."""

    point: Slug
    fired: Count
    forwarded: bool
    answered: bool
    exchange: int | None = None
    facts: Annotated[tuple[Sentence, ...], Field(max_length=16)] = ()


class ExchangeRecord(Model):
    """One exchange, masked (`conformance.redaction`). Offsets are seconds from the start of the check."""

    number: Count
    method: Annotated[str, StringConstraints(pattern=r"^[A-Z-]{1,20}$")]
    target: Annotated[str, StringConstraints(max_length=500)]
    mutating: bool
    request_headers: tuple[str, ...] = ()
    request_body: Annotated[str, StringConstraints(max_length=4000)] = ""
    status: int | None = None
    reply_headers: tuple[str, ...] = ()
    reply_body: Annotated[str, StringConstraints(max_length=4000)] = ""
    delivered_bytes: Count = 0
    arrived: Seconds
    forwarded: Seconds | None = None
    answered: Seconds | None = None
    ended: Seconds | None = None
    point: Slug | None = None


class AttemptRecord(Model):
    """One attempt of the adapter at one action. `sent` counts mutating requests at the proxy."""

    operation: Operation
    readiness: Code | None = None
    ready: bool = False
    effect: Effect | None = None
    code: Code | None = None
    sent: Count = 0
    finding: ObservationFinding | None = None
    basis: Basis | None = None
    seconds: Seconds = 0.0


class Result(Model):
    """One requirement, once; `peer` says on which system. `reason`: what was expected, what was found.

    `effects` is what the observer counted at the slot in question, where it was asked, and `expected_effects` what
    should stand there.
    """

    requirement: RequirementId
    judgement: Judgement
    peer: Peer
    reason: Sentence | None = None
    attempts: Annotated[tuple[AttemptRecord, ...], Field(max_length=200)] = ()
    receipts: Annotated[tuple[ReceiptRecord, ...], Field(max_length=50)] = ()
    exchanges: Annotated[tuple[ExchangeRecord, ...], Field(max_length=MAX_EXCHANGES)] = ()
    injected: bool = False
    effects: Count | None = None
    expected_effects: Count | None = None
    overlap: Count | None = None
    misconduct: Annotated[tuple[Slug, ...], Field(max_length=8)] = ()
    started_at: Instant
    seconds: Seconds


class AdapterIdentity(Model):
    """Which code was tried: the digest of what is installed (`gateway.conformity.code_digest`)."""

    name: Slug
    distribution: Annotated[str, StringConstraints(max_length=100)]
    version: Annotated[str, StringConstraints(max_length=60)]
    code_digest: Digest


class TargetIdentity(Model):
    """Which system, without naming a host: `fingerprint` is the digest of address, dialect and settings."""

    label: Annotated[str, StringConstraints(max_length=120)]
    dialect: Slug
    fingerprint: Digest
    observer: Grade
    launched: bool
    twin: Annotated[str, StringConstraints(max_length=120)] | None = None


class Residue(Model):
    """What the run wrote and what became of it, without identifiers. `remaining` appointments could not be removed;
    `where` names their slots (start instants of the author's pool). `kept` of the removed are still shown, as
    cancelled. Not `verified`: the last look failed, and the figures are the ledger's upper bounds."""

    peer: Peer
    created: Count
    removed: Count
    remaining: Count
    where: tuple[Instant, ...] = ()
    kept: Count = 0
    verified: bool = True
    writes: Count = 0
    budget: Count = 0


class Evidence(StrEnum):
    """At-most-once over the whole run; never "exactly once"."""

    VIOLATED = "violated"
    NOT_VIOLATED = "not-violated"
    UNOBSERVABLE = "unobservable"


class AtMostOnce(Model):
    """Intents (commits called), mutating requests on the wire and effects that the observer saw, compared."""

    evidence: Evidence
    trials: Count
    points: tuple[Slug, ...]
    commits: Count
    requests: Count
    effects: Count


class MutantScore(Model):
    """One wrapper around the author's adapter: whether any check noticed it."""

    mutant: Slug
    caught: bool
    by: tuple[RequirementId, ...] = ()
    peer: Peer


class Difference(Model):
    """Twin calibration: a check that ended otherwise on the twin than on the target."""

    requirement: RequirementId
    target: Judgement
    twin: Judgement
    detail: Sentence | None = None


class Results(Model):
    """`results.json`. `verdict` repeats what `conformance.verdict.derive` makes of the rest; nobody believes it
    without deriving it again."""

    format: Literal[1] = 1
    contract_version: Annotated[int, Field(ge=1)]
    suite: Digest
    suite_version: str
    adapter: AdapterIdentity
    descriptor: Descriptor
    commitment: Commitment
    credential: bool
    target: TargetIdentity
    profile: Profile
    exhaustive: bool
    salt: Digest
    parts: Annotated[int, Field(ge=1)]
    started_at: Instant
    ended_at: Instant
    results: Annotated[tuple[Result, ...], Field(max_length=1000)]
    at_most_once: AtMostOnce
    residue: tuple[Residue, ...] = ()
    mutation: tuple[MutantScore, ...] = ()
    calibration: tuple[Difference, ...] = ()
    known: tuple[RequirementId, ...] = ()
    interrupted: bool = False
    verdict: Verdict
