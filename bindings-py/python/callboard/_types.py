"""What the registry answers with: immutable, typed, comparable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal, TypeVar

_T = TypeVar("_T", bound="Document")

Health = Literal["unknown", "starting", "healthy", "degraded", "unhealthy"]
AdminState = Literal["enabled", "draining", "disabled"]
Availability = Literal["available", "degraded", "draining", "unavailable"]
LeaseState = Literal["persistent", "live", "suspect"]


def _plain(value: object) -> Any:
    if isinstance(value, Document):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


class Document:
    """Base class of results. One can be passed wherever a document (a dict) can."""

    __slots__ = ()

    @classmethod
    def _read(cls: type[_T], document: Mapping[str, Any]) -> _T:
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
        return type(self)._read, (self.to_dict(),)


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
    def _read(cls, document: Mapping[str, Any]) -> Instance:
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
