"""`gateway recover` and `gateway adapters list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.cli.answer import answering
from gateway.cli.options import HOME, Home, Json
from gateway.cli.session import with_gateway

if TYPE_CHECKING:
    from gateway.contracts.outcome import Outcome
    from gateway.gateway import Gateway


def recover(home: Home = HOME, as_json: Json = False) -> None:
    """Close attempts whose process died between intent and outcome, as not known. Contacts nothing."""
    with answering(as_json) as answer:
        from gateway.cli.page import marked, outcome_page
        from gateway.cli.wording import Tone, outcome_document

        async def read(gateway: Gateway) -> list[Outcome]:
            return [*gateway.recovered, *await gateway.recover()]  # opening the gateway recovers, too

        outcomes = with_gateway(home, read)
        page: list[Any] = [marked(Tone.GOOD, "nothing to recover: no attempt was left in flight")]
        if outcomes:
            page = [part for outcome in outcomes for part in outcome_page(outcome, "recovered")]
        answer.give({"recovered": [outcome_document(outcome) for outcome in outcomes]}, page)


def adapters(as_json: Json = False) -> None:
    """List installed plugins and the adapters that they offer."""
    with answering(as_json) as answer:
        from gateway.cli.page import listing
        from gateway.plugins import discover

        found = discover().installed
        rows = [
            (adapter, plugin.name, f"{plugin.distribution} {plugin.version}".strip())
            for plugin in found
            for adapter in plugin.adapters
        ]
        document = [
            {"adapter": adapter, "plugin": plugin.name, "distribution": plugin.distribution, "version": plugin.version}
            for plugin in found
            for adapter in plugin.adapters
        ]
        answer.give({"adapters": document}, [listing(("adapter", "plugin", "from"), rows, "no adapter is installed")])
