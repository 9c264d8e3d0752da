"""SMART App Launch, as far as a backend service is concerned: where tokens come from, and what scopes admit.

Owns: what a sealed connection's scopes prove of the right to write. The boundary keeps no token that its issuer says is
for less than was asked, so that a token at hand is for every scope that the connection states.
Sources: https://hl7.org/fhir/smart-app-launch/STU2/ (scopes-and-launch-context, conformance).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from gateway.contracts.adapter import Proof
from gateway.kit.reading import Said

ADDRESS: Final = ".well-known/smart-configuration"

_SCOPE: Final = re.compile(r"(?:system|user|patient)/(\*|[A-Za-z]+)\.(read|write|\*|c?r?u?d?s?)")
_V1: Final = {"read": "rs", "write": "cud", "*": "cruds"}
_LETTERS: Final = {"create": "c", "$book": "c", "update": "u", "patch": "u"}


class Configuration(Said):
    """A server's SMART configuration. Scopes that it lists are not all that it may support, so they prove nothing."""

    token_endpoint: str


def granted(scope: str | None, writes: Mapping[str, frozenset[str]]) -> Proof:
    """Whether these scopes admit these interactions by resource type. A scope with a query is for some records only,
    and counts for none."""
    read = [found for found in map(_SCOPE.fullmatch, (scope or "").split()) if found]
    if not read:
        return Proof.UNVERIFIABLE
    for kind, codes in writes.items():
        letters = "".join(_V1.get(found[2], found[2]) for found in read if found[1] in ("*", kind))
        if not all(_LETTERS[code] in letters for code in codes):
            return Proof.REFUTED
    return Proof.PROVEN
