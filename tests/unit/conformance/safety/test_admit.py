"""Admission: who is turned away before anything is sent."""

from __future__ import annotations

import socket

import pytest

from conformance.results import Profile
from conformance.target import safety
from conformance.target.file import TargetError
from conformance.target.safety import admit, admit_launched, load, prepare


def admitted(path, profile=Profile.SANDBOX, **how):
    admit(load(path), profile=profile, **how)


def untouched(server: socket.socket) -> bool:
    try:
        server.accept()
    except BlockingIOError:
        return True
    return False


@pytest.fixture(autouse=True)
def _no_list_of_this_machines(monkeypatch):
    monkeypatch.delenv(safety.DENY_VARIABLE, raising=False)


@pytest.fixture
def resolves(monkeypatch):
    """Makes every name resolve to these addresses."""

    def resolves(*addresses: str) -> None:
        answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 0)) for each in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)

    return resolves


def test_a_sandbox_on_this_machine_is_admitted_and_not_spoken_to(write, listening):
    admitted(write(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}/"), writes=60, slots=60)
    assert untouched(listening)


def test_what_is_not_said_to_be_a_sandbox_is_refused(write, listening):
    path = write(("sandbox = true", "sandbox = false"), base_url=f"http://127.0.0.1:{listening.getsockname()[1]}/")
    with pytest.raises(TargetError, match="sandbox is false"):
        admitted(path)
    assert untouched(listening)


def test_production_may_be_read(write):
    admitted(write(("sandbox = true", "sandbox = false")), Profile.PRODUCTION_READONLY)


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("https://ehr.example.org/fhir/", "ehr.example.org"),
        ("https://EHR.example.org/fhir/", "Ehr.Example.org"),
        ("https://ehr.example.org./fhir/", "ehr.example.org"),
        ("https://ehr.example.org/fhir/", "ehr.example.org:443"),
        ("https://ehr.example.org:8443/", "ehr.example.org:8443"),
        ("https://ehr.example.org/fhir/", ".example.org"),
        ("https://example.org/fhir/", ".example.org"),
        ("https://other.example/", "93.184.216.34"),
        ("https://other.example/", "93.184.216.34:443"),
        ("https://[2606:2800:220:1::1]:8443/", "[2606:2800:220:1:0::1]:8443"),
        ("https://[2606:2800:220:1::1]/", "[2606:2800:220:1::1]"),
    ],
)
@pytest.mark.parametrize("where", ["target", "call", "file"])
@pytest.mark.parametrize("profile", list(Profile))
def test_a_denied_server_is_refused_wherever_the_entry_stands(
    write, resolves, monkeypatch, tmp_path, url, entry, where, profile
):
    resolves("2606:2800:220:1::1" if "[" in url else "93.184.216.34")
    listed = tmp_path / "deny"
    listed.write_text(f"# never\n\nfirst.example  # a comment\n{entry}\n")
    if where == "file":
        monkeypatch.setenv(safety.DENY_VARIABLE, str(listed))
    path = write(("writes", f'deny = ["{entry}"]\nwrites'), base_url=url) if where == "target" else write(base_url=url)
    with pytest.raises(TargetError, match="deny list"):
        admitted(path, profile, deny=(entry,) if where == "call" else ())


@pytest.mark.parametrize(
    "entry", ["ehr.example.org", "ehr.example.com:8443", ".hr.example.com", "example.com", "1.2.3.4", "[::1]:443"]
)
def test_an_entry_for_another_server_denies_nothing(write, resolves, entry):
    resolves("93.184.216.34")
    admitted(write(base_url="https://ehr.example.com/"), deny=(entry,))


@pytest.mark.parametrize("entry", ["https://ehr.example.com", "*.example.com", "", "ehr example", "host:port"])
def test_an_entry_that_means_nothing_stops_the_run(write, entry):
    with pytest.raises(TargetError, match="deny list has an entry"):
        admitted(write(), deny=(entry,))


