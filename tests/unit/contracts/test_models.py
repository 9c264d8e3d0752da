"""What holds for every contract model alike: frozen, strict, closed, and with no room for a person's data."""

from __future__ import annotations

import copy
import json
import types
import typing
from collections.abc import Iterator
from datetime import datetime
from enum import Enum
from typing import Any

import pytest

from gateway.contracts.base import Model
from gateway.contracts.references import Reference
from gateway.errors import InvalidInput

CANARIES = (
    "Given Family",
    "given-family",
    "given_family",
    "family",
    "Dr. med. G. Family",
    "given.family@example.org",
    "+41 79 123 45 67",
    "0791234567",
    "tel-0791234567",
    "1980-01-31",
    "born-1980-01-31",
    "31.01.1980",
    "19800131",
    "MRN-0012345",
    "mrn-0012345",
    "756.1234.5678.97",
    "Tuesday at nine",
    "please call the patient before noon",
    "Müller",
    "患者",
)
PLAIN = ("family", "0791234567")
"""Those that could pass for part of an identifier."""

# Configuration in which an empty mapping, or text, may be meant.
OPEN = {
    *(("Connection", "base_url"), ("Connection", "settings"), ("Connection", "limits"), ("Descriptor", "safe_posts")),
    *(("TokenEndpoint", name) for name in ("scope", "issuer", "subject", "audience", "key_id")),
}
# Names that the gateway itself copies from its sealed configuration into an event; no caller writes them.
CONFIGURED_NAMES = {("Event", "policy"), ("Event", "view"), ("Event", "sink")}

Path = tuple[str | int, ...]


