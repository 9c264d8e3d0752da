"""Filler applications made ready for a conformance run: plain, and over TLS with clients' certificates.

Owns: `plain` and `encrypted`, which start one in this process for one run; the certificates of the second are
trustme's. The observer reads the filler's database past every message.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, Final

import trustme

from adapters.hl7v2.filler import FORBIDDEN, SLOT_TAKEN, Filler, listen
from gateway.testing.engine import Engine
from gateway.testing.premises import Premises
from gateway.testing.twin import EngineObserver

ZONE: Final = "Europe/Berlin"
AGREED: Final[Mapping[str, str | bool]] = MappingProxyType(
    {
        "query": True,
        "filler-id-changes": True,
        "placer-id-unique": True,
        "access-declared": True,
        "error-slot-taken": SLOT_TAKEN,
        "error-forbidden": FORBIDDEN,
        "processing-id": "T",
    }
)
"""What this filler does, in the words of a sealed connection."""


@asynccontextmanager
async def plain() -> AsyncIterator[Premises]:
    """Wall time, original acknowledgement mode, no TLS."""
    with TemporaryDirectory(prefix="filler-") as directory:
        path = Path(directory) / "filler.db"
        with Engine.open(path) as engine, Engine.open(path) as observed:
            async with listen(Filler(engine, ZONE)) as port:
                yield Premises(
                    base_url=f"mllp://127.0.0.1:{port}/",
                    label=f"filler application on python-hl7 {version('hl7')}, MLLP",
                    observer=EngineObserver(observed),
                    settings=AGREED,
                )


@asynccontextmanager
async def encrypted() -> AsyncIterator[Premises]:
    """TLS with clients' certificates, times with offsets, enhanced acknowledgement mode. The fault proxy takes TLS off
    for itself, and shows the certificate `vendor` to the filler. `limited` may ask, and not write; `authority` is whom
    a client must trust."""
    authority = trustme.CA()
    given = {name: authority.issue_cert(name, common_name=name) for name in ("vendor", "limited")}
    server, trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(server)
    given["vendor"].configure_cert(trust)
    for context in (server, trust):
        authority.configure_trust(context)
    server.verify_mode = ssl.CERT_REQUIRED
    with TemporaryDirectory(prefix="filler-") as name:
        path = Path(name) / "filler.db"
        with Engine.open(path) as engine, Engine.open(path) as observed:
            filler = Filler(engine, "America/New_York", offsets=True)
            async with listen(filler, server, lambda certificate: _common_name(certificate) == "vendor") as port:
                yield Premises(
                    base_url=f"mllps://127.0.0.1:{port}/",
                    label=f"filler application on python-hl7 {version('hl7')}, MLLP over TLS, clients' certificates",
                    observer=EngineObserver(observed),
                    secrets={
                        "authority": authority.cert_pem.bytes().decode(),
                        **{each: made.private_key_and_cert_chain_pem.bytes().decode() for each, made in given.items()},
                    },
                    settings={**AGREED, "offsets": True, "acknowledgement": "enhanced", "settling-seconds": 1},
                    trust=trust,
                )


def _common_name(certificate: Any) -> str:
    named = dict(pair for part in certificate["subject"] for pair in part) if certificate else {}
    return str(named.get("commonName", ""))
