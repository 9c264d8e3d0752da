"""The pages about our own adapters: current, and refused where a run was one of other code."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.sandbox.adapter import SandboxAdapter
from conformance.documents import reference, systems, verdicts
from conformance.documents.verdicts import Cut, Record
from conformance.faults import Point
from conformance.results import Judgement, Results, Verdict
from gateway.conformity import identify
from gateway.contracts.adapter import Receipt
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect, ObservationFinding
from gateway.errors import UsageError
from gateway.kit.replies import Row
from gateway.testing import make_connection


@pytest.mark.parametrize("name", sorted(name for name in reference.PAGES if "/adapters/" in name))
def test_a_page_about_adapters_is_what_code_and_runs_say(name: str) -> None:
    told = f"{name} is not current: run `make docs`"
    assert (reference.ROOT / name).read_text(encoding="utf-8") == reference.PAGES[name](), told


@pytest.mark.parametrize(
    ("status", "receipt", "outcome"),
    [
        (201, Receipt.applied(), ("APPLIED", "COMMITTED")),
        (202, Receipt.applied(), ("UNKNOWN", "ACCEPTED_PENDING")),
        (409, Receipt.refused(Code.SLOT_TAKEN), ("REFUSED", "SLOT_TAKEN")),
        (503, Receipt.refused(Code.SLOT_TAKEN), ("UNKNOWN", "EXTERNAL_ERROR")),
        ("AA", Receipt.refused(Code.TARGET_CHANGED), ("REFUSED", "TARGET_CHANGED")),
    ],
)
def test_a_row_is_told_as_what_the_boundary_makes_of_it(
    status: int | str, receipt: Receipt, outcome: tuple[str, str]
) -> None:
    assert systems.outcome(status, Row(receipt, "somewhere")) == outcome


def test_a_run_of_other_code_is_not_kept(conformant: Callable[..., Results], tmp_path: Path) -> None:
    adapter = SandboxAdapter()
    code = identify(adapter, "sandbox")
    claims = adapter.describe(make_connection("http://127.0.0.1:9/"))
    made = conformant(code, claims, "standard", datetime.now(UTC))
    kept = verdicts.keep(verdicts.summarised(made), "sandbox", tmp_path)
    assert verdicts.kept(tmp_path)["sandbox"].verdict is Verdict.CONFORMANT
    assert verdicts.stale(verdicts.kept(tmp_path)[kept.stem]) is None
    other = made.model_copy(update={"adapter": made.adapter.model_copy(update={"code_digest": "ab" * 32})})
    with pytest.raises(UsageError, match="another sandbox than the one that is here"):
        verdicts.summarised(other)


def records(*given: tuple[Judgement, Effect | None, ObservationFinding | None]) -> dict[str, Record]:
    """Two runs that show the rule for a request delivered twice, and one that shows what is given, by operation."""
    one = next(iter(verdicts.kept().values()))
    rule = (Judgement.PASSED, Effect.UNKNOWN, ObservationFinding.PRESENT)

    def run(*cuts: tuple[Judgement, Effect | None, ObservationFinding | None]) -> Record:
        told = [
            Cut(point=Point.REDELIVERED, operation=operation, judgement=judged, effect=effect, sent=1, finding=finding)
            for operation, (judged, effect, finding) in zip(Operation, cuts, strict=False)
        ]
        return one.model_copy(update={"cuts": tuple(told)})

    return {"one": run(rule, rule, rule), "two": run(rule), "odd": run(*given)}


RULE = (Judgement.PASSED, Effect.UNKNOWN, ObservationFinding.PRESENT)
TWOFOLD = (Judgement.PASSED, Effect.UNKNOWN, ObservationFinding.DIFFERENT)


def test_a_cut_that_ended_otherwise_names_its_run_and_why() -> None:
    sentences = ["an earlier one"]
    *_, rule, otherwise = systems._at(Point.REDELIVERED, records(TWOFOLD, RULE), sentences)
    assert rule == "UNKNOWN, 1 sent, PRESENT"
    assert otherwise == "UNKNOWN, 1 sent, DIFFERENT: `odd` (book) (2)"
    assert sentences[1].startswith("**Two appointments stand there.**")
    assert systems._at(Point.REDELIVERED, records(TWOFOLD), sentences)[3].endswith("DIFFERENT: `odd` (2)")
    assert systems._at(Point.REDELIVERED, records(RULE), [])[3] == ""


def test_a_cut_that_ended_otherwise_and_nobody_wrote_why_is_refused() -> None:
    unseen = (Judgement.PASSED, Effect.REFUSED, ObservationFinding.PRESENT)
    with pytest.raises(ValueError, match=r"odd, redelivered, book: REFUSED, 1 sent, PRESENT; OTHERWISE does not say"):
        systems._at(Point.REDELIVERED, records(unseen), [])


def test_a_cut_that_failed_or_could_not_run_is_no_way_of_a_system() -> None:
    failed, unrun = (Judgement.FAILED, Effect.APPLIED, ObservationFinding.ABSENT), (Judgement.COULD_NOT_RUN, None, None)
    told = systems._at(Point.REDELIVERED, records(failed, unrun), [])[3]
    assert told == "APPLIED, 1 sent, ABSENT (**failed**): `odd` (book); **could-not-run**: `odd` (reschedule)"
