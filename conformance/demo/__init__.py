"""`gateway demo`: a governed commit, end to end, against a real calendar server.

Reading order: `play` (the scenes), `verdict` (what each one must come to), `wire` (the demo's own count of what was
sent), `calendar` (what the server holds, by plain HTTP), `tampering` (the audit), `page` (how people are shown it).

Invariant: nothing is pretended. The people's acts, the gateway, the adapter and the server are the real ones; what a
step came to is counted on the wire and read back from the server, independently of gateway and adapter.
"""
