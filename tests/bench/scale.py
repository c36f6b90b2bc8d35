"""One, two and three registry servers (examples/registry-asgi, then registry-server) over one real etcd: how soon a registration at one is seen at another, beside
etcd's own watch; what more servers bring; and what is left while etcd is down.

Prints a JSON object a line; see `src/report.rs` for its form. `--quick` takes fewer rounds.
"""

import asyncio
import base64
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[2]
QUICK = "--quick" in sys.argv
CLIENTS = 24  # connections that ask one thing after the other
ROUNDS = 3 if QUICK else 9
SECONDS = 0.4 if QUICK else 1.5  # of a round
SIGHTS = 50 if QUICK else 400
ENV = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def b64(text):
    return base64.b64encode(text.encode()).decode()


class Program:
    """Something that listens on a port."""

    def __init__(self, command, port, cwd=None, env=None):
        self.command, self.port, self.cwd, self.env = command, port, cwd, {**ENV, **(env or {})}
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, cwd=self.cwd, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        self.process.wait()


def etcd(folder):
    port, peer = free_port(), free_port()
    url, peers = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
    addresses = {"listen-client": url, "advertise-client": url, "listen-peer": peers, "initial-advertise-peer": peers}
    binary = shutil.which("etcd") or sys.exit("etcd is missing: cargo xtask setup")
    flags = [f"--data-dir={folder}/data", f"--initial-cluster=default={peers}", *(f"--{name}-urls={at}" for name, at in addresses.items())]
    return Program([binary, *flags], port)


def server(kind, store):
    port, url = free_port(), f"http://127.0.0.1:{store.port}"
    if kind == "axum":
        binary = ROOT / "target/demo/registry-server"
        return Program([binary, "--listen", f"127.0.0.1:{port}", "--etcd", url], port)
    command = [sys.executable, "-m", "uvicorn", "registry:app", "--port", str(port), "--log-level", "error"]
    return Program(command, port, ROOT / "examples/registry-asgi", {"CALLBOARD_SHARE": url})


class Line:
    """A connection that is kept."""

    def __init__(self, port):
        self.port, self.writer = port, None

    async def ask(self, method, path, body=None):
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        self.writer.write(head.encode() + data)
        answer = await self.reader.readuntil(b"\r\n\r\n")
        status = int(answer[9:12])
        fields = {line.split(b":", 1)[0].lower(): line.split(b":", 1)[1].strip() for line in answer.split(b"\r\n")[1:] if b":" in line}
        if fields.get(b"transfer-encoding") == b"chunked":
            whole = b""
            while size := int((await self.reader.readline()).strip() or b"0", 16):
                whole += await self.reader.readexactly(size)
                await self.reader.readexactly(2)
            await self.reader.readline()
            return status, whole
        return status, await self.reader.readexactly(int(fields.get(b"content-length", 0)))

    def close(self):
        if self.writer:
            self.writer.close()


async def until_up(ports, path="/v1/instances/default/web?health=any"):
    for port in ports:
        while True:
            line = Line(port)
            try:
                status, body = await line.ask("GET", path)
                if status == 200 and not json.loads(body).get("stale"):
                    break
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.05)
            finally:
                line.close()


async def flood(ports, ask):
    """Seconds for one answer of all that come from so many clients at these ports, by turns; and how many were good."""
    lines = [Line(ports[number % len(ports)]) for number in range(CLIENTS)]
    until, done, good = time.perf_counter() + SECONDS, 0, 0

    async def client(number, line):
        nonlocal done, good
        step = 0
        while time.perf_counter() < until:
            status, _ = await line.ask(*ask(number, step))
            step, done, good = step + 1, done + 1, good + (status < 300)
        line.close()

    start = time.perf_counter()
    await asyncio.gather(*(client(number, line) for number, line in enumerate(lines)))
    return (time.perf_counter() - start) / done, good / done


def register(number, step):
    return "PUT", f"/v1/instances/default/web/c{number}-{step % 50}", {"ttl": 60, "weight": step % 100 + 1}


def renew(number, step):
    return "POST", f"/v1/instances/default/web/c{number}-{step % 20}/renew", {}


def look(number, step):
    return "GET", "/v1/instances/default/few", None


