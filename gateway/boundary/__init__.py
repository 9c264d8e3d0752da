"""The boundary: the only door to the network (CP-20).

`Boundary.engage` gives one attempt an `Engagement`; that one asks for readiness, commits once, observes.
What comes out are bounded codes, findings and digests. Reading order: `rules` (what may pass), `effects`
(what is believed), `wire`, `channel` and `mllp` (one connection), `session` (the transport), `engagement`, `door`.
"""

from gateway.boundary.door import Boundary
from gateway.boundary.engagement import CommitResult, Engagement, Look

__all__ = ["Boundary", "CommitResult", "Engagement", "Look"]
