"""Signed checkpoints: what a verifier holds so that nothing recorded before can vanish unseen (I9).

A checkpoint is a small signed statement over the digest of a list, `Heads`: for each attempt and each
proposal how long its chain is, its last hash, and a digest of what stands beside the chain in the journal.
Every checkpoint lists all chains, not only the new ones: whoever holds one alone can check everything it
covers, and neither gaps nor order among held checkpoints matter. The list needs no signature of its own
and may be kept anywhere; as text a checkpoint is the token and the list, one line each.

Owns: the statement, the list, and their reading. Refuses: a list over 256 MiB or with a name twice.
The door to a Merkle tree: `heads` is the digest of sorted leaves (name, length, hash, row). A tree over the
same leaves gives a root in its place, and inclusion proofs instead of the list, under a `typ` of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, field
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field, ValidationError

from gateway.contracts.base import Model
from gateway.contracts.canonical import Digest, digest
from gateway.contracts.chain import GENESIS
from gateway.contracts.references import AttemptId, PracticeId
from gateway.contracts.statements import Statement
from gateway.errors import AuditTampered, MalformedInput
from gateway.journal import Archive, JournalId, StoredAttempt, StoredRecord
from gateway.signatures import Keyring

CHECKPOINT_DOMAIN: Final = "checkpoint/v1"
HEADS_DOMAIN: Final = "checkpoint-heads/v1"
META_DOMAIN: Final = "journal-meta/v1"
VOLUMES_DOMAIN: Final = "journal-volumes/v1"
ROW_DOMAIN: Final = "journal-row/v1"
MAX_HEADS_BYTES: Final = 256 * 1024 * 1024

Head = tuple[Annotated[int, Field(ge=1)], Digest, Digest]
"""(length, last hash, row digest) of one chain."""


class Heads(Model):
    """All chains of one journal; proposals by `practice/proposal`."""

    attempts: dict[AttemptId, Head]
    proposals: dict[str, Head]


class Checkpoint(Statement):
    """The statement. `previous` is the digest of the token before it, or GENESIS; `meta` covers the
    journal's name and the digest of its key; `archived` is (how many volumes, the digest of their rows)."""

    typ: ClassVar[str] = "gateway-checkpoint+jws"

    number: Annotated[int, Field(ge=1)]
    previous: Digest
    journal: JournalId
    meta: Digest
    heads: Digest
    attempts: Annotated[int, Field(ge=0)]
    proposals: Annotated[int, Field(ge=0)]
    archived: tuple[Annotated[int, Field(ge=1)], Digest] | None = None


@dataclass(frozen=True, slots=True)
class SealedCheckpoint:
    """A checkpoint whose signature and list hold. `digest` is the token's, which the next one names."""

    checkpoint: Checkpoint
    heads: Heads = field(repr=False)
    digest: str


def draw(
    archive: Archive, practice: PracticeId, issued_at: datetime, previous: SealedCheckpoint | None = None
) -> tuple[Checkpoint, Heads]:
    """The next checkpoint of a journal, to be signed by a surface. Verify the journal first: a checkpoint
    vouches for whatever it finds. Raises `AuditTampered` where the journal is not even readable as one."""
    try:
        heads = Heads(attempts=dict(_attempt_heads(archive)), proposals=dict(_proposal_heads(archive)))
        checkpoint = Checkpoint(
            practice=practice,
            issued_at=issued_at,
            number=previous.checkpoint.number + 1 if previous else 1,
            previous=previous.digest if previous else GENESIS,
            journal=JournalId(archive.meta["journal"]),
            meta=meta_digest(archive),
            heads=heads.digest(HEADS_DOMAIN),
            attempts=len(heads.attempts),
            proposals=len(heads.proposals),
            archived=volumes_digest(archive),
        )
    except (ValidationError, ValueError, KeyError, IndexError):
        raise AuditTampered("the journal's rows are not what was written; run `gateway audit verify`") from None
    return checkpoint, heads


def write(token: str, heads: Heads) -> str:
    """A signed checkpoint as the text that a verifier keeps."""
    return f"{token}\n{heads.canonical().decode()}\n"


def read(text: str, keyring: Keyring) -> SealedCheckpoint:
    """Raises `SignatureRefused`, `MalformedInput` or `InvalidInput` for what is no intact checkpoint."""
    token, _, listed = text.partition("\n")
    checkpoint = keyring.verify(token, Checkpoint).statement
    if len(listed) > MAX_HEADS_BYTES:
        raise MalformedInput(f"the checkpoint's list is over {MAX_HEADS_BYTES} bytes")
    try:
        heads = Heads.model_validate_json(json.dumps(json.loads(listed, object_pairs_hook=_unique)))
    except (ValueError, RecursionError):
        raise MalformedInput("the checkpoint's second line is not a list of heads") from None
    counts = (len(heads.attempts), len(heads.proposals))
    if heads.digest(HEADS_DOMAIN) != checkpoint.heads or counts != (checkpoint.attempts, checkpoint.proposals):
        raise MalformedInput("the checkpoint's list is not the one that was signed")
    return SealedCheckpoint(checkpoint, heads, digest(CHECKPOINT_DOMAIN, token.encode()))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedInput("a member name appears twice in the checkpoint's list")
    return members


def meta_digest(archive: Archive) -> str:
    return _row_digest(META_DOMAIN, sorted(archive.meta.items()))


def volumes_digest(archive: Archive, first: int | None = None) -> tuple[int, str] | None:
    """Of the rows of the first so many volumes, or of all; None where there are none."""
    rows = [astuple(volume) for volume in archive.volumes()][:first]
    return (len(rows), _row_digest(VOLUMES_DOMAIN, rows)) if rows else None


def attempt_row_digest(stored: StoredAttempt) -> str:
    """Of everything that the journal keeps of an attempt beside its chain, but for where its events are: that changes
    when they are archived. Each volume says how many attempts it holds, so none can be marked, nor its mark moved."""
    columns = sorted((name, value) for name, value in stored.columns.items() if name != "volume")
    return _row_digest(ROW_DOMAIN, [columns, stored.triggers])


def records_row_digest(records: Iterable[StoredRecord]) -> str:
    """Of the columns that the records' hashes do not cover."""
    return _row_digest(ROW_DOMAIN, [(record.position, record.attempt, record.finding) for record in records])


def _row_digest(domain: str, content: object) -> str:
    # Plain JSON rather than RFC 8785: the content may be a forger's, and must have a digest all the same.
    return digest(domain, json.dumps(content, separators=(",", ":")).encode())


def _attempt_heads(archive: Archive) -> Iterable[tuple[AttemptId, Head]]:
    for stored in archive.attempts():
        yield AttemptId(stored.attempt), (*stored.end, attempt_row_digest(stored))


def _proposal_heads(archive: Archive) -> Iterable[tuple[str, Head]]:
    for name, records in chains(archive.records()):
        yield name, (records[-1].seq, records[-1].hash, records_row_digest(records))


def chains(records: Iterable[StoredRecord]) -> Iterable[tuple[str, Sequence[StoredRecord]]]:
    """Records grouped by proposal; they come sorted."""
    chain: list[StoredRecord] = []
    for record in records:
        if chain and (record.practice, record.proposal) != (chain[0].practice, chain[0].proposal):
            yield chain_name(chain[0]), chain
            chain = []
        chain.append(record)
    if chain:
        yield chain_name(chain[0]), chain


def chain_name(record: StoredRecord) -> str:
    return f"{record.practice}/{record.proposal}"
