"""The real gateway in a simulated world: long random histories that a seed replays.

Nothing here models the gateway. Orchestrator, gates, policy, boundary (session, httpx, wire, h11), the
journal's SQL and recovery are the production's own; what stands outside of them is replaced, through their own
protocols: the event loop and its time, the network below `create_connection`, the disk below SQLite, the practice's
plugins, the external system. One `Oracle` decides everything that the outside may do.

- `loop`, `ports`, `oracle`: virtual time, where an attempt meets the outside, and who decides what happens there.
- `practice`, `plugins`, `adapter`, `network`, `peer`, `journal`, `world`: what the outside is made of.
- `checker`: what must be true, judged by the peer's own counter.
- `people`, `matters`, `fortune`, `history`: what people do, what befalls them, and how a history goes.
- `simulation`, `cells`, `totals`: many histories on every core, and what they covered.
"""
