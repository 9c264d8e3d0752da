"""A whole practice in one directory, for one machine: what `gateway init` makes, and the demo and tests use.

    DIR/gateway    the sealed home (no private key)      DIR/practice   the practice's registry
    DIR/keys       one owner-only key file per surface   DIR/secrets    credentials, owner-only

Owns: that layout, and which surface's key may sign what. A real practice keeps these four in four places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

from gateway import config, documents, home
from gateway.attestation import ConformanceStatement
from gateway.audit.checkpoint import Checkpoint
from gateway.clock import Clock, SystemClock
from gateway.config import Bounds, Configuration, PluginUse, Settings
from gateway.contracts.base import Model
from gateway.contracts.connection import Connection
from gateway.contracts.references import PersonId, PracticeId
from gateway.contracts.statements import Decision, Resolution, Stop, Trigger, Withdrawal
from gateway.contracts.words import Environment
from gateway.errors import ConfigurationError
from gateway.governance import GovernanceRecord, SandboxRecord
from gateway.practice.records import StaffRole
from gateway.practice.registry import Registry
from gateway.signatures import TrustedKeys
from gateway.surfaces.ceremonies import Surface
from gateway.surfaces.keys import LocalKey

REVIEWER: Final = "reviewer"
OPERATOR: Final = "operator"
GOVERNANCE: Final = "governance"
CHECKPOINT: Final = "checkpoint"
CONFORMANCE: Final = "conformance"

MAY_SIGN: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        REVIEWER: (Decision.typ, Trigger.typ),  # a trigger in the same ceremony (C-22)
        OPERATOR: (Trigger.typ, Stop.typ, Withdrawal.typ, Resolution.typ),
        GOVERNANCE: (GovernanceRecord.typ, SandboxRecord.typ),
        CHECKPOINT: (Checkpoint.typ,),
        CONFORMANCE: (ConformanceStatement.typ,),
    }
)

REGISTRY: Final = PluginUse(name="practice-registry", options={"directory": "../practice"})
SECRETS: Final = PluginUse(name="file", options={"directory": "../secrets"})
FILE_SINK: Final = PluginUse(name="file", options={"path": "audit.jsonl"})


class Desk(Model):
    """`desk.json`: who sits at this machine's surfaces."""

    practice: PracticeId
    reviewer: PersonId
    operator: PersonId


@dataclass(frozen=True, slots=True)
class LocalPractice:
    """One practice on this machine; make it with `create`, find it again with `open`."""

    root: Path
    desk: Desk
    clock: Clock

    @classmethod
    def create(
        cls,
        root: Path,
        connections: Sequence[Connection] = (),
        *,
        practice: PracticeId | None = None,
        policy: str = "standard",
        environment: Environment = Environment.SANDBOX,
        sinks: Sequence[PluginUse] = (),
        bounds: Bounds | None = None,
        journal: str = "journal.db",
        personal: bool = True,
        clock: Clock | None = None,
    ) -> Self:
        """Make the four directories. `personal` keys speak for the desk's reviewer and operator alone; others
        are a shared surface's, which authenticates its people by itself. `journal` is a `JournalAddress`. Raises
        `ConfigurationError` where there is something already."""
        practice = practice or PracticeId.random()
        desk = Desk(practice=practice, reviewer=PersonId.random(), operator=PersonId.random())
        local = cls(root.absolute(), desk, clock or SystemClock())
        if local.root.exists() and any(local.root.iterdir()):
            raise ConfigurationError("the directory is not empty; name a new one")
        for directory in (local.keys, local.secrets):
            documents.make_directory(directory)
        keys = {name: LocalKey.generate(name) for name in MAY_SIGN}
        for name, key in keys.items():
            key.save(local.keys / f"{name}.json")
        documents.write(local.keys / "desk.json", documents.spell(desk), "desk.json")
        Registry.create(local.registry.root, practice)
        local.registry.enrol_person(desk.reviewer, [StaffRole.REVIEWER, StaffRole.OPERATOR])
        local.registry.enrol_person(desk.operator, [StaffRole.OPERATOR])
        settings = Settings(
            practice=practice,
            environment=environment,
            journal=journal,
            evidence=REGISTRY,
            resolver=REGISTRY,
            credentials=(SECRETS,),
            sinks=tuple(sinks),
            policies=home.selections(policy),
            bounds=bounds or Bounds(),
        )
        owners = {REVIEWER: desk.reviewer, OPERATOR: desk.operator} if personal else {}
        trusted = TrustedKeys(
            keys=tuple(keys[name].public(types, practice, owners.get(name)) for name, types in MAY_SIGN.items())
        )
        home.initialise(local.home, settings, connections, trusted)
        for connection in connections:
            local.registry.enrol_connection(connection.connection_id)
        return local

    @classmethod
    def open(cls, root: Path, clock: Clock | None = None) -> Self:
        """Find a practice made earlier; raises `ConfigurationError` where there is none."""
        desk = documents.load(Desk, root / "keys" / "desk.json", "desk.json")
        if desk is None:
            raise ConfigurationError("keys/desk.json is missing: make a practice with `gateway init DIR`")
        return cls(root.absolute(), desk, clock or SystemClock())

    @property
    def home(self) -> Path:
        return self.root / "gateway"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def registry(self) -> Registry:
        return Registry(self.root / "practice", self.clock)

    def surface(self, name: str) -> Surface:
        """The surface that signs with this key, read from its file now."""
        return Surface(LocalKey.load(self.keys / f"{name}.json"), self.clock)

    def keep_secret(self, name: str, secret: str) -> None:
        """Store a credential where the boundary's `file` source finds it."""
        documents.write(self.secrets / name, secret.encode(), name)

    def connect(self, connection: Connection) -> Configuration:
        """Add, or replace, a sealed connection and seal the home again."""
        name = f"{config.CONNECTIONS}/{connection.connection_id}.json"
        documents.write(self.home / name, documents.spell(connection), name)
        self.registry.enrol_connection(connection.connection_id)
        home.seal(self.home)
        return config.load(self.home)
