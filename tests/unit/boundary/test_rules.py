"""What may pass the door."""

from __future__ import annotations

import httpx
import pytest

from gateway.boundary import rules
from gateway.boundary.rules import HostUndeclaredError, RequestForbiddenError

HOSTS = ("calendar.example:443", "127.0.0.1:8080")
POSTS = ("/fhir/Appointment/_search", "/token")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT", "SEARCH"])
def test_safe_methods_are_free_of_effects(method: str) -> None:
    assert not rules.is_mutating(method, "/anything", ())


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST", "MKCALENDAR", "MOVE", "LOCK", "UNHEARD-OF"])
def test_every_other_method_counts_as_mutating(method: str) -> None:
    assert rules.is_mutating(method, "/anything", POSTS)


@pytest.mark.parametrize("path", ["/token", "/token/refresh", "/fhir/Appointment/_search"])
def test_declared_posts_are_safe_under_their_prefix(path: str) -> None:
    assert not rules.is_mutating("POST", path, POSTS)


def test_a_declared_directory_is_a_prefix_as_it_stands() -> None:
    assert not rules.is_mutating("POST", "/oauth/token", ("/oauth/",))
    assert rules.is_mutating("POST", "/oauth", ("/oauth/",))
    assert not rules.is_mutating("POST", "/FAX/token", ("/FAX",))


@pytest.mark.requirement("CARD-03")
@pytest.mark.parametrize(
    "path",
    [
        "/tokens",
        "/fhir/Appointment",
        "/TOKEN",
        "/token/../events",
        "/token/./events",
        "/token/..",
        "/token//events",
        "/token/%2e%2e/events",
        "/token/%2E%2E/events",
        "/token%2fevents",
        "/token/%252e%252e/events",
        "/token/..;/events",
        "/token/;x=1/events",
        "/token/%5c..%5cevents",
        "/token/\\events",
        "/token/%00",
    ],
)
def test_a_path_that_is_not_plainly_below_a_declared_one_is_mutating(path: str) -> None:
    assert rules.is_mutating("POST", path, POSTS)


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "get", "", "PUT /x HTTP/1.1\r\nX:", "A" * 30])
def test_tunnels_and_nonsense_methods_are_refused(method: str) -> None:
    with pytest.raises(RequestForbiddenError):
        rules.is_mutating(method, "/token", POSTS)


@pytest.mark.parametrize(
    "url",
    [
        "https://calendar.example:8443/",
        "http://calendar.example/",
        "https://calendar.example.evil.test/",
        "https://evil.test/",
        "http://127.0.0.1/",
        "ftp://calendar.example:443/",
        "http://127.0.0.1:0/",
    ],
)
def test_only_declared_hosts_are_destinations(url: str) -> None:
    with pytest.raises(HostUndeclaredError):
        rules.destination(httpx.URL(url), HOSTS)


def test_user_information_in_an_address_is_refused() -> None:
    with pytest.raises(RequestForbiddenError):
        rules.destination(httpx.URL("https://user:word@calendar.example/"), HOSTS)


def test_a_destination_is_spelt_out() -> None:
    place = rules.destination(httpx.URL("https://Calendar.Example/a%20b?q=1?r=2#f"), HOSTS)
    assert (place.origin, place.target, place.path) == (
        ("https", "calendar.example", 443),
        b"/a%20b?q=1?r=2",
        "/a%20b",
    )


def test_each_scheme_has_its_port() -> None:
    hosts = ("calendar.example:80", "calendar.example:443")
    assert rules.destination(httpx.URL("http://calendar.example/"), hosts).origin == ("http", "calendar.example", 80)
    assert rules.destination(httpx.URL("https://calendar.example/"), hosts).origin == ("https", "calendar.example", 443)


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "Cookie",
        "Proxy-Authorization",
        "Proxy-Connection",
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X-Original-URL",
        "X-Rewrite-URL",
    ],
)
def test_an_adapter_sets_no_credential_no_proxy_and_no_disguised_method(name: str) -> None:
    with pytest.raises(RequestForbiddenError):
        rules.request_headers(httpx.Headers({name: "x"}))


