"""`junit.xml`, for continuous integration: a suite for each area, and one test case for the verdict.

Owns: how judgements become what such a system knows. Invariant: a skip never looks green. Every requirement is a
test case, executed or not, and the test case `verdict` fails unless the run is conformant.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from conformance.reports.markup import readable
from conformance.reports.outline import WORDS, Line, areas, headline, missing, peer_words, reason, standing
from conformance.results import Judgement, Results, Verdict
from conformance.verdict import derive

_KINDS: Final[Mapping[Judgement | None, str]] = MappingProxyType(
    {Judgement.FAILED: "failure", Judgement.HARNESS_ERROR: "error"}
)


def junit(results: Results) -> bytes:
    """The document as UTF-8. A duration is in seconds; counts of a suite are those of its cases."""
    root = ET.Element("testsuites", name=f"conformance of {results.adapter.name}")
    for area, found in areas(results).items():
        cases = [_case(line, results) for line in found]
        root.append(_suite(area, cases, results))
    root.append(_suite("verdict", [_verdict(results)], results))
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    root.set("time", f"{sum(float(suite.get('time', '0')) for suite in root):.3f}")
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'.encode()


def _suite(area: str, cases: Sequence[ET.Element], results: Results) -> ET.Element:
    suite = ET.Element("testsuite", name=area, timestamp=f"{results.started_at:%Y-%m-%dT%H:%M:%S}")
    for name, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(sum(case.find(kind) is not None for case in cases)))
    suite.set("tests", str(len(cases)))
    suite.set("time", f"{sum(float(case.get('time', '0')) for case in cases):.3f}")
    suite.extend(cases)
    return suite


def _case(line: Line, results: Results) -> ET.Element:
    seconds = line.result.seconds if line.result else 0.0
    case = ET.Element("testcase", classname=f"{results.adapter.name}.{line.area}", name=line.id, time=f"{seconds:.3f}")
    if line.counts is Judgement.PASSED:
        return case
    peer = f" [{peer_words(line.result.peer, results.profile)}]" if line.result else ""
    told = readable(f"{WORDS[line.counts]}{peer}: {reason(line, results) or line.statement}")
    kind = _KINDS.get(line.counts, "skipped")
    if line.advisory:
        kind, told = "skipped", f"advisory, {told}"
    ended = ET.SubElement(case, kind, message=told)
    if kind != "skipped":
        ended.set("type", line.counts.value if line.counts else "")
        ended.text = readable("\n".join((line.statement, *_evidence(line))))
    return case


def _verdict(results: Results) -> ET.Element:
    case = ET.Element("testcase", classname=f"{results.adapter.name}.verdict", name="verdict", time="0.000")
    if derive(results) is not Verdict.CONFORMANT:
        failure = ET.SubElement(case, "failure", message=readable(headline(results)), type=derive(results).value)
        failure.text = readable("\n".join(missing(results)))
    return case


def _evidence(line: Line) -> list[str]:
    if line.result is None:
        return []
    told = []
    if counted := standing(line.result):
        told.append(counted)
    told += [
        f"{attempt.operation}: effect {attempt.effect or 'none'}, code {attempt.code or attempt.readiness or 'none'}, "
        f"mutating requests {attempt.sent}, look {attempt.finding or 'none'}"
        for attempt in line.result.attempts
    ]
    told += [
        f"fault {receipt.point}: fired {receipt.fired}, "
        f"{'reached' if receipt.forwarded else 'did not reach'} the system, "
        f"{'answered' if receipt.answered else 'not answered'}"
        for receipt in line.result.receipts
    ]
    return told
