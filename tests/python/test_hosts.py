"""One suite for every host of a registry: clients as they are published, and raw requests, against the examples as they stand there."""

import json
import os
import pathlib
import re
import select
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from http.client import HTTPResponse
from urllib.parse import quote

import callboard
import consul
import httpx
import pytest

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NPM = ROOT / "bindings-wasm"
PATIENCE = 30  # seconds
ENV = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
HOSTS = ["axum", "asgi", "mounted", "node", "deno", "bun", "workerd"]
# For clients that take no path before their own.
unmounted = pytest.mark.parametrize("running", [name for name in HOSTS if name != "mounted"], indirect=True)


def found(pattern):
    matches = sorted((NPM / "node_modules").glob(pattern))
    assert matches, f"{pattern} is missing: cargo xtask setup"
    return str(matches[0])


@pytest.fixture(scope="session")
def scripts(tmp_path_factory):
    """The hosts in JS beside an installed package."""
    folder = tmp_path_factory.mktemp("hosts")
    for example in ("registry-fetch", "registry-worker"):
        shutil.copytree(EXAMPLES / example, folder / example)
    package = folder / "node_modules/callboard"
    package.mkdir(parents=True)
    shutil.copytree(NPM / "dist", package / "dist")
    shutil.copy(NPM / "package.json", package)
    for tool in ("esbuild", "miniflare"):
        (folder / "node_modules" / tool).symlink_to(found(tool))
    return folder


