"""Everything outside that the orchestrator reaches for, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from gateway import config
from gateway.audit.acknowledgement import Sinks
from gateway.boundary import Boundary
from gateway.clock import Clock
from gateway.config import Bounds, Configuration
from gateway.conformity import Conformity
from gateway.contracts.connection import Connection
from gateway.contracts.references import PracticeId
from gateway.contracts.words import Environment
from gateway.gates import Gatekeeper
from gateway.governance import Governance
from gateway.journal import Journal
from gateway.policy import PolicyStore
from gateway.signatures import Keyring


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What a sealed home says, read and verified once; any number of gateways may be opened on it."""

    configuration: Configuration
    keyring: Keyring
    governance: Governance
    policies: PolicyStore

    @classmethod
    def load(cls, home: Path) -> Self:
        """Raises `ConfigurationError`, saying what to mend."""
        configuration = config.load(home)
        keyring = Keyring(configuration.keys)
        return cls(
            configuration=configuration,
            keyring=keyring,
            governance=Governance.load(configuration, keyring),
            policies=PolicyStore.load(configuration.policies_directory),
        )


@dataclass(slots=True, kw_only=True)
class Ports:
    """Everything outside that the orchestrator reaches for. `retired` latches when an outcome could not
    be recorded, and when the gateway closes: it then dispatches nothing more."""

    configuration: Configuration
    keyring: Keyring
    governance: Governance
    conformity: Conformity
    policies: PolicyStore
    boundary: Boundary
    journal: Journal
    sinks: Sinks
    gatekeeper: Gatekeeper
    clock: Clock
    retired: bool = False

    @property
    def practice(self) -> PracticeId:
        return self.configuration.settings.practice

    @property
    def environment(self) -> Environment:
        return self.configuration.settings.environment

    @property
    def bounds(self) -> Bounds:
        return self.configuration.settings.bounds

    def admits_commit(self, connection: Connection, now: datetime) -> bool:
        """Whether people have admitted commits on this connection (GOV-12) and its adapter is stated to conform."""
        admitted = self.governance.admits_commit(connection, now)
        return admitted and self.conformity.admits(connection.connection_id, now)

    @property
    def skew(self) -> timedelta:
        return timedelta(seconds=self.bounds.clock_skew_seconds)
