"""A little CalDAV in memory: one collection, answering what the shipped adapter asks, and storing what it writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from tests.peers.peer import Call, reply

_HEAD = '<?xml version="1.0"?><d:multistatus xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav">'
_COLLECTION = (
    f"{_HEAD}<d:response><d:href>/</d:href><d:propstat><d:prop>"
    "<d:resourcetype><d:collection/><c:calendar/></d:resourcetype>"
    "<d:current-user-principal><d:href>/me/</d:href></d:current-user-principal>"
    "<d:current-user-privilege-set><d:privilege><d:all/></d:privilege></d:current-user-privilege-set>"
    "</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response></d:multistatus>"
).encode()


@dataclass
class Calendar:
    """Objects by address; each write gives a new strong entity tag."""

    objects: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    writes: int = 0

    def answer(self, call: Call) -> bytes:
        if call.method == "PROPFIND":
            return reply(207, _COLLECTION)
        if call.method == "REPORT":
            return reply(207, self._report())
        etag, content = self.objects.get(call.target, (None, b""))
        if call.method == "GET":
            return reply(404) if etag is None else reply(200, content, ETag=etag)
        wanted = call.headers.get("if-match")
        if call.method != "PUT" or etag != wanted:
            return reply(412)
        self.writes += 1
        self.objects[call.target] = (f'"v{self.writes}"', call.body)
        return reply(201 if etag is None else 204, ETag=f'"v{self.writes}"')

    def _report(self) -> bytes:
        found = "".join(
            f"<d:response><d:href>{escape(target)}</d:href><d:propstat><d:prop><d:getetag>{escape(etag)}</d:getetag>"
            f"<c:calendar-data>{escape(content.decode())}</c:calendar-data></d:prop>"
            "<d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
            for target, (etag, content) in self.objects.items()
        )
        return f"{_HEAD}{found}</d:multistatus>".encode()
