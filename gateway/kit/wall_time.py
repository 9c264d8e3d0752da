"""Instants as a system without zones holds them: wall time at the place (daylight saving included).

Refuses: wall time that means two instants, or none. A guess would move an appointment by an hour, so whoever
speaks to a system without zones blocks there (TargetState.UNVERIFIABLE) and lets a person choose another time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo


class AmbiguousWallTimeError(ValueError):
    """The clocks show this time twice, or never, on that day."""


def to_wall(instant: datetime, zone: str) -> datetime:
    """The naive local time of an aware instant; raises `AmbiguousWallTimeError` where it shows twice."""
    wall = instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)
    to_instant(wall, zone)
    return wall


def to_instant(wall: datetime, zone: str) -> datetime:
    """The one UTC instant of a naive local time; raises `AmbiguousWallTimeError` where there is none or two."""
    if wall.tzinfo is not None:
        raise ValueError("wall time carries no zone")
    first, second = (wall.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1))
    if first != second:
        raise AmbiguousWallTimeError("the clocks show this time twice, or never")
    return first
