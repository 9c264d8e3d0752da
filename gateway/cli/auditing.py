"""`gateway audit verify|show|export`: the audit, read without the gateway's key and without opening the gateway.

Verification needs the journal, the practice's public keys and the checkpoints that the verifier kept; `--journal`
and `--public-keys` let it run on copies, on another machine. `audit checkpoint` signs, so it lives with the surfaces.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.answer import ExitCode, answering
from gateway.cli.options import HOME, Home, Json
from gateway.cli.session import existing, reference
from gateway.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from gateway.contracts.references import AttemptId
    from gateway.signatures import TrustedKeys

CHECKPOINT_SUFFIX = ".checkpoint"
ARCHIVE = "archive"
"""The directory of volumes, beside the home, unless another is named."""

Journal = Annotated[
    str | None,
    typer.Option("--journal", help="A journal file, or its PostgreSQL URL.", show_default="the home's own"),
]
PublicKeys = Annotated[Path | None, typer.Option("--public-keys", help="A keys.json.", show_default="the home's own")]
Checkpoints = Annotated[
    Path | None,
    typer.Option(
        "--checkpoints",
        envvar="GATEWAY_CHECKPOINTS",
        help="Directory of kept checkpoints.",
        show_default="checkpoints, beside the home",
    ),
]
Volumes = Annotated[
    list[Path] | None,
    typer.Option("--archive", help="A volume, or a directory of them.", show_default="archive, beside the home"),
]


def verify(
    journal: Journal = None,
    public_keys: PublicKeys = None,
    checkpoints: Checkpoints = None,
    archive: Volumes = None,
    discarded: Annotated[
        list[int] | None, typer.Option("--discarded", min=1, help="A volume that was deleted for good, by number.")
    ] = None,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Find any edit, deletion, swap or cut in the journal. Needs public keys only."""
    with answering(as_json) as answer:
        from gateway.audit.verify import verify_file
        from gateway.cli.page import facts_table, marked
        from gateway.cli.timeline import Fact
        from gateway.cli.wording import Tone

        files = checkpoint_files(checkpoints or home.absolute().parent / "checkpoints")
        if checkpoints is not None and not files:
            raise UsageError("--checkpoints: there is no checkpoint; name the directory that holds them")
        held = [read_checkpoint(path) for path in files]
        keys, volumes = trusted_keys(public_keys or home / "keys.json"), volume_files(archive, home)
        at, named = journal_at(journal, home), journal is not None
        report = verify_file(at, held, keys, volumes, discarded or (), any_server=named)
        counts = {
            "attempts": report.attempts,
            "events": report.events,
            "records": report.records,
            "checkpoints": report.checkpoints,
            "covered": report.covered,
            "archived": report.archived,
            "not_at_hand": report.absent,
        }
        flaws = [{"code": flaw.code.value, "where": flaw.where} for flaw in report.flaws]
        cautions = []
        if not held:
            cautions.append("no checkpoint was held: a tail cut off whole would go unseen")
        if report.absent:
            cautions.append(
                f"the events of {report.absent} archived attempts were not at hand; name them with --archive"
            )
        page = [marked(Tone.BAD, f"{flaw.code}: {flaw.where}") for flaw in report.flaws]
        if report.intact:
            page = [marked(Tone.GOOD, "the audit is intact"), *(marked(Tone.CARE, said) for said in cautions)]
        answer.give(
            {"intact": report.intact, **counts, "flaws": flaws, "cautions": cautions},
            [*page, facts_table([Fact(name.replace("_", " "), str(count)) for name, count in counts.items()])],
            ExitCode.SUCCEEDED if report.intact else ExitCode.ERROR,
        )


