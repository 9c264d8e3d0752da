"""A database for an engine, and something to book in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.testing.engine import Booking

MORNING = datetime(2031, 5, 6, 9, 0, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "engine.db"


@pytest.fixture
def slot() -> Booking:
    return Booking(
        patient="patient-1",
        participants=("practitioner-1", "device-1"),
        location="location-1",
        service="service-1",
        reason="check-up",
        start=MORNING,
        end=MORNING + timedelta(minutes=30),
    )
