"""The sealed policy versions of one practice: loaded whole at start, selected by the practice's own list.

Owns: the layout `policies/<policy>/<version>/` and its seal. Refuses: altered, missing and unlisted files,
each by name (POLICY-08), and any selection that is not exactly one version (POLICY-03, C-10).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from gateway import documents
from gateway.config import PolicySelection
from gateway.contracts.canonical import MAX_DOCUMENT_BYTES
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.proposal import Operation
from gateway.contracts.statements import TriggerKind
from gateway.errors import ConfigurationError, DocumentError, UsageError
from gateway.policy.version import MANIFEST_FILE, POLICY_FILE, SCHEMA_FILE, Manifest, PolicyVersion, Ruling
from gateway.policy.view import PolicyInputs

_SEALED: Final = frozenset({POLICY_FILE, SCHEMA_FILE})


class PolicyStore:
    """Immutable after `load`; there is no way to add or change a version while the gateway runs."""

    def __init__(self, versions: Sequence[PolicyVersion]) -> None:
        self._versions: Mapping[tuple[str, int], PolicyVersion] = {
            (version.policy, version.version): version for version in versions
        }

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Verify and parse every version below `directory`; raises `ConfigurationError` naming the file."""
        return cls(
            [
                _open(folder, directory)[1]
                for policy in _folders(directory, directory)
                for folder in _folders(policy, directory)
            ]
        )

    def versions(self) -> Sequence[tuple[str, int]]:
        return sorted(self._versions)

    def select(self, selections: Sequence[PolicySelection], trigger: TriggerKind, operation: str) -> PolicyVersion:
        """The one version selected for this kind of trigger and this operation.

        Raises `Refusal`: TOOL_FORBIDDEN for what is no commit operation, POLICY_UNKNOWN where nothing is
        selected, POLICY_UNAVAILABLE where two are, or where the selected one is not sealed here (DEP-01).
        """
        if operation not in frozenset(Operation):
            raise Refusal(Code.TOOL_FORBIDDEN)
        matches = [entry for entry in selections if (entry.trigger, entry.operation) == (trigger, operation)]
        if not matches:
            raise Refusal(Code.POLICY_UNKNOWN)
        version = self._versions.get((matches[0].policy, matches[0].version))
        if len(matches) > 1 or version is None:
            raise Refusal(Code.POLICY_UNAVAILABLE)
        return version

    def evaluate(self, version: PolicyVersion, inputs: PolicyInputs) -> Ruling:
        """Rule on this attempt's inputs, by a version of this store and no other."""
        if self._versions.get((version.policy, version.version)) is not version:
            raise Refusal(Code.POLICY_UNAVAILABLE)
        return version.evaluate(inputs)


def shipped(policy: str, version: int) -> Path:
    """Where a version that comes with the gateway lies; raises `ConfigurationError` if there is none."""
    folder = Path(__file__).parent / "versions" / policy / str(version)
    if not folder.is_dir():
        raise ConfigurationError(f"no policy {policy}/{version} comes with the gateway")
    return folder


def seal(source: Path, destination: Path) -> Path:
    """Verify one version and copy it to `destination/<policy>/<version>`, durably; returns that folder.

    Raises `ConfigurationError` where the source does not hold, where that version is there already (a sealed
    version is never changed, a new one gets a new number), or where it cannot be written.
    """
    files, version = _open(source, source.parent.parent)
    folder = destination / version.policy / str(version.version)
    if folder.exists():
        raise ConfigurationError(f"policy {version.policy}/{version.version} is sealed already")
    try:
        documents.make_directory(folder)
        for name, content in files.items():
            documents.write(folder / name, content, _name(folder / name, destination))
    except (OSError, DocumentError):
        raise ConfigurationError(f"policy {version.policy}/{version.version} cannot be written there") from None
    return folder


def _folders(directory: Path, root: Path) -> list[Path]:
    try:
        entries = sorted(directory.iterdir())
    except OSError:
        raise ConfigurationError(f"{_name(directory, root)}: not a readable directory of policies") from None
    for entry in entries:
        if not entry.is_dir() or entry.is_symlink():
            raise ConfigurationError(f"{_name(entry, root)}: not part of any sealed policy version; remove it")
    return entries


def _open(folder: Path, root: Path) -> tuple[dict[str, bytes], PolicyVersion]:
    """The files of one version, each read once, so that what is verified is what is used."""
    names = {entry.name for entry in folder.iterdir()}
    for name in sorted(names - _SEALED - {MANIFEST_FILE}):
        raise ConfigurationError(f"{_name(folder / name, root)}: not listed in {MANIFEST_FILE}; remove it")
    files = {name: _read(folder / name, root) for name in sorted(_SEALED | {MANIFEST_FILE})}
    where = _name(folder / MANIFEST_FILE, root)
    try:
        manifest = Manifest.parse(files[MANIFEST_FILE])
    except UsageError as error:
        raise ConfigurationError(f"{where}: {error}") from None
    if manifest.files.keys() != _SEALED:
        raise ConfigurationError(f"{where}: must list exactly {POLICY_FILE} and {SCHEMA_FILE}")
    if (folder.parent.name, folder.name) != (manifest.policy, str(manifest.version)):
        raise ConfigurationError(f"{where}: is of {manifest.policy}/{manifest.version}, not of its folder")
    for name, expected in sorted(manifest.files.items()):
        if hashlib.sha256(files[name]).hexdigest() != expected:
            raise ConfigurationError(f"{_name(folder / name, root)}: altered since it was sealed")
    try:
        policies, schema = files[POLICY_FILE].decode(), files[SCHEMA_FILE].decode()
    except UnicodeDecodeError:
        raise ConfigurationError(f"{_name(folder, root)}: not UTF-8") from None
    return files, PolicyVersion.parse(manifest, policies, schema)


def _read(path: Path, root: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_DOCUMENT_BYTES + 1)
    except OSError:
        raise ConfigurationError(f"{_name(path, root)}: missing or unreadable") from None
    if len(content) > MAX_DOCUMENT_BYTES:
        raise ConfigurationError(f"{_name(path, root)}: larger than {MAX_DOCUMENT_BYTES} bytes")
    return content


def _name(path: Path, root: Path) -> str:
    """The path as seen from the policies' root, whose own place is nobody's business in a message."""
    return path.relative_to(root.parent).as_posix()
