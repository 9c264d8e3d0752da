"""What a guest does besides answering is overheard; what the suite does itself is not."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from conformance.overhearing import Overhearing, as_guest, as_host


@pytest.fixture
def overhearing() -> Iterator[Overhearing]:
    heard = Overhearing()
    with as_host(), heard.listen():
        yield heard


@contextmanager
def heard() -> Iterator[Overhearing]:
    """Begun inside the test: pytest swaps the standard streams between a fixture and its test."""
    overhearing = Overhearing()
    with as_host(), overhearing.listen():
        yield overhearing


@pytest.fixture
def listener() -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()


def test_a_guest_that_logs_or_prints_is_heard() -> None:
    with heard() as overhearing, as_guest():
        logging.getLogger("an.adapter").debug("reply %s", "logged-canary")
        sys.stdout.write("printed-canary")
        sys.stderr.write("complained-canary")
    assert any("logged-canary" in text for text in overhearing.texts)
    assert {"printed-canary", "complained-canary"} <= set(overhearing.texts)


def test_a_guest_that_logs_an_exception_is_heard_with_its_text(overhearing: Overhearing) -> None:
    with as_guest():
        try:
            int("raised-canary")
        except ValueError:
            logging.getLogger("an.adapter").exception("no")
    assert any("raised-canary" in text for text in overhearing.texts)


def test_a_record_that_cannot_be_shown_is_heard_all_the_same(overhearing: Overhearing) -> None:
    record = logging.LogRecord("an.adapter", logging.WARNING, "", 1, "%d", ("argument-canary",), None)
    with as_guest():
        overhearing.emit(record)
    assert any("argument-canary" in text for text in overhearing.texts)


def test_the_suite_itself_is_not() -> None:
    with heard() as overhearing:
        logging.getLogger("the.suite").warning("ours")
        sys.stdout.write("ours")
    assert overhearing.texts == []


def test_a_connection_of_its_own_is_noticed_and_the_boundarys_is_not(
    overhearing: Overhearing, listener: tuple[str, int]
) -> None:
    with as_guest(), as_host(), socket.create_connection(listener):
        pass
    assert overhearing.doors == []
    with as_guest(), socket.create_connection(listener):
        pass
    assert overhearing.doors == ["connection"]


def test_a_connection_in_a_thread_that_a_guest_started_is_noticed(
    overhearing: Overhearing, listener: tuple[str, int]
) -> None:
    with as_guest():
        thread = threading.Thread(target=lambda: socket.create_connection(listener).close())
        thread.start()
        thread.join()
    assert overhearing.doors == ["connection"]


def test_a_process_is_noticed(overhearing: Overhearing) -> None:
    with as_guest():
        subprocess.run([sys.executable, "-c", ""], check=True)
    assert "process" in overhearing.doors


async def test_tasks_keep_the_mark_of_who_made_them(overhearing: Overhearing) -> None:
    async def speak() -> None:
        await asyncio.sleep(0)
        logging.getLogger("a.task").warning("task-canary")

    await asyncio.create_task(speak())
    assert overhearing.texts == []
    with as_guest():
        task = asyncio.create_task(speak())
    await task
    assert any("task-canary" in text for text in overhearing.texts)


def test_nothing_is_heard_before_or_after(listener: tuple[str, int]) -> None:
    with heard() as overhearing:
        pass
    logging.getLogger("an.adapter").warning("late")
    socket.create_connection(listener).close()
    assert overhearing.texts == [] and overhearing.doors == []
    assert overhearing not in logging.getLogger().handlers


def test_what_the_boundary_withholds_from_every_log_is_no_leak(overhearing: Overhearing) -> None:
    with as_guest():
        logging.getLogger("httpx").info("HTTP Request: GET /appointments/identifier")
        logging.getLogger("httpx.of.its.own").info("heard")
    assert overhearing.texts == ["heard"]
