"""`python -m tests.chaos`: gateways and their PostgreSQL server killed at random; exit 1 where a rule does not hold."""

from __future__ import annotations

import argparse
import json
import sys

from tests.chaos.run import Plan, execute, spelled

USUAL = Plan()


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=USUAL.seconds)
    parser.add_argument("--gateways", type=int, default=USUAL.gateways)
    parser.add_argument("--callers", type=int, default=USUAL.callers)
    parser.add_argument("--keys", type=int, default=USUAL.keys, help="open at a time")
    parser.add_argument("--seed", type=int, default=USUAL.seed)
    parser.add_argument("--major", type=int, choices=(16, 18), default=USUAL.major, help="of the PostgreSQL server")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    words = vars(parser.parse_args())
    as_json = words.pop("json")
    report = execute(Plan(**words), lambda line: print(line, file=sys.stderr, flush=True))
    print(json.dumps(report, indent=2) if as_json else spelled(report))
    return 0 if report["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
