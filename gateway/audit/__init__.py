"""The audit: acknowledgement by sinks, checkpoints, verification and exports.

Owns: how what the journal holds is proven to be what was recorded. Refuses: to hold a signing key.
"""

from gateway.audit.checkpoint import Checkpoint, Heads, SealedCheckpoint
from gateway.audit.export import export_lines
from gateway.audit.report import Flaw, FlawCode, Report
from gateway.audit.sinks import FileSink
from gateway.audit.verify import verify_archive, verify_file

__all__ = [
    "Checkpoint",
    "FileSink",
    "Flaw",
    "FlawCode",
    "Heads",
    "Report",
    "SealedCheckpoint",
    "export_lines",
    "verify_archive",
    "verify_file",
]
