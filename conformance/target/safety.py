"""What must hold before anything is sent: a readable target file, its secrets, and a system that may be written to.

Owns: reading the target file and what it names, and the admission of a run. Refuses, as `TargetError` naming the
field and what to mend: whatever is missing, unknown or contradictory, a system that is not said to be a sandbox, a
host on the deny list, a public address without encryption, a budget or pool that the plan would overrun, secrets that
others could read, and a report directory that cannot be written or is in use.
Invariant: no message carries a value of the file, a secret, a path or a name that is not declared somewhere.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import re
import socket
import stat
import tempfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from pydantic import ValidationError

from conformance.recorder import RUN_FILE
from conformance.results import Profile
from conformance.target.file import SecretPlace, Target, TargetError
from gateway import documents
from gateway.boundary.addresses import Address, meant, reachable
from gateway.contracts.connection import ENCRYPTED, PORTS, Network
from gateway.contracts.faults import faults_of
from gateway.errors import DocumentError

DENY_VARIABLE: Final = "GATEWAY_CONFORMANCE_DENY"
MAX_TARGET_BYTES: Final = 64 * 1024
MAX_SECRET_BYTES: Final = 8 * 1024
MAX_DENIED: Final = 10_000
SHOWN: Final = "the target file"

_PLACE: Final = re.compile(r"\(at (line \d+, column \d+|end of document)\)")
_ENTRY: Final = re.compile(r"\.?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*(?::\d{1,5})?|\[[0-9a-f:.]+\](?::\d{1,5})?", re.ASCII)
_IMPORT: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def load(path: Path) -> Target:
    """The target file as a value. Instants may carry any offset; they are kept in UTC."""
    try:
        content = documents.read(path, SHOWN, MAX_TARGET_BYTES)
    except DocumentError as error:
        raise TargetError(str(error)) from None
    if content is None:
        raise TargetError(f"{SHOWN} is not there; `gateway adapters new` writes one to start from")
    document = _toml(content)
    if not document:
        raise TargetError(f"{SHOWN} is empty; docs/adapters/writing.md shows what it must say")
    try:
        return Target.model_validate_json(json.dumps(document, default=_instant))
    except ValidationError as error:
        faults = faults_of(Target, error, named=True)
        raise TargetError(f"{SHOWN} is not valid: {'; '.join(f'{name}: {says}' for name, _, says in faults)}") from None


def secrets(target: Target, directory: Path) -> Mapping[str, str]:
    """The target's secrets by name; files are relative to `directory`, where the target file is."""
    named = target.connection.credential.name
    if named is not None and named not in target.secrets and target.launch is None:
        raise TargetError(f"secrets.{named} is missing; connection.credential names it, so say where it is")
    return Secrets({name: _secret(f"secrets.{name}", place, directory) for name, place in target.secrets.items()})


class Secrets(dict[str, str]):
    """Secrets by name, which show in no traceback and no log."""

    def __repr__(self) -> str:
        return f"<{len(self)} secrets>"


def denied(variable: str = DENY_VARIABLE) -> tuple[str, ...]:
    """The deny list of this machine: a file, named by an environment variable, of one entry per line (`#` comments).
    A file that is named and cannot be read refuses the run."""
    named = os.environ.get(variable)
    if not named:
        return ()
    try:
        content = documents.read(Path(named), f"the file that {variable} names", MAX_TARGET_BYTES * 16)
        if content is None:
            raise TargetError(f"the file that {variable} names is not there; restore it, or unset the variable")
        lines = content.decode("utf-8").splitlines()
    except DocumentError as error:
        raise TargetError(str(error)) from None
    except UnicodeDecodeError:
        raise TargetError(f"the file that {variable} names is not UTF-8; restore it") from None
    entries = tuple(entry for line in lines if (entry := line.partition("#")[0].strip()))
    return entries[: MAX_DENIED + 1]


