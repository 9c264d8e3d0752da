"""What is made of the shares: percentiles, rates, processor time, and ratios within the one run.

Owns: the arithmetic. p50 and rate are medians over the rounds; p99 is over all counted bookings, since one round is too
short to have one. Nothing here is compared with another run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import median

from benchmarks.racing import Race, Share


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One contestant at one concurrency. Milliseconds, bookings per second, processor milliseconds per booking."""

    p50: float
    p99: float
    rate: float
    cpu: float
    server_cpu: float
    sandbox_cpu: float
    bookings: int


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * round(share * 1000) // 1000))
    return ordered[rank - 1]


def figures(shares: Sequence[Share]) -> Figures:
    everything = list(chain.from_iterable(share.taken for share in shares))

    def per_booking(seconds: Iterable[float]) -> float:
        return 1000 * sum(seconds) / len(everything)

    return Figures(
        p50=1000 * median(median(share.taken) for share in shares),
        p99=1000 * percentile(everything, 0.99),
        rate=median(len(share.taken) / share.wall for share in shares),
        cpu=per_booking(share.cpu for share in shares),
        server_cpu=per_booking(share.server for share in shares),
        sandbox_cpu=per_booking(share.others for share in shares),
        bookings=len(everything),
    )


def table(race: Race) -> Mapping[tuple[str, int], Figures]:
    return {cell: figures(shares) for cell, shares in race.items()}
