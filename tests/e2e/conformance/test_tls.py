"""A system behind TLS, whose authority only the target file names: proxy and observer both go by it."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from adapters.caldav.testing import RadicaleServer

PROGRAM = str(Path(sys.executable).with_name("gateway"))
COMMAND = (PROGRAM, "conformance", "run", "caldav", "--json")
SOME = ("book.applied", "observe.book", "lost.after-commit.book", "lost.refused.book", "refused.credentials")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A server's certificate, signed by itself, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.mark.parametrize("trusted", [True, False])
def test_a_run_through_tls_needs_the_trust_that_the_author_supplies(
    tmp_path: Path, certificate: Path, trusted: bool
) -> None:
    with RadicaleServer(certificate=certificate) as server:
        for name, secret in (
            ("vendor", f"{server.user}:{server.password}"),
            ("limited", f"{server.reader}:{server.reader_password}"),
        ):
            (tmp_path / name).write_text(secret)
            (tmp_path / name).chmod(0o600)
        trust = 'trust = "server.pem"' if trusted else ""
        (tmp_path / "target.toml").write_text(f"""
sandbox = true
label = "Radicale behind TLS"
writes = 100
exhaustive = true
observer = "adapters.caldav.testing:observer"
secrets = {{ vendor = {{ file = "vendor" }}, limited = {{ file = "limited" }} }}

[connection]
base_url = "{server.collection_url}"
credential = {{ scheme = "basic", name = "vendor" }}
limits = {{ request_seconds = 2, commit_seconds = 4 }}
{trust}

[pool]
subjects = ["patient-1", "patient-2"]
practitioner = "practitioner-1"
location = "location-1"
service = "service-1"
first = 2031-05-05T08:00:00Z
slots = 40
""")
        only = [word for name in SOME for word in ("--only", name)]
        ended = subprocess.run(
            [*COMMAND, "--target", str(tmp_path / "target.toml"), "--report", str(tmp_path / "report"), *only],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert server.stored_events == ()
    assert ended.returncode == 2, ended.stderr
    if trusted:
        results = json.loads((tmp_path / "report" / "results.json").read_text())
        assert {each["requirement"]: each["judgement"] for each in results["results"]} == dict.fromkeys(SOME, "passed")
    else:
        assert "observer" in json.loads(ended.stdout or ended.stderr)["error"]["message"]
        assert not (tmp_path / "report" / "results.json").exists()
