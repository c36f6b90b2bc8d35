"""What the registry answers with: immutable, typed, comparable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast

if TYPE_CHECKING:
    from ._native import Wait

_T = TypeVar("_T", bound="Document")

Health: TypeAlias = Literal["unknown", "starting", "healthy", "degraded", "unhealthy"]
AdminState: TypeAlias = Literal["enabled", "draining", "disabled"]
Availability: TypeAlias = Literal["available", "degraded", "draining", "unavailable"]
LeaseState: TypeAlias = Literal["persistent", "live", "suspect"]


def _plain(value: object) -> Any:
    if isinstance(value, Document):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in cast("Mapping[str, object]", value).items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in cast("tuple[object, ...]", value)]
    return value


class Document:
    """Base class of results. One can be passed wherever a document (a dict) can."""

    __slots__ = ()

    @classmethod
    def from_dict(cls: type[_T], document: Mapping[str, Any]) -> _T:
        """Reads the result from the dict that `to_dict` writes."""
        return cls(**document)

    def to_dict(self) -> dict[str, Any]:
        """The result as a plain dict, without what is not known."""
        pairs = ((item.name, getattr(self, item.name)) for item in fields(self))  # type: ignore[arg-type]
        return {name: _plain(value) for name, value in pairs if value is not None}

    # Immutable things are their own copies; a pickle is the document.
    def __copy__(self: _T) -> _T:
        return self

    def __deepcopy__(self: _T, memo: object) -> _T:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_dict, (self.to_dict(),)


@dataclass(frozen=True, slots=True)
class Endpoint(Document):
    """A named address of an instance. `str()` of it is its URL."""

    host: str
    port: int | None = None
    scheme: str = "http"
    secure: bool = False
    name: str = ""

    @property
    def url(self) -> str:
        """Scheme, host and port, without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" if self.port is None else f"{self.scheme}://{host}:{self.port}"

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class Locality(Document):
    """Where an instance runs; a part that is not known is empty."""

    region: str = ""
    zone: str = ""
    subzone: str = ""
    node: str = ""


@dataclass(frozen=True, slots=True)
class Admin(Document):
    """The operator's word about an instance."""

    state: AdminState = "enabled"
    until: int | None = None
    """When it ends, in microseconds of the registry's clock."""
    reason: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Instance(Document):
    """A provider of a service, as it is on record at `revision`.

    A registry gives the same object for as long as the record does not change.
    """

    namespace: str
    service: str
    id: str
    handle: int
    """Names the record in its registry, for as long as it lives."""
    revision: int
    """The revision that last changed it."""
    source: str
    """Where it came from: `local`, or the name of a reconciled source."""
    lease: LeaseState
    availability: Availability
    """Whether it may be given a call: follows from health, admin state and lease."""
    url: str | None = None
    """The URL of the first endpoint, without a path."""
    endpoints: tuple[Endpoint, ...] = ()
    locality: Locality = field(default_factory=Locality)
    weight: float = 1
    version: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    health: Health = "healthy"
    ttl: float | None = None
    """Seconds it lives after a renewal; None for one that stays until it is removed."""
    grace: float | None = None
    incarnation: int = 0
    admin: Admin = field(default_factory=Admin)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Instance:
        parts = dict(document)
        parts["endpoints"] = tuple([Endpoint(**endpoint) for endpoint in parts["endpoints"]])
        parts["locality"] = Locality(**parts["locality"])
        parts["tags"] = tuple(parts["tags"])
        parts["metadata"] = MappingProxyType(dict(parts["metadata"]))
        parts["admin"] = Admin(**parts["admin"])
        return cls(**parts)

    def __hash__(self) -> int:
        return hash((self.namespace, self.service, self.id, self.handle, self.revision))

    def __repr__(self) -> str:
        # Never the metadata: it may hold what should not be in a log.
        return (
            f"Instance(namespace={self.namespace!r}, service={self.service!r}, id={self.id!r}, url={self.url!r}, "
            f"availability={self.availability!r}, revision={self.revision})"
        )


