"""The embedded sandbox: a small practice management system, and the adapter for it.

Reading order for adapter authors: `adapter.py`, `mapping.py`, `replies.py`, `plugin.py`, DIVERGENCES.md. The system
itself is `server.py` (HTTP routes), `answers.py` (what it says) and `faults.py` (switches), over `gateway.testing`'s
`engine.py` (scheduling) and `wire.py` (HTTP/1.1). `testing.py` starts it for a conformance run.
"""
