"""Which code an adapter is, and whether somebody whom the practice trusts has stated that it conforms.

Owns: the rule of identity, and admission by it. The code of an adapter is every file of the package that holds its
class, and of the packages that hold the classes it inherits from (the gateway's own and Python's left out); for a
class in a top-level module it is that one file. The class is named too: of two in one package, each is tried for
itself. `__pycache__` is not looked at: it is made from the files beside it,
and differs by machine. Nothing tells a file that only tests use from one that commits, so a changed byte, a renamed or
an added file of any kind makes other code. An editable and an ordinary install of the same files are the same code; a
file's mode and time, the distribution's name and version, and the libraries that it imports are not part of it.
Outside environment `sandbox` a connection is admitted by a signed statement (`conformance/*.jws` in the home, beside
the seal and not part of it) for this very code, its dialect, its claims and the gateway's contract version. All of it
is judged once, when a gateway opens; an attempt compares instants.
Refuses, as `ConfigurationError`: a connection that no statement admits, naming what is wrong and how to get one; links
and anything else that is no regular file, code that is not on disk, and more of it than an adapter can need.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from gateway import documents
from gateway.attestation import ConformanceStatement
from gateway.config import Configuration
from gateway.contracts.adapter import CONTRACT_VERSION, Adapter, Descriptor
from gateway.contracts.base import Slug
from gateway.contracts.canonical import digest
from gateway.contracts.connection import MLLP, Connection, Scheme
from gateway.contracts.failures import Refusal
from gateway.contracts.references import ConnectionId
from gateway.contracts.words import Environment
from gateway.errors import ConfigurationError, DocumentError, UsageError
from gateway.plugins import GIVEN, GROUP
from gateway.signatures import MAX_TOKEN_BYTES, Keyring, Verified

ADAPTER_DOMAIN: Final = "adapter-code/v1"
CODE_DOMAIN: Final = "code/v1"
MAX_FILES: Final = 4096
MAX_FILE_BYTES: Final = 16 * 1024 * 1024
DIRECTORY: Final = "conformance"
SUFFIX: Final = ".jws"
MAX_STATEMENTS: Final = 256

_BYTECODE: Final = "__pycache__"
_LENGTH_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class AdapterCode:
    """An adapter as it is installed here. Only `name` and `digest` are ever compared; the rest is for people."""

    name: Slug
    distribution: str
    version: str
    digest: str


def identify(adapter: Adapter, name: Slug) -> AdapterCode:
    """The code of `adapter`, offered under `name`; raises `ConfigurationError` where it cannot be read."""
    places = [kind.__module__ for kind in type(adapter).__mro__ if not is_given(kind.__module__)]
    if not places:
        raise ConfigurationError(f"adapter {name}: its class is not in a module of its own; put it in a package")
    distribution, version = _distribution(places[0])
    kind = type(adapter)
    whole = f"{kind.__module__}:{kind.__qualname__}|{code_digest(*places)}"
    return AdapterCode(name, distribution, version, digest(ADAPTER_DOMAIN, whole.encode()))


def code_digest(*modules: str) -> str:
    """SHA-256 over the files of the packages that hold these imported modules, or that these packages are.

    Under the domain tag, for each file in order of its name (package, `/`, path with `/`): the length of the name
    (8 bytes, big-endian), the name, and the SHA-256 of the file's bytes. Raises `ConfigurationError`.
    """
    listed: dict[str, bytes] = {}
    for module in modules:
        for name, path in _files(module):
            listed[name] = _sha256(path, name)
            if len(listed) > MAX_FILES:
                raise ConfigurationError(f"{module}: more than {MAX_FILES} files of code; keep data out of the package")
    content = b"".join(
        len(name).to_bytes(_LENGTH_BYTES, "big") + name + listed[name.decode()]
        for name in sorted(name.encode() for name in listed)
    )
    return digest(CODE_DOMAIN, content)


@dataclass(frozen=True, slots=True)
class Conformity:
    """Which connections are admitted, by which statement. Where `needed` is false, all are."""

    needed: bool
    statements: Mapping[ConnectionId, ConformanceStatement]

    def admits(self, connection: ConnectionId, now: datetime) -> bool:
        """Whether its adapter may commit now: a statement that was valid at opening may have expired since."""
        if not self.needed:
            return True
        held = self.statements.get(connection)
        return held is not None and held.facts.issued_at <= now < held.facts.expires_at

    def until(self, connection: ConnectionId, now: datetime) -> str:
        """For people: how long a statement covers it."""
        if not self.needed:
            return "not needed"
        held = self.statements.get(connection)
        if held is None:
            return "missing"
        word = "covered until" if self.admits(connection, now) else "expired"
        return f"{word} {held.facts.expires_at:%Y-%m-%d}"


def admit(
    configuration: Configuration,
    keyring: Keyring,
    adapters: Mapping[str, Adapter],
    claims: Callable[[ConnectionId], Descriptor],
    now: datetime,
) -> Conformity:
    """Judge every sealed connection whose adapter is installed; raises `ConfigurationError`.

    `claims` is what the adapter claims for a connection (`Boundary.describe`); where it raises, nothing is admitted
    and nothing refused, since no attempt can reach that adapter either.
    """
    environment = configuration.settings.environment
    if environment is Environment.SANDBOX:
        return Conformity(needed=False, statements=MappingProxyType({}))
    held, faults = _held(configuration, keyring)
    codes: dict[str, AdapterCode] = {}
    admitted: dict[ConnectionId, ConformanceStatement] = {}
    for reference, connection in sorted(configuration.connections.items()):
        try:
            claimed = claims(reference)
        except Refusal:
            continue
        name = connection.adapter
        if name not in codes:
            codes[name] = identify(adapters[name], name)
        judged = [(entry, _amiss(entry, codes[name], connection, claimed, now)) for entry in held]
        fitting = [entry for entry, amiss in judged if not amiss]
        if not fitting:
            reasons = [amiss for entry, amiss in judged if entry.adapter == name]
            raise ConfigurationError(_refusal(connection, environment, reasons or faults))
        admitted[reference] = max(fitting, key=lambda entry: entry.facts.expires_at)
    return Conformity(needed=True, statements=MappingProxyType(admitted))


def install(configuration: Configuration, keyring: Keyring, token: str) -> Path:
    """Keep a statement in the home, for the next opening; the file. Raises `UsageError` where no key that the
    practice trusts for this signed it, and `DocumentError`. Whether it admits anything is judged at opening."""
    verified = keyring.verify(token, ConformanceStatement, practice=configuration.settings.practice)
    stated = verified.statement
    name = f"{DIRECTORY}/{stated.adapter}-{stated.facts.dialect}-{verified.digest[:16]}{SUFFIX}"
    try:
        documents.make_directory(configuration.home / DIRECTORY)
    except OSError:
        raise DocumentError(f"{DIRECTORY}/ cannot be made in the home; check its owner and mode") from None
    documents.write(configuration.home / name, token.encode(), name, MAX_TOKEN_BYTES)
    return configuration.home / name


def _held(configuration: Configuration, keyring: Keyring) -> tuple[list[ConformanceStatement], list[str]]:
    """The home's statements that verify, and what is wrong with the others. One that nothing needs stops nothing."""
    held: list[ConformanceStatement] = []
    faults: list[str] = []
    paths = sorted((configuration.home / DIRECTORY).glob(f"*{SUFFIX}"))
    if len(paths) > MAX_STATEMENTS:
        raise ConfigurationError(f"{DIRECTORY}/ holds more than {MAX_STATEMENTS} statements; remove the old ones")
    for path in paths:
        try:
            held.append(_read(path, configuration, keyring).statement)
        except (DocumentError, UsageError) as error:
            faults.append(f"{DIRECTORY}/{ascii(path.name)[1:-1]}: {error}")
    return held, faults