def test_framing_caching_and_host_are_the_boundarys_own() -> None:
    given = {"Host": "evil.test", "Content-Length": "9", "Transfer-Encoding": "chunked", "Expect": "100-continue"}
    given |= {"Accept-Encoding": "gzip", "Cache-Control": "only-if-cached", "Connection": "close", "If-Match": '"1"'}
    assert rules.request_headers(httpx.Headers(given)) == [(b"If-Match", b'"1"')]


def test_headers_have_a_limit() -> None:
    room = rules.MAX_HEADER_BYTES - len("X-Large")
    assert rules.request_headers(httpx.Headers({"X-Large": "x" * room}))
    with pytest.raises(RequestForbiddenError):
        rules.request_headers(httpx.Headers({"X-Large": "x" * (room + 1)}))


def test_a_name_that_is_not_ascii_is_no_reason_to_break_off() -> None:
    fields = httpx.Headers([(b"X-N\xe4me", b"1"), (b"If-Match", b"2")])
    assert rules.request_headers(fields) == [(b"X-N\xe4me", b"1"), (b"If-Match", b"2")]


@pytest.mark.parametrize(
    ("scheme", "port", "host"),
    [
        ("https", 443, b"calendar.example"),
        ("http", 80, b"calendar.example"),
        ("https", 80, b"calendar.example:80"),
        ("http", 443, b"calendar.example:443"),
        ("http", 8080, b"calendar.example:8080"),
    ],
)
def test_the_host_is_named_with_its_port_unless_the_scheme_implies_it(scheme: str, port: int, host: bytes) -> None:
    place = rules.Destination(scheme, "calendar.example", port, b"/")
    assert rules.own_headers(place, "GET", b"", credential=None) == [
        (b"Host", host),
        (b"Accept-Encoding", b"identity"),
        (b"Cache-Control", b"no-cache, no-store"),
    ]


@pytest.mark.parametrize(("method", "length"), [("PUT", b"3"), ("POST", b"3"), ("DELETE", b"3"), ("PROPFIND", b"3")])
def test_a_request_says_how_long_its_body_is_and_who_asks(method: str, length: bytes) -> None:
    place = rules.Destination("https", "calendar.example", 443, b"/")
    own = rules.own_headers(place, method, b"abc", credential="Bearer token")
    assert own[3:] == [(b"Content-Length", length), (b"Authorization", b"Bearer token")]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_request_without_a_body_states_no_length(method: str) -> None:
    place = rules.Destination("https", "calendar.example", 443, b"/")
    assert dict(rules.own_headers(place, method, b"", credential=None)).keys() == {
        b"Host",
        b"Accept-Encoding",
        b"Cache-Control",
    }


@pytest.mark.parametrize(
    ("fields", "encoded"),
    [
        ({}, False),
        ({"Content-Encoding": ""}, False),
        ({"Content-Encoding": " Identity "}, False),
        ({"Content-Encoding": "gzip"}, True),
        ({"Content-Encoding": "identity, br"}, True),
    ],
)
def test_content_that_nobody_asked_to_be_compressed_is_known_by_its_field(
    fields: dict[str, str], encoded: bool
) -> None:
    assert rules.is_encoded(httpx.Headers(fields)) is encoded


@pytest.mark.requirement("CACHE-01")
@pytest.mark.parametrize(
    "fields",
    [
        {"Age": "1"},
        {"Age": "0600"},
        {"Age": "X"},
        {"X-Cache": "HIT from proxy"},
        {"X-Cache": "MISS, HIT"},
        {"CF-Cache-Status": "HIT"},
        {"Cache-Status": "edge; hit; ttl=10"},
        {"Warning": '110 proxy "stale"'},
        {"Warning": '199 - "x", 111 proxy "revalidation failed"'},
    ],
)
def test_a_reply_that_a_cache_made_is_known_by_its_fields(fields: dict[str, str]) -> None:
    assert rules.is_cached(httpx.Headers(fields))


