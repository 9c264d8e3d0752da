"""What verification believes of a statement: nothing that the raw results do not yield again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from conformance.reports.document import spell
from conformance.results import Results
from conformance.statement import StatementError, draw_up
from gateway.attestation import ConformanceStatement
from gateway.contracts.references import PracticeId
from gateway.errors import InvalidInput, SignatureRefused, UsageError
from gateway.signatures import Keyring, TrustedKeys
from gateway.surfaces.keys import LocalKey
from gateway.surfaces.sign import sign

ENDED = datetime(2031, 3, 4, 9, 0, tzinfo=UTC)
NOW = ENDED + timedelta(hours=2)
END = ENDED + timedelta(days=365)


def test_a_signed_statement_with_its_results_verifies(stated):
    assert stated.verify().statement == stated.statement
    assert stated.verify(installed=None).kid == "conformance"


Path = tuple[str | int, ...]


def leaves(document: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value of a document, empty lists included, with its path."""
    children: Any = ()
    if isinstance(document, dict):
        children = document.items()
    elif isinstance(document, list):
        children = enumerate(document)
    for key, child in children:
        yield from leaves(child, (*path, key))
    if not isinstance(document, dict | list) or not document:
        yield path, document


def changed(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, list):
        return ["book.nicely"]
    if value.endswith("Z"):
        return value[:-2] + ("1Z" if value[-2] == "0" else "0Z")
    return value[:-1] + ("a" if value[-1] != "a" else "b")


def test_no_member_of_a_statement_can_be_changed_without_being_refused(stated):
    """Every single value is altered and the whole is signed again by the trusted key: the signature is not what saves
    us here. `issued_at` alone is the signer's own word, within the bounds of run and expiry, and so is `expires_at`."""
    document, tried = json.loads(stated.statement.canonical()), 0
    own = {("predicate", "gateway", "issued_at"), ("predicate", "gateway", "expires_at")}
    for path, value in leaves(document):
        if path in own:
            continue
        edited = json.loads(stated.statement.canonical())
        place = edited
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = changed(value)
        try:
            statement = ConformanceStatement.parse(json.dumps(edited))
        except InvalidInput:
            tried += 1
            continue  # no such statement can be made at all
        with pytest.raises(UsageError):
            stated.verify(statement)
        tried += 1
    assert tried > 120


def altered(statement: ConformanceStatement, change: Callable[[dict[str, Any]], object]) -> ConformanceStatement:
    document = json.loads(statement.canonical())
    change(document)
    return ConformanceStatement.parse(json.dumps(document))


def facts(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["predicate"]["gateway"]
    return found


EDITS: Mapping[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a passed check less": (lambda doc: doc["predicate"]["passedTests"].pop(), "passedTests"),
    "a passed check more": (lambda doc: doc["predicate"]["passedTests"].append("book.nicely"), "passedTests"),
    "an excuse taken for a pass": (
        lambda doc: doc["predicate"]["passedTests"].append(facts(doc)["not_applicable"].pop()),
        r"not_applicable, predicate\.passedTests",
    ),
    "the result": (lambda doc: doc["predicate"].update(result="WARNED"), "predicate.result"),
    "the code": (lambda doc: doc["subject"][0]["digest"].update(sha256="0" * 64), "subject"),
    "the name": (lambda doc: doc["subject"][0].update(name="other"), "subject"),
    "the dialect": (lambda doc: facts(doc).update(dialect="spring"), "dialect"),
    "the fingerprint": (lambda doc: facts(doc)["target"].update(fingerprint="0" * 64), "target.fingerprint"),
    "the observer's grade": (lambda doc: facts(doc)["target"].update(observer="second-credential"), "target.observer"),
    "what a twin stood in for": (lambda doc: facts(doc).update(on_twin=[]), "on_twin"),
    "the claims": (lambda doc: facts(doc)["capabilities"].update(idempotency="none"), "capabilities.idempotency"),
    "the evidence": (lambda doc: facts(doc)["at_most_once"].update(trials=1000), "at_most_once.trials"),
    "a score that nobody made": (lambda doc: facts(doc).update(mutation={"tried": 1, "caught": 1}), "mutation"),
    "the salt": (lambda doc: facts(doc).update(salt="0" * 64), "salt"),
    "what it proves": (lambda doc: facts(doc).update(proves="Everything."), "proves"),
}


@pytest.mark.parametrize(("change", "named"), EDITS.values(), ids=EDITS.keys())
def test_an_edited_statement_is_refused_naming_the_member_even_if_it_is_signed_again(stated, change, named):
    with pytest.raises(StatementError, match=rf"does not follow from results\.json: .*{named}"):
        stated.verify(altered(stated.statement, change))


def flipped(raw: bytes) -> bytes:
    return raw.replace(b'"judgement": "passed"', b'"judgement": "failed"', 1)


def one_less(raw: bytes) -> bytes:
    document = json.loads(raw)
    del document["results"][3]
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "edit", [flipped, one_less, lambda raw: raw + b" ", lambda raw: json.dumps(json.loads(raw)).encode()]
)
def test_a_results_file_that_is_not_the_very_bytes_is_refused(stated, edit):
    assert edit(stated.raw) != stated.raw
    with pytest.raises(StatementError, match=r"results\.json is not the one that was signed"):
        stated.verify(raw=edit(stated.raw))


