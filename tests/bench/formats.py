"""One answer of another registry taken in, in Python, beside json and a dict diff.

Prints a JSON object a line; see `src/report.rs` for its form. `--quick` takes one size and fewer rounds.
"""

import base64
import itertools
import json
import statistics
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import callboard

NOW = itertools.count(1)


def instances(n: int, changed: int) -> list[dict[str, Any]]:
    """Instances of one service, the first `changed` of them of another weight."""
    return [
        {
            "service": "WEB",
            "id": f"node-{at % 100}/web-{at:05}",
            "endpoints": [f"http://10.{at >> 16}.{at >> 8 & 255}.{at & 255}:8080"],
            "weight": 3 if at < changed else 1,
            "health": "unhealthy" if at < changed else "healthy",
            "metadata": {"zone": f"z{at % 3}", "stage": "prod"},
            "locality": {"zone": f"z{at % 3}", "node": f"node-{at % 100}"},
        }
        for at in range(n)
    ]


def slices(listed: list[dict[str, Any]]) -> bytes:
    """The same as Kubernetes lists it, a hundred in a slice."""
    items = []
    for first in range(0, len(listed), 100):
        endpoints = [
            {
                "addresses": [one["endpoints"][0][7:-5]],
                "conditions": {"ready": one["health"] == "healthy", "serving": True, "terminating": False},
                "targetRef": {"kind": "Pod", "name": f"pod-{one['id'][-5:]}", "uid": f"uid-{one['id'][-5:]}"},
                "zone": one["locality"]["zone"],
                "nodeName": one["locality"]["node"],
            }
            for one in listed[first : first + 100]
        ]
        metadata = {"name": f"web-{listed[first]['id'][-5:]}", "namespace": "default", "labels": {"kubernetes.io/service-name": "WEB"}}
        items.append({"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": [{"name": "http", "port": 8080}]})
    return json.dumps({"kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1", "metadata": {"resourceVersion": "7"}, "items": items}).encode()


def etcd(listed: list[dict[str, Any]]) -> bytes:
    """The same as etcd holds it for gRPC's resolver."""
    kvs = []
    for one in listed:
        place = one["endpoints"][0][7:]
        value = {"Op": 0, "Addr": place, "Metadata": {"weight": one["weight"], **one["metadata"]}}
        pair = {"key": f"WEB/{place}", "value": json.dumps(value)}
        kvs.append({key: base64.b64encode(text.encode()).decode() for key, text in pair.items()} | {"mod_revision": str(int(one["id"][-5:]) + one["weight"])})
    return json.dumps({"header": {"revision": "99999"}, "kvs": kvs, "count": str(len(kvs))}).encode()


def curators(listed: list[dict[str, Any]]) -> bytes:
    """The same as Curator's REST server lists it."""
    instances = []
    for one in listed:
        address, port = one["endpoints"][0][7:].split(":")
        payload = {"@class": "a.Payload", "metadata": one["metadata"]}
        instances.append(
            {"name": "WEB", "id": one["id"], "address": address, "port": int(port), "enabled": one["weight"] == 1, "payload": payload}
        )
    return json.dumps(instances).encode()


def dubbos(listed: list[dict[str, Any]]) -> bytes:
    """The same as Dubbo's providers name themselves in ZooKeeper."""
    urls = [f"dubbo://{one['endpoints'][0][7:]}/WEB?application=web&side=provider&weight={one['weight']}&zone={one['metadata']['zone']}" for one in listed]
    return json.dumps([urllib.parse.quote(url, safe="") for url in urls]).encode()


WRITE = {"kubernetes": slices, "etcd-grpc": etcd, "curator": curators, "dubbo": dubbos}


def read_etcd(document: Any) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for kv in document["kvs"]:
        value = json.loads(base64.b64decode(kv["value"]))
        yield base64.b64decode(kv["key"]).decode(), (value["Addr"], tuple(value["Metadata"].items()))


def read_curator(document: Any) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for one in document:
        yield one["id"], (one["address"], one["port"], one["enabled"])


def read_dubbo(document: Any) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for one in document:
        url = urllib.parse.urlsplit(urllib.parse.unquote(one))
        yield url.netloc, tuple(urllib.parse.parse_qsl(url.query))


def consul(document: Any) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for one in document:
        service = one["Service"]
        worst = any(check["Status"] == "critical" for check in one["Checks"])
        yield one["Node"]["Node"] + "/" + service["ID"], (service["Address"], service["Port"], service["Weights"]["Passing"], worst)


def prometheus(document: Any) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for group in document:
        labels = tuple(group["labels"].items())
        for target in group["targets"]:
            yield target, labels


def envoy(document: Any) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for assignment in document["resources"]:
        for group in assignment["endpoints"]:
            for one in group["lb_endpoints"]:
                place = one["endpoint"]["address"]["socket_address"]
                yield f"{place['address']}:{place['port_value']}", (one["load_balancing_weight"], one["health_status"])


