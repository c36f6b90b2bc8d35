"""Service discovery without I/O: who is there, what changed, and which instance a call should go to."""

from __future__ import annotations

from ._errors import (
    ConflictError,
    DataError,
    Error,
    InvalidError,
    LimitError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from ._native import __VERSION__ as __version__
from ._native import Balancer, Pick, Query, Registry, Wait, codes, decode, now
from ._types import (
    Admin,
    Advanced,
    Answer,
    Change,
    Changes,
    Delta,
    Departed,
    Endpoint,
    Event,
    Instance,
    Locality,
    Position,
    Reconciled,
    Registered,
    Response,
    Skipped,
)
from ._watch import Watch, respond

__all__ = [
    "Admin",
    "Advanced",
    "Answer",
    "Balancer",
    "Change",
    "Changes",
    "ConflictError",
    "DataError",
    "Delta",
    "Departed",
    "Endpoint",
    "Error",
    "Event",
    "Instance",
    "InvalidError",
    "LimitError",
    "Locality",
    "NotFoundError",
    "Pick",
    "Position",
    "Query",
    "Reconciled",
    "Registered",
    "Registry",
    "Response",
    "Skipped",
    "UnavailableError",
    "UsageError",
    "Wait",
    "Watch",
    "__version__",
    "codes",
    "decode",
    "now",
    "respond",
]
