"""What may become of a reply on its way, by kind; each takes a source of chance, and is repeatable by its seed.

Owns: kinds that fit any vendor (bytes, lines, JSON, XML, status, headers, another reply). What a change means to one
vendor is the cases' to say (`meant`). Refuses: to give back the reply that it was given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any, Final

from tests.mutated.recording import Said

Mutation = Callable[[Random, Said], Said]

HOLE: Final = "\ue000"
DEEP: Final = 3000
RAW: Final = (
    *("null", "true", "false", "0", "-1", "1e999", "-0.0", "NaN", "Infinity", "1" * 400, "1.7976931348623157e309"),
    *('""', '" "', '"\\u0000"', '"\\ud800"', '"\\u202e\\u0085"', '"' + "x" * 70_000 + '"', '"1"', '"true"', "'x'"),
    *("[]", "{}", "[null]", "[[]]", '{"": null}', "[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP, "[", "}"),
    *('"2031-13-45T99:99:99Z"', '"2031-05-05T08:00:00"', '"9999-12-31T23:59:60Z"', '"0000-00-00"', "20310505"),
)
"""JSON texts, valid or not, that take a value's place."""

STATUSES: Final = (
    *(199, 200, 201, 202, 203, 204, 205, 206, 207, 226, 299, 300, 301, 302, 303, 304, 307, 308),
    *(400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 412, 413, 415, 418, 421, 422, 423, 425, 428, 429, 451),
    *(499, 500, 501, 502, 503, 504, 507, 511, 599, 600, 999),
)
PIECES: Final = (
    *(b"\x00", b"\xff\xfe", b"\xc3(", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r\n\r\n", b"\n", b"\x1c\r", b"\x0b", b"\\"),
    *(b"|", b"^~\\&", b";", b":", b'"', b"<", b"]]>", b"&", b"%00", b"\x1b[2J", "\u2028\u202e".encode(), b"9" * 5000),
)
LINES: Final = (
    *(b"BEGIN:VEVENT", b"END:VEVENT", b"END:VCALENDAR", b"BEGIN:VALARM", b" folded", b"RRULE:FREQ=SECONDLY"),
    *(
        b"DTSTART:20310505T080000Z",
        b"UID:another",
        b"STATUS:CANCELLED",
        b"SEQUENCE:" + b"9" * 5000,
        b"X:" + b"y" * 5000,
    ),
    *(b"MSA|AE|1", b"MSA|AA|", b"ERR|||207^Application internal error^HL70357|E", b"MSH|^~\\&|||||||ACK", b"SCH|||||"),
    *(b"", b":", b";=:", b"|" * 3000),
)
HEADERS: Final = (
    *(("ETag", ""), ("ETag", "W/"), ("ETag", 'W/"1"'), ("ETag", '"'), ("ETag", "1"), ("ETag", '"' + "e" * 9000 + '"')),
    *(("ETag", '"\udcff"'), ("ETag", "*"), ("Content-Type", ""), ("Content-Type", "text/html; charset=utf-16")),
    *(("Content-Type", "application/json; charset=nonsense"), ("Content-Encoding", "gzip"), ("Age", "60")),
    *(("X-Cache", "HIT"), ("Warning", '110 - "stale"'), ("Location", "//elsewhere.invalid/x"), ("Location", "\udcff")),
    *(
        ("Location", ""),
        ("Retry-After", "-1"),
        ("Retry-After", "9" * 400),
        ("Set-Cookie", "a=b"),
        ("X-Long", "x" * 40_000),
    ),
    *(("Preference-Applied", "respond-async"), ("Last-Modified", "never"), ("WWW-Authenticate", "Digest")),
)
FRAMES: Final = (
    ("Content-Length: 0",),
    ("Content-Length: 1",),
    ("Content-Length: -1",),
    ("Content-Length: 99999999999",),
    ("Content-Length: 5", "Content-Length: 6"),
    ("Transfer-Encoding: chunked",),
    ("Transfer-Encoding: gzip",),
    (),
)


# -- bytes -------------------------------------------------------------------------------------------------


def _body(said: Said, body: bytes) -> Said:
    return replace(said, body=body)


def _place(random: Random, body: bytes) -> tuple[int, int]:
    start = random.randrange(len(body) + 1)
    return start, min(len(body), start + random.choice((1, 2, 8, 64, 1024)))


def flipped(random: Random, said: Said) -> Said:
    body = bytearray(said.body or b"x")
    for _ in range(random.choice((1, 1, 3, 30))):
        body[random.randrange(len(body))] ^= 1 << random.randrange(8)
    return _body(said, bytes(body))


def cut(random: Random, said: Said) -> Said:
    return _body(said, said.body[: random.randrange(len(said.body) + 1)])


def taken_out(random: Random, said: Said) -> Said:
    start, end = _place(random, said.body)
    return _body(said, said.body[:start] + said.body[end:])


def inserted(random: Random, said: Said) -> Said:
    start, end = _place(random, said.body)
    piece = random.choice((*PIECES, said.body[start:end], random.randbytes(random.choice((1, 16, 256)))))
    return _body(said, said.body[:start] + piece + said.body[start:])


def emptied(random: Random, said: Said) -> Said:
    return _body(said, random.choice((b"", b" ", b"null", b"{}", b"[]", b"<html>503</html>", random.randbytes(64))))


def doubled(random: Random, said: Said) -> Said:
    return _body(said, said.body * 2)


# -- lines -------------------------------------------------------------------------------------------------


def lines_changed(random: Random, said: Said) -> Said:
    """Of iCalendar, of HL7, of anything that has lines: one left out, twice, in another place, another one, shortened;
    or all of them ended otherwise."""
    end = next((mark for mark in (b"\r\n", b"\n", b"\r") if mark in said.body), b"\r\n")
    lines = said.body.split(end)
    at = random.randrange(len(lines))
    change = random.randrange(6)
    if change == 0:
        del lines[at]
    elif change == 1:
        lines.insert(at, lines[at])
    elif change == 2:
        lines.insert(random.randrange(len(lines) + 1), lines.pop(at))
    elif change == 3:
        lines.insert(at, random.choice(LINES))
    elif change == 4:
        separators = [place for place, byte in enumerate(lines[at]) if byte in b"|^:;=,~&"]
        if separators:
            place = random.choice(separators)
            lines[at] = (
                lines[at][:place] + random.choice((b"", b"|", b"::", lines[at][place:] * 3)) + lines[at][place + 1 :]
            )
    else:
        end = random.choice((b"\n", b"\r", b"\r\n\r\n", b"\r\n ", b"\x85"))
    return _body(said, end.join(lines))


# -- JSON --------------------------------------------------------------------------------------------------


def _places(content: Any) -> list[tuple[Any, Any]]:
    """Every (container, key or index), depth first."""
    found: list[tuple[Any, Any]] = []
    todo = [content]
    while todo:
        each = todo.pop()
        keys: Sequence[Any] = (
            list(each) if isinstance(each, dict) else range(len(each)) if isinstance(each, list) else ()
        )
        found += [(each, key) for key in keys]
        todo += [each[key] for key in keys]
    return found


def json_changed(random: Random, said: Said) -> Said:
    """A value of another type or size, a member left out, added, twice, or under another name; two values exchanged."""
    content = {"": json.loads(said.body)}
    places = _places(content)
    container, key = random.choice(places)
    change, raw = random.randrange(7), random.choice(RAW)
    if change == 0 and container is not content:
        del container[key]
    elif change == 1 and isinstance(container, dict):
        original = json.dumps(container[key])  # the same member twice: as it was, and otherwise
        container[key] = HOLE
        name = json.dumps(key)
        raw = f"{original},{name}:{raw}" if random.random() < 0.5 else f"{raw},{name}:{original}"
        if container is content:
            raw = original + original
    elif change == 2 and isinstance(container, dict) and container is not content:
        container[random.choice((key.upper(), key + " ", "", "__proto__", key[:-1]))] = container.pop(key)
    elif change == 3:
        other, place = random.choice(places)
        if not _inside(container[key], other) and not _inside(other[place], container):
            container[key], other[place] = other[place], container[key]
        else:
            container[key] = HOLE
    elif change == 4:
        container[key] = random.choice(([container[key]], {"value": container[key]}, [container[key]] * 2))
    elif change == 5 and isinstance(container[key], str) and container[key]:
        text = container[key]
        at = random.randrange(len(text))
        container[key] = text[:at] + random.choice(("", "0", "9", "\u0661", "\x00", text)) + text[at + 1 :]
    else:
        container[key] = HOLE
    return _body(said, json.dumps(content[""]).replace(json.dumps(HOLE), raw).encode("utf-8", "surrogatepass"))


def _inside(content: Any, container: Any) -> bool:
    """Whether exchanging would put something into itself."""
    return content is container or any(each[key] is container for each, key in _places(content))


# -- XML ---------------------------------------------------------------------------------------------------

TAG: Final = re.compile(rb"<[^<>]*>")
ENTITIES: Final = (
    b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY f SYSTEM "file:///etc/hostname">]>'
)


