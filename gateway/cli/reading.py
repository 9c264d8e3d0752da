"""`gateway list` and `gateway show`: what the journal holds, for people. Reads only, and opens no network."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.answer import Answer, answering
from gateway.cli.auditing import Volumes, volume_files
from gateway.cli.options import HOME, Home, Json
from gateway.cli.session import reference, with_gateway
from gateway.errors import UsageError

if TYPE_CHECKING:
    from gateway.contracts.chain import Record
    from gateway.contracts.references import AttemptId, ProposalId
    from gateway.gateway import Gateway
    from gateway.journal import AttemptFile, ProposalFile

SHOWN = 20
MOST = 10_000
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit", min=1, max=MOST, help="How many, the newest first.", show_default=f"{SHOWN}; all that need somebody"
    ),
]


def show(
    subject: Annotated[str, typer.Argument(metavar="ATTEMPT|PROPOSAL", help="An att_… or prp_… reference.")],
    archive: Volumes = None,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Draw an attempt's timeline, or everything recorded about a proposal."""
    with answering(as_json) as answer:
        from gateway.contracts.references import AttemptId, ProposalId

        if subject.startswith("prp_"):
            _show_proposal(answer, home, reference(ProposalId, subject, "PROPOSAL"))
        else:
            _show_attempt(answer, home, reference(AttemptId, subject, "ATTEMPT"), archive)


