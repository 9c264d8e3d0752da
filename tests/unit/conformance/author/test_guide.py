"""The guide's road, walked as it is written: scaffold, blocks, installation, served sandbox, suite, signature."""

from __future__ import annotations

import ast
import json
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from conformance import author
from conformance.author import scaffold
from conformance.reports import read
from conformance.results import Judgement, Verdict
from conformance.verdict import derive

GUIDE = Path(author.__file__).resolve().parents[2] / "docs" / "adapters" / "writing.md"
PLACES = {"observer": "testing", "mapping": "mapping", "acme": "adapter"}
SERVE = "from gateway.cli import main; main()"


def block(name: str) -> str:
    """What the guide shows under that name."""
    (found,) = re.findall(rf"^```\w+ {name}\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return str(found)


def put_in_place(source: str, replacement: str) -> str:
    """`source`, each definition of `replacement` in the place of the one of its name, its imports beside the others."""
    lines, shown = source.splitlines(), replacement.splitlines()
    parts = ast.parse(replacement).body
    imports = [part for part in parts if isinstance(part, ast.Import | ast.ImportFrom)]
    named = {name_of(part): "\n".join(shown[start_of(part) : part.end_lineno]) for part in parts if part not in imports}
    present = ast.parse(source).body
    for part in reversed(present):
        if (text := named.pop(name_of(part), None)) is not None:
            lines[start_of(part) : part.end_lineno] = text.splitlines()
    assert not named, f"the scaffold has no {', '.join(named)}"
    last = max(part.end_lineno or 0 for part in present if isinstance(part, ast.Import | ast.ImportFrom))
    lines[last:last] = ["\n".join(shown[start_of(part) : part.end_lineno]) for part in imports]
    return "\n".join(lines) + "\n"


def start_of(part: ast.stmt) -> int:
    return part.lineno - 1


def name_of(part: ast.stmt) -> str:
    match part:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
            return name
        case ast.AnnAssign(target=ast.Name(id=name)):
            return name
        case _:
            return ""


@dataclass(frozen=True)
class Walked:
    """An author who has come to step 7: `installed` is the package, `url` the vendor's sandbox."""

    installed: Any
    url: str
    written: int

    @property
    def project(self) -> Path:
        return Path(self.installed.project)

    def run(self, report: Path, *words: str) -> subprocess.CompletedProcess[str]:
        target = str(self.project / "conformance.toml")
        where = ("--target", target, "--report", str(report))
        return cast(
            subprocess.CompletedProcess[str], self.installed.gateway("conformance", "run", "acme", *where, *words)
        )


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Step 2: the sandbox as its command serves it, with two tokens; the directory that holds them, and its address."""
    place = tmp_path_factory.mktemp("vendor")
    for name in ("vendor", "limited"):
        (place / f"{name}.secret").write_text(secrets.token_hex(16) + "\n", encoding="ascii")
        (place / f"{name}.secret").chmod(0o600)
    tokens = ["--token-file", str(place / "vendor.secret"), "--reader-token-file", str(place / "limited.secret")]
    command = [sys.executable, "-c", SERVE, "sandbox", "serve", "--port", "0", "--control", *tokens]
    with subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        yield place, json.loads(serving.stdout.readline())["url"]
        serving.terminate()


@pytest.fixture(scope="module")
def walked(vendor: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory, install: Any) -> Walked:
    """Steps 1 and 3 to 6."""
    parent, (place, url) = tmp_path_factory.mktemp("walked"), vendor
    scaffold.write("acme", parent)
    project = parent / "acme"
    for name, module in PLACES.items():
        path = project / "acme_adapter" / f"{module}.py"
        path.write_text(put_in_place(path.read_text(encoding="utf-8"), block(name)), encoding="utf-8")
    blank = (project / "conformance.toml").read_text(encoding="utf-8").splitlines()
    (project / "conformance.toml").write_text(block("target"), encoding="utf-8")
    written = [line for name in PLACES for line in block(name).splitlines() if line.strip()]
    written += [line for line in block("target").splitlines() if line.strip() and line not in blank]
    told = (project / "conformance.toml").read_text(encoding="utf-8")
    assert "http://127.0.0.1:8090/" in told
    (project / "conformance.toml").write_text(told.replace("http://127.0.0.1:8090", url), encoding="utf-8")
    for secret in place.glob("*.secret"):
        (project / secret.name).write_bytes(secret.read_bytes())
        (project / secret.name).chmod(0o600)
    return Walked(install(project, parent / "site"), url, len(written))


def test_what_the_guide_has_the_author_write_is_under_150_lines(walked: Walked, figure: Callable[[str], None]) -> None:
    figure(f"{walked.written} lines written by the author")
    assert 100 < walked.written < 150
    assert f"You write about {round(walked.written, -1)} lines" in GUIDE.read_text(encoding="utf-8")


def test_what_the_guide_has_the_author_write_is_typed_clean_and_passes_its_tests(
    walked: Walked, tmp_path: Path
) -> None:
    for words in (
        ("mypy", "--cache-dir", str(tmp_path)),
        ("ruff", "check", "--isolated", "--no-cache", "--ignore", "I001", "."),  # where an import goes is not told
        ("pytest", "-q", "-p", "no:cacheprovider"),
    ):
        ran = walked.installed.python("-m", *words)
        assert ran.returncode == 0, ran.stdout


def test_the_plan_costs_what_the_guide_says_and_sends_nothing(walked: Walked, tmp_path: Path) -> None:
    ran = walked.run(tmp_path / "report", "--plan", "--json")
    (share,) = json.loads(ran.stdout)["plan"]["peers"]
    told = re.search(r"Here it is (\d+) writes in (\d+) slots at most", GUIDE.read_text(encoding="utf-8"))
    assert told is not None
    assert (share["writes"], share["slots"]) == (int(told[1]), int(told[2]))
    assert not (tmp_path / "report").exists()


def test_the_guides_adapter_is_conformant_and_its_run_can_be_signed(walked: Walked, tmp_path: Path) -> None:
    report = tmp_path / "report"
    ran = walked.run(report, "--json")
    results = read((report / "results.json").read_bytes())
    unsettled = [
        (entry.requirement, entry.judgement, entry.reason)
        for entry in results.results
        if entry.judgement not in (Judgement.PASSED, Judgement.NOT_APPLICABLE)
    ]
    assert (ran.returncode, unsettled) == (0, [])
    assert derive(results) is Verdict.CONFORMANT
    made = walked.installed.gateway("init", str(tmp_path / "clinic"), "--environment", "production", "--json")
    assert made.returncode == 0, made.stderr
    clinic, statement, raw = tmp_path / "clinic", str(tmp_path / "acme.jws"), str(report / "results.json")
    key, home = str(clinic / "keys" / "conformance.json"), str(clinic / "gateway")
    for words in (
        ("sign", "--report", str(report), "--key", key, "--out", statement),
        ("verify", statement, "--results", raw, "--keys", str(clinic / "gateway" / "keys.json")),
        ("install", statement, "--results", raw, "--home", home),
    ):
        done = walked.installed.gateway("conformance", *words, "--json")
        assert done.returncode == 0, done.stdout


def test_the_mistake_that_the_guide_suggests_turns_the_checks_red_that_it_names(
    walked: Walked, tmp_path: Path, install: Any
) -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    told = re.search(r"write `(.+?)` into the mapping and run again: `([\w.-]+)` and\s+`([\w.-]+)` turn red", guide)
    assert told is not None
    mistake, first, second = told.groups()
    project = tmp_path / "acme"
    scaffold.write("acme", tmp_path)
    for path in (path for path in walked.project.rglob("*") if path.is_file()):
        place = project / path.relative_to(walked.project)
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(path.read_bytes())
        place.chmod(path.stat().st_mode)
    mapping = project / "acme_adapter" / "mapping.py"
    text = mapping.read_text(encoding="utf-8")
    right = '    (409, "slot-taken"): Row(Receipt.refused(Code.SLOT_TAKEN), SOURCE),\n'
    assert text.count(right) == 1
    mapping.write_text(text.replace(right, f"    {mistake}\n"), encoding="utf-8")
    broken = Walked(install(project, tmp_path / "site"), walked.url, 0)
    ran = broken.run(tmp_path / "report", "--only", first, "--only", second, "--json")
    results = read((tmp_path / "report" / "results.json").read_bytes())
    assert ran.returncode == 1
    assert {entry.requirement: entry.judgement for entry in results.results} == {
        first: Judgement.FAILED,
        second: Judgement.FAILED,
    }
