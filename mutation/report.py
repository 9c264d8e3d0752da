"""The results of one module, judged against its justifications, and the page that tells of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mutation.mutants import Fate, Mutant
from mutation.survivors import Justification, Reason, same_sql, stale


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """`why` counts the justified survivors by reason or rule; `left` are those without."""

    module: str
    mutants: tuple[Mutant, ...]
    why: Counter[str]
    left: tuple[Mutant, ...]
    stale: tuple[tuple[Justification, str], ...]

    @property
    def killed(self) -> int:
        return sum(mutant.fate is Fate.KILLED for mutant in self.mutants)

    @property
    def timeouts(self) -> int:
        return sum(mutant.fate is Fate.TIMEOUT for mutant in self.mutants)

    @property
    def justified(self) -> int:
        return self.why.total()

    @property
    def score(self) -> str:
        """The part that tests noticed, by failing or by never ending."""
        return share(self.killed + self.timeouts, len(self.mutants))

    def plain(self) -> dict[str, Any]:
        return {
            "module": self.module,
            "mutants": len(self.mutants),
            "killed": self.killed,
            "timeouts": self.timeouts,
            "justified": dict(self.why),
            "left": [{"function": mutant.function, "change": mutant.change} for mutant in self.left],
            "stale": [{"function": entry.function, "change": change} for entry, change in self.stale],
        }


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def judge(module: str, mutants: Sequence[Mutant], known: Iterable[Justification]) -> Results:
    ours = [entry for entry in known if entry.module == module]
    why: Counter[str] = Counter()
    left: list[Mutant] = []
    for mutant in mutants:
        if not mutant.alive:
            continue
        named = next((entry.reason for entry in ours if entry.names(mutant)), None)
        if named or same_sql(mutant):
            why[named or Reason.SQL] += 1
        else:
            left.append(mutant)
    outdated = stale(ours, mutants)
    return Results(module=module, mutants=tuple(mutants), why=why, left=tuple(left), stale=tuple(outdated))


_PAGE: Final = """# Mutation testing

`make mutate` changes the code in small ways, one at a time ([mutmut](https://mutmut.readthedocs.io/) {version}), and
runs the tests of the part against each change. A change that no test notices is a survivor. Each survivor is killed by
a further test, or justified in a `survivors.toml` beside its code; a survivor without a justification fails the run,
and so does a justification without a survivor. The figures are those of `make mutate WRITE=1`.

| module | mutants | killed | timeouts | justified | left | score |
|---|---:|---:|---:|---:|---:|---:|
{rows}

{untried}*Score*: the part that tests noticed, by failing or (*timeouts*) by never ending. *Justified*: survivors with a
reason.

## Why survivors live

| reason | survivors | meaning |
|---|---:|---|
{reasons}

*sql* is found by comparing syntax trees; all others are written down one by one, with a sentence each.

## What is not mutated

Statements outside functions: tables such as the edges of the lifecycle, regular expressions, constants, annotations of
models. Their tests walk them value by value, and planted bugs change some. The texts of exceptions, by which no program
decides, and asserts, on which no refusal rests. Decorated functions are mutated although mutmut leaves them alone: the
copy in which it works spells their decorators as assignments.

Each mutant is tried by the quick tests near its code (`mutation/units.toml`), not by all tests.
"""

_UNTRIED: Final = """Not tried to the end on this code:

{modules}

`make mutate AGAIN=1` goes on where a run was broken off.

"""

_MEANING: Final[dict[str, str]] = {
    Reason.EQUIVALENT: "nothing that can be observed differs",
    Reason.TEXT: "only words for people differ",
    Reason.COST: "only time, memory or the number of calls differ",
    Reason.TWICE: "another guard refuses the same thing",
    Reason.ELSEWHERE: "a test outside the unit notices",
    Reason.MACHINE: "shows only on a machine or file system that tests cannot have",
    Reason.SQL: "only the case of SQL or of a column's name differs, which SQLite does not distinguish",
}


def page(results: Sequence[Results], untried: Sequence[str], version: str) -> str:
    """docs/mutation.md; `untried` are the modules of which no run came to its end on this code."""
    why = sum((one.why for one in results), Counter[str]())
    return _PAGE.format(
        version=version,
        rows="\n".join(f"| {' | '.join(row)} |" for row in [*map(cells, results), total(results)]),
        untried=_UNTRIED.format(modules="\n".join(f"- `{module}`" for module in untried)) if untried else "",
        reasons="\n".join(f"| {reason} | {why[reason]} | {meaning} |" for reason, meaning in _MEANING.items()),
    )


def cells(one: Results) -> list[str]:
    numbers = (len(one.mutants), one.killed, one.timeouts, one.justified, len(one.left))
    return [f"`{one.module}`", *map(str, numbers), one.score]


def total(results: Sequence[Results]) -> list[str]:
    columns = zip(
        *((len(one.mutants), one.killed, one.timeouts, one.justified, len(one.left)) for one in results), strict=True
    )
    mutants, killed, timeouts, *rest = (sum(column) for column in columns)
    return ["all", *map(str, (mutants, killed, timeouts, *rest)), share(killed + timeouts, mutants)]
