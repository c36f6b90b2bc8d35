"""Writes tests/vectors/replica.json: what a server that shares an etcd asks, and what it makes of the answers. Worked out by hand from the rules at
`core/src/store/replica`; this script brings the base64 and the shape of etcd's JSON gateway, and shares no code with the core.

python tests/oracles/replica.py
"""

import hashlib
import hmac
import json
import pathlib

from gateway import (
    CASES, GOES_ON, LIST, NOTHING_SKIPPED, PING, STEPS, at, b64, begin, case, delete, document, end, ended, grant, header, instance, keep_alive, key,
    kv, line, lives, look, on, page, put, there, transaction, watch,
)

name = case("a change is written on a lease of etcd's, and kept when it is there")
at(0, "replicate")
at(0, "ask", {"path": None})
at(0, "fate", {"fate": "kept", "stale": True, "deadline": None})
at(0, "register", {"error": {"code": "engine-unreachable", "kind": "UnavailableError"}}, instance=instance("a", 30))
at(0, "follow_engine", LIST)
at(0, "tell", NOTHING_SKIPPED, body=page(10))
at(0, "fate", {"fate": "kept", "stale": False})
at(1, "register", instance=instance("a", 30))
at(1, "fate", {"fate": "waiting"})
at(1, "ask", grant(40))
at(1, "answer", GOES_ON, body=header(10, ID="77", TTL="40"))
at(1, "ask", transaction(("a", 0, on(document("a", 30), 77))))
at(1, "fate", {"fate": "waiting"})
at(1, "answer", GOES_ON, body=header(11, succeeded=True, responses=[{"response_put": header(11)}]))
at(1, "fate", {"fate": "kept", "stale": False, "deadline": 3_000_000})
at(1, "ask", {"path": None})
# Its own echo is no news.
at(1, "tell", GOES_ON, body=line(11, put("a", document("a", 30), 11, 77)))
at(1, "position", {"revision": 1})
# It is alive, or not: that costs etcd nothing but that this server is there.
at(3, "ask", PING)
at(3, "answer", GOES_ON, body=page(11))
at(10, "renew", service="web", id="a")
at(10, "ask", PING)
at(10, "answer", body=page(11))
at(11, "ask", keep_alive(77))
at(11, "answer", GOES_ON, body={"result": header(11, ID="77", TTL="40")})
at(11, "ask", {"path": None})
end(name)

name = case("what another server says is here at once, and has no end of its own here")
begin(kv("a", document("a", 30), 5, 9))
there(0, "a")
at(3600, "advance", {"expired": 0})
there(3600, "a")
at(3600, "tell", GOES_ON, body=line(12, put("b", document("b", weight=3), 12)))
there(3600, "a", "b")
at(3600, "tell", GOES_ON, body=line(13, delete("a", 13), delete("b", 13)))
# Nothing was heard for an hour: the lease may have ended meanwhile.
there(3600, "a")
at(3600, "ask", look(9))
lives(9, 13)
there(3600)
# What is told twice or late is old.
at(3600, "tell", GOES_ON, body=line(13, put("a", document("a", 30), 5, 9)))
at(3600, "fate", {"fate": "kept"})
end(name)

name = case("a renewal takes the lease of another server over")
begin(kv("a", document("a", 30), 5, 9))
at(1, "renew", service="web", id="a")
# Nobody need wait for that.
at(1, "fate", {"fate": "kept"})
at(1, "ask", grant(40))
at(1, "answer", body=header(10, ID="77", TTL="40"))
at(1, "ask", transaction(("a", 5, on(document("a", 30), 77))))
at(1, "answer", body=header(11, succeeded=True))
at(1, "ask", {"path": None})
# From now on it ends here, and with it everywhere.
at(31, "advance", {"expired": 1})
at(31, "fate", {"fate": "waiting"})
at(31, "ask", keep_alive(77))
at(31, "answer", body={"result": header(11, ID="77", TTL="40")})
at(31, "ask", transaction(("a", 11, None)))
at(31, "answer", body=header(12, succeeded=True))
at(31, "fate", {"fate": "kept"})
# The other server heard it later: it is there again, and the other's.
at(31, "tell", GOES_ON, body=line(12, delete("a", 12)))
at(32, "tell", GOES_ON, body=line(13, put("a", document("a", 30), 13, 9)))
there(600, "a")
end(name)

name = case("an expiry gives way to whoever heard the instance meanwhile")
begin()
at(0, "register", instance=instance("a", 30))
at(0, "ask", grant(40))
at(0, "answer", body=header(10, ID="77", TTL="40"))
at(0, "ask", transaction(("a", 0, on(document("a", 30), 77))))
at(0, "answer", body=header(11, succeeded=True))
at(30, "advance", {"expired": 1})
at(30, "ask", keep_alive(77))
at(30, "answer", body={"result": header(11, ID="77", TTL="40")})
at(30, "ask", transaction(("a", 11, None)))
at(30, "answer", GOES_ON, body=header(14, responses=[{"response_range": page(14, kv("a", document("a", 30), 14, 9))}]))
there(30, "a")
at(30, "fate", {"fate": "kept"})
at(30, "ask", {"path": None})
end(name)

