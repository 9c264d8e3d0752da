"""Which addresses a connection may reach."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

import pytest

from gateway.boundary.addresses import AddressForbiddenError, NameUnresolvedError, reachable, resolve
from gateway.contracts.connection import Network

PUBLIC = ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822", "::ffff:93.184.216.34"]
PRIVATE = ["10.0.0.1", "172.16.5.4", "192.168.1.1", "100.64.0.1", "fd12::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"]
NOWHERE = [
    *("169.254.169.254", "169.254.1.1", "fe80::1", "fd00:ec2::254", "100.100.100.200", "168.63.129.16"),
    *("224.0.0.1", "239.1.1.1", "ff02::1", "ff0e::1", "0.0.0.0", "::", "255.255.255.255", "240.0.0.1"),  # noqa: S104 - an address to refuse
    *("fec0::1", "::ffff:169.254.169.254", "2002:a9fe:a9fe::1", "64:ff9b::a9fe:a9fe", "192.0.2.1", "2001:db8::1"),
]


@pytest.mark.parametrize("text", PUBLIC)
@pytest.mark.parametrize("network", Network)
def test_global_unicast_is_reachable(text: str, network: Network) -> None:
    assert reachable(ip_address(text), network)


@pytest.mark.parametrize("text", PRIVATE)
def test_private_ranges_are_reachable_on_a_private_network_only(text: str) -> None:
    assert not reachable(ip_address(text), Network.PUBLIC)
    assert reachable(ip_address(text), Network.PRIVATE)


@pytest.mark.parametrize("text", NOWHERE)
@pytest.mark.parametrize("network", Network)
def test_link_local_multicast_unspecified_reserved_and_metadata_are_never_reachable(
    text: str, network: Network
) -> None:
    assert not reachable(ip_address(text), network)


async def test_loopback_needs_the_environment_to_admit_the_very_address() -> None:
    with pytest.raises(AddressForbiddenError):
        await resolve("localhost", 80, Network.PRIVATE, lambda host, port: host == "localhost")
    found = await resolve("localhost", 80, Network.PUBLIC, lambda host, port: port == 80)
    assert all(address.is_loopback for address in found)


async def test_an_address_given_outright_is_judged_like_any_other_and_not_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, int]] = []

    def looked_up(*asked: object) -> list[tuple[object, ...]]:
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)

    def admits(host: str, port: int) -> bool:
        asked.append((host, port))
        return True

    assert await resolve("10.0.0.1", 443, Network.PRIVATE, admits) == (ip_address("10.0.0.1"),)
    assert await resolve("93.184.216.34", 443, Network.PUBLIC, admits) == (ip_address("93.184.216.34"),)
    assert await resolve("127.0.0.1", 8080, Network.PUBLIC, admits) == (ip_address("127.0.0.1"),)
    assert asked == [("10.0.0.1", 443), ("93.184.216.34", 443), ("127.0.0.1", 8080), ("127.0.0.1", 8080)]
    with pytest.raises(AddressForbiddenError):
        await resolve("10.0.0.1", 443, Network.PUBLIC, admits)
    with pytest.raises(AddressForbiddenError):
        await resolve("169.254.169.254", 80, Network.PRIVATE, admits)


@pytest.mark.parametrize(
    ("host", "answers"),
    [
        ("localhost", ["93.184.216.34"]),
        ("calendar.example", ["93.184.216.34", "10.0.0.1"]),
        ("calendar.example", ["127.0.0.1", "93.184.216.34"]),
    ],
)
async def test_one_forbidden_answer_refuses_the_name(
    monkeypatch: pytest.MonkeyPatch, host: str, answers: list[str]
) -> None:
    def answered(host: str, port: None) -> list[tuple[object, ...]]:
        return [(0, 0, 0, "", (address, port)) for address in answers]

    monkeypatch.setattr(socket, "getaddrinfo", answered)
    with pytest.raises(AddressForbiddenError):
        await resolve(host, 443, Network.PUBLIC, lambda asked, port: asked == host)


async def test_a_host_that_the_environment_does_not_admit_is_not_even_looked_up() -> None:
    with pytest.raises(AddressForbiddenError):
        await resolve("no-such-host.invalid", 80, Network.PUBLIC, lambda host, port: False)


async def test_a_look_up_has_a_thread_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead resolver holds up whoever asks it and nobody else; and a name is looked up although all else hangs."""
    hanging = threading.Event()
    asked: list[tuple[str, object, str]] = []

    def looked_up(host: str, port: object) -> list[tuple[object, ...]]:
        asked.append((host, port, threading.current_thread().name))
        if host == "dead.example":
            hanging.wait()
        return [(0, 0, 0, "", ("93.184.216.34", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    with ThreadPoolExecutor(1) as shared:
        asyncio.get_running_loop().set_default_executor(shared)
        dead = [asyncio.create_task(resolve("dead.example", 80, Network.PUBLIC, lambda *_: True)) for _ in range(40)]
        try:
            async with asyncio.timeout(10):
                while len(asked) < 40:
                    await asyncio.sleep(0)
                await asyncio.to_thread(int)
                asyncio.get_running_loop().run_in_executor(None, hanging.wait)
                found = await resolve("calendar.example", 80, Network.PUBLIC, lambda *_: True)
        finally:
            hanging.set()
        assert await asyncio.gather(*dead) == [found] * 40 == [(ip_address("93.184.216.34"),)] * 40
    assert {name.partition("_")[0] for _, _, name in asked} == {"look-up"}
    assert asked[-1][:2] == ("calendar.example", None)
    left = [thread for thread in threading.enumerate() if thread.name.startswith("look-up")]
    for thread in left:
        thread.join(10)
    assert [thread for thread in left if thread.is_alive()] == []


async def test_a_look_up_that_nobody_waits_for_any_more_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging, ended = threading.Event(), []

    def looked_up(host: str, port: object) -> list[tuple[object, ...]]:
        ended.append(hanging.wait(5))
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await resolve("dead.example", 80, Network.PUBLIC, lambda *_: True)
    assert ended == []
    hanging.set()


async def test_a_name_without_addresses_is_unresolved() -> None:
    with pytest.raises(NameUnresolvedError):
        await resolve("a" * 70 + ".invalid", 80, Network.PUBLIC, lambda host, port: True)
