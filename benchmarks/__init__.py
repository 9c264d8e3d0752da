"""`make bench`: this gateway beside a floor and its closest peers, on the same work, in one run.

Owns: how the measuring is done, and what is printed about it. Only ratios within one run are claims.
Reading order: `exchanges.py` (the work), `contestants/` (who does it), `site.py` and `racing.py` (how it is measured),
`figures.py` (what is made of it), `page.py` (what is shown). `profiling.py` says where the time of one commit goes,
`growth.py` what a large journal costs.
Nothing in `gateway`, `adapters` or `conformance` imports this package, and no wheel carries it.
"""
