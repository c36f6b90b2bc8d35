"""The vectors in tests/vectors, done with the Python package; their README has the format and the verbs."""

import json
from pathlib import Path

import callboard
import pytest
from callboard import Balancer, Query, Registry, Replica, Store

VECTORS = Path(__file__).parents[1] / "vectors"
LIVES = Path(__file__).parents[2] / "target/lives"
FILES = json.loads((VECTORS / "index.json").read_text())["files"]


def cases():
    for file in FILES:
        vector = json.loads((VECTORS / file).read_text())
        for case in vector["cases"]:
            yield pytest.param(case, id=f"{vector['name']}/{case['name']}")


@pytest.mark.parametrize("case", list(cases()))
def test_vector(case):
    run(case)


def test_lives():
    """Random lives of balancers and streams of answers, as the core answered them in Rust: `cargo xtask lives` writes them."""
    files = sorted(LIVES.glob("*.json"))
    assert files, f"no lives in {LIVES}: cargo xtask lives"
    count = 0
    for file in files:
        for case in json.loads(file.read_text())["cases"]:
            run(case, case["name"])
            count += 1
    print(f"{count} lives")


def run(case, name=""):
    host = Host(case.get("config", {}))
    now = 0
    for number, step in enumerate(case["steps"]):
        now = step.get("at", now)
        verb, args = step["do"], host.resolve(step.get("args", {}))
        where = f"{name} step {number}: {verb}"
        expected = host.resolve(step.get("expect"))
        fails = isinstance(expected, dict) and set(expected) == {"error"}
        try:
            result = host.perform(verb, args, step.get("as"), now)
        except callboard.Error as error:
            found = {"code": error.code, "kind": type(error).__name__, "field": error.field, "limit": error.limit}
            assert fails, f"{where} failed: {error}"
            assert matches(expected["error"], found), f"{where}: expected {expected['error']}, found {found}"
            continue
        assert not fails, f"{where}: expected {expected}, found {result}"
        if expected is not None:
            assert matches(expected, result), f"{where}:\nexpected {expected}\nfound    {result}"
        if "as" in step:
            host.kept[step["as"]] = result


def matches(expected, found):
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(matches(value, found.get(key)) for key, value in expected.items())
    if isinstance(expected, list):
        return isinstance(found, list) and len(expected) == len(found) and all(map(matches, expected, found))
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    return expected == found


