"""The registry as Python sees it: objects, errors, hostile calls. What it decides is the vectors' business."""

import copy
import pickle

import callboard
import pytest
from callboard import Instance, Query, Registry

SECOND = 1_000_000
BILLING = {
    "id": "b1",
    "endpoints": ["http://10.0.0.5:8080", {"name": "admin", "scheme": "https", "host": "::1", "port": 9, "secure": True}],
    "version": "1.4.2",
    "metadata": {"env": "prod", "password": "hunter2"},
    "tags": ["canary"],
    "locality": {"region": "eu", "zone": "eu-1a"},
    "weight": 2.5,
    "ttl": 30,
}


@pytest.fixture
def registry():
    registry = Registry()
    registry.register("billing", **BILLING, now=0)
    return registry


def raises(code, field, call, *args, **kwargs):
    with pytest.raises(callboard.Error) as caught:
        call(*args, **kwargs)
    assert (caught.value.code, caught.value.field) == (code, field), str(caught.value)
    return caught.value


def test_an_instance_has_attributes(registry):
    instance = registry.lookup("billing", "b1")
    assert isinstance(instance, Instance)
    assert (instance.namespace, instance.service, instance.id) == ("default", "billing", "b1")
    assert instance.url == "http://10.0.0.5:8080" == str(instance.endpoints[0])
    assert (instance.endpoints[1].name, instance.endpoints[1].port, instance.endpoints[1].secure) == ("admin", 9, True)
    assert instance.endpoints[1].url == "https://[::1]:9"
    assert (instance.version, instance.tags, instance.weight) == ("1.4.2", ("canary",), 2.5)
    assert (instance.locality.zone, instance.locality.node) == ("eu-1a", "")
    assert instance.metadata == {"env": "prod", "password": "hunter2"}
    assert (instance.ttl, instance.health, instance.lease, instance.availability) == (30, "healthy", "live", "available")
    assert (instance.source, instance.admin.state, instance.revision) == ("local", "enabled", registry.revision)
    assert registry.instance(instance.handle) is instance


def test_an_instance_cannot_be_changed_and_shows_no_metadata(registry):
    instance = registry.lookup("billing", "b1")
    with pytest.raises(AttributeError):
        instance.id = "b2"
    with pytest.raises(TypeError):
        instance.metadata["env"] = "test"
    assert "hunter2" not in repr(instance) and "hunter2" not in str(instance)
    assert "hunter2" not in repr(registry.query("billing"))


def test_an_instance_is_the_same_object_until_it_changes(registry):
    first = registry.lookup("billing", "b1")
    registry.register("billing", "b2")
    assert registry.lookup("billing", "b1") is first is registry.query("billing").instances[0]
    registry.set_health("billing", "b1", "degraded")
    second = registry.lookup("billing", "b1")
    assert second is not first and second.handle == first.handle and second.revision > first.revision
    assert (first.health, second.health) == ("healthy", "degraded")


def test_a_renewal_of_a_later_life_shows(registry):
    first = registry.lookup("billing", "b1")
    registry.renew("billing", "b1", incarnation=5, now=0)
    second = registry.lookup("billing", "b1")
    assert (first.incarnation, second.incarnation, second.revision) == (0, 5, first.revision)


def test_instances_compare_hash_copy_and_pickle(registry):
    instance = registry.lookup("billing", "b1")
    other = pickle.loads(pickle.dumps(instance))
    assert other == instance and hash(other) == hash(instance) and other is not instance
    assert copy.copy(instance) is instance is copy.deepcopy(instance)
    assert instance.to_dict()["metadata"] == BILLING["metadata"] and type(instance.to_dict()) is dict
    match instance:
        case Instance(service="billing", id=name):
            assert name == "b1"


def test_what_was_answered_can_be_asked(registry):
    instance = registry.lookup("billing", "b1")
    other = Registry()
    other.register("billing", "b1", endpoints=instance.endpoints, metadata=instance.metadata, locality=instance.locality)
    assert other.lookup("billing", "b1").endpoints == instance.endpoints


def test_an_answer_is_a_sequence(registry):
    answer = registry.query(Query("billing", selector="env=prod"))
    assert [instance.id for instance in answer] == ["b1"] and len(answer) == 1 and answer[0].id == "b1"
    assert (answer.revision, answer.epoch, answer.stale, answer.protected) == (registry.revision, registry.epoch, False, False)
    assert not registry.query("nobody")
    assert len(registry.query({"selector": "!env"})) == 0


