"""What a hostile peer does with the mutating request, and the one effect and code that may be said of it.

Two groups: SOCKET behaviours cut, hold back or spoil a good reply and know nothing of the protocol in it, so that
another protocol needs only its own framing; HTTP ones say something that a client of HTTP could be led astray by.
The rule (I3): NOT_SENT only where no byte of the request could have left; REFUSED and APPLIED only on a whole reply
that says so; everything else UNKNOWN. Each behaviour has exactly one right answer, for every method and every protocol.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from gateway.contracts.failures import Code
from gateway.contracts.words import Effect
from tests.peers.peer import Call, reply, reset

CHUNK = 16 * 1024
PAUSE_SECONDS = 0.02
"""Between two pieces of an endless reply: shorter than any deadline, long enough that many peers cost little."""


class Stage(Enum):
    """When the behaviour begins."""

    GONE = "before the connection"
    ACCEPT = "before a byte is read"
    HEAD = "after the head"
    REQUEST = "after the whole request"


@dataclass(frozen=True)
class Behaviour:
    """`says` continues "a peer that …". `slow` ones end by a deadline only. `over_tls` is the right answer where the
    connection is TLS, if another: a handshake that fails comes before the first byte of the request."""

    says: str
    act: Callable[[Any], Awaitable[None]] | None
    effect: Effect
    code: Code
    stage: Stage = Stage.REQUEST
    slow: bool = False
    over_tls: tuple[Effect, Code] | None = None

    def right(self, tls: bool) -> tuple[Effect, Code]:
        return self.over_tls if tls and self.over_tls else (self.effect, self.code)


def success(call: Call, body: bytes = b"stored as asked for", **headers: str) -> bytes:
    """The reply that a well-behaved server gives: made, or changed, under a strong entity tag; or a filler's, with the
    body in a note of its own."""
    if call.peer.mllp:
        good = call.peer.system(call)
        return good[:-2] + b"NTE|1||" + body + b"\r" + good[-2:]
    return reply(200 if "if-match" in call.headers else 201, body, ETag='"v2"', **headers)


def head(call: Call, *lines: bytes) -> bytes:
    """A successful reply's head with these lines instead of a length."""
    status = success(call).partition(b"\r\n")[0]
    return b"\r\n".join((status, b'ETag: "v2"', *lines, b"", b""))


CHUNKED = b"Transfer-Encoding: chunked"


def saying(make: Callable[[Call], bytes]) -> Callable[[Call], Awaitable[None]]:
    """Answer these bytes and keep the connection."""

    async def act(call: Call) -> None:
        await call.answer(make(call))

    return act


def saying_and_closing(make: Callable[[Call], bytes]) -> Callable[[Call], Awaitable[None]]:
    async def act(call: Call) -> None:
        await call.answer(make(call))
        call.close()

    return act


def flooding(begin: Callable[[Call], bytes], more: bytes, pause: float = 0.0) -> Callable[[Call], Awaitable[None]]:
    """Begin a reply and go on for as long as anybody listens."""

    async def act(call: Call) -> None:
        await call.answer(begin(call))
        while call.open:
            await call.answer(more)
            await asyncio.sleep(pause)

    return act


def refusing(status: int, **headers: str) -> Callable[[Call], Awaitable[None]]:
    return saying(lambda call: reply(status, b"no", **headers))


# -- what any protocol's peer can do --------------------------------------------------------------------


async def closes_at_once(connection: socket.socket) -> None:
    pass  # leaving closes it; what the client wrote is unread, so the kernel may reset


async def resets_at_once(connection: socket.socket) -> None:
    reset(connection)


async def never_reads(connection: socket.socket) -> None:
    await asyncio.Event().wait()


async def closes(call: Call) -> None:
    call.close()


async def resets(call: Call) -> None:
    call.reset()


async def finishes(call: Call) -> None:
    if call.writer.get_extra_info("ssl_object") is None:
        call.finish()
    else:
        call.close()  # TLS has no half-close in asyncio


async def hangs(call: Call) -> None:
    """Say nothing; what else comes on this connection is read, and counted."""


async def drips(call: Call) -> None:
    for byte in success(call, b"x" * 10_000):
        if not call.open:
            return
        await call.answer(bytes([byte]))
        await asyncio.sleep(PAUSE_SECONDS)


async def half_then_resets(call: Call) -> None:
    await call.answer(success(call, b"x" * 1000)[:-500])
    await asyncio.sleep(PAUSE_SECONDS)
    call.reset()


async def answers_then_resets(call: Call) -> None:
    await call.answer(success(call))
    await asyncio.sleep(PAUSE_SECONDS)
    call.reset()


async def tires(call: Call) -> None:
    """A kept connection dies exactly when the next request comes: why clients re-send."""
    if call.ordinal > 1:
        call.close()
    else:
        await call.answer(success(call))


