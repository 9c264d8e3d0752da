"""An archived journal and its volumes, and a forger's tools for both."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.audit import FlawCode, Report, verify_file
from gateway.audit.volumes import volumes_at
from gateway.contracts.chain import GENESIS, Link
from gateway.contracts.signals import Event

Lines = list[dict[str, Any]]


def codes(report: Report) -> set[FlawCode]:
    return {flaw.code for flaw in report.flaws}


def found(report: Report) -> list[tuple[FlawCode, str]]:
    return sorted((flaw.code, flaw.where) for flaw in report.flaws)


@dataclass
class Site:
    """A journal whose four archivable attempts are in two volumes: three and one. `before` and `after` are
    checkpoints drawn before and after that."""

    world: Any
    forging: Any
    archive: Path
    before: str
    after: str

    @property
    def volumes(self) -> list[Path]:
        return volumes_at([self.archive])

    def verify(self, *kept: str, volumes: bool = True) -> Report:
        return verify_file(self.world.path, kept, self.world.keyring, self.volumes if volumes else None)

    def forge(self, *statements: str) -> None:
        with self.forging(self.world.path) as forged:
            for statement in statements:
                forged.execute(statement)

    def read(self, number: int) -> Lines:
        content = gzip.decompress(self.volumes[number - 1].read_bytes())
        return [json.loads(line) for line in content.splitlines()]

    def write(self, number: int, lines: Lines, *, recorded: bool = True) -> None:
        """Another volume in place of that one; `recorded`, the journal is made to say that it is the one."""
        file = self.volumes[number - 1]
        spelled = (json.dumps(line, separators=(",", ":"), sort_keys=list(line) != ["hash", "event"]) for line in lines)
        file.write_bytes(gzip.compress("".join(f"{line}\n" for line in spelled).encode(), mtime=0))
        if recorded:
            sha = hashlib.sha256(file.read_bytes()).hexdigest()
            self.forge(f"UPDATE volumes SET digest = '{sha}' WHERE number = {number}")

    def write_first(self, lines: Lines) -> None:
        """The same for the first, and the second made to follow it."""
        self.write(1, lines)
        second = self.read(2)
        second[0]["volume"]["previous"] = hashlib.sha256(self.volumes[0].read_bytes()).hexdigest()
        self.write(2, second)


def spans(lines: Lines) -> list[tuple[int, int]]:
    """From where to where each attempt's lines go."""
    starts = [number for number, line in enumerate(lines) if "attempt" in line]
    return list(zip(starts, [*starts[1:], len(lines)], strict=True))


def rechained(lines: Lines, change: Callable[[Event], Event | None], which: int = 0) -> Lines:
    start, end = spans(lines)[which]
    events = [Event.model_validate_json(json.dumps(line["event"])) for line in lines[start + 1 : end]]
    links: list[Link] = []
    for event in events:
        if (changed := change(event)) is not None:
            numbered = changed.model_copy(update={"seq": len(links) + 1})
            links.append(Link.after(links[-1].hash if links else GENESIS, numbered))
    lines[start]["attempt"] |= {"events": len(links), "head": links[-1].hash}
    told = [{"hash": link.hash, "event": json.loads(link.body)} for link in links]
    return [*lines[: start + 1], *told, *lines[end:]]
