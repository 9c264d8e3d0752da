"""The commands: `python -m benchmarks`, `… profile`, `… growth`."""

from __future__ import annotations

from benchmarks.command import main

main()