def admit(
    target: Target, *, profile: Profile, deny: Sequence[str] = (), writes: int | None = None, slots: int | None = None
) -> None:
    """Before the first request: raises `TargetError` unless this system may be used as `profile` would.

    `deny` comes on top of the target's own list and this machine's. `writes` is what the plan needs, `slots` what its
    largest check needs at once.
    """
    reads_only = profile is Profile.PRODUCTION_READONLY
    if not target.sandbox and not reads_only:
        raise TargetError(
            "sandbox is false: this run writes, so name a sandbox; --profile production-readonly would only read"
        )
    subjects = target.pool.subjects
    if any(not subject.strip() for subject in subjects) or len(set(subjects)) != len(subjects):
        raise TargetError("pool.subjects: name at least two different test patients")
    if not reads_only and writes is not None and target.writes < writes:
        raise TargetError(f"writes = {target.writes} is too small a budget: this run plans {writes} writes")
    if slots is not None and target.pool.slots < slots:
        raise TargetError(f"pool.slots = {target.pool.slots} is too few: one check of this run needs {slots}")
    refused = (*target.deny, *deny, *denied())
    _check_entries(refused)
    connection = target.connection
    if connection.base_url is not None:
        _admit_address(connection.base_url, "connection.base_url", connection.network, refused)
        if (token := connection.credential.token) is not None:
            _admit_address(token.url, "connection.credential.token.url", connection.network, refused)


def admit_launched(url: str, field: str) -> None:
    """What premises say that they started must be on this machine: a launched system proves itself a sandbox. `field`
    is the premises' name for this address."""
    told = f"the launched system's {field}"
    address = _address(url, told)
    if not all(meant(each).is_loopback for each in _resolved(address, f"{told}: the host")):
        raise TargetError(f"{told} is not on loopback; leave launch out, and name a remote system under connection")


def load_object(spec: str) -> Callable[..., object]:
    """What `package.module:name` names; it must be callable. An author's own error is named by type only."""
    if not _IMPORT.fullmatch(spec):
        raise TargetError("name an object as package.module:name")
    module_name, _, name = spec.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise TargetError(f"there is no module {module_name}; install the package that holds it") from None
        raise TargetError(f"importing {module_name} raised ModuleNotFoundError; install what it needs") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's code, whose text could hold anything
        raise TargetError(f"importing {module_name} raised {type(error).__name__}; mend the module") from None
    found: object = getattr(module, name, None)
    if found is None:
        raise TargetError(f"module {module_name} has no {name}")
    if not callable(found):
        raise TargetError(f"{spec} cannot be called; name a function or a class")
    return found


def prepare(directory: Path, *, resume: bool) -> None:
    """The report directory, made if it is missing: empty for a new run, that of an unfinished run to resume one.

    Comes before everything else: a run that cannot be recorded must not begin.
    """
    try:
        documents.make_directory(directory)
        descriptor, probe = tempfile.mkstemp(dir=directory, prefix=".probe-")
        os.close(descriptor)
        Path(probe).unlink()
        found = {entry.name for entry in os.scandir(directory)}
    except OSError:
        raise TargetError("the report directory cannot be written; check its owner and mode, or name another") from None
    if resume and RUN_FILE not in found:
        raise TargetError("there is no run to resume in the report directory; leave out --resume to begin one")
    if not resume and found:
        raise TargetError("the report directory is not empty; name a new one, or continue its run with --resume")


# The target file


def _toml(content: bytes) -> dict[str, object]:
    try:
        return tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise TargetError(f"{SHOWN} is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))  # the rest of the message may quote the file
        raise TargetError(f"{SHOWN} is not TOML: mend {place[1] if place else 'its syntax'}") from None
    except RecursionError:
        raise TargetError(f"{SHOWN} is nested too deeply") from None


def _instant(value: object) -> str:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, datetime | date | time):
        return value.isoformat()  # without an offset: the contract refuses it by the field's name
    raise TypeError


# Secrets