name = case("of two that write at once the newer incarnation stays, else the later")
for theirs, ours, stays in ((0, 0, 2), (4, 3, 1), (3, 4, 2)):
    STEPS.clear()
    begin()
    at(0, "register", instance=instance("a", weight=2, incarnation=ours))
    mine = on(document("a", weight=2, incarnation=ours), 0)
    at(0, "ask", transaction(("a", 0, mine)))
    other = kv("a", document("a", weight=1, incarnation=theirs), 12)
    at(0, "answer", GOES_ON, body=header(12, responses=[{"response_range": page(12, other)}]))
    if stays == 2:
        at(0, "fate", {"fate": "waiting"})
        at(0, "ask", transaction(("a", 12, mine)))
        at(0, "answer", body=header(13, succeeded=True))
    at(0, "lookup", {"instance": {"weight": stays}}, service="web", id="a")
    at(0, "fate", {"fate": "kept"})
    end(f"{name}: {theirs} there, {ours} here")

name = case("a report is put on what is there, and leaves the lease to whom it belongs")
begin(kv("a", document("a", 30), 5, 9))
at(0, "set_health", service="web", id="a", health="unhealthy")
at(0, "ask", transaction(("a", 5, {"value": b64(document("a", 30, health="unhealthy")), "ignore_lease": True})))
at(0, "answer", body=header(12, responses=[{"response_range": page(12, kv("a", document("a", 30, weight=7), 12, 9))}]))
at(0, "ask", transaction(("a", 12, {"value": b64(document("a", 30, weight=7, health="unhealthy")), "ignore_lease": True})))
at(0, "answer", body=header(13, succeeded=True))
at(0, "lookup", {"instance": {"weight": 7, "health": "unhealthy"}}, service="web", id="a")
at(3600, "advance", {"expired": 0})
end(name)


def watched_here():
    """An instance with a lease of 30 s, on lease 77 of etcd's, which is this server's."""
    begin()
    at(0, "register", instance=instance("a", 30))
    at(0, "ask", grant(40))
    at(0, "answer", GOES_ON, body=header(10, ID="77", TTL="40"))
    at(0, "ask", transaction(("a", 0, on(document("a", 30), 77))))
    at(0, "answer", GOES_ON, body=header(11, succeeded=True))


name = case("what another server reports of an instance whose lease is watched here is so here, and is no sign of life")
watched_here()
at(20, "tell", GOES_ON, body=line(12, put("a", document("a", 30, health="unhealthy"), 12, 77)))
at(20, "lookup", {"instance": {"health": "unhealthy"}}, service="web", id="a")
at(20, "fate", {"fate": "kept"})
at(29, "advance", {"expired": 0})
at(30, "advance", {"expired": 1})
at(30, "ask", keep_alive(77))
at(30, "answer", GOES_ON, body={"result": header(12, ID="77", TTL="40")})
at(30, "ask", transaction(("a", 12, None)))
end(name)

name = case("who is reported in another life while it signs in again is still watched here")
watched_here()
at(10, "register", instance=instance("a", 30))
at(10, "ask", keep_alive(77))
at(10, "answer", GOES_ON, body={"result": header(11, ID="77", TTL="40")})
at(10, "ask", transaction(("a", 11, on(document("a", 30), 77))))
theirs = kv("a", document("a", 30, health="unhealthy", incarnation=1), 12, 77)
at(10, "answer", GOES_ON, body=header(12, responses=[{"response_range": page(12, theirs)}]))
at(10, "lookup", {"instance": {"health": "unhealthy", "incarnation": 1}}, service="web", id="a")
at(39, "advance", {"expired": 0})
at(40, "advance", {"expired": 1})
end(name)

name = case("who signs out at another server than the one that watches its lease is gone everywhere")
begin(kv("a", document("a", 30), 5, 9))
at(0, "deregister", service="web", id="a")
at(0, "ask", transaction(("a", 5, None)))
# It was only heard there meanwhile: that is no reason to stay.
at(0, "answer", body=header(12, responses=[{"response_range": page(12, kv("a", document("a", 30), 12, 8))}]))
at(0, "ask", transaction(("a", 12, None)))
at(0, "answer", body=header(13, succeeded=True))
there(0)
end(name)

