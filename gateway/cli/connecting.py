"""`gateway connections list|suspend|resume`: which external systems, and whether attempts may start on them.

`connections add` seals anew and signs the sandbox record, so it lives with the signing surfaces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.answer import answering
from gateway.cli.options import HOME, Home, Json
from gateway.cli.session import reference, with_gateway

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import Configuration
    from gateway.contracts.connection import Connection
    from gateway.gateway import Gateway

ConnectionArgument = Annotated[str, typer.Argument(metavar="CONNECTION", help="A con_… reference.")]


def list_(home: Home = HOME, as_json: Json = False) -> None:
    """List the sealed connections and whether each may be used now."""
    with answering(as_json) as answer:
        from gateway.cli.page import listing, marked
        from gateway.cli.wording import Tone

        documents = with_gateway(home, _connections)
        rows = [
            (
                entry["connection_id"],
                entry["adapter"] + ("" if entry["conformance"] == "not needed" else f"\n{entry['conformance']}"),
                entry["base_url"],
                marked(Tone.CARE, "suspended")
                if entry["suspended"]
                else marked(Tone.GOOD, "open")
                if entry["admitted"]
                else marked(Tone.BAD, "not admitted: gateway doctor says why"),
            )
            for entry in documents
        ]
        page = listing(("connection", "adapter", "address", "now"), rows, "no connection: gateway connections add FILE")
        answer.give({"connections": documents}, [page])


def suspend(connection: ConnectionArgument, home: Home = HOME, as_json: Json = False) -> None:
    """Block new attempts on a connection, say for a maintenance window."""
    _switch(connection, home, as_json, suspended=True)


def resume(connection: ConnectionArgument, home: Home = HOME, as_json: Json = False) -> None:
    """Admit new attempts on a connection again."""
    _switch(connection, home, as_json, suspended=False)


def _switch(connection: str, home: Path, as_json: bool, *, suspended: bool) -> None:
    with answering(as_json) as answer:
        from gateway.cli.page import marked
        from gateway.cli.wording import Tone
        from gateway.contracts.references import ConnectionId

        named = reference(ConnectionId, connection, "CONNECTION")

        async def work(gateway: Gateway) -> None:
            await gateway.suspend(named, suspended)

        with_gateway(home, work)
        said = "suspended: new attempts are blocked" if suspended else "open: new attempts are admitted again"
        answer.give({"connection": named, "suspended": suspended}, [marked(Tone.GOOD, f"{named} is {said}")])


async def _connections(gateway: Gateway) -> list[dict[str, Any]]:
    ports = gateway.ports
    return [
        {
            **connection.plain(),
            "suspended": await ports.journal.suspended(name),
            "admitted": ports.admits_commit(connection, ports.clock.now()),
            "conformance": ports.conformity.until(name, ports.clock.now()),
        }
        for name, connection in sorted(ports.configuration.connections.items())
    ]


def wanted_secret(configuration: Configuration, connection: Connection) -> str | None:
    """What the secret is that a connection names, and where it belongs; nothing where it names none."""
    from gateway.boundary.credentials import place_of
    from gateway.cli.wording import SECRETS

    use = connection.credential
    if use.name is None:
        return None
    places = [place_of(source, configuration.home, use.name) for source in configuration.settings.credentials]
    where = ", or ".join(places) or "a source of credentials, of which gateway.json names none yet"
    return f"{SECRETS[use.scheme]}; in {where}"
