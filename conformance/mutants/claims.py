"""Wrappers that claim more or less than the adapter keeps."""

from __future__ import annotations

from typing import Any

from conformance.mutants.wrapper import Wrapper
from gateway.contracts.adapter import Adapter, Basis, Descriptor, Exclusivity, Idempotency
from gateway.contracts.connection import Connection
from gateway.contracts.proposal import Operation


class _Claiming(Wrapper):
    """Changes fields of the descriptor."""

    def _claims(self) -> dict[str, Any]:
        return {}

    def describe(self, connection: Connection) -> Descriptor:
        return self._adapter.describe(connection).model_copy(update=self._claims())


class ExclusivityClaimed(_Claiming):
    name = "exclusivity-claimed"
    flaw = "claims that the system keeps two appointments out of one slot, which it does not"
    double_books = True

    @classmethod
    def applies(cls, claims: Descriptor) -> bool:
        return claims.exclusivity is not Exclusivity.ENFORCED

    def _claims(self) -> dict[str, Any]:
        return {"exclusivity": Exclusivity.ENFORCED}


class UniqueKeysClaimed(_Claiming):
    name = "unique-keys-claimed"
    flaw = "claims that the system refuses a second use of a key, which it does not"
    double_books = True

    @classmethod
    def applies(cls, claims: Descriptor) -> bool:
        return claims.idempotency is not Idempotency.UNIQUE

    def _claims(self) -> dict[str, Any]:
        return {"idempotency": Idempotency.UNIQUE}


class ObservationClaimed(_Claiming):
    name = "observation-claimed"
    flaw = "claims to find commits by key, which it cannot"

    @classmethod
    def applies(cls, claims: Descriptor) -> bool:
        return claims.observation is Basis.NONE

    def _claims(self) -> dict[str, Any]:
        return {"observation": Basis.BY_KEY}


class ObservationDenied(_Claiming):
    name = "observation-denied"
    flaw = "claims that nothing can be looked up, and looks it up"

    @classmethod
    def applies(cls, claims: Descriptor) -> bool:
        return claims.observation is not Basis.NONE

    def _claims(self) -> dict[str, Any]:
        return {"observation": Basis.NONE}


class _Hiding(_Claiming):
    """Leaves out an operation that it carries out all the same."""

    hidden: Operation

    @classmethod
    def applies(cls, claims: Descriptor) -> bool:
        return cls.hidden in claims.operations and len(claims.operations) > 1

    def describe(self, connection: Connection) -> Descriptor:
        claimed = self._adapter.describe(connection)
        kept = tuple(operation for operation in claimed.operations if operation is not self.hidden)
        return claimed.model_copy(update={"operations": kept})


class BookingHidden(_Hiding):
    name = "booking-hidden"
    flaw = "declares no booking, and books"
    hidden = Operation.BOOK
    double_books = True


class RescheduleHidden(_Hiding):
    name = "reschedule-hidden"
    flaw = "declares no reschedule, and reschedules"
    hidden = Operation.RESCHEDULE
    double_books = True


class CancelHidden(_Hiding):
    name = "cancel-hidden"
    flaw = "declares no cancellation, and cancels"
    hidden = Operation.CANCEL
    double_books = True


class BudgetTooSmall(_Claiming):
    name = "budget-too-small"
    flaw = "declares fewer requests than an attempt needs"

    def _claims(self) -> dict[str, Any]:
        return {"requests_per_attempt": 1}


class Unsteady(_Claiming):
    name = "unsteady"
    flaw = "describes itself otherwise each time"

    def __init__(self, adapter: Adapter) -> None:
        super().__init__(adapter)
        self._asked = 0

    def _claims(self) -> dict[str, Any]:
        self._asked += 1
        return {"requests_per_attempt": 32 + self._asked % 2}
