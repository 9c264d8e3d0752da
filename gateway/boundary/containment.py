"""Running a guest's code so that nothing but an answer, or its absence, comes out (I12).

Owns: the task that a guest runs in, its deadline, and what is kept of an exception: its type, never its
text. Refuses: to wait for a guest longer than deadline and grace, even one that swallows cancellation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Answer = TypeVar("Answer")

GRACE_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Ending(Generic[Answer]):
    """How a guest's call ended: `value` if it returned, else `raised`, else it was `late`."""

    value: Answer | None = None
    raised: type[BaseException] | None = None
    late: bool = False


async def contained(
    work: Callable[[], Awaitable[Answer]], seconds: float, stop: Callable[[], None] = lambda: None
) -> Ending[Answer]:
    """Run `work` in a task of its own for at most `seconds`. `stop` cuts it off from the world, at once,
    when it is late or when the caller is cancelled. Raises nothing but the caller's own cancellation."""

    async def enclosed() -> Ending[Answer]:
        try:
            return Ending(value=await work())
        except BaseException as error:  # noqa: BLE001 — SystemExit in a task would stop the loop
            return Ending(raised=type(error))

    task = asyncio.create_task(enclosed())
    try:
        await asyncio.wait({task}, timeout=seconds)
        if task.done():  # cancelled: a guest that cancels its own task and returns ends it so
            return Ending(raised=asyncio.CancelledError) if task.cancelled() else task.result()
        stop()
        task.cancel()
        await asyncio.wait({task}, timeout=GRACE_SECONDS)
    except asyncio.CancelledError:
        stop()
        task.cancel()
        raise
    return Ending(late=True)
