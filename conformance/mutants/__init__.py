"""Negative controls: adapters that are broken on purpose, and which checks must notice each.

- `wrapper`: the no-op wrapper, which all wrappers extend, and how one comes between an adapter and its client.
- `keys`, `readiness`, `answers`, `looks`, `conduct`, `claims`: wrappers that break any adapter, one flaw each.
- `broken`: hand-written broken adapters for the embedded sandbox, one realistic bug each.
- `catalogue`: all of them by name, and where each is tried; `premises`: sandboxes changed for some.
- `matrix`: the golden matrix, mutant by mutant the exact checks that go red.
- `selftest`: the suite tried on all of them; `score`: an author's own adapter, mutated.

A check that no mutant turns red proves nothing; the self-test fails on one.
"""
