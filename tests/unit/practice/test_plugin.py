"""The registry as a plugin."""

from __future__ import annotations

import pytest

from gateway.errors import ConfigurationError
from gateway.practice import plugin


@pytest.mark.parametrize("hook", [plugin.gateway_evidence_sources, plugin.gateway_reference_resolvers])
def test_the_registry_answers_for_its_own_name_only(clinic, tmp_path, hook):
    home = tmp_path / "home"
    assert hook(name="other", options={"whatever": "x"}, home=home) == {}
    assert set(hook(name="practice-registry", options={"directory": "../practice"}, home=home)) == {"practice-registry"}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "directory"),
        ({"directory": "../practice", "cache": "yes"}, "directory"),
        ({"directory": "../elsewhere"}, r"people\.json is missing"),
        ({"directory": "registry"}, "home"),
        ({"directory": "."}, "home"),
    ],
)
def test_a_registry_that_is_missing_or_inside_the_home_stops_the_start(clinic, tmp_path, options, reason):
    home = tmp_path / "home"
    home.mkdir()
    with pytest.raises(ConfigurationError, match=reason):
        plugin.gateway_evidence_sources(name="practice-registry", options=options, home=home)