def eureka(document: Any) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for application in document["applications"]["application"]:
        for one in application["instance"]:
            yield one["instanceId"], (one["ipAddr"], one["port"]["$"], one["status"])


def nacos(document: Any) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for one in document["hosts"]:
        yield one["instanceId"], (one["ip"], one["port"], one["weight"], one["healthy"])


def kubernetes(document: Any) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for item in document["items"]:
        ports = tuple(port["port"] for port in item["ports"])
        for one in item["endpoints"]:
            yield one["targetRef"]["uid"], (one["addresses"][0], ports, one["conditions"]["ready"], one["zone"])


READ = {
    "consul-health": consul,
    "curator": read_curator,
    "dubbo": read_dubbo,
    "envoy": envoy,
    "etcd-grpc": read_etcd,
    "eureka-apps": eureka,
    "kubernetes": kubernetes,
    "nacos": nacos,
    "prometheus": prometheus,
}


class Peer:
    """What one would write: json, and what is other than before."""

    def __init__(self, read: Callable[[Any], Iterator[tuple[str, tuple[Any, ...]]]]) -> None:
        self.read, self.known = read, dict[str, tuple[Any, ...]]()

    def push(self, body: bytes) -> int:
        new = dict(self.read(json.loads(body)))
        known = self.known
        removed = known.keys() - new.keys()
        changed = [name for name, said in new.items() if known.get(name) != said]
        self.known = new
        return len(removed) + len(changed)


class Ours:
    def __init__(self, format: str) -> None:
        self.registry = callboard.Registry()
        # Of Eureka, an answer to a question for all: what is asked after `/apps` are changes.
        read = "eureka-vips" if format == "eureka-apps" else format
        self.feed = callboard.Feed("them", format=read, service="WEB")  # type: ignore[arg-type]

    def push(self, body: bytes) -> int:
        fed = self.feed.push(self.registry, body, now=next(NOW))
        assert fed.problem is None and not fed.skipped, fed
        return fed.added + fed.updated + fed.removed


def figure(samples: list[float]) -> tuple[float, list[float]]:
    tenths = statistics.quantiles(samples, n=10)
    return round(statistics.median(samples), 2), [round(tenths[0], 2), round(tenths[-1], 2)]


def report(name: str, ours: list[float], peer: list[float], goal: float | None) -> None:
    (our, our_noise), (their, their_noise) = figure(ours), figure(peer)
    ratio = their / our
    met = None if goal is None else ratio >= goal
    noise = {"ours": our_noise, "peer": their_noise}
    row = {"name": name, "unit": "us", "ours": our, "peer": their, "ratio": round(ratio, 4), "goal": goal, "met": met, "noise": noise}
    print(json.dumps(row), flush=True)


def timed(push: Callable[[bytes], int], body: bytes) -> float:
    started = time.thread_time_ns()
    push(body)
    return (time.thread_time_ns() - started) / 1_000


def main() -> None:
    quick = "--quick" in sys.argv
    rounds = 5 if quick else 15
    for n in (1_000,) if quick else (1_000, 10_000):
        for name, read in READ.items():
            print(f"{name}, n = {n}", file=sys.stderr, flush=True)
            same, other = (instances(n, changed) for changed in (0, n // 100))
            write = WRITE.get(name) or (lambda listed, name=name: callboard.encode(name, listed))
            body, news = write(same), write(other)
            # The same listing in other bytes: it begins elsewhere, and has a blank more at the end.
            turned = [write(same[cut:] + same[:cut]) + b" " for cut in (100, 300, 500)]
            first = {"ours": [timed(Ours(name).push, body) for _ in range(rounds)], "peer": [timed(Peer(read).push, body) for _ in range(rounds)]}
            samples = {what: {"ours": list[float](), "peer": list[float]()} for what in ("whole", "bytes", "news")}
            pushes = {"ours": Ours(name).push, "peer": Peer(read).push}
            for push in pushes.values():
                push(body)
            for number in range(rounds):
                for who, push in pushes.items():
                    samples["bytes"][who].append(timed(push, body))
                    samples["whole"][who].append(timed(push, turned[number % len(turned)]))
                    samples["news"][who].append(timed(push, news))
                    push(body)

            def row(what: str, taken: dict[str, list[float]], goal: float | None, name: str = name, n: int = n) -> None:
                report(f"Python, {name}, {n} instances, {what}: json and a dict diff", taken["ours"], taken["peer"], goal)

            row("the first listing", first, None)
            row("nothing has changed", samples["whole"], 3 if n == 10_000 else None)
            row("the same bytes", samples["bytes"], None)
            row("1 in 100 has changed", samples["news"], None)


main()
