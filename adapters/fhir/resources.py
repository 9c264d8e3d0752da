"""What travels: the parts of R4 resources that a decision rests on (https://hl7.org/fhir/R4/).

Owns: their shapes, bundles and outcomes, and how ids, versions, references and instants are spelled.
Refuses, as `Refusal` (REPLY_UNRECOGNISED): search sets that are not whole, resources nobody asked for, those of which
only a part came or whose meaning something unknown changes, instants without an offset.

A resource that is to be written back is kept as it was received (`Held.raw`), so that what is not ours to change,
extensions included, stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

import httpx
from pydantic import (
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    JsonValue,
    RootModel,
    StringConstraints,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from gateway.contracts.failures import Code, Refusal
from gateway.kit.reading import Said, said, shaped

MIME_TYPE: Final = "application/fhir+json"
ACCEPT: Final[Mapping[str, str]] = {"Accept": MIME_TYPE}
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_SUBSETTED: Final = "SUBSETTED"
_MODIFIERS: Final = frozenset({"modifierExtension", "implicitRules"})
_LIMITED: Final = frozenset({"incomplete", "suppressed", "throttled", "timeout"})
"""Issue types that say that there may be more (valueset-issue-type.html)."""

Raw = dict[str, JsonValue]
ID: Final = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9.-]{1,64}\Z")
"""FHIR's grammar of an id, without `.` and `..`: as a part of a path, both are folded away (RFC 3986 §5.2.4)."""
UNESCAPED: Final = r"[!-#%-+\--\[\]-{}~]"
"""A sign that a search gives no meaning, as it does to `$`, `,`, `\\` and `|` (search.html#escaping)."""
Id = Annotated[str, StringConstraints(pattern=re.compile(rf"\A{ID.pattern}"))]


def _spelled(value: object) -> object:
    # pydantic alone reads a number as seconds since 1970
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        raise ValueError("not a FHIR instant")
    return value


FhirInstant = Annotated[AwareDatetime, BeforeValidator(_spelled)]


class Element(Said):
    model_config = ConfigDict(alias_generator=to_camel)


class Whole(RootModel[Raw]):
    """Any JSON object, all of it."""

    model_config = ConfigDict(hide_input_in_errors=True)


class Coding(Element):
    system: str | None = None
    code: str | None = None


class Concept(Element):
    coding: tuple[Coding, ...] = ()


class Meta(Element):
    version_id: Id | None = None
    tag: tuple[Coding, ...] = ()


class Reference(Element):
    reference: str | None = None


class Identifier(Element):
    system: str | None = None
    value: str | None = None


class Extension(Element):
    url: str
    value_string: str | None = None
    value_reference: Reference | None = None


class Participant(Element):
    actor: Reference = Reference()


class Resource(Element):
    id: Id
    meta: Meta = Meta()

    @property
    def version(self) -> str | None:
        return self.meta.version_id


class Schedule(Resource):
    resource_type: Literal["Schedule"]
    active: bool = True
    actor: tuple[Reference, ...]


class Slot(Resource):
    """`overbooked` slots hold several appointments, so none of them may set it free."""

    resource_type: Literal["Slot"]
    schedule: Reference
    status: str
    start: FhirInstant
    end: FhirInstant
    overbooked: bool = False
    service_type: tuple[Concept, ...] = ()
    extension: tuple[Extension, ...] = ()


class Appointment(Resource):
    resource_type: Literal["Appointment"]
    status: str
    identifier: tuple[Identifier, ...] = ()
    start: FhirInstant | None = None
    end: FhirInstant | None = None
    slot: tuple[Reference, ...] = ()
    participant: tuple[Participant, ...] = ()
    comment: str | None = None
    extension: tuple[Extension, ...] = ()


class Offer(Element):
    """An Appointment that a server proposes; it may be nobody's yet, and have no id."""

    resource_type: Literal["Appointment"]
    start: FhirInstant
    end: FhirInstant
    participant: tuple[Participant, ...] = ()


class Issue(Element):
    severity: str
    code: str
    diagnostics: str = ""


class OperationOutcome(Element):
    resource_type: Literal["OperationOutcome"]
    issue: tuple[Issue, ...]

    @property
    def failed(self) -> bool:
        return any(issue.severity in ("fatal", "error") for issue in self.issue)

    @property
    def limits(self) -> bool:
        """Whether what stands beside it may not be all."""
        return self.failed or any(issue.code in _LIMITED for issue in self.issue)

    def denies(self, name: str) -> bool:
        """Whether it says, to a read of `Type/id`, that there is none: by the issue type or, as HAPI, by name alone."""
        return any(
            issue.code == "not-found" or (issue.code == "processing" and name in issue.diagnostics)
            for issue in self.issue
        )


class SearchEntry(Element):
    mode: str = "match"


class EntryResponse(Element):
    status: str
    location: str | None = None


