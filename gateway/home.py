"""A practice's home, made and sealed: what `gateway init` and `gateway seal` do.

Owns: the one way a home comes to be, whole or not at all, and that policies are valid before they are sealed.
Refuses: to touch a directory that holds anything. Runs for a person at a keyboard only; no attempt reaches it
(POLICY-08).
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway import config, documents
from gateway.config import Configuration, PolicySelection, Settings
from gateway.contracts.connection import Connection
from gateway.contracts.proposal import Operation
from gateway.contracts.statements import TriggerKind
from gateway.errors import ConfigurationError, DocumentError
from gateway.policy import PolicyStore, shipped
from gateway.policy import seal as seal_policy
from gateway.signatures import TrustedKeys

SHIPPED: Final = (("standard", 1), ("two-person", 1))


def selections(policy: str = "standard", version: int = 1) -> tuple[PolicySelection, ...]:
    """One version for all three operations, as an operator triggers them."""
    return tuple(
        PolicySelection(trigger=TriggerKind.OPERATOR, operation=operation, policy=policy, version=version)
        for operation in Operation
    )


def initialise(home: Path, settings: Settings, connections: Sequence[Connection], keys: TrustedKeys) -> Configuration:
    """Make and seal the home of a new practice, with all shipped policy versions and a sibling key.

    It appears at `home` in one rename, or not at all. Raises `ConfigurationError`.
    """
    home = home.absolute()
    staging = home.with_name(f".{home.name}.{secrets.token_hex(8)}.new")
    try:
        if home.exists() and any(home.iterdir()):
            raise ConfigurationError("the home is not empty; name a new directory, or remove what is there")
        documents.make_directory(staging / config.CONNECTIONS)
        _fill(staging, settings, connections, keys)
        seal(staging)
        staging.replace(home)
        documents.sync_directory(home.parent)
    except DocumentError as error:
        raise ConfigurationError(str(error)) from None
    except OSError:
        raise ConfigurationError("the home cannot be made there; check the directory's owner and mode") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return config.load(home)


def seal(home: Path) -> str:
    """Check every file of the home, policies included, then seal it; the seal's digest.

    Raises `ConfigurationError` saying what to mend; an earlier seal then stays as it was.
    """
    return config.seal(home, lambda directory: PolicyStore.load(directory).versions())


def _fill(home: Path, settings: Settings, connections: Sequence[Connection], keys: TrustedKeys) -> None:
    documents.write(home / config.SETTINGS, documents.spell(settings), config.SETTINGS)
    documents.write(home / config.KEYS, documents.spell(keys), config.KEYS)
    documents.write(home / config.SIBLING_KEY, secrets.token_bytes(config.SIBLING_KEY_BYTES), config.SIBLING_KEY)
    for connection in connections:
        name = f"{config.CONNECTIONS}/{connection.connection_id}.json"
        documents.write(home / name, documents.spell(connection), name)
    for policy, version in SHIPPED:
        seal_policy(shipped(policy, version), home / config.POLICIES)
