"""The followers of the examples, as they stand there: a real etcd is killed under them, and small servers of the other
protocols lose their index, forget their history and break down. All languages follow the same source at the same time."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
import zlib
from base64 import b64encode
from urllib.parse import quote

import httpx
import pytest
from engines import ENV, PATIENCE, Etcd, free_port, wait_for
from kazoo.client import KazooClient
from sources import Board, Consul, Envoy, Eureka, Kubernetes, Nacos, Prometheus, serve
from test_dns import WEB, dnsmasq, host, service

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NPM = ROOT / "bindings-wasm"


class Follower:
    """One running follower, and the lines it has said."""

    def __init__(self, command, env):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        self.lines, self.troubles = [], []
        threading.Thread(target=self.read, daemon=True).start()
        threading.Thread(target=lambda: self.troubles.extend(self.process.stderr), daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    @property
    def urls(self):
        return sorted(self.lines[-1]["urls"]) if self.lines else None

    def stop(self):
        self.process.kill()
        self.process.wait()


class Followers:
    """The same follower in every language that has it."""

    def __init__(self, all):
        self.all = all

    def until(self, done, what):
        start = time.monotonic()
        while not all(map(done, self.all.values())):
            ended = [name for name, one in self.all.items() if one.process.poll() is not None]
            if ended or time.monotonic() - start > PATIENCE:
                said = {name: [one.lines[-3:], "".join(one.troubles)[-1_000:]] for name, one in self.all.items() if not done(one)}
                pytest.fail(f"waited in vain for {what}; ended: {ended}; the others say: {json.dumps(said, indent=1)}")
            time.sleep(0.02)

    def see(self, urls):
        self.until(lambda one: one.urls == sorted(urls), sorted(urls))

    def see_hosts(self, *hosts):
        self.see([f"http://{host}:80" for host in hosts])

    def hear(self, **said):
        """Waits until each has said a line with these values."""
        self.until(lambda one: any(said.items() <= line.items() for line in list(one.lines)), said)

    def hear_resync(self, reason):
        self.until(lambda one: any(reason in line["next"].get("resync", "") for line in list(one.lines)), f"a resync: {reason}")

    def hear_problem(self):
        self.until(lambda one: any(line.get("problem") for line in list(one.lines)), "a problem")

    def signal(self, number):
        for one in self.all.values():
            one.process.send_signal(number)


@pytest.fixture(scope="session")
def scripts(tmp_path_factory):
    """The followers in JS beside an installed package."""
    folder = tmp_path_factory.mktemp("followers") / "js"
    shutil.copytree(EXAMPLES / "followers-js", folder)
    package = folder / "node_modules/callboard"
    package.mkdir(parents=True)
    shutil.copytree(NPM / "dist", package / "dist")
    shutil.copy(NPM / "package.json", package)
    (folder / "node_modules/node-zookeeper-client").symlink_to(found("node-zookeeper-client"))
    return folder


def found(pattern):
    matches = sorted((NPM / "node_modules").glob(pattern))
    assert matches, f"{pattern} is missing: cargo xtask setup"
    return str(matches[0])


@pytest.fixture
def followers(scripts):
    """Starts a follower in every language, and stops what it started."""
    started = []

    def start(family, *arguments, only=("python", "node", "deno", "bun", "rust")):
        script = str(scripts / f"{family}.mjs")
        commands = {
            "python": [sys.executable, str(EXAMPLES / f"followers-python/{family}.py")],
            "node": ["node", script],
            "deno": [found("@deno/*/deno"), "run", "--no-remote", "--no-prompt", "--allow-net", "--allow-read", script],
            "bun": [found("@oven/*/bin/bun"), "run", script],
        }
        if family == "consul":
            commands["rust"] = [str(ROOT / "target/demo/follower-rust")]
        env = {**ENV, "DENO_DIR": str(scripts.parent / "deno"), "DENO_NO_UPDATE_CHECK": "1"}
        all = {name: Follower([*command, *arguments], env) for name, command in commands.items() if name in only}
        started.extend(all.values())
        return Followers(all)

    yield start
    for one in started:
        one.stop()


def assert_no_spin(source, clients, since=0):
    """Of the questions that were answered with an error, no third comes within 15 s of the first."""
    for client in clients:
        times = [at for at, _, _, status in source.of(client, since) if status >= 500]
        assert len(times) >= 3, (client, times)
        assert all(third - first > 14.9 for first, third in zip(times, times[2:], strict=False)), (client, times)


def test_consul(followers):
    source = Consul()
    source.tell("10.0.0.1")
    with serve(source) as url:
        all = followers("consul", url, "web")
        all.see_hosts("10.0.0.1")
        source.tell("10.0.0.1", "10.0.0.2")
        all.see_hosts("10.0.0.1", "10.0.0.2")
        for client in source.clients():
            first, *rest = source.of(client)
            assert "index" not in first[2] and rest and not [question for question in rest if "index" not in question[2]], (client, first, rest)
        # The servers are restored from a snapshot: their index is that of then.
        source.tell("10.0.0.1", "10.0.0.2", "10.0.0.3", index=3)
        all.see_hosts("10.0.0.1", "10.0.0.2", "10.0.0.3")
        all.hear_resync("backwards")
        # They lose their leader: what is known stands, and nobody asks in a spin.
        since = len(source.asked)
        source.change(broken=500)
        clients = source.clients()
        assert len(clients) == len(all.all), clients
        wait_for(lambda: min(len(source.of(client, since)) for client in clients) >= 3, "three vain questions of each")
        assert_no_spin(source, clients, since)
        all.hear_problem()
        all.see_hosts("10.0.0.1", "10.0.0.2", "10.0.0.3")
        source.change(broken=0)
        source.tell("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")
        all.see_hosts("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")
        # That there is nobody left is not believed at once.
        source.tell()
        all.hear(held=4)
        all.see_hosts("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")


def test_another_callboard(followers):
    source = Board()
    source.registry.register("web", "w1", endpoints=["http://10.0.0.1:80"])
    with serve(source) as url:
        all = followers("board", url, "web")
        all.see_hosts("10.0.0.1")
        source.registry.register("web", "w2", endpoints=["http://10.0.0.2:80"])
        all.see_hosts("10.0.0.1", "10.0.0.2")
        source.registry.set_admin("web", "w1", "disabled")
        all.see_hosts("10.0.0.2")
        source.registry.set_admin("web", "w1", None)
        all.see_hosts("10.0.0.1", "10.0.0.2")
        # It is started anew, with all that it knew: another epoch.
        source.registry = type(source.registry).restore(source.registry.snapshot())
        source.registry.register("web", "w3", endpoints=["http://10.0.0.3:80"])
        all.see_hosts("10.0.0.1", "10.0.0.2", "10.0.0.3")


def test_prometheus(followers):
    source = Prometheus()
    source.change(targets=("10.0.0.1:80", "10.0.0.2:80"))
    with serve(source) as url:
        all = followers("prometheus", f"{url}/targets", "web", "1")
        all.see_hosts("10.0.0.1", "10.0.0.2")
        all.hear(unchanged=True)
        for client in source.clients():
            assert any(status == 304 for *_, status in source.of(client)), client
        source.change(broken=503)
        all.hear_problem()
        all.see_hosts("10.0.0.1", "10.0.0.2")
        source.change(broken=0, targets=("10.0.0.1:80", "10.0.0.3:80"))
        all.see_hosts("10.0.0.1", "10.0.0.3")


def test_envoy(followers):
    source = Envoy()
    source.change(hosts=("10.0.0.1", "10.0.0.2"))
    with serve(source) as url:
        all = followers("envoy", url, "web", "1")
        all.see_hosts("10.0.0.1", "10.0.0.2")
        all.hear(unchanged=True)
        source.change(broken=500)
        all.hear_problem()
        all.see_hosts("10.0.0.1", "10.0.0.2")
        source.change(broken=0, hosts=("10.0.0.1", "10.0.0.2", "10.0.0.3"))
        all.see_hosts("10.0.0.1", "10.0.0.2", "10.0.0.3")


def test_eureka(followers):
    source = Eureka("10.0.0.1", "10.0.0.2")
    with serve(source) as url:
        all = followers("eureka", f"{url}/eureka", "WEB", "1")
        all.see_hosts("10.0.0.1", "10.0.0.2")
        source.add("10.0.0.3")
        all.see_hosts("10.0.0.1", "10.0.0.2", "10.0.0.3")
        source.remove("10.0.0.1")
        all.see_hosts("10.0.0.2", "10.0.0.3")
        for client in source.clients():
            paths = [path for _, path, *_ in source.of(client)]
            assert paths[0] == "/eureka/apps" and set(paths[1:]) == {"/eureka/apps/delta"}, (client, paths)
        # A change that the deltas do not tell: their hash does.
        source.add("10.0.0.4", silent=True)
        all.see_hosts("10.0.0.2", "10.0.0.3", "10.0.0.4")
        all.hear_resync("hash")
        # A server that gives no deltas is asked for all.
        source.change(no_delta=404)
        source.add("10.0.0.5")
        all.see_hosts("10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5")


def test_nacos(followers):
    source = Nacos()
    source.change(hosts=("10.0.0.1", "10.0.0.2", "10.0.0.3"))
    with serve(source) as url:
        all = followers("nacos", url, "web")
        all.see_hosts("10.0.0.1", "10.0.0.2", "10.0.0.3")
        source.change(ill=("10.0.0.1", "10.0.0.2"))
        all.see_hosts("10.0.0.3")
        # With so many ill it protects itself, and calls all of them healthy: nobody is taken in by it.
        source.change(protects=True, hosts=("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"))
        all.see_hosts("10.0.0.3", "10.0.0.4")
        source.change(protects=False, missing=True)
        all.hear_problem()
        all.see_hosts("10.0.0.3", "10.0.0.4")
        source.change(missing=False, ill=())
        all.see_hosts("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")


def test_a_real_dnsmasq(followers):
    few, many = [[f"10.0.0.{number}" for number in range(1, most)] for most in (3, 61)]

    def records(hosts):
        return [record for at, address in enumerate(hosts) for record in (service(f"h{at}", 80), host(f"h{at}", address))]

    with dnsmasq(*records(few)) as port:
        all = followers("dns", "127.0.0.1", str(port), WEB, "web")
        all.see_hosts(*few)
    # It is gone for a while, and comes back with more than goes into a datagram.
    time.sleep(8)
    all.see_hosts(*few)
    with dnsmasq(*records(many), port=port):
        all.see_hosts(*many)
        all.hear_resync("TCP")


def test_kubernetes(followers):
    source = Kubernetes()
    others = [f"10.0.1.{number}" for number in range(8)]
    source.put("web-others", *others)
    source.put("web-a", "10.0.0.1")
    with serve(source) as url:
        all = followers("kubernetes", url, "shop", "web")
        all.see_hosts("10.0.0.1", *others)
        source.put("web-b", "10.0.0.2", kind="ADDED")
        all.see_hosts("10.0.0.1", "10.0.0.2", *others)
        # A watch ends, as every watch does: the next goes on from the last bookmark.
        source.bookmark()
        marked = source.version
        all.until(lambda one: one.lines[-1]["next"].get("cursor") == str(marked), "the bookmark")
        since = len(source.asked)
        source.end_watches()
        source.put("web-c", "10.0.0.3", kind="ADDED")
        all.see_hosts("10.0.0.1", "10.0.0.2", "10.0.0.3", *others)
        for client in source.clients():
            (again,) = source.of(client, since)
            assert again[2]["resourceVersion"] == str(marked), (client, again)
        # Its history is gone, told within a watch or by the status alone: all is listed anew.
        source.forget("event", "web-b", kind="DELETED")
        all.see_hosts("10.0.0.1", "10.0.0.3", *others)
        all.hear_resync("gone")
        source.forget("status", "web-d", "10.0.0.4", kind="ADDED")
        all.see_hosts("10.0.0.1", "10.0.0.3", "10.0.0.4", *others)
        for client in source.clients():
            assert sum("watch" not in query for _, _, query, _ in source.of(client)) == 3, client


class Store(Etcd):
    """An etcd, asked and told."""

    def ask(self, path, **question):
        return self.http.post(path, json=question).raise_for_status().json()

    def put(self, key, value, **more):
        text = value if isinstance(value, str) else json.dumps(value)
        return int(self.ask("/v3/kv/put", key=b64(key), value=b64(text), **more)["header"]["revision"])

    def delete(self, key):
        self.ask("/v3/kv/deleterange", key=b64(key))


def b64(text):
    return b64encode(text.encode()).decode()


class Writers:
    """Puts the same instances as Kratos, Go Micro, gRPC's resolver and go-zero do, and knows who is there."""

    def __init__(self, etcd):
        self.etcd, self.hosts = etcd, set()

    def put(self, host, **more):
        name = {"id": f"user-{host}", "name": "user", "version": "v1.2.0", "metadata": {"zone": "a"}}
        self.etcd.put(f"/microservices/user/user-{host}", {**name, "endpoints": [f"grpc://{host}:9000?isSecure=false"]}, **more)
        self.etcd.put(f"user/{host}:9000", {"Op": 0, "Addr": f"{host}:9000", "Metadata": None}, **more)
        self.etcd.put(f"user.rpc/{zlib.crc32(host.encode())}", f"{host}:9000", **more)
        node = {"id": f"user-{host}", "address": f"{host}:9000", "metadata": {"zone": "a"}}
        revision = self.etcd.put(f"/micro/registry/user/user-{host}", {"name": "user", "version": "v1.2.0", "nodes": [node]}, **more)
        self.hosts.add(host)
        return revision

    def delete(self, host):
        self.etcd.delete(f"/microservices/user/user-{host}")
        self.etcd.delete(f"/micro/registry/user/user-{host}")
        self.etcd.delete(f"user/{host}:9000")
        self.etcd.delete(f"user.rpc/{zlib.crc32(host.encode())}")
        self.hosts.discard(host)


