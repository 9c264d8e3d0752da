"""The gateway's configuration: what a practice seals before anything may be committed.

Owns: the home directory. It holds `gateway.json` (`Settings`), `connections/*.json` (`Connection`), `keys.json`
(`TrustedKeys`), `policies/` and `seal.json` (the SHA-256 of each of these files); beside the seal, `sibling.key`
(32 random bytes, owner-only, made once) and the signed records that cover the seal (`gateway.governance`).
Refuses: altered, missing and unlisted files, by name, and contradictions between them. What is verified is
what is used: each file is read once. `load` runs once, at start; nothing is read on the hot path, and nothing
changes a sealed file while the gateway runs (POLICY-08).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from gateway import documents
from gateway.contracts.base import Model, Slug
from gateway.contracts.canonical import Digest
from gateway.contracts.connection import Connection
from gateway.contracts.faults import ContentError
from gateway.contracts.proposal import Operation
from gateway.contracts.references import ConnectionId, PracticeId
from gateway.contracts.statements import TriggerKind
from gateway.contracts.words import Environment
from gateway.errors import ConfigurationError, DocumentError
from gateway.journal.opening import JournalAddress
from gateway.signatures import Keyring, TrustedKeys

SETTINGS: Final = "gateway.json"
KEYS: Final = "keys.json"
CONNECTIONS: Final = "connections"
POLICIES: Final = "policies"
SEAL: Final = "seal.json"
SIBLING_KEY: Final = "sibling.key"
SIBLING_KEY_BYTES: Final = 32
JOURNAL_NAME: Final = "journal"
SEAL_DOMAIN: Final = "seal/v1"
MAX_FILES: Final = 512
RESEAL: Final = "if the change is meant, have it reviewed and run `gateway seal`; if not, restore the file"

_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9._/-]{1,200}", re.ASCII)


class PluginUse(Model):
    """Which plugin to use, and its options (paths are relative to the home directory)."""

    name: Slug
    options: dict[Slug, str] = {}


class PolicySelection(Model):
    """For this kind of trigger and this operation, evaluate exactly this sealed version (POLICY-03)."""

    trigger: TriggerKind
    operation: Operation
    policy: Slug
    version: Annotated[int, Field(ge=1)]


class Bounds(Model):
    """Limits in seconds on what the gateway waits for and believes."""

    evidence_seconds: Annotated[int, Field(ge=1, le=60)] = 5
    readiness_seconds: Annotated[int, Field(ge=1, le=120)] = 15
    authorization_seconds: Annotated[int, Field(ge=1, le=60)] = 10
    sink_seconds: Annotated[int, Field(ge=1, le=60)] = 5
    replay_wait_seconds: Annotated[int, Field(ge=0, le=120)] = 30
    reviewer_authentication_seconds: Annotated[int, Field(ge=1, le=86_400)] = 900
    clock_skew_seconds: Annotated[int, Field(ge=0, le=300)] = 60


class Settings(Model):
    """`gateway.json`. There is no setting that turns a gate, the journal or a sink off (GATE-02, AUDIT-19)."""

    practice: PracticeId
    environment: Environment
    journal: JournalAddress = "journal.db"
    evidence: PluginUse
    resolver: PluginUse
    credentials: Annotated[tuple[PluginUse, ...], Field(max_length=4)] = ()
    sinks: Annotated[tuple[PluginUse, ...], Field(max_length=8)] = ()
    policies: Annotated[tuple[PolicySelection, ...], Field(max_length=32)]
    bounds: Bounds = Bounds()

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        sinks = [use.name for use in self.sinks]
        if len(set(sinks)) != len(sinks) or JOURNAL_NAME in sinks:
            raise ContentError("each sink has a name of its own, and 'journal' is the journal's")
        selected = [(entry.trigger, entry.operation) for entry in self.policies]
        if len(set(selected)) != len(selected):
            raise ContentError("one trigger kind and operation selects one policy version")
        return self


class SealedFile(Model):
    """One file and the SHA-256 of its bytes, as `sha256sum` prints it."""

    path: Annotated[str, StringConstraints(max_length=200)]
    sha256: Digest


class Seal(Model):
    """`seal.json`: every file that configures the gateway, in order of path."""

    version: Literal[1] = 1
    files: Annotated[tuple[SealedFile, ...], Field(max_length=MAX_FILES)]

    @property
    def seal_digest(self) -> str:
        """What governance records sign."""
        return self.digest(SEAL_DOMAIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A sealed home, loaded."""

    home: Path
    settings: Settings
    connections: Mapping[ConnectionId, Connection] = field(repr=False)
    keys: TrustedKeys
    seal_digest: str
    sibling_key: bytes = field(repr=False)

    @property
    def policies_directory(self) -> Path:
        return self.home / POLICIES


def load(home: Path) -> Configuration:
    """The home's configuration, if it is what was sealed; raises `ConfigurationError` saying what to mend."""
    try:
        content = documents.read(home / SEAL, SEAL)
        if content is None:
            raise ConfigurationError(f"{SEAL} is missing: review the home's files, then run `gateway seal`")
        sealed = documents.parse(Seal, content, SEAL)
        files = _files(home)
        _compare(sealed, files)
        return _configuration(home, files, sealed.seal_digest)
    except DocumentError as error:
        raise ConfigurationError(f"{error}; {RESEAL}") from None


