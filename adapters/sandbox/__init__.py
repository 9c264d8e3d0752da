"""The embedded sandbox: a small practice management system, and the adapter for it.

Reading order for adapter authors: `adapter.py`, `mapping.py`, `plugin.py`, DIVERGENCES.md. The system
itself is `engine.py` (scheduling), `server.py` (HTTP routes), `faults.py` (switches) and `wire.py` (HTTP/1.1).
"""
