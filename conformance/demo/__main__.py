"""`python -m conformance.demo`: the same command as `gateway demo`."""

import typer

from conformance.demo.command import demo

typer.run(demo)
