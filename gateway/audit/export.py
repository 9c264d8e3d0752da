"""The journal's events and records as JSON Lines, hashes and canonical bytes intact.

An event is {"hash": …, "event": {…}}, as in the file sink; a record is {"hash": …, "record": {…}} with its
text as received. A reader can recompute every hash from the lines alone. Of an archived attempt whose volume is not
given, {"archived": {…}} says where the events are; a volume's own lines are of this form.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from gateway.audit.volumes import archived_events
from gateway.contracts.chain import RecordKind
from gateway.contracts.references import AttemptId
from gateway.errors import AuditTampered, NotFound
from gateway.journal import Archive, StoredRecord


def export_lines(
    archive: Archive, stream: TextIO, attempt: AttemptId | None = None, volumes: Sequence[Path] = ()
) -> int:
    """Write all, or one attempt's events and the records of its proposal; answers how many lines. `volumes` are
    files of the archive, read for one attempt's events only.

    Raises `NotFound` for an unknown attempt and `AuditTampered` for content that is no JSON any more.
    """
    about: tuple[str | None, str | None] | None = None
    count = 0
    for stored in archive.attempts():
        if attempt is not None and stored.attempt != attempt:
            continue
        about = (stored.text("practice"), stored.text("proposal"))
        events = stored.events
        if stored.volume is not None and attempt is not None:
            events = archived_events(archive, stored, volumes)
        for event in events:
            count += _line(stream, event.hash, "event", event.body)
        if stored.volume is not None and not events:
            length, head = stored.end
            place = {"attempt": stored.attempt, "volume": stored.volume, "events": length, "head": head}
            stream.write(f'{{"archived":{json.dumps(place, separators=(",", ":"))}}}\n')
            count += 1
    if attempt is not None and about is None:
        raise NotFound("no such attempt is recorded")
    for record in _records(archive, about if attempt is not None else None):
        content = {
            "practice": record.practice,
            "proposal": record.proposal,
            "seq": record.seq,
            "kind": RecordKind(record.kind),
            "reference": record.reference,
            "body": record.body,
        }
        count += _line(stream, record.hash, "record", json.dumps(content, separators=(",", ":")))
    return count


def _records(archive: Archive, about: tuple[str | None, str | None] | None) -> Iterator[StoredRecord]:
    return (record for record in archive.records() if about in (None, (record.practice, record.proposal)))


def _line(stream: TextIO, hash_: str, kind: str, body: str) -> int:
    try:
        json.loads(body.encode())
    except ValueError:
        raise AuditTampered(f"a stored {kind} is no JSON any more; run `gateway audit verify`") from None
    stream.write(f'{{"hash":{json.dumps(hash_)},"{kind}":{body}}}\n')
    return 1
