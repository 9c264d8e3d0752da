"""A filler application for tests: a practice's schedule behind python-hl7's MLLP server and its messages.

Owns: what a filler does with SRM and SQM over the scheduling engine of the twins, as the settings of `testing.py` say
that partners agree to. Framing, parsing, escaping and acknowledgements are python-hl7's; no code is the adapter's.
Refuses: what it cannot read (AE 102), what it does not know (AR 200, AE 204), a client whose certificate may not write.
Invariant: a request is tallied before anything else is done about it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final
from zoneinfo import ZoneInfo

import hl7
from hl7.mllp import InvalidBlockError, start_hl7_server

from gateway.testing.engine import Appointment, Booking, Engine, RejectedError, Rejection, Status

ERRORS: Final = MappingProxyType(
    {
        Rejection.INVALID: "103^Table value not found^HL70357",
        Rejection.KEY_REUSED: "205^Duplicate key identifier^HL70357",
        Rejection.NOT_BOOKED: "204^Unknown key identifier^HL70357",
        Rejection.NOT_FOUND: "204^Unknown key identifier^HL70357",
        Rejection.SLOT_TAKEN: "207^Application internal error^HL70357",
        Rejection.STALE_VERSION: "204^Unknown key identifier^HL70357",
    }
)
SLOT_TAKEN: Final = "SLOT-TAKEN"
FORBIDDEN: Final = "NOT-ALLOWED"
_MINUTES: Final = "min^minute^ISO+"


@dataclass(frozen=True, slots=True)
class Filler:
    """One filler over one database. It speaks wall time of `zone`, or with `offsets`; it answers queries, or not. One
    that `compares_first` looks at versions and slots before keys: a request that it carried out already it refuses."""

    engine: Engine
    zone: str
    offsets: bool = False
    queries: bool = True
    compares_first: bool = False

    def answer(self, message: hl7.Message, *, may_write: bool) -> str:
        """The application's reply, as it goes into its frame."""
        kind, event = _text(message, "MSH", 9, 1), _text(message, "MSH", 9, 2)
        if kind == "SRM":
            self.engine.tally(kind, event, _text(message, "ARQ", 1))
            if not may_write:
                return _reply(message, "ACK", "AR", _error("207", FORBIDDEN))
        try:
            if kind == "SRM" and event in ("S01", "S02", "S04"):
                return _reply(message, f"SRR^{event}^SRR_S01", "AA", *self._shown(self._write(event, message), message))
            if kind == "SQM" and self.queries:
                return self._found(message)
        except RejectedError as error:
            own = SLOT_TAKEN if error.rejection is Rejection.SLOT_TAKEN else ""
            return _reply(message, f"SRR^{event}^SRR_S01", "AE", _error(ERRORS[error.rejection], own))
        except (ValueError, LookupError):
            return _reply(message, "ACK", "AE", _error("102^Data type error^HL70357"))
        return _reply(message, "ACK", "AR", _error("200^Unsupported message type^HL70357"))

    def _write(self, event: str, message: hl7.Message) -> Appointment:
        key = _text(message, "ARQ", 4) or _text(message, "ARQ", 1)
        if event == "S01":
            if key != _text(message, "ARQ", 1):
                raise RejectedError(Rejection.INVALID)
            booking = self._booking(message)
            if self.compares_first and not self.engine.is_free(booking.participants, booking.start, booking.end):
                raise RejectedError(Rejection.SLOT_TAKEN)
            return self.engine.book(key, booking).appointment
        identifier, _, version = _text(message, "ARQ", 2).partition(".")
        current = self.engine.appointment(identifier)
        if self.compares_first and (current is None or str(current.version) != version):
            raise RejectedError(Rejection.STALE_VERSION)
        if event == "S02":
            return self.engine.reschedule(key, identifier, version, self._booking(message)).appointment
        return self.engine.cancel(key, identifier, version, _text(message, "ARQ", 6)).appointment

    def _booking(self, message: hl7.Message) -> Booking:
        start = self._instant(_text(message, "AIS", 4))
        who = tuple(message.unescape(str(each[3][0])) for name in ("AIP", "AIG") for each in _segments(message, name))
        return Booking(
            patient=_text(message, "PID", 3),
            participants=who,
            location=_text(message, "AIL", 3),
            service=_text(message, "AIS", 3),
            reason=_text(message, "ARQ", 6),
            start=start,
            end=start + timedelta(minutes=int(_text(message, "AIS", 7))),
        )

    def _found(self, message: hl7.Message) -> str:
        """By placer id where the query says no time, else whatever is booked then for anybody that it names."""
        tag = _text(message, "QRD", 4)
        if _segments(message, "AIS"):
            asked = self._booking(message)
            found = [
                each
                for each in self.engine.appointments()
                if each.status is Status.BOOKED
                and set(each.booking.participants) & set(asked.participants)
                and each.booking.start < asked.end
                and each.booking.end > asked.start
            ]
        else:
            placer = _text(message, "ARQ", 1)
            found = [each for each in self.engine.search(placer) if each.keys[0] == placer]
        shown = [segment for each in found for segment in self._shown(each, message)]
        return _reply(message, "SQR^S25^SQR_S25", "AA", f"QAK|{tag}|{'OK' if found else 'NF'}", *shown)

    def _shown(self, appointment: Appointment, message: hl7.Message) -> list[str]:
        what, say = appointment.booking, message.escape
        length = str((what.end - what.start) // timedelta(minutes=1))
        start, end = self._stamp(what.start), self._stamp(what.end)
        placer, group = appointment.keys[0], appointment.keys[-1]
        status = "Booked" if appointment.status is Status.BOOKED else "Cancelled"
        sch = [""] * 25
        sch[0], sch[1], sch[3] = f"{placer}^PLACER", f"{appointment.id}.{appointment.version}^FILLER", f"{group}^PLACER"
        sch[5], sch[8], sch[9], sch[10] = say(what.reason or ""), length, _MINUTES, f"^^^{start}^{end}"
        sch[15], sch[19], sch[24] = "FILLER", "FILLER", f"{status}^^HL70278"
        people = [f"AIP|{number}||{say(each)}||||" for number, each in enumerate(what.participants, start=1)]
        return [
            "SCH|" + "|".join(sch),
            f"PID|1||{say(what.patient)}||",
            "RGS|1",
            f"AIS|1||{say(what.service)}|{start}|||{length}|{_MINUTES}",
            *people,
            f"AIL|1||{say(what.location)}",
        ]

    def _stamp(self, moment: datetime) -> str:
        local = moment.astimezone(ZoneInfo(self.zone))
        return f"{local:%Y%m%d%H%M%S%z}" if self.offsets else f"{local:%Y%m%d%H%M%S}"

    def _instant(self, text: str) -> datetime:
        read: datetime | None = hl7.parse_datetime(text)
        if read is None:
            raise ValueError("no time stamp")
        return (read if read.tzinfo else read.replace(tzinfo=ZoneInfo(self.zone))).astimezone(UTC)


@asynccontextmanager
async def listen(
    filler: Filler, tls: ssl.SSLContext | None = None, writers: Callable[[Any], bool] = lambda certificate: True
) -> AsyncIterator[int]:
    """Serve on a free loopback port while the context is open. `writers` says whose certificate may write."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: Any, writer: Any) -> None:
        may_write = writers(writer.get_extra_info("peercert"))
        try:
            while True:
                message = await reader.readmessage()
                reply = filler.answer(message, may_write=may_write)
                if _text(message, "MSH", 15) == "AL":
                    writer.writeblock(_reply(message, "ACK", "CA").encode())
                writer.writeblock(reply.encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError, InvalidBlockError, ValueError):
            pass  # the client is gone, or says nothing that can be read
        finally:
            writer.transport.abort()

    def begin(reader: Any, writer: Any) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await start_hl7_server(begin, "127.0.0.1", 0, encoding="utf-8", ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # connections that were cut report their end in the loop's next turn


def _reply(message: hl7.Message, kind: str, said: str, *segments: str) -> str:
    """python-hl7's acknowledgement, under the reply's own message type, and what follows it."""
    acknowledgement = message.create_ack(said)
    header, msa = str(acknowledgement.segment("MSH")), str(acknowledgement.segment("MSA"))
    fields = header.split("|")
    fields[8] = kind
    return "\r".join(["|".join(fields), msa, *segments, ""])


def _error(code: str, own: str = "") -> str:
    return f"ERR|||{code}|E|{own}"


def _segments(message: hl7.Message, name: str) -> list[Any]:
    try:
        return list(message.segments(name))
    except KeyError:
        return []


def _text(message: hl7.Message, segment: str, field: int, component: int = 1) -> str:
    """One component, unescaped; empty where it is not there."""
    try:
        return str(message.unescape(message.extract_field(segment, 1, field, 1, component, 1)))
    except LookupError:
        return ""
