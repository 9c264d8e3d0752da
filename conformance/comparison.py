"""Two runs side by side: what was tried otherwise, and what ended otherwise.

Pure. Used for twin calibration by hand, and for the question what an update of adapter, vendor or suite changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from conformance.registry import REQUIREMENTS
from conformance.results import Judgement, Results
from gateway.contracts.base import Model


class About(Model):
    """A fact about the runs themselves that differs."""

    what: str
    before: str
    after: str


class Changed(Model):
    """A requirement that ended otherwise; None: it was not run."""

    requirement: str
    before: Judgement | None
    after: Judgement | None


@dataclass(frozen=True, slots=True)
class Comparison:
    about: tuple[About, ...]
    judgements: tuple[Changed, ...]


def compare(before: Results, after: Results) -> Comparison:
    """Differences in the order of the registry; requirements that it does not know come last."""
    return Comparison(tuple(_about(before, after)), tuple(_judgements(before, after)))


def _about(before: Results, after: Results) -> Iterator[About]:
    facts = (
        ("adapter", before.adapter.name, after.adapter.name),
        ("adapter's version", before.adapter.version, after.adapter.version),
        ("adapter's code", before.adapter.code_digest, after.adapter.code_digest),
        ("suite", before.suite, after.suite),
        ("contract version", str(before.contract_version), str(after.contract_version)),
        ("target", before.target.label, after.target.label),
        ("target's fingerprint", before.target.fingerprint, after.target.fingerprint),
        ("dialect", before.target.dialect, after.target.dialect),
        ("observer", before.target.observer, after.target.observer),
        ("profile", before.profile, after.profile),
        ("claims", before.descriptor.digest("comparison/v1")[:16], after.descriptor.digest("comparison/v1")[:16]),
    )
    for what, one, other in facts:
        if one != other:
            yield About(what=what, before=one, after=other)


def _judgements(before: Results, after: Results) -> Iterator[Changed]:
    ended = {entry.requirement: entry.judgement for entry in before.results}
    now = {entry.requirement: entry.judgement for entry in after.results}
    for requirement in (*REQUIREMENTS, *sorted((ended.keys() | now.keys()) - REQUIREMENTS.keys())):
        if ended.get(requirement) is not now.get(requirement):
            yield Changed(requirement=requirement, before=ended.get(requirement), after=now.get(requirement))
