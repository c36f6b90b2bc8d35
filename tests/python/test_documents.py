"""What Python objects become at the border: hostile ones, and those that are meant."""

import collections
import enum
import pickle
from types import MappingProxyType

import callboard
import pytest
from callboard import Query


def refused(document, code, field):
    with pytest.raises(callboard.Error) as caught:
        Query.from_dict(document)
    assert (caught.value.code, caught.value.field) == (code, field), str(caught.value)


class Shouting:
    """Its own code raises when it is looked at."""

    def __getattr__(self, name):
        raise RuntimeError(name)


@pytest.mark.parametrize(
    ("document", "code", "field"),
    [
        (None, "invalid-argument", ""),
        (1, "invalid-argument", ""),
        ([], "invalid-argument", ""),
        ({"wieght": 1}, "unknown-field", "wieght"),
        ({"__proto__": {}}, "unknown-field", "__proto__"),
        ({"service": "__proto__"}, "invalid-name", "service"),
        ({1: 2}, "invalid-argument", ""),
        ({"locality": {b"zone": "a"}}, "invalid-argument", "locality"),
        ({"service": b"billing"}, "invalid-argument", "service"),
        ({"service": bytearray(b"billing")}, "invalid-argument", "service"),
        ({"service": "\ud800"}, "invalid-argument", "service"),
        ({"service": "x" * 65_537}, "limit-exceeded", "service.string"),
        ({"service": 1}, "invalid-argument", "service"),
        ({"service": Shouting()}, "invalid-argument", "service"),
        ({"tags": {"a"}}, "invalid-argument", "tags"),
        ({"tags": (tag for tag in "ab")}, "invalid-argument", "tags"),
        ({"tags": ["a", object()]}, "invalid-argument", "tags[1]"),
        ({"limit": True}, "invalid-argument", "limit"),
        ({"limit": -1}, "invalid-argument", "limit"),
        ({"limit": 0}, "invalid-argument", "limit"),
        ({"limit": 1.5}, "invalid-argument", "limit"),
        ({"limit": float("nan")}, "invalid-argument", "limit"),
        ({"limit": float("inf")}, "invalid-argument", "limit"),
        ({"limit": 2**32}, "limit-exceeded", "limit"),
        ({"limit": 2**53}, "invalid-argument", "limit"),
        ({"limit": 2**63}, "invalid-argument", "limit"),
        ({"limit": -(2**63) - 1}, "invalid-argument", "limit"),
        ({"limit": 10**400}, "invalid-argument", "limit"),
        ({"limit": 1j}, "invalid-argument", "limit"),
    ],
)
def test_what_is_no_document_is_a_typed_error(document, code, field):
    refused(document, code, field)


def nested(levels):
    value = "x"
    for _ in range(levels):
        value = [value]
    return value


def test_depth_and_size_are_bounded():
    refused({"tags": nested(64)}, "limit-exceeded", "tags" + "[0]" * 63 + ".depth")
    refused({"tags": nested(63)}, "invalid-argument", "tags")
    circle = []
    circle.append(circle)
    with pytest.raises(callboard.LimitError):
        Query.from_dict({"tags": circle})
    with pytest.raises(callboard.LimitError) as caught:
        Query.from_dict({"tags": [1] * 1_000_000})
    assert caught.value.limit == 1_000_000


def test_an_exception_of_the_objects_own_code_comes_through():
    class Raising(collections.UserDict):
        def items(self):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Query.from_dict(Raising())


def test_what_means_a_document_is_one():
    class Health(str, enum.Enum):
        ANY = "any"

    wanted = Query("billing", health="any", tags=["a"], locality={"zone": "z"}, limit=5)
    for document in (
        {"service": "billing", "health": Health.ANY, "tags": ("a",), "locality": callboard.Locality(zone="z"), "limit": 5},
        MappingProxyType({"service": "billing", "health": "any", "tags": ["a"], "locality": {"zone": "z"}, "limit": 5}),
        collections.OrderedDict(wanted.to_dict()),
        wanted,
    ):
        assert Query.from_dict(document) == wanted


def test_a_query_is_a_value():
    query = Query("billing", version="^1.4", selector="env=prod", fallbacks=[Query("billing-old")])
    assert (query.namespace, query.service, query.health) == ("default", "billing", "serving")
    assert query.version == "^1.4" and "env" in query.selector
    assert eval(repr(query)) == query
    assert pickle.loads(pickle.dumps(query)) == query
    assert len({query, Query.from_dict(query.to_dict()), Query("billing")}) == 2
    assert Query() == Query(None) != query
    with pytest.raises(AttributeError):
        query.service = "other"


def test_a_query_is_asked_of_a_registration():
    query = Query("billing", version="^1.4", selector="env=prod")
    good = {"service": "billing", "id": "b1", "version": "1.5.0", "metadata": {"env": "prod"}}
    assert query.matches(good)
    assert not query.matches({**good, "version": "2.0.0"})
    with pytest.raises(callboard.InvalidError) as caught:
        query.matches({**good, "wieght": 1})
    assert caught.value.field == "wieght"


def test_now_is_a_monotonic_count_of_microseconds():
    first, second = callboard.now(), callboard.now()
    assert isinstance(first, int) and 0 <= first <= second < 2**53
