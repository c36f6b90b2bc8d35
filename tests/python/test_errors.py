"""One catalogue of errors for every language, and exceptions that behave as Python's do."""

import copy
import json
import pickle
from pathlib import Path

import callboard
import pytest

CATALOGUE = Path(__file__).parents[1] / "errors.json"
BUILTINS = {
    "ConflictError": Exception,
    "DataError": ValueError,
    "InvalidError": ValueError,
    "LimitError": ValueError,
    "NotFoundError": LookupError,
    "UnavailableError": LookupError,
    "UsageError": RuntimeError,
}


def test_the_catalogue_is_the_cores():
    catalogue = json.loads(CATALOGUE.read_text())
    assert callboard.codes() == {entry["code"]: entry["kind"] for entry in catalogue}


@pytest.mark.parametrize("name", sorted(set(callboard.codes().values())))
def test_a_class_for_each_kind(name):
    kind = getattr(callboard, name)
    assert issubclass(kind, callboard.Error) and issubclass(kind, BUILTINS[name])


def test_every_class_is_of_the_catalogue():
    classes = {name for name in callboard.__all__ if name.endswith("Error") and name != "Error"}
    assert classes == set(callboard.codes().values()) == set(BUILTINS)


def test_an_error_tells_code_field_and_limit():
    with pytest.raises(callboard.LimitError) as caught:
        callboard.Query("billing", selector="a" * 5_000)
    error = caught.value
    assert (error.code, error.field, error.limit) == ("limit-exceeded", "selector", 4096)
    assert str(error).startswith("limit-exceeded: selector: ")
    for other in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(other) is type(error)
        assert (str(other), other.code, other.field, other.limit) == (str(error), error.code, error.field, error.limit)


def test_errors_are_one_printable_line():
    with pytest.raises(callboard.InvalidError) as caught:
        callboard.Query("a\r\nb\u202e")
    assert str(caught.value).isprintable()
