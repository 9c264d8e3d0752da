"""`make mutate`: which changes of the code do the tests not notice?

mutmut makes every mutant of the modules in `units.toml` and runs the tests of their unit against it. Each
mutant that survives is killed by a test or justified in a `survivors.toml` beside its code; a survivor
without a justification fails the run, and so does a justification without a survivor.
"""