def leaves(document: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    children = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, child in children:
        yield from leaves(child, (*path, key))
    if not isinstance(document, (dict, list)):
        yield path, document


def replaced(document: Any, path: Path, value: object) -> Any:
    changed = copy.deepcopy(document)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


def faults_of(model: type[Model], document: object) -> InvalidInput:
    with pytest.raises(InvalidInput) as refusal:
        model.parse(json.dumps(document))
    return refusal.value


def atoms(annotation: Any) -> Iterator[Any]:
    """The plain types that an annotation is made of."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from atoms(typing.get_args(annotation)[0])
    elif origin in (typing.Union, types.UnionType, tuple, dict):
        for argument in typing.get_args(annotation):
            if argument is not Ellipsis:
                yield from atoms(argument)
    else:
        yield annotation


def test_there_is_a_complete_example_of_every_model(
    models: dict[str, type[Model]], examples: dict[str, dict[str, Any]]
) -> None:
    assert set(models) == set(examples)


def test_every_example_is_valid(model: type[Model], example: dict[str, Any]) -> None:
    assert model.parse(json.dumps(example)).plain().items() >= example.items()


@pytest.mark.requirement("PHI-05", "CTX-02", "AUDIT-28", "CORR-12", "MUT-05", "DECIDE-02")
def test_no_field_that_reaches_orchestration_can_hold_what_identifies_a_person(
    carried: str, model: type[Model], example: dict[str, Any]
) -> None:
    written = [(path, value) for path, value in leaves(example) if isinstance(value, str)]
    assert written
    for path, value in written:
        if (carried, path[0]) in CONFIGURED_NAMES:
            continue
        alone = ((canary, canary) for canary in CANARIES)
        appended = ((canary, f"{before}{canary}") for canary in PLAIN for before in (value, f"{value} ", f"{value}\n"))
        for canary, candidate in (*alone, *appended):
            error = faults_of(model, replaced(example, path, candidate))
            assert canary not in str(error)


@pytest.mark.requirement("PHI-05", "AUDIT-28")
def test_every_field_that_reaches_orchestration_is_of_a_closed_type(carried: str, model: type[Model]) -> None:
    """Free numbers and free mappings have room for data too; only bounded counters are numbers."""
    for name, field in model.model_fields.items():
        for atom in atoms(field.annotation):
            assert isinstance(atom, type), (name, atom)
            closed = issubclass(atom, (Enum, Reference, Model, bool, type(None), int, str)) or atom.__name__ in (
                "datetime",
                "AwareDatetime",
            )
            assert closed, (name, atom)


@pytest.mark.requirement("PHI-05", "AUDIT-28")
@pytest.mark.parametrize("banned", ["tenant", "actor_id", "request_id", "cursor", "payload", "rows", "name", "message"])
def test_no_event_or_outcome_has_a_field_for_what_the_audit_must_not_hold(
    banned: str, models: dict[str, type[Model]]
) -> None:
    for owner in ("Event", "Outcome", "Observed", "ObservationRecord"):
        assert banned not in models[owner].model_fields


@pytest.mark.requirement("AUDIT-28", "CORR-12")
def test_no_event_can_hold_a_practice_a_patient_or_a_person(models: dict[str, type[Model]]) -> None:
    for owner in ("Event", "Outcome", "Observed", "ObservationRecord"):
        kinds = {
            atom.kind
            for field in models[owner].model_fields.values()
            for atom in atoms(field.annotation)
            if isinstance(atom, type) and issubclass(atom, Reference)
        }
        assert kinds
        assert not kinds & {"prc", "pat", "psn", "con", "par", "loc", "svc"}


@pytest.mark.requirement("PHI-05")
def test_numbers_in_what_callers_send_are_too_small_for_a_telephone_or_record_number(
    models: dict[str, type[Model]], examples: dict[str, dict[str, Any]]
) -> None:
    for name in ("Proposal", "Decision", "Trigger", "Stop", "Withdrawal", "Resolution", "Answer", "Target"):
        for path, value in leaves(examples[name]):
            if isinstance(value, int) and not isinstance(value, bool):
                faults_of(models[name], replaced(examples[name], path, 1000))


def test_a_value_cannot_be_changed(model: type[Model], example: dict[str, Any]) -> None:
    value = model.parse(json.dumps(example))
    for name in model.model_fields:
        with pytest.raises(ValueError, match="frozen"):
            setattr(value, name, getattr(value, name))


def test_nothing_mutable_hides_inside_what_orchestration_carries(carried: str, model: type[Model]) -> None:
    for field in model.model_fields.values():
        assert not {list, dict, set} & set(atoms(field.annotation))


@pytest.mark.requirement("CTX-02")
def test_an_unknown_field_is_refused_and_its_name_is_not_repeated(model: type[Model], example: dict[str, Any]) -> None:
    error = faults_of(model, example | {"Given Family": "0791234567"})
    assert ("*", "extra_forbidden", "unknown member; remove it") in error.faults
    assert "Given" not in repr(error)
    assert "0791234567" not in repr(error)


@pytest.mark.requirement("GATE-17", "CTX-01")
def test_each_required_field_is_missed_by_name(model: type[Model], example: dict[str, Any]) -> None:
    required = [name for name, field in model.model_fields.items() if field.is_required()]
    for name in required:
        error = faults_of(model, {key: value for key, value in example.items() if key != name})
        assert (name, "missing", "missing") in error.faults
        assert error.missing_only
        assert name in str(error)


WRONG = (
    {},
    [],
    "Given Family",
    "",
    -1,
    0.5,
    10**12,
    True,
    None,
    {"Given": "Family"},
    ["Given Family"] * 3,
    "A" * 70_00,
    "\u0000",
    "' OR 1=1 --",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "${jndi:ldap://example.org}",
    "\u202eGiven",
)


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_a_field_of_the_wrong_kind_is_refused_naming_the_field_and_never_the_value(
    number: int, model_name: str, model: type[Model], example: dict[str, Any]
) -> None:
    wrong = WRONG[number]
    for name, field in model.model_fields.items():
        if (model_name, name) in CONFIGURED_NAMES | OPEN or admits(model_name, field.annotation, wrong):
            continue
        error = faults_of(model, example | {name: wrong})
        assert error.document == model.__name__
        assert all(path.split(".")[0] in (*model.model_fields, "document") for path, _, _ in error.faults)
        assert len(str(error)) < 2000
        for secret in ("Given", "Family", "alert(1)", "OR 1=1", "passwd", "jndi"):
            assert secret not in repr(error)


def admits(model_name: str, annotation: Any, wrong: object) -> bool:
    """Whether this value is not wrong for such a field after all."""
    kinds = set(atoms(annotation))
    if wrong is None:
        return type(None) in kinds
    if isinstance(wrong, bool):
        return bool in kinds
    if isinstance(wrong, list):
        return not wrong and typing.get_origin(annotation) is tuple
    # counters that the gateway itself keeps (sequence numbers, versions, requests) have no upper bound
    return isinstance(wrong, int) and wrong > 0 and int in kinds and model_name == "Event"


@pytest.mark.parametrize("document", [[], "text", 1, True, None, [{}]])
def test_a_document_that_is_no_object_is_refused(document: object, model: type[Model]) -> None:
    assert faults_of(model, document).faults == (("document", "model_type", "must be an object"),)


def test_many_faults_are_reported_boundedly(models: dict[str, type[Model]]) -> None:
    error = faults_of(models["Event"], {f"unknown{number}": 1 for number in range(3000)})
    assert len(error.faults) == 20


def test_refused_input_is_in_no_exception_that_python_would_print(models: dict[str, type[Model]]) -> None:
    with pytest.raises(InvalidInput) as refusal:
        models["Target"].parse('{"appointment": "Given Family", "version": "0791234567"}')
    assert refusal.value.__suppress_context__
    assert refusal.value.__cause__ is None
    rendered = str(refusal.getrepr(chain=True, style="native"))
    assert "InvalidInput: Target is not valid" in rendered
    assert "0791234567" not in rendered.rpartition("InvalidInput")[2]


def test_instants_are_always_aware(model: type[Model], example: dict[str, Any]) -> None:
    value = model.parse(json.dumps(example))
    for name in model.model_fields:
        instant = getattr(value, name)
        if isinstance(instant, datetime):
            assert instant.utcoffset() is not None
            error = faults_of(model, example | {name: "2026-01-05T09:00:00"})
            assert error.faults[0][0] == name
