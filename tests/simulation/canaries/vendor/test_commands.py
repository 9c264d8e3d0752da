"""The command line over the same practice and the same vendor: what a person sees holds no canary either (OPS-03)."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.contracts.failures import Code

PROGRAM = str(Path(sys.executable).with_name("gateway"))


async def _run(clinic: Any, *words: str, given: str = "") -> tuple[int, str]:
    """One command as a process of its own; this process goes on serving the vendor."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    process = await asyncio.create_subprocess_exec(
        *(PROGRAM, *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=clinic.local.root.parent,
        env={**plain, "GATEWAY_HOME": str(clinic.local.home), "COLUMNS": "200", "PYTHONDEVMODE": ""},
    )
    out, err = await process.communicate(given.encode())
    clinic.witness.said += [(f"stdout of {words[0]}", out.decode()), (f"stderr of {words[0]}", err.decode())]
    assert b"Traceback" not in err
    assert process.returncode is not None
    return process.returncode, out.decode()


@pytest.mark.requirement("OPS-03", "PHI-02", "AUDIT-28")
async def test_commands_repeat_nothing_that_a_vendor_or_a_registry_says(clinic: Any, vendor: Any) -> None:
    vendor.say["write"] = b"HTTP/1.1 200 " + vendor.aviary.one_of_each("a broken reply").encode() + b"\r\n\r\n"
    async with clinic.gateway() as gateway:
        proposal, _ = await clinic.proposed(gateway)
        broken = await clinic.rehearsal.propose(gateway, clinic.rehearsal.enrol())
    name = str(proposal.proposal_id)
    code, out = await _run(clinic, "commit", name, "--json")
    committed = json.loads(out)
    assert (code, committed["outcome"]["code"]) == (5, Code.REPLY_UNRECOGNISED)
    attempt = committed["outcome"]["attempt"]
    for words in (
        ("list",),
        ("show", attempt),
        ("show", attempt, "--json"),
        ("show", name),
        ("check", str(broken.proposal_id)),
        ("observe", attempt),
        ("resolve", attempt, "--applied", "--yes"),
        ("audit", "verify"),
        ("audit", "show", attempt),
        ("audit", "export"),
        ("connections", "list"),
        ("doctor",),
        ("recover",),
    ):
        code, _ = await _run(clinic, *words)
        assert code != 2, words
    assert vendor.written
    assert clinic.leaks() == []


@pytest.mark.requirement("OPS-03", "PHI-02", "CTX-02")
async def test_commands_repeat_nothing_of_what_they_are_given_by_mistake(clinic: Any) -> None:
    async with clinic.gateway() as gateway:
        await clinic.proposed(gateway)

    def text() -> str:
        return str(clinic.aviary.one_of_each("given to a command")).replace("\n", " ")

    connection = clinic.rehearsal.connection.plain()
    for words, given in (
        (("propose", "-"), text()),
        (("propose", "-"), json.dumps({text(): text()})),
        (("propose", "-"), json.dumps({"operation": text(), "connection": text(), "initiator": text()})),
        (("connections", "add", "-"), json.dumps({**connection, "base_url": f"http://x:{text()}@127.0.0.1/"})),
        (("connections", "add", "-"), json.dumps({**connection, text(): text(), "settings": {"a": [text()]}})),
    ):
        code, _ = await _run(clinic, *words, given=given)
        assert code == 2
    assert clinic.leaks() == []
