"""The system that is tried: the file that names it, what admits a run to it, and what a run leaves there.

- `file`: the target file. `safety`: what must hold before anything is sent. `plan`: what a run will cost there.
- `stage`: the system behind the proxy, ready to be tried. `attended`: a person as its observer.
- `ledger`, on `lines`: what was about to be created, and the broom that takes it away.
"""
