"""Messages as bytes: written in one way, read in the ways of real partners, and in no second way."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from adapters.hl7v2 import er7

HEADER = "MSH|^~\\&|A|B|C|D|20310303||ACK|1|T|2.5.1"
NOON = datetime(2031, 7, 1, 12, 0, tzinfo=UTC)


def lines(*segments: str, end: str = "\r") -> bytes:
    return "".join(f"{each}{end}" for each in segments).encode()


@pytest.mark.parametrize("text", ["a|b^c&d~e\\f", "\\F\\", "Ünïcode", "", "a\\.br\\b"])
def test_a_value_survives_its_escapes(text: str) -> None:
    said = er7.message(["MSH|^~\\&|A", er7.segment("PID", {3: f"{er7.escaped(text)}^x"})], "UNICODE UTF-8")
    assert er7.parse(said, "UNICODE UTF-8").one("PID").text(3) == text
    assert er7.parse(said, "UNICODE UTF-8").one("PID").text(3, 2) == "x"


@pytest.mark.parametrize("text", ["a\rMSH|", "a\n", "a\x0b", "a\x1c", "\x00"])
def test_a_value_with_a_control_character_is_not_said(text: str) -> None:
    with pytest.raises(ValueError, match="control"):
        er7.escaped(text)


def test_delimiters_are_the_reply_s_own() -> None:
    said = b"MSH*:!%$*A*B*C*D*20310303**ACK*1*T*2.5.1\rMSA*AA*1\rPID*1**a%S%b:c$d!e\r"
    read = er7.parse(said, "ASCII")
    assert (read.one("MSA").text(1), read.one("PID").text(3), read.one("PID").text(3, 2, 2)) == ("AA", "a:b", "d")
    assert list(read.one("PID").texts(3)) == ["a:b", "e"]


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_segments_may_end_in_three_ways(end: str) -> None:
    said = lines(HEADER, "MSA|AA|1", end=end)
    for content in (said, said.removesuffix(end.encode())):
        assert er7.parse(content, "ASCII").one("MSA").text(2) == "1"


@pytest.mark.parametrize(
    ("stated", "content", "text"),
    [
        ("UNICODE UTF-8", "é".encode(), "é"),
        ("8859/1", b"\xe9", "é"),
        ("8859/1~UNICODE UTF-8", b"\xe9", "é"),
        ("", "é".encode(), "é"),
    ],
)
def test_a_reply_is_in_the_character_set_that_it_names(stated: str, content: bytes, text: str) -> None:
    said = f"{HEADER}||||||{stated}\r".encode() + b"PID|||" + content + b"\r"
    assert er7.parse(said, "UNICODE UTF-8").one("PID").text(3) == text


def test_what_a_character_set_does_not_have_is_not_said() -> None:
    with pytest.raises(ValueError, match="ascii"):
        er7.message(["PID|||é"], "ASCII")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"MSH",
        b"MSH|^~\\",
        b"MSH|^^\\&|A\r",
        b"MSH|^~\\A|A\r",
        b"MSA|AA|1\r",
        b"\xff" * 40,
        lines(HEADER, HEADER),
        lines(HEADER, "", "MSA|AA|1"),
        lines(HEADER, "msa|AA|1"),
        lines(HEADER, "MSA|A\x07A|1"),
        lines(HEADER, "MSA|AA|1") + b"\n",
        lines(HEADER) + lines("MSA|AA|1", "PID|", end="\r\n"),
        lines(HEADER, "MSA|AA|1\nPID|"),
        lines(HEADER, *["NTE|x"] * er7.MAX_SEGMENTS),
        f"{HEADER}||||||UNICODE UTF-16\r".encode(),
        f"{HEADER}||||||ASCII\r".encode() + b"PID|||\xe9\r",
        HEADER.encode() + b"\rPID|||\xe9\r",
    ],
)
def test_what_can_be_read_in_two_ways_or_in_none_is_refused(content: bytes) -> None:
    with pytest.raises(er7.MalformedMessageError):
        er7.parse(content, "UNICODE UTF-8")


def test_one_segment_is_exactly_one() -> None:
    read = er7.parse(lines(HEADER, "MSA|AA|1", "MSA|AE|1"), "ASCII")
    for name in ("MSA", "QAK"):
        with pytest.raises(er7.MalformedMessageError):
            read.one(name)


def test_a_time_stamp_is_wall_time_or_states_its_offset() -> None:
    assert er7.stamp(NOON, "Europe/Berlin", offset=False) == "20310701140000"
    assert er7.stamp(NOON, "Europe/Berlin", offset=True) == "20310701140000+0200"
    for text in ("20310701140000", "203107011400", "20310701140000.0000", "20310701120000+0000", "203107010700-0500"):
        assert er7.instant(text, "Europe/Berlin") == NOON


NO_INSTANTS = (
    *("20310701", "2031070114", "20310701140000.5", "20311301140000", "20310701146000", "noon", "20310701140000+99"),
    *("20310701140000+9999", "00010101000000+1400", "20310330023000", "20311026023000", "2031070114\u0660\u0660"),
)


@pytest.mark.parametrize("text", NO_INSTANTS)
def test_a_time_stamp_that_means_no_one_instant_is_refused(text: str) -> None:
    with pytest.raises(er7.MalformedMessageError):
        er7.instant(text, "Europe/Berlin")


@pytest.mark.parametrize("hour", [0, 1])
def test_wall_time_that_the_clocks_show_twice_is_not_said(hour: int) -> None:
    with pytest.raises(ValueError, match="twice"):
        er7.stamp(datetime(2031, 10, 26, hour, 30, tzinfo=UTC), "Europe/Berlin", offset=False)
