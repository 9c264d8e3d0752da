"""What a vendor says in JSON, read into shapes: all of it understood, or nothing (I3).

Owns: the base of such shapes, and the codes of replies that refute readiness on any HTTP system.
Refuses, as `Refusal`: statuses other than the expected one, and bodies that are not of the shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from gateway.contracts.adapter import Proof, Readiness, TargetState
from gateway.contracts.failures import Code, Refusal

READS: Final[Mapping[int, Code]] = MappingProxyType(
    {
        401: Code.CREDENTIALS_REJECTED,
        403: Code.EXTERNAL_FORBIDDEN,
        429: Code.EXTERNAL_THROTTLED,
        **dict.fromkeys((500, 502, 503, 504), Code.EXTERNAL_UNAVAILABLE),
    }
)
"""Replies to a read that refute readiness, by RFC 9110 and RFC 6585; any other leaves it unverifiable."""


class Said(BaseModel):
    """Something a system says or is told. What else a reply holds is none of our business."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    def __repr_args__(self) -> Sequence[tuple[str | None, Any]]:
        """Vendor identifiers are never printed, whoever prints (I7)."""
        return ()


Shape = TypeVar("Shape", bound=BaseModel)


def said(
    shape: type[Shape], reply: httpx.Response, *, status: int = 200, refusals: Mapping[int, Code] = READS
) -> Shape:
    """What a reply to a read says; raises `Refusal` with a code of `refusals`, else REPLY_UNRECOGNISED."""
    if reply.status_code != status:
        raise Refusal(refusals.get(reply.status_code, Code.REPLY_UNRECOGNISED))
    return shaped(shape, reply.content)


def shaped(shape: type[Shape], content: bytes | str) -> Shape:
    """JSON of this shape; raises `Refusal` (REPLY_UNRECOGNISED)."""
    try:
        return shape.model_validate_json(content)
    except ValidationError:
        raise Refusal(Code.REPLY_UNRECOGNISED) from None


def not_ready(code: Code) -> Readiness:
    """Readiness after a read that was refused: refuted by a known reply, unverifiable by any other."""
    if code is not Code.REPLY_UNRECOGNISED:
        return Readiness.refuted(code)
    return Readiness(
        available=Proof.UNVERIFIABLE,
        credentials=Proof.UNVERIFIABLE,
        authorised=Proof.UNVERIFIABLE,
        target=TargetState.UNVERIFIABLE,
    )
