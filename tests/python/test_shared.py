"""Several servers of examples/registry-asgi and registry-server over one real etcd: servers and etcd are killed, frozen and compacted under clients that go from
one to the other."""

import base64
import contextlib
import hashlib
import itertools
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time

import callboard
import consul
import httpx
import pytest
from engines import ENV, Etcd, free_port, wait_for

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/registry-asgi"
# Servers in Python beside one in Rust, and the other way round.
MIXED, OTHERS = ("asgi", "axum", "asgi"), ("axum", "asgi", "axum")
SECONDS = float(os.environ.get("CALLBOARD_SECONDS", "6"))


class Board:
    """One of several servers."""

    def __init__(self, kind, etcd, queue=0):
        self.kind, self.port = kind, free_port()
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=20)
        self.env = {**ENV, "CALLBOARD_SHARE": etcd.url, "CALLBOARD_QUEUE": str(queue)}
        self.command = [sys.executable, "-m", "uvicorn", "registry:app", "--port", str(self.port), "--log-level", "error"]
        if kind == "axum":
            binary, address = str(ROOT / "target/demo/registry-server"), f"127.0.0.1:{self.port}"
            self.command = [binary, "--listen", address, "--etcd", etcd.url, "--queue", str(queue)]
        self.start()

    def start(self):
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(self.command, cwd=EXAMPLE, env=self.env, stdout=quiet, stderr=quiet)
        wait_for(self.is_up, self.kind)

    def is_up(self):
        with contextlib.suppress(httpx.TransportError):
            return not self.answer()["stale"]

    def answer(self):
        return self.http.get("/v1/instances/default/web?health=any").json()

    def names(self):
        return {one["id"] for one in self.answer()["instances"]}

    def register(self, name, token=None, **more):
        return self.http.put(f"/v1/instances/default/web/{name}", json=more, headers={"x-callboard-token": token} if token else {})

    def speak(self, method, name, proof=None):
        path = f"/v1/instances/default/web/{name}" + ("/renew" if method == "POST" else "")
        return self.http.request(method, path, headers={"x-callboard-proof": proof} if proof else {}).status_code

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
    servers, (kinds, queue) = [], getattr(request, "param", (MIXED, 0))
    try:
        for kind in kinds:
            servers.append(Board(kind, etcd, queue))
        yield servers
    finally:
        for server in servers:
            server.signal(signal.SIGCONT)
            server.kill()


def everywhere(boards, names, what="all servers to agree"):
    wait_for(lambda: all(board.names() == names and not board.answer()["stale"] for board in boards), what)


def are(*kinds, queue=0):
    return pytest.mark.parametrize("boards", [(kind, queue) for kind in kinds], indirect=True, ids=[" ".join(kind) for kind in kinds])


@contextlib.contextmanager
def beating(*beats):
    """Does these again and again, however long the rest takes; the set is of what they say."""
    stop, said = threading.Event(), set()

    def beat():
        while not stop.wait(0.2):
            said.update(beat() for beat in beats)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield said
    finally:
        stop.set()
        thread.join()


