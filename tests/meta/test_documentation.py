"""Documentation that can be trusted: every code block runs, every command exists, every page is current."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import shlex
import signal
import subprocess
import sys
import threading
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from adapters.sandbox.server import SandboxServer
from conformance.documents import reference
from conformance.rehearsal import Rehearsal
from gateway import config
from gateway.audit import verify_file
from gateway.cli.app import GROUP, build
from gateway.contracts import words
from gateway.contracts.connection import Connection, CredentialUse, Scheme
from gateway.contracts.failures import Code
from gateway.contracts.outcome import ENDS, Outcome
from gateway.contracts.references import ConnectionId, PracticeId
from gateway.contracts.signals import Event, Signal
from gateway.errors import ConfigurationError
from gateway.gateway import Gateway
from gateway.journal import AttemptFile
from gateway.journal._sqlite import SqliteJournal
from gateway.surfaces.local import LocalPractice
from gateway.testing import make_connection

ROOT = reference.ROOT
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "adapters").glob("*.md"))]
GUIDE = "adapters/writing.md"
FENCE = re.compile(r"^```(\w*) ?(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TOKEN = "a-token"
EXECUTED = {("README.md", "commit"), ("operating.md", "backup")} | {
    (GUIDE, name) for name in ("adapter", "system", "tests", "twin")
}
WALKED = {(GUIDE, name) for name in ("observer", "mapping", "acme")}
"""Executed by tests/unit/conformance/author/test_guide.py, inside a package that the guide begins with."""
ARGUMENTS = {"acme", "acme.statement", "practice", "connection.json", "request.json", "1001", "7", "2", "30"}
"""The pages' own examples: the guide's adapter, and what a first appointment is made of."""
REFERENCE = re.compile(r"[a-z]{3}_[0-9a-f]{32}")
SHELL = re.compile(r"openssl rand -hex 16 > acme/\w+\.secret|chmod 600 acme/.*|python -m (?:pip|pytest) .*")
"""What an author types besides; the guide's test does the same."""


@dataclass(frozen=True)
class Block:
    page: str
    language: str
    name: str
    text: str


def named(page: Path) -> str:
    """A page of the documentation by its path there; the front page by its name."""
    documents = ROOT / "docs"
    return page.relative_to(documents).as_posix() if page.is_relative_to(documents) else page.name


BLOCKS = [Block(named(page), *found) for page in PAGES for found in FENCE.findall(page.read_text(encoding="utf-8"))]


def block(page: str, name: str) -> str:
    (found,) = [each.text for each in BLOCKS if (each.page, each.name) == (page, name)]
    return found


def executed(*sources: str) -> dict[str, Any]:
    """One namespace after running these blocks in it, one after the other."""
    namespace: dict[str, Any] = {}
    for source in sources:
        exec(compile(source, "<documentation>", "exec", dont_inherit=True), namespace)  # noqa: S102 - to run them is the point
    return namespace


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


# -- pages made from the code ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(name for name in reference.PAGES if "/adapters/" not in name))
def test_a_reference_page_is_what_the_code_says(name: str) -> None:
    told = f"{name} is not current: run `python -m conformance.documents.reference`"
    assert (ROOT / name).read_text(encoding="utf-8") == reference.PAGES[name](), told


def test_the_failures_page_has_a_row_for_every_code_and_end() -> None:
    ends, codes = reference.failures_page().split("## Codes")
    assert re.findall(r"^\| `(\w+)` \|", ends, re.MULTILINE) == list(words.End)
    assert re.findall(r"^\| `(\w+)` \|", codes, re.MULTILINE) == list(Code)


@pytest.mark.parametrize("page", ["README.md", "docs/operating.md"])
def test_a_table_of_ends_has_all_of_them_and_no_other(page: str) -> None:
    shown: set[tuple[str, str]] = set()
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        places = [number for number, cell in enumerate(cells) if cell in set(words.State)]
        if line.startswith("| ") and places:
            state, effects = cells[places[0]], cells[places[0] + 1]
            shown |= {(state, effect) for effect in effects.split(" or ")}
    assert shown == {(row.state, row.effect or "–") for row in ENDS.values()}


def test_every_signal_is_recorded_somewhere() -> None:
    assert set(reference.fields_set(ROOT)) == set(Signal)


