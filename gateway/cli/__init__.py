"""The command line: what operators, reviewers and integration engineers type.

Owns: reading words from a terminal, and words for what comes back. Decides nothing about commits: every command
calls `gateway.gateway.Gateway` and shows its bounded answer. Commands that sign live in `gateway.surfaces` and
are found, like those of other packages, through the entry-point group `gateway.commands`.
Invariant: nothing heavy is imported before a command runs, so that `gateway --help` answers at once.
"""


def main() -> None:
    """The `gateway` program."""
    from gateway.cli.app import run

    run()
