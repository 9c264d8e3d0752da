"""What the practice's staff write down for `gateway propose`."""

from __future__ import annotations

from gateway.contracts.base import Instant, Model
from gateway.contracts.proposal import Operation, Particulars
from gateway.contracts.references import ConnectionId, PersonId, ProposalId


class ProposalRequest(Model):
    """One request in full. `initiator` is whoever asks; `proposal_id` names a proposal to be revised."""

    operation: Operation
    connection: ConnectionId
    initiator: PersonId
    particulars: Particulars
    expires_at: Instant
    proposal_id: ProposalId | None = None
