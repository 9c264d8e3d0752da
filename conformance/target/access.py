"""The way to the token endpoint of a connection under test, and the secrets that a run must not let out.

Owns: a proxy of its own for token requests. They never pass the fault proxy: what is struck and counted there is the
adapter's. Whatever is granted is known here, since a token is as confidential as the secret that it was granted for.
Refuses, as `TargetError`: a launched system without a token endpoint of its own, which a secret for it must not leave.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from conformance.faults.messages import Reads
from conformance.faults.proxy import Proxy
from conformance.target.file import TargetError
from gateway.contracts.canonical import load_json
from gateway.contracts.connection import CredentialUse, Scheme
from gateway.errors import MalformedInput
from gateway.testing.issuer import new_secret

_PRIVATE: Final = ("d", "p", "q", "dp", "dq", "qi")  # RFC 7518 §6.2.2 and §6.3.2
_LINE_CHARACTERS: Final = 40


@dataclass(frozen=True, slots=True)
class Access:
    """`use` is the credential as the connection under test has it: its token endpoint is the proxy's."""

    use: CredentialUse
    proxy: Proxy | None = None

    @property
    def granted(self) -> Iterator[str]:
        """The tokens of this run."""
        for exchange in self.proxy.exchanges if self.proxy is not None else ():
            with suppress(MalformedInput):
                said = load_json(exchange.reply_body)
                token = said.get("access_token") if isinstance(said, dict) else None
                if isinstance(token, str) and token:
                    yield token


@asynccontextmanager
async def open_access(
    use: CredentialUse, own: str | None, trust: ssl.SSLContext | None, *, launched: bool
) -> AsyncIterator[Access]:
    """`own` is the token endpoint that the system itself brought; without one, a running system has the target's."""
    if use.token is None:
        yield Access(use)
        return
    if own is None and launched:
        raise TargetError("the launched system brings no token_url; a secret made for it must go nowhere else")
    url = own or use.token.url
    address = urlsplit(url)
    if address.query:
        raise TargetError("connection.credential.token.url has a query, which the suite cannot carry; leave it out")
    async with Proxy.open(
        f"{address.scheme}://{address.netloc}/", reads=Reads((address.path,)), trust=trust, faults=False, read_only=True
    ) as proxy:
        asserted = use.token.issuer is not None
        endpoint = {
            "url": proxy.url.removesuffix("/") + address.path,
            "audience": (use.token.audience or url) if asserted else None,  # the proxy's address means nothing to it
        }
        yield Access(use.model_copy(update={"token": use.token.model_copy(update=endpoint)}), proxy)


def wrong_secret(use: CredentialUse) -> str:
    """A credential of the right shape that no system can know."""
    return new_secret(use.scheme, "nobody")


def telling(scheme: Scheme, secret: str) -> Iterator[str]:
    """The secret, and those parts of it that would give it away by themselves."""
    yield secret
    if scheme in (Scheme.BASIC, Scheme.CLIENT_CREDENTIALS):
        yield secret.partition(":")[2]
    elif scheme in (Scheme.PRIVATE_KEY_JWT, Scheme.JWT_BEARER):
        members: object = None
        with suppress(MalformedInput):
            members = load_json(secret)
        if isinstance(members, dict):
            yield from (str(members[name]) for name in _PRIVATE if members.get(name))
        else:
            yield from (line for line in secret.splitlines() if len(line) >= _LINE_CHARACTERS)
