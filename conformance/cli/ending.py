"""How a command of the suite ends: 0 conformant, 1 not conformant, 2 incomplete or refused, 3 the suite's own fault.

For commands that try nothing, 0 is done, 1 is that something does not hold, and 2 that it could not be done.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from enum import IntEnum

from gateway.cli.answer import Answer
from gateway.cli.answer import answering as gateway_answering


class Ending(IntEnum):
    """The codes of `conformance.verdict.Exit`, spelled here so that `--help` needs no model."""

    DONE = 0
    DOES_NOT_HOLD = 1
    REFUSED = 2
    FAULT = 3


def answering(as_json: bool) -> AbstractContextManager[Answer]:
    """As the gateway's own, with the suite's exit codes."""
    return gateway_answering(as_json, refused=lambda _: Ending.REFUSED, fault=Ending.FAULT)
