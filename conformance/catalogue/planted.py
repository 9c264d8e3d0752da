"""`make planted`: put realistic bugs into copies of the tree and see at least two layers of tests catch each.

`bugs/*.patch` are unified diffs, each headed by what it is and the layers that catch it; `bugs/layers.toml` says which
tests a layer is. A layer catches a bug when its tests fail in the patched copy by what they observe and pass in the
clean one: an import that breaks, an error while collecting or a run without end is no evidence. Unit tests are one
layer, whichever areas of theirs are named. `--write` renews these bugs' rows of the table in `docs/reliability.md`.
"""

from __future__ import annotations

import argparse
import ast
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from conformance.catalogue import read_toml
from conformance.catalogue.copies import Copies, copies, run_tests
from conformance.documents.markdown import table, with_part

BUGS: Final = Path(__file__).parent / "bugs"
PAGE: Final = "docs/reliability.md"
PART: Final = "planted bugs"
ENOUGH: Final = 2
WORKERS: Final = 2
TIMEOUT_SECONDS: Final = 1200
MOST_PASSED_OVER: Final = 3
NOBODY: Final[Mapping[str, str]] = MappingProxyType({})
SET_UP: Final = "an error while it was set up or taken down"
CRASHES: Final = frozenset(
    {
        SET_UP,
        *("ImportError", "ModuleNotFoundError", "SyntaxError", "IndentationError", "NameError", "UnboundLocalError"),
        *("TypeError", "AttributeError", "KeyError", "IndexError"),
    }
)
"""By these a test fails whose code merely breaks: no evidence that it observes anything."""

