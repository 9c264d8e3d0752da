"""`results.json` as bytes: how a run's results are spelled, and how they are read back.

Owns: the exact bytes, written once and digested by whoever signs them. Refuses, naming fields and never values:
anything that is not one JSON document of this schema, whoever wrote it.
Invariant: what `spell` makes, `read` reads back as an equal value.
"""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from conformance.results import Results
from gateway.contracts.canonical import load_json
from gateway.contracts.faults import faults_of
from gateway.errors import InvalidInput

MAX_RESULTS_BYTES: Final = 64 * 1024 * 1024
"""Far above the largest run seen; a reader of strangers' files needs some bound."""


def spell(results: Results) -> bytes:
    """UTF-8 JSON, indented, members in the order of the schema; what is absent is left out."""
    return results.model_dump_json(indent=2, exclude_none=True).encode() + b"\n"


def read(content: bytes) -> Results:
    """The results in the file; raises `MalformedInput` (no JSON within bounds) or `InvalidInput` (names fields)."""
    load_json(content, max_bytes=MAX_RESULTS_BYTES)
    try:
        return Results.model_validate_json(content)
    except ValidationError as error:
        raise InvalidInput("results", faults_of(Results, error)) from None
