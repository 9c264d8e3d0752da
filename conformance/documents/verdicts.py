"""What a run of the suite showed of one of our own adapters, kept beside the documentation that tells it.

    docs/adapters/verdicts/NAME.json        one run, at one target

Owns: the record, which is small and holds no exchange, and the rule by which it grows stale: it counts for one contract
version, for the adapter's code and for that of `gateway.kit`, with which it decides what a reply means, both without
comments and docstrings. The rest of the gateway, and the suite, are those of the day of the run. It is evidence for
readers, no statement: what a practice's gateway believes is signed (`gateway conformance sign`).
Refuses: the results of adapters that are not under `adapters/`.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Mapping
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from conformance.faults import Point
from conformance.registry import LOST, NAME
from conformance.results import AtMostOnce, Judgement, Peer, RequirementId, Results, Verdict
from conformance.verdict import derive
from gateway.conformity import identify
from gateway.contracts.adapter import CONTRACT_VERSION, Descriptor
from gateway.contracts.base import Model, Slug
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect, ObservationFinding
from gateway.errors import UsageError

ROOT: Final = Path(__file__).resolve().parents[2]
ADAPTERS: Final = ROOT / "adapters"
KIT: Final = ROOT / "gateway" / "kit"
VERDICTS: Final = ROOT / "docs" / "adapters" / "verdicts"


class Cut(Model):
    """One commit, cut: how the check ended, what was said of it, and what a look found then. `sent` counts mutating
    requests on the wire; `finding` is None where nobody looked."""

    point: Point
    operation: Operation
    judgement: Judgement
    effect: Effect | None = None
    sent: Annotated[int, Field(ge=0)] = 0
    finding: ObservationFinding | None = None
    twin: bool = False


class Record(Model):
    """One run. `peer` is the label of the system, with its version; `code` the digest of what was tried; `on_twin` the
    checks that were made on the `twin` beside the system, not on the system."""

    adapter: Slug
    peer: str
    twin: str | None
    on_twin: tuple[RequirementId, ...] = ()
    dialect: Slug
    claims: Descriptor
    verdict: Verdict
    judged: dict[Judgement, int]
    contract_version: int
    code: str
    on: date
    seconds: Annotated[int, Field(ge=0)]
    at_most_once: AtMostOnce
    cuts: tuple[Cut, ...]


def package(adapter: str) -> Path:
    """The directory that holds an adapter's code; raises `UsageError`."""
    found = ADAPTERS / adapter.replace("-", "_")
    if not (found / "plugin.py").is_file():
        raise UsageError(f"{adapter} is none of our own adapters: there is no adapters/{found.name}/plugin.py")
    return found


def code(adapter: str) -> str:
    """SHA-256 over the modules that `plugin.py` reaches within its package, and over `gateway.kit`, without comments,
    docstrings and layout. The same in every version of Python."""
    content = hashlib.sha256()
    for path in (*sorted(reached(package(adapter))), *sorted(KIT.glob("*.py"))):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        content.update(f"{path.parent.name}/{path.name}\n{_spelled(tree)}\n".encode())
    return content.hexdigest()


def _spelled(node: object) -> str:
    """A part of a syntax tree as text. `ast.dump` is no such text: versions of Python differ in which fields exist, and
    which it shows. Here a field counts only where it holds something."""
    if isinstance(node, ast.AST):
        fields = sorted((name, _spelled(value)) for name, value in ast.iter_fields(node))
        return f"{type(node).__name__}({', '.join(f'{name}={text}' for name, text in fields if text)})"
    if isinstance(node, list):
        told = [_spelled(each) for each in node if not _does_nothing(each)]
        return f"[{', '.join(told)}]" if told else ""
    return "" if node is None else ascii(node)


def _does_nothing(node: object) -> bool:
    """Whether a statement is `pass`, or text alone."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return isinstance(node, ast.Pass)


def reached(directory: Path) -> set[Path]:
    """The modules of a package that its `plugin.py` imports, and what they import of it: what a commit runs."""
    found: set[Path] = set()
    todo = [directory / "plugin.py"]
    while todo:
        path = todo.pop()
        if path not in found and path.is_file():
            found.add(path)
            todo += [directory / f"{name}.py" for name in _imported(path, f"adapters.{directory.name}")]
    return found


def _imported(path: Path, package: str) -> Iterator[str]:
    """The modules of its own package that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == package:
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{package}."):
            yield str(node.module).removeprefix(f"{package}.")
        elif isinstance(node, ast.Import):
            yield from (each.name.removeprefix(f"{package}.") for each in node.names if each.name.startswith(package))


def summarised(results: Results) -> Record:
    """The record of a run; the verdict is derived again. Raises `UsageError` where the run was one of other code."""
    name = results.adapter.name
    offered = import_module(f"adapters.{package(name).name}.plugin").gateway_adapters()
    if identify(offered[name], name).digest != results.adapter.code_digest:
        raise UsageError(f"the results are of another {name} than the one that is here; run it again")
    on_twin = tuple(each.requirement for each in results.results if each.peer is Peer.TWIN)
    judgements = [each.judgement for each in results.results]
    return Record(
        adapter=name,
        peer=results.target.label,
        twin=results.target.twin if on_twin else None,
        on_twin=on_twin,
        dialect=results.target.dialect,
        claims=results.descriptor,
        verdict=derive(results),
        judged={each: judgements.count(each) for each in Judgement if each in judgements},
        contract_version=results.contract_version,
        code=code(name),
        on=results.ended_at.date(),
        seconds=round((results.ended_at - results.started_at).total_seconds()),
        at_most_once=results.at_most_once,
        cuts=tuple(_cuts(results)),
    )


def _cuts(results: Results) -> Iterator[Cut]:
    by_id = {each.requirement: each for each in results.results}
    for point in LOST:
        for operation in Operation:
            found = by_id.get(f"lost.{point}.{NAME[operation]}")
            if found is None:
                continue
            acted = [each for each in found.attempts if each.operation is operation]
            last = acted[-1] if acted else None
            yield Cut(
                point=point,
                operation=operation,
                judgement=found.judgement,
                effect=last.effect if last else None,
                sent=last.sent if last else 0,
                finding=last.finding if last else None,
                twin=found.peer is Peer.TWIN,
            )


def keep(record: Record, name: str, directory: Path = VERDICTS) -> Path:
    """Write the record of the run called `name`."""
    directory.mkdir(exist_ok=True)
    path = directory / f"{name}.json"
    path.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return path


def kept(directory: Path = VERDICTS) -> Mapping[str, Record]:
    """All records, by the name of the run."""
    found = sorted(directory.glob("*.json"))
    return {path.stem: Record.model_validate_json(path.read_bytes()) for path in found}


def stale(record: Record) -> str | None:
    """Why the record says nothing of what is here now; None: it does."""
    if record.contract_version != CONTRACT_VERSION:
        return f"contract version {record.contract_version}, not {CONTRACT_VERSION}"
    return None if record.code == code(record.adapter) else "the adapter's code, or gateway.kit, is another one now"