class Host:
    """What one case works on."""

    def __init__(self, config):
        # The core's own defaults, where the package would draw a seed and an epoch.
        self.config = {"seed": 0, "epoch": 1, **config}
        self.registry = Registry(**self.config)
        self.kept, self.snapshots, self.waits, self.watches, self.balancers = {}, {}, {}, {}, {}
        self.feeds = {}
        self.replica = None
        self.entries, self.store, self.file, self.journal = {}, Store(), b"", Store()

    def resolve(self, value):
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        if not isinstance(value, dict):
            return value
        if set(value) != {"$"}:
            return {key: self.resolve(item) for key, item in value.items()}
        name, *path = value["$"].split(".")
        found = self.kept[name]
        for part in path:
            found = found[int(part)] if isinstance(found, list) else found.get(part)
        return found

    def perform(self, verb, args, keep, now):
        return getattr(self, "do_" + verb)(args, keep, now)

    # Query

    def do_parse_selector(self, args, keep, now):
        return {"text": Query(selector=args["text"]).selector or ""}

    def do_match(self, args, keep, now):
        return {"match": Query.from_dict(args["query"]).matches(args["instance"])}

    def do_version_match(self, args, keep, now):
        registration = {"service": "s", "id": "i", "version": args["version"]}
        query = Query("s", version=args["range"])
        return {"match": query.matches(registration)}

    def do_is_repeatable(self, args, keep, now):
        return {"repeatable": callboard.is_repeatable(args["method"], **args["outcome"])}

    # Registry

    def do_register(self, args, keep, now):
        fields = dict(args["instance"])
        options = {name: args[name] for name in ("mode", "if_revision") if name in args}
        return self.registry.register(fields.pop("service", None), **fields, **options, now=now).to_dict()

    def do_renew(self, args, keep, now):
        return {"handle": self.registry.renew(**args, now=now)}

    def do_renew_handle(self, args, keep, now):
        self.registry.renew_handle(**args, now=now)
        return {}

    def do_deregister(self, args, keep, now):
        return {"revision": self.registry.deregister(**args, now=now)}

    def do_set_health(self, args, keep, now):
        return {"revision": self.registry.set_health(**args, now=now)}

    def do_set_admin(self, args, keep, now):
        args = dict(args)
        admin = dict(args.pop("admin") or {})
        return {"revision": self.registry.set_admin(**args, state=admin.pop("state", None), **admin, now=now)}

    def do_apply(self, args, keep, now):
        return {"revision": self.registry.apply(args["ops"], now=now)}

    def do_reconcile(self, args, keep, now):
        args = {"source": None, "instances": None, **args}
        return self.registry.reconcile(**args, now=now).to_dict()

    def do_acknowledge(self, args, keep, now):
        return self.registry.acknowledge(**args, now=now).to_dict()

    def do_advance(self, args, keep, now):
        return self.registry.advance(now=now).to_dict()

    def do_deadline(self, args, keep, now):
        return {"deadline": self.registry.deadline}

    def do_lookup(self, args, keep, now):
        instance = self.registry.lookup(**args)
        return {"instance": instance and instance.to_dict()}

    def do_query(self, args, keep, now):
        return self.registry.query(Query.from_dict(args["query"])).to_dict()

    def do_explain_query(self, args, keep, now):
        return self.registry.explain(args["query"])

    def do_save_query(self, args, keep, now):
        return {"revision": self.registry.save_query(args["name"], args["query"], now=now)}

    def do_drop_query(self, args, keep, now):
        return {"revision": self.registry.drop_query(**args, now=now)}

    def do_saved_query(self, args, keep, now):
        query = self.registry.saved_query(**args)
        return {"query": query and query.to_dict()}

    def do_saved_queries(self, args, keep, now):
        return {"queries": self.registry.saved_queries(**args)}

    def do_watch_saved(self, args, keep, now):
        self.watches[args.pop("watch", "watch")] = self.registry.watch_saved(**args)
        return {}

    def do_services(self, args, keep, now):
        return {"services": self.registry.services(**args)}

    def do_position(self, args, keep, now):
        return self.registry.position.to_dict()

    def do_changes(self, args, keep, now):
        return self.registry.changes(args["since"]).to_dict()

    def do_digest(self, args, keep, now):
        return {"digest": self.registry.digest(**args)}

    def do_stats(self, args, keep, now):
        return self.registry.stats()

    def do_snapshot(self, args, keep, now):
        snapshot = self.registry.snapshot()
        self.snapshots[keep or "snapshot"] = snapshot
        return {"bytes": len(snapshot)}

    def do_store(self, args, keep, now):
        writes = self.store.writes(self.registry)
        if writes is None:
            return {}
        if "fails" not in args:
            if writes.whole:
                for key in Store.leftovers(self.registry, self.entries.items()):
                    del self.entries[key]
            for key, value, _ in writes.entries:
                if value is None:
                    self.entries.pop(key, None)
                else:
                    self.entries[key] = value
            self.store.written()
        entries = [dict(zip(("key", "value", "ttl"), entry, strict=True)) for entry in writes.entries]
        return {"whole": writes.whole, "writes": entries, "refresh": list(writes.refresh)}

    def do_put_entries(self, args, keep, now):
        self.entries |= {entry["key"]: entry["value"] for entry in args["entries"]}
        return {}

    def do_entries(self, args, keep, now):
        return {"keys": sorted(self.entries)}

    def do_let_go(self, args, keep, now):
        self.store.failed()
        return {}

    def do_load(self, args, keep, now):
        entries = self.entries | {entry["key"]: entry["value"] for entry in args.get("entries", [])}
        self.registry, skipped = Registry.load(entries.items(), now=now, **args.get("config", self.config))
        return {**self.registry.position.to_dict(), "skipped": [unread.to_dict() for unread in skipped]}

    def do_replicate(self, args, keep, now):
        self.replica = Replica(**args)
        return {}

    def do_ask(self, args, keep, now):
        ask = self.replica.ask(self.registry, now=now)
        return {} if ask is None else asked(ask)

    def do_follow_engine(self, args, keep, now):
        return asked(self.replica.follow())

    def do_answer(self, args, keep, now):
        return self.replica.answer(self.registry, payload(args), now=now).to_dict()

    def do_tell(self, args, keep, now):
        return self.replica.push(self.registry, payload(args), now=now).to_dict()

    def do_no_answer(self, args, keep, now):
        self.replica.failed(self.registry, now=now)
        return {}

    def do_stream_lost(self, args, keep, now):
        self.replica.lost(self.registry, now=now)
        return {}

    def do_fate(self, args, keep, now):
        return {"fate": self.replica.fate(self.registry.edition), "stale": self.replica.stale, "deadline": self.replica.deadline}

    def do_journal(self, args, keep, now):
        frame = self.journal.frame(self.registry)
        if frame is None:
            return {}
        self.file = frame.bytes if frame.replace else self.file + frame.bytes
        self.journal.written()
        return {"replace": frame.replace, "bytes": len(frame.bytes)}

    def do_recover(self, args, keep, now):
        file = bytearray(self.file[: len(self.file) - args.get("cut", 0)])
        if "flip" in args:
            file[args["flip"] // 8] ^= 1 << args["flip"] % 8
        self.registry, torn = Registry.recover(bytes(file), now=now, **args.get("config", self.config))
        return {**self.registry.position.to_dict(), "torn": torn}

    def do_restore(self, args, keep, now):
        if "hex" in args:
            snapshot = bytearray.fromhex(args["hex"])
        else:
            snapshot = bytearray(self.snapshots[args.get("from", "snapshot")])
            snapshot = snapshot[: len(snapshot) - args.get("cut", 0)]
        if "flip" in args:
            bit = args["flip"] % (8 * len(snapshot))
            snapshot[bit // 8] ^= 1 << bit % 8
        config = {**self.config, **args["config"]} if "config" in args else self.config
        self.registry = Registry.restore(bytes(snapshot), now=now, **config)
        # A watch belongs to its registry: who reads the restored one starts with a watch of its own.
        self.watches = {name: self.registry.watch(watch.query) for name, watch in self.watches.items()}
        return self.registry.position.to_dict()

    # Watch

    def do_watch(self, args, keep, now):
        self.watches[args.get("watch", "watch")] = self.registry.watch(Query.from_dict(args["query"]))
        return {}

    def do_poll(self, args, keep, now):
        delta = self.watches[args.get("watch", "watch")].poll()
        return {"delta": delta and delta.to_dict()}

    # Balance

    def do_balancer(self, args, keep, now):
        query = Query.from_dict(args["query"])
        options = {"seed": 0, **args.get("options", {})}
        self.balancers[args.get("balancer", "balancer")] = Balancer(self.registry, query, args["policy"], **options)
        return {}

    def balancer(self, args):
        return self.balancers[args.get("balancer", "balancer")]

    def request(self, args):
        """The key and the handles to exclude, which vectors name by id."""
        balancer = self.balancer(args)
        query = balancer.query
        found = (self.registry.lookup(query.service, id, namespace=query.namespace) for id in args.get("exclude", ()))
        return {"key": args.get("key"), "exclude": [instance for instance in found if instance], "labels": args.get("labels", {}),
                "prefer": args.get("prefer", ())}

    def do_pick(self, args, keep, now):
        return picked(self.balancer(args).pick(**self.request(args), now=now))

    def do_picks(self, args, keep, now):
        balancer, ids, counts = self.balancer(args), [], {}
        for at in range(args["count"]):
            request = self.request({**args, "key": f"{args['each']}{at}"} if "each" in args else args)
            pick = balancer.pick(**request, now=now)
            ids.append(pick.instance.id)
            counts[pick.instance.id] = counts.get(pick.instance.id, 0) + 1
            if "finish" in args:
                balancer.finish(pick.token, **args["finish"], now=now)
        return {"ids": ids, "counts": counts}

    def do_finish(self, args, keep, now):
        return {"known": self.balancer(args).finish(args["token"], **(args.get("outcome") or {}), now=now)}

    def do_finish_and_pick(self, args, keep, now):
        outcome = args.get("outcome") or {}
        return picked(self.balancer(args).finish_and_pick(args["token"], **outcome, **self.request(args), now=now))

    def do_reap(self, args, keep, now):
        return {"reaped": self.balancer(args).advance(now=now)}

    def do_balancer_deadline(self, args, keep, now):
        return {"deadline": self.balancer(args).deadline}

    def do_may_retry(self, args, keep, now):
        return {"may": self.balancer(args).may_retry(now=now)}

    def do_retry_delay(self, args, keep, now):
        return {"delay": self.balancer(args).retry_delay(args.get("retry", 1))}

    def do_hedge_delay(self, args, keep, now):
        return {"delay": self.balancer(args).hedge_delay(now=now)}

    def do_may_hedge(self, args, keep, now):
        return {"may": self.balancer(args).may_hedge(now=now)}

    def do_admit(self, args, keep, now):
        balancer = self.balancer(args)
        return {"may": balancer.admit(now=now), "limit": balancer.limit}

    def do_probe_requests(self, args, keep, now):
        return {"ids": [instance.id for instance in self.balancer(args).probe_requests(now=now)]}

    def do_probed(self, args, keep, now):
        balancer = self.balancer(args)
        instance = self.registry.lookup(balancer.query.service, args["id"], namespace=balancer.query.namespace)
        return {"used": balancer.probed(instance, args["rif"], args["latency"], now=now)}

    def do_explain(self, args, keep, now):
        return self.balancer(args).explain(**self.request(args), now=now)

    def do_explained(self, args, keep, now):
        return {"told": self.balancer(args).explained()}

    def do_balancer_stats(self, args, keep, now):
        return self.balancer(args).stats()

    # Formats, REST

    def do_follow(self, args, keep, now):
        args = dict(args)
        name = args.pop("feed", "feed")
        self.feeds[name] = callboard.Feed(**args)
        return self.feeds[name].next.to_dict()

    def do_push(self, args, keep, now):
        args = dict(args)
        feed, body = self.feeds[args.pop("feed", "feed")], payload(args)
        return feed.push(self.registry, body, **args, now=now).to_dict()

    def do_lost(self, args, keep, now):
        return self.feeds[args.get("feed", "feed")].failed(now=now).to_dict()

    def do_decode(self, args, keep, now):
        args = dict(args)
        return callboard.decode(payload(args), args.pop("format"), **args)

    def do_encode(self, args, keep, now):
        body = callboard.encode(args["format"], args["instances"])
        return {"body": body.decode(errors="replace"), "hex": body.hex()}

    def do_feed(self, args, keep, now):
        args = dict(args)
        return self.registry.feed(body=payload(args), **args, now=now).to_dict()

    def do_dns(self, args, keep, now):
        server = callboard.Server(**args.get("server", {}))
        answer = self.registry.answer_dns(bytes.fromhex(args["hex"]), udp=args.get("udp", True), server=server, now=now)
        return {"hex": None if answer is None else answer.hex()}

    def do_request(self, args, keep, now):
        body = payload(dict(args)) if "body" in args or "hex" in args else b""
        reply = self.registry.handle(
            args["method"],
            args["path"],
            args.get("query", ""),
            body,
            headers=list(args.get("headers", {}).items()),
            peer=args.get("peer"),
            principal=args.get("principal"),
            server=callboard.Server(**args.get("server", {})),
            now=now,
        )
        return self.replied(reply, keep or "request")

    def do_resume(self, args, keep, now):
        name = args.get("from", "request")
        return self.replied(self.waits[name].resume(now=now), name)

    def replied(self, reply, name):
        if isinstance(reply, callboard.Wait):
            self.waits[name] = reply
            return {"wait": {"until": reply.until}}
        headers = dict(reply.headers)
        kind = headers.get("content-type", "")
        body = json.loads(reply.body) if kind.endswith("json") else reply.body
        if isinstance(body, bytes) and kind != "application/octet-stream":
            body = body.decode()
        if reply.more is None:
            return {"status": reply.status, "headers": headers, "body": body}
        self.waits[name] = reply.more
        return {"status": reply.status, "headers": headers, "body": body, "more": {"until": reply.more.until}}


def asked(ask):
    return {**ask.to_dict(), "body": json.loads(ask.body)}


def payload(args):
    """Takes the payload out of the arguments."""
    if "hex" in args:
        return bytes.fromhex(args.pop("hex"))
    body = args.pop("body")
    return body if isinstance(body, str) else json.dumps(body)


def picked(pick):
    instance = pick.instance
    return {"id": instance.id, "service": instance.service, "handle": instance.handle, "token": pick.token}
