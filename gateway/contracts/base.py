"""The frozen model every contract is made of, and the two scalar types they share.

Owns: strictness (unknown fields, coercion and naive instants are refused) and canonical bytes.
Refuses: anything a reader in another language could read differently.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    ValidationInfo,
)

from gateway.contracts.canonical import canonical, digest, parse_json
from gateway.contracts.faults import ContentError

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z", re.ASCII)


def _read(value: object, info: ValidationInfo) -> object:
    # pydantic alone reads a numeral as seconds since 1970, so a telephone number would be an instant
    if info.mode == "json" and isinstance(value, str):
        if not _RFC_3339.fullmatch(value):
            raise ContentError("an instant must be given in UTC, as 2026-01-31T09:00:00Z")
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            raise ContentError("there is no such day or time of day") from None
    return value


def _utc_only(value: datetime) -> datetime:
    if value.utcoffset() != timedelta(0):
        raise ContentError("an instant must be given in UTC, as 2026-01-31T09:00:00Z")
    return value.astimezone(UTC)


Instant = Annotated[AwareDatetime, AfterValidator(_utc_only), BeforeValidator(_read)]
"""A moment in UTC; naive and zoned times are refused (RFC 3339 with `Z`)."""

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*$", max_length=40)]
"""A configured name (adapter, dialect, policy); never data about a person."""


class Model(BaseModel):
    """An immutable value; equal content gives equal canonical bytes (RFC 8785)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Read one JSON document; raises `MalformedInput` (not JSON) or `InvalidInput` (wrong content)."""
        return parse_json(cls, text)

    def plain(self) -> dict[str, Any]:
        """JSON-ready content; absent and null are the same thing."""
        return self.model_dump(mode="json", exclude_none=True)

    def canonical(self) -> bytes:
        return canonical(self.plain())

    def digest(self, domain: str) -> str:
        """SHA-256 of the canonical bytes under a domain tag, as 64 hexadecimal digits."""
        return digest(domain, self.canonical())