def seal(home: Path, versions: Callable[[Path], Collection[tuple[str, int]]]) -> str:
    """Check every configuration file, then list their digests in `seal.json`; the seal's own digest.

    `versions` validates a directory of policies and lists the versions in it; every selection must name one
    (`gateway.home.seal` brings it: policies know this module, not the other way round). Raises
    `ConfigurationError` saying what to mend; an earlier seal then stays as it was.
    """
    try:
        files = _files(home)
        sealed = Seal(
            files=tuple(SealedFile(path=path, sha256=_sha256(files[path])) for path in sorted(files)),
        )
        settings = _configuration(home, files, sealed.seal_digest).settings
        held = versions(home / POLICIES)
        if any((entry.policy, entry.version) not in held for entry in settings.policies):
            raise ConfigurationError(f"{SETTINGS} selects a policy version that {POLICIES}/ does not hold")
        documents.write(home / SEAL, documents.spell(sealed), SEAL)
    except DocumentError as error:
        raise ConfigurationError(str(error)) from None
    return sealed.seal_digest


def _configuration(home: Path, files: Mapping[str, bytes], seal_digest: str) -> Configuration:
    for name in (SETTINGS, KEYS):
        if name not in files:
            raise ConfigurationError(f"{name} is missing; restore it")
    settings = documents.parse(Settings, files[SETTINGS], SETTINGS)
    keys = documents.parse(TrustedKeys, files[KEYS], KEYS)
    try:
        Keyring(keys)
    except ConfigurationError as error:
        raise ConfigurationError(f"{KEYS}: {error}") from None
    return Configuration(
        home=home,
        settings=settings,
        connections=MappingProxyType(_connections(files, settings.practice)),
        keys=keys,
        seal_digest=seal_digest,
        sibling_key=_sibling_key(home),
    )


def _connections(files: Mapping[str, bytes], practice: PracticeId) -> dict[ConnectionId, Connection]:
    found: dict[ConnectionId, Connection] = {}
    named: dict[ConnectionId, str] = {}
    for name in sorted(path for path in files if path.startswith(f"{CONNECTIONS}/")):
        connection = documents.parse(Connection, files[name], name)
        reference = connection.connection_id
        if connection.practice != practice:
            raise ConfigurationError(f"{name} is of another practice than {SETTINGS}; one home serves one practice")
        if reference in found:
            raise ConfigurationError(f"{named[reference]} and {name} have the same connection_id; give one its own")
        found[reference], named[reference] = connection, name
    return found


def _sibling_key(home: Path) -> bytes:
    path = home / SIBLING_KEY
    key = documents.read(path, SIBLING_KEY)
    if key is None:
        raise ConfigurationError(
            f"{SIBLING_KEY} is missing; restore it from a backup: with another key, unresolved siblings go unseen"
        )
    if len(key) != SIBLING_KEY_BYTES:
        raise ConfigurationError(f"{SIBLING_KEY} is not {SIBLING_KEY_BYTES} bytes; restore it from a backup")
    if documents.exposed(path):
        raise ConfigurationError(f"{SIBLING_KEY} is open to others than its owner; run chmod 600 on it")
    return key


def _compare(sealed: Seal, files: Mapping[str, bytes]) -> None:
    listed = {file.path: file.sha256 for file in sealed.files}
    faults = [f"{name} is missing" for name in sorted(listed.keys() - files.keys())]
    faults += [f"{name} is not listed in {SEAL}" for name in sorted(files.keys() - listed.keys())]
    faults += [
        f"{name} was altered" for name in sorted(files.keys() & listed.keys()) if _sha256(files[name]) != listed[name]
    ]
    if faults or len(listed) != len(sealed.files):
        raise ConfigurationError(f"{'; '.join(faults[:10]) or f'{SEAL} lists a file twice'}: {RESEAL}")


def _files(home: Path) -> dict[str, bytes]:
    """Every file that the seal covers, by path relative to the home."""
    files: dict[str, bytes] = {}
    names = [SETTINGS, KEYS, *_below(home, CONNECTIONS), *_below(home, POLICIES)]
    for name in names[: MAX_FILES + 1]:
        content = documents.read(home / name, name)
        if content is not None:
            files[name] = content
    if len(names) > MAX_FILES:
        raise ConfigurationError(f"more than {MAX_FILES} files to seal; remove what does not belong in the home")
    return files


def _below(home: Path, folder: str) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(home / folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError:
        raise ConfigurationError(f"{folder}/ is not a readable directory; check its owner and mode") from None
    for entry in entries:
        name = f"{folder}/{entry.name}"
        if not _PLAIN_NAME.fullmatch(name):
            raise ConfigurationError(
                f"{folder}/ holds a file whose name is not plain letters, digits and .-_; remove it"
            )
        if entry.is_symlink():
            raise ConfigurationError(f"{name} is a symbolic link; put the file itself there")
        if folder == CONNECTIONS and not (entry.is_file() and name.endswith(".json")):
            raise ConfigurationError(f"{name}: {CONNECTIONS}/ holds .json files only; remove it")
        if entry.is_dir():
            yield from _below(home, name)
        else:
            yield name


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
