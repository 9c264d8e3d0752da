"""The journal's own key: what siblings are digested with, and what a journal is bound to for its life.

Refuses: a key that could be guessed, and another one than the journal was made with, under which siblings would be
invisible to each other.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.contracts.canonical import canonical, digest
from gateway.errors import ConfigurationError

KEY_DOMAIN: Final = "journal-key/v1"
MIN_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class SiblingKey:
    """32 random bytes or more, kept beside the journal, never in it."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) < MIN_KEY_BYTES:
            raise ConfigurationError(f"the journal's key needs at least {MIN_KEY_BYTES} random bytes")

    @property
    def fingerprint(self) -> str:
        """What the journal remembers its key by."""
        return digest(KEY_DOMAIN, self.secret)

    def check(self, remembered: str) -> None:
        """Raises `ConfigurationError` where the journal was made with another key."""
        if remembered != self.fingerprint:
            raise ConfigurationError("this journal was made with another key; restore the key file that belongs to it")

    def digest(self, parts: Sequence[str]) -> str:
        content = b"gateway/sibling/v1\x00" + canonical(list(parts))
        return hmac.new(self.secret, content, hashlib.sha256).hexdigest()