def test_a_deny_file_that_is_gone_stops_the_run(write, monkeypatch, tmp_path):
    monkeypatch.setenv(safety.DENY_VARIABLE, str(tmp_path / "gone"))
    with pytest.raises(TargetError, match=r"GATEWAY_CONFORMANCE_DENY names is not there"):
        admitted(write())


def test_a_budget_below_the_plan_is_refused_unless_nothing_is_written(write):
    with pytest.raises(TargetError, match=r"writes = 60 .* plans 61 writes"):
        admitted(write(), writes=61)
    admitted(write(), writes=60)
    admitted(write(), Profile.PRODUCTION_READONLY, writes=61)


def test_a_pool_below_the_plan_is_refused(write):
    with pytest.raises(TargetError, match=r"pool.slots = 60 .* needs 61"):
        admitted(write(), slots=61)


@pytest.mark.parametrize("subjects", ['["a", "a"]', '["a", " "]'])
def test_subjects_are_two_different_people(write, subjects):
    with pytest.raises(TargetError, match=r"pool\.subjects"):
        admitted(write(('["canary-subject-1", "canary-subject-2"]', subjects)))


def test_plain_http_goes_to_this_machine_or_to_a_network_declared_private(write, resolves):
    resolves("10.1.2.3")
    private = ("[pool]", "[connection.limits]\n[pool]"), ("base_url =", 'network = "private"\nbase_url =')
    admitted(write(*private, base_url="http://pms.lan/"))
    with pytest.raises(TargetError, match=r"connection.network = 'private'"):
        admitted(write(base_url="https://pms.lan/"))
    resolves("93.184.216.34")
    admitted(write(base_url="https://vendor.example/"))
    for replacements in ((), private):
        for base_url in ("http://vendor.example/", "mllp://vendor.example:2575"):
            with pytest.raises(TargetError, match="not encrypted, and leads to a public address"):
                admitted(write(*replacements, base_url=base_url))
    admitted(write(base_url="mllps://vendor.example"))


@pytest.mark.parametrize("address", ["169.254.169.254", "100.100.100.200", "224.0.0.1"])
def test_addresses_that_no_system_has_are_refused(write, resolves, address):
    resolves(address)
    with pytest.raises(TargetError, match="may not go"):
        admitted(write(base_url="https://vendor.example/"))


def test_a_name_without_an_address_is_refused(write, monkeypatch):
    def fail(*_, **__):
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(TargetError, match="has no address right now"):
        admitted(write(base_url="https://vendor.example/"))


@pytest.mark.parametrize("url", ["ftp://a/", "https:///", "https://user:pw@a/", "https://a:99999/", "https://[::1/"])
def test_an_address_of_no_such_kind_is_refused_without_repeating_it(write, url):
    with pytest.raises(TargetError, match="must be http") as refused:
        admitted(write(base_url=url))
    assert "pw" not in str(refused.value)


def test_a_launched_system_stands_on_this_machine(resolves):
    admit_launched("http://127.0.0.1:8080/", "base_url")
    resolves("127.0.0.1", "93.184.216.34")
    with pytest.raises(TargetError, match="launched system's token_url is not on loopback"):
        admit_launched("http://vendor.example/", "token_url")


def test_the_report_directory_is_made_and_left_empty(tmp_path):
    prepare(tmp_path / "a" / "b", resume=False)
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_report_directory_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TargetError, match="cannot be written"):
        prepare(tmp_path / "file", resume=False)
    with pytest.raises(TargetError, match="cannot be written"):
        prepare(tmp_path / "file" / "below", resume=False)


def test_a_used_report_directory_is_for_resuming_only(tmp_path):
    with pytest.raises(TargetError, match="no run to resume"):
        prepare(tmp_path, resume=True)
    (tmp_path / "run.jsonl").write_text("")
    prepare(tmp_path, resume=True)
    with pytest.raises(TargetError, match="not empty"):
        prepare(tmp_path, resume=False)
