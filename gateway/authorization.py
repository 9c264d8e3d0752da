"""The short-lived, single-use capability that passed gates and an allowing policy yield.

Without one no adapter's commit is called (I4, GATE-01). It is made in one place, from the seven
verdicts themselves, and spends itself on first use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.contracts.failures import Code
from gateway.contracts.words import GateName
from gateway.errors import InvariantViolation


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one gate found: passed, or the code that says why not."""

    gate: GateName
    code: Code | None = None

    @property
    def passed(self) -> bool:
        return self.code is None


@dataclass(slots=True, kw_only=True)
class Authorization:
    """Leave to dispatch one commit of one proposal, until `expires` (monotonic seconds)."""

    proposal_digest: str
    expires: float
    _spent: bool = field(default=False, repr=False)

    @classmethod
    def grant(
        cls, verdicts: Sequence[Verdict], *, allowed: bool, proposal_digest: str, expires: float
    ) -> Authorization:
        """Raises `InvariantViolation` unless each gate passed exactly once, in order, and policy allows."""
        judged = tuple(verdict.gate for verdict in verdicts)
        if judged != tuple(GateName) or not all(verdict.passed for verdict in verdicts):
            raise InvariantViolation("an authorization needs all seven gates passed")
        if not allowed:
            raise InvariantViolation("an authorization needs a policy that allows")
        return cls(proposal_digest=proposal_digest, expires=expires)

    def live(self, monotonic: float) -> bool:
        return not self._spent and monotonic < self.expires

    def spend(self, proposal_digest: str, monotonic: float) -> None:
        """Use it up; raises `InvariantViolation` when spent, expired or for another proposal."""
        if not self.live(monotonic) or proposal_digest != self.proposal_digest:
            raise InvariantViolation("this authorization does not cover that commit")
        self._spent = True
