"""Which JSON-RPC requests are reads: a declared call, plainly spelt, and nothing that a peer could read otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.contracts.calls import MAX_CALL_BYTES, SafeCalls

READ = "model.party.search_read"
CALLS = SafeCalls(address="/clinic/", methods=(READ, "common.version"))
JSON = ((b"Content-Type", b"application/json"),)


def holds(
    body: bytes, method: str = "POST", target: str = "/clinic/", headers: Iterable[tuple[bytes, bytes]] = JSON
) -> bool:
    return CALLS.hold(method, target, headers, body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"id":1,"method":"model.party.search_read","params":[[],{}]}',
        b' { "params" : [] , "method" : "common.version" } ',
        b'{"jsonrpc":"2.0","method":"common.version","id":null}',
        b'{"method":"model.party.search_rea\\u0064"}',  # what every reader of JSON makes of it is the declared name
    ],
)
def test_a_declared_call_is_a_read(body: bytes) -> None:
    assert holds(body)


@pytest.mark.requirement("CARD-02", "CARD-03")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b'"model.party.search_read"',
        b"{}",
        b'{"id":1,"params":[]}',
        b'{"method":"model.party.create"}',
        b'{"method":"model.party.search_read.create"}',
        b'{"method":"model.party.search_read "}',
        b'{"method":"MODEL.party.search_read"}',
        b'{"method":"model.party.search_read\\u0000"}',
        b'{"method":["model.party.search_read"]}',
        b'{"method":{"0":"model.party.search_read"}}',
        b'{"method":null}',
    ],
)
def test_any_other_call_is_mutating(body: bytes) -> None:
    assert not holds(body)


@pytest.mark.requirement("CARD-02", "CARD-03")
@pytest.mark.parametrize(
    "body",
    [
        b'{"method":"model.party.create","method":"model.party.search_read"}',
        b'{"method":"model.party.search_read","method":"model.party.search_read"}',
        b'{"method":"model.party.create","meth\\u006fd":"model.party.search_read"}',
        b'{"method":"model.party.search_read","Method":"model.party.create"}',
        b'{"method":"model.party.search_read","METHOD":"model.party.create"}',
        b'{"method":"model.party.search_read","methodName":"model.party.create"}',
        b'{"method":"model.party.search_read","__class__":"bytes"}',
        b'{"method":"model.party.search_read","params":{"a":1,"a":2}}',
        b'[{"method":"model.party.search_read"}]',
        b'[{"method":"model.party.search_read"},{"method":"model.party.create"}]',
        b'{"method":"model.party.search_read"}{"method":"model.party.create"}',
        b'{"method":"model.party.search_read"}\n{"method":"model.party.create"}',
        b'{"method":"model.party.create"}\n{"method":"model.party.search_read"}',
        b'\xef\xbb\xbf{"method":"model.party.search_read"}',
        '{"method":"model.party.search_read"}'.encode("utf-16"),
        '{"method":"model.party.search_read"}'.encode("utf-32-be"),
        b'{"method":"model.party.search_read","params":["\xff"]}',
        b'{"method":"model.party.search_read","params":[NaN]}',
        b'{"method":"model.party.search_read",}',
        b'{"method":"model.party.search_read"/**/}',
        b"{'method':'model.party.search_read'}",
        b'{method:"model.party.search_read"}',
        b'{"method":"model.party.search_read"',
        b'{"method":"model.party.search_read","params":' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"method":"model.party.search_read","params":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b'{"method":"model.party.search_read","params":[' + b"9" * 5000 + b"]}",
        b'{"method":"model.party.search_read","params":["' + b"x" * MAX_CALL_BYTES + b'"]}',
        b"method=model.party.search_read",
        b'<methodCall><methodName>model.party.create</methodName></methodCall>{"method":"model.party.search_read"}',
    ],
    ids=range(29),
)
def test_what_two_readers_could_read_as_two_calls_is_mutating(body: bytes) -> None:
    assert not holds(body)


@pytest.mark.requirement("CARD-02", "CARD-03")
@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((b"Content-Type", b"text/json"),),
        ((b"Content-Type", b"application/json; charset=utf-16"),),
        ((b"Content-Type", b"application/json;charset=utf-8"),),
        ((b"Content-Type", b"APPLICATION/JSON"),),
        ((b"Content-Type", b"text/xml, application/json"),),
        (*JSON, *JSON),
        (*JSON, (b"content-type", b"text/xml")),
        (*JSON, (b"Content-Encoding", b"gzip")),
        (*JSON, (b"CONTENT-ENCODING", b"identity")),
    ],
    ids=range(10),
)
def test_one_plain_content_type_and_no_coding_say_how_the_body_is_read(
    headers: tuple[tuple[bytes, bytes], ...],
) -> None:
    assert not holds(b'{"method":"common.version"}', headers=headers)


@pytest.mark.requirement("CARD-02", "CARD-03")
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "post", "Post", ""])
def test_only_a_post_is_a_call(method: str) -> None:
    assert not holds(b'{"method":"common.version"}', method=method)


@pytest.mark.requirement("CARD-02", "CARD-03")
@pytest.mark.parametrize(
    "target",
    [
        *("/", "/clinic", "/clinic/?", "/clinic/?method=model.party.create", "/clinic/#", "/CLINIC/", "/clinic//"),
        *("/clinic/../other/", "/%63linic/", "/clinic/;x", "/clinic/users", "http://127.0.0.1/clinic/", "", "*"),
    ],
)
def test_only_the_declared_address_as_it_is_spelt_takes_calls(target: str) -> None:
    assert not holds(b'{"method":"common.version"}', target=target)


@given(
    st.dictionaries(st.sampled_from(["id", "method", "params", "jsonrpc", "Method"]), st.text() | st.just(READ)),
    st.binary(max_size=3),
)
def test_whatever_is_held_for_a_read_is_one_for_a_plain_reader_too(members: dict[str, str], noise: bytes) -> None:
    body = json.dumps(members).encode() + noise
    assert not holds(body) or json.loads(body)["method"] in CALLS.methods


@pytest.mark.parametrize(
    "address",
    ["", "clinic/", "//", "/clinic//", "/../", "/.hidden/", "/a%2fb/", "/a?b", "/a#b", "/a;b/", "/a\\b/", "/é/"],
)
def test_an_address_has_one_reading(address: str) -> None:
    with pytest.raises(ValidationError):
        SafeCalls(address=address, methods=(READ,))


@pytest.mark.parametrize("address", ["/", "/clinic", "/clinic/", "/rpc/v1.2/clinic_1/"])
def test_a_plain_address_is_one(address: str) -> None:
    assert SafeCalls(address=address, methods=(READ,)).address == address


@pytest.mark.parametrize("methods", [(), ("model.*",), ("model.party.read ",), ("",), (".read",), (READ,) * 9])
def test_methods_are_whole_names_and_few(methods: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        SafeCalls(address="/", methods=methods)
