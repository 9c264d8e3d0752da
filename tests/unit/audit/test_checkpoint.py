"""What a checkpoint covers, counts and lists, and what it is held against."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.audit import FlawCode, checkpoint, verify_archive
from gateway.audit.checkpoint import chains, draw, read, write
from gateway.contracts.chain import GENESIS, Link, RecordKind
from gateway.contracts.references import AttemptId
from gateway.contracts.signals import Event, Signal
from gateway.contracts.words import End, State
from gateway.errors import AuditTampered, MalformedInput
from gateway.journal import StoredEvent
from gateway.surfaces.sign import sign
from tests.unit.audit.held import LATER, flaws, on, refitted, row


def test_a_checkpoint_finds_what_is_gone_shortened_or_changed(held: Any, world: Any) -> None:
    kept = world.checkpoint()
    applied, withdrawal = held.ended(End.APPLIED), next(r for r in held.told if r.kind == RecordKind.WITHDRAWAL)
    assert flaws(held, world, kept) == []
    gone = replace(held, found=tuple(one for one in held.found if one is not applied))
    assert (FlawCode.COVERED_MISSING, f"attempt {applied.attempt}") in flaws(gone, world, kept)
    shortened = replace(applied, events=applied.events[:-1])
    found = flaws(held.changed(applied, shortened), world, kept)
    assert (FlawCode.COVERED_SHORTENED, f"attempt {applied.attempt}") in found
    assert (FlawCode.COVERED_DIFFERS, f"attempt {applied.attempt}") not in found
    for changed in (row(applied, owner="own_x"), replace(applied, triggers=((applied.triggers[0][0], "0" * 64),))):
        assert flaws(held.changed(applied, changed), world, kept) == [
            (FlawCode.COVERED_DIFFERS, f"attempt {applied.attempt}")
        ]
    refit = refitted(applied, on(Signal.TRIGGER_RECEIVED, at=LATER))
    assert (FlawCode.COVERED_DIFFERS, f"attempt {applied.attempt}") in flaws(held.changed(applied, refit), world, kept)
    proposal = withdrawal.proposal
    assert (FlawCode.COVERED_SHORTENED, f"proposal {proposal}") in flaws(held.said(withdrawal), world, kept)
    silent = replace(held, told=tuple(record for record in held.told if record.proposal != proposal))
    assert (FlawCode.COVERED_MISSING, f"proposal {proposal}") in flaws(silent, world, kept)
    moved = held.said(withdrawal, replace(withdrawal, position=withdrawal.position + 100))
    assert (FlawCode.COVERED_DIFFERS, f"proposal {proposal}") in flaws(moved, world, kept)


def test_an_attempt_that_went_on_since_is_covered_as_far_as_it_was(held: Any, world: Any) -> None:
    """Its row has gone on, too; its chain must still hold what it held."""
    kept, stored = world.checkpoint(), held.ended(None)
    head = stored.events[-1].hash
    told = Event.model_validate_json(stored.events[-1].body)
    more = Link.after(head, told.model_copy(update={"seq": told.seq + 1, "from_state": State.AUDITING}))
    longer = replace(
        row(stored, seq=more.event.seq, head=more.hash),
        events=(*stored.events, StoredEvent(more.event.seq, more.body.decode(), more.hash)),
    )
    assert (FlawCode.COVERED_DIFFERS, f"attempt {stored.attempt}") not in flaws(
        held.changed(stored, longer), world, kept
    )
    refit = refitted(longer, on(Signal.TRIGGER_RECEIVED, at=LATER))
    assert (FlawCode.COVERED_DIFFERS, f"attempt {stored.attempt}") in flaws(held.changed(stored, refit), world, kept)


def test_a_checkpoint_of_another_journal_differs(held: Any, world: Any) -> None:
    kept = world.checkpoint()
    for name in held.meta:
        other = replace(held, meta={**held.meta, name: "jnl_" + "0" * 32})
        assert flaws(other, world, kept) == [(FlawCode.COVERED_DIFFERS, "checkpoint 1")]


def test_checkpoints_are_counted_and_named_by_their_place(held: Any, world: Any) -> None:
    first = world.checkpoint()
    second = world.checkpoint(first)
    report = verify_archive(held, [second, "nothing", first], world.keyring)
    assert [(flaw.code, flaw.where) for flaw in report.flaws] == [(FlawCode.CHECKPOINT_INVALID, "checkpoint 2")]
    assert (report.checkpoints, report.covered) == (2, 14)


def test_two_lines_of_checkpoints_are_a_fork(held: Any, world: Any) -> None:
    first = world.checkpoint()
    with_other_instant = sign(world.sealed(first).checkpoint.model_copy(update={"issued_at": LATER}), world.key)
    twin = write(with_other_instant, world.sealed(first).heads)
    assert flaws(held, world, first, twin) == [(FlawCode.CHECKPOINT_INVALID, "checkpoint 1")]
    assert flaws(held, world, world.checkpoint(first), twin) == [(FlawCode.CHECKPOINT_INVALID, "checkpoint 2")]


def test_a_checkpoint_counts_and_numbers_what_it_lists(held: Any, world: Any) -> None:
    statement, heads = draw(held, world.practice, LATER)
    assert (statement.number, statement.previous, statement.issued_at) == (1, GENESIS, LATER)
    assert (statement.attempts, statement.proposals) == (7, 7) == (len(heads.attempts), len(heads.proposals))
    first = held.ended(End.APPLIED)
    assert heads.attempts[AttemptId(first.attempt)][:2] == (len(first.events), first.events[-1].hash)
    sealed = world.sealed(write(sign(statement, world.key), heads))
    following, _ = draw(held, world.practice, LATER, sealed)
    assert (following.number, following.previous) == (2, sealed.digest)


@pytest.mark.parametrize("count", ["attempts", "proposals"])
def test_a_checkpoint_that_counts_wrongly_is_refused(held: Any, world: Any, count: str) -> None:
    statement, heads = draw(held, world.practice, LATER)
    wrong = statement.model_copy(update={count: 3})
    with pytest.raises(MalformedInput):
        read(write(sign(wrong, world.key), heads), world.keyring)


def test_a_list_with_a_name_twice_is_refused(held: Any, world: Any) -> None:
    token, listed, _ = world.checkpoint().split("\n")
    twice = listed.replace('{"attempts":{', '{"attempts":{},"attempts":{', 1)
    with pytest.raises(MalformedInput):
        read(f"{token}\n{twice}\n", world.keyring)


def test_a_list_is_read_to_its_greatest_length(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    text = world.checkpoint()
    _, _, listed = text.partition("\n")
    monkeypatch.setattr(checkpoint, "MAX_HEADS_BYTES", len(listed))
    assert read(text, world.keyring).heads.attempts
    monkeypatch.setattr(checkpoint, "MAX_HEADS_BYTES", len(listed) - 1)
    with pytest.raises(MalformedInput, match="over"):
        read(text, world.keyring)


def test_records_are_grouped_by_proposal_even_where_there_is_one_of_each(held: Any) -> None:
    alone = [record for record in held.told if record.kind == RecordKind.PROPOSAL]
    assert [(name, list(chain)) for name, chain in chains(alone)] == [
        (f"{record.practice}/{record.proposal}", [record]) for record in alone
    ]


@pytest.mark.parametrize("missing", ["journal", "events"])
def test_a_journal_that_cannot_be_read_as_one_is_not_vouched_for(held: Any, world: Any, missing: str) -> None:
    bare = held.ended(End.BLOCKED)
    broken = {
        "journal": replace(held, meta={}),
        "events": held.changed(bare, replace(bare, events=())),
    }[missing]
    with pytest.raises(AuditTampered):
        draw(broken, world.practice, LATER)
