"""The engines of examples/registry-asgi/stores.py: a process that is killed while it writes, engines that stop, files that are spoilt."""

import json
import os
import pathlib
import random
import subprocess
import sys
import time

import httpx
import pytest
from engines import ENV, Etcd, Nats, Redis, free_port, wait_for

from callboard import DataError, Query, Registry

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/registry-asgi"
sys.path.insert(0, str(EXAMPLE))
import stores  # noqa: E402

ROUNDS = int(os.environ.get("CALLBOARD_ROUNDS", "25"))
FILES = ["file", "sqlite"]


@pytest.mark.parametrize("kind", FILES)
def test_a_kill_loses_nothing_that_was_acknowledged(kind, tmp_path):
    url, chance = f"{kind}:{tmp_path}/registry", random.Random(1)
    known, writes = {}, 0
    for turn in range(ROUNDS):
        keeper = [sys.executable, str(ROOT / "tests/python/keeper.py"), url, str(turn)]
        process = subprocess.Popen(keeper, stdout=subprocess.PIPE, text=True)
        # After some writes, however slow they are, at any moment of one.
        said = [process.stdout.readline() for _ in range(chance.randrange(1, 24))]
        time.sleep(chance.random() * 0.003)
        process.kill()
        said += process.stdout.readlines()
        process.wait()
        tried = {}
        for line in filter(lambda line: line.endswith("\n"), said):
            word, *changes = line.split()
            pairs = dict(zip(changes[::2], changes[1::2], strict=True))
            if word == "kept":
                known.update(pairs)
                tried, writes = {}, writes + 1
            else:
                tried = pairs
        there = {own.id: own.metadata["mark"] for own in stores.engine(url).recover().query(Query("web", health="any")).instances}
        before = {name: mark for name, mark in known.items() if mark != "gone"}
        after = {name: mark for name, mark in (known | tried).items() if mark != "gone"}
        # All of the last write or nothing of it.
        assert there in (before, after), f"round {turn} after {writes} writes"
        known = dict(there)
    print(f"{kind}: {ROUNDS} kills, {writes} acknowledged writes")
    assert writes > ROUNDS


def test_a_spoilt_journal_is_an_error_and_stays(tmp_path):
    engine = stores.File(tmp_path / "registry")
    registry = engine.recover()
    registry.register("web", "w1")
    engine.keep(registry)
    spoilt = engine.path.read_bytes().replace(b"w1", b"w2")
    engine.path.write_bytes(spoilt)
    with pytest.raises(DataError) as caught:
        stores.File(engine.path).recover()
    assert caught.value.code == "snapshot-corrupt"
    assert engine.path.read_bytes() == spoilt


def test_a_spoilt_row_is_told_and_stays(tmp_path, capsys):
    engine = stores.Sqlite(tmp_path / "registry")
    registry = engine.recover()
    registry.register("web", "w1")
    registry.register("web", "w2")
    engine.keep(registry)
    engine.db.execute("UPDATE callboard SET value = x'ff00' WHERE key LIKE '%w1'")
    engine.db.commit()
    again = stores.Sqlite(tmp_path / "registry")
    assert [own.id for own in again.recover().query("web").instances] == ["w2"]
    assert "instances/default/web/w1 is left alone: snapshot-corrupt" in capsys.readouterr().err
    again.keep(again.recover())
    assert dict(again.read())["instances/default/web/w1"] == b"\xff\x00"