# -- the adapter guide -------------------------------------------------------------------------------------


@pytest.fixture
def guide() -> dict[str, Any]:
    return executed(*(block(GUIDE, name) for name in ("adapter", "system", "tests")))


@pytest.fixture
def toy_system(guide: dict[str, Any]) -> Iterator[Any]:
    system = guide["ToySystem"]()
    serving = threading.Thread(target=system.serve_forever, args=(0.01,))
    serving.start()
    yield system
    system.shutdown()
    serving.join()
    system.server_close()


def guide_tests() -> list[str]:
    return re.findall(r"^async def (\w+)", block(GUIDE, "tests"), re.MULTILINE)


def test_the_toy_adapter_is_complete_in_under_fifty_lines() -> None:
    assert len(block(GUIDE, "adapter").splitlines()) < 50
    assert len(guide_tests()) == 6


@pytest.mark.parametrize("name", guide_tests())
async def test_the_toy_adapter_does_what_the_guide_says(name: str, guide: dict[str, Any], toy_system: Any) -> None:
    assert inspect.iscoroutinefunction(guide[name])
    await guide[name](toy_system)


@pytest.mark.parametrize(
    ("old", "new", "noticed_by"),
    [
        ("reply.status_code == 201 and", "reply.status_code == 200 and", "a_booking_is_made_and_found"),
        ('reply.json()["free"] is True', "True", "a_taken_slot_blocks_before_anything_is_sent"),
        ("409: Code.SLOT_TAKEN", "400: Code.SLOT_TAKEN", "a_refusal_is_one_and_leaves_nothing"),
        ("/bookings/{query.native_key()}", "/bookings/another", "a_booking_is_made_and_found"),
        (
            "reply = await write.put",
            "await write.put(path, json=approved)\n        reply = await write.put",
            "a_booking_is_made_and_found",
        ),
    ],
)
async def test_the_guides_tests_notice_a_broken_adapter(old: str, new: str, noticed_by: str, toy_system: Any) -> None:
    source = block(GUIDE, "adapter")
    assert source.count(old) == 1
    broken = executed(source.replace(old, new), block(GUIDE, "system"), block(GUIDE, "tests"))
    with pytest.raises(AssertionError):
        await broken[noticed_by](toy_system)


def test_the_toy_adapter_can_be_installed_as_the_guide_says() -> None:
    group = tomllib.loads(block(GUIDE, "entry"))["project"]["entry-points"]["gateway"]
    assert group == {"toy": "toy_adapter"}
    assert entry_points(group="gateway")  # the group that the built-in adapters use
    namespace = executed(block(GUIDE, "adapter"))
    assert set(namespace["gateway_adapters"]()) == {"toy"}


async def test_the_toys_twin_answers_as_the_toy_system_does(guide: dict[str, Any]) -> None:
    twin = executed(block(GUIDE, "twin"))
    harnessed, toy, sent = guide["AdapterHarness"], guide["ToyAdapter"], guide["make_request"]
    async with twin["premises"]() as premises:
        credential = CredentialUse(scheme=Scheme.BEARER, name="vendor")
        connection = make_connection(premises.base_url, credential=credential)
        secret = premises.secrets["vendor"]
        async with harnessed(toy(), sent(connection), secret=secret) as booking:
            assert await booking.readiness() is None
            assert (await booking.commit()).effect is words.Effect.APPLIED
            assert (await booking.observe()).finding is words.ObservationFinding.PRESENT
        async with harnessed(toy(), sent(connection), secret=secret) as other:
            assert await other.readiness() is Code.SLOT_TAKEN
        async with harnessed(toy(), sent(connection), secret=premises.secrets["limited"]) as reader:
            assert await reader.readiness() is Code.SLOT_TAKEN
        async with harnessed(toy(), sent(connection), secret="wrong") as stranger:
            assert await stranger.readiness() is Code.CREDENTIALS_REJECTED


# -- one commit, for real ----------------------------------------------------------------------------------


