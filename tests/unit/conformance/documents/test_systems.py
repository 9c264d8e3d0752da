"""The pages about our own adapters: current, and refused where a run was one of other code."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.sandbox.adapter import SandboxAdapter
from conformance.documents import reference, systems, verdicts
from conformance.results import Results, Verdict
from gateway.conformity import identify
from gateway.contracts.adapter import Receipt
from gateway.contracts.failures import Code
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