@pytest.mark.parametrize("now", [-1, 2**53, 2**64, 10**400, 1.0, float("nan"), float("inf"), "1", True, b"1", [], object()])
def test_a_time_is_a_whole_number_of_microseconds(registry, now):
    before = registry.revision
    for call in (
        lambda: registry.register("billing", "b2", now=now),
        lambda: registry.renew("billing", "b1", now=now),
        lambda: registry.advance(now=now),
        lambda: registry.deregister("billing", "b1", now=now),
        lambda: registry.apply([], now=now),
        lambda: Registry.restore(registry.snapshot(), now=now),
    ):
        error = raises("invalid-time", "now", call)
        assert error.limit == 2**53 - 1
    assert registry.revision == before and len(registry) == 1


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"wieght": 1}, "unknown-field", "wieght"),
        ({"__proto__": 1}, "unknown-field", "__proto__"),
        ({"id": None}, "missing-field", "id"),
        ({"id": 1}, "invalid-argument", "id"),
        ({"namespace": "__proto__"}, "invalid-name", "namespace"),
        ({"weight": -1}, "invalid-weight", "weight"),
        ({"weight": float("nan")}, "invalid-weight", "weight"),
        ({"weight": 2**53}, "invalid-weight", "weight"),
        ({"weight": 2**63}, "invalid-argument", "weight"),
        ({"weight": "1"}, "invalid-argument", "weight"),
        ({"weight": True}, "invalid-argument", "weight"),
        ({"ttl": float("nan")}, "invalid-duration", "ttl"),
        ({"ttl": -1}, "invalid-duration", "ttl"),
        ({"ttl": 2**53}, "invalid-duration", "ttl"),
        ({"incarnation": -1}, "invalid-argument", "incarnation"),
        ({"incarnation": 2**53}, "invalid-argument", "incarnation"),
        ({"endpoints": "http://a"}, "invalid-argument", "endpoints"),
        ({"endpoints": ["http://a:0"]}, "invalid-address", "endpoints[0].port"),
        ({"metadata": {"k": 1}}, "invalid-argument", "metadata.k"),
        ({"metadata": {"k": b"v"}}, "invalid-argument", "metadata.k"),
        ({"mode": "maybe"}, "invalid-argument", "mode"),
        ({"mode": 1}, "invalid-argument", "mode"),
        ({"if_revision": -1}, "invalid-argument", "if_revision"),
        ({"if_revision": float("nan")}, "invalid-argument", "if_revision"),
    ],
)
def test_a_bad_registration_changes_nothing(registry, changes, code, field):
    before = registry.position
    raises(code, field, registry.register, "billing", **{**BILLING, "id": "b2", **changes})
    assert registry.position == before and len(registry) == 1


def test_bad_arguments_are_typed_errors(registry):
    before = registry.position
    raises("invalid-argument", "service", registry.register, 1, id="b2")
    raises("invalid-argument", "service", registry.renew, None, "b1")
    raises("invalid-argument", "id", registry.renew, "billing", 1)
    raises("invalid-argument", "namespace", registry.renew, "billing", "b1", namespace=1)
    raises("invalid-argument", "incarnation", registry.renew, "billing", "b1", incarnation=1.5)
    raises("unknown-lease", "id", registry.renew, "billing", "b9")
    for handle in (-1, 1.0, True, float("nan"), 2**53, "1", None):
        raises("invalid-argument", "handle", registry.instance, handle)
        raises("invalid-argument", "handle", registry.renew_handle, handle)
    assert registry.instance(2**53 - 1) is None
    raises("invalid-argument", "health", registry.set_health, "billing", "b1", "ill")
    raises("invalid-argument", "state", registry.set_admin, "billing", "b1", "gone")
    raises("unknown-field", "tll", registry.set_admin, "billing", "b1", "draining", tll=1)
    raises("invalid-argument", "snapshot", Registry.restore, "text")
    raises("unknown-field", "sede", Registry, sede=1)
    raises("invalid-argument", "seed", Registry, seed=-1)
    raises("invalid-argument", "namespace", registry.services, 1)
    assert registry.position == before
    for name in ("__class__", "constructor", "__proto__", "toString"):
        assert registry.lookup("billing", name) is None