@dataclass(frozen=True, slots=True)
class Answer(Document):
    """What matches a query, by service and id, and how far it can be trusted. A sequence of instances."""

    instances: tuple[Instance, ...]
    revision: int
    """The revision it is true of: where changes can be read from, with `epoch`."""
    epoch: int
    rung: int
    """Which rung of the query found them: 0 is the query itself, 1 its first fallback."""
    stale: bool
    """Whether a source in scope is held at its last good listing."""
    protected: bool
    """Whether protection holds overdue instances of a service in scope."""

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Answer:
        parts = dict(document)
        parts["instances"] = tuple([Instance.from_dict(one) for one in parts["instances"]])
        return cls(**parts)

    def __iter__(self) -> Iterator[Instance]:
        return iter(self.instances)

    def __len__(self) -> int:
        return len(self.instances)

    def __getitem__(self, at: int) -> Instance:
        return self.instances[at]


@dataclass(frozen=True, slots=True)
class Departed(Document):
    """An instance that left a view."""

    handle: int
    """The handle it had."""
    service: str
    id: str


@dataclass(frozen=True, slots=True)
class Change:
    """One change of what matches a watched query."""

    kind: Literal["added", "updated", "removed"]
    service: str
    id: str
    handle: int
    instance: Instance | None
    """As it is now; None when it was removed."""


@dataclass(frozen=True, slots=True)
class Delta(Document):
    """What is different in a view since the poll before. Each tuple is in order of service and id."""

    added: tuple[Instance, ...]
    """Instances that are new to the view, or are another record under a name it knew."""
    updated: tuple[Instance, ...]
    removed: tuple[Departed, ...]
    """Instances that are gone, or match no more."""
    epoch: int
    revision: int
    """What the view is now true of."""
    reset: bool
    """Whether the view was read anew: the first time, or because the log did not reach back."""
    rung: int
    """Which rung of the query finds the members."""

    @property
    def changes(self) -> tuple[Change, ...]:
        """All of it in order of service and id; of one that was replaced, the removal first."""
        changes = [
            *(Change("removed", gone.service, gone.id, gone.handle, None) for gone in self.removed),
            *(Change("added", one.service, one.id, one.handle, one) for one in self.added),
            *(Change("updated", one.service, one.id, one.handle, one) for one in self.updated),
        ]
        return tuple(sorted(changes, key=lambda change: (change.service, change.id)))


@dataclass(frozen=True, slots=True)
class Position(Document):
    """Where a reader stands in the log of one registry."""

    epoch: int
    revision: int


@dataclass(frozen=True, slots=True)
class Event(Document):
    """One entry of the log."""

    revision: int
    """The revision it is part of; entries of one batch share one."""
    kind: Literal["added", "updated", "removed"]
    cause: Literal["register", "deregister", "expire", "health", "admin", "reconcile", "lease", "restore"]
    namespace: str
    service: str
    id: str
    handle: int
    """The record it happened to. That of a removed one names nothing any more."""


@dataclass(frozen=True, slots=True)
class Changes(Document):
    """What a reader at a position has missed."""

    status: Literal["events", "compacted", "new-epoch"]
    """`events`: these are all of them. Otherwise the log cannot tell: list again, and read on from `position`."""
    epoch: int
    revision: int
    """Where the reader stands with it."""
    events: tuple[Event, ...] = ()
    """In order of revision."""
    oldest: int | None = None
    """With `compacted`: the oldest revision that can be read on from."""

    @property
    def position(self) -> Position:
        """Read on from here."""
        return Position(self.epoch, self.revision)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Changes:
        parts = dict(document)
        parts["events"] = tuple([Event(**event) for event in parts.get("events", ())])
        return cls(**parts)


@dataclass(frozen=True, slots=True)
class Registered(Document):
    """What became of a registration."""

    handle: int
    """Names the record: the fast way to renew it."""
    revision: int
    """The revision the registry stands at."""
    created: bool
    changed: bool
    """Whether anything changed; saying the same again does not."""


@dataclass(frozen=True, slots=True)
class Advanced(Document):
    """What time did."""

    expired: int
    """How many instances expired."""
    revision: int


@dataclass(frozen=True, slots=True)
class Skipped(Document):
    """An instance of a listing that was not taken."""

    index: int
    """Its place in the listing."""
    id: str
    error: Mapping[str, Any]
    """Why: `code` and `field`."""


