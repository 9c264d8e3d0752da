"""Secrets come from where the target file says, and never out again in words."""

from __future__ import annotations

import pytest

from conformance.target.file import TargetError
from conformance.target.safety import load, load_object, secrets

SECRET = "hunter2-canary"


def given(path, place):
    return load(path(more=f"\n[secrets]\nvendor = {place}\n"))


@pytest.fixture
def kept(tmp_path):
    path = tmp_path / "kept"
    path.write_text(SECRET + "\n")
    path.chmod(0o600)
    return path


def test_a_file_beside_the_target_file_is_read(write, tmp_path, kept):
    found = secrets(given(write, '{ file = "kept" }'), tmp_path)
    assert found == {"vendor": SECRET}
    assert SECRET not in repr(found) and SECRET not in f"{found}"


def test_an_environment_variable_is_read(write, tmp_path, monkeypatch):
    monkeypatch.setenv("VENDOR_TOKEN", SECRET)
    assert secrets(given(write, '{ environment = "VENDOR_TOKEN" }'), tmp_path) == {"vendor": SECRET}


@pytest.mark.parametrize("value", [None, ""])
def test_a_variable_that_is_not_set_is_named_by_its_secret(write, tmp_path, monkeypatch, value):
    monkeypatch.delenv("VENDOR_TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("VENDOR_TOKEN", value)
    with pytest.raises(TargetError, match=r"secrets.vendor: the environment variable"):
        secrets(given(write, '{ environment = "VENDOR_TOKEN" }'), tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_may_read_is_refused(write, tmp_path, kept, mode):
    kept.chmod(mode)
    with pytest.raises(TargetError, match=r"secrets.vendor: .*chmod 600") as refused:
        secrets(given(write, '{ file = "kept" }'), tmp_path)
    assert SECRET not in str(refused.value)


def test_what_is_no_small_text_file_of_ones_own_is_refused(write, tmp_path, kept):
    target = given(write, '{ file = "kept" }')
    for content, message in ((b"", "is empty"), (b"\n", "is empty"), (b"\xff", "not UTF-8"), (b"x" * 9000, "at most")):
        kept.write_bytes(content)
        with pytest.raises(TargetError, match=message):
            secrets(target, tmp_path)
    kept.unlink()
    with pytest.raises(TargetError, match="no such file"):
        secrets(target, tmp_path)
    kept.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TargetError, match="is a link"):
        secrets(target, tmp_path)


def test_a_credential_that_no_secret_is_given_for_is_missed(write, tmp_path):
    path = write(("base_url =", 'credential = { scheme = "bearer", name = "vendor" }\nbase_url ='))
    with pytest.raises(TargetError, match=r"secrets.vendor is missing"):
        secrets(load(path), tmp_path)


def test_an_object_is_found_by_its_import_path():
    assert load_object("collections:OrderedDict") is __import__("collections").OrderedDict


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("no_such_package.module:name", "there is no module no_such_package.module"),
        ("collections.nowhere:name", "there is no module collections.nowhere"),
        ("collections:nowhere", "module collections has no nowhere"),
        ("conformance.results:RESULTS_FILE", "cannot be called"),
        ("collections", "package.module:name"),
        ("../collections:name", "package.module:name"),
    ],
)
def test_an_object_that_is_not_there_is_named(spec, message):
    with pytest.raises(TargetError, match=message):
        load_object(spec)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (f"raise ValueError({SECRET!r})", "raised ValueError"),
        (f"raise SystemExit({SECRET!r})", "raised SystemExit"),
        ("import no_such_dependency", "raised ModuleNotFoundError; install what it needs"),
    ],
)
def test_an_authors_error_is_named_by_its_type_alone(tmp_path, monkeypatch, source, message):
    (tmp_path / "authors_own.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TargetError, match=message) as refused:
        load_object("authors_own:name")
    assert SECRET not in str(refused.value) and refused.value.__cause__ is None
