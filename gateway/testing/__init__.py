"""What the gateway ships for adapter authors' tests; the project's own adapters use nothing else.

- `harness`: one attempt of an adapter through the real boundary.
- `premises`: an external system made ready for a conformance run, and an observer beside the adapter.
- `twin`: vendor-shaped routes over the embedded scheduling engine: a faultable stand-in for any vendor.
"""

from __future__ import annotations

from gateway.testing.harness import START, VENDOR, AdapterHarness, make_connection, make_proposal, make_request
from gateway.testing.premises import Observer, Premises, Seen

__all__ = [
    "START",
    "VENDOR",
    "AdapterHarness",
    "Observer",
    "Premises",
    "Seen",
    "make_connection",
    "make_proposal",
    "make_request",
]
