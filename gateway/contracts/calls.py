"""JSON-RPC: which calls only read, where reads and writes are POSTs to one address.

Owns: what an adapter may declare of that (`SafeCalls`), and the one judgement whether a request is such a call. The
boundary and the conformance proxy share it, so that what the one lets through as a read the other counts as one.
Refuses: every request that a peer could take for another call than was judged. Whatever is not plainly one declared
call counts as mutating: a batch, a member twice or unknown or in other letters, another content type, a content
coding, a query, bytes that are no JSON.
Sources: JSON-RPC 2.0 §4 and §6, RFC 8259 §4 (a name twice), RFC 9110 §8.3 and §8.4 (content type and coding).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final

from pydantic import Field, StringConstraints

from gateway.contracts.base import Model
from gateway.contracts.canonical import load_json
from gateway.errors import MalformedInput

MAX_CALL_BYTES: Final = 64 * 1024
_MEMBERS: Final = frozenset({"jsonrpc", "id", "method", "params"})
_CONTENT_TYPE: Final = b"application/json"

_SEGMENT: Final = "[A-Za-z0-9_~-][A-Za-z0-9._~-]*"
CallAddress = Annotated[str, StringConstraints(pattern=rf"^/(?:{_SEGMENT}/)*(?:{_SEGMENT})?$", max_length=200)]
"""A path from the server's root that can be read in one way only: no dot segment, no escape, no query."""

CallName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.]*$", max_length=100)]
"""A method's whole name; there are no patterns, so that a new method of the vendor's is never safe by its name."""


class SafeCalls(Model):
    """JSON-RPC methods that the vendor documents as free of effects, at `address`."""

    address: CallAddress
    methods: Annotated[tuple[CallName, ...], Field(min_length=1, max_length=8)]

    def may_hold(self, method: str, target: str) -> bool:
        """Whether a request with this first line can be one of the calls: then its body tells."""
        return method == "POST" and target == self.address

    def hold(self, method: str, target: str, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bool:
        """Whether the whole request is one of the calls, and can be read as nothing else."""
        fields = [(name.lower(), value.strip()) for name, value in headers]
        types = [value for name, value in fields if name == b"content-type"]
        coded = any(name == b"content-encoding" for name, _ in fields)
        if not self.may_hold(method, target) or types != [_CONTENT_TYPE] or coded:
            return False
        call = _call(body)
        return call is not None and call.keys() <= _MEMBERS and call.get("method") in self.methods


def _call(body: bytes) -> dict[Any, Any] | None:
    try:
        call = load_json(body, max_bytes=MAX_CALL_BYTES)
    except MalformedInput:
        return None
    return call if isinstance(call, dict) else None
