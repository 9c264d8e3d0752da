"""Plugins: found through the entry-point group `gateway`, validated before they are used, asked one at a time.

Owns: discovery, and everything that can be said about a plugin before its first real call. The gateway's own
parts come the same way. pluggy keeps the register; each hook is called plugin by plugin, so that a fault has a
name and no plugin sees another's call.
Refuses, as a `ConfigurationError` naming the plugin and what to mend: what cannot be imported, hooks that do not
exist or are not marked, wrappers around other plugins' hooks, two plugins for one name, and objects that lack a
method of their protocol. A plugin's own exception is named by type only: its text could hold anything.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar, cast

import pluggy
from pydantic import TypeAdapter, ValidationError

from gateway import hookspecs
from gateway.config import PluginUse
from gateway.contracts.adapter import Adapter
from gateway.contracts.base import Slug
from gateway.contracts.evidence import EvidenceSource
from gateway.errors import ConfigurationError
from gateway.hookspecs import AuditSink, CredentialSource, ReferenceResolver

GROUP: Final = "gateway"
HOOK_PREFIX: Final = "gateway_"
GIVEN: Final = "given by the caller"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Installed:
    """A plugin, the distribution that brought it, and the adapters it offers (`gateway adapters list`)."""

    name: str
    distribution: str
    version: str
    adapters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plugins:
    """The validated plugins of this process."""

    installed: tuple[Installed, ...]
    _register: pluggy.PluginManager = field(repr=False)
    _adapters: Mapping[str, Adapter] = field(repr=False)

    def adapters(self) -> Mapping[str, Adapter]:
        """All adapters by name."""
        return self._adapters

    def evidence_source(self, use: PluginUse, home: Path) -> EvidenceSource:
        """The configured source; raises `ConfigurationError`, as do the three below."""
        return cast(EvidenceSource, self._chosen("gateway_evidence_sources", EvidenceSource, use, home))

    def reference_resolver(self, use: PluginUse, home: Path) -> ReferenceResolver:
        return cast(ReferenceResolver, self._chosen("gateway_reference_resolvers", ReferenceResolver, use, home))

    def credential_source(self, use: PluginUse, home: Path) -> CredentialSource:
        return cast(CredentialSource, self._chosen("gateway_credential_sources", CredentialSource, use, home))

    def audit_sink(self, use: PluginUse, home: Path) -> AuditSink:
        return cast(AuditSink, self._chosen("gateway_audit_sinks", AuditSink, use, home))

    def _chosen(self, hook: str, protocol: type, use: PluginUse, home: Path) -> object:
        given = {"name": use.name, "options": MappingProxyType(dict(use.options)), "home": home}
        offers = _offers(self._register, hook, protocol, given)
        if use.name not in offers:
            raise ConfigurationError(f"no plugin offers {use.name} ({hook}); install one, or mend gateway.json")
        return offers[use.name].thing


@dataclass(frozen=True, slots=True)
class _Offer(Generic[T]):
    plugin: str
    thing: T


def discover(extra: Sequence[object] = (), installed: Iterable[EntryPoint] | None = None) -> Plugins:
    """Find, import and validate all plugins; raises `ConfigurationError` naming the one to mend.

    `extra` are plugins beside the installed ones; `installed` stands in for this interpreter's entry points.
    """
    register = pluggy.PluginManager(hookspecs.PROJECT)
    register.add_hookspecs(hookspecs)
    origins: dict[str, tuple[str, str]] = {}
    for entry in sorted(entry_points(group=GROUP) if installed is None else installed, key=lambda entry: entry.name):
        origin = (entry.dist.name, entry.dist.version) if entry.dist else ("an unknown distribution", "")
        if entry.name in origins:
            both = f"{origins[entry.name][0]} and {origin[0]}"
            raise ConfigurationError(f"two plugins are called {entry.name}, of {both}; uninstall one")
        _add(register, entry.name, _imported(entry, origin[0]))
        origins[entry.name] = origin
    for number, plugin in enumerate(extra, start=1):
        name = f"extra-{number}:{getattr(plugin, '__name__', type(plugin).__name__)}"
        _add(register, name, plugin)
        origins[name] = (GIVEN, "")
    offers = _offers(register, "gateway_adapters", Adapter, {})
    found = tuple(
        Installed(name, *origin, tuple(sorted(word for word, offer in offers.items() if offer.plugin == name)))
        for name, origin in sorted(origins.items())
    )
    adapters = {name: cast(Adapter, offer.thing) for name, offer in offers.items()}
    return Plugins(found, register, MappingProxyType(adapters))


def _imported(entry: EntryPoint, distribution: str) -> object:
    try:
        return entry.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - importing runs a stranger's code
        missing = f" {error.name}" if isinstance(error, ImportError) and error.name else ""
        raise ConfigurationError(
            f"plugin {entry.name} of {distribution} cannot be imported ({type(error).__name__}{missing}); "
            f"import {entry.module} in Python to see why, or uninstall it"
        ) from None


def _add(register: pluggy.PluginManager, name: str, plugin: object) -> None:
    """Register a plugin whose every hook exists, is marked, and stands for itself alone."""
    hooks = 0
    for attribute in dir(plugin):
        options = register.parse_hookimpl_opts(plugin, attribute)
        if options is None:
            if attribute.startswith(HOOK_PREFIX):
                raise ConfigurationError(f"plugin {name}: {attribute} is not marked with gateway.hookspecs.hookimpl")
            continue
        hooks += 1
        if not hasattr(register.hook, options.get("specname") or attribute):
            raise ConfigurationError(f"plugin {name}: there is no hook {attribute}; see gateway.hookspecs")
        if options.get("wrapper") or options.get("hookwrapper"):
            raise ConfigurationError(f"plugin {name}: {attribute} wraps other plugins' hooks; return its own objects")
    if not hooks:
        raise ConfigurationError(f"plugin {name} implements no hook; see gateway.hookspecs")
    try:
        register.register(plugin, name)
    except pluggy.PluginValidationError:
        raise ConfigurationError(
            f"plugin {name}: a hook takes arguments that gateway.hookspecs does not have"
        ) from None
    except ValueError:
        raise ConfigurationError(f"plugin {name} is registered already; give it once") from None


def _offers(
    register: pluggy.PluginManager, hook: str, protocol: type, given: Mapping[str, Any]
) -> dict[str, _Offer[object]]:
    """What each plugin returns from `hook`, checked against `protocol`, by name."""
    found: dict[str, _Offer[object]] = {}
    for implementation in register.hook.__dict__[hook].get_hookimpls():
        plugin = implementation.plugin_name
        try:
            offered = implementation.function(*(given[name] for name in implementation.argnames))
            checked = list(_checked(offered, protocol))
        except ConfigurationError as error:
            raise ConfigurationError(f"plugin {plugin}, {hook}: {error}") from None
        except Exception as error:  # noqa: BLE001 - a stranger's code, whose text could hold anything
            raise ConfigurationError(
                f"plugin {plugin}, {hook}: raised {type(error).__name__}; mend the plugin"
            ) from None
        for name, thing in checked:
            if name in found:
                raise ConfigurationError(f"plugins {found[name].plugin} and {plugin} both offer {name}; uninstall one")
            found[name] = _Offer(plugin, thing)
    return found


def _checked(offered: object, protocol: type) -> Iterator[tuple[str, object]]:
    if not isinstance(offered, Mapping):
        raise ConfigurationError("must return a mapping of names to objects")
    for name, thing in offered.items():
        try:
            slug = TypeAdapter(Slug).validate_python(name, strict=True)
        except ValidationError:
            raise ConfigurationError("offers a name that is not lower-case words joined by - or _") from None
        for method, wanted in inspect.getmembers(protocol, inspect.isfunction):
            if not method.startswith("_"):
                _check_method(f"{slug}.{method}", wanted, getattr(thing, method, None))
        yield slug, thing


def _check_method(shown: str, wanted: Callable[..., object], method: object) -> None:
    if not callable(method):
        raise ConfigurationError(f"{shown} is missing")
    if inspect.iscoroutinefunction(method) is not inspect.iscoroutinefunction(wanted):
        word = "async def" if inspect.iscoroutinefunction(wanted) else "def"
        raise ConfigurationError(f"{shown} must be a plain `{word}`")
    parameters = list(inspect.signature(wanted).parameters)[1:]
    try:
        inspect.signature(method).bind(*parameters)
    except TypeError:
        raise ConfigurationError(f"{shown} must take ({', '.join(parameters)})") from None
