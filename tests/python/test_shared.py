"""Several servers of examples/registry-asgi over one real etcd: servers and etcd are killed, frozen and compacted under clients that go from one to the other."""

import base64
import contextlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time

import consul
import httpx
import pytest
from engines import ENV, Etcd, free_port, wait_for

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples/registry-asgi"
SECONDS = float(os.environ.get("CALLBOARD_SECONDS", "6"))


class Board:
    """One of several servers."""

    def __init__(self, etcd, queue=0):
        self.port = free_port()
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=20)
        self.env = {**ENV, "CALLBOARD_SHARE": etcd.url, "CALLBOARD_QUEUE": str(queue)}
        self.start()

    def start(self):
        command = [sys.executable, "-m", "uvicorn", "registry:app", "--port", str(self.port), "--log-level", "error"]
        self.process = subprocess.Popen(command, cwd=EXAMPLE, env=self.env, stderr=subprocess.DEVNULL)
        wait_for(self.is_up, "uvicorn")

    def is_up(self):
        with contextlib.suppress(httpx.TransportError):
            return not self.answer()["stale"]

    def answer(self):
        return self.http.get("/v1/instances/default/web?health=any").json()

    def names(self):
        return {one["id"] for one in self.answer()["instances"]}

    def register(self, name, **more):
        return self.http.put(f"/v1/instances/default/web/{name}", json=more)

    def renew(self, name):
        return self.http.post(f"/v1/instances/default/web/{name}/renew", json={}).status_code

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def etcd(tmp_path):
    engine = Etcd(tmp_path).start()
    yield engine
    engine.process.send_signal(signal.SIGCONT)
    engine.kill()


@pytest.fixture
def boards(etcd, request):
    servers = []
    try:
        for _ in range(3):
            servers.append(Board(etcd, queue=getattr(request, "param", 0)))
        yield servers
    finally:
        for server in servers:
            server.signal(signal.SIGCONT)
            server.kill()


def everywhere(boards, names, what="all servers to agree"):
    wait_for(lambda: all(board.names() == names and not board.answer()["stale"] for board in boards), what)


def test_who_signs_in_at_one_is_seen_at_all_and_outlives_it(boards):
    one, two, three = boards
    assert one.register("w1", ttl=3).status_code in (200, 201)
    assert one.register("w2").status_code in (200, 201)
    everywhere(boards, {"w1", "w2"})
    # A client goes to another server, by another protocol even, and keeps its lease there.
    agent = consul.Consul(host="127.0.0.1", port=one.port).agent
    agent.service.register("web", service_id="c1", address="10.0.0.1", port=80, check=consul.Check.ttl("3s"))
    other = consul.Consul(host="127.0.0.1", port=two.port).agent
    until = time.monotonic() + 6
    one_is_there = True
    while time.monotonic() < until:
        assert two.renew("w1") == 200
        other.check.ttl_pass("service:c1")
        if one_is_there and time.monotonic() > until - 5:
            one.kill()
            one_is_there = False
        for board in (two, three):
            assert board.names() == {"w1", "w2", "c1"}
        time.sleep(0.2)
    # The server that is started again knows all of it.
    one.start()
    everywhere(boards, {"w1", "w2", "c1"})
    # Who signs out at a third is gone everywhere; who is silent too; whoever has no lease stays.
    other = consul.Consul(host="127.0.0.1", port=three.port).agent
    other.service.deregister("c1")
    assert one.http.put("/v1/instances/default/web/w2/admin", json={"state": "draining"}).status_code < 300
    everywhere(boards, {"w2"})
    wait_for(lambda: all(b.answer()["instances"][0].get("admin", {}).get("state") == "draining" for b in boards), "the override")


def test_a_server_that_dies_takes_nobody_with_it_but_the_dead(boards):
    one, two, three = boards
    for name in ("lives", "dies"):
        assert one.register(name, ttl=3).status_code in (200, 201)
    everywhere(boards, {"lives", "dies"})
    one.kill()
    start, seen = time.monotonic(), None
    while (names := two.names()) != {"lives"}:
        assert "lives" in names
        assert two.renew("lives") == 200
        seen = time.monotonic() - start
        assert seen < 20
        time.sleep(0.1)
    # Nobody goes before its lease has ended.
    assert seen > 2
    everywhere([two, three], {"lives"})