def test_a_real_etcd(followers, tmp_path):
    etcd = Store(tmp_path).start()
    try:
        writers = Writers(etcd)
        for number in range(1, 9):
            writers.put(f"10.0.0.{number}")
        # A service whose name begins alike is another.
        etcd.put("/microservices/user-admin/x", {"id": "x", "name": "user-admin", "endpoints": ["grpc://10.9.9.9:9"]})
        families = [
            ("grpc", followers("etcd", etcd.url, "kratos", "user")),
            ("http", followers("etcd", etcd.url, "micro", "user")),
            ("grpc", followers("etcd", etcd.url, "grpc", "user", only=("python", "node"))),
            ("grpc", followers("etcd", etcd.url, "zero", "user.rpc", only=("python", "node"))),
        ]

        def all_see():
            for scheme, all in families:
                all.see([f"{scheme}://{host}:9000" for host in writers.hosts])

        def each(do):
            for _, all in families:
                do(all)

        all_see()
        # Live, and by the end of a lease.
        writers.put("10.0.1.1")
        writers.delete("10.0.0.1")
        lease = etcd.ask("/v3/lease/grant", TTL=2)["ID"]
        writers.put("10.0.1.2", lease=lease)
        all_see()
        writers.hosts.discard("10.0.1.2")
        all_see()

        # It is killed; while it is away, everybody goes on with what they know. What comes after is not missed.
        etcd.kill()
        time.sleep(1)
        each(lambda all: all.until(lambda one: len(one.urls) == len(writers.hosts), "what was known"))
        etcd.start()
        for number in range(1, 21):
            writers.put(f"10.0.2.{number}")
        writers.delete("10.0.0.2")
        all_see()
        each(lambda all: all.until(lambda one: not any("resync" in line["next"] for line in one.lines), "no gap"))

        # A compaction under a live watch is nobody's concern.
        etcd.ask("/v3/kv/compaction", revision=str(writers.put("10.0.3.1")), physical=True)
        writers.put("10.0.3.2")
        all_see()
        each(lambda all: all.until(lambda one: not any("resync" in line["next"] for line in one.lines), "no gap"))

        # Killed again while nobody looks, changed, and compacted: the watches cannot go on, so all is read anew.
        each(lambda all: all.signal(signal.SIGSTOP))
        etcd.kill()
        etcd.start()
        for number in range(1, 11):
            writers.delete(f"10.0.2.{number}")
        etcd.ask("/v3/kv/compaction", revision=str(writers.put("10.0.4.1")), physical=True)
        each(lambda all: all.signal(signal.SIGCONT))
        all_see()
        each(lambda all: all.hear_resync("compacted"))
        # And the watches are live again.
        writers.put("10.0.4.2")
        writers.delete("10.0.4.1")
        all_see()
    finally:
        etcd.kill()