def _read(path: Path, configuration: Configuration, keyring: Keyring) -> Verified[ConformanceStatement]:
    content = documents.read(path, "the statement", MAX_TOKEN_BYTES) or b""
    token = content.decode("ascii", errors="replace").strip()
    return keyring.verify(token, ConformanceStatement, practice=configuration.settings.practice)


def _amiss(
    stated: ConformanceStatement, code: AdapterCode, connection: Connection, claimed: Descriptor, now: datetime
) -> str:
    """Why this statement does not admit the connection; empty where it does. An expired one does: what was committed
    must still be observed, resolved and recovered. It admits no commit (`Conformity.admits`)."""
    facts = stated.facts
    if stated.adapter != code.name:
        return "its statement is of another adapter"
    if stated.code_digest != code.digest:
        return "its statement is of other code than is installed"
    if facts.contract_version != CONTRACT_VERSION:
        return f"its statement is of contract version {facts.contract_version}, not {CONTRACT_VERSION}"
    if facts.dialect != connection.dialect:
        return f"its statement is of dialect {facts.dialect}, not {connection.dialect}"
    if _hears_of_rejection(connection) and not facts.credential:
        return "it was tried without a credential, so nobody knows what it does when one is rejected"
    if not _is_tried(claimed, facts.capabilities):
        return "it claims other capabilities here than were tried"
    if facts.issued_at > now:
        return "its statement is not valid yet"
    return ""


