"""A hostile vendor: it speaks the sandbox's protocol over a bare socket and puts canaries wherever a reply has room."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.contracts.connection import Limits

Asked = tuple[str, str, dict[str, str], bytes]
"""Method, target, headers (lower case) and body, as they arrived."""

LATE = b"\0late"
"""In place of a reply: never answer."""


@dataclass
class Vendor:
    """`say` replaces the reply to one action: bytes as they are, or a function of the request and the usual reply."""

    aviary: Any
    say: dict[str, Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    written: list[Asked] = field(default_factory=list)
    appointment: dict[str, Any] | None = None
    url: str = ""

    def reply(self, status: int, body: bytes, *headers: tuple[str, str], reason: str = "") -> bytes:
        """A complete reply: a canary in the reason phrase, in every usual header and in some of its own."""
        plant = self.aviary.plant
        from_header = type(self.aviary).kinds
        told = [
            ("Server", plant("Server header", from_header.EMAIL)),
            ("Set-Cookie", f"sid={plant('Set-Cookie header', from_header.TOKEN)}; Path=/"),
            ("ETag", f'"{plant("ETag header", from_header.RECORD)}"'),
            ("Link", f"<https://x:{plant('Link header', from_header.TOKEN)}@elsewhere.example/>; rel=next"),
            ("Content-Type", f'application/json; note="{plant("Content-Type header", from_header.BIRTH)}"'),
            ("WWW-Authenticate", f'Basic realm="{plant("WWW-Authenticate header", from_header.PHONE)}"'),
            ("Retry-After", plant("Retry-After header", from_header.PHONE)),
            ("Location", f"/patients/{plant('Location header', from_header.SLUG)}"),
            (f"X-{plant('header name', from_header.SLUG)}", plant("header of its own", from_header.EMAIL)),
        ]
        given = {name.lower() for name, _ in headers}
        kept = [pair for pair in told if pair[0].lower() not in given]
        length = () if {"content-length", "transfer-encoding"} & given else (("Content-Length", str(len(body))),)
        lines = [f"{name}: {value}" for name, value in (*kept, *headers, *length)]
        phrase = reason or plant("reason phrase", from_header.SLUG)
        head = "\r\n".join((f"HTTP/1.1 {status} {phrase}", *lines)).encode("latin-1")
        return head + b"\r\n\r\n" + body

    def document(self, status: int, /, **members: Any) -> bytes:
        """JSON with canaries beside the members: as values, as names, nested."""
        beside = {
            self.aviary.plant("member name"): self.aviary.one_of_each("member value"),
            "errors": [{"patient": {"name": self.aviary.plant("nested member value")}}],
        }
        return self.reply(status, json.dumps({**members, **beside}).encode())

    def problem(self, status: int, name: str) -> bytes:
        detail = self.aviary.one_of_each("problem detail")
        return self.document(status, type=f"urn:sandbox-problem:{name}", title=detail, detail=detail, instance=detail)

    def answer(self, asked: Asked) -> bytes:
        method, target, headers, body = asked
        path = target.partition("?")[0]
        action = {"/health": "health", "/capabilities": "capabilities", "/slots": "slots"}.get(path)
        if action is None:
            action = "write" if method != "GET" else "find" if path == "/appointments" else "read"
        if action == "write":
            self.written.append(asked)
        usual = getattr(self, f"_{action}")(headers, body)
        said = self.say.get(action, usual)
        return said(asked, usual) if callable(said) else said

    def _health(self, headers: dict[str, str], body: bytes) -> bytes:
        return self.document(200, status="ok")

    def _capabilities(self, headers: dict[str, str], body: bytes) -> bytes:
        return self.document(200, permissions=["write", self.aviary.plant("permission")])

    def _slots(self, headers: dict[str, str], body: bytes) -> bytes:
        return self.document(200, free=True)

    def _write(self, headers: dict[str, str], body: bytes) -> bytes:
        kinds = type(self.aviary).kinds
        self.appointment = {
            **json.loads(body),
            "id": self.aviary.plant("vendor's appointment id", kinds.RECORD),
            "version": self.aviary.plant("vendor's version", kinds.RECORD),
            "status": "booked",
            "keys": [headers["idempotency-key"]],
        }
        return self.document(201, **self.appointment)

    def _find(self, headers: dict[str, str], body: bytes) -> bytes:
        return self.document(200, items=[self.appointment] if self.appointment else [])

    def _read(self, headers: dict[str, str], body: bytes) -> bytes:
        return self.document(200, **(self.appointment or {}))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while asked := await _receive(reader):
                self.asked.append(asked)
                reply = self.answer(asked)
                if reply == LATE:
                    await asyncio.sleep(3600)
                writer.write(reply)
                await writer.drain()
                if not _ends_itself(reply):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the gateway had enough
        finally:
            writer.close()


def _ends_itself(reply: bytes) -> bool:
    head, _, body = reply.partition(b"\r\n\r\n")
    return f"Content-Length: {len(body)}".encode() in head


async def _receive(reader: asyncio.StreamReader) -> Asked | None:
    first = (await reader.readline()).decode("latin-1").split()
    if len(first) != 3:
        return None
    headers: dict[str, str] = {}
    while line := (await reader.readline()).decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return first[0], first[1], headers, await reader.readexactly(int(headers.get("content-length", "0")))


@pytest.fixture
async def vendor(aviary: Any) -> AsyncIterator[Vendor]:
    hostile = Vendor(aviary)
    conversations: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(hostile.serve(reader, writer))
        conversations.add(task)
        task.add_done_callback(lambda _: writer.transport.abort())

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    hostile.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    yield hostile
    listener.close()
    for task in conversations:
        task.cancel()
    ends = await asyncio.gather(*conversations, return_exceptions=True)
    await listener.wait_closed()
    assert [end for end in ends if isinstance(end, Exception)] == []


@pytest.fixture
async def make_clinic(make_site: Callable[..., Any], vendor: Vendor, aviary: Any) -> Callable[..., Any]:
    """A site whose connection leads to the hostile vendor, with a canary for its bearer token and settings."""

    async def make(**options: Any) -> Any:
        kinds = type(aviary).kinds
        limits = Limits(request_seconds=1, commit_seconds=2, **options.pop("limits", {}))
        site = await make_site(**options)
        connection = site.rehearsal.connection
        note = aviary.plant("connection setting", kinds.NAME, admitted=("connections/",))
        changed = {
            "base_url": vendor.url,
            "hosts": (vendor.url.removeprefix("http://"),),
            "limits": limits,
            "settings": {"note": note},
        }
        site.rehearsal.connection = connection.model_copy(update=changed)
        site.local.connect(site.rehearsal.connection)
        site.token = aviary.plant("credential", kinds.TOKEN)
        site.local.keep_secret("sandbox", site.token)
        return site

    return make


@pytest.fixture
async def clinic(make_clinic: Callable[..., Any]) -> Any:
    return await make_clinic()