name = case("who is removed by others is gone, unless the engine did it as it lost a lease")
begin()
at(0, "register", instance=instance("a", 30))
at(0, "register", instance=instance("b", 30))
at(0, "ask", grant(40))
at(0, "answer", body=header(10, ID="77", TTL="40"))
at(0, "ask", transaction(("a", 0, on(document("a", 30), 77)), ("b", 0, on(document("b", 30), 77))))
at(0, "answer", body=header(11, succeeded=True))
at(1, "tell", GOES_ON, body=line(12, delete("a", 12)))
there(1, "a", "b")
at(1, "ask", keep_alive(77))
at(1, "answer", body={"result": header(12, ID="77", TTL="40")})
there(1, "b")
at(2, "tell", GOES_ON, body=line(13, delete("b", 13)))
at(2, "ask", keep_alive(77))
at(2, "answer", body={"result": header(13, ID="77")})
there(2, "b")
at(2, "ask", grant(40))
at(2, "answer", body=header(13, ID="78", TTL="40"))
at(2, "ask", transaction(("b", 0, on(document("b", 30), 78))))
end(name)

name = case("an engine that is away: what is known is served and flagged, changes are refused")
begin(kv("a", document("a"), 5))
at(2, "ask", PING)
at(2, "no_answer")
at(2, "fate", {"fate": "kept", "stale": True, "deadline": 2_100_000})
at(2, "query", {"instances": [{"id": "a"}], "stale": True}, query={"service": "web"})
for do, args in (
    ("register", {"instance": instance("b")}),
    ("deregister", {"service": "web", "id": "a"}),
    ("set_health", {"service": "web", "id": "a", "health": "unhealthy"}),
    ("set_admin", {"service": "web", "id": "a", "admin": {"state": "disabled"}}),
):
    at(2, do, {"error": {"code": "engine-unreachable", "kind": "UnavailableError"}}, **args)
at(2, "renew", service="web", id="a")
at(2, "ask", {"path": None})
at(2.1, "ask", PING)
at(2.1, "no_answer")
at(2.1, "fate", {"deadline": 2_300_000})
at(2.3, "ask", PING)
at(2.3, "answer", body=page(10))
at(2.3, "query", {"stale": False}, query={"service": "web"})
at(2.3, "register", instance=instance("b"))
# A connection that ends is no reason to refuse anything.
at(2.3, "stream_lost")
at(2.3, "fate", {"fate": "waiting", "stale": True})
at(2.3, "follow_engine", {**LIST, "after": 0.1})
at(2.3, "register", instance=instance("c"))
end(name)

name = case("an engine that is away: changes wait, as many as may")
begin(queue=2)
at(2, "ask", PING)
at(2, "no_answer")
at(2, "register", instance=instance("a"))
at(2, "ask", {"path": None})
at(2, "fate", {"fate": "kept", "stale": True})
at(2, "register", instance=instance("b"))
at(2, "ask", {"path": None})
at(2, "register", {"error": {"code": "engine-unreachable"}}, instance=instance("c"))
at(2.1, "ask", transaction(("a", 0, on(document("a"), 0)), ("b", 0, on(document("b"), 0))))
at(2.1, "answer", body=header(12, succeeded=True))
at(2.1, "fate", {"fate": "kept", "stale": False})
at(2.1, "register", instance=instance("c"))
end(name)

name = case("whether a write was heard that had no answer is found out")
begin()
at(1, "register", instance=instance("a", weight=2))
at(1, "ask", transaction(("a", 0, on(document("a", weight=2), 0))))
at(1, "no_answer")
at(1, "fate", {"fate": "unknown"})
at(1.1, "ask", transaction(("a", 0, on(document("a", weight=2), 0))))
at(1.1, "answer", body=header(11, responses=[{"response_range": page(11, kv("a", document("a", weight=2), 11))}]))
at(1.1, "ask", {"path": None})
at(1.1, "fate", {"fate": "kept"})
at(2, "register", instance=instance("a", weight=3))
at(2, "ask", transaction(("a", 11, on(document("a", weight=3), 0))))
at(2, "no_answer")
# Nobody knows of that change whether it is kept, and has said another thing elsewhere.
at(2, "tell", GOES_ON, body=line(12, put("a", document("a", weight=4), 12)))
at(2, "lookup", {"instance": {"weight": 4}}, service="web", id="a")
end(name)

name = case("what had no answer is written again, though it is as it was before")
begin(kv("a", document("a"), 5), queue=3)
at(1, "set_health", service="web", id="a", health="unhealthy")
at(1, "ask", transaction(("a", 5, on(document("a", health="unhealthy"), 0))))
at(1, "no_answer")
at(1, "set_health", service="web", id="a", health="healthy")
at(1.1, "ask", transaction(("a", 5, on(document("a"), 0))))
at(1.1, "answer", body=header(11, responses=[{"response_range": page(11, kv("a", document("a", health="unhealthy"), 11))}]))
at(1.1, "ask", transaction(("a", 11, on(document("a"), 0))))
at(1.1, "answer", body=header(12, succeeded=True))
at(1.1, "lookup", {"instance": {"health": "healthy"}}, service="web", id="a")
at(1.1, "fate", {"fate": "kept"})
end(name)

