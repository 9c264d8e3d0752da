"""Selection and evaluation of sealed policy versions. Default is deny; nothing here can be changed at run time."""

from gateway.policy.store import PolicyStore, seal, shipped
from gateway.policy.version import PolicyDecision, PolicyVersion, Ruling
from gateway.policy.view import PolicyInputs, is_write

__all__ = ["PolicyDecision", "PolicyInputs", "PolicyStore", "PolicyVersion", "Ruling", "is_write", "seal", "shipped"]