@asynccontextmanager
async def practice(root: Path) -> AsyncIterator[Rehearsal]:
    async with SandboxServer.start(root / "sandbox.db", credentials=TOKEN) as server:
        name = PracticeId.random()
        connection = Connection(
            connection_id=ConnectionId.random(),
            practice=name,
            adapter="sandbox",
            base_url=server.url,
            hosts=(server.url.removeprefix("http://"),),
            zone="Europe/Berlin",
            credential=CredentialUse(scheme=Scheme.BEARER, name="sandbox"),
        )
        local = LocalPractice.create(root / "practice", [connection], practice=name)
        local.keep_secret("sandbox", TOKEN)
        yield Rehearsal.prepare(local, connection)


async def booked(rehearsal: Rehearsal) -> tuple[str, AttemptFile]:
    """The trigger of a booking that succeeded, and what was recorded about it."""
    async with Gateway.open(rehearsal.local.home) as gateway:
        proposal = await rehearsal.propose(gateway, rehearsal.enrol())
        trigger = rehearsal.trigger(proposal, await rehearsal.decide(gateway, proposal))
        outcome: Outcome = await gateway.commit(trigger)
        assert outcome.attempt is not None
        return trigger, await gateway.attempt(outcome.attempt)


def spelled(event: Event) -> str:
    """One event as the architecture page writes it, without instants and identifiers."""
    details: list[str] = []
    if event.to_state is not None:
        details.append(f"{event.from_state} → {event.to_state}" if event.from_state else event.to_state)
    if event.gate is not None:
        details.append(f"{event.gate} {'passed' if event.passed else 'failed'}")
    if event.policy is not None:
        details += [f"{event.policy} {event.policy_version}", "allowed" if event.allowed else "denied"]
    named = (event.trigger_kind, event.purpose, event.operation, event.proposal_state, event.step, event.effect)
    details += [each for each in (*named, event.code, event.sink) if each is not None]
    if event.mutating_requests is not None:
        details.append(f"{event.mutating_requests} mutating")
    return f"{event.seq:>2}  {event.signal:<26}{', '.join(details)}".rstrip()


async def test_the_traced_commit_is_what_a_commit_records(tmp_path: Path) -> None:
    traced = block("architecture.md", "events").splitlines()
    async with practice(tmp_path) as rehearsal:
        _, file = await booked(rehearsal)
    assert [line for line in traced if re.match(r"[ \d]\d  ", line)] == [spelled(link.event) for link in file.links]
    allowed = reference.fields_set(ROOT)
    always = {"seq", "at", "signal", "environment", "attempt", "correlation", "trace", "trigger"}
    for link in file.links:
        assert set(link.event.plain()) - always <= allowed[link.event.signal], link.event.signal


async def test_the_traced_barriers_stand_where_the_journal_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    appended: list[tuple[int, int]] = []
    original = SqliteJournal.append

    async def noting(journal: SqliteJournal, entry: Any) -> Any:
        appended.append((entry.attempt.stored + 1, entry.attempt.seq))
        return await original(journal, entry)

    monkeypatch.setattr(SqliteJournal, "append", noting)
    async with practice(tmp_path) as rehearsal:
        await booked(rehearsal)
    told = re.findall(r"events (\d+) to (\d+)", block("architecture.md", "events"))
    assert appended == [(int(first), int(last)) for first, last in told]


async def test_the_readmes_python_carries_out_a_trigger(tmp_path: Path) -> None:
    carry_out = executed(block("README.md", "commit"))["carry_out"]
    async with practice(tmp_path) as rehearsal:
        trigger, _ = await booked(rehearsal)
        assert await carry_out(rehearsal.local.home, trigger) == "CONFIRMED: COMMITTED, next NONE by nobody"


async def test_a_backup_of_a_journal_in_use_is_whole(tmp_path: Path) -> None:
    back_up = executed(block("operating.md", "backup"))["back_up"]
    copy = tmp_path / "copy.db"
    async with practice(tmp_path) as rehearsal:
        _, file = await booked(rehearsal)
        home = rehearsal.local.home
        async with Gateway.open(home) as gateway:
            await rehearsal.commit(gateway, await rehearsal.propose(gateway, rehearsal.enrol()))
            await asyncio.to_thread(back_up, home / "journal.db", copy)
            report = verify_file(copy, (), gateway.ports.keyring)
    assert report.intact
    assert report.attempts == 2
    assert report.events == 2 * len(file.links)
    with pytest.raises(FileExistsError):
        back_up(home / "journal.db", copy)