def test_while_etcd_is_down_what_is_known_is_served_and_changes_are_refused(boards, etcd):
    one, two, three = boards
    assert one.register("w1", ttl=3).status_code in (200, 201)
    assert one.register("w2").status_code in (200, 201)
    everywhere(boards, {"w1", "w2"})
    etcd.kill()
    wait_for(lambda: all(board.answer()["stale"] for board in boards), "the servers to see that etcd is down")
    # The first may have been asked for before that was known.
    assert two.register("w3").status_code == 503
    wait_for(lambda: "engine-unreachable" in two.register("w3").text, "changes to be refused")
    until = time.monotonic() + 8
    while time.monotonic() < until:
        assert one.renew("w1") == 200
        # Of what was asked for before that was known, nobody was told that it is kept.
        assert all({"w1", "w2"} <= board.names() <= {"w1", "w2", "w3"} for board in boards)
        time.sleep(0.3)
    etcd.start()
    while any(board.answer()["stale"] for board in boards):
        assert one.renew("w1") == 200
        assert time.monotonic() < until + 20
        time.sleep(0.1)
    assert two.register("w3").status_code in (200, 201)
    assert one.renew("w1") == 200
    everywhere(boards, {"w1", "w2", "w3"})


@pytest.mark.parametrize("boards", [100], indirect=True)
def test_changes_may_wait_for_etcd(boards, etcd):
    one, two, _ = boards
    assert one.register("w1").status_code in (200, 201)
    everywhere(boards, {"w1"})
    etcd.kill()
    wait_for(lambda: all(board.answer()["stale"] for board in boards), "the servers to see that etcd is down")
    assert two.register("w2").status_code == 201
    assert one.http.delete("/v1/instances/default/web/w1").status_code < 300
    assert (one.names(), two.names()) == (set(), {"w1", "w2"})
    etcd.start()
    everywhere(boards, {"w2"})


def test_a_frozen_etcd_and_a_frozen_server_find_out_what_they_missed(boards, etcd):
    one, two, three = boards
    for board, name in zip(boards, ("w1", "w2", "w3"), strict=True):
        assert board.register(name, ttl=2).status_code in (200, 201)
    everywhere(boards, {"w1", "w2", "w3"})

    def renew(*names):
        for board, name in zip(boards, names, strict=True):
            assert name is None or board.renew(name) == 200

    # Longer than any lease lasts: when it goes on, it lets all of them go, and is told at once that they are there. Until then they may be missed where
    # they are not heard, and nowhere else.
    etcd.process.send_signal(signal.SIGSTOP)
    until = time.monotonic() + 6
    while time.monotonic() < until:
        renew("w1", "w2", "w3")
        assert all(board.names() == {"w1", "w2", "w3"} for board in boards)
        time.sleep(0.2)
    assert all(board.answer()["stale"] for board in boards)
    etcd.process.send_signal(signal.SIGCONT)
    start = time.monotonic()
    while time.monotonic() < start + 5:
        renew("w1", "w2", "w3")
        for board, name in zip(boards, ("w1", "w2", "w3"), strict=True):
            assert name in board.names()
            assert board.names() == {"w1", "w2", "w3"} or time.monotonic() < start + 3
        time.sleep(0.2)
    everywhere(boards, {"w1", "w2", "w3"})
    # A server sleeps while its client goes to another, one signs in, and etcd forgets how that came about.
    three.signal(signal.SIGSTOP)
    assert one.register("late").status_code in (200, 201)
    until = time.monotonic() + 5
    while time.monotonic() < until:
        renew("w1", "w2", None)
        two.renew("w3")
        time.sleep(0.2)
    revision = etcd.http.post("/v3/kv/range", json={"key": "YQ=="}).json()["header"]["revision"]
    etcd.http.post("/v3/kv/compaction", json={"revision": revision, "physical": True}).raise_for_status()
    three.signal(signal.SIGCONT)
    start = time.monotonic()
    while three.names() != {"w1", "w2", "w3", "late"}:
        renew("w1", "w2", None)
        two.renew("w3")
        assert time.monotonic() < start + 20
        time.sleep(0.1)