name = case("after a compaction everything is listed, and what is not there is gone")
begin(kv("a", document("a", 30), 5, 9), kv("b", document("b", 30), 6, 9))
at(1, "tell", {"again": True, "skipped": []}, body=line(60, canceled=True, compact_revision="50"))
at(1, "fate", {"stale": True})
at(1, "follow_engine", LIST)
at(1, "tell", {"again": True}, body={**page(60, kv("b", document("b", 30, weight=2), 55, 9)), "more": True})
last = b64("callboard/instances/default/web/b\0")
at(1, "follow_engine", {"path": "/v3/kv/range", "body": {"key": last, "range_end": b64("callboard0"), "limit": "128", "revision": "60"}})
there(1, "a", "b")
at(1, "tell", {"again": True}, body=page(61, kv("c", document("c", 30), 58, 9)))
at(1, "follow_engine", watch(61))
at(1, "fate", {"stale": False})
at(1, "ask", look(9))
lives(9, 61)
there(1, "b", "c")
end(name)

name = case("who vanishes while the engine answers all the time is gone at once")
begin(kv("a", document("a", 4), 5, 9))
for second in (2, 4, 6):
    at(second, "ask", PING)
    at(second, "answer", body=page(10))
at(7, "tell", GOES_ON, body=line(11, delete("a", 11)))
there(7)
at(7, "ask", {"path": None})
end(name)

name = case("who vanishes after the engine was away is missed for a lease, if a lease of the engine's ended")
for then in ("it is written again", "it is heard here", "it signs out here", "nobody hears it", "it was removed on purpose", "the question fails"):
    STEPS.clear()
    begin(kv("a", document("a", 4), 5, 9))
    at(2, "ask", PING)
    at(4, "no_answer")
    at(4.1, "ask", PING)
    at(4.1, "answer", body=page(10))
    at(5, "tell", GOES_ON, body=line(11, delete("a", 11)))
    there(5, "a")
    at(5, "fate", {"stale": False, "deadline": 4_100_000})
    at(5, "ask", look(9))
    if then == "it was removed on purpose":
        lives(9, 11)
        there(5)
        end(f"{name}: {then}")
        continue
    if then == "the question fails":
        at(5, "no_answer")
        there(5, "a")
        at(5.1, "ask", look(9))
    ended(9, 11)
    seconds = STEPS[-1]["at"] / 1e6
    there(seconds, "a")
    at(seconds, "fate", {"stale": True, "deadline": round((seconds + 2) * 1_000_000)})
    if then == "it is written again":
        at(6, "tell", GOES_ON, body=line(12, put("a", document("a", 4), 12, 10)))
        at(6, "fate", {"stale": False})
        there(3600, "a")
    elif then == "it is heard here":
        at(6, "renew", service="web", id="a")
        at(6, "ask", grant(6))
        at(6, "answer", body=header(11, ID="77", TTL="6"))
        at(6, "ask", transaction(("a", 0, on(document("a", 4), 77))))
        at(6, "answer", body=header(12, succeeded=True))
        at(6, "fate", {"stale": False})
        at(10, "advance", {"expired": 1})
        there(10)
    elif then == "it signs out here":
        at(6, "deregister", service="web", id="a")
        at(6, "ask", {"path": None})
        there(6)
        at(6, "fate", {"fate": "kept"})
    else:
        # Longer than a lease of 4 seconds, so that another server may end its pause and write it.
        at(seconds + 4.9, "ask", PING)
        at(seconds + 4.9, "answer", body=page(11))
        there(seconds + 4.9, "a")
        at(seconds + 4.9, "fate", {"deadline": round((seconds + 5) * 1_000_000)})
        at(seconds + 5, "ask", {"path": None})
        there(seconds + 5)
        at(seconds + 5, "fate", {"fate": "kept", "stale": False})
    end(f"{name}: {then}")

name = case("an engine that knows less than before is told again")
begin(kv("a", document("a", 30), 5, 9), kv("b", document("b"), 6), kv("b", '{"state":"disabled"}', 7, kind="overrides"))
at(1, "stream_lost")
at(1, "tell", NOTHING_SKIPPED, body=page(2))
there(1, "a", "b")
at(1, "ask", grant(40))
at(1, "answer", body=header(2, ID="5", TTL="40"))
ask = transaction(("a", 0, on(document("a", 30), 5)), ("b", 0, on(document("b"), 0)))
word = b64("callboard/overrides/default/web/b")
ask["body"]["compare"].append({"key": word, "target": "MOD", "result": "EQUAL", "mod_revision": "0"})
ask["body"]["success"].append({"request_put": {"key": word, "value": b64('{"state":"disabled"}'), "lease": "0"}})
ask["body"]["failure"].append({"request_range": {"key": word}})
at(1, "ask", ask)
at(1, "answer", body=header(3, succeeded=True))
# Its own server would have taken it over again.
at(31, "advance", {"expired": 1})
there(31, "b")
end(name)