def test_a_first_appointment_is_made_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line as it is printed, in one directory, but for the sandbox's port, and `--yes` for want of a terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_HOME", "")
    serving = subprocess.Popen(
        [Path(sys.executable).with_name("gateway"), "sandbox", "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert serving.stdout is not None
        host = json.loads(serving.stdout.readline())["url"].removeprefix("http://").rstrip("/")
        connection = block("operating.md", "sandbox")
        assert "127.0.0.1:8090" in connection
        Path("connection.json").write_text(connection.replace("127.0.0.1:8090", host))
        Path("request.json").write_text(block("operating.md", "request"))
        said, proposal = "", "PROPOSAL"
        for line in "".join(block("operating.md", part) for part in ("practice", "decision")).splitlines():
            if line.startswith("export "):
                monkeypatch.setenv(*line.removeprefix("export ").split("=", 1))
                continue
            words = [proposal if word == "PROPOSAL" else word for word in shlex.split(line)[1:]]
            words += ["--yes"] if words[0] == "review" else []
            done = CliRunner().invoke(build(entry_points(group=GROUP)), words)
            assert done.exit_code == 0, (line, done.output)
            said = done.output
            if words[0] == "commit":
                assert "SUCCEEDED" in said and "APPLIED" in said
            if words[0] == "propose":
                proposal = re.findall(r"prp_[0-9a-f]+", said)[0]
        assert "intact" in said
    finally:
        serving.send_signal(signal.SIGINT)
        serving.communicate()


# -- commands ----------------------------------------------------------------------------------------------


def commands() -> list[tuple[str, list[str]]]:
    """Every `gateway …` in a shell block or in a code span, as words."""
    found: list[tuple[str, list[str]]] = []
    for page in PAGES:
        lines = [
            line
            for each in BLOCKS
            if (each.page, each.language) == (named(page), "sh")
            for line in each.text.split("\n")
        ]
        lines += re.findall(r"`(gateway [^`]+)`", prose(page))
        found += [(named(page), shlex.split(line)) for line in lines if line.startswith("gateway ")]
    return found


def refused(program: Any, line: list[str]) -> str | None:
    """Why the program would not understand this line; placeholders in capitals stand for any value."""
    command = program
    rest = line[1:]
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        found = command.commands.get(rest[0])
        if found is None:
            return f"no command {rest[0]}"
        command, rest = found, rest[1:]
    options = {name: each for each in command.params for name in (*each.opts, *each.secondary_opts)}
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    placed = 0
    while rest:
        word, rest = rest[0], rest[1:]
        if word == "--help":
            continue
        if word.startswith("--"):
            if word not in options:
                return f"no option {word}"
            if not getattr(options[word], "is_flag", False):
                if not rest:
                    return f"{word} wants a value"
                rest = rest[1:]
        elif not word.isupper() and word not in ARGUMENTS and not REFERENCE.fullmatch(word):
            return f"neither a command, an option nor a placeholder: {word}"
        else:
            placed += 1
    return "too many arguments" if placed > len(arguments) else None


@pytest.fixture(scope="module")
def program() -> Any:
    return typer.main.get_command(build(entry_points(group=GROUP)))


def test_every_command_in_the_documentation_exists(program: Any) -> None:
    found = commands()
    assert len(found) > 25
    assert [(page, line, why) for page, line in found if (why := refused(program, line))] == []


@pytest.mark.parametrize(
    "line",
    ["gateway comit PROPOSAL", "gateway show --all", "gateway audit verify now", "gateway stop PROPOSAL PROPOSAL"],
)
def test_a_command_that_does_not_exist_would_be_noticed(program: Any, line: str) -> None:
    assert refused(program, shlex.split(line)) is not None


def test_every_other_shell_line_is_a_target_or_a_module_of_ours() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for each in (each for each in BLOCKS if each.language == "sh"):
        for line in each.text.splitlines():
            said = line.startswith(("gateway ", "export GATEWAY_HOME="))
            if said or (each.page == GUIDE and SHELL.fullmatch(line)):
                continue
            module = re.fullmatch(r"\.venv/bin/python -m ([\w.]+)", line)
            known = module and (ROOT / (module[1].replace(".", "/") + ".py")).is_file()
            assert known or (line.startswith("make ") and line.removeprefix("make ") in targets), line


# -- blocks, names, pictures -------------------------------------------------------------------------------


def test_every_block_is_of_a_kind_that_some_test_reads() -> None:
    assert {(each.page, each.name) for each in BLOCKS if each.language == "python"} == EXECUTED | WALKED
    assert {(each.page, each.name) for each in BLOCKS if each.language == "sql"} == {
        ("operating.md", "setup"),
        ("operating.md", "auditor"),
    }
    assert {each.language for each in BLOCKS} == {"json", "python", "sh", "sql", "text", "toml"}


def test_every_credential_that_a_page_shows_is_one_that_a_connection_can_have() -> None:
    shown = [tomllib.loads(line)["credential"] for line in block(GUIDE, "credentials").splitlines()]
    shown.append(json.loads(block("operating.md", "connection"))["credential"])
    uses = [CredentialUse.parse(json.dumps(each)) for each in shown]
    assert {use.scheme for use in uses} == {scheme for scheme in Scheme if scheme.fetches}
    whole = {"connection_id": ConnectionId.random(), "practice": PracticeId.random()}
    Connection.parse(json.dumps({**json.loads(block("operating.md", "connection")), **whole}))
    table = prose(ROOT / "docs" / GUIDE).partition("### Credentials")[2]
    assert set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)) >= {*Scheme} - {Scheme.NONE}


