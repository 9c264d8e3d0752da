"""Hash-chain links: how events of one attempt, and statements about one proposal, hold together.

A link's hash covers its predecessor's hash and its own canonical bytes (I9). Events chain per attempt;
everything said about a proposal (revisions, decisions, stops, resolutions, observations) chains per
proposal as `Record`s.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.contracts.canonical import digest
from gateway.contracts.signals import Event

GENESIS = "0" * 64
EVENT_DOMAIN = "event/v1"
RECORD_DOMAIN = "record/v1"


@dataclass(frozen=True, slots=True)
class Link:
    """An event in its place: `hash` covers `previous` and `body`, the event's canonical JSON."""

    event: Event
    previous: str
    body: bytes
    hash: str

    @classmethod
    def after(cls, previous: str, event: Event) -> Link:
        body = event.canonical()
        return cls(event, previous, body, digest(EVENT_DOMAIN, previous.encode() + body))


class RecordKind(StrEnum):
    PROPOSAL = "proposal"
    DECISION = "decision"
    STOP = "stop"
    WITHDRAWAL = "withdrawal"
    RESOLUTION = "resolution"
    OBSERVATION = "observation"


@dataclass(frozen=True, slots=True)
class Record:
    """One statement about a proposal, in its place. `reference` is its own id; `body` its text as
    received: canonical JSON for a proposal or observation, a compact JWS for what humans signed."""

    seq: int
    kind: RecordKind
    reference: str
    body: str
    previous: str
    hash: str

    @classmethod
    def after(cls, previous: str, seq: int, kind: RecordKind, reference: str, body: str) -> Record:
        content = "\n".join((previous, str(seq), kind, reference, body)).encode()
        return cls(seq, kind, reference, body, previous, digest(RECORD_DOMAIN, content))