def test_a_disk_that_is_full_is_made_good_later(tmp_path, monkeypatch):
    engine = stores.File(tmp_path / "registry")
    registry = Registry()
    registry.register("web", "w1")
    engine.keep(registry)
    write, full = stores.File.write, True

    def half(self, path, mode, data):
        if full:
            write(self, path, mode, data[: len(data) // 2])
            raise OSError("no space left on device")
        write(self, path, mode, data)

    monkeypatch.setattr(stores.File, "write", half)
    registry.register("web", "w2")
    for _ in range(2):
        with pytest.raises(OSError, match="no space"):
            engine.keep(registry)
        assert stores.File(engine.path).recover().lookup("web", "w1")
    full = False
    engine.keep(registry)
    assert len(stores.File(engine.path).recover()) == 2


def test_a_file_that_is_taken_away_is_written_whole(tmp_path):
    engine, registry = stores.File(tmp_path / "registry"), Registry()
    registry.register("web", "w1")
    engine.keep(registry)
    engine.path.unlink()
    registry.register("web", "w2")
    with pytest.raises(FileNotFoundError):
        engine.keep(registry)
    engine.keep(registry)
    assert len(stores.File(engine.path).recover()) == 2


@pytest.fixture(params=["redis", "etcd", "nats"])
def server(request, tmp_path):
    engine = {"redis": Redis, "etcd": Etcd, "nats": Nats}[request.param](tmp_path)
    engine.start()
    engine.url_of_store = f"{request.param}://127.0.0.1:{engine.port}"
    yield engine
    engine.kill()


class Board:
    """The ASGI host with an engine, as its first lines say."""

    def __init__(self, url):
        self.port = free_port()
        command = [sys.executable, "-m", "uvicorn", "registry:app", "--port", str(self.port), "--log-level", "warning"]
        self.process = subprocess.Popen(command, cwd=EXAMPLE, env={**ENV, "CALLBOARD_STORE": url})
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=60)
        wait_for(self.is_up, "uvicorn")

    def is_up(self):
        try:
            return self.names() is not None
        except httpx.TransportError:
            return False

    def register(self, name):
        return self.http.put(f"/v1/instances/default/web/{name}", json={"ttl": 60}).status_code

    def names(self):
        found = self.http.get("/v1/instances/default/web?health=any").json()["instances"]
        return {one["id"] for one in found}

    def kill(self):
        self.process.kill()
        self.process.wait()


def test_a_registry_is_kept_in_a_real_engine_that_stops_and_starts(server):
    url = server.url_of_store
    board = Board(url)
    try:
        names = {f"w{number}" for number in range(250)}
        assert {board.register(name) for name in names} <= {200, 201}
        board.http.delete("/v1/instances/default/web/w7")
        board.kill()
        board = Board(url)
        assert board.names() == names - {"w7"}
        server.kill()
        # What is there is served, heartbeats count, and a change is refused as long as it is not kept.
        assert board.names() == names - {"w7"}
        assert board.http.post("/v1/instances/default/web/w1/renew", json={}).status_code == 200
        assert board.register("late") == 503
        assert board.http.delete("/v1/instances/default/web/w8").status_code == 503
        server.start()
        wait_for(lambda: board.register("late") < 300, "the engine to be used again")
        board.kill()
        board = Board(url)
        assert board.names() == names - {"w7", "w8"} | {"late"}
    finally:
        board.kill()


def test_what_somebody_else_put_there_is_told_and_stays(server, capsys):
    url = server.url_of_store
    engine = stores.engine(url)
    registry = engine.recover()
    registry.register("web", "a/b", metadata={"env": "prod"})
    registry.register("web", "gone")
    engine.keep(registry)
    entries = dict(engine.read())
    # People can read it.
    assert json.loads(entries["instances/default/web/a=2Fb"])["metadata"] == {"env": "prod"}
    foreign = {"weather": "fine", "instances/default/web/c": "{}", "instances/default/web/d": entries["instances/default/web/a=2Fb"].decode()}
    engine.write([(key, value, None) for key, value in foreign.items()])

    again = stores.engine(url)
    registry = again.recover()
    told = capsys.readouterr().err
    assert all(f"{key} is left alone: snapshot-corrupt\n" in told for key in foreign)
    assert {own.id for own in registry.query("web").instances} == {"a/b", "gone"}
    registry.deregister("web", "gone")
    again.keep(registry)
    left = {key: value.decode() for key, value in again.read()}
    assert foreign.items() <= left.items()
    assert left.keys() == {*foreign, "instances/default/web/a=2Fb", "registry"}


def test_who_died_while_no_server_ran_is_not_there_when_one_comes_back(server):
    url = server.url_of_store
    engine = stores.engine(url)
    registry = engine.recover()
    registry.register("web", "leased", ttl=1)
    registry.register("web", "for-ever")
    engine.keep(registry)

    def names():
        return {own.id for own in stores.engine(url).recover().query(Query("web", health="any")).instances}

    # Two ttls of the engine: that it is there is said again, and no more than that.
    until = time.monotonic() + 4
    while time.monotonic() < until:
        registry.renew("web", "leased")
        engine.keep(registry)
        time.sleep(0.05)
    assert names() == {"leased", "for-ever"}
    time.sleep(3.5)
    # NATS of Debian has no ttl for a key: there a lease begins anew.
    keeps = isinstance(server, Nats)
    assert names() == ({"leased", "for-ever"} if keeps else {"for-ever"})
    # A server that was away, and not its instances, says all of it again.
    registry.renew("web", "leased")
    engine.keep(registry)
    assert names() == {"leased", "for-ever"}