def _secret(field: str, place: SecretPlace, directory: Path) -> str:
    if place.environment is not None:
        value = os.environ.get(place.environment)
        if not value:
            raise TargetError(f"{field}: the environment variable that it names is not set")
        return value
    assert place.file is not None, "SecretPlace names one of the two"
    return _secret_file(field, directory / place.file)


def _secret_file(field: str, path: Path) -> str:
    """As `gateway.boundary.credentials.FileSecrets` reads one: regular, this user's, mode 0600 or less."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise TargetError(f"{field}: there is no such file beside the target file") from None
    except OSError as error:
        link = error.errno == errno.ELOOP
        raise TargetError(f"{field}: the file {'is a link' if link else 'cannot be read'}; mend it") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_SECRET_BYTES:
            raise TargetError(f"{field}: not a regular file of at most {MAX_SECRET_BYTES} bytes")
        if status.st_mode & 0o077 or status.st_uid != os.geteuid():
            raise TargetError(f"{field}: the file is open to others than you; run chmod 600 on it")
        content = os.read(descriptor, MAX_SECRET_BYTES)
    finally:
        os.close(descriptor)
    try:
        secret = content.decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError:
        raise TargetError(f"{field}: the file is not UTF-8") from None
    if not secret:
        raise TargetError(f"{field}: the file is empty")
    return secret


# Addresses


def _admit_address(url: str, field: str, network: Network, refused: Sequence[str]) -> None:
    address = _address(url, field)
    host, port = str(address.hostname), _port(address)
    addresses = _resolved(address, f"{field}: the host")
    if any(_denies(entry.lower(), str(each), port) for entry in refused for each in (host, *addresses)):
        raise TargetError(f"{field} is on the deny list; no run may touch that server")
    for each in addresses:
        if not meant(each).is_loopback and not reachable(each, network):
            raise TargetError(
                f"{field} leads where a connection of this network may not go; "
                "for a system in your own network say connection.network = 'private'"
            )
        if address.scheme not in ENCRYPTED and not meant(each).is_loopback and each.is_global:
            raise TargetError(f"{field} is not encrypted, and leads to a public address; use https or mllps")


def _address(base_url: str, field: str) -> SplitResult:
    try:
        address = urlsplit(base_url)
        sound = address.scheme in PORTS and address.hostname and "@" not in address.netloc
        if sound:
            _port(address)
    except ValueError:
        sound = False
    if not sound:
        raise TargetError(f"{field} must be http(s)://host[:port]/path or mllp(s)://host[:port] without credentials")
    return address


def _port(address: SplitResult) -> int:
    return address.port or PORTS[address.scheme]


def _resolved(address: SplitResult, field: str) -> tuple[Address, ...]:
    try:
        answers = socket.getaddrinfo(address.hostname, _port(address), type=socket.SOCK_STREAM)
        return tuple(dict.fromkeys(ip_address(str(answer[4][0])) for answer in answers))
    except (OSError, ValueError):
        raise TargetError(f"{field} has no address right now; check its name and this machine's network") from None


def _check_entries(entries: Sequence[str]) -> None:
    """An entry that means nothing would deny nothing."""
    if len(entries) > MAX_DENIED:
        raise TargetError(f"the deny list has more than {MAX_DENIED} entries; shorten it")
    if any(not _ENTRY.fullmatch(entry.lower()) for entry in entries):
        raise TargetError("the deny list has an entry that is neither host, host:port, .suffix nor [address]:port")


def _denies(entry: str, host: str, port: int) -> bool:
    if entry.startswith("["):
        entry, _, stated = entry[1:].partition("]")
        stated = stated.removeprefix(":")
    else:
        entry, _, stated = entry.partition(":")
    if stated and int(stated) != port:
        return False
    host = host.lower().rstrip(".")
    return host.endswith(entry) or host == entry[1:] if entry.startswith(".") else _same(entry, host)


def _same(entry: str, host: str) -> bool:
    try:
        return ip_address(entry) == ip_address(host)
    except ValueError:
        return entry == host
