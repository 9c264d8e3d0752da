"""The search itself: a planted canary is found, wherever and however it is spelt."""

from __future__ import annotations

import base64
import json
import logging
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

SPELLINGS = {
    "plain": lambda value: value.encode(),
    "JSON": lambda value: json.dumps({"name": value}).encode(),
    "URL": lambda value: f"/find?name={quote(value)}".encode(),
    "hex": lambda value: value.encode().hex().encode(),
    "base64": lambda value: base64.b64encode(b"user:" + value.encode() + b":more"),
    "base64url": lambda value: base64.urlsafe_b64encode(b"1234" + value.encode() + b"/x"),
    "bytes in a message": lambda value: repr(bytearray(value.encode())).encode(),
    "capitals": lambda value: value.upper().encode(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_canary_is_found_in_every_spelling(aviary: Any, spelling: str) -> None:
    aviary.one_of_each("here")
    for canary in list(aviary.canaries):
        found = aviary.search([("there", b"...." + SPELLINGS[spelling](canary.value) + b"....")])
        assert canary.place in {leak.place for leak in found}, canary.place
    assert aviary.search([("there", b"nothing of the sort, 2031-03-03T09:00:00Z")]) == []


def test_a_canary_is_found_in_a_file_and_in_its_name_unless_it_is_admitted_there(
    aviary: Any, search_tree: Any, tmp_path: Path
) -> None:
    word = aviary.plant("a setting", admitted=("connections/",))
    (tmp_path / "connections").mkdir()
    (tmp_path / "connections" / "one.json").write_text(word)
    assert search_tree(tmp_path) == []
    (tmp_path / word).write_text(word)
    assert {leak.where for leak in search_tree(tmp_path)} == {word, f"name of {word}"}


@pytest.mark.parametrize("where", ["rows", "log", "stdout", "said", "audit.jsonl", "raised"])
async def test_a_canary_is_found_wherever_a_gateway_could_leave_it(site: Any, where: str) -> None:
    async with site.gateway() as gateway:
        await site.commit(gateway)
    assert site.leaks() == []
    value = site.aviary.canaries[0].value
    match where:
        case "rows":
            with sqlite3.connect(site.local.home / "journal.db") as database:
                database.execute("CREATE TABLE left_over (name TEXT)")
                database.execute("INSERT INTO left_over VALUES (?)", (value,))
            database.close()
        case "log":
            logging.getLogger("somebody.else").debug("asked for %s", value)
        case "stdout":
            print(value)
        case "said":
            site.witness.keep({"name": value})
        case "raised":
            await site.witness.ask(_raise(value))
        case _:
            with (site.local.home / where).open("a") as file:
                file.write(value)
    assert site.aviary.canaries[0].place in {leak.place for leak in site.leaks()}


async def _raise(value: str) -> None:
    raise RuntimeError from ValueError(value)
