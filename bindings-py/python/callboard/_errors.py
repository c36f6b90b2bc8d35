"""Exceptions: one class per kind of error, one catalogue of codes for every language."""

from __future__ import annotations


class Error(Exception):
    """Base class of every error of this package. The operation that raised it has changed nothing.

    `code` is stable and the same in every language (see `callboard.codes()`), `field` is the path of what was
    wrong (`endpoints[2].port`; empty when it is no single field), `limit` is the limit that was met, if one was.
    """

    code: str
    field: str
    limit: int | None

    def __init__(self, message: str, code: str, field: str = "", limit: int | None = None) -> None:
        super().__init__(message, code, field, limit)
        self.code = code
        self.field = field
        self.limit = limit

    def __str__(self) -> str:
        return str(self.args[0])


class ConflictError(Error):
    """The state of the registry does not allow the operation."""


class DataError(Error, ValueError):
    """Bytes are not what they should be: a payload, a snapshot."""


class InvalidError(Error, ValueError):
    """An argument is wrong."""


class LimitError(Error, ValueError):
    """A limit or a quota was met."""


class NotFoundError(Error, LookupError):
    """What was named does not exist."""


class UnavailableError(Error, LookupError):
    """No instance can take the call."""


class UsageError(Error, RuntimeError):
    """The object cannot be used, or not in this way."""
