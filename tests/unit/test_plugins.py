"""Discovery and validation, with real distributions on disk and real plugin objects."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from gateway.config import PluginUse
from gateway.errors import ConfigurationError
from gateway.hookspecs import hookimpl
from gateway.plugins import Installed, discover

CANARY = "Zephyrine Quillfeather"
HOME = Path("home")

Install = Callable[[str, str, str], list[EntryPoint]]


class ToyAdapter:
    def describe(self, connection): ...

    async def readiness(self, request, read): ...

    async def commit(self, authorized, write): ...

    async def observe(self, query, read): ...


class Secrets:
    async def secret(self, name): ...


class Sink:
    async def ready(self): ...

    async def accept(self, events): ...


class Source:
    async def identity(self, question): ...

    async def tenant(self, question): ...

    async def consent(self, question): ...

    async def notice(self, question): ...


class Resolver:
    async def resolve(self, proposal): ...

    async def bind(self, binding): ...


class Adapters:
    """A plugin that offers whatever it is given."""

    def __init__(self, offered: object) -> None:
        self._offered = offered

    @hookimpl
    def gateway_adapters(self) -> object:
        return self._offered


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a distribution with one plugin module on disk; answers the entry points of all put there so far."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def put(distribution: str, name: str, source: str) -> list[EntryPoint]:
        module = f"toy_{distribution.replace('-', '_')}_{tmp_path.name}"
        (tmp_path / f"{module}.py").write_text(dedent(source))
        info = tmp_path / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[gateway]\n{name} = {module}\n")
        return [entry for found in distributions(path=[str(tmp_path)]) for entry in found.entry_points]

    return put


TOY = """
    from gateway.hookspecs import hookimpl

    class Toy:
        def describe(self, connection): ...
        async def readiness(self, request, read): ...
        async def commit(self, authorized, write): ...
        async def observe(self, query, read): ...

    @hookimpl
    def gateway_adapters():
        return {"toy": Toy()}