def figure(values):
    ordered = sorted(values)
    return statistics.median(ordered), ordered[len(ordered) // 10], ordered[len(ordered) * 9 // 10 - (len(ordered) < 10)]


def rounded(value):
    return float(f"{value:.3e}")


def row(kind, name, unit, ours, peer, note=None):
    ours, peer = figure(ours), peer and figure(peer)
    noise = {"ours": [rounded(ours[1]), rounded(ours[2])]} | ({"peer": [rounded(peer[1]), rounded(peer[2])]} if peer else {})
    found = {"name": f"{kind}: {name}", "unit": unit, "ours": rounded(ours[0]), "peer": peer and rounded(peer[0]), "ratio": peer and rounded(peer[0] / ours[0])}
    print(json.dumps(found | {"goal": None, "met": None, "noise": noise} | ({"note": note} if note else {})), flush=True)


async def sights(store, one, two):
    """Milliseconds from before a registration at one server until another has told of it; and from before a put until etcd's own watch has."""
    ours, peers = [], []
    put, poll, raw = Line(one), Line(two), Line(store.port)
    reader, writer = await asyncio.open_connection("127.0.0.1", store.port)
    question = json.dumps({"create_request": {"key": b64("other/a")}}).encode()
    writer.write(b"POST /v3/watch HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(question) + question)
    while b"created" not in await reader.readline():
        pass
    _, body = await poll.ask("GET", "/v1/instances/default/sight")
    known = json.loads(body)
    for number in range(SIGHTS):
        path = f"/v1/instances/default/sight?epoch={known['epoch']}&revision={known['revision']}&wait=30"
        seen = asyncio.create_task(poll.ask("GET", path))
        await asyncio.sleep(0.01)
        start = time.perf_counter()
        done = asyncio.create_task(put.ask("PUT", "/v1/instances/default/sight/a", {"weight": number % 100 + 1}))
        known = json.loads((await seen)[1])
        ours.append((time.perf_counter() - start) * 1000)
        await done
        start = time.perf_counter()
        done = asyncio.create_task(raw.ask("POST", "/v3/kv/put", {"key": b64("other/a"), "value": b64(str(number))}))
        while b"events" not in await reader.readline():
            pass
        peers.append((time.perf_counter() - start) * 1000)
        await done
    writer.close()
    for line in (put, poll, raw):
        line.close()
    return ours, peers


async def measure(kind, folder):
    print(f"bench: {kind}", file=sys.stderr)
    store = etcd(folder)
    servers = []
    try:
        lease = Line(store.port)
        while True:
            try:
                lease_id = json.loads((await lease.ask("POST", "/v3/lease/grant", {"TTL": 600}))[1])["ID"]
                break
            except (OSError, KeyError, asyncio.IncompleteReadError):
                lease.writer = None
                await asyncio.sleep(0.05)
        servers = [server(kind, store) for _ in range(3)]
        ports = [one.port for one in servers]
        await until_up(ports)
        ours, peers = await sights(store, ports[0], ports[1])
        row(kind, "a registration is seen at another server", "ms", ours, peers, "beside etcd's own put and watch")
        tail = [sorted(values)[int(len(values) * 0.99)] for values in (ours, peers)]
        row(kind, "the same, the slowest of a hundred", "ms", tail[:1], tail[1:])

        print("bench: more servers", file=sys.stderr)
        for what, ask in (("registration", register), ("renewal", renew), ("read", look)):
            times = {count: [] for count in (1, 2, 3)}
            raw = []
            for _ in range(ROUNDS):
                for count in times:
                    if ask is renew:
                        # Those of a round are heard at their server before it begins.
                        line = Line(ports[0])
                        for number in range(CLIENTS):
                            line.port = ports[number % count]
                            line.writer = None
                            for step in range(20):
                                await line.ask(*register(number, step))
                    times[count].append((await flood(ports[:count], ask))[0] * 1e6)
                if ask is renew:
                    raw.append((await flood([store.port], lambda *_: ("POST", "/v3/lease/keepalive", {"ID": lease_id})))[0] * 1e6)
            if raw:
                row(kind, "a renewal at one server", "us", times[1], raw, "beside the keep-alive of a lease at etcd's gateway")
            for count in (2, 3):
                row(kind, f"a {what} at one of {count} servers", "us", times[count], times[1], "beside one server; wall time of all clients together")

        print("bench: etcd is down", file=sys.stderr)
        up, down, shares = {look: [], renew: []}, {look: [], renew: []}, []
        back = []
        for _ in range(ROUNDS):
            for ask in up:
                up[ask].append((await flood(ports, ask))[0] * 1e6)
            store.stop()
            await stale_is(ports, True)
            for ask in down:
                seconds, good = await flood(ports, ask)
                down[ask].append(seconds * 1e6)
                shares.append(good)
            _, refused = await flood(ports, register)
            assert refused == 0, "no change is acknowledged"
            store.start()
            await answers(store.port)
            started = time.perf_counter()
            await stale_is(ports, False)
            back.append((time.perf_counter() - started) * 1000)
        row(kind, "a read while etcd is down", "us", down[look], up[look], "beside while it is up")
        row(kind, "a renewal while etcd is down", "us", down[renew], up[renew], "beside while it is up")
        row(kind, "of reads and renewals while etcd is down, answered", "%", [100 * share for share in shares], None, "here more is better")
        row(kind, "all servers are current after etcd answers again", "ms", back, None)
    finally:
        for one in (*servers, store):
            one.process.kill()
            one.process.wait()


async def answers(port):
    while True:
        line = Line(port)
        try:
            if (await line.ask("POST", "/v3/kv/range", {"key": b64("a")}))[0] == 200:
                return
        except (OSError, asyncio.IncompleteReadError):
            await asyncio.sleep(0.005)
        finally:
            line.close()


async def stale_is(ports, wanted):
    for port in ports:
        line = Line(port)
        while json.loads((await line.ask("GET", "/v1/instances/default/few"))[1])["stale"] != wanted:
            await asyncio.sleep(0.005)
        line.close()


for kind in ("asgi", "axum"):
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(kind, folder))