@contextlib.contextmanager
def zookeeper(folder, port):
    """A real ZooKeeper on what it has on disk. It is killed in the end."""
    (folder / "zoo.cfg").write_text(f"tickTime=500\ndataDir={folder}/data\nclientPort={port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n")
    program = shutil.which("zkServer.sh", path=os.pathsep.join([os.environ["PATH"], "/usr/share/zookeeper/bin"]))
    assert program, "ZooKeeper is missing: cargo xtask setup"
    env = {**ENV, "JMXDISABLE": "true", "ZOO_LOG_DIR": str(folder)}
    with (folder / "log").open("ab") as log:
        server = subprocess.Popen([program, "start-foreground", str(folder / "zoo.cfg")], env=env, stdout=log, stderr=log)
    try:
        yield
    finally:
        server.kill()
        server.wait()


def test_a_real_zookeeper(followers, tmp_path):
    port = free_port()
    servers, hosts = f"127.0.0.1:{port}", [f"10.0.0.{number}" for number in range(1, 5)]
    client = KazooClient(servers)

    def add(host):
        provider = quote(f"dubbo://{host}:20880/com.example.Orders?interface=com.example.Orders&version=1.0.0", safe="")
        instance = {"name": "web", "id": host, "address": host, "port": 80, "payload": None, "serviceType": "DYNAMIC"}
        client.create(f"/dubbo/com.example.Orders/providers/{provider}", makepath=True)
        client.create(f"/services/web/{host}", json.dumps(instance).encode(), makepath=True)

    def all_see(*hosts):
        dubbo.see([f"dubbo://{host}:20880" for host in hosts])
        curator.see_hosts(*hosts)

    with zookeeper(tmp_path, port):
        client.start(timeout=60)
        for host in hosts:
            add(host)
        dubbo = followers("dubbo", servers, "com.example.Orders", only=("python", "node"))
        curator = followers("curator", servers, "/services", "web", only=("python", "node"))
        all_see(*hosts)
        add("10.0.0.5")
        all_see(*hosts, "10.0.0.5")
        client.delete("/services/web/10.0.0.5")
        (gone,) = [one for one in client.get_children("/dubbo/com.example.Orders/providers") if "10.0.0.5" in one]
        client.delete(f"/dubbo/com.example.Orders/providers/{gone}")
        all_see(*hosts)
    # Killed and started again, it is followed further.
    time.sleep(1)
    all_see(*hosts)
    with zookeeper(tmp_path, port):
        wait_for(lambda: client.connected, "the writer to come back")
        add("10.0.0.6")
        client.create("/services/web/10.0.0.5", b"{}")  # which is no instance
        all_see(*hosts, "10.0.0.6")
    client.stop()