def hold(boards, names, seconds):
    """Nobody is missed at these for so long, and nobody else is there."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert all(board.names() == names for board in boards)
        time.sleep(0.1)


@are(OTHERS)
def test_who_signs_in_at_one_is_seen_at_all_and_outlives_it(boards):
    one, two, three = boards
    assert one.register("w1", ttl=3).status_code in (200, 201)
    assert one.register("w2").status_code in (200, 201)
    # A client goes to another server, by another protocol even, and keeps its lease there.
    agent = consul.Consul(host="127.0.0.1", port=one.port).agent
    agent.service.register("web", service_id="c1", address="10.0.0.1", port=80, check=consul.Check.ttl("3s"))
    with beating(lambda: one.renew("w1"), lambda: agent.check.ttl_pass("service:c1")) as said:
        everywhere(boards, {"w1", "w2", "c1"})
    assert said <= {200, True}
    other = consul.Consul(host="127.0.0.1", port=two.port).agent
    with beating(lambda: two.renew("w1"), lambda: other.check.ttl_pass("service:c1")) as said:
        wait_for(lambda: said, "a beat")
        one.kill()
        hold([two, three], {"w1", "w2", "c1"}, 4.5)
        # The server that is started again knows all of it.
        one.start()
        everywhere(boards, {"w1", "w2", "c1"})
    assert said == {200, True}
    # Who signs out at a third is gone everywhere; who is silent too; whoever has no lease stays.
    other = consul.Consul(host="127.0.0.1", port=three.port).agent
    other.service.deregister("c1")
    assert one.http.put("/v1/instances/default/web/w2/admin", json={"state": "draining"}).status_code < 300
    everywhere(boards, {"w2"})
    wait_for(lambda: all(b.answer()["instances"][0].get("admin", {}).get("state") == "draining" for b in boards), "the override")


@are(MIXED)
def test_a_token_guards_and_a_saved_query_answers_at_every_server(boards, etcd):
    one, two, three = boards
    token = "the-token-of-w1-and-of-nobody-else"
    lives = {}
    for board in boards:
        lives[board] = board.register("w1", token, ttl=4).json()
        everywhere(boards, {"w1"})

    def proof(board, verb, sequence):
        life = lives[board]
        return callboard.proof(token, verb, life["epoch"], life["handle"], sequence)

    def guards(boards):
        for board in boards:
            assert [board.register("w1").status_code, board.register("w1", "the-token-of-somebody").status_code] == [403, 403]
            assert [board.speak("POST", "w1"), board.speak("DELETE", "w1")] == [403, 403]

    # What was seen at one server is good at none.
    seen = [proof(board, "renew", 1) for board in boards]
    assert [board.speak("POST", "w1", shown) for board, shown in zip(boards, seen, strict=True)] == [200, 200, 200]
    assert {board.speak("POST", "w1", shown) for board in boards for shown in seen} == {403}
    # Its provider goes on at another server when the one it spoke to dies.
    sequence = itertools.count(2)
    with beating(lambda: two.speak("POST", "w1", proof(two, "renew", next(sequence)))) as said:
        guards(boards)
        assert one.http.put("/v1/queries/default/near", json={"service": "web", "limit": 5}).status_code in (200, 201)
        one.kill()
        hold([two, three], {"w1"}, 5)
        one.start()
        guards(boards)
        # What is saved at one answers at all, and is dropped at all.
        for board in boards:
            answer = board.http.get("/v1/queries/default/near/instances").json()
            assert [one["id"] for one in answer["instances"]] == ["w1"]
        assert three.http.delete("/v1/queries/default/near").status_code < 300
        wait_for(lambda: all(board.http.get("/v1/queries/default/near").status_code == 404 for board in boards), "the query to go")
    assert said == {200}
    assert {board.speak("POST", "w1", shown) for board in boards for shown in seen} == {403}
    # etcd has the digest of the token, and not the token.
    found = etcd.http.post("/v3/kv/range", json={"key": b64("callboard/"), "range_end": b64("callboard0")}).json()["kvs"]
    values = b"".join(base64.b64decode(kv["value"]) for kv in found)
    assert hashlib.sha256(token.encode()).hexdigest().encode() in values
    assert token.encode() not in values
    assert three.speak("DELETE", "w1", proof(three, "deregister", 2)) == 200
    everywhere(boards, set())


@are(OTHERS)
def test_a_server_that_dies_takes_nobody_with_it_but_the_dead(boards):
    one, two, three = boards
    start = time.monotonic()
    for name in ("lives", "dies"):
        assert one.register(name, ttl=3).status_code in (200, 201)
    wait_for(lambda: two.renew("lives") == 200, "the other server to know of it")
    with beating(lambda: two.renew("lives")) as said:
        one.kill()
        wait_for(lambda: two.names() == {"lives"}, "the lease of who died to end")
        # Nobody goes before its lease has ended.
        assert time.monotonic() - start > 2.9
        everywhere([two, three], {"lives"})
        hold([two, three], {"lives"}, 2)
    assert said == {200}


def test_while_etcd_is_down_what_is_known_is_served_and_changes_are_refused(boards, etcd):
    one, two, three = boards
    assert one.register("w1", ttl=3).status_code in (200, 201)
    assert one.register("w2").status_code in (200, 201)
    with beating(lambda: one.renew("w1")):
        everywhere(boards, {"w1", "w2"})
    with beating(lambda: one.renew("w1")) as said:
        etcd.kill()
        wait_for(lambda: all(board.answer()["stale"] for board in boards), "the servers to see that etcd is down")
        # The first may have been asked for before that was known.
        assert two.register("w3").status_code == 503
        wait_for(lambda: "engine-unreachable" in two.register("w3").text, "changes to be refused")
        until = time.monotonic() + 6
        while time.monotonic() < until:
            # Of what was asked for before that was known, nobody was told that it is kept.
            assert all({"w1", "w2"} <= board.names() <= {"w1", "w2", "w3"} for board in boards)
            time.sleep(0.3)
        etcd.start()
        wait_for(lambda: not any(board.answer()["stale"] for board in boards), "the servers to see that it is back")
        assert two.register("w3").status_code in (200, 201)
        everywhere(boards, {"w1", "w2", "w3"})
    assert said == {200}


@are(MIXED, queue=100)
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


@are(OTHERS)
def test_a_frozen_etcd_and_a_frozen_server_find_out_what_they_missed(boards, etcd):
    one, two, three = boards
    for board, name in zip(boards, ("w1", "w2", "w3"), strict=True):
        assert board.register(name, ttl=3).status_code in (200, 201)
    first = [lambda: one.renew("w1"), lambda: two.renew("w2")]
    with beating(*first, lambda: three.renew("w3")) as said:
        everywhere(boards, {"w1", "w2", "w3"})
        # Longer than any lease lasts: when it goes on, it lets all of them go, and is told again that they are there. Nobody is missed meanwhile.
        etcd.process.send_signal(signal.SIGSTOP)
        hold(boards, {"w1", "w2", "w3"}, 6)
        assert all(board.answer()["stale"] for board in boards)
        etcd.process.send_signal(signal.SIGCONT)
        hold(boards, {"w1", "w2", "w3"}, 4)
        everywhere(boards, {"w1", "w2", "w3"})
    assert said == {200}
    # A server sleeps while its client goes to another, one signs in, and etcd forgets how that came about.
    with beating(*first, lambda: two.renew("w3")):
        three.signal(signal.SIGSTOP)
        assert one.register("late").status_code in (200, 201)
        everywhere([one, two], {"w1", "w2", "w3", "late"})
        hold([one, two], {"w1", "w2", "w3", "late"}, 5)
        revision = etcd.http.post("/v3/kv/range", json={"key": "YQ=="}).json()["header"]["revision"]
        etcd.http.post("/v3/kv/compaction", json={"revision": revision, "physical": True}).raise_for_status()
        three.signal(signal.SIGCONT)
        wait_for(lambda: three.names() == {"w1", "w2", "w3", "late"}, "the server that slept to know it all")


def test_what_somebody_else_puts_into_etcd_is_left_alone(boards, etcd):
    one, two, _ = boards
    assert one.register("w1").status_code in (200, 201)
    everywhere(boards, {"w1"})
    strange = {"weather": "fine", "instances/default/web/w1": "{}", "instances/default/web/w9": "\xff", "queries/default/near": "fine"}
    for key, value in strange.items():
        pair = {"key": b64(f"callboard/{key}"), "value": b64(value)}
        etcd.http.post("/v3/kv/put", json=pair).raise_for_status()
    assert two.register("w2").status_code in (200, 201)
    everywhere(boards, {"w1", "w2"})
    assert {board.http.get("/v1/queries/default/near").status_code for board in boards} == {404}
    found = etcd.http.post("/v3/kv/range", json={"key": b64("callboard/"), "range_end": b64("callboard0")}).json()["kvs"]
    assert {base64.b64decode(one["key"]).decode().removeprefix("callboard/") for one in found} == {
        "instances/default/web/w2",
        *strange,
    }


def b64(text):
    return base64.b64encode(text.encode()).decode()


class Client(threading.Thread):
    """A provider that signs in and out at whichever server answers, and beats."""

    def __init__(self, number, boards, stop, agreed):
        super().__init__(daemon=True)
        self.name, self.boards, self.chance = f"c{number}", boards, random.Random(number)
        # From the first on it wants nothing else, and from the other on nothing.
        self.stop, self.agreed = stop, agreed
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
        while not self.agreed.is_set():
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
                    self.weight = self.weight if wanted == self.weight else None
            except httpx.HTTPError:
                board = self.chance.choice(self.boards)
            time.sleep(0.05)

    def put(self, http, url, wanted):
        if wanted == 0:
            return http.delete(url).status_code
        return http.put(url, json={"ttl": 4, "weight": wanted}).status_code


@are(OTHERS)
def test_random_lives_end_in_what_was_acknowledged(boards, etcd):
    stop, agreed, chance = threading.Event(), threading.Event(), random.Random(7)
    clients = [Client(number, boards, stop, agreed) for number in range(8)]
    for client in clients:
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

    def agree():
        """All clients were told that what they want is kept, and all servers say the same."""
        said = {client.name: client.weight for client in clients}
        seen = [{one["id"]: one["weight"] for one in board.answer()["instances"]} for board in boards]
        return None not in said.values() and seen == [{name: weight for name, weight in said.items() if weight}] * len(boards)

    wait_for(lambda: any(client.problem for client in clients) or agree(), "what was acknowledged to be everywhere")
    agreed.set()
    for client in clients:
        client.join(30)
        assert client.problem is None
    print(f"{len(done)} disturbances, {sum(client.told for client in clients)} changes acknowledged")
