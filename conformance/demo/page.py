"""How people are shown the demo, as it happens: plain words, expected above happened, a tick or a cross.

Owns: layout only, at most 100 columns. Invariant: nothing is told by colour alone.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from conformance.demo.verdict import Check, Facts, Step
from gateway.cli.wording import MARKS, STYLES, Tone

_LABEL: Final = 10


@dataclass(slots=True)
class Page:
    """Writes to a terminal; without one it stays silent."""

    console: Console | None
    calendar: tuple[str, ...] = ()

    def opening(self, server: str, url: str, directory: Path) -> None:
        self._print(Text.assemble(("A governed commit, end to end", "bold"), f", against {server} at {url}"))
        self._print(Text.assemble(("Everything it makes is in ", "dim"), str(directory)))
        self._print(
            Text("Each step: how the attempt ended (state, code), what is known of the server (effect), and", "dim")
        )
        self._print(Text("the mutating requests that the demo itself counted on the wire between the two.", "dim"))

    def scene(self, title: str) -> None:
        self._print("", Text(title, "bold"))

    def begin(self, number: int, title: str) -> None:
        self._print("", Text.assemble((f"{number:>3}  ", "bold"), title))

    def end(self, step: Step) -> None:
        self._line(Tone.QUIET, "expected", _facts(step.expected))
        self._line(Tone.BAD if step.faults else Tone.GOOD, "happened", _facts(step.seen))
        if more := _more(step.seen):
            self._line(Tone.QUIET, "", more)
        if step.seen.calendar != self.calendar:
            self.calendar = step.seen.calendar
            for number, event in enumerate(self.calendar):
                self._line(Tone.QUIET, "" if number else "calendar", event)
        self._line(Tone.QUIET, "told", step.told)
        for fault in step.faults:
            self._line(Tone.BAD, "", fault)

    def check(self, check: Check) -> None:
        tone = Tone.GOOD if check.ok else Tone.BAD
        self._print(Text.assemble("  ", (MARKS[tone], STYLES[tone]), f"  {check.title}: ", (_told(check.seen), "bold")))
        if not check.ok:
            self._line(Tone.BAD, "expected", _told(check.expected))

    def flaw(self, code: str, where: str) -> None:
        self._print(Text(f"       {code} at {where}", "dim"))

    def trouble(self, message: str) -> None:
        self._print("", Text.assemble(("✗ ", STYLES[Tone.BAD]), message))

    def closing(self, ok: bool, steps: int, commands: Sequence[tuple[str, str]]) -> None:
        if ok:
            done = f"All {steps} steps and every check were as they should be."
            self._print("", Text.assemble(("✓ ", STYLES[Tone.GOOD]), (done, "bold")))
        else:
            self._print(
                "", Text.assemble(("✗ ", STYLES[Tone.BAD]), ("Not as it should be; see the cross above.", "bold"))
            )
        self._print("", Text("Where to go next; the server has ended, the records stay:", "bold"))
        width = max(len(command) for command, meaning in commands if meaning)
        for command, meaning in commands:
            shown = f"{command.ljust(width)}  " if meaning else command
            self._print(Text.assemble("  ", shown, (meaning, "dim")))

    def _line(self, tone: Tone, label: str, text: str) -> None:
        style = STYLES[tone] if tone in (Tone.BAD, Tone.QUIET) else ""
        mark = Text(f"  {MARKS[tone]}  ", STYLES[tone])
        self._print(Text.assemble(mark, (label.ljust(_LABEL), "dim"), " ", (text, style)))

    def _print(self, *lines: str | Text) -> None:
        if self.console is not None:
            for line in lines:
                self.console.print(line, soft_wrap=True)


def next_commands(directory: Path, attempts: Mapping[str, str]) -> list[tuple[str, str]]:
    """What to type in the demo's directory; `attempts` are attempt references by step name."""
    program = Path(sys.executable).with_name("gateway")
    found = shutil.which("gateway")
    commands = [(f"cd {directory}", "")]
    if found is None or not Path(found).samefile(program):
        commands.append((f"export PATH={program.parent}:$PATH", ""))
    commands.append(("gateway list", "all attempts, the newest first"))
    if "book" in attempts:
        commands.append((f"gateway show {attempts['book']}", "the booking's timeline"))
    if "lost-reply" in attempts:
        commands.append((f"gateway show {attempts['lost-reply']}", "the lost reply's"))
    commands.append(("gateway audit verify", "with public keys and the checkpoint alone"))
    commands.append(("gateway audit verify --journal copies/altered.db", "the copy with one byte flipped"))
    return commands


def _facts(facts: Facts) -> str:
    effect = facts.effect.value if facts.effect else "none"
    plural = "" if facts.mutating_requests == 1 else "s"
    sent = f"{facts.mutating_requests} mutating request{plural}"
    return f"{facts.state:<10} {facts.code:<22} effect {effect:<9} {sent}"


def _told(text: str) -> str:
    """Several lines go below the title, one each."""
    lines = text.splitlines()
    return text if len(lines) == 1 else "".join(f"\n       {line}" for line in lines)


def _more(facts: Facts) -> str:
    told = []
    if facts.replayed:
        told.append("the recorded outcome of an earlier attempt")
    if facts.lost_replies:
        told.append("the server's reply was withheld")
    if facts.observed and not facts.resolution:
        told.append(f"one look, read-only: {facts.observed}")
    if facts.resolution:
        told.append(f"resolved {facts.resolution} by a signed statement; state and effect stay as recorded")
    return "; ".join(told)
