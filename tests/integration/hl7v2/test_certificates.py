"""A filler application behind TLS that wants to know its clients, through the real boundary and without a proxy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from adapters.hl7v2.adapter import Hl7v2Adapter
from adapters.hl7v2.testing import ZONE, encrypted
from gateway.contracts.connection import CredentialUse, Scheme
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect, ObservationFinding
from gateway.testing import AdapterHarness, Premises, make_connection, make_request


@asynccontextmanager
async def known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Premises]:
    """The filler, whose authority the system trusts."""
    async with encrypted() as premises:
        trusted = tmp_path / "authority.pem"
        trusted.write_text(premises.secrets["authority"])
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        yield premises


def harness(premises: Premises, secret: str, **details: Any) -> AdapterHarness:
    use = CredentialUse(scheme=Scheme.CLIENT_CERTIFICATE, name="vendor")
    connection = make_connection(
        premises.base_url, settings=dict(premises.settings), zone=ZONE, credential=details.pop("use", use)
    )
    return AdapterHarness(Hl7v2Adapter(), make_request(connection), secret=secret)


@pytest.mark.requirement("ADAPT-05", "ADAPT-09")
async def test_a_client_with_a_certificate_books_and_cancels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with known(monkeypatch, tmp_path) as premises, harness(premises, premises.secrets["vendor"]) as booking:
        assert await booking.readiness() is None
        assert (await booking.commit()).effect is Effect.APPLIED
        assert (await booking.observe()).finding is ObservationFinding.PRESENT
        async with booking.following(Operation.CANCEL) as cancellation:
            assert await cancellation.readiness() is None
            assert (await cancellation.commit()).effect is Effect.APPLIED


@pytest.mark.requirement("FAIL-15", "ADAPT-03")
async def test_a_client_whose_certificate_may_not_write_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with known(monkeypatch, tmp_path) as premises, harness(premises, premises.secrets["limited"]) as booking:
        assert await booking.readiness() is None  # HL7 has nothing to ask for rights: the connection declares them
        result = await booking.commit()
        assert (result.effect, result.code) == (Effect.REFUSED, Code.EXTERNAL_FORBIDDEN)
        assert (await booking.observe()).finding is ObservationFinding.ABSENT


@pytest.mark.requirement("GATE-25", "FAIL-15")
async def test_a_client_without_a_certificate_gets_no_further_than_tls(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with known(monkeypatch, tmp_path) as premises:
        nobody = CredentialUse(scheme=Scheme.NONE)
        async with harness(premises, "", use=nobody) as booking:
            # asyncio's servers send no alert, so that the reason is not told
            assert await booking.readiness() in (Code.CONNECTION_LOST, Code.EXTERNAL_UNAVAILABLE)
