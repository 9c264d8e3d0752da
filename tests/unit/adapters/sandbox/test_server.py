"""The HTTP API over real sockets: what each route answers, and what an outside observer can count."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.sandbox.server import SandboxServer

BOOKING: dict[str, Any] = {
    "patient": "patient-1",
    "participants": ["practitioner-1", "device-1"],
    "location": "location-1",
    "service": "service-1",
    "reason": "check-up",
    "start": "2031-05-06T09:00:00Z",
    "end": "2031-05-06T09:30:00Z",
}
LATER = BOOKING | {"start": "2031-05-06T10:00:00Z", "end": "2031-05-06T10:30:00Z"}


async def book(api: httpx.AsyncClient, key: str = "first", content: dict[str, Any] = BOOKING) -> httpx.Response:
    return await api.post("/appointments", json=content, headers={"Idempotency-Key": key})


def under(key: str, version: str | None = '"1"') -> dict[str, str]:
    return {"Idempotency-Key": key} | ({} if version is None else {"If-Match": version})


def is_problem(reply: httpx.Response, status: int, name: str) -> bool:
    return (
        reply.status_code == reply.json()["status"] == status
        and reply.headers["content-type"] == "application/problem+json"
        and reply.json()["type"] == f"urn:sandbox-problem:{name}"
    )


async def test_a_booking_is_made_once_and_read_back_with_its_etag(api: httpx.AsyncClient) -> None:
    made = await book(api)
    assert (made.status_code, made.headers["etag"]) == (201, '"1"')
    record = made.json()
    assert record == BOOKING | {"id": record["id"], "version": "1", "status": "booked", "keys": ["first"]}
    assert (await api.get(f"/appointments/{record['id']}")).json() == record
    assert (await api.get("/appointments", params={"key": "first"})).json() == {"items": [record]}
    assert (await api.get("/appointments", params={"key": "second"})).json() == {"items": []}


async def test_the_same_key_and_body_answers_200_and_says_so(
    api: httpx.AsyncClient, control: httpx.AsyncClient
) -> None:
    made = await book(api)
    again = await book(api)
    assert (again.status_code, again.headers["idempotent-replay"]) == (200, "true")
    assert again.json() == made.json()
    assert "idempotent-replay" not in made.headers
    journal = (await control.get("/journal")).json()
    assert (len(journal["requests"]), journal["effects"], len(journal["appointments"])) == (2, 1, 1)


async def test_refusals_are_typed_problems(api: httpx.AsyncClient) -> None:
    record = (await book(api)).json()
    path = f"/appointments/{record['id']}"
    assert is_problem(await book(api, "first", LATER), 409, "key-reused")
    assert is_problem(await book(api, "second"), 409, "slot-taken")
    assert is_problem(await api.put(path, json=LATER, headers=under("k", '"7"')), 412, "stale-version")
    assert is_problem(await api.put(path, json=LATER, headers=under("k", None)), 428, "precondition-required")
    assert is_problem(await api.put("/appointments/none", json=LATER, headers=under("k")), 404, "not-found")
    assert is_problem(await api.post(f"{path}/cancel", json={}, headers=under("k", '"7"')), 412, "stale-version")
    assert is_problem(await api.get("/appointments/none"), 404, "not-found")
    assert is_problem(await api.post("/elsewhere", json={}), 404, "not-found")


@pytest.mark.parametrize(
    "change",
    [
        {"patient": ""},
        {"patient": 7},
        {"participants": []},
        {"participants": ["a", "a"]},
        {"start": "2031-05-06T09:00:00"},
        {"start": "2031-05-06T11:00:00+02:00"},
        {"end": BOOKING["start"]},
        {"reason": "Free text"},
        {"surprise": 1},
    ],
    ids=str,
)
async def test_an_invalid_booking_is_refused_without_effect(
    api: httpx.AsyncClient, control: httpx.AsyncClient, change: dict[str, Any]
) -> None:
    assert is_problem(await book(api, content=BOOKING | change), 422, "invalid")
    assert (await control.get("/journal")).json()["effects"] == 0


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"a":1,"a":2}', b"\xff"])
async def test_a_body_that_is_no_booking_is_refused(api: httpx.AsyncClient, body: bytes) -> None:
    reply = await api.post("/appointments", content=body, headers={"Idempotency-Key": "first"})
    assert is_problem(reply, 422, "invalid")


async def test_no_write_without_a_key(api: httpx.AsyncClient) -> None:
    assert is_problem(await api.post("/appointments", json=BOOKING), 422, "invalid")


async def test_reschedule_and_cancel_raise_the_version_and_are_found_by_their_own_keys(
    api: httpx.AsyncClient,
) -> None:
    record = (await book(api)).json()
    path = f"/appointments/{record['id']}"
    moved = await api.put(path, json=LATER, headers=under("second"))
    assert (moved.status_code, moved.headers["etag"]) == (200, '"2"')
    assert moved.json() == record | LATER | {"version": "2", "keys": ["first", "second"]}
    cancelled = await api.post(f"{path}/cancel", json={"reason": "patient-request"}, headers=under("third", '"2"'))
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert is_problem(await api.put(path, json=BOOKING, headers=under("fourth", '"3"')), 409, "not-booked")
    for key in ("first", "second", "third"):
        assert (await api.get("/appointments", params={"key": key})).json() == {"items": [cancelled.json()]}


async def test_slots_are_free_only_for_all_participants_and_aside_from_the_one_excluded(
    api: httpx.AsyncClient,
) -> None:
    record = (await book(api)).json()
    at = {"start": BOOKING["start"], "end": BOOKING["end"]}

    async def free(*participants: str, **more: str) -> bool:
        reply = await api.get("/slots", params={"participant": participants, **at, **more})
        return bool(reply.json()["free"])

    assert await free("practitioner-2")
    assert not await free("practitioner-1")
    assert not await free("practitioner-2", "device-1")
    assert await free("practitioner-1", excluding=record["id"])
    assert is_problem(await api.get("/slots", params=at), 422, "invalid")
    assert is_problem(await api.get("/slots", params={"participant": "a", "start": "now", "end": "x"}), 422, "invalid")


async def test_tokens_decide_what_may_be_done(server: SandboxServer, api: httpx.AsyncClient) -> None:
    assert (await api.get("/capabilities")).json() == {"permissions": ["read", "write"]}
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        assert (await client.get("/health")).json() == {"status": "ok"}
        assert is_problem(await client.get("/capabilities"), 401, "unauthorised")
        client.headers["Authorization"] = "Bearer wrong"
        assert is_problem(await book(client), 401, "unauthorised")
        client.headers["Authorization"] = "Bearer may-only-read"
        assert (await client.get("/capabilities")).json() == {"permissions": ["read"]}
        assert is_problem(await book(client), 403, "forbidden")
    assert (await api.get("/appointments", params={"key": "first"})).json() == {"items": []}


async def test_without_credentials_no_token_is_asked_for_and_control_stays_shut(database: Path) -> None:
    async with (
        SandboxServer.start(database, credentials=None) as server,
        httpx.AsyncClient(base_url=server.url, trust_env=False) as client,
    ):
        assert (await book(client)).status_code == 201
        assert (await client.get("/_control/journal")).status_code == 404
        assert (
            await client.post("/_control/faults", json={"fault": "drop-after", "action": "book"})
        ).status_code == 404


async def test_the_journal_shows_every_mutating_request_and_no_other(
    server: SandboxServer, api: httpx.AsyncClient, control: httpx.AsyncClient
) -> None:
    record = (await book(api)).json()
    await api.get("/health")
    await api.post("/elsewhere", json={})
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as stranger:
        await book(stranger, "intruder")
    await control.post("/faults", json={"fault": "drop-after", "action": "cancel"})
    journal = (await control.get("/journal")).json()
    received = [(each["method"], each["path"], each["key"]) for each in journal["requests"]]
    assert received == [
        ("POST", "/appointments", "first"),
        ("POST", "/elsewhere", None),
        ("POST", "/appointments", "intruder"),
    ]
    assert journal["appointments"] == [record]


async def test_concurrent_bookings_of_one_slot_make_one_appointment(
    api: httpx.AsyncClient, control: httpx.AsyncClient
) -> None:
    replies = await asyncio.gather(*(book(api, f"key-{number}") for number in range(30)))
    assert sorted(reply.status_code for reply in replies) == [201] + [409] * 29
    journal = (await control.get("/journal")).json()
    assert (len(journal["requests"]), journal["effects"]) == (30, 1)


async def test_what_was_written_outlives_the_server(database: Path) -> None:
    async with (
        SandboxServer.start(database, credentials=None) as server,
        httpx.AsyncClient(base_url=server.url, trust_env=False) as client,
    ):
        record = (await book(client)).json()
    async with (
        SandboxServer.start(database, credentials=None) as server,
        httpx.AsyncClient(base_url=server.url, trust_env=False) as client,
    ):
        assert (await client.get("/appointments", params={"key": "first"})).json() == {"items": [record]}


def address(server: SandboxServer) -> tuple[str, int]:
    url = httpx.URL(server.url)
    assert url.host == "127.0.0.1"
    assert url.port is not None
    return url.host, url.port


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /health HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 40_000, b"400"),
        (b"POST /appointments HTTP/1.1\r\nhost: a\r\ncontent-length: 70000\r\n\r\n" + b" " * 70_000, b"413"),
        (b"POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n", b"100"),
        (b"HEAD /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", b"404"),
    ],
    ids=["no-http", "no-host", "long-head", "long-body", "expect", "head"],
)
async def test_the_wire_answers_within_its_bounds(server: SandboxServer, sent: bytes, status: bytes) -> None:
    reader, writer = await asyncio.open_connection(*address(server))
    writer.write(sent)
    line = await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    assert line.split(b" ")[1] == status


async def test_several_requests_share_a_connection_in_order(server: SandboxServer) -> None:
    reader, writer = await asyncio.open_connection(*address(server))
    last = b"GET /nothing HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    writer.write(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n" * 3 + last)
    heard = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert (heard.count(b"HTTP/1.1 200"), heard.count(b"HTTP/1.1 404")) == (3, 1)
    assert heard.index(b"HTTP/1.1 404") > heard.rindex(b"HTTP/1.1 200")


async def test_clients_that_die_at_any_byte_leave_the_server_working(
    server: SandboxServer, api: httpx.AsyncClient, control: httpx.AsyncClient
) -> None:
    content = json.dumps(BOOKING).encode()
    head = f"POST /appointments HTTP/1.1\r\nhost: a\r\ncontent-length: {len(content)}\r\n\r\n".encode()
    whole = head + content
    for end in range(0, len(whole), 7):
        _, writer = await asyncio.open_connection(*address(server))
        writer.write(whole[:end])
        await writer.drain()
        # Reset rather than close: what the peers of a killed process see.
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()
        await asyncio.sleep(0)
    assert (await book(api)).status_code == 201
    assert len((await control.get("/journal")).json()["requests"]) == 1


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
async def test_serve_prints_its_url_and_stops_cleanly_when_told(tmp_path: Path, name: signal.Signals) -> None:
    program = (
        "import sys; from pathlib import Path; from adapters.sandbox.server import serve;"
        "serve(Path(sys.argv[1]), credentials='full-access')"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path / "sandbox.db"), stdout=-1, stderr=-1
    )
    assert process.stdout is not None
    try:
        url = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))["url"]
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            assert (await client.get("/health")).status_code == 200
            process.send_signal(name)
            rest, errors = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
    assert (process.returncode, rest, errors) == (0, b"", b"")
