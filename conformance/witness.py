"""The adapter under test, with a record of what it tried, said and raised.

Owns: what the boundary does not pass on: requests that were tried and refused, exceptions and their texts, answers
outside the contract. Changes nothing of an answer. Two things it can change of a question, because some checks need
them: the native key of a request, and the operations that the descriptor declares.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import Final, TypedDict, TypeVar, Unpack

import httpx

from conformance.faults.messages import RawHeaders
from conformance.overhearing import as_guest, as_host
from gateway.contracts.adapter import (
    Adapter,
    Authorized,
    Basis,
    Descriptor,
    Observation,
    Query,
    Readiness,
    Receipt,
    Request,
)
from gateway.contracts.connection import Connection
from gateway.contracts.proposal import Operation
from gateway.contracts.references import AppointmentId

Answer = TypeVar("Answer")

_MAX_EXCEPTIONS: Final = 100


class Phase(StrEnum):
    READINESS = "readiness"
    COMMIT = "commit"
    OBSERVE = "observe"


@dataclass(slots=True)
class Call:
    """One call of one phase. `tried` are (method, target, headers, body) of every request that the adapter asked for,
    the body empty where it is still to be made; `answer` is what it said before the boundary judged that, and `ended`
    whether it came back at all."""

    phase: Phase
    tried: list[tuple[str, str, RawHeaders, bytes]] = field(default_factory=list, repr=False)
    answer: object = field(default=None, repr=False)
    raised: BaseException | None = field(default=None, repr=False)
    sound: bool = True
    ended: bool = False

    @property
    def texts(self) -> Iterator[str]:
        """Everything that the exception shows to whoever prints it: its own text, those of the members of a group,
        and of what it came from. A text that cannot be made shows nothing to anybody."""
        waiting = [] if self.raised is None else [self.raised]
        for _ in range(_MAX_EXCEPTIONS):
            if not waiting:
                return
            error = waiting.pop(0)
            try:
                shown = [str(error), *map(str, getattr(error, "__notes__", ()))]
            except (Exception, SystemExit):  # noqa: BLE001 - a guest's own code; whoever prints it gets no text either
                shown = []
            yield from shown
            came_from = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
            members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
            waiting += [*([] if came_from is None else [came_from]), *members]


class Otherwise(TypedDict, total=False):
    """What a check may change of the question: the native key, and what the descriptor declares."""

    key: AppointmentId
    operations: tuple[Operation, ...]
    observation: Basis


class _Body(httpx.AsyncByteStream):
    """A request's body, which may be made by the guest's own code while the suite reads it."""

    def __init__(self, body: httpx.AsyncByteStream) -> None:
        self.body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with as_guest():
            chunks = aiter(self.body)
        while True:
            try:
                with as_guest():
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            yield chunk

    async def aclose(self) -> None:
        with as_guest():
            await self.body.aclose()


def _made(stream: httpx.SyncByteStream | httpx.AsyncByteStream | None) -> bytes:
    """A request's body, where it is there already: no code of a guest runs to learn it."""
    content = stream.body if isinstance(stream, _Body) else stream
    return b"".join(content) if type(content) is httpx.ByteStream else b""


class _Below(httpx.AsyncBaseTransport):
    """What the boundary does with a request is the suite's own doing: whatever else connects or logs is the guest."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if isinstance(request.stream, httpx.AsyncByteStream):
            request.stream = _Body(request.stream)
        with as_host():
            reply = await self._client.send(request)
        return httpx.Response(
            reply.status_code, headers=reply.headers, content=reply.content, extensions=reply.extensions
        )


def _handed(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """The adapter's end: the same client to all appearances."""
    return httpx.AsyncClient(
        base_url=client.base_url, transport=_Below(client), trust_env=False, follow_redirects=False
    )


class Witness:
    """Wraps the adapter for one attempt."""

    def __init__(self, adapter: Adapter, **otherwise: Unpack[Otherwise]) -> None:
        self.calls: list[Call] = []
        self._adapter = adapter
        self._key = otherwise.get("key")
        self._claims = {name: value for name, value in otherwise.items() if name != "key"}

    def describe(self, connection: Connection) -> Descriptor:
        with as_guest():
            claimed = self._adapter.describe(connection)
        return claimed.model_copy(update=self._claims) if self._claims else claimed

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        asked = self._keyed(request)
        return await self._called(Phase.READINESS, read, Readiness, partial(self._adapter.readiness, asked))

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        asked = replace(authorized, request=self._keyed(authorized.request))
        return await self._called(Phase.COMMIT, write, Receipt, partial(self._adapter.commit, asked))

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        asked = replace(query, request=self._keyed(query.request))
        return await self._called(Phase.OBSERVE, read, Observation, partial(self._adapter.observe, asked))

    async def _called(
        self,
        phase: Phase,
        client: httpx.AsyncClient,
        kind: type[Answer],
        work: Callable[[httpx.AsyncClient], Awaitable[Answer]],
    ) -> Answer:
        call = Call(phase)
        self.calls.append(call)

        async def note(request: httpx.Request) -> None:
            body = _made(request.stream)
            target = request.url.raw_path.decode("ascii")
            call.tried.append((request.method, target, tuple(request.headers.raw), body))

        client.event_hooks = {"request": [note], "response": []}
        try:
            with as_guest():
                answer = await work(_handed(client))
        except BaseException as error:
            call.raised = error
            raise
        finally:
            call.ended = True
        call.answer, call.sound = answer, type(answer) is kind
        return answer

    def answered(self, kind: type[Answer]) -> Answer | None:
        """The adapter's latest own answer of that kind; None where it raised, or was not asked."""
        answers = [call.answer for call in self.calls if isinstance(call.answer, kind)]
        return answers[-1] if answers else None

    def _keyed(self, request: Request) -> Request:
        return request if self._key is None else replace(request, key=self._key)
