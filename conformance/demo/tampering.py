"""The audit: vouched for by a signed checkpoint, verified, altered by one byte in a copy, verified again.

Owns: the choice of that byte, and the copies. Refuses: to touch the journal itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway import documents
from gateway.audit import checkpoint
from gateway.audit.report import Report
from gateway.audit.verify import verify_file
from gateway.contracts.signals import Signal
from gateway.errors import ConfigurationError
from gateway.journal._sqlite_archive import open_archive
from gateway.signatures import TrustedKeys
from gateway.surfaces.local import CHECKPOINT, LocalPractice
from gateway.surfaces.sign import sign

CHECKPOINT_FILE: Final = "checkpoints/000001.checkpoint"
ALTERED: Final = "copies/altered.db"
RESTORED: Final = "copies/restored.db"
_SENT_ONE: Final = b'"mutating_requests":1'


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditTrial:
    """Three verifications with public keys and one checkpoint, and what the audit itself says was sent."""

    intact: Report
    altered: Report
    restored: Report
    recorded_mutating_requests: int

    @property
    def tamper_detected(self) -> bool:
        return not self.altered.intact


def try_audit(local: LocalPractice, journal: Path) -> AuditTrial:
    """Needs the gateway closed, so that the journal file is whole. Raises `ConfigurationError`."""
    keys = documents.load(TrustedKeys, local.home / "keys.json", "keys.json")
    if keys is None:
        raise ConfigurationError("keys.json is missing from the demo's home")
    held = (_vouch(local, journal),)
    recorded = _recorded_mutating_requests(journal)
    altered, restored = local.root / ALTERED, local.root / RESTORED
    documents.make_directory(altered.parent)
    content = bytearray(journal.read_bytes())
    place = _telling_byte(journal, bytes(content))
    content[place] ^= 1
    altered.write_bytes(content)
    content[place] ^= 1
    restored.write_bytes(content)
    return AuditTrial(
        intact=verify_file(journal, held, keys),
        altered=verify_file(altered, held, keys),
        restored=verify_file(restored, held, keys),
        recorded_mutating_requests=recorded,
    )


def _vouch(local: LocalPractice, journal: Path) -> str:
    """Sign what the journal holds now, and keep it beside the home."""
    with open_archive(journal) as archive:
        statement, heads = checkpoint.draw(archive, local.desk.practice, local.clock.now())
    text = checkpoint.write(sign(statement, local.surface(CHECKPOINT).key), heads)
    path = local.root / CHECKPOINT_FILE
    documents.make_directory(path.parent)
    documents.write(path, text.encode(), path.name, limit=checkpoint.MAX_HEADS_BYTES)
    return text


def _completions(journal: Path) -> list[bytes]:
    with open_archive(journal) as archive:
        bodies = [event.body.encode() for stored in archive.attempts() for event in stored.events]
    return [body for body in bodies if Signal.EXECUTION_STEP_COMPLETED.value.encode() in body]


def _recorded_mutating_requests(journal: Path) -> int:
    counts = (re.search(rb'"mutating_requests":([0-9]+)', body) for body in _completions(journal))
    return sum(int(count[1]) for count in counts if count)


def _telling_byte(journal: Path, content: bytes) -> int:
    """The byte that says of a commit that one request was sent; one bit less, and it says none."""
    for body in _completions(journal):
        # A page may keep a dead copy of a row it moved: only a text found once is surely the live one
        if _SENT_ONE in body and content.count(body) == 1:
            return content.index(body) + body.index(_SENT_ONE) + len(_SENT_ONE) - 1
    raise ConfigurationError("no event of the journal says, in one place, that a request was sent")
