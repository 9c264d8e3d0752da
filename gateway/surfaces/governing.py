"""`gateway governance draft|sign`: from what people decided to the signed record that lets commits out of the sandbox.

Owns: the draft, whose blanks people fill in (a digest, an instant, a count of findings), and that what is signed is
complete and of the present seal. Refuses: to fill in a blank, and to sign a record that would leave commits off.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import EnumType
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.answer import answering
from gateway.cli.options import HOME, Home, Json, Keys, Yes
from gateway.cli.session import existing, read_file
from gateway.errors import ConfigurationError, Conflict, InvalidInput, MalformedInput, UsageError
from gateway.surfaces.commands import agree

if TYPE_CHECKING:
    from gateway.config import Configuration
    from gateway.contracts.base import Model
    from gateway.contracts.faults import Fault
    from gateway.governance import GovernanceRecord

BLANK = ""


def draft(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A new file, for the draft.")],
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Write what a governance record of the present seal must say, with blanks for what people decide."""
    with answering(as_json) as answer:
        import json

        from gateway import config, documents
        from gateway.cli.page import listing, marked
        from gateway.cli.wording import Tone

        if out.exists():
            raise Conflict("--out: there is such a file; name a new one, or sign that")
        document = _draft(config.load(existing(home)))
        documents.write(out, json.dumps(document, indent=2).encode() + b"\n", "--out")
        steps = (
            ("fill in each blank", "docs/operating.md, The governance record, says what it is of"),
            (f"gateway governance sign {out}", "as whoever holds the practice's governance key"),
        )
        answer.give({"draft": document}, (marked(Tone.GOOD, f"wrote {out}"), listing(("next", ""), steps, "")))


def sign(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A draft whose blanks are filled in; - is stdin.")],
    yes: Yes = False,
    home: Home = HOME,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Sign a complete governance record, and put it into the home. Counts when the gateway next opens."""
    with answering(as_json) as answer:
        from gateway import config, documents
        from gateway.cli.page import facts_table, marked
        from gateway.cli.timeline import Fact
        from gateway.cli.wording import Tone, day_time
        from gateway.governance import RECORD_FILE, Governance
        from gateway.signatures import Keyring
        from gateway.surfaces.local import GOVERNANCE
        from gateway.surfaces.seat import Seat
        from gateway.surfaces.sign import sign as signed

        seat, configuration = Seat.find(keys, home), config.load(existing(home))
        now, key = seat.clock.now(), seat.key(GOVERNANCE)
        record = _record(read_file(file), now.isoformat().replace("+00:00", "Z"))
        if record.practice != configuration.settings.practice:
            raise UsageError("practice: not this home's; one home serves one practice")
        if gaps := Governance(configuration, record, None).missing(now):
            raise UsageError(f"this record would leave commits off: {'; '.join(gaps)}")
        token = signed(record, key)
        Keyring(configuration.keys).verify(token, type(record), practice=record.practice)  # else no gateway would start
        facts = [Fact("environment", record.environment), Fact("seal", record.seal)]
        facts += [Fact("connection", _shown(each.plain())) for each in record.connections]
        facts.append(Fact("expires", day_time(record.expires_at)))
        if (screen := answer.aside()) is not None:
            screen.print(facts_table(facts))
        agree(answer, "Sign this record?", yes)
        documents.write(configuration.home / RECORD_FILE, token.encode() + b"\n", RECORD_FILE)
        answer.give(
            {"record": record.plain(), "signed_by": key.kid},
            [marked(Tone.GOOD, f"signed by {key.kid}, and in the home as {RECORD_FILE}")],
        )


def _draft(configuration: Configuration) -> dict[str, Any]:
    """All members of a record but the instant of signing."""
    from gateway.contracts.words import Environment
    from gateway.governance import Artefact, Proof, ReviewKind, ShownConnection

    settings = configuration.settings
    if settings.environment is Environment.SANDBOX:
        raise ConfigurationError("a sandbox needs no governance record; make a practice with --environment for one")
    return {
        "practice": settings.practice,
        "environment": settings.environment.value,
        "seal": configuration.seal_digest,
        "connections": [ShownConnection.of(each).plain() for each in configuration.connections.values()],
        "artefacts": [{"artefact": each.value, "sha256": BLANK} for each in Artefact],
        "proofs": [{"proof": each.value, "sha256": BLANK, "verified_at": BLANK} for each in Proof],
        "reviews": [
            {"review": each.value, "sha256": BLANK, "completed_at": BLANK, "blocking_findings": BLANK}
            for each in ReviewKind
        ],
        "unblock": {"decision": BLANK, "decided_at": BLANK},
        "expires_at": BLANK,
    }


def _record(content: bytes, issued_at: str) -> GovernanceRecord:
    """The record that a draft became; faults name an entry by its title, not by its number."""
    import json

    from gateway.contracts.canonical import load_json
    from gateway.governance import GovernanceRecord

    plain: Any = load_json(content)
    if not isinstance(plain, dict):
        raise MalformedInput("FILE: not a JSON object; gateway governance draft writes one to start from")
    if blanks := tuple(_blanks(plain)):
        raise InvalidInput("FILE", blanks)
    try:
        return GovernanceRecord.parse(json.dumps({**plain, "issued_at": issued_at}))
    except InvalidInput as error:
        raise InvalidInput(
            "FILE", tuple(each._replace(field=_place(each.field, plain)) for each in error.faults)
        ) from None


def _blanks(plain: dict[str, Any]) -> Iterator[Fault]:
    """What people have not filled in yet, each entry once."""
    from gateway.contracts.faults import Fault
    from gateway.governance import GovernanceRecord, Unblock

    for part, kind in _entries().items():
        for number, entry in enumerate(_list(plain, part)):
            if left := _left(entry, kind):
                yield Fault(_place(f"{part}.{number}", plain), "missing", f"fill in {', '.join(left)}")
    if left := _left(plain.get("unblock"), Unblock):
        yield Fault("unblock", "missing", f"fill in {', '.join(left)}")
    for name in _left(plain, GovernanceRecord):
        yield Fault(name, "missing", "fill it in")


def _left(entry: object, kind: type[Model]) -> list[str]:
    return [name for name in kind.model_fields if isinstance(entry, dict) and entry.get(name) == BLANK]


def _place(field: str, plain: dict[str, Any]) -> str:
    """The path with the entry's title in place of its number: `artefacts.F-02.sha256`."""
    part, _, rest = field.partition(".")
    number, _, member = rest.partition(".")
    kind, entries = _entries().get(part), _list(plain, part)
    if kind is None or not number.isdecimal() or int(number) >= len(entries):
        return field
    title, known = next(iter(kind.model_fields.items()))
    word = entries[int(number)].get(title) if isinstance(entries[int(number)], dict) else None
    titles = [str(each) for each in known.annotation] if isinstance(known.annotation, EnumType) else []
    return ".".join(filter(None, (part, word if word in titles else number, member)))


def _entries() -> dict[str, type[Model]]:
    """The lists of a record; an entry's first member is its title."""
    from gateway.governance import Review, SealedArtefact, VerifiedProof

    return {"artefacts": SealedArtefact, "proofs": VerifiedProof, "reviews": Review}


def _list(plain: dict[str, Any], part: str) -> list[Any]:
    found = plain.get(part)
    return found if isinstance(found, list) else []


def _shown(connection: dict[str, Any]) -> str:
    return ", ".join(str(each) for each in connection.values())
