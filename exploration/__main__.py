"""`python -m exploration`: what `make explore` runs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from exploration.explorer import Exploration, explore
from exploration.scenarios import SCENARIOS, WHOLE, by_name


def main(arguments: Sequence[str] | None = None) -> int:
    """0: every scenario exhausted, no rule broken."""
    parser = argparse.ArgumentParser(prog="exploration", description="Walk scenarios until they are exhausted.")
    parser.add_argument("scenarios", nargs="*", help=f"of {', '.join([*SCENARIOS, *WHOLE])}; default: every test run's")
    parser.add_argument("--whole", action="store_true", help="the large ones, too")
    parser.add_argument("--json", type=Path, help="write what was found to this file")
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.scenarios) - {*SCENARIOS, *WHOLE}
    if unknown:
        parser.error(f"there is no scenario {min(unknown)}")
    found: list[Exploration] = []
    for name in chosen.scenarios or [*SCENARIOS, *(WHOLE if chosen.whole else ())]:
        found.append(explore(by_name(name)))
        _say(found[-1].line())
        for failure in found[-1].failures:
            _say(failure.as_test())
    if chosen.json is not None:
        chosen.json.write_text(json.dumps([each.document() for each in found], indent=1), encoding="utf-8")
    return 0 if all(each.exhausted and not each.failures for each in found) else 1


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
