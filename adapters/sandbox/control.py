"""The test-only control plane: arm faults, read what really happened, and tidy up.

Owns: /_control/faults, /_control/journal and /_control/appointments/{id} (DELETE), unauthenticated on loopback
where the server was started with them.
Refuses: everything else. Nothing here is part of the system that an adapter may use, and nothing here is
tallied as a request to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from adapters.sandbox.answers import appointment_body, problem
from adapters.sandbox.faults import Switch, Switchboard
from gateway.contracts.base import Instant, Model
from gateway.errors import UsageError
from gateway.testing.engine import Engine
from gateway.testing.twin import document
from gateway.testing.wire import Reply, Request

PREFIX = "/_control/"
_APPOINTMENTS = "appointments/"


class ReceivedBody(Model):
    """One mutating request as it arrived."""

    method: str
    path: str
    key: str | None
    at: Instant


@dataclass(frozen=True, slots=True)
class Control:
    """The observer's side of one server."""

    engine: Engine
    faults: Switchboard

    def answer(self, request: Request) -> Reply:
        match request.method, request.path.removeprefix(PREFIX):
            case "GET", "journal":
                return document(200, self._journal())
            case "GET", "faults":
                receipts = [armed.switch.plain() | {"fired_on": armed.fired_on} for armed in self.faults.armed()]
                return document(200, {"faults": receipts})
            case "POST", "faults":
                return self._arm(request.body)
            case "DELETE", path if path.startswith(_APPOINTMENTS):
                removed = self.engine.remove(unquote(path.removeprefix(_APPOINTMENTS)))
                return Reply(status=204) if removed else problem("not-found")
            case _:
                return problem("not-found")

    def _arm(self, body: bytes) -> Reply:
        try:
            switch = Switch.parse(body)
        except UsageError:
            return problem("invalid")
        self.faults.arm(switch)
        return document(201, switch.plain())

    def _journal(self) -> dict[str, Any]:
        received = [
            ReceivedBody(method=each.method, path=each.path, key=each.key, at=each.at).model_dump(mode="json")
            for each in self.engine.requests()
        ]
        return {
            "requests": received,
            "appointments": [appointment_body(each) for each in self.engine.appointments()],
            "effects": self.engine.effects(),
        }
