"""What a test counted is printed when the run ends, also where the test ran in another process."""

from __future__ import annotations

import subprocess
import sys

import pytest

ROOM = "tests/peers/test_hostile_fillers.py"


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_figure_is_printed_whichever_process_found_it(workers: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-n", workers, f"{ROOM}::test_there_are_cells_enough"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stdout
    assert f"{ROOM}: " in ended.stdout
    assert "behaviours, 308 cells" in ended.stdout
