"""Verification of what was said about proposals: each record in its chain, signed, and about what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from pydantic import ValidationError

from gateway.audit.report import Findings, FlawCode, place
from gateway.contracts.chain import GENESIS, Record, RecordKind
from gateway.contracts.outcome import ObservationRecord
from gateway.contracts.proposal import Proposal
from gateway.contracts.statements import Decision, Resolution, Statement, Stop, Withdrawal
from gateway.errors import InvalidInput, MalformedInput, SignatureRefused
from gateway.journal import StoredRecord
from gateway.signatures import Keyring

SIGNED: Final[dict[str, type[Statement]]] = {
    RecordKind.DECISION: Decision,
    RecordKind.STOP: Stop,
    RecordKind.WITHDRAWAL: Withdrawal,
    RecordKind.RESOLUTION: Resolution,
}


@dataclass(slots=True)
class Said:
    """What intact records say, for the attempts to be compared with."""

    approvals: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    """Decision id to (digest of the retained token, instant of signing)."""
    revisions: dict[str, Proposal] = field(default_factory=dict)
    """Proposal digest to proposal."""
    resolutions: dict[str, Resolution] = field(default_factory=dict)
    observations: dict[str, ObservationRecord] = field(default_factory=dict)


def check_chain(chain: Sequence[StoredRecord], keyring: Keyring, said: Said, findings: Findings) -> None:
    """One proposal's records, in order."""
    previous, position, revision = GENESIS, 0, 0
    for number, stored in enumerate(chain, start=1):
        findings.records += 1
        where = place("record", stored.proposal, number)
        findings.unless(_hash_holds(previous, number, stored), FlawCode.CHAIN_BROKEN, where)
        findings.unless(stored.position > position, FlawCode.POSITION_GAP, where)
        previous, position = stored.hash, stored.position
        try:
            coherent = _check_content(stored, keyring, said)
        except SignatureRefused:
            findings.flaw(FlawCode.SIGNATURE_INVALID, where)
        except (InvalidInput, MalformedInput, ValidationError, ValueError):
            findings.flaw(FlawCode.RECORD_INVALID, where)
        else:
            findings.unless(coherent, FlawCode.RECORD_INVALID, where)
        if stored.kind == RecordKind.PROPOSAL:
            latest = max((known.revision for known in said.revisions.values() if _same(known, stored)), default=0)
            findings.unless(latest > revision, FlawCode.RECORD_INVALID, where)
            revision = latest
    findings.unless(
        chain[0].kind == RecordKind.PROPOSAL, FlawCode.RECORD_INVALID, place("record", chain[0].proposal, 1)
    )


def _same(known: Proposal, stored: StoredRecord) -> bool:
    return (known.practice, known.proposal_id) == (stored.practice, stored.proposal)


def _hash_holds(previous: str, number: int, stored: StoredRecord) -> bool:
    try:
        kind = RecordKind(stored.kind)
        record = Record.after(previous, number, kind, stored.reference, stored.body)
    except ValueError:  # an unknown kind, or text that is no UTF-8
        return False
    return stored.seq == number and record.hash == stored.hash


def _check_content(stored: StoredRecord, keyring: Keyring, said: Said) -> bool:
    """Whether the columns that no hash covers agree with the body; what it says goes into `said`."""
    names = (stored.practice, stored.proposal)
    beside = (stored.attempt, stored.finding)
    if stored.kind == RecordKind.PROPOSAL:
        proposal = Proposal.parse(stored.body)
        said.revisions[proposal.proposal_digest] = proposal
        return (*names, stored.reference) == (
            proposal.practice,
            proposal.proposal_id,
            proposal.proposal_digest,
        ) and beside == (None, None)
    if stored.kind == RecordKind.OBSERVATION:
        seen = ObservationRecord.parse(stored.body)
        said.observations[seen.observation_id] = seen
        return seen.observation_id == stored.reference and beside == (seen.attempt, None)
    verified = keyring.verify(stored.body, SIGNED[RecordKind(stored.kind)])
    statement = verified.statement
    if isinstance(statement, Resolution):
        said.resolutions[statement.attempt] = statement
        known = statement.observation is None or statement.observation in said.observations
        return (
            (statement.practice, statement.statement_id) == (stored.practice, stored.reference)
            and beside == (statement.attempt, statement.finding)
            and known
        )
    if isinstance(statement, Decision):
        said.approvals[statement.decision_id] = (verified.digest, statement.issued_at)
        reference: str = statement.decision_id
    else:
        assert isinstance(statement, Stop | Withdrawal)
        reference = statement.statement_id
    named = (statement.practice, statement.proposal_id) == names
    return named and reference == stored.reference and beside == (None, None)
