"""Hand-written broken adapters for the embedded sandbox: one realistic bug of an integration engineer each.

- `sending`: what is sent is not what was approved.
- `reading`: what came back from a commit is misunderstood.
- `asking`: readiness asks too little, or the wrong thing.
- `looking`: a look finds something else than the truth.
- `controls`: an adapter that does nothing, and one that always claims success.

Each is the honest adapter with one part replaced, so that a check that notices it noticed just that.
"""
