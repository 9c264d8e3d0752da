"""The commands of people who sign: review, commit, check, resume, stop, withdraw, observe, resolve.

Owns: one human act per command. Each shows what is signed or names it, signs it with this machine's key for that
surface, and presents it to the gateway, which verifies it like any other. Recording a decision commits nothing
(AUTH-04); only commit, resume, check and observe start an attempt, each by a trigger of its own (TRIG-02, TRIG-07).
Loaded by entry point (`gateway.commands`); nothing in gateway imports this package.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.answer import Answer, ExitCode, answering, code_of_state
from gateway.cli.options import HOME, Home, Json, Keys, Yes, exactly_one
from gateway.cli.session import read_file, reference, with_gateway
from gateway.errors import UsageError

if TYPE_CHECKING:
    from gateway.contracts.outcome import Outcome
    from gateway.contracts.proposal import Proposal
    from gateway.contracts.references import AttemptId, DecisionId
    from gateway.gateway import Gateway
    from gateway.journal import AttemptFile, ProposalFile

ProposalArgument = Annotated[str, typer.Argument(metavar="PROPOSAL", help="A prp_… reference.")]
AttemptArgument = Annotated[str, typer.Argument(metavar="ATTEMPT", help="An att_… reference.")]


def review(
    proposal: ProposalArgument,
    approve: Annotated[bool, typer.Option("--approve", help="Yes, to exactly this.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="No.")] = False,
    request_modification: Annotated[bool, typer.Option("--request-modification", help="Not like this.")] = False,
    commit: Annotated[bool, typer.Option("--commit", help="With --approve: also start the commit, now.")] = False,
    yes: Yes = False,
    home: Home = HOME,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Decide on a proposal, as the reviewer. Shows what it means, asks, signs, records. Commits nothing by itself."""
    with answering(as_json) as answer:
        from gateway.contracts.references import ProposalId
        from gateway.contracts.statements import Verdict
        from gateway.surfaces.ceremonies import Review
        from gateway.surfaces.local import REVIEWER
        from gateway.surfaces.seat import Seat

        chosen = exactly_one(approve=approve, reject=reject, request_modification=request_modification)
        verdict = Verdict(chosen.replace("_", "-"))
        if commit and not approve:
            raise UsageError("--commit: only an approval can be committed")
        seat = Seat.find(keys, home)
        surface, named = seat.surface(REVIEWER), reference(ProposalId, proposal, "PROPOSAL")

        async def work(gateway: Gateway) -> tuple[Review, Outcome | None]:
            recorded = (await gateway.proposal(named)).proposal
            await _show(answer, gateway, recorded, approving=approve)
            agree(answer, f"Sign: {verdict}?", yes)
            signed = surface.review(recorded, reviewer=seat.desk.reviewer, verdict=verdict, commit=commit)
            await gateway.decide(signed.decision.token)
            return signed, await gateway.commit(signed.trigger.token) if signed.trigger else None

        signed, outcome = with_gateway(home, work)
        _decided(answer, signed.decision.statement.plain(), verdict)
        if outcome is not None:
            _answer(answer, outcome)


