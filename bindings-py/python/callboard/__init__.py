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
from ._native import Query, codes, now
from ._types import Admin, Endpoint, Instance, Locality

__all__ = [
    "Admin",
    "ConflictError",
    "DataError",
    "Endpoint",
    "Error",
    "Instance",
    "InvalidError",
    "LimitError",
    "Locality",
    "NotFoundError",
    "Query",
    "UnavailableError",
    "UsageError",
    "__version__",
    "codes",
    "now",
]
