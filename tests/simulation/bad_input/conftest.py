"""One practice that many bad inputs meet one after the other, and what must hold after each of them."""

from __future__ import annotations

import base64
import json
import secrets
import traceback
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import pytest_asyncio
from joserfc.jws import serialize_compact

from adapters.sandbox.faults import Action, Fault, Switch
from adapters.sandbox.server import SandboxServer
from conformance.rehearsal import Rehearsal
from gateway.audit import verify_file
from gateway.config import load
from gateway.contracts.connection import Connection, CredentialUse, Limits, Scheme
from gateway.contracts.failures import FAILURES, Code
from gateway.contracts.outcome import Outcome
from gateway.contracts.references import ConnectionId, PracticeId
from gateway.contracts.statements import Decision, Finding, Resolution, Stop, Trigger, Verdict, Withdrawal
from gateway.contracts.words import State
from gateway.errors import UsageError
from gateway.gateway import Gateway
from gateway.surfaces.local import OPERATOR, REVIEWER, LocalPractice

STATEMENTS = {
    "commit": Trigger,
    "resume": Trigger,
    "check": Trigger,
    "observe": Trigger,
    "decide": Decision,
    "stop": Stop,
    "withdraw": Withdrawal,
    "resolve": Resolution,
}


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def spelled(payload: Any) -> bytes:
    """JSON as RFC 8785 spells it, of anything, NaN included."""
    return json.dumps(payload, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


@dataclass
class Stage:
    """The gateway under test; `canary` is the value that the present input smuggles."""

    rehearsal: Rehearsal
    gateway: Gateway
    server: SandboxServer
    canary: str = ""
    canaries: list[str] = field(default_factory=list)

    @property
    def local(self) -> LocalPractice:
        return self.rehearsal.local

    async def approved(self, **details: Any) -> tuple[Any, Any]:
        proposal = await self.rehearsal.propose(self.gateway, self.rehearsal.enrol(), **details)
        return proposal, await self.rehearsal.decide(self.gateway, proposal)

    async def lost(self) -> tuple[Any, Outcome]:
        """A commit that took effect and whose reply was lost."""
        self.server.faults.arm(Switch(fault=Fault.DROP_AFTER, action=Action.BOOK))
        proposal, approval = await self.approved()
        return proposal, await self.gateway.commit(self.rehearsal.trigger(proposal, approval))

    async def valid(self, call: str) -> dict[str, Any]:
        """The payload of a statement that `call` would take."""
        operator, desk = self.local.surface(OPERATOR), self.local.desk
        if call == "resolve":
            _, outcome = await self.lost()
            assert outcome.attempt is not None and outcome.closing_hash is not None
            signed: Any = operator.resolve(
                desk.practice,
                outcome.attempt,
                closing_hash=outcome.closing_hash,
                finding=Finding.APPLIED,
                resolver=desk.operator,
            )
            return signed.statement.plain()  # type: ignore[no-any-return]  # the world is Any
        proposal, approval = await self.approved()
        signed = {
            "commit": lambda: operator.commit(proposal, operator=desk.operator, approval=approval),
            "check": lambda: operator.check(proposal, operator=desk.operator, approval=approval),
            "stop": lambda: operator.stop(proposal, operator=desk.operator),
            "withdraw": lambda: operator.withdraw(proposal, operator=desk.operator),
            "decide": lambda: (
                self.local.surface(REVIEWER).review(proposal, reviewer=desk.reviewer, verdict=Verdict.APPROVE).decision
            ),
        }[call]()
        return signed.statement.plain()  # type: ignore[no-any-return]  # the world is Any

    def signed(self, call: str, payload: Any, *, by: str = "", **header: Any) -> str:
        """A token over any payload, truly signed by a trusted key; `header` changes members, None drops one."""
        key = self.local.surface(by or (REVIEWER if call == "decide" else OPERATOR)).key
        full = {"alg": key.algorithm, "kid": key.kid, "typ": STATEMENTS[call].typ}
        content = payload if isinstance(payload, bytes) else spelled(payload)
        token: str = serialize_compact(full, content, key.key, algorithms=[key.algorithm])
        if not header:
            return token
        changed = {name: value for name, value in {**full, **header}.items() if value is not None}
        return ".".join((encoded(spelled(changed)), *token.split(".")[1:]))

    async def sent(self) -> int:
        async with httpx.AsyncClient(base_url=self.server.url, trust_env=False) as client:
            return len((await client.get("/_control/journal")).json()["requests"])

    async def meets(self, call: str, given: Any, end: Any, names: str) -> None:
        """Give the input; it ends bounded, names what to fix, repeats nothing, sends nothing, breaks nothing."""
        before = await self.sent()
        try:
            answer: Any = await getattr(self.gateway, call)(given)
        except UsageError as error:
            answer = error
        if isinstance(end, Code):
            assert isinstance(answer, Outcome), answer
            assert (answer.code, answer.state in (State.REJECTED, State.BLOCKED)) == (end, True)
            assert names in FAILURES[answer.code].meaning
        else:
            assert type(answer) is end, answer
            assert names in str(answer)
        assert await self.sent() == before
        self._unrepeated(answer)
        unrelated = await self.rehearsal.propose(self.gateway, self.rehearsal.enrol())
        assert (await self.rehearsal.commit(self.gateway, unrelated)).state is State.SUCCEEDED
        assert await self.sent() == before + 1

    def verify(self) -> None:
        """With public keys alone: nothing that was recorded is flawed."""
        report = verify_file(self.local.home / "journal.db", [], load(self.local.home).keys)
        assert report.intact, [(flaw.code.value, flaw.where) for flaw in report.flaws]

    def _unrepeated(self, answer: Any) -> None:
        said = repr(answer) + str(answer)
        if isinstance(answer, Outcome):
            said += answer.model_dump_json()
        else:
            said += "".join(traceback.format_exception(answer)) + repr(vars(answer))
        assert self.canary not in said
        assert encoded(self.canary.encode())[:-2] not in said
        for file in self.local.home.rglob("*"):
            assert not file.is_file() or self.canary.encode() not in file.read_bytes(), file.name


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """The practice. When all inputs have been met, its journal must verify."""
    root = tmp_path_factory.mktemp("bad-input")
    async with AsyncExitStack() as stack:
        starting = SandboxServer.start(root / "sandbox.db", credentials="sandbox-token", control=True)
        server = await stack.enter_async_context(starting)
        practice = PracticeId.random()
        connection = Connection(
            connection_id=ConnectionId.random(),
            practice=practice,
            adapter="sandbox",
            base_url=server.url,
            hosts=(server.url.removeprefix("http://"),),
            zone="Europe/Berlin",
            credential=CredentialUse(scheme=Scheme.BEARER, name="sandbox"),
            limits=Limits(request_seconds=2, commit_seconds=4),
        )
        local = LocalPractice.create(root / "practice", [connection], practice=practice)
        local.keep_secret("sandbox", "sandbox-token")
        gateway = await stack.enter_async_context(Gateway.open(local.home))
        met = Stage(Rehearsal.prepare(local, connection), gateway, server)
        yield met
        met.verify()


@pytest.fixture
def stage(opened: Stage) -> Stage:
    """The same practice for all inputs of a module; a canary of its own for each."""
    opened.canary = f"Nightjar-{secrets.token_hex(6)}"
    return opened