name = case("what is not an entry, or damaged, is told, and leaves what is known as it is")
begin(kv("a", document("a"), 5))
own = [put("a", "{}", 11), put("b", document("c"), 12), {"kv": {"key": b64("callboard/weather"), "value": b64("fine"), "mod_revision": "13"}}]
wrong = {"code": "snapshot-corrupt", "field": "entries"}
skipped = [{"key": key, "error": wrong} for key in ("instances/default/web/a", "instances/default/web/b", "weather")]
at(0, "tell", {"again": False, "skipped": skipped}, body=line(13, *own))
there(0, "a")
# Its provider may say better.
at(0, "register", instance=instance("a", weight=2))
at(0, "ask", transaction(("a", 11, on(document("a", weight=2), 0))))
for place, body in enumerate(("", "[]", "{", '{"result":{}}', '{"error":{"grpc_code":14}}', '{"header":{}}')):
    at(10 * place, "tell", {"error": {"code": "malformed"}}, body=body)
    at(10 * place, "answer", {"error": {"code": "malformed"}}, body=body)
    at(10 * place + 5, "ask", transaction(("a", 11, on(document("a", weight=2), 0))))
there(60, "a")
end(name)

name = case("an engine that knows less, but has counted on, is told again")
begin(kv("a", document("a"), 9), kv("b", document("b"), 6))
at(1, "stream_lost")
at(1, "tell", NOTHING_SKIPPED, body=page(12, kv("a", document("a", weight=2), 7)))
# Of whom it has, what it has now is right.
at(1, "lookup", {"instance": {"weight": 2}}, service="web", id="a")
at(1, "ask", transaction(("b", 0, on(document("b"), 0))))
end(name)

name = case("an engine that knows less than in a listing that broke off is told again")
at(0, "replicate")
at(0, "follow_engine", LIST)
at(0, "tell", {"again": True}, body={**page(60, kv("a", document("a"), 55)), "more": True})
at(0, "stream_lost")
at(1, "tell", NOTHING_SKIPPED, body=page(40, kv("b", document("b"), 6)))
there(1, "a", "b")
at(1, "ask", transaction(("a", 0, on(document("a"), 0))))
end(name)

name = case("an engine that knows less than what it said is written is told again")
begin()
at(0, "register", instance=instance("a"))
at(0, "ask", transaction(("a", 0, on(document("a"), 0))))
at(0, "answer", GOES_ON, body=header(12, succeeded=True))
at(1, "stream_lost")
at(1, "tell", NOTHING_SKIPPED, body=page(11))
there(1, "a")
at(1, "ask", transaction(("a", 0, on(document("a"), 0))))
end(name)

name = case("an engine that has written something else under the same revision is right")
begin(kv("a", document("a"), 9), kv("b", document("b", 30), 8, lease=5))
at(1, "stream_lost")
at(1, "tell", NOTHING_SKIPPED, body=page(12, kv("a", document("a", weight=2), 9), kv("b", document("b", 30), 8, lease=6)))
at(1, "lookup", {"instance": {"weight": 2}}, service="web", id="a")
at(1, "ask", {"path": None})
end(name)

name = case("a listing that is older than what is in it, or does not go on, is none")
begin(kv("a", document("a"), 5))
at(1, "stream_lost")
at(1, "tell", {"error": {"code": "malformed", "field": "mod_revision"}}, body=page(12, kv("b", document("b"), 13)))
there(1, "a")
at(1, "follow_engine", LIST)
first = {**page(13, kv("a", document("a"), 5)), "more": True}
at(2, "tell", NOTHING_SKIPPED, body=first)
at(2, "tell", {"error": {"code": "malformed", "field": "more"}}, body=first)
at(2, "follow_engine", LIST)
at(3, "tell", {"error": {"code": "malformed", "field": "more"}}, body={**page(13), "more": True})
at(4, "tell", NOTHING_SKIPPED, body=first)
# What was written since is in the next listing, or on the watch.
at(4, "tell", {"error": {"code": "malformed", "field": "mod_revision"}}, body=page(14, kv("b", document("b"), 14)))
there(4, "a")
at(5, "tell", NOTHING_SKIPPED, body=page(14, kv("a", document("a"), 5), kv("b", document("b"), 14)))
there(5, "a", "b")
at(5, "follow_engine", watch(15))
end(name)

name = case("a refusal tells what there is, whatever was told before; one that has no reason is none")
begin(kv("a", document("a"), 9))
at(0, "tell", GOES_ON, body=line(900, put("a", document("a"), 900)))
at(1, "register", instance=instance("a", weight=2))
value = on(document("a", weight=2), 0)
at(1, "ask", transaction(("a", 900, value)))
at(1, "answer", GOES_ON, body=header(12, responses=[{"response_range": page(12, kv("a", document("a"), 11))}]))
at(1, "ask", transaction(("a", 11, value)))
at(1, "answer", {"error": {"code": "malformed"}}, body=header(12, responses=[{"response_range": page(12, kv("a", document("a"), 11))}]))
at(1, "ask", {"path": None})
at(1.1, "ask", transaction(("a", 11, value)))
at(1.1, "answer", {"error": {"code": "malformed"}}, body=header(12))
at(1.3, "ask", transaction(("a", 11, value)))
at(1.3, "answer", GOES_ON, body=header(13, succeeded=True))
at(1.3, "lookup", {"instance": {"weight": 2}}, service="web", id="a")
end(name)

