"""Every mutant by name: the wrappers, the broken adapters, the controls.

Owns: the lists. A mutant that is written and not listed here is not tried; a test looks for such.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import httpx

from adapters.sandbox.adapter import SandboxAdapter
from conformance.mutants import answers, claims, conduct, keys, looks, readiness
from conformance.mutants.broken import asking, controls, looking, reading, sending
from conformance.mutants.broken.base import BrokenSandbox
from conformance.mutants.wrapper import Wrapper
from gateway.contracts.adapter import Adapter, Basis, Descriptor, Exclusivity, Idempotency, Observation, Query
from gateway.contracts.connection import Connection
from gateway.contracts.words import ObservationFinding

_USUAL: Final = "adapters.sandbox.testing:premises"

WRAPPERS: Final[tuple[type[Wrapper], ...]] = (
    keys.KeyDropped,
    keys.KeyMadeNew,
    keys.KeyShared,
    keys.LookedUpElsewhere,
    keys.VersionIgnored,
    keys.VersionDenied,
    readiness.NeverReady,
    readiness.AlwaysReady,
    readiness.ReadyUnanswered,
    readiness.ReadinessRemembered,
    readiness.SlotIgnored,
    readiness.CredentialsAssumed,
    readiness.ReadinessCollapsed,
    looks.AlwaysPresent,
    looks.AlwaysAbsent,
    looks.AlwaysDifferent,
    looks.NeverFinds,
    looks.UnclearIsAbsent,
    looks.LookRemembered,
    looks.BasisUnderstated,
    answers.RefusalSwallowed,
    answers.SilenceRefused,
    answers.UnknownRefused,
    answers.AnythingApplied,
    answers.CodesCollapsed,
    answers.RefusalUnclear,
    answers.SuccessUnclear,
    answers.VersionLost,
    answers.VersionMadeUp,
    conduct.CommitsTwice,
    conduct.Retries,
    conduct.RetriesErrors,
    conduct.CommitsInReadiness,
    conduct.CommitsInObserve,
    conduct.LeaksIntoLog,
    conduct.LeaksIntoOutput,
    conduct.LeaksIntoErrorOutput,
    conduct.LeaksIntoException,
    conduct.OwnConnection,
    conduct.OwnProcess,
    conduct.CallsElsewhere,
    conduct.OwnCredential,
    conduct.ClientKept,
    conduct.RaisesOnRefusal,
    conduct.LeavesOnRefusal,
    conduct.AnswersNothing,
    conduct.Deaf,
    conduct.Hoards,
    claims.ExclusivityClaimed,
    claims.UniqueKeysClaimed,
    claims.ObservationClaimed,
    claims.ObservationDenied,
    claims.BookingHidden,
    claims.RescheduleHidden,
    claims.CancelHidden,
    claims.BudgetTooSmall,
    claims.Unsteady,
)

BROKEN: Final[tuple[type[BrokenSandbox], ...]] = (
    sending.ForgetsKey,
    sending.ForgetsIfMatch,
    sending.SendsAgainWhenUnavailable,
    sending.FiresAndForgets,
    sending.VersionReadAgain,
    sending.LocalTime,
    sending.UsualLength,
    sending.EndIsStart,
    sending.AnotherPatient,
    sending.MovesByBooking,
    sending.MovesInTwoSteps,
    sending.CancelsTheLatest,
    sending.CancelsByMoving,
    sending.PreparedShared,
    reading.AnyConflictIsTaken,
    reading.TakenIsUnclear,
    reading.DuplicateIsSuccess,
    reading.StaleIsSuccess,
    reading.StaleIsInvalid,
    reading.TrustsTheStatus,
    reading.ErrorsRefused,
    reading.UnreadableRefused,
    reading.ForbiddenIsCredentials,
    reading.CredentialsAreUnclear,
    reading.ThrottledIsInvalid,
    reading.RejectedIsApplied,
    reading.VersionInQuotes,
    reading.IdentifierMistaken,
    reading.RaisesForStatus,
    reading.CatchesEverything,
    asking.AsksHealthOnly,
    asking.IgnoresPermissions,
    asking.RemembersPermissions,
    asking.HoldsTheSlot,
    asking.SlotsNotAsked,
    asking.SlotOfItself,
    asking.UnauthorisedIsUnavailable,
    asking.AnyPatient,
    asking.PollsUntilReady,
    asking.AnyEarlierVersion,
    asking.AnyVersion,
    asking.CancelledIsOpen,
    asking.MissingIsOpen,
    asking.MissingIsChanged,
    asking.ReadsLeniently,
    asking.BusyIsReady,
    asking.BrokenOffIsReady,
    looking.LooksAtTheSlot,
    looking.LooksAtTheKeyOnly,
    looking.LooksForTheTarget,
    looking.FailureIsAbsence,
    looking.NotFoundIsAbsence,
    looking.NoiseIsAbsence,
    looking.LooksIntoItsMemory,
    looking.LooksAtACopy,
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """`make` gives a fresh one; `launch` is the `PremisesFactory` that it is tried at."""

    name: str
    flaw: str
    make: Callable[[], Adapter]
    launch: str = _USUAL


class LaxSandbox(SandboxAdapter):
    """Claims less than the usual one, and keeps to that."""

    def __init__(self, **claimed: Any) -> None:
        self._claimed = claimed

    def describe(self, connection: Connection) -> Descriptor:
        return super().describe(connection).model_copy(update=self._claimed)

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        if self._claimed.get("observation") is Basis.NONE:
            return Observation(finding=ObservationFinding.INDETERMINATE, basis=Basis.NONE)
        return await super().observe(query, read)


_LAX: Final[Mapping[type[Wrapper], tuple[str, Mapping[str, Any]]]] = MappingProxyType(
    {
        claims.ExclusivityClaimed: ("conformance.mutants.premises:sharing", {"exclusivity": Exclusivity.NONE}),
        claims.UniqueKeysClaimed: ("conformance.mutants.premises:repeating", {"idempotency": Idempotency.LOOKUP}),
        claims.ObservationClaimed: (_USUAL, {"observation": Basis.NONE}),
    }
)
"""Wrappers that are no flaw around the usual adapter: where they are tried, and what is honestly claimed there."""


def _wrapped(wrapper: type[Wrapper]) -> Mutant:
    launch, honest = _LAX.get(wrapper, (_USUAL, {}))
    return Mutant(wrapper.name, wrapper.flaw, lambda: wrapper(LaxSandbox(**honest)), launch)


def _broken(broken: type[BrokenSandbox]) -> Mutant:
    holds = broken is asking.HoldsTheSlot
    launch = "conformance.mutants.premises:holding" if holds else _USUAL
    return Mutant(broken.name, broken.flaw, broken, launch)


CONTROLS: Final[tuple[Mutant, ...]] = (
    _wrapped(Wrapper),
    Mutant(controls.NullAdapter.name, controls.NullAdapter.flaw, controls.NullAdapter),
    Mutant(controls.AlwaysSuccess.name, controls.AlwaysSuccess.flaw, controls.AlwaysSuccess),
)

MUTANTS: Final[Mapping[str, Mutant]] = MappingProxyType(
    {each.name: each for each in (*CONTROLS, *map(_wrapped, WRAPPERS), *map(_broken, BROKEN))}
)
"""All by name, around (or in place of) the sandbox's honest adapter."""
