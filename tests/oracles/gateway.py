"""The shape of etcd's JSON gateway, and of the steps of a replica's cases."""

import json
from base64 import b64encode

STEPS = []


def b64(text):
    return b64encode(text.encode()).decode()


def at(seconds, do, expect=None, **args):
    step = {"at": round(seconds * 1_000_000), "do": do}
    if args:
        step["args"] = args
    if expect is not None:
        step["expect"] = expect
    STEPS.append(step)


def document(name, ttl=None, **more):
    own = {"namespace": "default", "service": "web", "id": name, "endpoints": [], "locality": {}, "weight": 1, "tags": [], "metadata": {}, "health": "healthy"}
    own |= {"ttl": ttl, "grace": 0} if ttl else {}
    return json.dumps(own | {"incarnation": 0} | more, separators=(",", ":"))


def key(name, kind="instances"):
    return b64(f"callboard/{kind}/default/web/{name}")


def header(revision, **more):
    return {"header": {"cluster_id": "1", "member_id": "2", "revision": str(revision), "raft_term": "2"}, **more}


def kv(name, value, revision, lease=None, kind="instances"):
    own = {"key": key(name, kind), "create_revision": "1", "mod_revision": str(revision), "version": "1", "value": b64(value)}
    return own | ({"lease": str(lease)} if lease else {})


def page(revision, *kvs):
    return header(revision, **({"kvs": list(kvs), "count": str(len(kvs))} if kvs else {}))


def line(revision, *events, **more):
    return {"result": header(revision, **({"events": list(events)} if events else {}), **more)}


def put(*args, **more):
    return {"kv": kv(*args, **more)}


def delete(name, revision, kind="instances"):
    return {"type": "DELETE", "kv": {"key": key(name, kind), "mod_revision": str(revision)}}


def transaction(*changes):
    """Each is a name, the revision it must have, and how it is put; nothing to remove it."""
    compare = [{"key": key(name), "target": "MOD", "result": "EQUAL", "mod_revision": str(since)} for name, since, _ in changes]
    success = []
    for name, _, how in changes:
        if how is None:
            success.append({"request_delete_range": {"key": key(name)}})
        else:
            success.append({"request_put": {"key": key(name), **how}})
    failure = [{"request_range": {"key": key(name)}} for name, _, _ in changes]
    return {"path": "/v3/kv/txn", "stream": False, "body": {"compare": compare, "success": success, "failure": failure}}


def on(value, lease):
    return {"value": b64(value), "lease": str(lease)}


LIST = {"path": "/v3/kv/range", "stream": False, "body": {"key": b64("callboard/"), "range_end": b64("callboard0"), "limit": "128"}}
PING = {"path": "/v3/kv/range", "body": {"key": b64("callboard/")}}
NOTHING_SKIPPED = {"again": True, "skipped": []}
GOES_ON = {"again": False, "skipped": []}


def watch(start):
    request = {"key": b64("callboard/"), "range_end": b64("callboard0"), "start_revision": str(start), "fragment": True}
    return {"path": "/v3/watch", "stream": True, "body": {"create_request": request}}


def grant(ttl):
    return {"path": "/v3/lease/grant", "body": {"TTL": str(ttl)}}


def look(lease):
    return {"path": "/v3/lease/timetolive", "body": {"ID": str(lease)}}


def keep_alive(lease):
    return {"path": "/v3/lease/keepalive", "body": {"ID": str(lease)}}


def begin(*kvs, revision=10, **settings):
    at(0, "replicate", **settings)
    at(0, "follow_engine", LIST)
    at(0, "tell", NOTHING_SKIPPED, body=page(revision, *kvs))
    at(0, "follow_engine", watch(revision + 1))
    at(0, "tell", GOES_ON, body=line(revision, created=True))


def instance(name, ttl=None, **more):
    return {"service": "web", "id": name, **({"ttl": ttl} if ttl else {}), **more}


def there(seconds, *names):
    at(seconds, "query", {"instances": [{"id": name} for name in names]}, query={"service": "web", "health": "any"})


CASES = []


def case(name):
    STEPS.clear()
    return name


def end(name, **config):
    CASES.append({"name": name, **({"config": config} if config else {}), "steps": list(STEPS)})


def lives(lease, revision):
    at(STEPS[-1]["at"] / 1e6, "answer", GOES_ON, body=header(revision, ID=str(lease), TTL="5", grantedTTL="40"))


def ended(lease, revision):
    at(STEPS[-1]["at"] / 1e6, "answer", GOES_ON, body=header(revision, ID=str(lease), TTL="-1"))