def xml_changed(random: Random, said: Said) -> Said:
    """A tag left out, twice, or of another namespace; an element of its own text; entities; far too deep."""
    tags = list(TAG.finditer(said.body))
    tag = random.choice(tags)
    change = random.randrange(7)
    start, end = tag.span()
    body = said.body
    if change == 0:
        return _body(said, body[:start] + body[end:])
    if change == 1:
        return _body(said, body[:end] + tag.group() + body[end:])
    if change == 2:
        return _body(said, body.replace(b"DAV:", random.choice((b"", b"dav:", b"urn:x"))))
    if change == 3:
        return _body(
            said, body[:end] + random.choice((b"&f;", b"&#0;", b"&#xD800;", b"<![CDATA[x]]>", b"x")) + body[end:]
        )
    if change == 4:
        prolog = body.find(b"?>") + 2 if body.startswith(b"<?xml") else 0
        return _body(said, body[:prolog] + ENTITIES + body[prolog:])
    if change == 5:
        return _body(said, body[:start] + b"<a>" * 20_000 + b"</a>" * 20_000 + body[start:])
    first, second = sorted(random.choices(tags, k=2), key=lambda each: each.start())
    return _body(said, body[: first.start()] + second.group() + body[first.end() :])


# -- status, headers, framing ------------------------------------------------------------------------------


