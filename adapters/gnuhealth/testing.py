"""A real GNU Health on loopback, as processes of its own, for tests and conformance runs; and an observer.

GNU Health and Tryton are licensed under the GPL, and pin what they need: they live in an environment of their own
(`make gnuhealth` makes it; another one by GATEWAY_GNUHEALTH) and are started, never imported. The first start makes a
database, in a minute or two, and keeps it beside them as a template; each later one begins with a copy, on a
PostgreSQL server that ends with it. Passwords are fresh. The observer shares no code with the adapter.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import httpx

from gateway.testing.postgres import ROLE, PostgresServer, launched
from gateway.testing.premises import Premises, Seen

DATABASE: Final = "clinic"
MINUTES: Final = 30
"""How long an appointment lasts here; GNU Health does not hold it."""
START_SECONDS: Final = 120
_TEMPLATE_PASSWORD: Final = "only until the template is copied"  # noqa: S105 - replaced before anybody is served
_ADMINISTRATOR: Final = "admin"
_CONFIGURATION: Final = """\
[database]
uri = postgresql://{role}@127.0.0.1:{database_port}/
[web]
listen = 127.0.0.1:{port}
[password]
passlib = {home}/passlib
"""
_QUICK_HASHES: Final = "[passlib]\nschemes = pbkdf2_sha256\npbkdf2_sha256__rounds = 1000\n"
"""Basic authentication costs a password hash a request; a run makes thousands, with passwords that live as long."""


def environment() -> Path:
    """The `bin` directory of the environment that holds GNU Health. Raises `RuntimeError` where there is none."""
    place = Path(os.environ.get("GATEWAY_GNUHEALTH") or Path(sys.prefix).with_name(".venv-gnuhealth"))
    if not (place / "bin" / "trytond").exists():
        raise RuntimeError(
            "GNU Health is not installed; `make gnuhealth` does it, or name its place: GATEWAY_GNUHEALTH"
        )
    return place / "bin"


class Rpc:
    """One account's JSON-RPC, for whoever prepares or observes."""

    def __init__(self, base_url: str, user: str, password: str) -> None:
        self._client = httpx.Client(base_url=base_url, auth=(user, password), trust_env=False, timeout=60)

    def __call__(self, method: str, *parameters: Any) -> Any:
        """Raises `RuntimeError` for whatever is no result."""
        reply = self._client.post("", json={"id": 0, "method": method, "params": [*parameters, {}]})
        if reply.status_code != 200 or "result" not in reply.json():
            raise RuntimeError(f"Tryton answered {reply.status_code} to {method}: {reply.text[:300]}")
        return reply.json()["result"]

    def close(self) -> None:
        self._client.close()


@dataclass(frozen=True, slots=True)
class GnuHealthServer:
    """A server with one institution, one professional and four patients, each of number 1 and following. `passwords` by
    user: `gateway` may what the front desk may, `reader` may read appointments."""

    url: str
    version: str
    passwords: Mapping[str, str] = field(repr=False)

    def account(self, user: str) -> str:
        return f"{user}:{self.passwords[user]}"


@contextmanager
def gnuhealth() -> Iterator[GnuHealthServer]:
    """Serves until the context ends. Raises `RuntimeError` where it does not start."""
    programs = environment()
    template = _template(programs)
    with launched(fsync="off") as postgres, tempfile.TemporaryDirectory(prefix="gnuhealth-") as home:
        _load(postgres, template)
        with _serving(programs, postgres, Path(home)) as url:
            passwords = {user: secrets.token_urlsafe(16) for user in ("gateway", "reader", _ADMINISTRATOR)}
            administrator = Rpc(url, _ADMINISTRATOR, _TEMPLATE_PASSWORD)
            for user, password in passwords.items():
                (found,) = administrator("model.res.user.search", [["login", "=", user]], 0, None, None)
                administrator("model.res.user.write", [found], {"password": password})
            administrator.close()
            yield GnuHealthServer(url, _version(programs), MappingProxyType(passwords))


def _version(programs: Path) -> str:
    question = "from importlib.metadata import version as v; print(v('gnuhealth'), 'on trytond', v('trytond'))"
    done = subprocess.run([programs / "python", "-c", question], capture_output=True, text=True, check=True)  # noqa: S603 - our own question
    return done.stdout.strip()


