"""Identifiers in the path of a request.

Owns: how one becomes a segment of a path (RFC 3986). Refuses, as an identifier that names nobody at the vendor: what
whoever reads the path would take for a place in it, so that another resource would be addressed than the one meant.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from gateway.contracts.adapter import IdentifierMissingError

_PLACES: Final = frozenset({"", ".", ".."})
"""No segment, and the dot segments, which quoting leaves as they are and a client removes with what stands before them
(RFC 3986 §5.2.4)."""


def segment(identifier: str) -> str:
    """The identifier as one segment of a path, quoted; raises `IdentifierMissingError` for one that can be none."""
    if identifier in _PLACES:
        raise IdentifierMissingError
    return quote(identifier, safe="")