def _is_tried(claimed: Descriptor, tried: Descriptor) -> bool:
    """Whether the run tried all that is claimed here. Who gives requests longer to be carried out claims no more:
    absence is believed later, and nothing else follows."""
    alike = claimed.model_copy(update={"relay_seconds": tried.relay_seconds})
    return alike == tried and claimed.relay_seconds >= tried.relay_seconds


def _hears_of_rejection(connection: Connection) -> bool:
    """Whether the adapter must know what it means that a credential is rejected. Over MLLP that is a certificate, which
    TLS judges at the boundary; no message tells an adapter of it."""
    over_mllp = urlsplit(connection.base_url).scheme in MLLP
    return connection.credential.scheme is not Scheme.NONE and not over_mllp


def _refusal(connection: Connection, environment: Environment, reasons: Iterable[str]) -> str:
    adapter = connection.adapter
    said = "; ".join(dict.fromkeys(reasons)) or f"{DIRECTORY}/ holds no conformance statement for it"
    return (
        f"adapter {adapter} is not loaded in environment {environment} for {connection.connection_id}: {said}. "
        f"Try it: gateway conformance run {adapter} --target FILE --report DIR; then gateway conformance sign "
        f"--report DIR --key FILE --out STATEMENT; then gateway conformance install STATEMENT --results FILE --home DIR"
    )


def is_given(module: str) -> bool:
    """Whether it comes with Python or the gateway, for which the statement's contract version speaks."""
    top = module.partition(".")[0]
    return top in sys.stdlib_module_names or top == "gateway"


def _files(module: str) -> Iterator[tuple[str, Path]]:
    imported = sys.modules.get(module)
    source = getattr(imported, "__file__", None)
    if source is None or not Path(source).is_file():
        raise ConfigurationError(f"{module}: its code is not a file on disk; install it unpacked")
    package = module if hasattr(imported, "__path__") else module.rpartition(".")[0]
    if package:
        yield from _below(Path(source).parent, package)
    else:
        yield Path(source).name, Path(source)


def _below(directory: Path, shown: str) -> Iterator[tuple[str, Path]]:
    try:
        entries = list(os.scandir(directory))
    except OSError:
        raise ConfigurationError(f"{shown}: its code cannot be read; check owner and mode") from None
    for entry in entries:
        name = f"{shown}/{entry.name}"
        if entry.is_symlink():
            raise ConfigurationError(f"{name} is a symbolic link; an adapter's code is the files themselves")
        if not entry.is_dir():
            yield name, Path(entry.path)
        elif entry.name != _BYTECODE:
            yield from _below(Path(entry.path), name)


def _sha256(path: Path, shown: str) -> bytes:
    try:
        content = documents.read(path, shown, MAX_FILE_BYTES)
    except DocumentError as error:
        raise ConfigurationError(str(error)) from None
    if content is None:
        raise ConfigurationError(f"{shown} vanished while it was read; is an installation under way?")
    return hashlib.sha256(content).digest()


def _distribution(module: str) -> tuple[str, str]:
    """Name and version of the distribution whose entry point leads into the module's package."""
    package = module.rpartition(".")[0] or module
    for entry in entry_points(group=GROUP):
        if entry.dist is not None and f"{entry.module}.".startswith(f"{package}."):
            return entry.dist.name, entry.dist.version
    return GIVEN, ""
