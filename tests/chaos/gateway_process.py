"""A gateway that may be killed, and its supervisor: `python -m tests.chaos.gateway_process HOME SOCKET`.

The gateway answers triggers, one a line, on a unix socket: the outcome as one line of JSON. Once an outcome could not
be recorded it ends by itself, as an operator's supervisor expects. The supervisor has imported everything and forks, so
that a gateway is back in a fraction of a second; it opens nothing itself. It tells of each start, opening and end on
standard output, and stops at the end of its standard input.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from gateway.errors import GatewayError
from gateway.gateway import Gateway
from gateway.plugins import discover

GAVE_UP, NOT_OPENED = 3, 1


def say(**words: Any) -> None:
    os.write(1, json.dumps(words).encode() + b"\n")


async def serve(home: Path, socket: str) -> int:
    async with Gateway.open(home) as gateway:
        over = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):
                while trigger := await reader.readline():
                    outcome = await gateway.commit(trigger.decode().strip())
                    writer.write(json.dumps(outcome.plain()).encode() + b"\n")
                    await writer.drain()
                    if gateway.ports.retired:
                        over.set()
            writer.close()

        async with await asyncio.start_unix_server(answer, socket):
            say(recovered=len(gateway.recovered))
            await over.wait()
    return GAVE_UP


def live(home: Path, socket: str) -> NoReturn:
    """The child's whole life."""
    code = NOT_OPENED
    try:
        code = asyncio.run(serve(home, socket))
    except GatewayError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def supervise(home: Path, socket: str) -> None:
    discover(())  # imports what a gateway would
    while True:
        Path(socket).unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            live(home, socket)
        say(started=child)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        say(ended=child)
        heard = sys.stdin.readline()  # until whoever kills has taken note, the number stays the dead one's
        _, status = os.waitpid(child, 0)
        say(code=os.waitstatus_to_exitcode(status))
        if not heard:
            return


if __name__ == "__main__":
    supervise(Path(sys.argv[1]), sys.argv[2])