def _template(programs: Path) -> Path:
    """A dump of a furnished database; made where there is none yet of these versions and with this content."""
    what = f"{_version(programs)}\n{inspect.getsource(_furnish)}"
    content = hashlib.sha256(what.encode()).hexdigest()[:16]
    place = programs.parent / f"template-{content}.sql"
    if place.exists():
        return place
    with launched(fsync="off") as postgres, tempfile.TemporaryDirectory(prefix="gnuhealth-") as home:
        postgres.psql(f"CREATE DATABASE {DATABASE} TEMPLATE template0")
        (Path(home) / "password").write_text(_TEMPLATE_PASSWORD)
        _administer(programs, postgres, Path(home), "--all")
        _administer(programs, postgres, Path(home), "-u", "health", "--activate-dependencies")
        with _serving(programs, postgres, Path(home)) as url:
            _furnish(Rpc(url, _ADMINISTRATOR, _TEMPLATE_PASSWORD))
        made = place.with_suffix(f".{os.getpid()}")
        _client(postgres, "pg_dump", "--no-owner", "-f", str(made))
    made.rename(place)
    return place


def _load(postgres: PostgresServer, template: Path) -> None:
    postgres.psql(f"CREATE DATABASE {DATABASE} TEMPLATE template0")
    _client(postgres, "psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-f", str(template))


