"""A guest's code, whatever it raises or refuses to stop doing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.boundary.containment import Ending, contained


@pytest.mark.parametrize(
    "error", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, StopAsyncIteration]
)
async def test_any_exception_is_reduced_to_its_type(error: type[BaseException]) -> None:
    async def raising() -> None:
        raise error("canary")

    assert await contained(raising, 5) == Ending(raised=error)


async def test_a_guest_that_cancels_its_own_task_and_returns_has_not_answered() -> None:
    async def suicidal() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return "done"

    assert await contained(suicidal, 5) == Ending(raised=asyncio.CancelledError)


async def test_a_guest_that_is_no_coroutine_is_contained() -> None:
    work: Callable[[], Awaitable[int]] = lambda: 7  # type: ignore[assignment, return-value]  # noqa: E731
    assert await contained(work, 5) == Ending(raised=TypeError)


async def test_a_late_guest_is_cut_off_at_once_and_cancelled() -> None:
    events: list[str] = []

    async def hanging() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            events.append("cancelled")

    assert await contained(hanging, 0.01, lambda: events.append("stopped")) == Ending(late=True)
    assert events == ["stopped", "cancelled"]


async def test_a_guest_that_swallows_cancellation_is_left_behind() -> None:
    release = asyncio.Event()
    finished = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        finished.set()

    assert await contained(stubborn, 0.01) == Ending(late=True)
    assert not finished.is_set()
    release.set()
    await finished.wait()


async def test_the_callers_own_cancellation_passes_and_cuts_the_guest_off() -> None:
    events: list[str] = []
    started = asyncio.Event()

    async def hanging() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            events.append("cancelled")

    caller = asyncio.create_task(contained(hanging, 5, lambda: events.append("stopped")))
    await started.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await asyncio.sleep(0)
    assert events == ["stopped", "cancelled"]