def status_changed(random: Random, said: Said) -> Said:
    status = random.choice([each for each in STATUSES if each != said.status])
    return replace(
        said, status=status, closes=said.closes or status < 200
    )  # after an interim reply a client waits for another


def headers_changed(random: Random, said: Said) -> Said:
    headers = list(said.headers)
    change = random.randrange(3) if headers else 2
    if change == 0:
        del headers[random.randrange(len(headers))]
    elif change == 1:
        headers.append(random.choice(headers))
    else:
        name, value = random.choice(HEADERS)
        headers = [each for each in headers if random.random() < 0.3 or each[0].lower() != name.lower()]
        headers.append((name, value))
    return replace(said, headers=tuple(headers))


def framed_otherwise(random: Random, said: Said) -> Said:
    return replace(said, frames=random.choice(FRAMES), closes=True)


FIELDS: Final = (
    *(b"", b'""', b"^", b"^^^^^^^", b"~", b"&", b"\\F\\", b"\\", b"\\E\\", b"\\X0D\\", b"\\.br\\"),
    *(b"0", b"-1", b"9" * 5000, b"x" * 70_000, b"^" * 3000, b"\xe4", b"2031", b"30", b"205", b"SLOT-TAKEN"),
    *(b"AA", b"AE", b"AR", b"CA", b"OK", b"NF", b"Booked", b"Cancelled", b"Pending", b"Overbook"),
    *(b"20310505100000", b"20311026023000", b"99991231235959", b"00000000000000", b"20310505100000+9999"),
    *(b"UNICODE UTF-16", b"8859/1", b"ASCII~UNICODE UTF-8", b"SRR^S01", b"ACK"),
)


def fields_changed(random: Random, said: Said) -> Said:
    """Of HL7: one field of one segment emptied, doubled, exchanged for another one or for a value of ill will, or moved
    by a separator; or other delimiters throughout."""
    segments = [line.split(b"|") for line in said.body.split(b"\r")]
    fields = segments[random.randrange(len(segments))]
    at = random.randrange(len(fields))
    change = random.randrange(6)
    if change == 0:
        fields[at] = random.choice(FIELDS)
    elif change == 1:
        fields[at] = random.choice(random.choice(segments))
    elif change == 2:
        fields[at] += b"~" + random.choice((fields[at], *FIELDS))
    elif change == 3:
        fields.insert(at, random.choice((b"", *FIELDS)))
    elif change == 4:
        del fields[at]
    else:
        old, new = random.choice((b"|", b"^", b"\r")), random.choice((b"!", b"|", b"^", b"\n"))
        return _body(said, said.body.replace(old, new))
    return _body(said, b"\r".join(map(b"|".join, segments)))


KINDS: Final[dict[str, tuple[Mutation, ...]]] = {
    "bytes": (flipped, cut, taken_out, inserted, emptied, doubled),
    "lines": (lines_changed,),
    "fields": (fields_changed,),
    "json": (json_changed,),
    "xml": (xml_changed,),
    "status": (status_changed,),
    "headers": (headers_changed, headers_changed, framed_otherwise),
}


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def kinds(said: Said) -> list[str]:
    """Which kinds fit this reply; those that know its form count twice."""
    if said.body.startswith(b"MSH"):  # a frame has neither status nor headers
        return ["bytes", "lines", "lines", "fields", "fields", "fields"]
    fitting = ["bytes", "status", "headers"]
    if said.body.count(b"\n") + said.body.count(b"\r") > 2:
        fitting += ["lines"] * 2
    if _is_json(said.body):
        fitting += ["json"] * 4
    if said.body.lstrip().startswith(b"<") and TAG.search(said.body):
        fitting += ["xml"] * 2
    return fitting


def mutated(random: Random, said: Said) -> tuple[str, Said]:
    """Another reply, and of which kind the (first) change is."""
    first, changed = "", said
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        kind = random.choice(kinds(changed))
        changed = random.choice(KINDS[kind])(random, changed)
        first = first or kind
    return (first, changed) if changed != said else mutated(random, said)


def meant(random: Random, said: Said, meaning: Sequence[re.Pattern[bytes]]) -> Said | None:
    """The reply with another meaning: one letter or digit of what a pattern's group matches is another one. None where
    no pattern matches."""
    found = [match for pattern in meaning for match in pattern.finditer(said.body) if match.group(1)]
    if not found:
        return None
    start, end = random.choice(found).span(1)
    places = [at for at in range(start, end) if chr(said.body[at]).isalnum()]
    at = random.choice(places)
    old = chr(said.body[at])
    kind = "0123456789" if old.isdigit() else "abcdef"
    new = random.choice([each for each in kind if each != old.lower()])
    return _body(said, said.body[:at] + new.encode() + said.body[at + 1 :])
