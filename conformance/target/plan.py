"""What a run is going to cost each system, told before the first request.

Owns: which checks apply, where each is carried out, and the upper bounds of writes, slots and looks that the
registry states; reads and minutes are estimates from the adapter's own budget and the connection's pace. The system's
own time to answer, deliberate timeouts and the observer's reads come on top.
Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conformance.requirement import Requirement, Tier
from conformance.results import Peer, Profile
from conformance.target.file import Target
from gateway.contracts.adapter import Descriptor


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerPlan:
    """One system's share. `requests` includes the writes; `settling_seconds` is the time spent waiting to look.
    `slots` are needed if nothing can be removed in between, `slots_at_once` in any case."""

    peer: Peer
    checks: tuple[str, ...]
    requests: int
    writes: int
    slots: int
    slots_at_once: int
    looks: int
    settling_seconds: int
    requests_per_minute: int | None

    @property
    def reads(self) -> int:
        return max(0, self.requests - self.writes)

    @property
    def minutes(self) -> float:
        """At the connection's pace; without a rate, what settling takes."""
        paced = self.requests / self.requests_per_minute if self.requests_per_minute else 0.0
        return paced + self.settling_seconds / 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`excused` do not apply by the adapter's claims; `unable` have no system that could bear them."""

    peers: tuple[PeerPlan, ...]
    excused: tuple[str, ...]
    unable: tuple[str, ...]

    def share(self, peer: Peer) -> PeerPlan | None:
        return next((share for share in self.peers if share.peer is peer), None)

    def writes(self, peer: Peer = Peer.TARGET) -> int:
        share = self.share(peer)
        return share.writes if share else 0

    def document(self) -> Mapping[str, Any]:
        """For programs."""
        return {
            "peers": [
                {
                    "peer": share.peer.value,
                    "checks": list(share.checks),
                    "reads": share.reads,
                    "writes": share.writes,
                    "slots": share.slots,
                    "looks": share.looks,
                    "settling_seconds": share.settling_seconds,
                    "minutes": round(share.minutes, 1),
                }
                for share in self.peers
            ],
            "not_applicable": list(self.excused),
            "could_not_run": list(self.unable),
        }


def plan(
    requirements: Iterable[Requirement],
    descriptor: Descriptor,
    target: Target,
    *,
    credential: bool,
    limited: bool,
    profile: Profile = Profile.SANDBOX,
) -> Plan:
    """The cost of trying `requirements`. `limited`: the target has a credential that reads without writing.
    What the target bears, a twin is tried with as well: that calibrates it."""
    shares: dict[Peer, list[Requirement]] = {Peer.TARGET: [], Peer.TWIN: []}
    excused, unable = [], []
    for requirement in requirements:
        if requirement.missing(descriptor, credential=credential):
            excused.append(requirement.id)
            continue
        peers = places(requirement, target, limited=limited, profile=profile)
        for peer in peers:
            shares[peer].append(requirement)
        if not peers:
            unable.append(requirement.id)
    found = tuple(_share(peer, share, descriptor, target) for peer, share in shares.items() if share)
    return Plan(peers=found, excused=tuple(excused), unable=tuple(unable))


def places(requirement: Requirement, target: Target, *, limited: bool, profile: Profile) -> tuple[Peer, ...]:
    """Where a requirement is tried; nowhere for want of a twin, or because this profile only reads."""
    reads_only = profile is Profile.PRODUCTION_READONLY
    if reads_only and not requirement.suits_production:
        return ()
    twin = (Peer.TWIN,) if target.twin is not None and not reads_only else ()
    heavy = requirement.tier is Tier.EXHAUSTIVE and not (target.exhaustive or target.launch is not None)
    if heavy or (requirement.stands_in and not limited):
        return twin
    return (Peer.TARGET, *twin)


def _share(peer: Peer, found: Sequence[Requirement], descriptor: Descriptor, target: Target) -> PeerPlan:
    looks = sum(requirement.looks for requirement in found)
    attempts = sum(max(1, requirement.writes) for requirement in found if requirement.slots)
    return PeerPlan(
        peer=peer,
        checks=tuple(requirement.id for requirement in found),
        requests=(attempts + looks) * (descriptor.requests_per_attempt + target.connection.credential.requests),
        writes=sum(requirement.writes for requirement in found),
        slots=sum(requirement.slots for requirement in found),
        slots_at_once=max(requirement.slots for requirement in found),
        looks=looks,
        settling_seconds=looks * descriptor.settling_seconds,
        requests_per_minute=target.connection.limits.requests_per_minute if peer is Peer.TARGET else None,
    )
