"""Verification of a whole journal with public keys alone (I9, AUDIT-29).

Owns: the comparison of everything stored with everything else that tells of it, and with checkpoints.
Found with a covering checkpoint: any edit, deletion, swap, reordering or cut of what it covers. Found
without: edits in place of events, records and outcomes, and gaps. Not found without: a tail cut off whole.
Archived attempts are verified as fully where their volumes are given. Without, their rows and what checkpoints say
of them are, and the report says of how many the events were not at hand; one of which neither volume nor checkpoint
tells is a flaw.
Refuses: to raise for what it finds, or to repeat content; flaws are codes and places.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from gateway.audit._attempts import Reserved, check_attempt
from gateway.audit._records import Said, check_chain
from gateway.audit._volumes import Marks, compare_attempt, verify_volumes
from gateway.audit.checkpoint import (
    Head,
    SealedCheckpoint,
    chains,
    meta_digest,
    read,
    records_row_digest,
    volumes_digest,
)
from gateway.audit.report import Findings, FlawCode, Report, place
from gateway.errors import AuditTampered, ConfigurationError, InvalidInput, MalformedInput, SignatureRefused
from gateway.journal import Archive, StoredRecord
from gateway.journal.opening import open_archive
from gateway.signatures import Keyring, TrustedKeys


def verify_file(
    where: Path | str,
    checkpoints: Sequence[str],
    keys: Keyring | TrustedKeys,
    volumes: Sequence[Path] | None = None,
    discarded: Collection[int] = (),
    *,
    any_server: bool = False,
) -> Report:
    """Verify a journal: a file, or a URL of PostgreSQL. What cannot be read as a journal is a flaw like any other.

    `checkpoints` are the texts that the verifier kept (`checkpoint.write`), in any order; `volumes` all files of the
    archive but those whose numbers are `discarded`, or None where they are not at hand. With `any_server` a standby
    will do: verification trusts nothing that it is told. Raises `ConfigurationError` where there is no file,
    `JournalUnavailable` where no server answers.
    """
    if isinstance(where, Path) and not where.is_file():
        raise ConfigurationError(f"there is no journal at {where.name}")
    try:
        with open_archive(where, any_server=any_server) as archive:
            return verify_archive(archive, checkpoints, keys, volumes, discarded)
    except (ConfigurationError, AuditTampered) as error:
        if isinstance(where, str) and isinstance(error, ConfigurationError):
            raise
        findings = Findings()
        findings.flaw(FlawCode.UNREADABLE, place("journal"))
        return findings.report()


def verify_archive(
    archive: Archive,
    checkpoints: Sequence[str],
    keys: Keyring | TrustedKeys,
    volumes: Sequence[Path] | None = None,
    discarded: Collection[int] = (),
) -> Report:
    """Compare everything; raises `AuditTampered` only where the archive breaks off while being read."""
    keyring = keys if isinstance(keys, Keyring) else Keyring(keys)
    findings = Findings()
    for _ in archive.damage():
        findings.flaw(FlawCode.UNREADABLE, place("journal"))
    held = _read_checkpoints(archive, checkpoints, keyring, findings)
    said = _verify_records(archive, held, keyring, findings)
    marks = Marks(discarded=frozenset(discarded))
    reserved = _verify_attempts(archive, held, said, marks, findings)
    verify_volumes(archive, volumes, held, said, marks, findings)
    _verify_reservations(archive, reserved, findings)
    return findings.report()


def _read_checkpoints(
    archive: Archive, texts: Sequence[str], keyring: Keyring, findings: Findings
) -> list[SealedCheckpoint]:
    held: list[SealedCheckpoint] = []
    for number, text in enumerate(texts, start=1):
        where = place("checkpoint", number)
        try:
            sealed = read(text, keyring)
        except (SignatureRefused, InvalidInput, MalformedInput):
            findings.flaw(FlawCode.CHECKPOINT_INVALID, where)
            continue
        named = sealed.checkpoint.journal == archive.meta.get("journal")
        findings.unless(named and sealed.checkpoint.meta == meta_digest(archive), FlawCode.COVERED_DIFFERS, where)
        archived = sealed.checkpoint.archived
        if archived is not None and volumes_digest(archive, archived[0]) != archived:
            findings.flaw(FlawCode.COVERED_DIFFERS, place("volumes"))
        held.append(sealed)
    findings.checkpoints = len(held)
    findings.covered = len({name for sealed in held for name in (*sealed.heads.attempts, *sealed.heads.proposals)})
    by_number = {sealed.checkpoint.number: sealed for sealed in held}
    for sealed in held:
        before = by_number.get(sealed.checkpoint.number - 1)
        if by_number[sealed.checkpoint.number].digest != sealed.digest or (
            before is not None and before.digest != sealed.checkpoint.previous
        ):
            findings.flaw(FlawCode.CHECKPOINT_INVALID, place("checkpoint", sealed.checkpoint.number))
    return held


def _verify_records(archive: Archive, held: Sequence[SealedCheckpoint], keyring: Keyring, findings: Findings) -> Said:
    said = Said()
    positions: list[int] = []
    covered = [dict(sealed.heads.proposals) for sealed in held]
    for name, chain in chains(archive.records()):
        check_chain(chain, keyring, said, findings)
        positions.extend(record.position for record in chain)
        for heads in covered:
            if head := heads.pop(name, None):
                _compare_records(chain, head, findings)
    for heads in covered:
        for name in heads:
            findings.flaw(FlawCode.COVERED_MISSING, place("proposal", name.partition("/")[2]))
    _verify_positions(positions, "record", findings)
    return said


def _compare_records(chain: Sequence[StoredRecord], head: Head, findings: Findings) -> None:
    length, last, row = head
    where = place("proposal", chain[0].proposal)
    if len(chain) < length:
        findings.flaw(FlawCode.COVERED_SHORTENED, where)
    elif (chain[length - 1].hash, records_row_digest(chain[:length])) != (last, row):
        findings.flaw(FlawCode.COVERED_DIFFERS, where)


def _verify_attempts(
    archive: Archive, held: Sequence[SealedCheckpoint], said: Said, marks: Marks, findings: Findings
) -> list[Reserved]:
    reserved: list[Reserved] = []
    positions: list[int] = []
    seen: set[str] = set()
    covered = [{str(name): head for name, head in sealed.heads.attempts.items()} for sealed in held]
    for stored in archive.attempts():
        reserved.append(check_attempt(stored, said, findings))
        positions.append(stored.position)
        seen.add(stored.attempt)
        listed = [head for heads in covered if (head := heads.pop(stored.attempt, None))]
        for head in listed:
            compare_attempt(stored, head, findings)
        if stored.volume is not None:
            marks.add(stored.volume, vouched=any(head[0] == stored.columns["seq"] for head in listed))
    for heads in covered:
        for name in heads:
            findings.flaw(FlawCode.COVERED_MISSING, place("attempt", name))
    for name in (*said.resolutions, *(look.attempt for look in said.observations.values())):
        findings.unless(name in seen, FlawCode.RECORD_INVALID, place("attempt", name))
    _verify_positions(positions, "attempt", findings)
    return reserved


def _verify_positions(positions: Sequence[int], kind: str, findings: Findings) -> None:
    """Rows are numbered without gaps and never deleted."""
    findings.unless(sorted(positions) == list(range(1, len(positions) + 1)), FlawCode.POSITION_GAP, place(kind))


def _verify_reservations(archive: Archive, reserved: Sequence[Reserved], findings: Findings) -> None:
    holds = {entry.hold for entry in reserved if entry.hold is not None}
    siblings = {pair for entry in reserved for pair in entry.siblings}
    for hold in holds.symmetric_difference(archive.holds()):
        findings.flaw(FlawCode.RESERVATION_DIFFERS, place("hold", hold[2]))
    for pair in siblings.symmetric_difference(archive.siblings()):
        findings.flaw(FlawCode.RESERVATION_DIFFERS, place("siblings", pair[1]))
