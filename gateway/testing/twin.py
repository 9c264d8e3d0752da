"""Twins: vendor-shaped routes over the scheduling engine: a stand-in for any vendor, in a page of code.

    twin = Twin("toy vendor", refusals={Rejection.SLOT_TAKEN: document(409, {"error": "taken"})})

    @twin.route("POST", "/v1/bookings")
    def book(call: Call) -> Reply:
        asked = call.body(NewBooking)
        return document(201, shown(call.engine.book(asked.reference, asked.booking()).appointment))

    premises = twin.premises  # what a target file names

Owns: which handler answers, who may call it (a full and a limited credential), the tally of mutating requests, and
the replies to what is refused before or by the engine. The vendor's paths and shapes are the author's.
Refuses: a second handler for one route. A request that no route matches is answered 404. A token request is neither
tallied nor routed; `issuer` answers it.
Invariants: a mutating request is tallied before anything else is done about it; a limited credential reaches no
route that writes; every start has its own database and fresh secrets. A handler that raises is answered 500.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Final, Literal, TypeVar
from urllib.parse import parse_qs, unquote

from pydantic import BaseModel, ValidationError

from gateway.contracts.connection import Scheme
from gateway.testing.engine import Engine, RejectedError, Rejection, Status
from gateway.testing.issuer import CLIENTS, Issuer, Terms, new_secret
from gateway.testing.premises import Premises, Seen
from gateway.testing.wire import Reply, Request, listen

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT", "SEARCH"})
FULL: Final = CLIENTS[0]
_NAME: Final = re.compile(r"\{([a-z_]+)\}")

Shape = TypeVar("Shape", bound=BaseModel)
Hidden = Literal["keys", "subject"]
"""What a vendor's own record of an appointment may not show (`Seen`)."""


def document(status: int, content: object, *headers: tuple[str, str]) -> Reply:
    """A JSON reply."""
    body = json.dumps(content, separators=(",", ":")).encode()
    return Reply(status=status, headers=(("content-type", "application/json"), *headers), body=body)


class Denial(StrEnum):
    """Why a request did not get to the engine."""

    UNAUTHORISED = "unauthorised"
    FORBIDDEN = "forbidden"
    NO_ROUTE = "no-route"


REFUSALS: Final[Mapping[Rejection | Denial, Reply]] = MappingProxyType(
    {
        Denial.UNAUTHORISED: document(401, {"error": "unauthorised"}),
        Denial.FORBIDDEN: document(403, {"error": "forbidden"}),
        Denial.NO_ROUTE: document(404, {"error": "no-route"}),
        Rejection.NOT_FOUND: document(404, {"error": "not-found"}),
        Rejection.KEY_REUSED: document(409, {"error": "key-reused"}),
        Rejection.NOT_BOOKED: document(409, {"error": "not-booked"}),
        Rejection.SLOT_TAKEN: document(409, {"error": "slot-taken"}),
        Rejection.STALE_VERSION: document(412, {"error": "stale-version"}),
        Rejection.INVALID: document(422, {"error": "invalid"}),
    }
)
"""What a twin answers where its author's table says nothing else."""


@dataclass(frozen=True, slots=True)
class Call:
    """One admitted request. `path` holds the values of the route's `{names}`, percent-decoded; `may_write` is what
    a vendor tells a caller about its own rights."""

    engine: Engine
    request: Request
    path: Mapping[str, str]
    may_write: bool

    def body(self, shape: type[Shape]) -> Shape:
        """The JSON body; raises `RejectedError` (INVALID) where it is not of this shape."""
        return _shaped(lambda: shape.model_validate_json(self.request.body))

    def form(self, shape: type[Shape]) -> Shape:
        """The form-encoded body's fields, each of them once; raises `RejectedError` (INVALID) as `body` does, and for a
        body that is not said to be a form."""
        if self.header("content-type") != "application/x-www-form-urlencoded":
            raise RejectedError(Rejection.INVALID)
        return _single(shape, parse_qs(self.request.body.decode("latin-1"), keep_blank_values=True))

    def query(self, shape: type[Shape]) -> Shape:
        """The query's parameters, each of them once; raises `RejectedError` (INVALID) as `body` does."""
        return _single(shape, self.request.query)

    def header(self, name: str) -> str | None:
        """A header's value, by its name in any case."""
        return self.request.headers.get(name.lower())


