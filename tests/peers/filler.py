"""A little filler application in memory: it answers what the shipped HL7 v2 adapter asks, and keeps what it is told."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.peers.peer import Call, framed


@dataclass
class Filler:
    """Appointments by placer id: SCH, and the segments about patient and resources as they were asked for."""

    appointments: dict[str, tuple[str, list[str]]] = field(default_factory=dict)

    def answer(self, call: Call) -> bytes:
        segments = call.body.decode().removesuffix("\r").split("\r")
        header, named = segments[0].split("|"), {each[:3]: each.split("|") for each in segments}
        if call.target == "/SQM/S25":
            placer = named["ARQ"][1].partition("^")[0]
            shown = self.appointments.get(placer)
            found = [] if shown is None or "AIS" in named else [shown[0], *shown[1]]
            tag = f"QAK|{named['QRD'][4]}|{'OK' if found else 'NF'}"
            return reply(header, "SQR^S25^SQR_S25", "AA", tag, *found)
        event = header[8].split("^")[1]
        arq = named["ARQ"]
        placer = arq[1].partition("^")[0]
        start = named["AIS"][4]
        sch = [""] * 25
        sch[0], sch[1], sch[3], sch[8], sch[9] = arq[1], f"{arq[4][:8]}^FILLER", arq[4], arq[9], "min"
        sch[10], sch[24] = f"^^^{start}", "Cancelled" if event == "S04" else "Booked"
        self.appointments[placer] = (
            "SCH|" + "|".join(sch),
            [each for each in segments if each[:2] in ("PI", "RG", "AI")],
        )
        shown = self.appointments[placer]
        return reply(header, f"SRR^{event}^SRR_S01", "AA", shown[0], *shown[1])


def reply(header: list[str], kind: str, said: str, *segments: str) -> bytes:
    """A frame that answers the message with this MSH."""
    lines = [f"MSH|^~\\&|FILLER||PLACER||20310303||{kind}|R1|T|2.5.1", f"MSA|{said}|{header[9]}", *segments, ""]
    return framed("\r".join(lines).encode())
