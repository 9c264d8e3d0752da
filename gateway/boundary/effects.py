"""What is known of the external system after a commit, as a pure function (I3).

Owns: the one place where a claim of an adapter meets what left the wire. An adapter's word can only
lower what is known, except that it alone reads the meaning of a complete reply.
Refuses: REFUSED and APPLIED without a complete reply that can carry them, and any (effect, code) pair
that the failure taxonomy does not admit.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from gateway.contracts.adapter import Claim, Commitment, Receipt
from gateway.contracts.failures import FAILURES, Code
from gateway.contracts.words import Effect, End

_ACCEPTED: Final = 202  # RFC 9110 §15.3.3: intentionally noncommittal
_REQUEST_TIMEOUT: Final = 408


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What the wire saw of one commit.

    `sent`: a byte of the mutating request left, or was about to. `status`: its reply's, which arrived
    whole. `fault`: the adapter tried what it may not. `cause`: why the mutating exchange broke
    off or, when nothing was sent, why the last exchange did.
    """

    sent: bool = False
    status: int | None = None
    fault: Code | None = None
    cause: Code | None = None


class Silence(Enum):
    """Instead of a receipt: the call was late, let a transport error through, or broke its contract."""

    LATE = "late"
    BROKEN_OFF = "broken-off"
    FAULTY = "faulty"


def classify(traffic: Traffic, answer: Receipt | Silence, commitment: Commitment) -> tuple[Effect, Code]:
    """The effect and its code; always a pair that `FAILURES` admits (ADAPT-03)."""
    if not traffic.sent:
        return _settle(Effect.NOT_SENT, _not_sent(traffic, answer))
    if traffic.fault is not None:
        return _settle(Effect.UNKNOWN, traffic.fault)
    if traffic.status is None:
        late = Code.EXTERNAL_TIMEOUT if answer is Silence.LATE else Code.CONNECTION_LOST
        return _settle(Effect.UNKNOWN, traffic.cause or late)
    if isinstance(answer, Silence):
        return _settle(Effect.UNKNOWN, _silent(traffic, answer))
    if answer.claim is Claim.APPLIED:
        return _applied(traffic.status, answer, commitment)
    if answer.claim is Claim.REFUSED:
        return _refused(traffic.status, answer)
    return _settle(Effect.UNKNOWN, answer.code)


def _settle(effect: Effect, code: Code) -> tuple[Effect, Code]:
    """The pair, or ADAPTER_FAULT where no row admits it: that code goes with both remaining effects."""
    return effect, code if End[effect.name] in FAILURES[code].ends else Code.ADAPTER_FAULT


def _silent(traffic: Traffic, silence: Silence) -> Code:
    if silence is Silence.LATE:
        return Code.EXTERNAL_TIMEOUT
    if silence is Silence.BROKEN_OFF:
        return traffic.cause or Code.ADAPTER_FAULT
    return Code.ADAPTER_FAULT


def _not_sent(traffic: Traffic, answer: Receipt | Silence) -> Code:
    if traffic.fault is not None:
        return traffic.fault
    if isinstance(answer, Silence):
        code = _silent(traffic, answer)
    elif answer.claim is Claim.APPLIED:
        return Code.ADAPTER_FAULT
    else:
        code = traffic.cause or answer.code
    if code is traffic.cause and End.NOT_SENT not in FAILURES[code].ends:
        return Code.EXTERNAL_UNAVAILABLE  # a read that the commit needed brought no usable reply
    return code


def _applied(status: int, receipt: Receipt, commitment: Commitment) -> tuple[Effect, Code]:
    if receipt.code is not Code.COMMITTED or not 200 <= status < 300:
        return Effect.UNKNOWN, Code.ADAPTER_FAULT
    if commitment is Commitment.RELAYED or status == _ACCEPTED:
        return Effect.UNKNOWN, Code.ACCEPTED_PENDING
    return Effect.APPLIED, Code.COMMITTED


def _refused(status: int, receipt: Receipt) -> tuple[Effect, Code]:
    if receipt.code is Code.DUPLICATE_KEY:
        return Effect.UNKNOWN, Code.DUPLICATE_KEY
    if status >= 500:
        return Effect.UNKNOWN, Code.EXTERNAL_ERROR
    if status == _REQUEST_TIMEOUT:
        return Effect.UNKNOWN, Code.EXTERNAL_TIMEOUT
    if status < 200 or 300 <= status < 400:
        return Effect.UNKNOWN, Code.REPLY_UNRECOGNISED
    if End.REFUSED in FAILURES[receipt.code].ends:
        return Effect.REFUSED, receipt.code
    return _settle(Effect.UNKNOWN, receipt.code)
