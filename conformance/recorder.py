"""The journal of a run: each result as its check ends, so that a run that stopped can be resumed.

Owns: `run.jsonl` in the report directory. Its first line says what was tried with what; each part of the run and
each result is a line more. Refuses, as `TargetError`: to continue with other code, another suite, another target or
another profile than the run began with.
Invariants: a result is durable once `append` has returned. A check that passed or failed is never taken again; one
that could not run is, and its later result counts.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, TypeAdapter

from conformance.results import Judgement, Profile, Result
from conformance.target.file import TargetError
from conformance.target.lines import Lines
from gateway.contracts.base import Instant, Model
from gateway.contracts.canonical import Digest
from gateway.errors import DocumentError

RUN_FILE: Final = "run.jsonl"
UNSETTLED: Final = frozenset({Judgement.COULD_NOT_RUN, Judgement.HARNESS_ERROR})


class Header(Model):
    """What a run is about. `adapter` and `suite` are digests of code, `target` is the fingerprint, `file` the digest
    of all that the target file says: pool, observer and grade are not changed between parts. `salt` and
    `started_at` are the first part's, and stay."""

    kind: Literal["run"] = "run"
    format: Literal[1] = 1
    adapter: Digest
    suite: Digest
    target: Digest
    file: Digest
    profile: Profile
    salt: Digest
    started_at: Instant


class Part(Model):
    """The run began, or was taken up again."""

    kind: Literal["part"] = "part"
    started_at: Instant


class Ended(Model):
    """One check ended."""

    kind: Literal["result"] = "result"
    result: Result


Entry = Annotated[Header | Part | Ended, Field(discriminator="kind")]

_COMPARED: Final = {
    "adapter": "the adapter's code",
    "suite": "the suite's code",
    "target": "the target",
    "file": "the target file",
    "profile": "the profile",
}


class Recorder:
    """Use `open`, and `close` at the end. `header` is the run's, `parts` counts this one too."""

    def __init__(self, lines: Lines, header: Header, parts: int, results: dict[str, Result]) -> None:
        self.header, self.parts = header, parts
        self._lines, self._results = lines, results

    @classmethod
    def open(cls, path: Path | None, header: Header, *, resume: bool = False, now: datetime | None = None) -> Self:
        """Begin a run, or with `resume` take one up (`now` is then this part's start); None keeps nothing."""
        lines = Lines.open(path, RUN_FILE)
        try:
            found = _entries(lines)
            recorder = cls._resumed(lines, header, found, resume=resume) if found else cls(lines, header, 0, {})
            if not found:
                lines.append(header.canonical())
            lines.append(Part(started_at=now or header.started_at).canonical())
        except (DocumentError, TargetError):
            lines.close()
            raise
        recorder.parts += 1
        return recorder

    @classmethod
    def _resumed(cls, lines: Lines, header: Header, found: list[Header | Part | Ended], *, resume: bool) -> Self:
        if not resume:
            raise TargetError("the report directory holds a run already; continue it with --resume")
        first = found[0]
        assert isinstance(first, Header), "_entries holds it"
        changed = [what for name, what in _COMPARED.items() if getattr(first, name) != getattr(header, name)]
        if changed:
            raise TargetError(f"{' and '.join(changed)} changed since this run began; begin a new one elsewhere")
        results = {entry.result.requirement: entry.result for entry in found if isinstance(entry, Ended)}
        return cls(lines, first, sum(isinstance(entry, Part) for entry in found), results)

    @classmethod
    def about(cls, path: Path) -> Header | None:
        """What the run in that file is about; None where it holds none."""
        if not path.exists():
            return None
        lines = Lines.open(path, RUN_FILE)
        try:
            found = _entries(lines)
        finally:
            lines.close()
        return found[0] if found and isinstance(found[0], Header) else None

    def append(self, result: Result) -> None:
        """Keep a result; durable when this returns."""
        self._lines.append(Ended(result=result).canonical())
        self._results[result.requirement] = result

    def load(self) -> tuple[Result, ...]:
        """Results of earlier parts and this one that need not be taken again, each requirement's latest."""
        return tuple(result for result in self._results.values() if result.judgement not in UNSETTLED)

    def close(self) -> None:
        self._lines.close()


def _entries(lines: Lines) -> list[Header | Part | Ended]:
    reader: TypeAdapter[Header | Part | Ended] = TypeAdapter(Entry)
    strange, misplaced = "not a line of a run; begin a new one elsewhere", "out of place; begin a new run elsewhere"
    return list(lines.entries(reader, Header, strange=strange, misplaced=misplaced))