name = case("who is written and removed by others while a write is under way is gone")
begin()
at(1, "register", instance=instance("a"))
at(1, "ask", transaction(("a", 0, on(document("a"), 0))))
other = document("a").replace('"incarnation":0', '"incarnation":1')
at(1, "tell", GOES_ON, body=line(11, put("a", other, 11)))
there(1, "a")
at(1, "tell", GOES_ON, body=line(12, delete("a", 12)))
there(1)
at(1, "answer", GOES_ON, body=header(11, responses=[{"response_range": page(11, kv("a", other, 11))}]))
there(1)
at(1, "ask", {"path": None})
end(name)

name = case("a line of a watch is no listing, nor is a page a line")
at(0, "replicate")
at(0, "tell", {"error": {"code": "malformed", "field": "result"}}, body=line(10, created=True))
at(0, "follow_engine", LIST)
at(0, "tell", NOTHING_SKIPPED, body=page(10))
at(0, "follow_engine", watch(11))
at(0, "tell", {"error": {"code": "malformed", "field": "result"}}, body=page(11, kv("a", document("a"), 11)))
there(0)
at(0, "follow_engine", LIST)
end(name)

name = case("overrides are shared; one that time ends gives way to another word")
begin(kv("a", document("a"), 5))
at(0, "set_admin", service="web", id="a", admin={"state": "draining", "ttl": 10})
ask = transaction(("a", 0, on('{"state":"draining","ttl":10}', 0)))
for part in ("compare", "failure"):
    for one in ask["body"][part]:
        (one if part == "compare" else one["request_range"])["key"] = key("a", "overrides")
ask["body"]["success"][0]["request_put"]["key"] = key("a", "overrides")
at(0, "ask", ask)
at(0, "answer", body=header(11, succeeded=True))
at(10, "advance")
at(10, "lookup", {"instance": {"admin": {"state": "disabled"}}}, service="web", id="a")
at(10, "tell", GOES_ON, body=line(12, put("a", '{"state":"draining"}', 12, kind="overrides")))
at(10, "lookup", {"instance": {"admin": {"state": "draining"}}}, service="web", id="a")
at(10, "tell", GOES_ON, body=line(13, delete("a", 13, kind="overrides")))
at(10, "lookup", {"instance": {"availability": "available"}}, service="web", id="a")
end(name)



def query(service="web", **more):
    return json.dumps({"namespace": "default", "service": service, "health": "serving", **more}, separators=(",", ":"))


QUERY = b64("callboard/queries/default/near")


def saved(value, revision):
    return {"kv": {"key": QUERY, "mod_revision": str(revision), "value": b64(value)}}


def saving(since, value):
    ask = transaction(("a", since, on(value, 0) if value else None))
    for part in ("compare", "failure"):
        for one in ask["body"][part]:
            (one if part == "compare" else one["request_range"])["key"] = QUERY
    for one in ask["body"]["success"]:
        next(iter(one.values()))["key"] = QUERY
    return ask


name = case("a saved query is written, and one that is saved or dropped elsewhere is so here")
begin()
at(0, "save_query", name="near", query={"service": "web", "limit": 3})
at(0, "fate", {"fate": "waiting"})
at(0, "ask", saving(0, query(limit=3)))
at(0, "answer", body=header(11, succeeded=True))
at(0, "fate", {"fate": "kept"})
at(0, "tell", GOES_ON, body=line(11, saved(query(limit=3), 11)))
at(0, "ask", {"path": None})
at(1, "tell", GOES_ON, body=line(12, saved(query(limit=4), 12)))
at(1, "saved_query", {"query": {"limit": 4}}, name="near")
at(1, "tell", GOES_ON, body=line(13, {"type": "DELETE", "kv": {"key": QUERY, "mod_revision": "13"}}))
at(1, "saved_query", {"query": None}, name="near")
at(1, "ask", {"path": None})
# What stands there already: whether anybody has said otherwise since is found out.
at(1, "tell", GOES_ON, body=line(14, saved(query(limit=5), 14)))
at(1, "save_query", name="near", query={"service": "web", "limit": 5})
at(1, "fate", {"fate": "waiting"})
at(1, "ask", saving(14, query(limit=5)))
at(1, "answer", body=header(15, responses=[{"response_range": page(15, saved(query(limit=6), 15)["kv"])}]))
at(1, "ask", saving(15, query(limit=5)))
at(1, "answer", body=header(16, succeeded=True))
at(1, "drop_query", name="near")
at(1, "ask", saving(16, None))
at(1, "answer", body=header(17, succeeded=True))
at(1, "fate", {"fate": "kept"})
end(name)

