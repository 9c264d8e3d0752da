"""Reading JSON without surprises, and digests that cannot be taken for one another.

Owns: the limits of any JSON document that enters the gateway (64 KiB, no duplicate member,
no NaN, bounded depth), the canonical bytes of what leaves it, and the domain tag of every SHA-256 digest.
Sources: RFC 8785 (canonical form), RFC 8259 §4 (duplicate names), C-40 (what kind of error bad input is).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Annotated, Any, Final, NoReturn, TypeVar

import rfc8785
from pydantic import BaseModel, StringConstraints, ValidationError

from gateway.contracts.faults import faults_of
from gateway.errors import InvalidInput, MalformedInput

MAX_DOCUMENT_BYTES = 64 * 1024
MAX_DEPTH = 16

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 as 64 lower-case hexadecimal digits."""

Parsed = TypeVar("Parsed", bound=BaseModel)

MAX_EXACT_INTEGER: Final = 2**53 - 1
"""The largest integer that every JSON reader holds exactly (RFC 7493 §2.2)."""

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))


def canonical(content: Any) -> bytes:
    """The canonical form (RFC 8785) of JSON-ready content; raises ValueError for what has none.

    For exact content in ASCII that is the C encoder's sorted, compact form, at a fifth of the cost; fractions and
    the order of other letters are the library's business.
    """
    if _exact((content,)):
        text = _ENCODER.encode(content)
        if text.isascii():
            return text.encode("ascii")
    return rfc8785.dumps(content)


def _exact(values: Iterable[Any]) -> bool:
    for value in values:
        kind = type(value)
        if kind is str or kind is bool or value is None:
            continue
        if kind is int and abs(value) <= MAX_EXACT_INTEGER:
            continue
        if kind is list and _exact(value):
            continue
        if kind is dict and _exact(value.values()) and all(type(name) is str for name in value):
            continue
        return False
    return True


def digest(domain: str, content: bytes) -> str:
    """SHA-256 over `gateway/<domain>`, a zero byte, and the content."""
    return hashlib.sha256(b"gateway/" + domain.encode() + b"\x00" + content).hexdigest()


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedInput(f"{name} is not JSON (RFC 8259 has no such number)")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedInput("a member name appears twice in one object; state each once")
    return members


def _depth(value: Any, level: int = 0) -> int:
    if level > MAX_DEPTH:
        raise MalformedInput(f"nested deeper than {MAX_DEPTH} levels")
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return max((_depth(child, level + 1) for child in children), default=level)


def load_json(text: str | bytes, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> Any:
    """Decode one bounded JSON document; raises `MalformedInput` naming what to fix, never the content."""
    try:
        raw = text.encode() if isinstance(text, str) else text
    except UnicodeEncodeError:
        raise MalformedInput("document is not UTF-8") from None
    if len(raw) > max_bytes:
        raise MalformedInput(f"document is {len(raw)} bytes; the limit is {max_bytes}")
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise MalformedInput("document is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise MalformedInput(f"not JSON: line {error.lineno}, column {error.colno}") from None
    except (RecursionError, ValueError) as error:
        raise MalformedInput("not JSON within the gateway's bounds") from error
    _depth(value)
    return value


def parse_json(model: type[Parsed], text: str | bytes) -> Parsed:
    """Decode and validate; raises `MalformedInput` or `InvalidInput`. Errors name fields, never values."""
    load_json(text)
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise InvalidInput(model.__name__, faults_of(model, error)) from None
