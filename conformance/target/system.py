"""The system that a target file names: one that runs already, with its observer, or one that is started for the run.

Owns: the author's factories being called. They know the secrets, so that nothing of what they raise is told but its
type. Refuses, as `TargetError`: a factory that raises, a launched system that is not on this machine, and an observer
that is the adapter's own code.
"""

from __future__ import annotations

import ssl
import sys
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import cast

from conformance.target import safety
from conformance.target.file import Target, TargetError
from gateway.conformity import is_given
from gateway.contracts.adapter import Adapter
from gateway.testing import Observer, Premises


async def named(stack: AsyncExitStack, target: Target, directory: Path) -> Premises:
    """What the target file names: a system that is launched, or one that runs already."""
    if target.launch is not None:
        return await launched(stack, target.launch)
    given = safety.secrets(target, directory)
    base_url = target.connection.base_url
    assert base_url is not None, "the target's own contract"
    trusted = trust(target, directory)
    trusting = {} if trusted is None else {"trust": trusted}  # an observer that needs no such trust need not know of it
    made = None if target.observer is None else _called(target.observer, base_url, given, **trusting)
    return Premises(base_url=base_url, label=target.label, observer=cast(Observer | None, made), secrets=given)


async def launched(stack: AsyncExitStack, spec: str) -> Premises:
    """Started for this run, and ended with `stack`."""
    started = cast(AbstractAsyncContextManager[Premises], _called(spec))  # a `PremisesFactory`'s
    try:
        premises = await stack.enter_async_context(started)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - as below
        raise TargetError(f"{spec} raised {type(error).__name__} when it was to start the system") from None
    safety.admit_launched(premises.base_url, "base_url")
    if premises.token_url is not None:
        safety.admit_launched(premises.token_url, "token_url")
    return premises


def _called(spec: str, *given: object, **named: object) -> object:
    """What the author's factory makes. It knows the secrets, and its text could hold them."""
    factory = safety.load_object(spec)
    try:
        return factory(*given, **named)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, its type is all that may be told
        raise TargetError(f"{spec} raised {type(error).__name__} when it was called") from None


def must_be_apart(premises: Premises, adapter: Adapter) -> None:
    """Refuse an observer that is the adapter's own code: an error that both make would cancel out. Looks at the
    modules that hold their classes, and in the adapter's own distribution also at what the observer's imports; code
    that both share further down is not found."""
    tried = [kind for kind in type(adapter).__mro__ if not is_given(kind.__module__)]
    modules = {kind.__module__ for kind in tried}
    packages = {module.partition(".")[0] for module in modules}
    forbidden = [*tried, *(sys.modules[module] for module in modules if module in sys.modules)]
    for kind in type(premises.observer).__mro__:
        if is_given(kind.__module__):
            continue
        near = kind.__module__.partition(".")[0] in packages
        held = list(vars(sys.modules.get(kind.__module__, kind)).values()) if near else []
        if kind.__module__ in modules or any(each is other for each in held for other in forbidden):
            raise TargetError(
                f"the observer's module {kind.__module__} holds or imports the adapter; give the observer a module and "
                "a client of its own, so that it cannot repeat the adapter's errors"
            )


def trust(target: Target, directory: Path) -> ssl.SSLContext | None:
    """The authorities that the target file names; None: the system's."""
    authorities = target.connection.trust
    try:
        return None if authorities is None else ssl.create_default_context(cafile=str(directory / authorities))
    except (OSError, ValueError):
        raise TargetError("connection.trust: no PEM file of authorities beside the target file") from None
