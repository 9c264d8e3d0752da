"""The score of an author's own adapter, mutated: whether the suite would have noticed.

Owns: which wrappers are tried, and where. A wrapper whose flaw is none for the adapter's claims is left out. Where the
target is launched for the run, everything is tried there. Else, where it names a twin, on the twin: a mutation score
speaks of adapter and suite, and need not cost a vendor's sandbox hundreds of writes. Without a twin the target itself
bears those wrappers that cannot double-book; the others only if it says `mutants = true`.
A mutant is caught by the first check that goes red and was green, or not applicable, for the no-op wrapper at the same
place. The crash checks are left out: they start processes, and say little more than the lost acknowledgements do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from conformance.engine import Run, open_run
from conformance.mutants.catalogue import WRAPPERS
from conformance.mutants.wrapper import Wrapper
from conformance.results import Judgement, MutantScore, Peer
from conformance.target.file import Target
from conformance.target.ledger import Ledger
from gateway.contracts.adapter import Adapter, Descriptor

_GREEN: Final = (Judgement.PASSED, Judgement.NOT_APPLICABLE)
"""A mutant may claim what the adapter does not, so that further checks apply."""


async def mutate(
    adapter: Adapter,
    name: str,
    target: Target,
    *,
    directory: Path,
    ledger: Ledger | None = None,
    wrappers: Sequence[type[Wrapper]] = WRAPPERS,
    progress: Callable[[MutantScore], None] = lambda score: None,
) -> tuple[MutantScore, ...]:
    """Each wrapper that applies, around the adapter; `directory` is the target file's. `progress` is told of each.
    Raises as `conformance.engine.run` does."""
    tried_at, peer = place(target)
    green: tuple[str, ...] = ()
    async with open_run(Wrapper(adapter), name, tried_at, directory=directory, ledger=ledger) as honest:
        claims = honest.main.descriptor
        for requirement in honest.requirements:
            if not requirement.id.startswith("crash."):
                result = await honest.execute(requirement.id)
                green += (requirement.id,) * (result.judgement in _GREEN)
    scores: list[MutantScore] = []
    for wrapper in chosen(wrappers, target, claims):
        async with open_run(wrapper(adapter), name, tried_at, directory=directory, ledger=ledger) as mutated:
            by = await _first_red(mutated, green)
        scores.append(MutantScore(mutant=wrapper.name, caught=bool(by), by=by, peer=peer))
        progress(scores[-1])
    return tuple(scores)


async def _first_red(mutated: Run, green: tuple[str, ...]) -> tuple[str, ...]:
    for each in green:
        if (await mutated.execute(each)).judgement is Judgement.FAILED:
            return (each,)
    return ()


def chosen(wrappers: Iterable[type[Wrapper]], target: Target, claims: Descriptor) -> tuple[type[Wrapper], ...]:
    """The wrappers that apply to these claims and that the target, or its twin, may be tried with."""
    bears = target.launch is not None or target.twin is not None or target.mutants
    return tuple(each for each in wrappers if each.applies(claims) and (bears or not each.double_books))


def place(target: Target) -> tuple[Target, Peer]:
    """Where mutants of an adapter are tried, for this target."""
    if target.launch is not None or target.twin is None:
        return target, Peer.TARGET
    return target.model_copy(update={"launch": target.twin, "twin": None}), Peer.TWIN