"""


def test_an_installed_plugin_is_found_with_its_distribution_and_version(install):
    plugins = discover(installed=install("toy-adapters", "toy", TOY))
    assert set(plugins.adapters()) == {"toy"}
    assert plugins.installed == (Installed("toy", "toy-adapters", "1.2", ("toy",)),)


def test_a_plugin_given_by_the_caller_stands_beside_the_installed_ones(install):
    plugins = discover([Adapters({"mine": ToyAdapter()})], installed=install("toy-adapters", "toy", TOY))
    assert set(plugins.adapters()) == {"mine", "toy"}
    assert [entry.adapters for entry in plugins.installed] == [("mine",), ("toy",)]


def test_two_distributions_that_call_their_plugin_alike_are_both_named(install):
    install("toy-adapters", "toy", TOY)
    with pytest.raises(ConfigurationError, match=r"called toy.*(toy-adapters and other|other and toy-adapters)"):
        discover(installed=install("other", "toy", TOY))


def test_two_plugins_that_offer_one_name_are_both_named(install):
    entries = install("toy-adapters", "toy", TOY)
    with pytest.raises(ConfigurationError, match=r"plugins .* both offer toy") as refusal:
        discover([Adapters({"toy": ToyAdapter()})], installed=entries)
    assert "toy and extra-1:Adapters" in str(refusal.value) or "extra-1:Adapters and toy" in str(refusal.value)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import no_such_module_anywhere", "ModuleNotFoundError no_such_module_anywhere"),
        (f"raise RuntimeError('{CANARY}')", "RuntimeError"),
        (f"raise SystemExit('{CANARY}')", "SystemExit"),
        ("def broken(:", "SyntaxError"),
        ("", "implements no hook"),
        ("def gateway_adapters(): return {}", "not marked"),
    ],
)
def test_a_broken_distribution_is_named_and_its_words_are_not_repeated(install, source, expected):
    with pytest.raises(ConfigurationError, match=f"toy.*{expected}") as refusal:
        discover(installed=install("toy-adapters", "toy", source))
    assert CANARY not in str(refusal.value)
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


class Unknown:
    @hookimpl
    def gateway_adaptors(self) -> Mapping[str, object]:
        return {}


class UnknownButOptional:
    @hookimpl(optionalhook=True)
    def gateway_adaptors(self) -> Mapping[str, object]:
        return {}


class Renamed:
    @hookimpl(specname="gateway_adaptors")
    def adapters(self) -> Mapping[str, object]:
        return {}


class Wrapper:
    @hookimpl(wrapper=True)
    def gateway_adapters(self) -> Any:
        return (yield)


class OldWrapper:
    @hookimpl(hookwrapper=True)
    def gateway_adapters(self) -> Any:
        yield


class StrangeArgument:
    @hookimpl
    def gateway_adapters(self, journal: object) -> Mapping[str, object]:
        return {}


@pytest.mark.parametrize(
    ("plugin", "expected"),
    [
        (Unknown(), "there is no hook gateway_adaptors"),
        (UnknownButOptional(), "there is no hook gateway_adaptors"),
        (Renamed(), "there is no hook"),
        (Wrapper(), "wraps"),
        (OldWrapper(), "wraps"),
        (StrangeArgument(), "arguments"),
        (object(), "implements no hook"),
    ],
)
def test_a_plugin_whose_hooks_do_not_hold_is_named(plugin, expected):
    with pytest.raises(ConfigurationError, match=f"extra-1:{type(plugin).__name__}.*{expected}"):
        discover([plugin], installed=[])


def test_one_plugin_given_twice_is_refused():
    plugin = Adapters({})
    with pytest.raises(ConfigurationError, match=r"extra-2:Adapters is registered already"):
        discover([plugin, plugin], installed=[])


class NoObserve:
    describe = ToyAdapter.describe
    readiness = ToyAdapter.readiness
    commit = ToyAdapter.commit


class BlockingCommit(ToyAdapter):
    def commit(self, authorized, write): ...


class AsyncDescribe(ToyAdapter):
    async def describe(self, connection): ...


class OtherArguments(ToyAdapter):
    async def commit(self, authorized): ...


class Uncallable(ToyAdapter):
    commit = CANARY


class Explosive(ToyAdapter):
    @property
    def observe(self):
        raise RuntimeError(CANARY)


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        (None, "mapping of names"),
        ([ToyAdapter()], "mapping of names"),
        ({CANARY: ToyAdapter()}, "name that is not"),
        ({1: ToyAdapter()}, "name that is not"),
        ({"toy": NoObserve()}, r"toy\.observe is missing"),
        ({"toy": Uncallable()}, r"toy\.commit is missing"),
        ({"toy": BlockingCommit()}, r"toy\.commit must be a plain `async def`"),
        ({"toy": AsyncDescribe()}, r"toy\.describe must be a plain `def`"),
        ({"toy": OtherArguments()}, r"toy\.commit must take \(authorized, write\)"),
        ({"toy": ToyAdapter}, r"toy\.commit must take \(authorized, write\)"),
        ({"toy": Explosive()}, "raised RuntimeError"),
    ],
)
def test_an_offer_that_is_no_adapter_is_named_with_what_to_mend(offered, expected):
    with pytest.raises(ConfigurationError, match=rf"extra-1:Adapters, gateway_adapters: .*{expected}") as refusal:
        discover([Adapters(offered)], installed=[])
    assert CANARY not in str(refusal.value)


class Parts:
    """One plugin that offers one of everything else, and says what it was asked."""

    def __init__(self, name: str = "toy", fault: Exception | None = None) -> None:
        self.name = name
        self.fault = fault
        self.asked: list[tuple[str, dict[str, str], Path]] = []

    def _offer(self, thing: object, name: str, options: Mapping[str, str], home: Path) -> Mapping[str, object]:
        self.asked.append((name, dict(options), home))
        if name != self.name:
            return {}
        if self.fault:
            raise self.fault
        return {self.name: thing}

    @hookimpl
    def gateway_evidence_sources(self, name, options, home):
        return self._offer(Source(), name, options, home)

    @hookimpl
    def gateway_reference_resolvers(self, name, options, home):
        return self._offer(Resolver(), name, options, home)

    @hookimpl
    def gateway_credential_sources(self, name, options, home):
        return self._offer(Secrets(), name, options, home)

    @hookimpl
    def gateway_audit_sinks(self, name, options, home):
        return self._offer(Sink(), name, options, home)


CALLS = {"evidence_source": Source, "reference_resolver": Resolver, "credential_source": Secrets, "audit_sink": Sink}


@pytest.mark.parametrize("call", CALLS)
def test_the_configured_name_is_asked_for_once_with_its_own_options(call):
    parts, other = Parts(), Parts("other")
    plugins = discover([parts, other], installed=[])
    use = PluginUse(name="toy", options={"directory": "there"})
    assert isinstance(getattr(plugins, call)(use, HOME), CALLS[call])
    assert parts.asked == [("toy", {"directory": "there"}, HOME)]


@pytest.mark.parametrize("call", CALLS)
def test_a_name_that_nobody_or_two_plugins_offer_is_refused(call):
    use = PluginUse(name="toy")
    with pytest.raises(ConfigurationError, match="no plugin offers toy"):
        getattr(discover([Parts("other")], installed=[]), call)(use, HOME)
    with pytest.raises(ConfigurationError, match=r"plugins extra-\d:Parts and extra-\d:Parts both offer toy"):
        getattr(discover([Parts(), Parts()], installed=[]), call)(use, HOME)


@pytest.mark.parametrize("call", CALLS)
def test_a_plugin_that_fails_to_start_is_named_and_its_words_are_not_repeated(call):
    use = PluginUse(name="toy")
    broken = discover([Parts(fault=OSError(CANARY))], installed=[])
    with pytest.raises(ConfigurationError, match=r"plugin extra-1:Parts, gateway_\w+: raised OSError") as refusal:
        getattr(broken, call)(use, HOME)
    assert CANARY not in str(refusal.value)
    told = discover([Parts(fault=ConfigurationError("directory: mend it"))], installed=[])
    with pytest.raises(ConfigurationError, match=r"plugin extra-1:Parts.*directory: mend it"):
        getattr(told, call)(use, HOME)


class Incomplete:
    @hookimpl
    def gateway_audit_sinks(self):
        return {"toy": Secrets()}


@pytest.mark.requirement("AUDIT-19")
def test_a_configured_sink_that_is_no_sink_stops_the_start():
    with pytest.raises(ConfigurationError, match=r"toy\.accept is missing|toy\.ready is missing"):
        discover([Incomplete()], installed=[]).audit_sink(PluginUse(name="toy"), HOME)
