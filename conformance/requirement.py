"""What a demand of F-03 is, and which declared capabilities make it not applicable.

Owns: the words of the registry. Refuses to let experience excuse anything: a need is a claim of the descriptor or of
the sealed connection, never something that a run found out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from gateway.contracts.adapter import Basis, Descriptor, Exclusivity, Idempotency
from gateway.contracts.proposal import Operation

CONTRACT_VERSION: Final = 1


class Level(StrEnum):
    """Whether every adapter must pass, or only one that declares the capability."""

    MUST = "must"
    IF_DECLARED = "if-declared"


class Tier(StrEnum):
    """`core` runs on the vendor's own sandbox; `exhaustive` on a twin, unless the target says otherwise."""

    CORE = "core"
    EXHAUSTIVE = "exhaustive"


class Need(StrEnum):
    """What must be declared for a requirement to apply; a claim, never an experience of the run."""

    BOOK = "book"
    RESCHEDULE = "reschedule"
    CANCEL = "cancel"
    NO_BOOK = "no-book"
    NO_RESCHEDULE = "no-reschedule"
    NO_CANCEL = "no-cancel"
    UNIQUE_KEY = "unique-key"
    EXCLUSIVE_SLOTS = "exclusive-slots"
    SHARED_SLOTS = "shared-slots"
    OBSERVATION = "observation"
    NO_OBSERVATION = "no-observation"
    CREDENTIAL = "credential"


_DECLARED: Final[Mapping[Need, Callable[[Descriptor, bool], bool]]] = MappingProxyType(
    {
        Need.BOOK: lambda claims, _: Operation.BOOK in claims.operations,
        Need.RESCHEDULE: lambda claims, _: Operation.RESCHEDULE in claims.operations,
        Need.CANCEL: lambda claims, _: Operation.CANCEL in claims.operations,
        Need.NO_BOOK: lambda claims, _: Operation.BOOK not in claims.operations,
        Need.NO_RESCHEDULE: lambda claims, _: Operation.RESCHEDULE not in claims.operations,
        Need.NO_CANCEL: lambda claims, _: Operation.CANCEL not in claims.operations,
        Need.UNIQUE_KEY: lambda claims, _: claims.idempotency is Idempotency.UNIQUE,
        Need.EXCLUSIVE_SLOTS: lambda claims, _: claims.exclusivity is Exclusivity.ENFORCED,
        Need.SHARED_SLOTS: lambda claims, _: claims.exclusivity is not Exclusivity.ENFORCED,
        Need.OBSERVATION: lambda claims, _: claims.observation is not Basis.NONE,
        Need.NO_OBSERVATION: lambda claims, _: claims.observation is Basis.NONE,
        Need.CREDENTIAL: lambda _, credential: credential,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One demand. `rows` are the catalogue's requirement ids that it serves.

    `writes`, `slots` and `looks` are upper bounds of what one run of it costs: mutating requests at the peer,
    slots of the pool, and observations that wait for the settling time. `reads_only` requirements send no write.
    `at_most_once` ones can never be a known failure. `stands_in`: a core one that may run on a twin, where the
    sandbox has no credential that reads without writing. `struck` ones rest on a fault: without its receipt they have
    not passed.
    """

    id: str
    statement: str
    rows: tuple[str, ...]
    needs: tuple[Need, ...] = ()
    tier: Tier = Tier.CORE
    writes: int = 0
    slots: int = 1
    looks: int = 0
    at_most_once: bool = False
    stands_in: bool = False
    struck: bool = False
    since: int = 1

    @property
    def level(self) -> Level:
        return Level.IF_DECLARED if self.needs else Level.MUST

    @property
    def reads_only(self) -> bool:
        return self.writes == 0

    @property
    def suits_production(self) -> bool:
        """Whether a practice's own system may bear it: no write, and no credential that could lock its account out."""
        return self.reads_only and Need.CREDENTIAL not in self.needs

    @property
    def admits_twin(self) -> bool:
        """Whether evidence from a twin counts."""
        return self.stands_in or self.tier is Tier.EXHAUSTIVE

    @property
    def advisory(self) -> bool:
        return self.since > CONTRACT_VERSION

    def missing(self, claims: Descriptor, *, credential: bool) -> tuple[Need, ...]:
        """The needs that are not declared; any makes the requirement not applicable. `credential`: whether the
        connection has one at all. A booking that is only missing to build a declared change upon excuses nothing."""
        if self.is_groundless(claims):
            return ()
        return tuple(need for need in self.needs if not _DECLARED[need](claims, credential))

    def is_groundless(self, claims: Descriptor) -> bool:
        """Whether it is about changes that are declared, all of them, by an adapter that declares no booking to make
        them to. Such a change can never be tried, and what cannot be tried must not be excused."""
        changes = [need for need in self.needs if need in (Need.RESCHEDULE, Need.CANCEL)]
        declared = all(_DECLARED[need](claims, False) for need in changes)
        return bool(changes) and declared and Need.BOOK in self.needs and Operation.BOOK not in claims.operations