class Host:
    """A host that runs, and where it listens."""

    def __init__(self, name, command, cwd, **env):
        self.name, self.base = name, ""
        self.process = subprocess.Popen(
            command, cwd=cwd, env={**ENV, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.said, self.dns = [], None
        threading.Thread(target=self.read, daemon=True).start()
        self.scheme = self.hear(r"(https?)://127\.0\.0\.1:\d+")
        self.port = int(self.hear(r"https?://127\.0\.0\.1:(\d+)"))

    def read(self):
        for line in self.process.stdout:
            self.said.append(line)

    def hear(self, pattern):
        start = time.monotonic()
        while time.monotonic() - start < PATIENCE:
            if match := re.search(pattern, "".join(self.said)):
                return match[1]
            time.sleep(0.02)
        pytest.fail(f"{self.name} does not say {pattern}: {''.join(self.said)[-2_000:]}")

    def url(self, path=""):
        return f"{self.scheme}://127.0.0.1:{self.port}{self.base}{path}"

    def request(self, method, path, **more):
        return httpx.request(method, self.url(path), timeout=PATIENCE, trust_env=False, **more)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            pytest.fail(f"{self.name} does not end")


MOUNTED = """
import sys
sys.path.insert(0, {folder!r})
from registry import Board
from fastapi import FastAPI
app = FastAPI()
app.mount("/registry", Board())
"""


def started(name, scripts, flags=(), **env):
    server = str(scripts / "registry-fetch/server.mjs")
    deno = {"DENO_DIR": str(scripts / "deno"), "DENO_NO_UPDATE_CHECK": "1"}
    uvicorn = [sys.executable, "-m", "uvicorn", "--port", "0", "--timeout-graceful-shutdown", "5"]
    match name:
        case "axum":
            binary = str(ROOT / "target/demo/registry-server")
            host = Host(name, [binary, "--listen", "127.0.0.1:0", "--dns", "127.0.0.1:0", "--domain", "consul", *flags], scripts)
            host.dns = int(host.hear(r"dns://127\.0\.0\.1:(\d+)"))
            return host
        case "asgi":
            return Host(name, [*uvicorn, *flags, "registry:app"], EXAMPLES / "registry-asgi", **env)
        case "mounted":
            (scripts / "mounted.py").write_text(MOUNTED.format(folder=str(EXAMPLES / "registry-asgi")))
            host = Host(name, [*uvicorn, "mounted:app"], scripts)
            host.base = "/registry"
            return host
        case "node":
            return Host(name, ["node", server], scripts, PORT="0", **env)
        case "deno":
            allowed = ["run", "--no-remote", "--no-prompt", "--allow-net", "--allow-env", "--allow-read", "--allow-write"]
            return Host(name, [found("@deno/*/deno"), *allowed, server], scripts, PORT="0", **deno, **env)
        case "bun":
            return Host(name, [found("@oven/*/bin/bun"), "run", server], scripts, PORT="0", **env)
        case "workerd":
            return Host(name, ["node", str(scripts / "registry-worker/run.mjs")], scripts, PORT="0", **{"STORAGE": str(scripts / "state"), **env})


@pytest.fixture(scope="module", params=HOSTS)
def running(request, scripts):
    host = started(request.param, scripts)
    yield host
    host.stop()


@pytest.fixture
def host(running):
    """A host whose registry is empty before each test, and after it."""
    yield running
    for one in running.request("GET", "/v1/instances/default?health=any").json()["instances"]:
        running.request("DELETE", f"/v1/instances/default/{quote(one['service'])}/{quote(one['id'], safe='')}")


def until(done, what, patience=PATIENCE):
    start = time.monotonic()
    while not (found := done()):
        if time.monotonic() - start > patience:
            pytest.fail(f"waited in vain for {what}")
        time.sleep(0.05)
    return found


def test_callboards_own_api(host):
    path = "/v1/instances/default/rest/a%2Fb"
    start = time.monotonic()
    created = host.request("PUT", path, json={"endpoints": ["http://10.0.0.1:80"], "ttl": 1, "grace": 1})
    assert (created.status_code, created.json()["created"]) == (201, True)
    assert host.request("GET", path).json()["id"] == "a/b"
    position = host.request("GET", "/v1/instances/default/rest").json()
    query = f"?epoch={position['epoch']}&revision={position['revision']}&wait=20"
    # Nobody renews: the poll ends when the lease does, though nobody else asks.
    told = host.request("GET", f"/v1/instances/default/rest{query}").json()
    assert told["instances"] == [] or told["instances"][0]["lease"] == "suspect"
    until(lambda: host.request("GET", path).status_code == 404, "the end of a lease", 10)
    assert 1.5 < time.monotonic() - start < 10
    assert host.request("POST", f"{path}/renew").json()["code"] == "unknown-lease"
    assert host.request("PUT", path, content=b"{").status_code == 400


class Events:
    """A stream that is read in a thread: type, id and data of its events, and how many comments there were."""

    def __init__(self, host, path, last=None):
        self.told, self.comments, self.over = [], 0, threading.Event()
        headers = {"accept": "text/event-stream"} | ({"last-event-id": last} if last else {})
        self.client = httpx.Client(timeout=PATIENCE, trust_env=False)
        self.response = self.client.send(self.client.build_request("GET", host.url(path), headers=headers), stream=True)
        assert self.response.headers["content-type"] == "text/event-stream" and "content-length" not in self.response.headers
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        event = {}
        try:
            for line in self.response.iter_lines():
                name, _, value = line.partition(": ")
                if line and name:
                    event[name] = value
                elif line:
                    self.comments += 1
                elif "data" in event:
                    self.told.append((event["event"], event["id"], json.loads(event["data"])))
                    event = {}
        except httpx.TransportError:
            pass
        self.over.set()

    def wait(self, number):
        return until(lambda: self.told[number - 1 :], f"event {number}")[0]

    def close(self):
        self.client.close()


def test_a_watch_is_told_as_events(host):
    path = "/v1/instances/default/told"
    host.request("PUT", f"{path}/a", json={"metadata": {"env": "prod"}})
    stream = Events(host, f"{path}?selector=env%3Dprod&wait=1")
    kind, _, first = stream.wait(1)
    assert (kind, first["reset"], [one["id"] for one in first["added"]]) == ("delta", True, ["a"])
    host.request("PUT", f"{path}/x", json={"metadata": {"env": "test"}})
    host.request("PUT", f"{path}/b", json={"metadata": {"env": "prod"}, "ttl": 1, "grace": 0})
    _, last, second = stream.wait(2)
    assert [one["id"] for one in second["added"]] == ["b"] and not second["reset"]
    # A lease that ends is told though nobody asks, and what is quiet says so.
    _, _, third = stream.wait(3)
    assert [one["id"] for one in third["removed"]] == ["b"]
    until(lambda: stream.comments, "a comment")
    stream.close()
    host.request("PUT", f"{path}/c", json={"metadata": {"env": "prod"}})
    again = Events(host, f"{path}?selector=env%3Dprod", last)
    _, _, missed = again.wait(1)
    assert [[one["id"] for one in missed[list]] for list in ("added", "updated", "removed")] == [[], ["c"], ["b"]]
    again.close()
    log = Events(host, "/v1/changes", last)
    kind, _, changes = log.wait(1)
    assert kind == "changes" and [(one["kind"], one["id"]) for one in changes["events"]] == [("removed", "b"), ("added", "c")]
    log.close()
    assert host.request("GET", path, headers={"accept": "text/event-stream", "last-event-id": "?"}).status_code == 400


def test_who_reads_slowly_gets_the_difference(host):
    """Nobody takes from the socket: what has been sent fills its buffers, and the rest is folded until there is room."""
    path = "/v1/instances/default/slow"
    with socket.create_connection(("127.0.0.1", host.port)) as reader:
        reader.sendall(f"GET {host.base}{path} HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n".encode())
        with httpx.Client(timeout=PATIENCE, trust_env=False) as client:
            for round in range(400):
                ops = [
                    {"op": "register", "instance": {"service": "slow", "id": f"i{n}", "weight": round, "metadata": {"x": "x" * 500}}}
                    for n in range(40)
                ]
                assert client.post(host.url("/v1/batch"), json={"ops": ops}).status_code == 200
        reader.settimeout(PATIENCE)
        text = b""

        def is_told():
            nonlocal text
            text += reader.recv(1 << 20)
            last = text.rpartition(b"event: delta")[2]
            return b'"weight":399' in last and b"\n\n" in last

        until(is_told, "the last weight")
    # All that happened is 400 events of 40 instances; what was told is what fits into the buffers, and one more.
    assert text.count(b"event: delta") < 390, text.count(b"event: delta")
    host.request("POST", "/v1/batch", json={"ops": [{"op": "deregister", "service": "slow", "id": f"i{n}"} for n in range(40)]})


def test_a_saved_query_fails_over_and_explains_itself(host):
    saved = {"service": "front", "selector": "env=prod", "fallbacks": [{"service": "spare"}]}
    assert host.request("PUT", "/v1/queries/default/shop", json=saved).status_code == 201
    stream = Events(host, "/v1/queries/default/shop/instances")
    stream.wait(1)
    host.request("PUT", "/v1/instances/default/spare/s", json={})
    assert [one["id"] for one in stream.wait(2)[2]["added"]] == ["s"]
    host.request("PUT", "/v1/instances/default/front/f", json={"metadata": {"env": "test"}})
    why = host.request("GET", "/v1/queries/default/shop/explain").json()
    assert (why["rung"], why["rungs"][0]["failed"][0]["conditions"]) == (1, [{"part": "selector", "text": "env=prod"}])
    assert host.request("GET", "/v1/explain/default/front", headers={"accept": "text/plain"}).text.startswith("front in default: found 1 of 1\n")
    assert host.request("DELETE", "/v1/queries/default/shop").status_code == 200
    assert stream.wait(3)[2]["removed"][0]["id"] == "s"
    stream.close()
    gone = host.request("GET", "/v1/queries/default/shop/instances")
    assert (gone.status_code, gone.headers["content-type"], gone.json()["code"]) == (404, "application/problem+json", "unknown-query")


def test_a_proof_is_good_once(host):
    path, token = "/v1/instances/default/mine/m", "a token that nobody guesses".replace(" ", "-")
    made = host.request("PUT", path, json={"ttl": 60}, headers={"x-callboard-token": token}).json()
    proofs = [callboard.proof(token, verb, made["epoch"], made["handle"], n) for n, verb in enumerate(["renew", "deregister"], 1)]
    assert host.request("POST", f"{path}/renew").status_code == 403
    assert [host.request("POST", f"{path}/renew", headers={"x-callboard-proof": proofs[0]}).status_code for _ in range(2)] == [200, 403]
    assert host.request("PUT", path, json={"ttl": 60}).status_code == 403
    assert host.request("DELETE", path).status_code == 403
    assert token not in host.request("GET", "/v1/snapshot").content.decode("latin-1")
    assert host.request("DELETE", path, headers={"x-callboard-proof": proofs[1]}).status_code == 200


def test_no_log_tells_what_it_should_not(host):
    """Metadata, tokens and line ends stay out of what a host prints, whatever it is asked."""
    secret = {"x-callboard-token": "sesame-sesame-sesame", "authorization": "Bearer sesame-open"}
    instance = {"metadata": {"key": "sesame-value"}, "endpoints": ["http://10.0.0.1:80"], "ttl": 60}
    made = host.request("PUT", "/v1/instances/default/logs/a", json=instance, headers=secret).json()
    for method, path, content in [
        ("PUT", "/v1/instances/default/logs/a", b'{"metadata":{"key":"sesame-value\x00"}}'),
        ("PUT", "/v1/instances/default/logs/b", b'{"metadata":{"key":"sesame-' + b"x" * 600 + b'"}}'),
        ("PUT", "/v1/instances/default/logs/b", b'{"metadata":{"key":["sesame-list"]}}'),
        ("PUT", "/v1/agent/service/register", b'{"Name":"logs","Meta":{"k":"sesame-' + b"x" * 600 + b'"}}'),
        ("POST", "/eureka/apps/LOGS", b'{"instance":{"metadata":{"k":"sesame-eureka"}}}'),
        ("POST", "/v1/batch", b'{"ops":[{"op":"register","instance":{"service":"logs","id":"c","metadata":{"a":"sesame","a":"sesame"}}}]}'),
        ("GET", "/v1/instances/default/a%0d%0aFORGED%20LINE", None),
        ("GET", "/v1/instances/default/logs?health=%0aFORGED%20LINE", None),
    ]:
        answer = host.request(method, path, content=content, headers=secret)
        assert "\r" not in answer.text and "sesame" not in answer.text, answer.text
        assert not any("FORGED" in value for value in answer.headers.values())
    host.request("POST", "/v1/batch", json={"ops": [{"op": "set_admin", "service": "logs", "id": "a", "admin": {"state": "disabled", "reason": "x"}}]})
    proof = callboard.proof(secret["x-callboard-token"], "deregister", made["epoch"], made["handle"], 1)
    assert host.request("DELETE", "/v1/instances/default/logs/a", headers={"x-callboard-proof": proof}).status_code == 200
    time.sleep(0.3)
    printed = "".join(host.said)
    assert "sesame" not in printed and not re.search(r"^FORGED", printed, re.MULTILINE)


@unmounted
def test_py_consul(host):
    client = consul.Consul(host="127.0.0.1", port=host.port)
    check = consul.Check.ttl("2s")
    assert client.agent.service.register("web", service_id="web1", address="10.0.0.5", port=8080, tags=["v1"], meta={"env": "prod"}, check=check)
    assert client.health.service("web", passing=True)[1] == []
    assert client.agent.check.ttl_pass("service:web1")
    index, entries = client.health.service("web", passing=True, tag="v1")
    assert [(entry["Service"]["Address"], entry["Service"]["Meta"]) for entry in entries] == [("10.0.0.5", {"env": "prod"})]

    woken = []

    def watch():
        watcher = consul.Consul(host="127.0.0.1", port=host.port)
        start = time.monotonic()
        _, entries = watcher.health.service("web", index=index, wait="15s")
        woken.append((time.monotonic() - start, [entry["Service"]["ID"] for entry in entries]))

    thread = threading.Thread(target=watch)
    thread.start()
    time.sleep(0.5)
    client.agent.service.register("other", service_id="o1", address="10.0.0.7", port=1)
    time.sleep(0.5)
    client.agent.service.register("web", service_id="web2", address="10.0.0.6", port=8080)
    thread.join()
    # Not by another service, and at once by its own.
    assert woken[0][0] >= 0.9 and woken[0][0] < 5 and woken[0][1] == ["web1", "web2"]

    def status():
        return {entry["Service"]["ID"]: [check["Status"] for check in entry["Checks"]] for entry in client.health.service("web")[1]}

    until(lambda: status() == {"web1": ["critical"], "web2": []}, "a TTL that runs out", 10)
    assert client.agent.check.ttl_warn("service:web1")
    assert status()["web1"] == ["warning"]
    assert client.agent.service.maintenance("web2", "true", "a new disk")
    assert status()["web2"] == ["critical"]
    assert set(client.agent.services()) == {"o1", "web1", "web2"} and set(client.agent.checks()) == {"service:web1", "_service_maintenance:web2"}
    assert client.catalog.services()[1] == {"other": [], "web": ["v1"]}
    assert [one["Node"] for one in client.catalog.nodes()[1]] == ["callboard"]
    assert client.agent.self()["Config"]["Datacenter"] == "dc1"
    for name in ("web1", "web2", "o1"):
        assert client.agent.service.deregister(name)
    assert client.health.service("web")[1] == []


def said(command, **env):
    """What a client says in lines of JSON until it ends."""
    done = subprocess.run(command, env={**ENV, **env}, capture_output=True, text=True, timeout=3 * PATIENCE)
    assert done.returncode == 0, done.stderr[-2_000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_py_eureka_client(host):
    told = said([sys.executable, str(ROOT / "tests/python/eureka_client.py"), host.url("/eureka/")])
    assert told == [{"after_a_lease": {"PAY": ["UP"], "SHOP": ["UP"]}}, {"out_of_service": True}, {"left": True}]
    assert host.request("GET", "/v1/instances/default?health=any").json()["instances"] == []


@unmounted
def test_nacos_naming(host):
    script = str(ROOT / "tests/python/nacos_client.cjs")
    assert said(["node", script, str(host.port)], NODE_PATH=str(NPM / "node_modules")) == [
        {"status": "UP"},
        {"all": [["10.0.0.1", 8080, True], ["10.0.0.2", 8080, True]]},
        {"told": ["10.0.0.1", "10.0.0.2"]},
        {"told": ["10.0.0.1"]},
        {"selected": ["10.0.0.1"]},
    ]
    # The client believes no empty list; this is what there is.
    assert host.request("GET", "/nacos/v1/ns/instance/list?serviceName=nweb").json()["hosts"] == []


def test_one_registry_speaks_all_of_them(host):
    assert host.request("PUT", "/v1/agent/service/register", json={"Name": "mix", "ID": "c", "Address": "10.0.0.1", "Port": 1}).status_code == 200
    instance = {"instanceId": "e", "hostName": "10.0.0.2", "ipAddr": "10.0.0.2", "app": "MIX", "status": "UP", "port": {"$": 2, "@enabled": "true"}}
    eureka = {"instance": {**instance, "dataCenterInfo": {"name": "MyOwn"}}}
    assert host.request("POST", "/eureka/apps/MIX", json=eureka).status_code == 204
    assert host.request("POST", "/nacos/v1/ns/instance?serviceName=mix&ip=10.0.0.3&port=3").text == "ok"
    assert host.request("PUT", "/v1/instances/default/mix/r", json={"endpoints": ["http://10.0.0.4:4"]}).status_code == 201
    want = {f"10.0.0.{n}" for n in (1, 2, 3, 4)}
    assert {entry["Service"]["Address"] for entry in host.request("GET", "/v1/health/service/mix?passing").json()} == want
    apps = host.request("GET", "/eureka/apps/MIX", headers={"accept": "application/json"}).json()
    assert {one["ipAddr"] for one in apps["application"]["instance"]} == want
    assert {one["ip"] for one in host.request("GET", "/nacos/v1/ns/instance/list?serviceName=mix").json()["hosts"]} == want
    urls = {one["url"].split("/")[2].split(":")[0] for one in host.request("GET", "/v1/instances/default/mix").json()["instances"]}
    assert urls == want
    if host.dns:
        assert set(dig(host, "mix.service.consul")) == want
    # Who names no address is where it asks from, on hosts that know that.
    own = host.request("PUT", "/v1/agent/service/register", json={"Name": "own", "Port": 1})
    if own.status_code == 200:
        assert host.request("GET", "/v1/catalog/service/own").json()[0]["ServiceAddress"] == "127.0.0.1"
    assert own.status_code == 200 or host.name == "workerd"


def test_a_page_for_people(host):
    page = host.request("GET", "/ui")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    # What it names stands below it, wherever it is mounted.
    named = re.findall(r'(?:src|href)="(ui/[^"]+)"', page.text)
    assert len(named) == 3
    for path in ["ui", *named]:
        whole = host.request("GET", f"/{path}")
        assert whole.status_code == 200 and "default-src 'none'" in whole.headers["content-security-policy"], path
        head = host.request("HEAD", f"/{path}")
        # Some compress what is text, and name that otherwise.
        same = ("content-type", "content-security-policy", "cache-control")
        assert (head.status_code, head.content, [head.headers[name] for name in same]) == (200, b"", [whole.headers[name] for name in same]), path
        known = host.request("GET", f"/{path}", headers={"if-none-match": whole.headers["etag"]})
        assert (known.status_code, known.content) == (304, b""), path
    moved = host.request("GET", "/ui/", follow_redirects=True)
    assert (moved.status_code, moved.text, moved.url) == (200, page.text, host.url("/ui"))
    assert host.request("POST", "/ui").status_code == 405
    assert host.request("GET", "/ui/none").status_code == 404


def test_what_nobody_should_send(host):
    before = host.request("GET", "/v1/health").json()["revision"]
    for method, path, content, status in [
        ("GET", "/v1/agent/nothing", None, 404),
        ("POST", "/v1/agent/service/register", b"{}", 405),
        ("PUT", "/v1/agent/service/register", b"\xff{", 400),
        ("PUT", "/v1/agent/service/register", b"[" * 10_000, 413),
        ("PUT", "/v1/agent/check/pass/" + "x" * 5_000, b"", 413),
        ("GET", "/v1/health/service/web?index=-1", None, 400),
        ("GET", "/v1/instances/default/%2e%2e%2f", None, 400),
        ("PUT", "/v1/instances/default/a%0d%0ab/c", b"{}", 400),
        ("POST", "/eureka/apps/WEB", b"<!DOCTYPE a [<!ENTITY b 'c'>]><instance>&b;</instance>", 400),
        ("POST", "/nacos/v1/ns/instance?serviceName=x&ip=%0d%0a&port=1", b"", 400),
        ("PUT", "/v1/instances/default/web/big", b" " * (8 * 1024 * 1024 + 1), 413),
    ]:
        answer = host.request(method, path, content=content)
        # A path with a line end in it is none of those that Starlette mounts.
        where = (status, 404) if host.base and "%0d" in path else (status,)
        assert answer.status_code in where, (path[:80], answer.status_code, answer.text[:200])
    assert host.request("GET", "/v1/health").json()["revision"] == before


def dig(host, name, *more):
    command = ["dig", "@127.0.0.1", "-p", str(host.dns), "+short", "+tries=1", name, *more]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=ENV).stdout.split("\n")[:-1]


@pytest.mark.parametrize("running", ["axum"], indirect=True)
def test_dig(host):
    for n in range(60):
        host.request("PUT", f"/v1/instances/default/many/i{n}", json={"endpoints": [f"http://10.0.1.{n}:80"], "metadata": {"n": str(n)}})
    assert len(dig(host, "many.service.consul")) == 60
    assert len(dig(host, "many.service.consul", "+noedns", "+ignore")) == 29
    assert len(dig(host, "many.service.consul", "+noedns")) == 60
    assert len(dig(host, "_many._tcp.service.consul", "SRV", "+tcp")) == 60
    assert dig(host, "i7.many.consul", "TXT") == ['"callboard-id=i7" "n=7"']
    whole = subprocess.run(["dig", "@127.0.0.1", "-p", str(host.dns), "nobody.consul"], capture_output=True, text=True, env=ENV).stdout
    assert "status: NXDOMAIN" in whole and "SOA" in whole
    refused = subprocess.run(["dig", "@127.0.0.1", "-p", str(host.dns), "example.org"], capture_output=True, text=True, env=ENV).stdout
    assert "status: REFUSED" in refused


@pytest.mark.parametrize("running", ["workerd"], indirect=True)
def test_a_durable_object_remembers(host, scripts):
    for n in range(300):
        host.request("PUT", f"/v1/instances/default/kept/i{n}", json={"endpoints": [f"http://10.0.2.{n % 250}:80"], "metadata": {"n": "x" * 500}})
    known = host.request("GET", "/v1/instances/default/kept").json()
    again = [one for one in (known["instances"], known["epoch"])]
    host.stop()
    other = started("workerd", scripts)
    try:
        told = other.request("GET", "/v1/instances/default/kept").json()
        names = [one["id"] for one in told["instances"]]
        assert names == [one["id"] for one in again[0]] and len(names) == 300 and told["epoch"] > again[1]
    finally:
        host.process, host.port = other.process, other.port


@pytest.mark.parametrize("name", ["node", "deno", "bun"])
def test_a_journal_outlives_its_process(name, scripts, tmp_path):
    journal = tmp_path / "folder" / "board"
    journal.parent.mkdir()
    host = started(name, scripts, JOURNAL=str(journal))
    try:
        for number in range(60):
            assert host.request("PUT", f"/v1/instances/default/web/w{number}", json={"ttl": 60}).status_code == 201
        host.request("DELETE", "/v1/instances/default/web/w7")
        host.process.kill()
        host = started(name, scripts, JOURNAL=str(journal))
        there = {one["id"] for one in host.request("GET", "/v1/instances/default/web").json()["instances"]}
        assert there == {f"w{number}" for number in range(60)} - {"w7"}
        shutil.rmtree(journal.parent)
        for _ in range(2):
            assert host.request("PUT", "/v1/instances/default/web/late", json={}).status_code == 503
        assert host.request("POST", "/v1/instances/default/web/w1/renew", json={}).status_code == 200
        journal.parent.mkdir()
        assert host.request("PUT", "/v1/instances/default/web/late", json={}).status_code < 300
        host.process.kill()
        host = started(name, scripts, JOURNAL=str(journal))
        assert len(host.request("GET", "/v1/instances/default/web").json()["instances"]) == 60
    finally:
        host.stop()


class Wire:
    """A connection of its own, on which a request is sent as it is written."""

    def __init__(self, host, text):
        self.socket = socket.create_connection(("127.0.0.1", host.port))
        self.socket.settimeout(PATIENCE)
        self.socket.sendall(text.encode())

    def answer(self):
        response = HTTPResponse(self.socket)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers, json.loads(response.read())

    def close(self):
        self.socket.close()


def are_silent(*wires):
    """Whether there is no answer on any of them within half a second."""
    return not select.select([wire.socket for wire in wires], [], [], 0.5)[0]


@pytest.mark.parametrize("name", [name for name in HOSTS if name != "mounted"])
def test_what_there_is_no_room_for_is_told_so(name, scripts, tmp_path):
    bounds = json.dumps({"requests": 6, "bodies": 1, "waits": 2, "patience": 2})
    own = {"asgi": {"CALLBOARD_BOUNDS": bounds}, "workerd": {"BOUNDS": bounds, "STORAGE": str(tmp_path)}}
    host = started(name, scripts, *([["--bounds", bounds]] if name == "axum" else []), **own.get(name, {"BOUNDS": bounds}))
    try:
        position = host.request("GET", "/v1/instances/default/web").json()
        where = f"epoch={position['epoch']}&revision={position['revision']}"
        end = "HTTP/1.1\r\nhost: board\r\n"
        poll = f"GET /v1/instances/default/web?{where}&wait=60 {end}\r\n"
        put = f"PUT /v1/instances/default/web/a {end}content-length: "
        look = f"GET /v1/instances/default/web {end}connection: close\r\n\r\n"

        def is_refused(wire, field):
            status, headers, told = wire.answer()
            assert (status, headers["retry-after"], told["code"], told["field"]) == (503, "1", "overloaded", field), told
            wire.close()

        # Long polls; whoever only looks is still answered.
        polls = [Wire(host, poll) for _ in range(2)]
        assert are_silent(*polls)
        is_refused(Wire(host, poll), "waits")
        looks = Wire(host, look)
        assert looks.answer()[0] == 200
        looks.close()
        # Large bodies; a small one is none of them. What does not come in time is not waited for.
        start = time.monotonic()
        large = Wire(host, f"{put}1000000\r\n\r\n{' ' * 200_000}")
        assert are_silent(large)
        is_refused(Wire(host, f"{put}1000000\r\n\r\n{' ' * 200_000}"), "bodies")
        small = Wire(host, f"{put}2\r\nconnection: close\r\n\r\n{{}}")
        assert small.answer()[0] == 201
        small.close()
        status, _, told = large.answer()
        assert (status, told["code"], told["field"]) == (408, "malformed", "body") and 1.5 < time.monotonic() - start < 10
        large.close()
        for wire in polls:
            # The registration was what they waited for.
            assert wire.answer()[0] == 200
            wire.close()
        # Requests in hand: nothing but six that are slow.
        where = f"epoch={position['epoch']}&revision={host.request('GET', '/v1/instances/default/web').json()['revision']}"
        poll = f"GET /v1/instances/default/web?{where}&wait=60 {end}\r\n"
        slow = f"{put}10\r\n\r\n{{"

        def all_are_slow():
            held = [Wire(host, text) for text in (poll, poll, slow, slow, slow, slow)]
            done = are_silent(*held)
            if not done:
                for wire in held:
                    wire.close()
            return held if done else None

        held = until(all_are_slow, "room for six")
        is_refused(Wire(host, look), "requests")
        for wire in held:
            wire.close()

        def is_answered():
            wire = Wire(host, look)
            status = wire.answer()[0]
            wire.close()
            return status == 200

        until(is_answered, "room again")
    finally:
        host.stop()


@pytest.mark.parametrize("name", ["asgi", "node", "deno", "bun"])
def test_a_host_speaks_tls(name, scripts, tmp_path):
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*make, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert], check=True, capture_output=True)
    flags = ["--ssl-certfile", cert, "--ssl-keyfile", key] if name == "asgi" else []
    host = started(name, scripts, flags, CERT=cert, KEY=key)
    try:
        assert host.scheme == "https"
        trusting = ssl.create_default_context(cafile=cert)
        with httpx.Client(verify=trusting, trust_env=False, timeout=PATIENCE) as client:
            put = client.put(host.url("/v1/instances/default/web/a"), json={"ttl": 60})
            assert (put.status_code, put.http_version) == (201, "HTTP/1.1")
            assert client.post(host.url("/v1/instances/default/web/a/renew")).status_code == 200
            where = f"epoch={put.json()['epoch']}&revision={put.json()['revision']}"
            told = threading.Thread(target=lambda: time.sleep(0.3) or client.put(host.url("/v1/instances/default/web/b"), json={}))
            told.start()
            polled = client.get(host.url(f"/v1/instances/default/web?{where}&wait=20"))
            told.join()
            assert [one["id"] for one in polled.json()["instances"]] == ["a", "b"]
        with pytest.raises(httpx.ConnectError):
            httpx.get(host.url("/v1/health"), trust_env=False, timeout=PATIENCE)
        with pytest.raises(httpx.TransportError):
            httpx.get(host.url("/v1/health").replace("https", "http"), trust_env=False, timeout=5)
    finally:
        host.stop()
