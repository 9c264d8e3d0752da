"""Sealing, loading and selecting: one version, whole and unaltered, or none."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import PolicySelection
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.proposal import Notice, Operation
from gateway.contracts.statements import TriggerKind
from gateway.errors import ConfigurationError
from gateway.policy import PolicyStore, seal, shipped


def selection(**changes: Any) -> PolicySelection:
    given_by_default = {
        "trigger": TriggerKind.OPERATOR,
        "operation": Operation.BOOK,
        "policy": "standard",
        "version": 1,
    }
    return PolicySelection(**(given_by_default | changes))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def rewrite_manifest(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_sealed_versions_are_exact_copies_of_the_shipped_ones(sealed: Path) -> None:
    for policy in ("standard", "two-person"):
        names = {path.name for path in (sealed / policy / "1").iterdir()}
        assert names == {"policy.cedar", "schema.cedarschema", "manifest.json"}
        for name in names:
            assert (sealed / policy / "1" / name).read_bytes() == (shipped(policy, 1) / name).read_bytes()
    assert PolicyStore.load(sealed).versions() == [("standard", 1), ("two-person", 1)]


def test_a_sealed_version_is_never_sealed_over(sealed: Path) -> None:
    with pytest.raises(ConfigurationError, match="standard/1 is sealed already"):
        seal(shipped("standard", 1), sealed)


def test_what_was_altered_is_not_sealed(tmp_path: Path) -> None:
    source = tmp_path / "source" / "standard" / "1"
    shutil.copytree(shipped("standard", 1), source)
    flip(source / "policy.cedar")
    with pytest.raises(ConfigurationError, match=r"policy\.cedar: altered"):
        seal(source, tmp_path / "policies")
    assert not (tmp_path / "policies").exists()


def test_a_version_that_does_not_ship_is_named() -> None:
    with pytest.raises(ConfigurationError, match="lenient/1"):
        shipped("lenient", 1)


@pytest.mark.requirement("POLICY-08")
@pytest.mark.parametrize(
    ("alter", "named"),
    [
        (lambda folder: flip(folder / "policy.cedar"), r"policies/standard/1/policy\.cedar: altered"),
        (lambda folder: flip(folder / "schema.cedarschema"), r"schema\.cedarschema: altered"),
        (lambda folder: (folder / "policy.cedar").unlink(), r"policy\.cedar: missing"),
        (lambda folder: (folder / "schema.cedarschema").unlink(), r"schema\.cedarschema: missing"),
        (lambda folder: (folder / "manifest.json").unlink(), r"manifest\.json: missing"),
        (lambda folder: (folder / "extra.cedar").write_text("permit(principal, action, resource);"), r"extra\.cedar"),
        (lambda folder: (folder.parent / "note.txt").write_text(""), r"policies/standard/note\.txt"),
        (lambda folder: (folder.parent.parent / "note.txt").write_text(""), r"policies/note\.txt"),
        (lambda folder: folder.rename(folder.parent / "2"), r"standard/2/manifest\.json: is of standard/1"),
        (lambda folder: folder.parent.rename(folder.parent.parent / "other"), r"other/1/manifest\.json: is of"),
        (lambda folder: (folder.parent / "2").symlink_to(folder), r"policies/standard/2: not part"),
        (lambda folder: (folder / "manifest.json").write_text("{"), r"manifest\.json: not JSON"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), r"manifest\.json: Manifest is not valid"),
        (lambda folder: (folder / "policy.cedar").write_bytes(b" " * 70_000), r"policy\.cedar: larger than"),
        (lambda folder: rewrite_manifest(folder, files={}), r"manifest\.json: must list exactly"),
        (lambda folder: rewrite_manifest(folder, view="everything"), r"manifest\.json names a view"),
        (lambda folder: rewrite_manifest(folder, view_version=2), r"manifest\.json names a view"),
        (lambda folder: rewrite_manifest(folder, version=2), r"is of standard/2"),
    ],
)
def test_an_altered_missing_or_unlisted_file_is_refused_by_name(
    sealed: Path, alter: Callable[[Path], Any], named: str
) -> None:
    alter(sealed / "standard" / "1")
    with pytest.raises(ConfigurationError, match=named) as refused:
        PolicyStore.load(sealed)
    assert str(sealed.parent) not in str(refused.value)


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="policies: not a readable directory"):
        PolicyStore.load(tmp_path / "policies")


def test_text_that_is_not_utf8_is_refused_even_where_its_digest_holds(sealed: Path) -> None:
    folder = sealed / "standard" / "1"
    (folder / "policy.cedar").write_bytes(b"// \xff")
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("policy.cedar",)}
    schema = hashlib.sha256((folder / "schema.cedarschema").read_bytes()).hexdigest()
    rewrite_manifest(folder, files=files | {"schema.cedarschema": schema})
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        PolicyStore.load(sealed)


def test_a_file_altered_after_the_start_changes_nothing(sealed: Path) -> None:
    store = PolicyStore.load(sealed)
    before = store.select([selection()], TriggerKind.OPERATOR, Operation.BOOK)
    shutil.rmtree(sealed)
    assert store.select([selection()], TriggerKind.OPERATOR, Operation.BOOK) is before


def refusal(store: PolicyStore, selections: list[PolicySelection], operation: str = Operation.BOOK) -> Code:
    with pytest.raises(Refusal) as refused:
        store.select(selections, TriggerKind.OPERATOR, operation)
    return refused.value.code


@pytest.mark.requirement("POLICY-05", "ABORT-02")
@pytest.mark.parametrize(
    "selections",
    [[], [selection(operation=Operation.CANCEL)], [selection(trigger=TriggerKind.TIME)]],
    ids=["nothing", "another operation", "another trigger"],
)
def test_where_nothing_is_selected_the_policy_is_unknown(store: PolicyStore, selections: list[PolicySelection]) -> None:
    assert refusal(store, selections) is Code.POLICY_UNKNOWN


@pytest.mark.requirement("DEP-01", "ABORT-02")
@pytest.mark.parametrize(
    "selections",
    [
        [selection(), selection(policy="two-person")],
        [selection(), selection()],
        [selection(version=2)],
        [selection(policy="lenient")],
    ],
    ids=["two policies", "the same twice", "a version that is not sealed", "a policy that is not sealed"],
)
def test_where_no_single_version_can_be_had_the_policy_is_unavailable(
    store: PolicyStore, selections: list[PolicySelection]
) -> None:
    assert refusal(store, selections) is Code.POLICY_UNAVAILABLE


@pytest.mark.parametrize("operation", [*Notice, "patient.create@v1", ""])
def test_no_policy_is_selected_for_what_is_no_commit_operation(store: PolicyStore, operation: str) -> None:
    assert refusal(store, [selection()], operation) is Code.TOOL_FORBIDDEN


SELECTIONS = st.lists(
    st.builds(
        PolicySelection,
        trigger=st.sampled_from(TriggerKind),
        operation=st.sampled_from(Operation),
        policy=st.sampled_from(["standard", "two-person", "lenient"]),
        version=st.integers(1, 2),
    ),
    max_size=8,
)


@pytest.fixture(scope="module")
def shipped_store(tmp_path_factory: pytest.TempPathFactory) -> PolicyStore:
    directory = tmp_path_factory.mktemp("home") / "policies"
    for policy in ("standard", "two-person"):
        seal(shipped(policy, 1), directory)
    return PolicyStore.load(directory)


@pytest.mark.requirement("POLICY-03")
@given(
    selections=SELECTIONS, trigger=st.sampled_from(TriggerKind), operation=st.sampled_from(Operation), data=st.data()
)
def test_selection_depends_on_the_list_and_not_on_its_order(
    shipped_store: PolicyStore,
    selections: list[PolicySelection],
    trigger: TriggerKind,
    operation: Operation,
    data: st.DataObject,
) -> None:
    def selected(entries: list[PolicySelection]) -> tuple[str, int] | Code:
        try:
            version = shipped_store.select(entries, trigger, operation)
        except Refusal as refused:
            return refused.code
        return version.policy, version.version

    first = selected(selections)
    assert first == selected(data.draw(st.permutations(selections)))
    if isinstance(first, tuple):
        matching = [entry for entry in selections if (entry.trigger, entry.operation) == (trigger, operation)]
        assert [(entry.policy, entry.version) for entry in matching] == [first]