LOST = (Effect.UNKNOWN, Code.CONNECTION_LOST)
LATE = (Effect.UNKNOWN, Code.EXTERNAL_TIMEOUT)
ODD = (Effect.UNKNOWN, Code.REPLY_UNRECOGNISED)
DONE = (Effect.APPLIED, Code.COMMITTED)
UNSENT = (Effect.NOT_SENT, Code.EXTERNAL_UNAVAILABLE)
UNSENT_LATE = (Effect.NOT_SENT, Code.EXTERNAL_TIMEOUT)

SOCKET = (
    Behaviour("behaves", saying(success), *DONE),
    Behaviour("stopped listening", None, *UNSENT, Stage.GONE),
    Behaviour("closes as soon as it is connected to", closes_at_once, *LOST, Stage.ACCEPT, over_tls=UNSENT),
    Behaviour("resets as soon as it is connected to", resets_at_once, *LOST, Stage.ACCEPT, over_tls=UNSENT),
    Behaviour("accepts and reads nothing", never_reads, *LATE, Stage.ACCEPT, slow=True, over_tls=UNSENT_LATE),
    Behaviour("closes after the head", closes, *LOST, Stage.HEAD),
    Behaviour("resets after the head", resets, *LOST, Stage.HEAD),
    Behaviour("closes after the request", closes, *LOST),
    Behaviour("resets after the request", resets, *LOST),
    Behaviour("sends its end and goes on listening", finishes, *LOST),
    Behaviour("never answers", hangs, *LATE, slow=True),
    Behaviour("answers a byte at a time", drips, *LATE, slow=True),
    Behaviour("closes in the middle of the reply's head", saying_and_closing(lambda call: success(call)[:20]), *LOST),
    Behaviour("resets in the middle of the reply", half_then_resets, *LOST),
    Behaviour("answers, then resets", answers_then_resets, *DONE),
    Behaviour("drops a kept connection when the next request comes", tires, *DONE),
)


# -- what a peer that speaks HTTP can do ----------------------------------------------------------------


async def answers_early(call: Call) -> None:
    await call.answer(success(call))


async def refuses_early(call: Call) -> None:
    await call.answer(reply(403, b"no"))


async def keeps_open(call: Call) -> None:
    """Promise to close, and do not: the reply's own length must suffice."""
    await call.answer(success(call, Connection="close"))


def applied_then(status: int) -> Callable[[Call], Awaitable[None]]:
    """The request is carried out, and the reply says otherwise."""

    async def act(call: Call) -> None:
        call.peer.system(call)
        await call.answer(reply(status, b"<html>oops</html>"))

    return act


def nothing(call: Call) -> bytes:
    return b""


def bomb(call: Call) -> bytes:
    return success(call, BOMB, Content_Encoding="gzip")


def both_lengths(call: Call) -> bytes:
    return head(call, b"Content-Length: 5", CHUNKED) + b"5\r\nabcde\r\n0\r\n\r\n"


INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
GOAWAY = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + b"\x00" * 8
ALERT = b"\x15\x03\x03\x00\x02\x02\x28"
BOMB = gzip.compress(b"\0" * 4_000_000)