name = case("saved queries while the engine is away, and when it has lost them")
begin(saved(query(limit=3), 5)["kv"])
at(2, "ask", PING)
at(2, "no_answer")
at(2, "save_query", {"error": {"code": "engine-unreachable"}}, name="near", query={"service": "web", "limit": 4})
at(2, "drop_query", {"error": {"code": "engine-unreachable"}}, name="near")
at(2, "saved_query", {"query": {"limit": 3}}, name="near")
at(3, "stream_lost")
at(3, "tell", NOTHING_SKIPPED, body=page(2))
at(3, "ask", saving(0, query(limit=3)))
# Whoever has saved another since is later.
at(3, "answer", body=header(4, responses=[{"response_range": page(4, saved(query(limit=7), 4)["kv"])}]))
at(3, "saved_query", {"query": {"limit": 7}}, name="near")
at(3, "ask", {"path": None})
end(name)

name = case("a saved query that cannot be read, or is another's, is left alone")
begin()
wrong = {"code": "snapshot-corrupt", "field": "entries"}
for value in ('{"service":1}', "fine", query().replace("default", "other")):
    revision = 11 + len(STEPS)
    skipped = [{"key": "queries/default/near", "error": wrong}]
    at(0, "tell", {"again": False, "skipped": skipped}, body=line(revision, saved(value, revision)))
    at(0, "saved_query", {"query": None}, name="near")
    at(0, "ask", {"path": None})
end(name)

name = case("what changed while too many changes to remember were made, and what is damaged stays as it is")
begin(kv("a", document("a"), 5), kv("c", document("c"), 7))
at(0, "tell", {"again": False, "skipped": [{"key": "instances/default/web/b", "error": wrong}]}, body=line(11, put("b", "{}", 11)))
for number in range(3):
    at(0, "set_health", service="web", id="a", health=("unhealthy", "degraded", "unhealthy")[number])
at(0, "deregister", service="web", id="c")
at(0, "ask", transaction(("a", 5, on(document("a", health="unhealthy"), 0)), ("c", 7, None)))
end(name, log_capacity=2)


TOKENS = ("0123456789abcdef", "fedcba9876543210")
DIGESTS = [hashlib.sha256(token.encode()).hexdigest() for token in TOKENS]


def sign_in(seconds, status, token=None, name="a", **body):
    headers = {"headers": {"x-callboard-token": token}} if token else {}
    at(seconds, "request", {"status": status}, method="PUT", path=f"/v1/instances/default/web/{name}", body=body, **headers)


def prove(seconds, status, epoch, handle, sequence, method="POST", verb="renew", token=TOKENS[0]):
    text = f"callboard proof\n{verb}\n{epoch}\n{handle}\n{sequence}\n\n{hashlib.sha256(b'').hexdigest()}"
    mac = hmac.new(hashlib.sha256(token.encode()).digest(), text.encode(), "sha256").hexdigest()
    path = "/v1/instances/default/web/a" + ("/renew" if verb == "renew" else "")
    at(seconds, "request", {"status": status}, method=method, path=path, headers={"x-callboard-proof": f"{sequence}.{mac}"})


def guarded(name, *lease, token=0, **more):
    return document(name, *lease, **more, token_digest=DIGESTS[token])


name = case("a token guards at every server, by its digest")
begin()
sign_in(0, 201, TOKENS[0])
at(0, "ask", transaction(("a", 0, on(guarded("a"), 0))))
at(0, "answer", body=header(11, succeeded=True))
at(0, "tell", GOES_ON, body=line(11, put("a", guarded("a"), 11)))
at(0, "ask", {"path": None})
at(1, "tell", GOES_ON, body=line(12, put("b", guarded("b", 30), 12, 9)))
sign_in(1, 403, name="b")
sign_in(1, 403, TOKENS[1], name="b")
at(1, "request", {"status": 403}, method="DELETE", path="/v1/instances/default/web/b")
at(1, "request", {"status": 403}, method="POST", path="/v1/instances/default/web/b/renew")
# Its provider comes to this server.
sign_in(1, 200, TOKENS[0], name="b", ttl=30)
at(1, "ask", grant(40))
at(1, "answer", body=header(12, ID="77", TTL="40"))
at(1, "ask", transaction(("b", 12, on(guarded("b", 30), 77))))
at(1, "answer", body=header(13, succeeded=True))
# A report of whoever may says nothing of the token.
at(2, "set_health", service="web", id="b", health="degraded")
at(2, "ask", transaction(("b", 13, on(guarded("b", 30, health="degraded"), 77))))
end(name, epoch=1)

