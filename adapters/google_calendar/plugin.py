"""Registers the Google Calendar adapter with the gateway (entry point `google_calendar` of group `gateway`)."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.google_calendar.adapter import GoogleCalendarAdapter
from gateway.contracts.adapter import Adapter
from gateway.hookspecs import hookimpl


@hookimpl
def gateway_adapters() -> Mapping[str, Adapter]:
    """One stateless adapter serves every Google Calendar connection (CARD-01)."""
    return {"google_calendar": GoogleCalendarAdapter()}