def test_what_somebody_else_puts_into_etcd_is_left_alone(boards, etcd):
    one, two, _ = boards
    assert one.register("w1").status_code in (200, 201)
    everywhere(boards, {"w1"})
    for key, value in (("weather", "fine"), ("instances/default/web/w1", "{}"), ("instances/default/web/w9", "\xff")):
        pair = {"key": b64(f"callboard/{key}"), "value": b64(value)}
        etcd.http.post("/v3/kv/put", json=pair).raise_for_status()
    assert two.register("w2").status_code in (200, 201)
    everywhere(boards, {"w1", "w2"})
    found = etcd.http.post("/v3/kv/range", json={"key": b64("callboard/"), "range_end": b64("callboard0")}).json()["kvs"]
    assert {base64.b64decode(one["key"]).decode().removeprefix("callboard/") for one in found} == {
        "weather",
        *(f"instances/default/web/{name}" for name in ("w1", "w2", "w9")),
    }


def b64(text):
    return base64.b64encode(text.encode()).decode()


class Client(threading.Thread):
    """A provider that signs in and out at whichever server answers, and beats."""

    def __init__(self, number, boards, stop):
        super().__init__(daemon=True)
        self.name, self.boards, self.stop, self.chance = f"c{number}", boards, stop, random.Random(number)
        self.weight, self.problem, self.told = None, None, 0

    def run(self):
        try:
            self.live()
        except Exception as problem:
            self.problem = problem

    def live(self):
        board, http = self.chance.choice(self.boards), httpx.Client(trust_env=False, timeout=5)
        url = f"/v1/instances/default/web/{self.name}"
        wanted, beat, unknown = 1, 0.0, 0
        while not self.stop.is_set() or wanted != self.weight:
            if self.chance.random() < 0.05:
                board = self.chance.choice(self.boards)
            base = f"http://127.0.0.1:{board.port}"
            try:
                if wanted != self.weight:
                    status = self.put(http, base + url, wanted)
                    # One that does not know it may be behind; all of them for seconds are not.
                    unknown = unknown + 1 if status == 404 else 0
                    if status in (200, 201, 204) or unknown > 60:
                        self.weight, beat, self.told, unknown = wanted, time.monotonic(), self.told + 1, 0
                    else:
                        board = self.chance.choice(self.boards)
                elif time.monotonic() > beat + 1 and wanted:
                    status = http.post(base + url + "/renew", json={}).status_code
                    beat = time.monotonic()
                    if status == 404:
                        self.weight = None
                elif not self.stop.is_set() and self.chance.random() < 0.1:
                    wanted = self.chance.choice((0, 1, 2, 3, 4))
            except httpx.HTTPError:
                board = self.chance.choice(self.boards)
            time.sleep(0.05)
        while self.weight and not self.boards_agree.is_set():
            with contextlib.suppress(httpx.HTTPError):
                http.post(f"http://127.0.0.1:{board.port}{url}/renew", json={})
            time.sleep(0.7)

    def put(self, http, url, wanted):
        if wanted == 0:
            return http.delete(url).status_code
        return http.put(url, json={"ttl": 4, "weight": wanted}).status_code


def test_random_lives_end_in_what_was_acknowledged(boards, etcd):
    stop, agree, chance = threading.Event(), threading.Event(), random.Random(7)
    clients = [Client(number, boards, stop) for number in range(8)]
    for client in clients:
        client.boards_agree = agree
        client.start()
    until = time.monotonic() + SECONDS
    done = []
    while time.monotonic() < until:
        time.sleep(chance.random())
        what, board = chance.randrange(4), chance.choice(boards)
        done.append(what)
        if what == 0:
            board.kill()
            board.start()
        elif what == 1:
            board.signal(signal.SIGSTOP)
            time.sleep(chance.random() * 3)
            board.signal(signal.SIGCONT)
        elif what == 2:
            etcd.kill()
            time.sleep(chance.random() * 3)
            etcd.start()
        else:
            etcd.process.send_signal(signal.SIGSTOP)
            time.sleep(chance.random() * 3)
            etcd.process.send_signal(signal.SIGCONT)
    stop.set()
    wait_for(lambda: all(client.problem or client.weight is not None for client in clients), "the clients")
    time.sleep(1)

    def said():
        return {client.name: client.weight for client in clients if client.weight}

    def seen(board):
        return {one["id"]: one["weight"] for one in board.answer()["instances"]}

    wait_for(lambda: all(seen(board) == said() for board in boards), f"{said()} everywhere")
    agree.set()
    for client in clients:
        client.join(10)
        assert client.problem is None
    print(f"{len(done)} disturbances, {sum(client.told for client in clients)} changes acknowledged")
