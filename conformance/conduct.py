"""Conduct: what an adapter did besides answering, noted in every check and judged once, over the whole run.

Owns: the slugs of misconduct, which requirement each breaks, and what counts as a leak: a secret, a canary, a test
patient's identifier, or a piece of a reply, in anything that the adapter logged, printed or raised.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from conformance.faults import Exchange
from conformance.overhearing import Overhearing
from conformance.results import Judgement, Result
from conformance.trial import Trial

CONDUCT: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "conduct.one-mutation": ("second-mutation",),
        "conduct.reads-only": ("write-in-read",),
        "conduct.bounded-codes": ("out-of-contract",),
        "conduct.confidential": ("leak",),
        "conduct.one-door": ("own-connection", "own-process"),
    }
)
"""Requirement → the misconduct that breaks it."""

_PIECE_CHARACTERS: Final = 24
_EXECUTED: Final = (Judgement.PASSED, Judgement.FAILED)


def overheard(trial: Trial, overhearing: Overhearing, exchanges: Iterable[Exchange]) -> Iterator[str]:
    """The misconduct of one trial, beyond what its attempts show."""
    yield from trial.misconduct()
    yield from (f"own-{door}" for door in overhearing.doors)
    raised = [text for attempt in trial.attempts for call in attempt.witness.calls for text in call.texts]
    texts = [*overhearing.texts, *raised]
    pieces = frozenset(_pieces(exchanges))
    if any(_leaks(text, trial.stage.confidential, pieces) for text in texts):
        yield "leak"


def judge(requirement: str, results: Iterable[Result]) -> tuple[Judgement, str | None]:
    """One of `conduct.*`, from everything that was tried; nothing tried proves nothing."""
    tried = [entry for entry in results if entry.judgement in _EXECUTED and entry.attempts]
    guilty = [entry.requirement for entry in tried if set(entry.misconduct) & set(CONDUCT[requirement])]
    if guilty:
        shown = ", ".join(guilty[:3]) + (f" and {len(guilty) - 3} more" if len(guilty) > 3 else "")
        return Judgement.FAILED, f"seen in {shown}"
    if not tried:
        return Judgement.COULD_NOT_RUN, "no attempt was made whose conduct could be judged"
    return Judgement.PASSED, None


def _leaks(text: str, confidential: Iterable[str], pieces: Collection[str]) -> bool:
    if any(secret in text for secret in confidential):
        return True
    ends = range(_PIECE_CHARACTERS, len(text) + 1) if pieces else ()
    return any(text[end - _PIECE_CHARACTERS : end] in pieces for end in ends)


def _pieces(exchanges: Iterable[Exchange]) -> Iterator[str]:
    """The replies, cut up. Pieces overlap by half, so that any run of one and a half pieces is found in a text; a
    shorter one says nothing that words of the adapter's own could not say."""
    for exchange in exchanges:
        body = exchange.reply_body.decode("utf-8", "replace")
        for start in range(0, len(body) - _PIECE_CHARACTERS + 1, _PIECE_CHARACTERS // 2):
            yield body[start : start + _PIECE_CHARACTERS]