def list_(
    unresolved: Annotated[bool, typer.Option("--unresolved", help="Attempts whose outcome is not known.")] = False,
    in_flight: Annotated[bool, typer.Option("--in-flight", help="Attempts that have no outcome yet.")] = False,
    proposals: Annotated[bool, typer.Option("--proposals", help="Proposals, and where each stands.")] = False,
    limit: Limit = None,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """List attempts, the newest first, or proposals."""
    with answering(as_json) as answer:
        if unresolved + in_flight + proposals > 1:
            raise UsageError("--unresolved, --in-flight, --proposals: one of them at a time")
        shown = limit or (MOST if unresolved or in_flight else SHOWN)
        if proposals:
            _list_proposals(answer, home, shown)
        else:
            _list_attempts(answer, home, shown, unresolved=unresolved, in_flight=in_flight)


def _show_attempt(answer: Answer, home: Path, attempt: AttemptId, archive: Sequence[Path] | None) -> None:
    from dataclasses import replace

    from gateway.audit.volumes import archived_links
    from gateway.cli.page import attempt_page

    async def read(gateway: Gateway) -> AttemptFile:
        file = await gateway.attempt(attempt)
        if file.volume is None:
            return file
        with gateway.ports.journal.archive() as held:
            return replace(file, links=archived_links(held, attempt, volume_files(archive, home) or ()))

    file = with_gateway(home, read)
    answer.give({"attempt": attempt_document(file)}, attempt_page(file))


def _show_proposal(answer: Answer, home: Path, proposal: ProposalId) -> None:
    from gateway.cli.page import facts_table, listing, title
    from gateway.cli.timeline import Fact
    from gateway.cli.wording import OPERATIONS, day_time

    async def read(gateway: Gateway) -> tuple[ProposalFile, list[AttemptFile], datetime]:
        return (
            await gateway.proposal(proposal),
            list(await gateway.ports.journal.attempts(proposal=proposal)),
            gateway.ports.clock.now(),
        )

    file, attempts, now = with_gateway(home, read)
    stands, known = where_it_stands(file, now), file.proposal
    records = [record_document(record) for record in file.records]
    facts = [
        Fact("stands", stands),
        Fact("operation", f"{OPERATIONS[known.operation]} ({known.operation})"),
        Fact("revision", str(known.revision)),
        Fact("connection", known.connection),
        Fact("patient", known.patient),
        Fact("expires", day_time(known.expires_at)),
        Fact("held by", file.held_by or "nothing"),
    ]
    if known.target is not None:
        facts.append(Fact("appointment", known.target.appointment))
    shown = [(str(entry["seq"]), entry["kind"], entry.get("says", ""), entry["reference"]) for entry in records]
    page = [
        title("Proposal", known.proposal_id),
        facts_table(facts),
        "",
        listing(("", "recorded", "says", "reference"), shown, "nothing recorded"),
        "",
        _attempts_table(attempts, "no attempt yet"),
    ]
    document = {
        "proposal": known.plain(),
        "digest": known.proposal_digest,
        "stands": stands,
        "stopped": file.stopped,
        "withdrawn": file.withdrawn,
        "held_by": file.held_by,
        "records": records,
        "attempts": [summary(attempt) for attempt in attempts],
    }
    answer.give(document, page)


def _list_attempts(answer: Answer, home: Path, limit: int, *, unresolved: bool, in_flight: bool) -> None:
    from gateway.contracts.words import Unfinished

    standing = Unfinished.UNRESOLVED if unresolved else Unfinished.IN_FLIGHT if in_flight else None

    async def read(gateway: Gateway) -> list[AttemptFile]:
        return list(await gateway.ports.journal.attempts(standing=standing, limit=limit + 1))

    found = with_gateway(home, read)
    files, more = found[:limit], len(found) > limit
    empty = "no attempts yet" if standing is None else f"nothing is {standing.value.replace('-', ' ')}"
    document = {"attempts": [summary(file) for file in files], "more": more}
    answer.give(document, [_attempts_table(files, empty), *_and_more(limit, more)])


def _list_proposals(answer: Answer, home: Path, limit: int) -> None:
    from gateway.cli.page import listing
    from gateway.cli.wording import OPERATIONS, day_time

    async def read(gateway: Gateway) -> tuple[list[ProposalFile], datetime]:
        return list(await gateway.ports.journal.proposals(limit + 1)), gateway.ports.clock.now()

    found, now = with_gateway(home, read)
    files, more = found[:limit], len(found) > limit
    rows = [
        (
            file.proposal.proposal_id,
            OPERATIONS[file.proposal.operation],
            day_time(file.proposal.expires_at),
            where_it_stands(file, now),
        )
        for file in files
    ]
    document = [
        {**file.proposal.plain(), "digest": file.proposal.proposal_digest, "stands": where_it_stands(file, now)}
        for file in files
    ]
    page = listing(("proposal", "operation", "expires", "stands"), rows, "no proposals yet")
    answer.give({"proposals": document, "more": more}, [page, *_and_more(limit, more)])


def _and_more(limit: int, more: bool) -> list[Any]:
    from gateway.cli.page import marked
    from gateway.cli.wording import Tone

    return [marked(Tone.CARE, f"these are the newest {limit}, there are more: --limit")] if more else []


def _attempts_table(files: list[AttemptFile], empty: str) -> Any:
    from gateway.cli.page import listing, marked
    from gateway.cli.wording import OPERATIONS, Tone, day_time, headline

    rows = []
    for file in files:
        tone = headline(file.outcome).tone if file.outcome else Tone.CARE
        operation = OPERATIONS[file.header.operation] if file.header.operation else ""
        what = f"{file.header.purpose} {operation}".removeprefix("commit ") if operation else file.header.purpose.value
        code = file.outcome.code if file.outcome else "IN_FLIGHT"
        started = day_time(file.links[0].event.at) if file.links else "archived" if file.volume else ""
        resolved = f", resolved {file.resolution}" if file.resolution else ""
        rows.append((file.attempt, started, what, marked(tone, f"{file.state} {code}{resolved}")))
    return listing(("attempt", "started", "what", "ended"), rows, empty)


def where_it_stands(file: ProposalFile, now: datetime) -> str:
    """A proposal in one of a closed list of words."""
    from gateway.contracts.words import Effect

    if file.held_by is not None:
        if file.executed:
            return "carried out"
        return "unresolved" if file.hold_effect is Effect.UNKNOWN else "in flight"
    if file.withdrawn:
        return "withdrawn"
    if file.stopped:
        return "stopped"
    if file.proposal.expires_at <= now:
        return "expired"
    return latest_verdict(file) or "awaiting review"


def latest_verdict(file: ProposalFile) -> str | None:
    """What the latest decision on the latest revision says, or None. Read, not judged: the gates judge."""
    decisions = [_payload(record) for record in file.records if record.kind == "decision"]
    current = [said for said in decisions if said.get("proposal_digest") == file.proposal.proposal_digest]
    words = {"approve": "approved", "reject": "rejected", "request-modification": "modification requested"}
    return words.get(str(current[-1].get("verdict"))) if current else None


def record_document(record: Record) -> dict[str, Any]:
    """A record without the persons it names: what it is, and what it says in a word."""
    content = _payload(record)
    document: dict[str, Any] = {
        "seq": record.seq,
        "kind": record.kind.value,
        "reference": record.reference,
        "hash": record.hash,
    }
    says = content.get("verdict") or content.get("finding")
    if record.kind == "proposal":
        says = f"revision {content['revision']}"
    if says:
        document["says"] = says
    if at := content.get("issued_at") or content.get("created_at") or content.get("at"):
        document["at"] = at
    return document


def _payload(record: Record) -> dict[str, Any]:
    import json
    from base64 import urlsafe_b64decode

    body = record.body
    if record.kind not in ("proposal", "observation"):
        part = body.split(".")[1]
        body = urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode()
    content: dict[str, Any] = json.loads(body)
    return content


def summary(file: AttemptFile) -> dict[str, Any]:
    """One attempt in a list."""
    from gateway.cli.wording import outcome_document

    document: dict[str, Any] = {
        "attempt": file.attempt,
        "purpose": file.header.purpose.value,
        "operation": file.header.operation,
        "proposal": file.header.proposal,
        "connection": file.header.connection,
        "state": file.state.value,
        "started_at": file.links[0].event.plain()["at"] if file.links else None,
        "volume": file.volume,
        "outcome": outcome_document(file.outcome) if file.outcome else None,
    }
    return document


def attempt_document(file: AttemptFile) -> dict[str, Any]:
    """One attempt whole, its events as they are chained."""
    return {
        **summary(file),
        "approval": file.header.approval,
        "trigger": file.header.trigger,
        "deadline": f"{file.deadline:%Y-%m-%dT%H:%M:%SZ}" if file.deadline else None,
        "events": [{"hash": link.hash, **link.event.plain()} for link in file.links],
    }
