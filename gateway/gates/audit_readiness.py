"""Audit readiness (F-01 §4.7): the journal and every configured sink prove, in this attempt, that they
can take and acknowledge events (GATE-28, GATE-29)."""

from __future__ import annotations

from gateway.audit.acknowledgement import Sinks
from gateway.contracts.failures import Code
from gateway.errors import JournalFailed, JournalUnavailable
from gateway.journal import Journal


async def fetch(journal: Journal, sinks: Sinks) -> Code | None:
    try:
        await journal.ready()
    except (JournalUnavailable, JournalFailed):
        return Code.AUDIT_UNAVAILABLE
    return None if await sinks.ready() else Code.AUDIT_UNAVAILABLE
