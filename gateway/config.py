"""The gateway's configuration: what a practice seals before anything may be committed.

A home directory holds `gateway.json` (`Settings`), `connections/*.json` (`Connection`), `keys.json`
(`TrustedKeys`), `policies/` and `seal.json` (the digest of every one of these files). `load` refuses
altered, missing and unlisted files, naming them; it reads once, at start (no work on the hot path).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway.contracts.base import Instant, Model, Slug
from gateway.contracts.proposal import Operation
from gateway.contracts.references import PracticeId
from gateway.contracts.statements import TriggerKind
from gateway.contracts.words import Environment


class PluginUse(Model):
    """Which plugin to use, and its options (paths are relative to the home directory)."""

    name: Slug
    options: dict[Slug, str] = {}


class PolicySelection(Model):
    """For this kind of trigger and this operation, evaluate exactly this sealed version (POLICY-03)."""

    trigger: TriggerKind
    operation: Operation
    policy: Slug
    version: Annotated[int, Field(ge=1)]


class Bounds(Model):
    """Limits in seconds on what the gateway waits for and believes."""

    evidence_seconds: Annotated[int, Field(ge=1, le=60)] = 5
    readiness_seconds: Annotated[int, Field(ge=1, le=120)] = 15
    authorization_seconds: Annotated[int, Field(ge=1, le=60)] = 10
    sink_seconds: Annotated[int, Field(ge=1, le=60)] = 5
    replay_wait_seconds: Annotated[int, Field(ge=0, le=120)] = 30
    reviewer_authentication_seconds: Annotated[int, Field(ge=1, le=86_400)] = 900
    clock_skew_seconds: Annotated[int, Field(ge=0, le=300)] = 60


class Settings(Model):
    """`gateway.json`."""

    practice: PracticeId
    environment: Environment
    journal: str = "journal.db"
    evidence: PluginUse
    resolver: PluginUse
    credentials: Annotated[tuple[PluginUse, ...], Field(max_length=4)] = ()
    sinks: Annotated[tuple[PluginUse, ...], Field(max_length=8)] = ()
    policies: Annotated[tuple[PolicySelection, ...], Field(max_length=32)]
    bounds: Bounds = Bounds()
