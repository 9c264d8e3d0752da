"""The registry's entry in the gateway's own plugin system, as `practice-registry`.

Option `directory`: the registry, relative to the home and outside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.contracts.evidence import EvidenceSource
from gateway.errors import ConfigurationError, DocumentError
from gateway.hookspecs import ReferenceResolver, hookimpl
from gateway.practice.registry import Registry
from gateway.practice.sources import RegistryEvidence, RegistryResolver

NAME = "practice-registry"


@hookimpl
def gateway_evidence_sources(name: str, options: Mapping[str, str], home: Path) -> Mapping[str, EvidenceSource]:
    return {NAME: RegistryEvidence(_registry(options, home))} if name == NAME else {}


@hookimpl
def gateway_reference_resolvers(name: str, options: Mapping[str, str], home: Path) -> Mapping[str, ReferenceResolver]:
    return {NAME: RegistryResolver(_registry(options, home))} if name == NAME else {}


def _registry(options: Mapping[str, str], home: Path) -> Registry:
    if options.keys() != {"directory"}:
        raise ConfigurationError(f"{NAME} takes exactly one option, directory; mend it in gateway.json")
    root = (home / options["directory"]).resolve()
    if root.is_relative_to(home.resolve()):
        raise ConfigurationError(f"{NAME}: the directory lies in the gateway's home; the practice keeps it elsewhere")
    registry = Registry(root)
    try:
        registry.people()
    except DocumentError as error:
        raise ConfigurationError(f"{NAME}: {error}") from None
    return registry
