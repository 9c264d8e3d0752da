"""Every mutant by name: the wrappers, the broken adapters, the controls.

Owns: the lists. A mutant that is written and not listed here is not tried; a test looks for such.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from adapters.sandbox.adapter import SandboxAdapter
from conformance.mutants import answers, claims, conduct, keys, looks, readiness
from conformance.mutants.broken import asking, controls, looking, reading, sending
from conformance.mutants.broken.base import BrokenSandbox
from conformance.mutants.wrapper import Wrapper
from gateway.contracts.adapter import Adapter

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
    looking.NoiseIsAbsence,
    looking.LooksIntoItsMemory,
    looking.LooksAtACopy,
)


def _wrapped(wrapper: type[Wrapper]) -> Callable[[], Adapter]:
    return lambda: wrapper(SandboxAdapter())


MUTANTS: Final[Mapping[str, Callable[[], Adapter]]] = MappingProxyType(
    {
        Wrapper.name: _wrapped(Wrapper),
        controls.NullAdapter.name: controls.NullAdapter,
        controls.AlwaysSuccess.name: controls.AlwaysSuccess,
        **{wrapper.name: _wrapped(wrapper) for wrapper in WRAPPERS},
        **{broken.name: broken for broken in BROKEN},
    }
)
"""By name, how to make one around (or in place of) the sandbox's honest adapter."""
