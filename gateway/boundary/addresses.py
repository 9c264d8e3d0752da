"""Which addresses a connection may reach.

Owns: the verdict on every resolved IP address (SSRF). Refuses: anything but global unicast, unless the
sealed connection says `network: private` (RFC 1918, RFC 4193, RFC 6598); loopback unless the environment
admits that very address; link-local, multicast, unspecified, reserved and cloud metadata addresses always.
One forbidden address among a name's answers refuses the name: honest names do not mix.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from gateway.contracts.connection import Network

Address = IPv4Address | IPv6Address
Admits = Callable[[str, int], bool]

_PRIVATE: Final = tuple(
    ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
_METADATA: Final = frozenset(
    ip_address(text) for text in ("169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254")
)
_NAT64: Final = ip_network("64:ff9b::/96")  # RFC 6052
_LOW_32_BITS: Final = 0xFFFFFFFF


class AddressForbiddenError(Exception):
    """The host is not one that this connection may reach."""


class NameUnresolvedError(Exception):
    """The host has no address right now."""


def meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (mapped, 6to4, NAT64), else the address itself."""
    if isinstance(address, IPv6Address):
        embedded = address.ipv4_mapped or address.sixtofour
        if embedded is not None:
            return embedded
        if address in _NAT64:
            return IPv4Address(int(address) & _LOW_32_BITS)
    return address


def reachable(address: Address, network: Network) -> bool:
    """Whether a connection on `network` may reach this non-loopback address."""
    address = meant(address)
    if address in _METADATA or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv6Address) and address.is_site_local:  # deprecated (RFC 3879), yet never a public system
        return False
    if address.is_global:
        return True
    return network is Network.PRIVATE and any(address in block for block in _PRIVATE)


async def resolve(host: str, port: int, network: Network, admits: Admits) -> tuple[Address, ...]:
    """Every address of a declared host, each checked; raises `AddressForbiddenError` or `NameUnresolvedError`."""
    if not admits(host, port):
        raise AddressForbiddenError
    addresses = await _addresses(host)
    for address in addresses:
        if meant(address).is_loopback:
            allowed = admits(str(address), port)
        else:  # whoever admits `localhost` has admitted this machine and no other (RFC 6761 §6.3)
            allowed = host != "localhost" and reachable(address, network)
        if not allowed:
            raise AddressForbiddenError
    if not addresses:
        raise NameUnresolvedError
    return addresses


async def _addresses(host: str) -> tuple[Address, ...]:
    """What the name stands for; an address stands for itself, and nobody is asked."""
    try:
        return (ip_address(host),)
    except ValueError:
        pass
    # A look-up cannot be broken off, and one of a dead resolver lasts: evidence, secrets and sinks keep their threads.
    own = ThreadPoolExecutor(thread_name_prefix="look-up")  # for this one; it ends with it
    try:
        answers = await asyncio.get_running_loop().run_in_executor(own, socket.getaddrinfo, host, None)
        return tuple(dict.fromkeys(ip_address(str(answer[4][0])) for answer in answers))
    except (OSError, ValueError):
        raise NameUnresolvedError from None