def test_settings_are_the_cores(registry):
    parameters = {name for name in Registry.__text_signature__.strip("()").replace("*, ", "").split(", ")}
    names = {parameter.split("=")[0] for parameter in parameters}
    for name in names - {"seed", "epoch", "allow_local_addresses"}:
        raises("invalid-duration" if name.endswith(("slack", "interval", "after")) or name == "protection_limit" else "invalid-argument", name, Registry, **{name: -1})


def test_any_bytes_to_restore_are_a_typed_error(registry):
    snapshot = registry.snapshot()
    assert Registry.restore(snapshot, now=0).lookup("billing", "b1").metadata == BILLING["metadata"]
    for at in range(len(snapshot)):
        for damaged in (snapshot[:at], snapshot[:at] + bytes([snapshot[at] ^ 1]) + snapshot[at + 1 :]):
            with pytest.raises(callboard.DataError):
                Registry.restore(damaged, now=0)


def test_each_life_of_a_registry_has_its_own_epoch(registry):
    assert Registry().epoch >= registry.epoch > 1
    assert Registry.restore(registry.snapshot()).epoch > registry.epoch
    assert Registry(epoch=7).epoch == 7


def test_a_lease_ends(registry):
    registry.renew("billing", "b1", now=10 * SECOND)
    assert registry.deadline == 40 * SECOND
    assert registry.advance(now=39 * SECOND).expired == 0
    assert registry.advance(now=40 * SECOND).expired == 1
    assert registry.deadline is None and registry.lookup("billing", "b1") is None


def test_the_default_clock_moves_leases(registry):
    registry = Registry()
    registry.register("billing", "b1", ttl=1)
    first = registry.deadline
    assert 0 < first - callboard.now() <= SECOND
    registry.renew("billing", "b1")
    assert registry.deadline >= first


def test_an_operator_has_the_last_word(registry):
    registry.set_admin("billing", "b1", "draining", ttl=5, reason="deploy", now=SECOND)
    admin = registry.lookup("billing", "b1").admin
    assert (admin.state, admin.until, admin.reason) == ("draining", 6 * SECOND, "deploy")
    registry.set_admin("billing", "b1", None, now=SECOND)
    assert registry.lookup("billing", "b1").admin.state == "enabled"
    raises("missing-field", "state", registry.set_admin, "billing", "b1", None, ttl=5)


def test_a_batch_is_all_or_nothing(registry):
    before = registry.position
    good = {"service": "billing", "id": "b2"}
    good, bad = ({"op": "register", "instance": instance} for instance in (good, {**good, "wieght": 1}))
    raises("unknown-field", "ops[1].instance.wieght", registry.apply, [good, bad], now=0)
    raises("invalid-argument", "ops", registry.apply, good, now=0)
    assert registry.position == before
    assert registry.apply([good, {"op": "deregister", "service": "billing", "id": "b1"}], now=0) == before.revision + 1
    assert [instance.id for instance in registry.query("billing")] == ["b2"]


def test_a_listing_becomes_the_smallest_change(registry):
    listing = [{"service": "web", "id": name, "endpoints": ["http://10.0.0.1:80"]} for name in ("w1", "w2")]
    done = registry.reconcile("consul:dc1", listing, service="web", now=0)
    assert (done.added, done.updated, done.removed, done.held) == (2, 0, 0, 0)
    assert registry.reconcile("consul:dc1", [], service="web", now=0).held == 2
    assert registry.query("web").stale
    raises("not-owner", "id", registry.deregister, "web", "w1", now=0)
    assert registry.acknowledge("consul:dc1", now=0).removed == 2


def test_changes_are_ordered_and_without_a_gap(registry):
    since = registry.position
    registry.set_health("billing", "b1", "degraded", now=0)
    registry.deregister("billing", "b1", now=0)
    changes = registry.changes(since)
    assert [(change.kind, change.cause, change.id) for change in changes.events] == [("updated", "health", "b1"), ("removed", "deregister", "b1")]
    assert [change.revision for change in changes.events] == [since.revision + 1, since.revision + 2]


def test_a_subscriber_that_raises_harms_nobody(registry, monkeypatch):
    seen = []
    monkeypatch.setattr("sys.unraisablehook", seen.append)
    listener = registry._listen(lambda: 1 / 0)
    registry.register("billing", "b2")
    assert len(registry) == 2 and seen[0].exc_type is ZeroDivisionError
    registry._unlisten(listener)
    registry._unlisten(listener)
    registry.register("billing", "b3")
    assert len(seen) == 1