_HEADER: Final = re.compile(r"(?P<says>[^\n]+)\n\nLayers: (?P<layers>[^\n]+)\n\n(?=diff --git )")
_PLACE: Final = re.compile(r"^\+\+\+ b/(\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Layer:
    """Some tests, and what they are told as. Layers of one `kind` count once."""

    name: str
    kind: str
    tests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bug:
    """One patch: what the bug is, the layers that catch it, the files that it changes."""

    path: Path
    says: str
    layers: tuple[str, ...]
    places: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.path.stem


@dataclass(frozen=True, slots=True)
class Catch:
    """What one layer did with one bug: the test that failed first, or why there is none."""

    layer: Layer
    test: str | None
    complaint: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One bug and what its layers did with it."""

    bug: Bug
    catches: tuple[Catch, ...]

    @property
    def caught(self) -> bool:
        """By every layer that it names, of two kinds at least: else the header or the table says too much."""
        kinds = {catch.layer.kind for catch in self.catches if catch.test}
        return len(kinds) >= ENOUGH and all(catch.test for catch in self.catches)


def layers() -> dict[str, Layer]:
    return {
        entry["name"]: Layer(entry["name"], entry.get("kind", entry["name"]), tuple(entry["tests"]))
        for entry in read_toml("bugs/layers.toml")["layer"]
    }


def planted() -> tuple[Bug, ...]:
    """Every patch, by name."""
    return tuple(read(path, layers()) for path in sorted(BUGS.glob("*.patch")))


def read(path: Path, known: Mapping[str, Layer]) -> Bug:
    """One patch; raises ValueError where its header is not as it should be."""
    text = path.read_text(encoding="utf-8")
    header = _HEADER.match(text)
    if header is None:
        raise ValueError(f"{path.name}: a line that says what it is, a line of layers, then the diff")
    names = tuple(header["layers"].split(", "))
    if unknown := set(names) - known.keys():
        raise ValueError(f"{path.name}: no layer {', '.join(sorted(unknown))}")
    return Bug(path, header["says"], names, tuple(_PLACE.findall(text)))


def git_apply(bug: Bug, tree: Path, *options: str) -> str | None:
    """Apply the patch in a tree; returns git's complaint where it does not apply."""
    git = shutil.which("git") or "git"
    done = subprocess.run(  # noqa: S603 (fixed program, our own patches)
        [git, "apply", *options, str(bug.path)], cwd=tree, capture_output=True, text=True, check=False
    )
    return done.stderr.strip() if done.returncode else None


def judge(bug: Bug, known: Mapping[str, Layer], tree: Path, told: Mapping[str, str] = NOBODY) -> Verdict:
    """Patch the copy, run the bug's layers in it, take the patch out again. `told` names, by layer, the test that the
    page tells of: these are tried first, all in one run, and a layer as a whole only where its own passes."""
    named = [known[name] for name in bug.layers]
    if complaint := git_apply(bug, tree):
        return Verdict(bug, tuple(Catch(layer, None, f"the patch does not apply: {complaint}") for layer in named))
    try:
        at_once = _at_once(named, tree, told)
        return Verdict(bug, tuple(at_once.get(layer.name) or _tried(layer, tree) for layer in named))
    finally:
        if complaint := git_apply(bug, tree, "--reverse"):
            raise RuntimeError(f"{bug.name} cannot be taken out again: {complaint}")


def _at_once(named: Sequence[Layer], tree: Path, told: Mapping[str, str]) -> dict[str, Catch]:
    """What the tests that the page tells of catch, by layer."""
    places = {layer.name: _defining(layer, tree, told[layer.name]) for layer in named if layer.name in told}
    files = sorted({place for found in places.values() for place in found})
    if not files:
        return {}
    chosen = " or ".join(sorted(set(told.values())))
    record, _ = run_tests(tree, files, "-k", chosen, timeout_seconds=TIMEOUT_SECONDS)
    failing = _failed(record)
    first = {
        name: next((node for node in failing if node.partition("::")[0] in found), None)
        for name, found in places.items()
    }
    nodes = sorted({node for node in first.values() if node is not None})
    again = _failed(run_tests(tree, nodes, timeout_seconds=TIMEOUT_SECONDS)[0]) if nodes else {}
    return {
        layer.name: Catch(layer, node)
        for layer in named
        if (node := first.get(layer.name)) and again.get(node) == failing[node] and failing[node] not in CRASHES
    }


def _defining(layer: Layer, tree: Path, test: str) -> list[str]:
    """The layer's files in which a test of that name stands, relative to the tree."""
    return [
        str(path.relative_to(tree))
        for place in layer.tests
        for path in (sorted((tree / place).rglob("test_*.py")) or [tree / place])
        if f"def {test}(" in path.read_text(encoding="utf-8")
    ]


def _tried(layer: Layer, tree: Path) -> Catch:
    """The layer's first test that fails by what it observes, and fails again alone: what a busy machine made fail is no
    evidence."""
    passed_over: dict[str, str] = {}
    while len(passed_over) <= MOST_PASSED_OVER:
        options = ["--maxfail=1", *(option for node in passed_over for option in ("--deselect", node))]
        record, output = run_tests(tree, layer.tests, *options, timeout_seconds=TIMEOUT_SECONDS)
        if record is None:
            return Catch(layer, None, f"did not run: {output.strip().splitlines()[-1] if output.strip() else '?'}")
        failing = _failed(record)
        if not failing:
            return Catch(layer, None, f"survived {len(record['tests'])} tests" if record["tests"] else output)
        ((node, exception),) = failing.items()
        if exception not in CRASHES:
            if _failed(run_tests(tree, [node], timeout_seconds=TIMEOUT_SECONDS)[0]) == failing:
                return Catch(layer, node)
            exception = "chance"
        passed_over[node] = exception
    told = ", ".join(f"{node} by {exception}" for node, exception in passed_over.items())
    return Catch(layer, None, f"too many tests fail without showing it: {told}")


def _failed(record: Mapping[str, Any] | None) -> dict[str, str]:
    """The tests that failed, in order, and by which exception."""
    ended = (test for test in record["tests"] if test["outcome"] in ("failed", "error")) if record is not None else ()
    return {test["node"]: test["exception"] if test["outcome"] == "failed" else SET_UP for test in ended}


def replay(bugs: Sequence[Bug], known: Mapping[str, Layer], root: Path) -> Iterator[Verdict]:
    """Judge every bug, two at a time, in the order of the bugs. First the tests that are to catch them must pass
    without any: a whole layer where a bug of it has no such test yet."""
    told = {says: tests_in(cell) for says, _, cell in told_on((root / PAGE).read_text(encoding="utf-8"))}
    wanted: dict[str, set[str | None]] = defaultdict(set)
    for bug in bugs:
        for name in bug.layers:
            wanted[name].add(told.get(bug.says, NOBODY).get(name))
    with copies(root, WORKERS) as trees, ThreadPoolExecutor(WORKERS) as pool:
        sound = pool.map(lambda name: _unbroken(known[name], wanted[name], trees), wanted)
        if complaints := [complaint for complaint in sound if complaint]:
            raise SystemExit("the tests must pass before anything is broken:\n" + "\n".join(complaints))

        def one(bug: Bug) -> Verdict:
            with trees.one() as tree:
                return judge(bug, known, tree, told.get(bug.says, NOBODY))

        yield from pool.map(one, bugs)


def _unbroken(layer: Layer, wanted: set[str | None], trees: Copies) -> str | None:
    named = sorted(each for each in wanted if each is not None)
    chosen = ["-k", " or ".join(named)] if len(named) == len(wanted) else []
    with trees.one() as tree:
        record, output = run_tests(tree, layer.tests, *chosen, timeout_seconds=TIMEOUT_SECONDS)
    return None if record is not None and record["exit"] == 0 else f"{layer.name}: {output}"


Row = tuple[str, str, str]


def row(verdict: Verdict) -> Row:
    """Of the page's table: the bug, where it is, and by layer the first test that failed."""
    return (
        verdict.bug.says,
        ", ".join(f"`{place}`" for place in verdict.bug.places),
        "; ".join(f"{catch.layer.name}: `{function(catch.test or '?')}`" for catch in verdict.catches),
    )


def renewed(page: str, verdicts: Iterable[Verdict], bugs: Iterable[Bug]) -> str:
    """The page with a row for each of `bugs` that was caught, now or (where it was not tried) before, in that order."""
    rows: dict[str, Row | None] = {row[0]: row for row in told_on(page)}
    rows |= {verdict.bug.says: row(verdict) if verdict.caught else None for verdict in verdicts}
    told = [told for bug in bugs if (told := rows.get(bug.says))]
    return with_part(page, PART, table(("planted bug", "in", "caught by"), told))


def function(node: str) -> str:
    """The test's own name, without file, class and parameters."""
    return node.partition("[")[0].rpartition("::")[2]


def told_on(page: str) -> list[Row]:
    """The rows of the page's table."""
    part = page.partition(f"<!-- {PART}: made ")[2].partition(f"<!-- {PART}: end -->")[0]
    cells = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| ")]
    return [(says, places, caught) for says, places, caught in cells[1:]]


def tests_in(cell: str) -> dict[str, str]:
    """By layer the test that caught a bug, as the last cell of its row tells."""
    return dict(re.findall(r"([a-z-]+): `(\w+)`", cell))


def disagreements(page: str, root: Path) -> list[str]:
    """Where a row of the page's table says other than its patch, or names a test that is not there, and which patch has
    no row: it was not replayed yet, or not caught."""
    wanted, defined, faults = {bug.says: bug for bug in planted()}, _tests_of(root), []
    for says, _, cell in told_on(page):
        bug, caught = wanted.pop(says, None), tests_in(cell)
        if bug is None or tuple(caught) != bug.layers:
            faults.append(f"the page tells another bug, or other layers: {says}")
        faults += [f"{says}: there is no test {test}" for test in caught.values() if test not in defined]
    return faults + [f"the page does not tell who caught: {says}" for says in wanted]


def _tests_of(root: Path) -> set[str]:
    found: set[str] = set()
    for path in (root / "tests").rglob("test_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m conformance.catalogue.planted", description=__doc__)
    parser.add_argument("bugs", nargs="*", help="only these, by the name of their patch")
    parser.add_argument("--write", action="store_true", help="renew their rows of the page's table")
    chosen = parser.parse_args(arguments)
    known, root = layers(), Path.cwd()
    bugs = [bug for bug in planted() if not chosen.bugs or bug.name in chosen.bugs]
    if missing := set(chosen.bugs) - {bug.name for bug in bugs}:
        raise SystemExit(f"no such patch: {', '.join(sorted(missing))}")
    verdicts = []
    for verdict in replay(bugs, known, root):
        verdicts.append(verdict)
        sys.stdout.write(f"{'caught' if verdict.caught else 'NOT CAUGHT'}  {verdict.bug.name}: {verdict.bug.says}\n")
        for catch in verdict.catches:
            told = catch.test or f"NO: {catch.complaint}"
            sys.stdout.write(f"    {catch.layer.name}: {told}\n")
        sys.stdout.flush()
    escaped = [verdict for verdict in verdicts if not verdict.caught]
    sys.stdout.write(f"{len(verdicts) - len(escaped)} of {len(verdicts)} planted bugs caught by two layers or more\n")
    if chosen.write:
        page = root / PAGE
        page.write_text(renewed(page.read_text(encoding="utf-8"), verdicts, planted()), encoding="utf-8")
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())
