"""The statement that somebody tried an adapter and found it conformant: what is signed, and no more.

Owns: the signed document. It is an in-toto Statement v1 with the predicate test-result v0.1, member names spelled as
in-toto spells them; what in-toto has no word for is in `predicate.gateway`. It speaks of no practice: whoever ran the
suite makes it, and it counts where a practice lists their key for this kind.
Refuses: a statement of anything but success, and one that holds for longer than `MAX_DAYS` after the run.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from gateway.contracts.adapter import Descriptor
from gateway.contracts.base import Instant, Model, Slug
from gateway.contracts.canonical import Digest
from gateway.contracts.faults import ContentError
from gateway.contracts.statements import Signed

IN_TOTO: Final = "https://in-toto.io/Statement/v1"
TEST_RESULT: Final = "https://in-toto.io/attestation/test-result/v0.1"
MAX_DAYS: Final = 400
PROVES: Final = (
    "The holder of the signing key ran this suite against this target with this code, and the raw results of that "
    "digest yield this verdict. It does not prove that the target behaved as the vendor's production system does."
)

TestName = Annotated[str, StringConstraints(pattern=r"^[a-z]+(?:[.-][a-z]+)+$", max_length=80)]
TestNames = Annotated[tuple[TestName, ...], Field(max_length=1000)]
Label = Annotated[str, StringConstraints(max_length=120)]
Count = Annotated[int, Field(ge=0)]


class DigestSet(Model):
    """in-toto's DigestSet, of the one algorithm that is used here."""

    sha256: Digest


class Resource(Model):
    """in-toto's ResourceDescriptor: the adapter's code, the suite, the raw results, the target."""

    name: Label
    digests: DigestSet = Field(alias="digest")


class AtMostOnceEvidence(Model):
    """Commits called, mutating requests on the wire and effects that the observer saw, over the whole run."""

    evidence: Slug
    trials: Count
    points: Annotated[tuple[Slug, ...], Field(max_length=64)]
    commits: Count
    requests: Count
    effects: Count


class MutationScore(Model):
    """How many of the adapter's deliberate breakages the checks noticed."""

    tried: Count
    caught: Count


class TestedTarget(Model):
    """Which system was tried, by whom it was watched, and what it was left with. No host is named."""

    label: Label
    fingerprint: Digest
    observer: Slug
    launched: bool
    twin: Label | None = None
    remaining: Count


class Facts(Model):
    """What the predicate test-result has no word for.

    `on_twin` lists the passed checks whose evidence is a stand-in's, not the target's. `capabilities` is what the
    adapter claimed; a connection for which it claims anything else is not covered. `parts`: sittings of one run.
    """

    contract_version: Annotated[int, Field(ge=1)]
    suite_version: Annotated[str, StringConstraints(max_length=60)]
    dialect: Slug
    capabilities: Descriptor
    credential: bool
    exhaustive: bool
    target: TestedTarget
    salt: Digest
    parts: Annotated[int, Field(ge=1)]
    not_applicable: TestNames
    could_not_run: TestNames
    on_twin: TestNames
    at_most_once: AtMostOnceEvidence
    mutation: MutationScore | None = None
    attempts: Count
    started_at: Instant
    ended_at: Instant
    issued_at: Instant
    expires_at: Instant
    proves: Annotated[str, StringConstraints(max_length=400)] = PROVES

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if not self.started_at <= self.ended_at <= self.issued_at < self.expires_at:
            raise ContentError("a run begins, ends, is stated and expires, in this order")
        if self.expires_at - self.ended_at > timedelta(days=MAX_DAYS):
            raise ContentError(f"a statement holds for at most {MAX_DAYS} days after its run")
        return self


class TestResult(Model):
    """The predicate. `WARNED`: an advisory check did not pass. A failed run is not stated at all."""

    result: Literal["PASSED", "WARNED"]
    configuration: Annotated[tuple[Resource, Resource, Resource], Field(description="suite, results, target")]
    passedTests: TestNames
    warnedTests: TestNames
    failedTests: Annotated[tuple[TestName, ...], Field(max_length=0)] = ()
    gateway: Facts


class ConformanceStatement(Signed):
    """One adapter's code, tried against one target in one dialect, found conformant."""

    typ: ClassVar[str] = "gateway-conformance+jws"

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(default=IN_TOTO, alias="_type")
    subject: tuple[Resource]
    predicateType: Literal["https://in-toto.io/attestation/test-result/v0.1"] = TEST_RESULT
    predicate: TestResult

    @property
    def adapter(self) -> str:
        return self.subject[0].name

    @property
    def code_digest(self) -> str:
        return self.subject[0].digests.sha256

    @property
    def facts(self) -> Facts:
        return self.predicate.gateway

    def plain(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_none=True, by_alias=True)