class Entry(Element):
    resource: Raw | None = None
    search: SearchEntry = SearchEntry()
    response: EntryResponse | None = None

    @property
    def is_outcome(self) -> bool:
        shown = (self.resource or {}).get("resourceType") == "OperationOutcome"
        return shown or self.search.mode == "outcome"


class Link(Element):
    relation: str


class Bundle(Element):
    resource_type: Literal["Bundle"]
    type: str
    total: int | None = None
    link: tuple[Link, ...] = ()
    entry: tuple[Entry, ...] = ()

    @property
    def outcomes(self) -> tuple[OperationOutcome, ...]:
        """Raises `Refusal` for one that cannot be understood."""
        try:
            return tuple(OperationOutcome.model_validate(each.resource) for each in self.entry if each.is_outcome)
        except ValidationError:
            raise Refusal(Code.REPLY_UNRECOGNISED) from None

    @property
    def matches(self) -> tuple[Raw, ...]:
        """All that a search or `$find` found, or `Refusal`: a page is not an answer to "is there one?"."""
        told = [each.resource for each in self.entry if each.search.mode == "match" and not each.is_outcome]
        matches = tuple(raw for raw in told if raw is not None)
        paged = any(link.relation == "next" for link in self.link) or (self.total or 0) > len(matches)
        if paged or len(matches) != len(told) or any(each.limits for each in self.outcomes):
            raise Refusal(Code.REPLY_UNRECOGNISED)
        return matches


Kind = TypeVar("Kind", bound=Resource)


@dataclass(frozen=True, slots=True)
class Held(Generic[Kind]):
    """A resource as a server holds it: what is understood of it, and all of it."""

    content: Kind = field(repr=False)
    raw: Raw = field(repr=False)

    @property
    def version(self) -> str | None:
        return self.content.version

    @property
    def reference(self) -> str:
        return f"{self.raw['resourceType']}/{self.content.id}"

    @property
    def versioned(self) -> str | None:
        """The version-specific reference, which is what an approval names: a versionId alone, as `1`, is that of every
        resource that was written as often (references.html)."""
        return self.version and f"{self.reference}/_history/{self.version}"

    @property
    def writable(self) -> bool:
        """Whether it can be written back: it has a version to name, and no decimal, whose 1.10 would come out as 1.1,
        which FHIR distinguishes (https://hl7.org/fhir/R4/json.html#primitive)."""
        return self.version is not None and not any(isinstance(value, float) for _, value in _parts(self.raw))


def held(kind: type[Kind], raw: Raw) -> Held[Kind]:
    """Raises `Refusal` for another type of resource, or one that cannot be understood: by its shape, because only a
    part of it came, or because something unknown changes what it means (extensibility.html#modifierExtension)."""
    try:
        content = kind.model_validate(raw)
    except ValidationError:
        raise Refusal(Code.REPLY_UNRECOGNISED) from None
    partial = any(tag.code == _SUBSETTED for tag in content.meta.tag)
    if partial or any(name in _MODIFIERS for name, _ in _parts(raw)):
        raise Refusal(Code.REPLY_UNRECOGNISED)
    return Held(content, raw)


def found(kind: type[Kind], reply: httpx.Response) -> tuple[Held[Kind], ...]:
    """The matches of a search; all of them, or `Refusal`."""
    bundle = said(Bundle, reply)
    if bundle.type != "searchset":
        raise Refusal(Code.REPLY_UNRECOGNISED)
    return tuple(held(kind, raw) for raw in bundle.matches)


class Gone(Refusal):
    """The resource was there, and was deleted (http.html#delete)."""


def read(kind: type[Kind], name: str, reply: httpx.Response) -> Held[Kind] | None:
    """The resource `Type/id`, or None where the server's own words say that there is none. Raises `Gone` where there
    was one, and `Refusal` for another one than was asked for."""
    if reply.status_code == 410 and shaped(OperationOutcome, reply.content):
        raise Gone(Code.REPLY_UNRECOGNISED)
    if reply.status_code == 404 and shaped(OperationOutcome, reply.content).denies(name):
        return None
    stored = held(kind, said(Whole, reply).root)
    if stored.reference != name:
        raise Refusal(Code.REPLY_UNRECOGNISED)
    return stored


def _parts(value: JsonValue, name: str = "") -> Iterator[tuple[str, JsonValue]]:
    """The value and everything in it, each with the name of the element that it is or stands in."""
    yield name, value
    inner: list[tuple[str, JsonValue]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = [(name, each) for each in value]
    for element, each in inner:
        yield from _parts(each, element)


def etag_of(version: str) -> str:
    return f'W/"{version}"'


def instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def local_reference(reference: str | None, base: str) -> str:
    """`Type/id` of a reference, which a server may give as an address below its base, or with a version. One to another
    server stays as it is, and equals nothing of this one."""
    return (reference or "").removeprefix(f"{base.rstrip('/')}/").partition("/_history/")[0]


def kind_of(name: str) -> str:
    """`Type` of a reference, also of one to another server."""
    return name.rpartition("/")[0].rpartition("/")[2]


def body(content: Mapping[str, Any] | Sequence[Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
