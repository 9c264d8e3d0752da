"""An event loop with virtual time: callbacks first-in-first-out, timers only when nothing else can happen.

Owns: time. A second passes at no cost, and only when `advance` says so. Refuses: sockets, threads, signals and
subprocesses; `create_connection` leads to the network that it was given.
"""

from __future__ import annotations

import asyncio
import heapq
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import contextmanager
from contextvars import Context
from typing import Any, Protocol


class Network(Protocol):
    """What lies below the loop's sockets."""

    async def connect(self, make: Callable[[], asyncio.Protocol], host: str, port: int) -> asyncio.Transport: ...


class VirtualLoop(asyncio.AbstractEventLoop):
    """`faults` are what asyncio would have logged: a callback's exception, a task's that nobody looked at."""

    def __init__(self, network: Network) -> None:
        self.faults: list[str] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self._network = network
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._now = 0.0
        self._number = 0

    # -- running ----------------------------------------------------------------------------------------

    @contextmanager
    def running(self) -> Generator[None, None, None]:
        """Make this the thread's running loop. Asynchronous generators left unfinished are closed by it."""
        sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]  # httpcore looks for it at every lock
        before = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(finalizer=self._finish)
        asyncio.events._set_running_loop(self)
        try:
            yield
        finally:
            asyncio.events._set_running_loop(None)
            sys.set_asyncgen_hooks(*before)

    def settle(self) -> None:
        """Run callbacks until none is ready. No time passes."""
        ready = self._ready
        while ready:
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def advance(self) -> bool:
        """Let time pass until the next timer, and make it ready; False where there is none."""
        while self._timers:
            when, _, handle = heapq.heappop(self._timers)
            if not handle._cancelled:
                self._now = max(self._now, when)
                self._ready.append(handle)
                return True
        return False

    def skip(self, seconds: float) -> None:
        """Let time pass at once, as for a process that was not scheduled: timers fire afterwards."""
        self._now += seconds

    def _finish(self, generator: AsyncGenerator[Any, Any]) -> None:
        self.call_soon(self.create_task, generator.aclose())

    # -- the loop that asyncio sees ---------------------------------------------------------------------

    def time(self) -> float:
        return self._now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_soon(  # type: ignore[override]  # the arguments' types are the callback's affair
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]  # the same
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]  # the same
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._number += 1
        heapq.heappush(self._timers, (when, self._number, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are dropped when their turn comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]  # coroutines only
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name or "task", context=context)
        self.tasks.append(task)
        return task

    def get_task_factory(self) -> None:
        return None

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.faults.append(f"{context.get('message')}: {type(context.get('exception')).__name__}")

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        made: list[asyncio.Protocol] = []

        def make() -> asyncio.Protocol:
            made.append(protocol_factory())
            return made[0]

        return await self._network.connect(make, host, port), made[0]
