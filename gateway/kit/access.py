"""The right to write, where a system tells nobody what an account may do.

Owns: the one setting of a sealed connection that vouches for it. Whoever seals the connection has looked; the
governance record shows that they said so (GATE-26).
"""

from __future__ import annotations

from typing import Final

from gateway.contracts.adapter import Proof, Request

ACCESS_DECLARED: Final = "access-declared"


def declared_access(request: Request) -> Proof:
    """PROVEN where the sealed connection says `access-declared: true`, else UNVERIFIABLE, which blocks."""
    return Proof.PROVEN if request.settings.get(ACCESS_DECLARED) is True else Proof.UNVERIFIABLE
