"""Hash-chain links: each holds its content, its place and its predecessor."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.contracts.chain import EVENT_DOMAIN, GENESIS, RECORD_DOMAIN, Link, Record, RecordKind
from gateway.contracts.signals import Event
from gateway.errors import InvalidInput

OTHER = "1" * 64


def event(examples: dict[str, dict[str, Any]], **changes: Any) -> Event:
    return Event.parse(json.dumps(examples["Event"] | changes))


def test_a_links_hash_covers_its_predecessor_and_every_field_of_its_event(examples: dict[str, dict[str, Any]]) -> None:
    base = Link.after(GENESIS, event(examples))
    assert base == Link.after(GENESIS, event(examples))
    assert base.body == event(examples).canonical()
    hashes = {base.hash, Link.after(OTHER, event(examples)).hash}
    names = [name for name, field in Event.model_fields.items() if not field.is_required()]
    for name in names:
        without = {key: value for key, value in examples["Event"].items() if key != name}
        hashes.add(Link.after(GENESIS, Event.parse(json.dumps(without))).hash)
    assert len(hashes) == len(names) + 2


def test_a_records_hash_covers_place_kind_reference_and_body() -> None:
    base = ("a" * 64, 1, RecordKind.DECISION, "dec_1", "body")
    variants: list[tuple[str, int, RecordKind, str, str]] = [
        base,
        (OTHER, 1, RecordKind.DECISION, "dec_1", "body"),
        ("a" * 64, 2, RecordKind.DECISION, "dec_1", "body"),
        ("a" * 64, 1, RecordKind.STOP, "dec_1", "body"),
        ("a" * 64, 1, RecordKind.DECISION, "dec_2", "body"),
        ("a" * 64, 1, RecordKind.DECISION, "dec_1", "other"),
    ]
    assert len({Record.after(*variant).hash for variant in variants}) == len(variants)


def test_an_event_and_a_record_of_the_same_bytes_have_different_hashes() -> None:
    assert EVENT_DOMAIN != RECORD_DOMAIN


@pytest.mark.requirement("CORR-01", "CORR-09", "CORR-10", "CTX-03")
@pytest.mark.parametrize("identifier", ["attempt", "correlation", "trace", "at", "environment", "signal", "seq"])
def test_no_event_exists_without_its_correlation_identifiers(
    identifier: str, examples: dict[str, dict[str, Any]]
) -> None:
    without = {name: value for name, value in examples["Event"].items() if name != identifier}
    with pytest.raises(InvalidInput, match=f"{identifier}: missing"):
        Event.parse(json.dumps(without))