def _single(shape: type[Shape], fields: Mapping[str, list[str]]) -> Shape:
    if any(len(values) > 1 for values in fields.values()):
        raise RejectedError(Rejection.INVALID)
    return _shaped(lambda: shape.model_validate_strings({name: values[0] for name, values in fields.items()}))


def _shaped(read: Callable[[], Shape]) -> Shape:
    try:
        return read()
    except ValidationError:
        raise RejectedError(Rejection.INVALID) from None


Handler = Callable[[Call], Reply]


@dataclass(frozen=True, slots=True)
class _Route:
    method: str
    pattern: re.Pattern[str]
    writes: bool
    handler: Handler


@dataclass(frozen=True, slots=True)
class _Door:
    """Who is let in: the two credentials by their Authorization values, or by tokens; or nobody is asked."""

    values: Mapping[str, str] = field(repr=False, default_factory=dict)
    issuer: Issuer | None = None
    asks: bool = True

    def caller(self, request: Request) -> str | None:
        """The name of the credential that the request carries."""
        shown = request.headers.get("authorization", "")
        if not self.asks:
            return FULL
        if self.issuer is not None:
            return self.issuer.client(shown)
        found = [name for name, value in self.values.items() if hmac.compare_digest(shown.encode(), value.encode())]
        return found[0] if found else None


