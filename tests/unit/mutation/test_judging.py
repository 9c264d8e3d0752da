"""What a survivor needs: a reason that names it, and a reason needs a survivor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mutation.mutants import Fate, Mutant, change, read
from mutation.report import judge
from mutation.survivors import Justification, Reason
from mutation.tree import undecorated

ORIGINAL = "def later(one, other):\n    if one < other:\n        return other\n    return one\n"
MUTATED = ORIGINAL.replace("<", "<=")
CHANGE = "- if one < other:\n+ if one <= other:"


def mutant(fate: Fate, module: str = "gateway/clock.py", original: str = ORIGINAL, mutated: str = MUTATED) -> Mutant:
    return Mutant(
        key="x_later__mutmut_1",
        module=module,
        function="later",
        change=change(original, mutated),
        fate=fate,
        original=original,
        mutated=mutated,
    )


def reason(function: str = "later", changes: tuple[str, ...] = (CHANGE,)) -> Justification:
    return Justification(
        module="gateway/clock.py",
        function=function,
        changes=changes,
        reason=Reason.EQUIVALENT,
        because="Equal is equal.",
    )


@pytest.mark.parametrize("fate", [Fate.SURVIVED, Fate.UNREACHED])
def test_a_survivor_is_left_unless_a_reason_names_it(fate: Fate) -> None:
    alone, named = (judge("gateway/clock.py", [mutant(fate)], known) for known in ([], [reason()]))
    assert [left.change for left in alone.left] == [CHANGE]
    assert (named.left, named.figures().justified, named.stale) == ((), 1, ())
    for other in (reason("earlier"), reason(changes=("- if one < other:\n+ if one > other:",))):
        assert judge("gateway/clock.py", [mutant(fate)], [other]).left


@pytest.mark.parametrize("fate", [Fate.KILLED, Fate.TIMEOUT])
def test_a_reason_without_a_survivor_is_stale(fate: Fate) -> None:
    for entry in (reason(), reason("gone"), reason(changes=(CHANGE, "- gone\n+ away"))):
        judged = judge("gateway/clock.py", [mutant(fate)], [entry])
        assert [found for found, _ in judged.stale] == [entry] * len(entry.changes)
        assert (judged.left, judged.figures().score) == ((), "100.0 %")


def test_sql_in_other_letters_is_the_same_sql_and_other_words_are_not() -> None:
    def asked(text: str) -> str:
        return f"def asked(db):\n    return db.execute({text!r})\n"

    def left(old: str, new: str) -> bool:
        one = mutant(Fate.SURVIVED, "gateway/journal/_sqlite.py", asked(old), asked(new))
        return bool(judge("gateway/journal/_sqlite.py", [one], []).left)

    assert not left("SELECT a FROM b", "select a from b")
    assert left("SELECT a FROM b", "SELECT a FROM c")
    assert not left("SELECT a FROM b WHERE c = :d AND e = 'X'", "select A from B where C = :d and E = 'X'")
    assert not left("(SELECT 1 FROM b)", "(select 1 from b)")
    assert not left("effect = 'UNKNOWN' AND a", "EFFECT = 'UNKNOWN' AND A")
    assert left("SELECT a FROM b WHERE c = 'X'", "select a from b where c = 'x'")
    assert left("SELECT a FROM b WHERE c = :d", "SELECT A FROM B WHERE C = :D")
    assert left('SELECT "a" FROM b', 'SELECT "A" FROM b')
    assert left("GATED", "gated")


def test_a_column_in_other_letters_is_the_same_column_of_sqlite_alone() -> None:
    def left(module: str, new: str) -> bool:
        old = 'def asked(row):\n    return row["seq"]\n'
        return bool(judge(module, [mutant(Fate.SURVIVED, module, old, old.replace("seq", new))], []).left)

    assert not left("gateway/journal/_sqlite_reads.py", "SEQ")
    assert left("gateway/journal/_sqlite_reads.py", "XXseqXX")
    assert left("gateway/journal/_entries.py", "SEQ")


def test_the_copy_spells_decorators_as_assignments() -> None:
    source = (
        "class Held:\n    @property\n    def state(self) -> int:\n        return 1\n\n"
        "    @classmethod\n    def made(cls) -> int:\n        return 2\n"
        '\n    @first(\n        "x"\n    )\n    @second\n    def both(self) -> int:\n        return 3\n'
    )
    assert undecorated(source) == (
        "class Held:\n    def state(self) -> int:\n        return 1\n    state = property(state)\n\n"
        "    @classmethod\n    def made(cls) -> int:\n        return 2\n"
        "\n    def both(self) -> int:\n        return 3\n    both = first('x')(second(both))\n"
    )


def test_results_are_read_from_what_mutmut_writes(tmp_path: Path) -> None:
    place = tmp_path / "mutants" / "gateway"
    place.mkdir(parents=True)
    mangled = "xǁClockǁlater__mutmut"
    text = "".join(f"    def {mangled}_{which}(self):\n        return {which!r}\n" for which in ("orig", "1", "2"))
    (place / "clock.py").write_text("class Clock:\n" + text, encoding="utf-8")
    spans = {f"{mangled}_{which}": [2 * at, 2 * at + 1] for at, which in enumerate(("orig", "1", "2"), start=1)}
    (place / "clock.py.spans").write_text(json.dumps({"spans": spans}), encoding="utf-8")
    codes = {f"gateway.clock.{mangled}_1": 0, f"gateway.clock.{mangled}_2": 1}
    (place / "clock.py.meta").write_text(json.dumps({"exit_code_by_key": codes}), encoding="utf-8")
    survived, killed = read(tmp_path, "gateway/clock.py")
    assert (survived.function, survived.fate, killed.fate) == ("Clock.later", Fate.SURVIVED, Fate.KILLED)
    assert survived.change == "- return 'orig'\n+ return '1'"
    (place / "clock.py.meta").write_text(json.dumps({"exit_code_by_key": codes | {"gateway.clock.x_": None}}))
    with pytest.raises(SystemExit):
        list(read(tmp_path, "gateway/clock.py"))