def test_every_word_in_capitals_is_one_that_the_gateway_says() -> None:
    known = {each.value for kind in (Code, words.State, words.Effect, words.End, words.Next) for each in kind}
    known |= {each.value for each in (*words.Standing, *words.ObservationFinding)}
    known |= {"COVERED_MISSING", "COVERED_SHORTENED"}  # flaws of the audit
    known |= {"PROVEN", "REFUTED", "UNVERIFIABLE", "OPEN", "FAILURES", "ENDS", "DIVERGENCES", "GATEWAY_HOME"}
    known |= {"GATEWAY_KEYS", "GATEWAY_CONFORMANCE_DENY"}
    for page in PAGES:
        said = set(re.findall(r"`([A-Z]{2,}(?:_[A-Z]+)+)`", prose(page)))
        assert said <= known, (named(page), said - known)


def test_every_function_that_the_trace_names_exists() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "gateway").rglob("*.py"))
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(
        r"`(?:[A-Za-z]+)\.(_?[a-z_]+)`", page.split("## One commit, traced")[1].split("## What lives")[0]
    )
    assert len(named) > 8
    assert [name for name in named if f"def {name}(" not in text] == []


@pytest.mark.parametrize("picture", sorted((ROOT / "docs" / "images").iterdir()), ids=lambda path: path.name)
def test_a_picture_is_drawn_has_words_of_its_own_and_loads_nothing(picture: Path) -> None:
    assert picture.suffix == ".svg"
    space = "{http://www.w3.org/2000/svg}"
    drawn = ET.parse(picture).getroot()  # noqa: S314 - our own file
    assert drawn.get("role") == "img"
    assert all(len((drawn.findtext(space + name) or "").split()) > 4 for name in ("title", "desc"))
    text = picture.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"http|<script|<image|@import|url\((?!#)", text)
    shown = [page for page in PAGES if f"images/{picture.name}" in page.read_text(encoding="utf-8")]
    assert shown
    for page in shown:
        (told,) = re.findall(rf"!\[([^\]]+)\]\([^)]*{picture.name}\)", page.read_text(encoding="utf-8"))
        assert len(told.split()) > 20


async def test_a_journal_on_postgresql_is_set_up_and_audited_as_the_page_says(postgres: Any, tmp_path: Path) -> None:
    for statement in block("operating.md", "setup").split(";")[:-1]:
        postgres.psql(statement)
    url = postgres.url("practice_a").replace("gateway@", "practice_a@")
    local = LocalPractice.create(tmp_path / "practice", journal=url)
    async with Gateway.open(local.home) as gateway:
        assert gateway.ports.journal.durability.caution
    postgres.psql(block("operating.md", "auditor"), "practice_a")
    auditor = postgres.url("practice_a").replace("gateway@", "auditor@")
    assert verify_file(auditor, [], config.load(local.home).keys).intact
    with pytest.raises(ConfigurationError, match="must own"):
        async with Gateway.open(LocalPractice.create(tmp_path / "other", journal=auditor).home):
            pass
