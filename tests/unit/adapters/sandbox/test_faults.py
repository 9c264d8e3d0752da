"""Every fault switch, seen from outside: what the client gets, and what the sandbox then holds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from adapters.sandbox.faults import PADDING_BYTES, Fault
from adapters.sandbox.server import SandboxServer

BOOKING: dict[str, Any] = {
    "patient": "patient-1",
    "participants": ["practitioner-1"],
    "location": "location-1",
    "service": "service-1",
    "start": "2031-05-06T09:00:00Z",
    "end": "2031-05-06T09:30:00Z",
}


async def arm(control: httpx.AsyncClient, fault: Fault, **more: Any) -> None:
    reply = await control.post("/faults", json={"fault": fault.value, "action": "book"} | more)
    assert reply.status_code == 201


async def book(api: httpx.AsyncClient, key: str = "first") -> httpx.Response:
    return await api.post("/appointments", json=BOOKING, headers={"Idempotency-Key": key})


async def effects(control: httpx.AsyncClient) -> tuple[int, int]:
    """(mutating requests received, writes in effect)"""
    journal = (await control.get("/journal")).json()
    return len(journal["requests"]), journal["effects"]


async def receipts(control: httpx.AsyncClient) -> list[list[str | None]]:
    return [each["fired_on"] for each in (await control.get("/faults")).json()["faults"]]


@pytest.mark.parametrize(
    ("fault", "status", "problem"),
    [
        (Fault.UNAUTHORISED, 401, "unauthorised"),
        (Fault.FORBIDDEN, 403, "forbidden"),
        (Fault.THROTTLED, 429, "throttled"),
        (Fault.ERROR_BEFORE, 503, "unavailable"),
    ],
)
async def test_a_refusing_fault_answers_instead_of_the_sandbox(
    api: httpx.AsyncClient, control: httpx.AsyncClient, fault: Fault, status: int, problem: str
) -> None:
    await arm(control, fault, status=503)
    reply = await book(api)
    assert (reply.status_code, reply.json()["type"]) == (status, f"urn:sandbox-problem:{problem}")
    assert await effects(control) == (1, 0)
    assert await receipts(control) == [["first"]]


async def test_a_redirect_leads_elsewhere_without_effect(api: httpx.AsyncClient, control: httpx.AsyncClient) -> None:
    await arm(control, Fault.REDIRECT)
    reply = await book(api)
    assert (reply.status_code, reply.headers["location"]) == (307, "/elsewhere")
    assert await effects(control) == (1, 0)


@pytest.mark.parametrize("status", [500, 503])
async def test_an_error_after_the_effect_hides_it(
    api: httpx.AsyncClient, control: httpx.AsyncClient, status: int
) -> None:
    await arm(control, Fault.ERROR_AFTER, status=status)
    assert (await book(api)).status_code == status
    assert await effects(control) == (1, 1)


@pytest.mark.parametrize(
    ("fault", "made"), [(Fault.DROP_BEFORE, 0), (Fault.DROP_AFTER, 1), (Fault.CUT_REPLY, 1)], ids=str
)
async def test_a_lost_reply_says_nothing_of_the_effect(
    api: httpx.AsyncClient, control: httpx.AsyncClient, fault: Fault, made: int
) -> None:
    await arm(control, fault)
    with pytest.raises(httpx.TransportError):
        await book(api)
    assert await effects(control) == (1, made)


async def test_a_cut_reply_begins_and_does_not_end(server: SandboxServer, control: httpx.AsyncClient) -> None:
    await control.post("/faults", json={"fault": "cut-reply", "action": "health"})
    url = httpx.URL(server.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n")
    head, _, body = (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 200")
    assert body
    assert b'{"status":"ok"}'.startswith(body)
    assert body != b'{"status":"ok"}'


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(5):
        while not await condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("fault", [Fault.DELAY_BEFORE, Fault.DELAY_AFTER])
async def test_a_delayed_request_takes_effect_although_its_client_is_gone(
    server: SandboxServer, control: httpx.AsyncClient, fault: Fault
) -> None:
    await arm(control, fault, milliseconds=100)
    url, content = httpx.URL(server.url), json.dumps(BOOKING).encode()
    _, writer = await asyncio.open_connection(url.host, url.port)
    head = (
        "POST /appointments HTTP/1.1",
        "host: a",
        "authorization: Bearer full-access",
        "idempotency-key: first",
        f"content-length: {len(content)}",
    )
    writer.write("\r\n".join((*head, "", "")).encode() + content)

    async def fired() -> bool:
        return await receipts(control) == [["first"]]

    async def made() -> bool:
        return await effects(control) == (1, 1)

    await until(fired)
    writer.transport.abort()
    await until(made)


@pytest.mark.parametrize("fault", [Fault.DELAY_BEFORE, Fault.DELAY_AFTER])
async def test_a_delay_holds_up_nobody_else(api: httpx.AsyncClient, control: httpx.AsyncClient, fault: Fault) -> None:
    await arm(control, fault, milliseconds=600_000)
    delayed = asyncio.create_task(book(api, "slow"))

    async def fired() -> bool:
        return await receipts(control) == [["slow"]]

    await until(fired)
    # Delayed before its effect, the first booking has not taken the slot yet; delayed after it, it has.
    assert (await book(api, "quick")).status_code == (201 if fault is Fault.DELAY_BEFORE else 409)
    assert not delayed.done()
    delayed.cancel()


async def test_garbage_is_a_success_that_cannot_be_read(api: httpx.AsyncClient, control: httpx.AsyncClient) -> None:
    await arm(control, Fault.GARBAGE)
    reply = await book(api)
    assert reply.status_code == 201
    with pytest.raises(UnicodeDecodeError):
        reply.content.decode()
    assert await effects(control) == (1, 1)


async def test_an_oversized_reply_is_the_true_one_with_megabytes_behind_it(
    api: httpx.AsyncClient, control: httpx.AsyncClient
) -> None:
    await arm(control, Fault.OVERSIZED)
    reply = await book(api)
    assert len(reply.content) > PADDING_BYTES
    assert reply.json()["keys"] == ["first"]


async def test_a_deviating_reply_names_another_time_than_the_one_taken(
    api: httpx.AsyncClient, control: httpx.AsyncClient
) -> None:
    await arm(control, Fault.DEVIATES)
    told = (await book(api)).json()
    held = (await api.get(f"/appointments/{told['id']}")).json()
    assert (told["start"], told["end"]) == ("2031-05-06T10:00:00+00:00", "2031-05-06T10:30:00+00:00")
    assert (held["start"], held["end"]) == (BOOKING["start"], BOOKING["end"])
    await control.post("/faults", json={"fault": "deviates", "action": "find"})
    found = (await api.get("/appointments", params={"key": "first"})).json()
    assert found["items"][0]["start"] == told["start"]


async def test_a_stale_reply_shows_that_a_cache_gave_it(api: httpx.AsyncClient, control: httpx.AsyncClient) -> None:
    await control.post("/faults", json={"fault": "stale", "action": "find"})
    reply = await api.get("/appointments", params={"key": "first"})
    assert (reply.headers["age"], reply.headers["x-cache"]) == ("600", "HIT")
    assert "age" not in (await api.get("/appointments", params={"key": "first"})).headers


async def test_a_duplicate_reply_comes_twice_on_the_wire(server: SandboxServer, control: httpx.AsyncClient) -> None:
    await control.post("/faults", json={"fault": "duplicate", "action": "health"})
    url = httpx.URL(server.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    heard = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert heard == heard[: len(heard) // 2] * 2
    assert heard.count(b"HTTP/1.1 200") == 2


async def test_a_fault_fires_as_often_as_armed_on_its_own_action_only(
    api: httpx.AsyncClient, control: httpx.AsyncClient
) -> None:
    await arm(control, Fault.THROTTLED, times=2)
    await arm(control, Fault.FORBIDDEN)
    assert (await api.get("/health")).status_code == 200
    assert [(await book(api, f"key-{number}")).status_code for number in range(4)] == [429, 429, 403, 201]
    assert await receipts(control) == [["key-0", "key-1"], ["key-2"]]


@pytest.mark.parametrize(
    "switch",
    [
        {},
        {"fault": "nonsense", "action": "book"},
        {"fault": "garbage", "action": "everything"},
        {"fault": "garbage", "action": "book", "times": 0},
        {"fault": "error-after", "action": "book", "status": 200},
        {"fault": "garbage", "action": "book", "surprise": 1},
    ],
    ids=str,
)
async def test_a_switch_that_makes_no_sense_is_not_armed(control: httpx.AsyncClient, switch: dict[str, Any]) -> None:
    assert (await control.post("/faults", json=switch)).status_code == 422
    assert await receipts(control) == []