def _client(postgres: PostgresServer, program: str, *words: str) -> None:
    where = ("-h", str(postgres.directory), "-p", str(postgres.port), "-U", ROLE, "-d", DATABASE)
    done = subprocess.run(  # noqa: S603 - our own programs
        [postgres.binaries / program, *where, *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{program}: {done.stderr[-2000:]}")


def _configured(postgres: PostgresServer, home: Path, port: int) -> Path:
    (home / "passlib").write_text(_QUICK_HASHES)
    text = _CONFIGURATION.format(role=ROLE, database_port=postgres.port, port=port, home=home)
    (home / "trytond.conf").write_text(text)
    return home / "trytond.conf"


def _administer(programs: Path, postgres: PostgresServer, home: Path, *words: str) -> None:
    done = subprocess.run(  # noqa: S603 - our own program
        [programs / "trytond-admin", "-c", _configured(postgres, home, 0), "-d", DATABASE, "--email", "", *words],
        env={**os.environ, "TRYTONPASSFILE": str(home / "password")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"trytond-admin: {done.stderr[-2000:]}")


@contextmanager
def _serving(programs: Path, postgres: PostgresServer, home: Path) -> Iterator[str]:
    """A Tryton server on the database; its address while it runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["-c", str(_configured(postgres, home, port)), "-d", DATABASE]
    with (home / "log").open("ab") as log:
        process = subprocess.Popen([programs / "trytond", *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # noqa: S603 - our own program
    try:
        _await(process, f"http://127.0.0.1:{port}/", home / "log")
        yield f"http://127.0.0.1:{port}/{DATABASE}/"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _await(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    question = {"id": 0, "method": "common.server.version", "params": []}
    with httpx.Client(trust_env=False, timeout=START_SECONDS) as client:
        while not _answers(client, url, question):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("Tryton did not start:\n" + log.read_text()[-2000:])
            time.sleep(0.1)


def _answers(client: httpx.Client, url: str, question: Mapping[str, Any]) -> bool:
    try:
        return client.post(url, json=question).status_code == 200
    except httpx.ConnectError:
        return False


def _furnish(rpc: Rpc) -> None:
    """Institution, professional and patients, each numbered from 1, and two accounts."""

    def made(model: str, *content: Mapping[str, Any]) -> list[int]:
        # one by one: parties that are created together get the same code, which is to be unique
        return [number for each in content for number in rpc(f"model.{model}.create", [each])]

    person = {"is_person": True, "gender": "f", "fed_country": ""}
    (building,) = made("party.party", {"name": "Test Institution", "is_institution": True})
    (doctor,) = made("party.party", {**person, "name": "Test", "lastname": "Professional", "is_healthprof": True})
    named = [{**person, "name": "Test", "lastname": f"Patient {number}", "is_patient": True} for number in range(1, 5)]
    kind = {"code": "T1", "institution_type": "hospital", "public_level": "private"}
    expected = [
        made("gnuhealth.institution", {"party": building, **kind}),
        made("gnuhealth.healthprofessional", {"party": doctor, "active": True}),
        made("gnuhealth.patient", *({"party": party} for party in made("party.party", *named))),
    ]
    if expected != [[1], [1], [1, 2, 3, 4]]:
        raise RuntimeError(f"the database was not empty: {expected}")
    (desk,) = rpc("model.res.group.search", [["name", "=", "Health Front Desk"]], 0, None, None)
    (readers,) = made("res.group", {"name": "Readers of appointments"})
    (model,) = rpc("model.ir.model.search", [["model", "=", "gnuhealth.appointment"]], 0, None, None)
    made("ir.model.access", {"model": model, "group": readers, "perm_read": True})
    for login, group in (("gateway", desk), ("reader", readers)):
        password = secrets.token_urlsafe(16)
        made("res.user", {"name": login, "login": login, "password": password, "groups": [["add", [group]]]})


@asynccontextmanager
async def premises() -> AsyncIterator[Premises]:
    """A GNU Health without appointments; `vendor` writes them, `limited` reads them, and so does the observer."""
    with gnuhealth() as server:
        accounts = {"vendor": server.account("gateway"), "observer": server.account("reader")}
        yield Premises(
            base_url=server.url,
            label=f"GNU Health {server.version}",
            observer=observer(server.url, accounts),
            secrets=MappingProxyType({"vendor": accounts["vendor"], "limited": accounts["observer"]}),
            settings=MappingProxyType({"appointment-minutes": MINUTES}),
        )


def observer(base_url: str, secrets: Mapping[str, str]) -> AppointmentObserver:
    """Looks with the secret `observer`, else with `vendor`, and removes with `vendor`; both are `user:password`."""
    return AppointmentObserver(base_url, secrets.get("observer", secrets["vendor"]), secrets["vendor"])


_COLUMNS: Final = ["name", "patient", "appointment_date", "state"]
_CANCELLED: Final = ("user_cancelled", "center_cancelled")


@dataclass(frozen=True, slots=True)
class AppointmentObserver:
    """Looks into all appointments of a database, and deletes from it (`Observer`)."""

    base_url: str
    looking: str = field(repr=False)
    removing: str = field(repr=False)

    async def appointments(self, start: datetime, end: datetime) -> Sequence[Seen]:
        """Raises `RuntimeError` for any reply but a result, and for a record without a start."""
        length = timedelta(minutes=MINUTES)
        domain = [["appointment_date", ">", _naive(start - length)], ["appointment_date", "<", _naive(end)]]
        rows = await self._ask(self.looking, "search_read", domain, 0, None, None, _COLUMNS)
        found: list[Seen] = []
        for row in rows:
            when = row["appointment_date"]
            begin = datetime(
                when["year"], when["month"], when["day"], when["hour"], when["minute"], when["second"], tzinfo=UTC
            )
            found.append(
                Seen(
                    identifier=str(row["id"]),
                    start=begin,
                    end=begin + length,
                    cancelled=row["state"] in _CANCELLED,
                    keys=tuple((row["name"] or "").split("-")),
                    subject=str(row["patient"]),
                )
            )
        return found

    async def remove(self, identifier: str) -> bool:
        await self._ask(self.removing, "delete", [int(identifier)])
        return True

    async def _ask(self, account: str, method: str, *parameters: Any) -> Any:
        user, _, password = account.partition(":")
        call = {"id": 7, "method": f"model.gnuhealth.appointment.{method}", "params": [*parameters, {}]}
        async with httpx.AsyncClient(auth=(user, password), trust_env=False, timeout=60) as client:
            reply = await client.post(self.base_url, json=call)
        answer = reply.json() if reply.status_code == 200 else {}
        if "result" not in answer:
            raise RuntimeError(f"GNU Health answered {reply.status_code} to the observer, and no result")
        return answer["result"]


def _naive(instant: datetime) -> dict[str, Any]:
    utc = instant.astimezone(UTC).replace(microsecond=0)
    names = ("year", "month", "day", "hour", "minute", "second", "microsecond")
    return {"__class__": "datetime", **{name: getattr(utc, name) for name in names}}
