"""The target file: which system a run may write to, as whom, where, and how much.

Owns: the TOML document that an author writes beside an adapter, and what it must say before anything is sent.
Refuses, as `TargetError` naming the field and what to do: anything missing, unknown or contradictory. Secrets are
never in it; it says where they are.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from conformance.registry import REQUIREMENTS
from conformance.results import Grade, RequirementId, Sentence
from gateway.contracts.base import Instant, Model, Slug
from gateway.contracts.connection import CredentialUse, Limits, Network, Scheme, Setting
from gateway.contracts.faults import ContentError
from gateway.contracts.proposal import Zone
from gateway.errors import UsageError

Import = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", max_length=200)]
"""`package.module:name`."""


class TargetError(UsageError):
    """The target file does not admit a run; names the field and what to mend."""


class SecretPlace(Model):
    """Where one secret is: a file beside the target file, or an environment variable."""

    file: str | None = None
    environment: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$")] | None = None

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if (self.file is None) == (self.environment is None):
            raise ContentError("name a file or an environment variable")
        return self


class TargetConnection(Model):
    """The connection under test, in the words of a sealed one; the suite adds references of its own."""

    base_url: Annotated[str, StringConstraints(max_length=500)] | None = None
    dialect: Slug = "standard"
    network: Network = Network.PUBLIC
    zone: Zone = "UTC"
    credential: CredentialUse = CredentialUse(scheme=Scheme.NONE)
    limits: Limits = Limits()
    settings: Annotated[dict[Slug, Setting], Field(max_length=32)] = {}
    trust: str | None = None
    """A PEM file of authorities to trust instead of the system's; relative to the target file."""


class Pool(Model):
    """What the run may use: an allow-list of test patients, and slots that nobody else books.

    `subjects` and the other identifiers are the system's own. Slots begin at `first` and follow every
    `every_minutes`, `slots` of them, each `minutes` long. Choose a far future date.
    """

    subjects: Annotated[tuple[str, ...], Field(min_length=2, max_length=16)]
    practitioner: str
    location: str
    service: str
    first: Instant
    slots: Annotated[int, Field(ge=1, le=2000)]
    minutes: Annotated[int, Field(ge=5, le=480)] = 30
    every_minutes: Annotated[int, Field(ge=5, le=1440)] = 30

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.every_minutes < self.minutes:
            raise ContentError("slots would overlap: every_minutes is less than minutes")
        return self


class Target(Model):
    """One target file.

    `launch` starts the system for the run (`PremisesFactory`); what it says replaces `base_url`, and the run is
    exhaustive. `twin` is a stand-in for the checks that a real sandbox cannot bear. `observer` makes an `Observer` from
    (base URL, secrets by name), as `ObserverFactory` says; premises bring their own. `known` are failures that an
    author lives with for now, each with its reason: they change no verdict, and one that no longer fails must be taken
    out.
    """

    sandbox: bool
    label: Annotated[str, StringConstraints(min_length=1, max_length=120)]
    writes: Annotated[int, Field(ge=0, le=10_000)]
    connection: TargetConnection = TargetConnection()
    pool: Pool
    secrets: dict[Slug, SecretPlace] = {}
    launch: Import | None = None
    twin: Import | None = None
    observer: Import | None = None
    grade: Grade = Grade.INDEPENDENT_CLIENT
    exhaustive: bool = False
    mutants: bool = False
    deny: Annotated[tuple[str, ...], Field(max_length=100)] = ()
    known: Annotated[dict[RequirementId, Sentence], Field(max_length=100)] = {}

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        for name in self.known:
            if name not in REQUIREMENTS:
                raise ContentError("known names a requirement that does not exist")
            if REQUIREMENTS[name].at_most_once:
                raise ContentError("known names an at-most-once requirement; such a failure is never acceptable")
        if (self.launch is None) == (self.connection.base_url is None):
            raise ContentError("give either connection.base_url or launch")
        if self.launch is None and self.observer is None and self.grade is not Grade.ATTESTED:
            raise ContentError("name an observer, or set grade = 'attested'")
        return self