@pytest.mark.parametrize("edit", [flipped, one_less])
def test_edited_results_yield_no_conformant_verdict_even_if_their_digest_is_signed(stated, edit):
    """Whoever holds the key signs the digest of an edited file: the verdict is derived again all the same."""
    import hashlib

    raw = edit(stated.raw)
    forged = altered(
        stated.statement,
        lambda doc: doc["predicate"]["configuration"][1]["digest"].update(sha256=hashlib.sha256(raw).hexdigest()),
    )
    with pytest.raises(StatementError, match=r"the run is (not-conformant|incomplete)"):
        stated.verify(forged, raw=raw)


def test_the_results_of_another_conformant_run_are_refused(stated):
    other: Results = stated.again(salt="ef" * 32)
    with pytest.raises(StatementError, match="is not the one that was signed"):
        stated.verify(raw=spell(other))
    with pytest.raises(StatementError, match="is not the one that was signed"):
        stated.verify(draw_up(spell(other), stated.code, now=NOW))


def test_a_statement_holds_from_its_making_until_its_end_and_not_a_second_longer(stated):
    assert stated.verify(now=END - timedelta(seconds=1))
    with pytest.raises(StatementError, match="expired on 2032-03-03"):
        stated.verify(now=END)
    with pytest.raises(StatementError, match="not valid yet"):
        stated.verify(now=NOW - timedelta(seconds=1))


def test_other_code_than_is_installed_is_refused(stated):
    with pytest.raises(StatementError, match="other code is installed than was tried"):
        stated.verify(installed=replace(stated.code, digest="0" * 64))
    with pytest.raises(StatementError, match="of adapter sandbox, not caldav"):
        stated.verify(installed=replace(stated.code, name="caldav"))


def test_no_other_key_and_no_other_kind_of_statement_counts(stated):
    stranger = LocalKey.generate("conformance")
    with pytest.raises(SignatureRefused, match="signature does not hold"):
        stated.verify(
            keys=Keyring(TrustedKeys(keys=(stranger.public([ConformanceStatement.typ], PracticeId.random()),)))
        )
    with pytest.raises(SignatureRefused, match="may not sign"):
        stated.verify(
            keys=Keyring(TrustedKeys(keys=(stated.key.public(["gateway-decision+jws"], PracticeId.random()),)))
        )


def test_it_speaks_of_no_practice_and_counts_where_its_key_is_trusted(stated):
    for practice in (PracticeId.random(), PracticeId.random()):
        keys = Keyring(TrustedKeys(keys=(stated.key.public([ConformanceStatement.typ], practice),)))
        token = sign(stated.statement, stated.key)
        assert keys.verify(token, ConformanceStatement, practice=practice).statement == stated.statement
        with pytest.raises(SignatureRefused, match="of another practice"):
            keys.verify(token, ConformanceStatement, practice=PracticeId.random())


@pytest.mark.parametrize("days", [0, 401])
def test_a_signer_cannot_state_a_longer_time_than_is_allowed(stated, days):
    with pytest.raises(InvalidInput, match=r"at most 400 days after its run|in this order"):
        altered(
            stated.statement,
            lambda doc: facts(doc).update(expires_at=(ENDED + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")),
        )
