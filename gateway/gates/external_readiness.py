"""External readiness (F-01 §4.6): the approved particulars resolve to the same thing as ever, no sibling is
unresolved (CARD-10), and the system is available, accepts our credentials, lets us act, and has the target
open (GATE-24 to GATE-27).
"""

from __future__ import annotations

from gateway.boundary import Boundary, Engagement
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.proposal import Proposal
from gateway.journal import Journal


async def fetch(boundary: Boundary, journal: Journal, proposal: Proposal) -> tuple[Engagement | None, Code | None]:
    """Resolve the references afresh and ask the adapter; the engagement is the attempt's own."""
    try:
        engagement = await boundary.engage(proposal)
    except Refusal as refusal:
        return None, refusal.code
    # Asked before the system is: an unresolved sibling may be what holds the slot, and only a human can tell.
    if await journal.related(engagement.siblings):
        return engagement, Code.RELATED_UNRESOLVED
    return engagement, await engagement.readiness()
