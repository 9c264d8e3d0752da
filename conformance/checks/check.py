"""What a check is: a coroutine function of one trial.

Returning is passing; `CheckFailed` and `CouldNotRunError` are the other two ends; anything else it raises is the
suite's own fault (harness-error).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from conformance.trial import Trial

Check = Callable[[Trial], Awaitable[None]]