@pytest.mark.parametrize(
    "fields", [{}, {"Age": "0"}, {"X-Cache": "MISS"}, {"Warning": '199 - "x"'}, {"Cache-Status": "edge; fwd=miss"}]
)
def test_an_origins_own_reply_is_not_taken_for_a_cached_one(fields: dict[str, str]) -> None:
    assert not rules.is_cached(httpx.Headers(fields))


@pytest.mark.parametrize(
    ("method", "status", "fields", "marked"),
    [
        ("GET", 200, {"Content-Length": "0"}, True),
        ("GET", 200, {"Transfer-Encoding": "chunked"}, True),
        ("GET", 200, {}, False),
        ("PUT", 201, {"Transfer-Encoding": "gzip"}, False),
        ("PUT", 201, {"Transfer-Encoding": "chunked", "Content-Length": "5"}, False),
        ("PUT", 201, {"Transfer-Encoding": "gzip", "Content-Length": "5"}, False),
        ("PUT", 204, {}, True),
        ("HEAD", 200, {}, True),
        ("GET", 200, {"Transfer-Encoding": " Chunked "}, True),
    ],
)
def test_a_reply_must_say_where_it_ends(method: str, status: int, fields: dict[str, str], marked: bool) -> None:
    assert rules.marks_its_end(method, status, httpx.Headers(fields)) is marked


@pytest.mark.parametrize(
    ("method", "location", "mutating", "visible"),
    [
        ("PROPFIND", "/calendars/", False, True),
        ("GET", "https://calendar.example/other", False, True),
        ("GET", "https://evil.test/", False, False),
        ("GET", "http://calendar.example/", False, False),
        ("GET", "//evil.test/", False, False),
        ("GET", "https://[broken", False, False),
        ("GET", "https://calendar.example:port/", False, False),
        ("POST", "/events", False, False),
        ("PUT", "/elsewhere", True, False),
    ],
)
def test_a_client_learns_only_of_redirects_that_may_be_followed(
    method: str, location: str, mutating: bool, visible: bool
) -> None:
    fields = httpx.Headers({"Location": location, "Refresh": "0; url=/", "Set-Cookie": "a=b", "ETag": '"1"'})
    kept = rules.reply_headers(fields, 307, method, httpx.URL("https://calendar.example/start"), mutating=mutating)
    assert ("location" in kept, "refresh" in kept) == (visible, visible)
    assert "set-cookie" not in kept
    assert kept["etag"] == '"1"'


@pytest.mark.parametrize(("status", "redirects"), [(299, False), (300, True), (399, True), (400, False)])
def test_only_a_redirect_hides_its_location(status: int, redirects: bool) -> None:
    fields = httpx.Headers({"Location": "https://evil.test/"})
    kept = rules.reply_headers(fields, status, "PUT", httpx.URL("https://calendar.example/start"), mutating=True)
    assert ("location" not in kept) is redirects


def test_a_redirect_without_a_location_leads_nowhere_else() -> None:
    base = httpx.URL("https://calendar.example/start")
    kept = rules.reply_headers(httpx.Headers({"Refresh": "1"}), 304, "GET", base, mutating=False)
    assert kept["refresh"] == "1"


def test_the_location_of_what_was_created_is_no_redirect() -> None:
    created = httpx.Headers({"Location": "/Appointment/1"})
    kept = rules.reply_headers(created, 201, "POST", httpx.URL("https://calendar.example/start"), mutating=True)
    assert kept["location"] == "/Appointment/1"


@pytest.mark.parametrize(
    ("scheme", "encrypted", "is_mllp"),
    [("http", False, False), ("https", True, False), ("mllp", False, True), ("mllps", True, True)],
)
def test_a_scheme_says_whether_to_encrypt_and_what_to_speak(scheme: str, encrypted: bool, is_mllp: bool) -> None:
    place = rules.destination(httpx.URL(f"{scheme}://calendar.example:443/"), HOSTS)
    assert (place.encrypted, place.is_mllp) == (encrypted, is_mllp)
