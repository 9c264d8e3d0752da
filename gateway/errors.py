"""Every exception that the gateway raises on purpose.

    GatewayError
     ├─ UsageError             the caller's input is at fault; no attempt was made (exit code 2)
     │   ├─ MalformedInput     not JSON, too large, duplicate members
     │   ├─ InvalidInput       JSON of the wrong content; names fields, never values
     │   ├─ SignatureRefused   a statement's signature, header or key does not hold
     │   ├─ NotFound           nothing under that reference
     │   └─ Conflict           the journal already holds something else under that key
     ├─ ConfigurationError     the gateway refuses to start; says what to mend
     ├─ DocumentError          a file on disk is unreadable or not what it should be
     ├─ InvariantViolation     the code tried something that the design forbids (STATE-40)
     ├─ JournalUnavailable     nothing was recorded
     ├─ JournalFailed          a commit to disk failed: the process must stop dispatching
     └─ AuditTampered          verification found a record that is not what it was

Messages name what is wrong, where, and what to do. None carries the offending value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.contracts.faults import Fault


class GatewayError(Exception):
    """Base of all of the gateway's own errors."""


class UsageError(GatewayError):
    """The input is at fault."""


class MalformedInput(UsageError):
    """Not a JSON document within the gateway's bounds."""


class InvalidInput(UsageError):
    """A JSON document whose content a contract refuses."""

    def __init__(self, document: str, faults: tuple[Fault, ...]) -> None:
        self.document = document
        self.faults = faults
        listed = "; ".join(f"{fault.field}: {fault.says}" for fault in faults)
        super().__init__(f"{document} is not valid: {listed}")

    @property
    def missing_only(self) -> bool:
        """Whether every fault is a missing field (ContextMissing rather than ContextInvalid, C-28)."""
        return all(fault.kind == "missing" for fault in self.faults)


class SignatureRefused(UsageError):
    """A signed statement that the practice's trusted keys do not support."""


class NotFound(UsageError):
    """Nothing is stored under that reference."""


class Conflict(UsageError):
    """Something else is already stored under that key."""


class ConfigurationError(GatewayError):
    """The configuration is missing, altered or contradictory; the gateway does not start."""


class DocumentError(GatewayError):
    """A file of the home or of the practice registry cannot be used; names the file and what to mend."""


class InvariantViolation(GatewayError):
    """A forbidden step was attempted; the attempt ends (E-01 §4.4, ABORT-07)."""


class JournalUnavailable(GatewayError):
    """The journal could not be reached; nothing was recorded."""


class JournalFailed(GatewayError):
    """A write to disk failed; what was written is unknown and this process must not dispatch again."""


class AuditTampered(GatewayError):
    """A record is missing, altered or out of order."""