def commit(
    proposal: Annotated[str | None, typer.Argument(metavar="[PROPOSAL]", help="A prp_… reference.")] = None,
    trigger: Annotated[
        Path | None, typer.Option("--trigger", help="Present a trigger that was signed elsewhere; - is stdin.")
    ] = None,
    home: Home = HOME,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Carry out an approved proposal, at most once, as the operator. The same again answers what was recorded."""
    with answering(as_json) as answer:
        from gateway.contracts.references import ProposalId
        from gateway.surfaces.local import OPERATOR
        from gateway.surfaces.seat import Seat

        if (proposal is None) is (trigger is None):
            raise UsageError("give a PROPOSAL, or a trigger with --trigger FILE")
        token = _token(trigger) if trigger is not None else None
        seat = Seat.find(keys, home) if token is None else None
        surface = seat.surface(OPERATOR) if seat is not None else None
        named = reference(ProposalId, proposal, "PROPOSAL") if proposal is not None else None

        async def work(gateway: Gateway) -> Outcome:
            if token is not None:
                return await gateway.commit(token)
            assert seat is not None and surface is not None and named is not None
            file = await gateway.proposal(named)
            approval = latest_decision(file)
            if approval is None:
                raise UsageError(f"PROPOSAL: nobody has decided on it yet; gateway review {named}")
            signed = surface.commit(file.proposal, operator=seat.desk.operator, approval=approval)
            return await gateway.commit(signed.token)

        _answer(answer, with_gateway(home, work))


def check(proposal: ProposalArgument, home: Home = HOME, keys: Keys = None, as_json: Json = False) -> None:
    """Run all gates and readiness now, and dispatch nothing."""
    with answering(as_json) as answer:
        from gateway.contracts.references import ProposalId
        from gateway.surfaces.local import OPERATOR
        from gateway.surfaces.seat import Seat

        seat = Seat.find(keys, home)
        surface, named = seat.surface(OPERATOR), reference(ProposalId, proposal, "PROPOSAL")

        async def work(gateway: Gateway) -> Outcome:
            file = await gateway.proposal(named)
            approval = latest_decision(file)
            return await gateway.check(
                surface.check(file.proposal, operator=seat.desk.operator, approval=approval).token
            )

        _answer(answer, with_gateway(home, work))


def resume(
    attempt: AttemptArgument,
    proceed: Annotated[bool, typer.Option("--proceed", help="Go on; all gates run again.")] = False,
    decline: Annotated[bool, typer.Option("--decline", help="Do not.")] = False,
    home: Home = HOME,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Answer a paused attempt's question, as the operator."""
    with answering(as_json) as answer:
        from gateway.contracts.references import AttemptId
        from gateway.contracts.statements import Choice
        from gateway.surfaces.local import OPERATOR
        from gateway.surfaces.seat import Seat

        choice = Choice(exactly_one(proceed=proceed, decline=decline))
        seat = Seat.find(keys, home)
        surface, named = seat.surface(OPERATOR), reference(AttemptId, attempt, "ATTEMPT")

        async def work(gateway: Gateway) -> Outcome:
            file, proposal = await _subject(gateway, named)
            if not _waits(file) or file.outcome is None or file.header.approval is None:
                raise UsageError("ATTEMPT: is not paused and waits for no answer; see gateway show")
            signed = surface.resume(
                proposal,
                operator=seat.desk.operator,
                approval=file.header.approval,
                paused=file.outcome,
                choice=choice,
            )
            return await gateway.resume(signed.token)

        _answer(answer, with_gateway(home, work))


def stop(proposal: ProposalArgument, home: Home = HOME, keys: Keys = None, as_json: Json = False) -> None:
    """Stop a proposal, as the operator: nothing more is sent for it, and its paused attempts are cancelled."""
    with answering(as_json) as answer:
        from gateway.cli.page import listing, marked
        from gateway.cli.wording import Tone
        from gateway.contracts.references import ProposalId
        from gateway.surfaces.local import OPERATOR
        from gateway.surfaces.seat import Seat

        seat = Seat.find(keys, home)
        surface, named = seat.surface(OPERATOR), reference(ProposalId, proposal, "PROPOSAL")

        async def work(gateway: Gateway) -> tuple[str, list[AttemptFile]]:
            file = await gateway.proposal(named)
            paused = await gateway.ports.journal.paused(gateway.ports.practice, named)
            record = await gateway.stop(surface.stop(file.proposal, operator=seat.desk.operator).token)
            return record.reference, [await gateway.attempt(each.attempt) for each in paused]

        statement, ended = with_gateway(home, work)
        rows = [(each.attempt, each.state.value) for each in ended]
        page = [marked(Tone.GOOD, f"stopped: nothing more is sent for {named}")]
        answer.give(
            {
                "proposal": named,
                "statement": statement,
                "attempts": [{"attempt": name, "state": state} for name, state in rows],
            },
            [*page, listing(("paused attempt", "now"), rows, "no attempt was paused")],
        )


def withdraw(proposal: ProposalArgument, home: Home = HOME, keys: Keys = None, as_json: Json = False) -> None:
    """Record, as the operator, that a proposal no longer stands."""
    with answering(as_json) as answer:
        from gateway.cli.page import marked
        from gateway.cli.wording import Tone
        from gateway.contracts.references import ProposalId
        from gateway.surfaces.local import OPERATOR
        from gateway.surfaces.seat import Seat

        seat = Seat.find(keys, home)
        surface, named = seat.surface(OPERATOR), reference(ProposalId, proposal, "PROPOSAL")

        async def work(gateway: Gateway) -> str:
            file = await gateway.proposal(named)
            record = await gateway.withdraw(surface.withdraw(file.proposal, operator=seat.desk.operator).token)
            return record.reference

        statement = with_gateway(home, work)
        answer.give({"proposal": named, "statement": statement}, [marked(Tone.GOOD, f"withdrawn: {named}")])


# -- what the commands share --------------------------------------------------------------------------------


def latest_decision(file: ProposalFile) -> DecisionId | None:
    """The decision that an operator relies on: the latest, whatever it says. What it is worth, gates judge."""
    from gateway.contracts.chain import RecordKind
    from gateway.contracts.references import DecisionId

    found = [record.reference for record in file.records if record.kind is RecordKind.DECISION]
    return DecisionId(found[-1]) if found else None


async def _subject(gateway: Gateway, attempt: AttemptId) -> tuple[AttemptFile, Proposal]:
    """An attempt and the very proposal that it was about."""
    from gateway.observation import proposal_of

    file = await gateway.attempt(attempt)
    if file.header.proposal is not None and file.header.proposal_digest is not None:
        recorded = await gateway.proposal(file.header.proposal)
        if (proposal := proposal_of(recorded, file.header.proposal_digest)) is not None:
            return file, proposal
    raise UsageError("ATTEMPT: is about no recorded proposal")


async def _show(answer: Answer, gateway: Gateway, proposal: Proposal, *, approving: bool) -> None:
    """Show the reviewer what they decide on; nobody approves what cannot be shown (C-37)."""
    from gateway.cli.page import facts_table, title
    from gateway.contracts.failures import Refusal
    from gateway.surfaces import viewing

    try:
        resolved = await viewing.resolve(gateway, proposal)
    except Refusal:
        if approving:
            raise
        return
    if (screen := answer.aside()) is not None:
        screen.print(title("Proposal", proposal.proposal_id, f"revision {proposal.revision}"))
        screen.print(facts_table(viewing.view(proposal, resolved)))


def agree(answer: Answer, question: str, yes: bool) -> None:
    """Go on with a person's yes only."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask at; pass --yes if you have seen what you sign")
    typer.confirm(question, abort=True, err=answer.as_json)


def _waits(file: AttemptFile) -> bool:
    from gateway.contracts.words import State

    return file.state is State.PAUSED


def _token(path: Path) -> str:
    try:
        return read_file(path).decode("ascii").strip()
    except UnicodeDecodeError:
        raise UsageError("--trigger: not a signed statement (compact JWS)") from None


def _decided(answer: Answer, decision: dict[str, Any], verdict: str) -> None:
    from gateway.cli.page import facts_table, title
    from gateway.cli.timeline import Fact
    from gateway.cli.wording import Tone

    proposal = decision["proposal_id"]
    after = f"gateway commit {proposal}" if verdict == "approve" else "nothing: this proposal is not committed"
    facts = [
        Fact("verdict", verdict),
        Fact("proposal", proposal),
        Fact("expires", decision["expires_at"]),
        Fact("next", after, Tone.STRONG),
    ]
    shown = {name: value for name, value in decision.items() if name not in ("reviewer", "authentication")}
    answer.give({"decision": shown}, [title("Decision", decision["decision_id"], "recorded"), facts_table(facts)])


def _answer(answer: Answer, outcome: Outcome, exit_code: ExitCode | None = None) -> None:
    from gateway.cli.page import outcome_page
    from gateway.cli.wording import outcome_document

    code = code_of_state(outcome.state) if exit_code is None else exit_code
    answer.give({"outcome": outcome_document(outcome)}, outcome_page(outcome), code)
