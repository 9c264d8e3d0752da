"""Small JSON documents on disk: read within bounds, written whole or not at all.

Owns: how the sealed home and the practice registry touch files. A read takes one regular file of bounded
size; a write is durable, and atomic to every reader, once `write` returns (temporary file, fsync, rename,
fsync of the directory).
Refuses: links, devices, pipes and oversized files, each as a `DocumentError` that names the file and never
repeats its content.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from pathlib import Path
from typing import Final, TypeVar

from gateway.contracts.base import Model
from gateway.contracts.canonical import MAX_DOCUMENT_BYTES
from gateway.errors import DocumentError, InvalidInput, MalformedInput

OWNER_FILE: Final = 0o600
OWNER_DIRECTORY: Final = 0o700

M = TypeVar("M", bound=Model)


def read(path: Path, shown: str, limit: int = MAX_DOCUMENT_BYTES) -> bytes | None:
    """The file's bytes, or None where there is no file; `shown` is its name in errors."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DocumentError(_unopened(shown, error)) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise DocumentError(f"{shown} is not a regular file; put the document itself there")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise DocumentError(_unopened(shown, error)) from None
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise DocumentError(f"{shown} is larger than {limit} bytes; split or shorten it")
    return content


def parse(model: type[M], content: bytes, shown: str) -> M:
    """The document's value; a `DocumentError` names file and fields, never a value or an invented name."""
    try:
        return model.parse(content)
    except MalformedInput as error:
        raise DocumentError(f"{shown}: {error}") from None
    except InvalidInput as error:
        faults = "; ".join(f"{fault.field}: {fault.says}" for fault in error.faults)
        raise DocumentError(f"{shown} is not a valid {model.__name__}: {faults}") from None


def load(model: type[M], path: Path, shown: str) -> M | None:
    """Read and parse; None where there is no file."""
    content = read(path, shown)
    return None if content is None else parse(model, content, shown)


def spell(model: Model) -> bytes:
    """A model as people read it in a file: indented, members in the order of the contract."""
    return model.model_dump_json(indent=2, exclude_none=True).encode() + b"\n"


def write(path: Path, content: bytes, shown: str, limit: int = MAX_DOCUMENT_BYTES) -> None:
    """Replace the file, owner-only; a reader sees the old bytes or the new ones, before and after a crash."""
    if len(content) > limit:
        raise DocumentError(f"{shown} would be larger than {limit} bytes; nothing was written")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        _write_new(temporary, content)
        try:
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)
    except OSError as error:
        raise DocumentError(f"{shown} could not be written ({_reason(error)}); check its directory") from None


def make_directory(directory: Path) -> None:
    """Make a directory and those above it, owner-only and durable; raises OSError."""
    if directory.is_dir():
        return
    make_directory(directory.parent)
    directory.mkdir(mode=OWNER_DIRECTORY, exist_ok=True)
    sync_directory(directory.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable; raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def exposed(path: Path) -> bool:
    """Whether anybody but the owner may read or change it."""
    return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _write_new(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWNER_FILE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _unopened(shown: str, error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return f"{shown} is a symbolic link; put the document itself there"
    return f"{shown} cannot be read ({_reason(error)}); check its owner and mode"


def _reason(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "unknown")
