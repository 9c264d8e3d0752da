"""How long a request may still be carried out although nobody waits for it any more.

Owns: the one setting of a sealed connection that says so. What stands before the system (an interface engine, a proxy)
may keep a request, and a system may work on after its caller has hung up. An absence that was found meanwhile would be
none: its hold would be released, and then the appointment would appear.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.contracts.connection import Connection

RELAY_SECONDS: Final = "relay-seconds"


def relay_seconds(connection: Connection, otherwise: int = 0) -> int:
    """Setting `relay-seconds`, counted from the end of the attempt's time; `otherwise` where none is sealed. What is no
    number of seconds, the `Descriptor` refuses."""
    settings: Mapping[str, Any] = connection.settings
    seconds: int = settings.get(RELAY_SECONDS, otherwise)
    return seconds
