"""What people are told of input that a contract refuses: sentences, and nothing of the input."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conformance.results import Results
from conformance.target.file import Target
from gateway.config import Settings
from gateway.contracts.base import Model
from gateway.contracts.connection import Connection
from gateway.contracts.faults import _SPELLINGS, Fault
from gateway.contracts.proposal import Particulars
from gateway.errors import InvalidInput
from gateway.signatures import TrustedKeys

CANARY = "Given Family"


def faults(model: type[Model], document: object) -> dict[str, Fault]:
    with pytest.raises(InvalidInput) as refused:
        model.parse(json.dumps(document))
    assert "Given" not in repr(refused.value)
    return {fault.field: fault for fault in refused.value.faults}


@pytest.fixture
def particulars(examples: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return examples["Particulars"]


@pytest.fixture
def connection(examples: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return examples["Connection"]


@pytest.mark.parametrize(
    ("change", "field", "word", "says"),
    [
        ({"patient": CANARY}, "patient", "value_error", "must be 'pat_' and 32 or 64 random hexadecimal digits"),
        ({"zone": CANARY}, "zone", "value_error", "not an IANA time zone name"),
        ({"zone": 7}, "zone", "string_type", "must be text"),
        ({"reason": CANARY}, "reason", "string_pattern_mismatch", "must be lower-case words joined by - or _"),
        ({"reason": "a" * 41}, "reason", "string_too_long", "too many characters: at most 40"),
        ({"participants": []}, "participants", "too_short", "too few entries: at least 1"),
        ({"participants": CANARY}, "participants", "tuple_type", "must be a list"),
        ({"target": CANARY}, "target", "model_type", "must be an object"),
        ({"start": 7}, "start", "datetime_type", "must be an instant in UTC, as 2026-01-31T09:00:00Z"),
        ({"start": CANARY}, "start", "value_error", "an instant must be given in UTC, as 2026-01-31T09:00:00Z"),
        ({"start": "2026-02-30T09:00:00Z"}, "start", "value_error", "there is no such day or time of day"),
        ({"end": "2020-01-01T00:00:00Z"}, "document", "value_error", "end must be later than start"),
    ],
)
def test_each_kind_of_fault_is_a_sentence(
    change: dict[str, Any], field: str, word: str, says: str, particulars: dict[str, Any]
) -> None:
    assert faults(Particulars, particulars | change) == {field: Fault(field, word, says)}


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"hosts": [CANARY]}, "hosts.0", "must be host:port in lower case; the port is always stated"),
        ({"network": CANARY}, "network", "must be 'public' or 'private'"),
        ({"limits": {"request_seconds": 0}}, "limits.request_seconds", "must be at least 1"),
        ({"limits": {"request_seconds": 121}}, "limits.request_seconds", "must be at most 120"),
        ({"limits": {"request_seconds": 0.5}}, "limits.request_seconds", "must be a whole number"),
        ({"settings": {CANARY: "x"}}, "settings.*", "this name must be lower-case words joined by - or _"),
    ],
)
def test_each_bound_is_told(change: dict[str, Any], field: str, says: str, connection: dict[str, Any]) -> None:
    assert faults(Connection, connection | change)[field].says == says


def test_a_list_is_not_called_too_short_because_its_entry_was_refused(particulars: dict[str, Any]) -> None:
    wrong = {"participants": [{"role": CANARY, "participant": particulars["participants"][0]["participant"]}]}
    (fault,) = faults(Particulars, particulars | wrong).values()
    assert fault == Fault("participants.0.role", "enum", "must be 'practitioner' or 'device'")


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"adaptor": CANARY}, "*", "unknown member; did you mean adapter?"),
        ({CANARY: 1}, "*", "unknown member; remove it"),
        ({"scheme": 1}, "scheme", "belongs elsewhere; move or remove it"),
        ({"limits": {"request_second": 1}}, "limits.*", "unknown member; did you mean request_seconds?"),
        ({"limits": {"zone": 1}}, "limits.zone", "belongs elsewhere; move or remove it"),
        ({"limits": {"adaptor": 1}}, "limits.*", "unknown member; remove it"),  # no member of limits is like it
    ],
)
def test_a_stray_member_is_told_by_what_is_known_at_its_place(
    change: dict[str, Any], field: str, says: str, connection: dict[str, Any]
) -> None:
    assert faults(Connection, connection | change)[field] == Fault(field, "extra_forbidden", says)


@pytest.mark.requirement("PHI-02")
@pytest.mark.parametrize("host", ["[GivenFamily]", "a:GivenFamily"])
def test_another_librarys_words_are_not_passed_on(host: str, connection: dict[str, Any]) -> None:
    """Python's own refusal of these quotes them."""
    told = faults(Connection, connection | {"base_url": f"http://{host}/"})
    assert told["document"].says.startswith("base_url must be http(s)://host[:port]/path")


@pytest.mark.requirement("PHI-02")
def test_a_rule_of_no_contract_is_told_without_its_words() -> None:
    class Strict(Model):
        number: int

        def model_post_init(self, context: object) -> None:
            raise ValueError(CANARY)

    assert faults(Strict, {"number": 1})["document"].says == "is not well-formed"


def test_every_spelling_that_is_told_is_a_contracts_pattern() -> None:
    schemas = [model.model_json_schema() for model in (Connection, Particulars, Settings, TrustedKeys, Target, Results)]
    text = json.dumps(schemas)
    for pattern in _SPELLINGS:
        assert json.dumps(pattern) in text