name = case("a proof is good at one server, once")
begin(kv("a", guarded("a", 30), 5, 9))
# One that was seen at a server of another epoch.
prove(0, 403, 1, 0, 1)
prove(0, 200, 2, 0, 1)
prove(0, 403, 2, 0, 1)
# What other servers say of it is no new life here.
at(0, "tell", GOES_ON, body=line(11, put("a", guarded("a", 30, weight=2), 11, 9)))
prove(0, 403, 2, 0, 1)
prove(0, 200, 2, 0, 2)
# It was signed out and in elsewhere, without a token and then with the same.
at(0, "tell", GOES_ON, body=line(12, put("a", document("a", 30), 12, 9)))
at(0, "request", {"status": 200}, method="POST", path="/v1/instances/default/web/a/renew")
at(0, "tell", GOES_ON, body=line(13, put("a", guarded("a", 30), 13, 9)))
prove(0, 403, 2, 0, 3)
prove(0, 403, 2, 2**32, 1)
prove(0, 403, 2, 2**33, 1, token=TOKENS[1])
prove(0, 200, 2, 2**33, 1)
prove(0, 200, 2, 2**33, 2, method="DELETE", verb="deregister")
at(0, "ask", transaction(("a", 13, None)))
end(name, epoch=2)

name = case("who did not know of a token gives way to it")
for what in ("registers", "brings another token", "is newer", "signs out", "reports", "holds it"):
    STEPS.clear()
    known = what in ("signs out", "reports")
    begin(*([kv("a", document("a"), 5)] if known else []))
    if what == "signs out":
        at(0, "deregister", service="web", id="a")
        ask = transaction(("a", 5, None))
    elif what == "reports":
        at(0, "set_health", service="web", id="a", health="unhealthy")
        ask = transaction(("a", 5, on(document("a", health="unhealthy"), 0)))
    else:
        token = {"brings another token": 1, "holds it": 0}.get(what)
        more = {"incarnation": 9} if what == "is newer" else {}
        sign_in(0, 201, token if token is None else TOKENS[token], weight=7, **more)
        ask = transaction(("a", 0, on(document("a", weight=7, **more, **({} if token is None else {"token_digest": DIGESTS[token]})), 0)))
    at(0, "ask", ask)
    at(0, "answer", GOES_ON, body=header(12, responses=[{"response_range": page(12, kv("a", guarded("a", weight=3), 12))}]))
    if what == "holds it":
        at(0, "ask", transaction(("a", 12, on(guarded("a", weight=7), 0))))
    else:
        at(0, "fate", {"fate": "unknown"})
        at(0, "ask", {"path": None})
        at(0, "lookup", {"instance": {"weight": 3, "health": "healthy"}}, service="web", id="a")
        sign_in(0, 403)
        sign_in(0, 200, TOKENS[0])
    end(f"{name}: {what}")

name = case("a token outlives an engine that lost it, and an answer that was lost")
begin(kv("a", guarded("a"), 5))
at(1, "stream_lost")
at(1, "tell", NOTHING_SKIPPED, body=page(2))
at(1, "ask", transaction(("a", 0, on(guarded("a"), 0))))
# Somebody was first at a server that knew nothing of it.
at(1, "answer", body=header(4, responses=[{"response_range": page(4, kv("a", document("a", weight=9), 4))}]))
at(1, "ask", transaction(("a", 4, on(guarded("a"), 0))))
at(1, "answer", body=header(5, succeeded=True))
at(1, "ask", {"path": None})
end(name, epoch=1)

name = case("what was written without an answer is no stranger's, whose token it has")
begin(queue=2)
sign_in(2, 201, TOKENS[0])
at(2, "ask", transaction(("a", 0, on(guarded("a"), 0))))
at(2, "no_answer")
prove(2, 200, 1, 0, 1, method="DELETE", verb="deregister")
at(2.1, "ask", transaction(("a", 0, None)))
at(2.1, "answer", body=header(6, responses=[{"response_range": page(6, kv("a", guarded("a"), 6))}]))
there(2.1)
at(2.1, "ask", transaction(("a", 6, None)))
at(2.1, "answer", body=header(7, succeeded=True))
there(2.1)
end(name, epoch=1)

path = pathlib.Path(__file__).parents[1] / "vectors/replica.json"


def config(case):
    return f'"config": {json.dumps(case["config"])}, ' if "config" in case else ""


about = "What one of several servers over one etcd asks of etcd's JSON gateway, and what it makes of the answers."
source = "callboard; etcd's API reference (transactions, leases, watches); written by tests/oracles/replica.py"
lines = ",\n".join(
    f'    {{"name": {json.dumps(case["name"])}, {config(case)}"steps": [\n' + ",\n".join("      " + json.dumps(step) for step in case["steps"]) + "\n    ]}"
    for case in CASES
)
head = f'{{\n  "name": "replica",\n  "about": {json.dumps(about)},\n  "source": {json.dumps(source)},\n  "cases": [\n'
path.write_text(head + lines + "\n  ]\n}\n")
