"""What people, programs and files hand in: refused without being repeated, whatever it smuggles."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from joserfc.jws import serialize_compact

from gateway.contracts.connection import Connection
from gateway.contracts.failures import Code
from gateway.contracts.outcome import Outcome
from gateway.contracts.proposal import Proposal
from gateway.contracts.statements import Decision, Resolution, Stop, Trigger, Withdrawal
from gateway.errors import ConfigurationError, InvalidInput, UsageError
from gateway.gateway import Gateway

STATEMENTS = {
    "commit": Trigger,
    "resume": Trigger,
    "check": Trigger,
    "observe": Trigger,
    "decide": Decision,
    "stop": Stop,
    "withdraw": Withdrawal,
    "resolve": Resolution,
}


def _part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _spelled(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


@pytest.mark.requirement("AUDIT-28", "PHI-01", "PHI-02", "PHI-05", "CTX-02")
@pytest.mark.parametrize("call", STATEMENTS)
async def test_nothing_of_a_malformed_token_is_repeated(site: Any, call: str) -> None:
    model = STATEMENTS[call]
    key = site.local.surface("reviewer" if call == "decide" else "operator").key
    header = {"alg": key.algorithm, "kid": key.kid, "typ": model.typ}

    def text() -> str:
        return str(site.aviary.one_of_each(f"token for {call}"))

    def signed(payload: bytes) -> str:
        return str(serialize_compact(header, payload, key.key, algorithms=[key.algorithm]))

    good = {name: text() for name in model.model_fields}
    tokens = [
        text(),
        f"{_part(_spelled({**header, 'kid': text()}))}.{_part(text().encode())}.{_part(text().encode())}",
        f"{_part(_spelled({**header, 'alg': text()}))}.{_part(text().encode())}.AAAA",
        f"{_part(_spelled({**header, 'typ': text()}))}.{_part(text().encode())}.AAAA",
        f"{_part(_spelled({**header, text(): text()}))}.{_part(text().encode())}.AAAA",
        f"{_part(text().encode())}.{_part(text().encode())}.AAAA",
        signed(text().encode()),
        signed(_spelled(text())),
        signed(_spelled({text(): text()})),
        signed(_spelled(good)),
        signed(_spelled({**good, text(): {text(): [text()]}})),
    ]
    async with site.gateway() as gateway:
        for token in tokens:
            answer = await site.witness.ask(getattr(gateway, call)(token))
            assert isinstance(answer, Outcome | UsageError)
        await site.read_back(gateway)
    assert await site.world.sent() == 0
    assert site.leaks() == []


@pytest.mark.requirement("CTX-02", "PHI-01", "PHI-05")
async def test_nothing_of_a_malformed_proposal_is_repeated(site: Any) -> None:
    def text() -> str:
        return str(site.aviary.one_of_each("proposal"))

    async with site.gateway() as gateway:
        good = (await site.proposed(gateway))[0].plain()
        documents = [
            text(),
            json.dumps(text()),
            json.dumps({text(): text()}),
            json.dumps({name: text() for name in good}),
            json.dumps({**good, text(): text()}),
            json.dumps({**good, "target": {text(): text()}}),
            json.dumps(good)[:-1] + f',"patient":{json.dumps(text())}}}',
            json.dumps({**good, "note": text() * 800}),
        ]
        documents += [json.dumps({**good, name: text()}) for name in Proposal.model_fields]
        for document in documents:
            assert isinstance(await site.witness.ask(gateway.propose(document)), UsageError)
        await site.read_back(gateway)
    assert site.leaks() == []


URL = "http://127.0.0.1:8080/token"
CONNECTIONS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "user and password": lambda plant: {"base_url": f"http://{plant('SLUG')}:{plant('SLUG')}@127.0.0.1:8080/"},
    "a password alone": lambda plant: {"base_url": f"http://:{plant('SLUG')}@127.0.0.1:8080/"},
    "a user alone": lambda plant: {"base_url": f"http://{plant('SLUG')}@127.0.0.1:8080/"},
    "words for a port": lambda plant: {"base_url": f"http://127.0.0.1:{plant('SLUG')}/"},
    "words for a scheme": lambda plant: {"base_url": f"{plant('SLUG')}://127.0.0.1:8080/"},
    "another host": lambda plant: {"base_url": f"http://{plant('SLUG')}.example:8080/"},
    "words for a zone": lambda plant: {"zone": plant("NAME")},
    "words for a host": lambda plant: {"hosts": [plant("EMAIL")]},
    "a secret for a name": lambda plant: {"credential": {"scheme": "bearer", "name": plant("TOKEN")}},
    "a secret beside the name": lambda plant: {
        "credential": {"scheme": "bearer", "name": "a", "secret": plant("TOKEN")}
    },
    "a secret beside the token endpoint": lambda plant: {
        "credential": {"scheme": "client-credentials", "name": "a", "token": {"url": URL, "secret": plant("TOKEN")}}
    },
    "a user at the token endpoint": lambda plant: {
        "credential": {
            "scheme": "client-credentials",
            "name": "a",
            "token": {"url": f"http://{plant('SLUG')}@127.0.0.1/"},
        }
    },
    "a key instead of its name": lambda plant: {
        "credential": {"scheme": "private-key-jwt", "name": "a", "token": {"url": URL, "key_id": plant("NAME")}}
    },
    "a setting of no kind": lambda plant: {"settings": {plant("SLUG"): [plant("NAME")]}},
    "a setting without a name": lambda plant: {"settings": {plant("NAME"): plant("NAME")}},
    "an unknown field": lambda plant: {plant("NAME"): plant("NAME")},
}


@pytest.mark.requirement("PHI-02", "ADAPT-07")
@pytest.mark.parametrize("name", CONNECTIONS)
def test_nothing_of_a_malformed_connection_is_repeated(aviary: Any, name: str) -> None:
    good = {
        "connection_id": "con_0123456789abcdef0123456789abcdef",
        "practice": "prc_0123456789abcdef0123456789abcdef",
        "adapter": "sandbox",
        "base_url": "http://127.0.0.1:8080/",
        "hosts": ["127.0.0.1:8080"],
        "zone": "Europe/Berlin",
    }
    assert Connection.parse(json.dumps(good)).adapter == "sandbox"
    changes = CONNECTIONS[name](lambda kind: aviary.plant(f"connection: {name}", aviary.kinds[kind]))
    with pytest.raises(InvalidInput) as raised:
        Connection.parse(json.dumps({**good, **changes}))
    error = raised.value
    said = repr(error) + str(error) + repr(vars(error)) + repr((error.__cause__, error.__suppress_context__))
    assert aviary.search([("error", said.encode())]) == []


@pytest.mark.requirement("PHI-02", "AUDIT-28")
@pytest.mark.parametrize("file", ["gateway.json", "keys.json", "seal.json", "connections", "sibling.key", "policies"])
@pytest.mark.parametrize("sealed", [True, False], ids=["sealed anew", "altered"])
async def test_nothing_of_a_spoilt_home_is_repeated_when_it_refuses_to_start(
    site: Any, file: str, sealed: bool
) -> None:
    from gateway import home

    async with site.gateway():
        pass
    path = site.local.home / file
    if path.is_dir():
        path = next(each for each in sorted(path.rglob("*")) if each.is_file() and each.suffix != ".cedar")
    text = site.aviary.watch("a spoilt file", site.aviary.plant("a spoilt file"), admitted=(str(file), "name of"))
    try:
        plain = json.loads(path.read_text())
        spoilt = json.dumps({**plain, text: text, **dict.fromkeys(plain, text)})
    except ValueError:
        spoilt = text
    path.write_text(spoilt)
    if sealed and file != "seal.json":  # sealing anew would put that one right
        try:
            home.seal(site.local.home)
        except ConfigurationError as error:
            site.witness.keep(error)
    with pytest.raises(ConfigurationError) as raised:
        async with Gateway.open(site.local.home):
            pass
    site.witness.keep(raised.value)
    contents = [(where, words.encode()) for where, words in site.witness.said]
    assert site.aviary.search(contents) == []


@pytest.mark.requirement("AUDIT-28", "PHI-01", "DEP-06")
@pytest.mark.parametrize(
    "file", ["people.json", "patients/*", "consents/*", "notices/*", "particulars/*", "identifiers/*/*"]
)
async def test_nothing_of_a_spoilt_registry_is_repeated(site: Any, file: str) -> None:
    async with site.gateway() as gateway:
        proposal, approval = await site.proposed(gateway)
        text = site.aviary.one_of_each(f"registry file {file}")
        for path in (site.local.root / "practice").glob(file):
            path.write_text(json.dumps({text: text, "name": text}))
        outcome = await site.witness.ask(gateway.commit(site.rehearsal.trigger(proposal, approval)))
        await site.read_back(gateway)
    assert outcome.code in (Code.EVIDENCE_UNAVAILABLE, Code.PARTICULARS_MISSING)
    assert await site.world.sent() == 0
    assert site.leaks() == []


@pytest.mark.requirement("PHI-02", "ADAPT-07")
async def test_nothing_of_an_unusable_credential_is_repeated(site: Any) -> None:
    async with site.gateway() as gateway:
        for text in ("two\nlines ", "no header é ", ""):
            site.local.keep_secret("sandbox", text + site.aviary.plant("credential"))
            outcome = await site.commit(gateway)
            assert outcome.code is Code.CREDENTIALS_REJECTED
        await site.read_back(gateway)
    assert site.leaks() == []
