"""Canaries: salted values that stand for personal data, and a search for them in everything that stays or is said.

Each canary is made for the place where it enters, so that a leak names its way in. A place never tells its value.
"""

from __future__ import annotations

import base64
import gc
import hashlib
import json
import logging
import random
import secrets
import sqlite3
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, quote_plus

import pytest
from pydantic import BaseModel

from gateway.audit import export_lines, verify_file
from gateway.config import load
from gateway.gateway import Gateway
from gateway.journal._sqlite_archive import open_archive


class Kind(Enum):
    """What a canary looks like."""

    NAME = "name"
    EMAIL = "e-mail address"
    PHONE = "telephone number"
    BIRTH = "birth date"
    RECORD = "record number"
    TOKEN = "token"
    SLUG = "coded word"


def _make(kind: Kind) -> str:
    salt, digits = secrets.token_hex(6), "".join(random.choices("0123456789", k=12))
    born = f"19{random.randrange(10, 99)}-0{random.randrange(1, 9)}-{random.randrange(10, 28)}"
    return {
        Kind.NAME: f"Zoë Nightjar {salt}",
        Kind.EMAIL: f"nightjar.{salt}@canary.example",
        Kind.PHONE: f"+49 30 {digits[:8]} {digits[8:]}",
        Kind.BIRTH: born,
        Kind.RECORD: f"MRN/{digits}",
        Kind.TOKEN: f"nightjar~{secrets.token_urlsafe(24)}".replace("_", "-"),
        Kind.SLUG: f"nightjar-{salt}",
    }[kind]


@dataclass(frozen=True)
class Canary:
    """One value, where it entered, and the files of the home that may hold it (what people sealed there)."""

    place: str
    value: str = field(repr=False)
    admitted: tuple[str, ...] = ()

    def spellings(self) -> Iterator[tuple[str, bytes]]:
        """Every encoding in which it must not be found."""
        raw = self.value.encode()
        yield "plain", raw
        yield "lower case", self.value.lower().encode()
        yield "upper case", self.value.upper().encode()
        yield "latin-1", self.value.encode("latin-1")
        yield "utf-16", self.value.encode("utf-16-le")
        yield "JSON", json.dumps(self.value)[1:-1].encode()
        yield "JSON with escaped slashes", json.dumps(self.value)[1:-1].replace("/", "\\/").encode()
        yield "repr", repr(raw)[2:-1].encode()
        yield "URL", quote(self.value, safe="").encode()
        yield "form", quote_plus(self.value).encode()
        yield "hex", raw.hex().encode()
        yield "HEX", raw.hex().upper().encode()
        yield "reversed", raw[::-1]
        yield "sha-256", hashlib.sha256(raw).hexdigest().encode()
        for before in range(3):  # base64 depends on what precedes; the ragged ends are left out
            encoded = base64.b64encode(bytes(before) + raw)
            core = encoded[4 if before else 0 : -4]
            yield f"base64 at {before}", core
            yield f"base64url at {before}", core.replace(b"+", b"-").replace(b"/", b"_")


@dataclass(frozen=True)
class Leak:
    where: str
    place: str
    spelling: str


@dataclass
class Aviary:
    """All canaries of one test, and the search for them."""

    canaries: list[Canary] = field(default_factory=list)
    kinds: ClassVar = Kind

    def plant(self, place: str, kind: Kind = Kind.NAME, *, admitted: tuple[str, ...] = ()) -> str:
        """A fresh canary for this place."""
        return self.watch(place, _make(kind), admitted=admitted)

    def watch(self, place: str, value: str, *, admitted: tuple[str, ...] = ()) -> str:
        """Search for a value that exists already."""
        self.canaries.append(Canary(place, value, admitted))
        return value

    def one_of_each(self, place: str) -> str:
        """Every kind at once, as one line of text."""
        return " | ".join(self.plant(f"{place} ({kind.value})", kind) for kind in Kind)

    def search(self, contents: Sequence[tuple[str, bytes]]) -> list[Leak]:
        """Look for every canary in these (where, content) pairs: in all at once first, since that is fast."""
        everything = b"\n".join(content for _, content in contents)
        return [
            Leak(where, canary.place, spelling)
            for canary in self.canaries
            for spelling, needle in canary.spellings()
            if needle in everything
            for where, content in contents
            if needle in content and not where.startswith(canary.admitted or ("\0",))
        ]


