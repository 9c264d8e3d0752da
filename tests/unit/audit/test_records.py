"""Each contradiction in the records of a proposal is found where it is and named for what it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.audit import FlawCode
from gateway.audit._records import Said, check_chain
from gateway.audit.report import Findings, place
from gateway.contracts.chain import GENESIS, Record, RecordKind
from gateway.contracts.outcome import ObservationRecord
from gateway.contracts.proposal import Proposal
from gateway.contracts.references import AttemptId
from gateway.contracts.words import End
from gateway.journal import StoredRecord
from tests.unit.audit.held import checked, event, row


def chain_of(held: Any, kind: RecordKind) -> tuple[StoredRecord, ...]:
    """The records of a proposal of which something of this kind was said."""
    wanted = next(record.proposal for record in held.told if record.kind == kind)
    return tuple(record for record in held.told if record.proposal == wanted)


def spoken(chain: tuple[StoredRecord, ...], world: Any) -> list[tuple[FlawCode, str]]:
    findings = Findings()
    check_chain(chain, world.keyring, Said(), findings)
    assert findings.records == len(chain)
    return [(flaw.code, flaw.where) for flaw in findings.report().flaws]


def with_record(chain: tuple[StoredRecord, ...], number: int, **changes: Any) -> tuple[StoredRecord, ...]:
    changed = replace(chain[number - 1], **changes)
    return (*chain[: number - 1], changed, *chain[number:])


def resaid(chain: tuple[StoredRecord, ...]) -> tuple[StoredRecord, ...]:
    """Numbers, positions and hashes fitted again by a forger who knows the format."""
    head, fitted = GENESIS, list[StoredRecord]()
    for number, record in enumerate(chain, start=1):
        head = Record.after(head, number, RecordKind(record.kind), record.reference, record.body).hash
        fitted.append(replace(record, seq=number, position=number, hash=head))
    return tuple(fitted)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"seq": 9}, FlawCode.CHAIN_BROKEN),
        ({"hash": "0" * 64}, FlawCode.CHAIN_BROKEN),
        ({"position": 0}, FlawCode.POSITION_GAP),
        ({"attempt": "att_x"}, FlawCode.RECORD_INVALID),
        ({"finding": "ABSENT"}, FlawCode.RECORD_INVALID),
        ({"practice": "prc_x"}, FlawCode.RECORD_INVALID),
        ({"proposal": "prp_x"}, FlawCode.RECORD_INVALID),
        ({"reference": "x"}, FlawCode.RECORD_INVALID),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", RecordKind)
def test_a_record_that_differs_from_what_it_says_is_found_there(
    held: Any, told: Any, kind: RecordKind, changes: dict[str, Any], code: FlawCode
) -> None:
    chain = chain_of(held, kind)
    number = next(number for number, record in enumerate(chain, start=1) if record.kind == kind)
    if kind in (RecordKind.OBSERVATION, RecordKind.RESOLUTION) and "proposal" in changes:
        return  # these name their attempt; that it is the proposal's is checked with the attempt
    if kind is RecordKind.OBSERVATION and "practice" in changes:
        return
    found = spoken(with_record(chain, number, **changes), told)
    named = place("record", changes.get("proposal", chain[0].proposal), number)
    assert (code, named) in found


def test_a_body_that_nobody_signed_is_found_there(held: Any, told: Any) -> None:
    chain = chain_of(held, RecordKind.STOP)
    for number, record in enumerate(chain, start=1):
        forged = resaid(with_record(chain, number, body=record.body[:-8] + "AAAAAAAA"))
        code = FlawCode.RECORD_INVALID if record.kind == RecordKind.PROPOSAL else FlawCode.SIGNATURE_INVALID
        assert (code, f"record {record.proposal} {number}") in spoken(forged, told)


def test_a_body_that_is_no_proposal_is_found_there_and_does_not_count_as_a_revision(held: Any, told: Any) -> None:
    chain = chain_of(held, RecordKind.STOP)
    forged = resaid((replace(chain[0], body="{}"), *chain))
    assert spoken(forged, told) == [(FlawCode.RECORD_INVALID, f"record {chain[0].proposal} 1")]


def test_a_chain_must_begin_with_a_proposal_and_number_its_revisions_upwards(held: Any, told: Any) -> None:
    chain = chain_of(held, RecordKind.STOP)
    proposal = chain[0].proposal
    assert spoken(resaid(chain), told) == []
    assert spoken(resaid(chain[1:]), told) == [(FlawCode.RECORD_INVALID, f"record {proposal} 1")]
    assert spoken(resaid((*chain, chain[0])), told) == [
        (FlawCode.RECORD_INVALID, f"record {proposal} {len(chain) + 1}")
    ]
    second = Proposal.parse(chain[0].body).model_copy(update={"revision": 2})
    revised = replace(chain[0], body=second.canonical().decode(), reference=second.proposal_digest)
    assert spoken(resaid((*chain, revised)), told) == []
    assert spoken(resaid((revised, *chain[1:], chain[0])), told) == [
        (FlawCode.RECORD_INVALID, f"record {proposal} {len(chain) + 1}")
    ]


def test_a_resolution_relies_only_on_an_observation_that_is_recorded(held: Any, told: Any) -> None:
    chain = chain_of(held, RecordKind.RESOLUTION)
    assert spoken(resaid(chain), told) == []
    blind = tuple(record for record in chain if record.kind != RecordKind.OBSERVATION)
    assert spoken(resaid(blind), told) == [(FlawCode.RECORD_INVALID, f"record {chain[0].proposal} {len(blind)}")]


def test_what_an_observation_says_of_another_attempt_is_found_there(held: Any, told: Any) -> None:
    chain = chain_of(held, RecordKind.OBSERVATION)
    number = next(n for n, record in enumerate(chain, start=1) if record.kind == RecordKind.OBSERVATION)
    seen = ObservationRecord.parse(chain[number - 1].body)
    other = seen.model_copy(update={"attempt": AttemptId.random()})
    forged = resaid(with_record(chain, number, body=other.canonical().decode()))
    assert spoken(forged, told) == [(FlawCode.RECORD_INVALID, f"record {chain[0].proposal} {number}")]


def test_a_text_that_is_no_utf_8_breaks_what_it_is_in(held: Any, told: Any, said: Said) -> None:
    stored = held.ended(End.APPLIED)
    assert checked(event(stored, 3, body='{"a":"\udcff"}'), said) == [
        (FlawCode.CHAIN_BROKEN, f"event {stored.attempt} 3"),
        (FlawCode.EVENT_INVALID, f"event {stored.attempt} 3"),
    ]
    text = str(stored.columns["outcome"]).replace("COMMITTED", "COMMITTE\udcff")
    assert checked(row(stored, outcome=text), said) == [(FlawCode.OUTCOME_DIFFERS, f"attempt {stored.attempt}")]
    chain = chain_of(held, RecordKind.STOP)
    proposal, last = chain[0].proposal, len(chain)
    for unread in ({"body": "\udcff"}, {"kind": "another"}):
        assert spoken(with_record(chain, last, **unread), told)[0] == (
            FlawCode.CHAIN_BROKEN,
            f"record {proposal} {last}",
        )
