"""What a contract says of input that it refuses: which field, what kind of fault, and what to do.

Owns: the one translation of pydantic's faults into sentences, for documents, the home, target files and statements.
Refuses: to repeat a value, or a name that no contract declares: an invented name may be data as well as a value is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

MAX_FAULTS: Final = 20
HIDDEN: Final = "*"
"""In place of a name that is not declared."""
DOCUMENT: Final = "document"


class Fault(NamedTuple):
    """One fault: the field's path, the kind for programs (pydantic's word), and the sentence for people."""

    field: str
    kind: str
    says: str


class ContentError(ValueError):
    """A contract's own rule does not hold. Raised within models; its text tells the rule and nothing of the value,
    which no other library's text promises."""


def faults_of(model: type[BaseModel], error: ValidationError, *, named: bool = False) -> tuple[Fault, ...]:
    """The first faults of a document. `named`: the keys of its mappings are configured names and may be shown."""
    schema = model.model_json_schema()
    declared = frozenset(_members(schema, (schema, *schema.get("$defs", {}).values())))
    listed = error.errors(include_url=False, include_input=False)
    found = (fault for fault in listed if not _is_consequence(fault, listed))
    return tuple(_fault(fault, schema, declared, named) for fault, _ in zip(found, range(MAX_FAULTS), strict=False))


def _is_consequence(fault: ErrorDetails, listed: Sequence[ErrorDetails]) -> bool:
    """A refused entry counts as none, so that its list is then called too short."""
    place = fault["loc"]
    return fault["type"] == "too_short" and any(
        len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in listed
    )


def _fault(fault: ErrorDetails, schema: Mapping[str, Any], declared: frozenset[str], named: bool) -> Fault:
    path, kind = [part for part in fault["loc"] if part != "[key]"], fault["type"]
    stray, key = kind == "extra_forbidden", len(path) < len(fault["loc"])
    shown = [_shown(part, declared, named) for part in path[:-1]]
    shown += [_shown(part, declared, named and not stray and not key) for part in path[-1:]]
    if stray:
        says = _stray(str(path[-1]), schema, path[:-1], declared)
    else:
        says = f"this name {_says(fault)}" if key else _says(fault)
    return Fault(".".join(shown) or DOCUMENT, kind, says)


def _shown(part: str | int, declared: frozenset[str], named: bool) -> str:
    if isinstance(part, int) or part in declared:
        return str(part)
    return part if named and len(part) <= 40 and re.fullmatch(_SLUG, part) else HIDDEN


def _stray(name: str, schema: Mapping[str, Any], path: Sequence[str | int], declared: frozenset[str]) -> str:
    here = frozenset(_members(schema, _at(schema, path)))
    if alike := difflib.get_close_matches(name[:80], sorted(here), n=1, cutoff=0.75):
        return f"unknown member; did you mean {alike[0]}?"
    return "belongs elsewhere; move or remove it" if name in declared else "unknown member; remove it"


def _at(schema: Mapping[str, Any], path: Sequence[str | int]) -> list[Mapping[str, Any]]:
    """The parts of a JSON schema that speak of this place."""
    places: list[Mapping[str, Any]] = [schema]
    for part in path:
        whole = [each for place in places for each in _alternatives(schema, place)]
        if isinstance(part, int):
            places = [each["items"] for each in whole if "items" in each]
        else:
            places = [each["properties"][part] for each in whole if part in each.get("properties", {})]
            if not places:
                others = [each.get("patternProperties", {}).values() for each in whole]
                places = [inner for values in others for inner in values]
    return places


def _members(schema: Mapping[str, Any], places: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for place in places:
        for each in _alternatives(schema, place):
            yield from each.get("properties", ())


def _alternatives(schema: Mapping[str, Any], place: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "$ref" in place:
        yield schema["$defs"][place["$ref"].rpartition("/")[2]]
    elif "anyOf" in place:
        for each in place["anyOf"]:
            yield from _alternatives(schema, each)
    else:
        yield place


def _says(fault: ErrorDetails) -> str:
    """Of what the contract wants, and never of what was given."""
    kind, facts = fault["type"], fault.get("ctx", {})
    if kind == "value_error":
        rule = facts.get("error")
        return str(rule) if isinstance(rule, ContentError) else _ILL_FORMED
    if kind == "string_pattern_mismatch":
        return f"must be {_SPELLINGS.get(facts['pattern'], 'spelled as ' + facts['pattern'])}"
    if kind in ("enum", "literal_error"):
        words = str(facts["expected"])
        return f"must be {words}" if len(words) <= 200 else "must be one of the contract's words"
    return _SENTENCES.get(kind, _ILL_FORMED).format(**facts)


_ILL_FORMED: Final = "is not well-formed"
_INSTANT: Final = "must be an instant in UTC, as 2026-01-31T09:00:00Z"
_SENTENCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "missing": "missing",
        "string_type": "must be text",
        "bool_type": "must be true or false",
        "float_type": "must be a number",
        "finite_number": "must be a finite number",
        "none_required": "must be left out",
        "string_too_short": "too few characters: at least {min_length}",
        "string_too_long": "too many characters: at most {max_length}",
        "too_short": "too few entries: at least {min_length}",
        "too_long": "too many entries: at most {max_length}",
        "greater_than": "must be more than {gt}",
        "greater_than_equal": "must be at least {ge}",
        "less_than": "must be less than {lt}",
        "less_than_equal": "must be at most {le}",
        **dict.fromkeys(("int_type", "int_from_float", "int_parsing", "int_parsing_size"), "must be a whole number"),
        **dict.fromkeys(("model_type", "dict_type"), "must be an object"),
        **dict.fromkeys(("tuple_type", "list_type", "set_type", "frozen_set_type"), "must be a list"),
        **dict.fromkeys(("datetime_type", "datetime_parsing", "timezone_aware", "timezone_naive"), _INSTANT),
    }
)
_SLUG: Final = r"^[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*$"
_SPELLINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        _SLUG: "lower-case words joined by - or _",
        r"^[0-9a-f]{64}$": "64 lower-case hexadecimal digits (SHA-256)",
        r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?:[0-9]{1,5}$": "host:port in lower case; the port is always stated",
        r"^[!-~]+$": "visible ASCII without spaces",
        r"^https?://[!-~]+$": "an http(s) URL in visible ASCII",
        r"^[!#-\[\]-~]+( [!#-\[\]-~]+)*$": "words of visible ASCII, one space between two, no quotes or backslashes",
        r"^[A-Z][A-Z0-9_]*$": "the name of an environment variable: capital letters, digits and _",
        r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$": "package.module:name",
    }
)
"""How each pattern of what people write is told; a test holds that each of them is a contract's."""
