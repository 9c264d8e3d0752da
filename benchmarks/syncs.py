"""Syncs per booking: counted apart from the measuring, since whoever counts them slows them down.

Owns: the count. A contestant's own process is run under `strace`, which sees each fsync and fdatasync with its file,
between the two marks that the runner makes around a share; what PostgreSQL syncs for it is the server's own count.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.contestants import CONTESTANTS
from benchmarks.racing import racer
from benchmarks.runner import BEGIN_MARK, END_MARK
from benchmarks.site import Site

BOOKINGS: Final[Mapping[int, int]] = {1: 20, 64: 64}
"""Concurrency to bookings of one share."""

_SYNC: Final = re.compile(r"\bf(?:data)?sync\(\d+<([^>]*)>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Syncs:
    """Per booking: the process's own, by where their files lie below its directory, and the database server's, by which
    of its processes: a client waits for a `client backend` only."""

    own: Mapping[str, float]
    server: Mapping[str, float]

    @property
    def total(self) -> float:
        return sum(self.own.values()) + sum(self.server.values())


def available() -> bool:
    return shutil.which("strace") is not None


def count(names: Sequence[str], ground: Site) -> dict[tuple[str, int], Syncs]:
    """Syncs by contestant and concurrency, for those concurrencies of `BOOKINGS` that it is tried with."""
    found: dict[tuple[str, int], Syncs] = {}
    for name in names:
        tried = [each for each in BOOKINGS if each in CONTESTANTS[name].concurrencies]
        for concurrency, syncs in zip(tried, _of(name, tried, ground), strict=True):
            found[name, concurrency] = syncs
    return found


def _of(name: str, concurrencies: Sequence[int], ground: Site) -> Iterator[Syncs]:
    """One contestant's, a share for each concurrency after one that makes its connections and threads."""
    log = ground.directory / f"{name}.strace"
    under = ("strace", "-f", "-y", "--seccomp-bpf", "-e", "trace=fsync,fdatasync", "-o", str(log))
    served: list[Counter[str]] = []
    with racer(name, ground, under) as contestant:
        contestant.share(max(concurrencies), max(concurrencies))
        for concurrency in concurrencies:
            contestant.prepare(BOOKINGS[concurrency])
            before = contestant.wal_syncs()
            contestant.run(BOOKINGS[concurrency], concurrency)
            served.append(contestant.wal_syncs() - before)
    marked = shares(log.read_text(encoding="utf-8", errors="replace").splitlines())[1:]
    for concurrency, files, syncs in zip(concurrencies, marked, served, strict=True):
        places = Counter(_place(file, ground.directory / name) for file in files)
        yield Syncs(own=_each(places, BOOKINGS[concurrency]), server=_each(syncs, BOOKINGS[concurrency]))


def _each(counted: Counter[str], bookings: int) -> Mapping[str, float]:
    return {name: seen / bookings for name, seen in counted.items()}


def shares(lines: Iterable[str]) -> list[list[str]]:
    """The files synced within each marked share."""
    found: list[list[str]] = []
    within = False
    for file in (match.group(1) for line in lines if (match := _SYNC.search(line))):
        if file.endswith(BEGIN_MARK):
            found.append([])
            within = True
        elif file.endswith(END_MARK):
            within = False
        elif within:
            found[-1].append(file)
    return found


def _place(file: str, home: Path) -> str:
    """`practice/practice` for the registry, `floor.db` for a database with its log: names, no paths of a machine."""
    path = Path(file)
    if not path.is_relative_to(home):
        return "elsewhere"
    parts = path.relative_to(home).parts
    if parts[:1] == ("practice",):
        return "/".join(parts[:2])
    return re.sub(r"-(?:wal|journal)$", "", parts[-1]) if parts else "its directory"
