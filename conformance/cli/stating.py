"""`gateway conformance sign|verify|install`: from the report of a conformant run to what production loads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conformance.cli.ending import answering
from conformance.cli.reading import raw_results
from gateway.cli.options import HOME, Home, Json
from gateway.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gateway.attestation import ConformanceStatement
    from gateway.conformity import AdapterCode

ResultsFile = Annotated[Path, typer.Option("--results", metavar="FILE", help="The results.json that it is about.")]
Statement = Annotated[Path, typer.Argument(metavar="STATEMENT", help="A signed statement.")]


def sign(
    report: Annotated[Path, typer.Option("--report", metavar="DIR", help="The report directory of a conformant run.")],
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="A signing key, mode 600.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the statement goes.")],
    days: Annotated[
        int | None, typer.Option("--days", help="How long it holds after the run.", show_default="365")
    ] = None,
    as_json: Json = False,
) -> None:
    """Sign the statement of a conformant run. Refused where the run is not, or the code has changed since."""
    with answering(as_json) as answer:
        from conformance import statement
        from conformance.reports import read
        from conformance.results import RESULTS_FILE
        from gateway import documents
        from gateway.clock import SystemClock
        from gateway.surfaces import keys
        from gateway.surfaces import sign as signing

        raw = raw_results(report / RESULTS_FILE, f"--report: {RESULTS_FILE}")
        local = keys.LocalKey.load(key)
        stated = statement.draw_up(
            raw,
            _installed(read(raw).adapter.name),
            now=SystemClock().now(),
            valid_days=statement.DAYS if days is None else days,
        )
        documents.write(out, signing.sign(stated, local).encode() + b"\n", "--out")
        answer.give(_document(stated), _told(stated, f"signed by {local.kid}"))


def verify(
    statement: Statement,
    results: ResultsFile,
    keys: Annotated[Path, typer.Option("--keys", metavar="FILE", help="The public keys that you trust (a keys.json).")],
    adapter: Annotated[
        str | None, typer.Option("--adapter", metavar="NAME", help="Must be of this installed adapter's very code.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Derive the verdict again from the raw results. Refuses what is edited, expired, partial or of other code."""
    with answering(as_json) as answer:
        from conformance import statement as statements
        from gateway.cli.auditing import trusted_keys
        from gateway.clock import SystemClock

        stated = statements.verify(
            _token(statement),
            raw_results(results, "--results"),
            trusted_keys(keys),
            now=SystemClock().now(),
            installed=None if adapter is None else _installed(adapter),
        ).statement
        answer.give(_document(stated), _told(stated, "holds"))


def install(statement: Statement, results: ResultsFile, home: Home = HOME, as_json: Json = False) -> None:
    """Verify a statement by the home's own keys and keep it there. Counts when the gateway next opens."""
    with answering(as_json) as answer:
        from conformance import statement as statements
        from conformance.reports import read
        from gateway import config, conformity
        from gateway.cli.session import existing
        from gateway.clock import SystemClock
        from gateway.signatures import Keyring

        configuration, token = config.load(existing(home)), _token(statement)
        keyring, raw = Keyring(configuration.keys), raw_results(results, "--results")
        installed = _installed(read(raw).adapter.name)
        stated = statements.verify(token, raw, keyring, now=SystemClock().now(), installed=installed).statement
        kept = conformity.install(configuration, keyring, token)
        answer.give({**_document(stated), "file": kept.name}, _told(stated, f"installed as {kept.name}"))


def _installed(adapter: str) -> AdapterCode:
    from gateway.conformity import identify
    from gateway.plugins import discover

    found = discover().adapters().get(adapter)
    if found is None:
        raise UsageError("the adapter of these results is not installed here; `gateway adapters list` shows which are")
    return identify(found, adapter)


def _token(path: Path) -> str:
    from gateway import documents
    from gateway.signatures import MAX_TOKEN_BYTES

    content = documents.read(path, "STATEMENT", MAX_TOKEN_BYTES + 1)
    if content is None:
        raise UsageError("STATEMENT: there is no such file")
    return content.decode("ascii", errors="replace").strip()


def _document(stated: ConformanceStatement) -> dict[str, Any]:
    return {"statement": stated.plain()}


def _told(stated: ConformanceStatement, said: str) -> list[RenderableType]:
    from gateway.attestation import PROVES
    from gateway.cli.page import facts_table, marked
    from gateway.cli.timeline import Fact
    from gateway.cli.wording import Tone

    facts = stated.facts
    told = [
        Fact("adapter", f"{stated.adapter}, code {stated.code_digest[:16]}…"),
        Fact("dialect", facts.dialect),
        Fact("until", f"{facts.expires_at:%Y-%m-%d}"),
        Fact("proves", PROVES),
    ]
    return [marked(Tone.GOOD, said), facts_table(told)]