HTTP = (
    Behaviour("answers before it read the body", answers_early, *DONE, Stage.HEAD),
    Behaviour("refuses before it read the body", refuses_early, Effect.REFUSED, Code.EXTERNAL_FORBIDDEN, Stage.HEAD),
    Behaviour("sends a status line and closes", saying_and_closing(lambda call: b"HTTP/1.1 201 X\r\n"), *LOST),
    Behaviour("sends interim replies and closes", saying_and_closing(lambda call: INTERIM), *LOST),
    Behaviour("sends interim replies without end", flooding(lambda call: b"", INTERIM, PAUSE_SECONDS), *ODD),
    Behaviour("sends interim replies, then the reply", saying(lambda call: INTERIM + success(call)), *DONE),
    Behaviour(
        "closes before the promised length", saying_and_closing(lambda call: success(call, b"x" * 100)[:-1]), *LOST
    ),
    Behaviour(
        "closes in the middle of a chunk",
        saying_and_closing(lambda call: head(call, CHUNKED) + b"64\r\nhalf of it"),
        *LOST,
    ),
    Behaviour(
        "closes before the last chunk", saying_and_closing(lambda call: head(call, CHUNKED) + b"2\r\nok\r\n"), *LOST
    ),
    Behaviour("sends a chunk of no size", saying(lambda call: head(call, CHUNKED) + b"zz\r\nok\r\n0\r\n\r\n"), *ODD),
    Behaviour(
        "sends a trailer that is none", saying(lambda call: head(call, CHUNKED) + b"0\r\n\x00 no trailer\r\n\r\n"), *ODD
    ),
    Behaviour(
        "sends trailers without end",
        flooding(lambda call: head(call, CHUNKED) + b"0\r\n", b"X-More: " + b"x" * CHUNK + b"\r\n"),
        *ODD,
    ),
    Behaviour(
        "sends chunks without end",
        flooding(lambda call: head(call, CHUNKED), b"%x\r\n" % CHUNK + b"x" * CHUNK + b"\r\n"),
        *ODD,
    ),
    Behaviour(
        "sends a body without end",
        flooding(lambda call: head(call, b"Content-Length: 99999999999"), b"x" * CHUNK),
        *ODD,
    ),
    Behaviour("sends one huge header", saying(lambda call: success(call, X_Padding="x" * 90_000)), *ODD),
    Behaviour(
        "sends headers without end", flooding(lambda call: b"HTTP/1.1 201 X\r\n", b"X: " + b"x" * CHUNK + b"\r\n"), *ODD
    ),
    Behaviour("sends a reply without an end", saying_and_closing(lambda call: head(call) + b"stored"), *ODD),
    Behaviour(
        "states two lengths", saying(lambda call: head(call, b"Content-Length: 1", b"Content-Length: 2") + b"xx"), *ODD
    ),
    Behaviour("states a length and chunks", saying(both_lengths), *ODD),
    Behaviour("answers twice: success, then refusal", saying(lambda call: success(call) + reply(403, b"no")), *DONE),
    Behaviour(
        "answers twice: refusal, then success",
        saying(lambda call: reply(403, b"no") + success(call)),
        Effect.REFUSED,
        Code.EXTERNAL_FORBIDDEN,
    ),
    Behaviour("redirects to itself", saying(lambda call: reply(307, Location=call.target)), *ODD),
    Behaviour("redirects to another host", saying(lambda call: reply(308, Location=call.peer.elsewhere)), *ODD),
    Behaviour("says that nothing changed", refusing(304), *ODD),
    Behaviour(
        "asks for a password",
        refusing(401, WWW_Authenticate='Basic realm="calendar"'),
        Effect.REFUSED,
        Code.CREDENTIALS_REJECTED,
    ),
    Behaviour(
        "asks for a digest",
        refusing(401, WWW_Authenticate='Digest realm="calendar", qop="auth", nonce="n", opaque="o", algorithm=SHA-256'),
        Effect.REFUSED,
        Code.CREDENTIALS_REJECTED,
    ),
    Behaviour("says that the request timed out", refusing(408, Connection="close"), *LATE),
    Behaviour("says that it was misdirected", refusing(421), *ODD),
    Behaviour("says that it came too early", refusing(425, Retry_After="0"), *ODD),
    Behaviour("asks for patience", refusing(429, Retry_After="0"), Effect.REFUSED, Code.EXTERNAL_THROTTLED),
    Behaviour("is unavailable for no time at all", refusing(503, Retry_After="0"), Effect.UNKNOWN, Code.EXTERNAL_ERROR),
    Behaviour("carries it out and says 500", applied_then(500), Effect.UNKNOWN, Code.EXTERNAL_ERROR),
    Behaviour("carries it out and says 502", applied_then(502), Effect.UNKNOWN, Code.EXTERNAL_ERROR),
    Behaviour("carries it out and says that it was there", applied_then(412), Effect.UNKNOWN, Code.DUPLICATE_KEY),
    Behaviour("accepts it for later", refusing(202), Effect.UNKNOWN, Code.ACCEPTED_PENDING),
    Behaviour("answers from a cache", saying(lambda call: success(call, Age="7")), Effect.UNKNOWN, Code.REPLY_CACHED),
    Behaviour("answers in HTTP/0.9", saying_and_closing(lambda call: b"<p>\n\nstored\n"), *ODD),
    Behaviour("answers in HTTP/2 frames", saying_and_closing(lambda call: GOAWAY), *ODD),
    Behaviour("answers with a TLS alert", saying_and_closing(lambda call: ALERT), *ODD),
    Behaviour(
        "changes the protocol",
        saying(lambda call: b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + GOAWAY),
        *ODD,
    ),
    Behaviour("compresses what nobody asked for", saying(bomb), *ODD),
    Behaviour("puts a NUL into a header", saying(lambda call: head(call, b"X: a\x00b", b"Content-Length: 0")), *ODD),
    Behaviour(
        "puts bytes that are no UTF-8 into a header",
        saying(lambda call: head(call, b"X-Note: \xff\xfe\xc3", b"Content-Length: 0")),
        *DONE,
    ),
    Behaviour("promises to close and does not", keeps_open, *DONE),
)

BEHAVIOURS = SOCKET + HTTP