@dataclass(frozen=True, slots=True)
class Reconciled(Document):
    """What became of a listing."""

    added: int
    updated: int
    removed: int
    held: int
    """Records that the listing does not name and that stay, until it is confirmed."""
    skipped: tuple[Skipped, ...]
    revision: int

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Reconciled:
        parts = dict(document)
        parts["skipped"] = tuple([Skipped(**one) for one in parts["skipped"]])
        return cls(**parts)


@dataclass(frozen=True, slots=True)
class Next(Document):
    """The next question to a source."""

    after: float
    """Seconds to wait before it."""
    ask: Literal["full", "delta", "watch"]
    query: str
    """What goes into the query of the URL; often empty."""
    headers: Mapping[str, str]
    """What goes into the headers."""
    cursor: str | None = None
    """Where the source stood; None when it starts anew."""
    resync: str | None = None
    """Why it starts anew, when it does."""

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Next:
        parts = dict(document)
        parts["headers"] = MappingProxyType(dict(parts["headers"]))
        return cls(**parts)


@dataclass(frozen=True, slots=True)
class Fed(Document):
    """What became of an answer of a source."""

    added: int
    updated: int
    removed: int
    held: int
    """Records that the source no longer names and that stay until it is confirmed."""
    skipped: tuple[Skipped, ...]
    services: tuple[str, ...]
    """Names of services that the answer lists without their instances."""
    unchanged: bool
    """Whether it was the answer before again, and was not read."""
    stale: bool
    """Whether the records are those of an earlier answer, in part or as a whole."""
    revision: int
    next: Next
    problem: Mapping[str, str] | None = None
    """`code`, `field` and `message` of what is wrong with the answer as a whole; it changed nothing then."""

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Fed:
        parts = dict(document)
        parts["skipped"] = tuple([Skipped(**one) for one in parts["skipped"]])
        parts["services"] = tuple(parts["services"])
        parts["next"] = Next.from_dict(parts["next"])
        return cls(**parts)


@dataclass(frozen=True, slots=True)
class Writes:
    """What an engine has to write, at once if it can."""

    whole: bool
    """Whether these are all entries that there are: of the others that the engine holds, the `Store.leftovers` go."""
    entries: tuple[tuple[str, str | None, int | None], ...]
    """Keys, below whatever prefix the host puts before all of them, and values; None removes the key, whether or not it is there. Then for how many seconds
    an engine that can has to keep it without being told again by `refresh`; None: for ever."""
    refresh: tuple[int, ...] = ()
    """Which of these times begin anew for all keys that were written with them. If the engine has let go of the keys, say `failed` and ask again."""


@dataclass(frozen=True, slots=True)
class Unread(Document):
    """An entry of an engine that is not ours or is damaged."""

    key: str
    error: Mapping[str, Any]
    """`code` and `field`."""

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Unread:
        return cls(**document)


@dataclass(frozen=True, slots=True)
class Ask(Document):
    """A question to etcd's JSON gateway: a body to `POST`."""

    path: str
    body: str
    stream: bool
    """Whether the answer is a stream of lines; otherwise it is one body."""
    after: float
    """How many seconds to wait before."""

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Ask:
        return cls(**document)


@dataclass(frozen=True, slots=True)
class Told(Document):
    """What an answer of an engine that several servers share led to."""

    again: bool
    """Whether `Replica.follow` has another question; otherwise the stream goes on."""
    skipped: tuple[Unread, ...]
    """What is not callboard's or could not be read."""

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Told:
        return cls(document["again"], tuple([Unread.from_dict(one) for one in document["skipped"]]))


@dataclass(frozen=True, slots=True)
class Frame:
    """Bytes for a file."""

    replace: bool
    """Whether they take the place of the file: write them beside it, make that durable, rename. Otherwise append them."""
    bytes: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """A response of the HTTP API."""

    status: int
    headers: tuple[tuple[str, str], ...]
    """Names in lower case, and values."""
    body: bytes
    more: Wait | None = None
    """What the body goes on with, where it is a stream: what `resume` gives has the next piece in its body."""