def show(
    attempt: Annotated[str, typer.Argument(metavar="ATTEMPT", help="An att_… reference.")],
    journal: Journal = None,
    archive: Volumes = None,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Show one attempt's events as they are chained, from the journal and the archive alone."""
    with answering(as_json) as answer:
        import io
        import json

        from gateway.audit.export import export_lines
        from gateway.cli.page import listing
        from gateway.contracts.references import AttemptId
        from gateway.journal.opening import open_archive

        stream = io.StringIO()
        with open_archive(journal_at(journal, home), any_server=journal is not None) as held:
            named, volumes = reference(AttemptId, attempt, "ATTEMPT"), volume_files(archive, home)
            export_lines(held, stream, named, volumes or ())
        lines = [json.loads(line) for line in stream.getvalue().splitlines()]
        elsewhere = [line["archived"] for line in lines if "archived" in line]
        events = [{"hash": line["hash"], **line["event"]} for line in lines if "event" in line]
        records = [{"hash": line["hash"], **line["record"]} for line in lines if "record" in line]
        common = {"seq", "at", "signal", "environment", "attempt", "correlation", "trace", "trigger", "hash"}
        rows = [
            (
                str(event["seq"]),
                str(event["at"]),
                str(event["signal"]),
                " ".join(f"{name}={value}" for name, value in event.items() if name not in common),
            )
            for event in events
        ]
        answer.give(
            {"attempt": attempt, "events": events, "records": records, "archived": elsewhere[0] if elsewhere else None},
            [listing(("", "at", "signal", "says"), rows, away(elsewhere[0]["volume"]) if elsewhere else "no events")],
        )


def export(
    attempt: Annotated[str | None, typer.Argument(metavar="[ATTEMPT]", help="One attempt, instead of all.")] = None,
    to: Annotated[Path | None, typer.Option("--to", help="A new file.", show_default="standard output")] = None,
    journal: Journal = None,
    archive: Volumes = None,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Write the audit as JSON Lines. With --json, name a file with --to: the one document counts the lines.

    Archived events are written for one ATTEMPT; of all attempts, a line says in which volume: that is an export, too.
    """
    with answering(as_json) as answer:
        from gateway.audit.export import export_lines
        from gateway.cli.page import marked
        from gateway.cli.wording import Tone
        from gateway.contracts.references import AttemptId
        from gateway.journal.opening import open_archive

        named: AttemptId | None = None if attempt is None else reference(AttemptId, attempt, "ATTEMPT")
        if to is None and as_json:
            raise UsageError("--json needs --to FILE: the lines themselves are many documents")
        volumes = volume_files(archive, home) or ()
        with open_archive(journal_at(journal, home), any_server=journal is not None) as held:
            if to is None:
                export_lines(held, sys.stdout, named, volumes)
                return
            try:
                with to.open("x", encoding="utf-8") as stream:
                    lines = export_lines(held, stream, named, volumes)
            except OSError:
                raise UsageError("--to: cannot be made; name a new file in a directory of yours") from None
        answer.give({"lines": lines}, [marked(Tone.GOOD, f"{lines} lines written")])


def away(volume: int) -> str:
    """Where the events of an archived attempt are, when they are not at hand."""
    return f"archived: the events are in volume {volume}; name its directory with --archive"


def volume_files(given: Sequence[Path] | None, home: Path) -> Sequence[Path] | None:
    """The archive's files: what was named, or the directory beside the home; None where there is neither."""
    from gateway.audit.volumes import volumes_at

    beside = home.absolute().parent / ARCHIVE
    if given:
        return volumes_at(given)
    return volumes_at([beside]) if beside.is_dir() else None


def journal_at(given: str | None, home: Path) -> Path | str:
    """The journal that was named, or the home's as its settings name it; raises `ConfigurationError`."""
    from gateway import config, documents
    from gateway.journal.opening import SCHEME, located

    if given is not None:
        return given if given.startswith(SCHEME) else Path(given)
    settings = documents.load(config.Settings, existing(home) / config.SETTINGS, config.SETTINGS)
    assert settings is not None  # `existing` has seen the file
    return located(home, settings.journal)


def trusted_keys(path: Path) -> TrustedKeys:
    """The public keys in a `keys.json`; raises `ConfigurationError`."""
    from gateway import documents
    from gateway.signatures import TrustedKeys

    keys = documents.load(TrustedKeys, path, path.name)
    if keys is None:
        raise ConfigurationError(f"there is no {path.name} with public keys there; name one with --public-keys")
    return keys


def checkpoint_files(directory: Path) -> Sequence[Path]:
    """The kept checkpoints, oldest first."""
    try:
        return sorted(path for path in directory.iterdir() if path.suffix == CHECKPOINT_SUFFIX)
    except FileNotFoundError:
        return ()
    except OSError:
        raise ConfigurationError("--checkpoints: not a readable directory; check its owner and mode") from None


def read_checkpoint(path: Path) -> str:
    """A kept checkpoint's text; what it is worth is for verification to say."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        raise ConfigurationError(f"{path.name} cannot be read; check its owner and mode") from None