def tree(root: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of all files below `root`."""
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        yield f"name of {name}", name.encode()
        if path.is_file():
            yield name, path.read_bytes()


@dataclass
class Witness:
    """Everything that the gateway's public face said: answers and exceptions, as anybody could print them."""

    said: list[tuple[str, str]] = field(default_factory=list)

    async def ask(self, awaitable: Awaitable[Any]) -> Any:
        """The answer, or the exception that was raised."""
        try:
            answer = await awaitable
        except Exception as error:  # noqa: BLE001 - whatever is raised is what is looked at
            answer = error
        return self.keep(answer)

    def keep(self, thing: Any) -> Any:
        label = type(thing).__name__
        self.said += [(f"repr of {label}", repr(thing)), (f"str of {label}", str(thing))]
        if isinstance(thing, BaseModel):
            self.said.append((f"JSON of {label}", thing.model_dump_json()))
        if isinstance(thing, BaseException):
            text = "".join(traceback.format_exception(thing)) + repr((thing.args, vars(thing)))
            self.said.append((f"traceback of {label}", text))
        return thing


@dataclass
class Site:
    """A practice, its gateway's home, and what to search in the end."""

    world: Any
    aviary: Aviary
    witness: Witness
    caplog: pytest.LogCaptureFixture
    capfd: pytest.CaptureFixture[str]
    token: str = field(default="", repr=False)

    @property
    def rehearsal(self) -> Any:
        return self.world.rehearsal

    @property
    def local(self) -> Any:
        return self.world.local

    def gateway(self) -> Any:
        return self.world.gateway()

    async def proposed(self, gateway: Gateway, **details: Any) -> tuple[Any, Any]:
        """A proposal whose every vendor identifier, coded reason and hour is a canary, and its approval."""
        start = datetime(2036, random.randrange(1, 13), random.randrange(1, 29), 9, 17, tzinfo=UTC)
        self.aviary.watch("appointment time", f"{start:%Y-%m-%dT%H:%M}")
        patient = self.rehearsal.enrol()
        self.identify(patient.patient, "patient")
        details.setdefault("start", start)
        proposal = await self.rehearsal.propose(gateway, patient, **details)
        return proposal, await self.rehearsal.decide(gateway, proposal)

    def identify(self, reference: str, what: str) -> None:
        """The practice's registry holds the vendor's word for it: a canary."""
        word = self.aviary.plant(f"vendor identifier of the {what}", Kind.NAME)
        self.local.registry.map_identifier(self.rehearsal.connection.connection_id, reference, word)

    async def commit(self, gateway: Gateway, **details: Any) -> Any:
        proposal, approval = await self.proposed(gateway, **details)
        return await self.witness.ask(gateway.commit(self.rehearsal.trigger(proposal, approval)))

    async def read_back(self, gateway: Gateway) -> None:
        """Ask for everything that the public face can show."""
        for file in await gateway.ports.journal.attempts():
            self.witness.keep(await gateway.attempt(file.attempt))
        for found in await gateway.ports.journal.proposals():
            self.witness.keep(await gateway.proposal(found.proposal.proposal_id))
        self.witness.keep(gateway)

    def leaks(self) -> list[Leak]:
        """Search the home, the journal row by row, the export, the logs, the output and all that was said."""
        assert self.aviary.canaries
        gc.collect()  # a task's unseen exception is logged when the task goes
        home = self.local.home
        contents = list(tree(home))
        with closing(sqlite3.connect(home / "journal.db")) as database:
            contents.append(("rows", "\n".join(database.iterdump()).encode()))
        export = StringIO()
        with open_archive(home / "journal.db") as archive:
            export_lines(archive, export)
        contents.append(("export", export.getvalue().encode()))
        formatter = logging.Formatter("%(name)s %(message)s")
        for record in self.caplog.records:
            text = formatter.format(record) + repr((record.args, record.exc_info))
            contents.append((f"log of {record.name}", text.encode()))
        output = self.capfd.readouterr()
        contents += [("stdout", output.out.encode()), ("stderr", output.err.encode())]
        contents += [(where, text.encode(errors="surrogatepass")) for where, text in self.witness.said]
        assert verify_file(home / "journal.db", [], load(home).keys).intact
        return self.aviary.search(contents)


@pytest.fixture
def aviary() -> Aviary:
    return Aviary()


@pytest.fixture
def search_tree(aviary: Aviary) -> Callable[[Path], list[Leak]]:
    """Look for every canary in the files below a directory."""
    return lambda root: aviary.search(list(tree(root)))


@pytest.fixture
async def make_site(
    make_world: Callable[..., Any],
    aviary: Aviary,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> Callable[..., Any]:
    """A practice on the embedded sandbox, with a file sink, whose every identifier and credential is a canary."""
    from gateway.surfaces.local import FILE_SINK

    caplog.set_level(logging.DEBUG)

    async def make(**options: Any) -> Site:
        world = await make_world(sinks=(FILE_SINK,), **options)
        site = Site(world, aviary, Witness(), caplog, capfd)
        for what in ("participant", "location", "service"):
            site.identify(getattr(world.rehearsal, what), what)
        return site

    return make


@pytest.fixture
async def site(make_site: Callable[..., Any]) -> Site:
    made: Site = await make_site()
    return made