class Twin:
    """One vendor's stand-in: its label, its routes, and how it says no (`refusals`, over the defaults `REFUSALS`).

    `scheme` is how credentials arrive; `exclusive` and `unique_keys` are the engine's options; `hides` is what the
    vendor does not keep of an appointment, hence the observer does not show. For the schemes of OAuth 2.0, `tokens` is
    the path of the token endpoint, and `terms` what it asks for.
    """

    def __init__(
        self,
        label: str,
        *,
        scheme: Scheme = Scheme.BEARER,
        tokens: str = "/oauth2/token",
        terms: Terms = Terms(),  # noqa: B008 - frozen
        exclusive: bool = True,
        unique_keys: bool = True,
        hides: tuple[Hidden, ...] = (),
        refusals: Mapping[Rejection | Denial, Reply] = REFUSALS,
    ) -> None:
        self._label = label
        self._scheme = scheme
        self._tokens = tokens
        self._terms = terms
        self._exclusive = exclusive
        self._unique_keys = unique_keys
        self._hides = hides
        self._refusals = {**REFUSALS, **refusals}
        self._routes: list[_Route] = []

    def route(self, method: str, path: str, *, writes: bool | None = None) -> Callable[[Handler], Handler]:
        """Register the handler of `method` at `path`, whose `{names}` match one segment each. Of several routes that
        match a request, the one registered first answers.

        `writes` says whether a request mutates; unsaid, by its method. Raises ValueError for a second handler.
        """
        pattern = re.compile("".join(_segments(path)))
        if any((each.method, each.pattern) == (method, pattern) for each in self._routes):
            raise ValueError(f"two handlers for {method} {path}")
        mutates = method not in _SAFE_METHODS if writes is None else writes

        def register(handler: Handler) -> Handler:
            self._routes.append(_Route(method, pattern, mutates, handler))
            return handler

        return register

    @asynccontextmanager
    async def premises(self) -> AsyncIterator[Premises]:
        """Start the twin over an empty database of its own (`PremisesFactory`)."""
        with TemporaryDirectory(prefix="twin-") as directory:
            async with self.start(Path(directory) / "twin.db") as premises:
                yield premises

    @asynccontextmanager
    async def start(self, database: Path) -> AsyncIterator[Premises]:
        """Serve `database` on loopback while the context is open. The observer reads it past the routes."""
        doors: list[_Door] = []
        with self.engine(database) as engine, self.engine(database) as observed:

            async def answer(request: Request) -> Reply:
                return self._answer(engine, doors[0], request)

            async with listen(answer) as url:
                issuer = Issuer(self._scheme, f"{url}{self._tokens}", self._terms) if self._scheme.fetches else None
                given = _secrets(self._scheme) if issuer is None else issuer.secrets
                doors.append(_door(self._scheme, given, issuer))
                yield Premises(
                    base_url=f"{url}/",
                    label=self._label,
                    observer=EngineObserver(observed, self._hides),
                    secrets=given,
                    token_url=None if issuer is None else issuer.url,
                )

    def engine(self, database: Path) -> Engine:
        """One more engine over a started twin's database: what was received, and what took effect."""
        return Engine.open(database, exclusive=self._exclusive, unique_keys=self._unique_keys)

    def _answer(self, engine: Engine, door: _Door, request: Request) -> Reply:
        if door.issuer is not None and request.path == self._tokens:
            return door.issuer.answer(request)
        route, path = self._find(request)
        writes = request.method not in _SAFE_METHODS if route is None else route.writes
        if writes:
            engine.tally(request.method, request.path, None)
        caller = door.caller(request)
        if caller is None:
            return self._refusals[Denial.UNAUTHORISED]
        may_write = caller == FULL
        if writes and not may_write:
            return self._refusals[Denial.FORBIDDEN]
        if route is None:
            return self._refusals[Denial.NO_ROUTE]
        try:
            return route.handler(Call(engine, request, path, may_write))
        except RejectedError as error:
            return self._refusals[error.rejection]

    def _find(self, request: Request) -> tuple[_Route | None, Mapping[str, str]]:
        for route in self._routes:
            if route.method == request.method and (found := route.pattern.fullmatch(request.path)):
                return route, {name: unquote(value) for name, value in found.groupdict().items()}
        return None, {}


def _segments(path: str) -> list[str]:
    """A path template as pieces of a regular expression: literals, and a named group for each `{name}`."""
    pieces = _NAME.split(path)
    return [f"(?P<{piece}>[^/]+)" if index % 2 else re.escape(piece) for index, piece in enumerate(pieces)]


def _secrets(scheme: Scheme) -> Mapping[str, str]:
    if scheme is Scheme.NONE:
        return MappingProxyType({})
    return MappingProxyType({name: new_secret(scheme, name) for name in CLIENTS})


def _door(scheme: Scheme, given: Mapping[str, str], issuer: Issuer | None) -> _Door:
    if scheme is Scheme.NONE:
        return _Door(asks=False)
    if scheme is Scheme.BASIC:
        return _Door({name: "Basic " + base64.b64encode(secret.encode()).decode() for name, secret in given.items()})
    return _Door({name: f"Bearer {secret}" for name, secret in given.items()}, issuer)


@dataclass(frozen=True, slots=True)
class EngineObserver:
    """An observer that reads the engine's database itself, past every route (`Observer`). `hides` is not shown."""

    engine: Engine
    hides: tuple[Hidden, ...] = ()

    async def appointments(self, start: datetime, end: datetime) -> Sequence[Seen]:
        return tuple(
            Seen(
                identifier=each.id,
                start=each.booking.start,
                end=each.booking.end,
                cancelled=each.status is Status.CANCELLED,
                keys=() if "keys" in self.hides else each.keys,
                subject=None if "subject" in self.hides else each.booking.patient,
            )
            for each in self.engine.appointments()
            if each.booking.start < end and each.booking.end > start
        )

    async def remove(self, identifier: str) -> bool:
        return self.engine.remove(identifier)
