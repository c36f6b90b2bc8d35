"""Engines that keep a registry: a file, SQLite, Redis, etcd.

An engine has two methods: `recover` gives the registry that it holds, `keep` writes what has changed. What is to be written is callboard's decision (`Store`);
these classes bring the file and the connection. After `keep` has returned, a change may be acknowledged.
"""

import base64
import json
import os
import sqlite3
from pathlib import Path

from callboard import Registry, Store


class File:
    """A journal in a file: what is appended is on the disk before `keep` returns, and a file is replaced whole or not at all."""

    def __init__(self, path):
        self.path, self.store = Path(path), Store()

    def recover(self) -> Registry:
        try:
            return Registry.recover(self.path.read_bytes())[0]
        except FileNotFoundError:
            return Registry()

    def keep(self, registry: Registry) -> None:
        frame = self.store.frame(registry)
        if frame is None:
            return
        try:
            if frame.replace:
                beside = self.path.with_suffix(".tmp")
                self.write(beside, "wb", frame.bytes)
                beside.replace(self.path)
                folder = os.open(self.path.parent, os.O_RDONLY)
                os.fsync(folder)
                os.close(folder)
            else:
                # Not created: without the frames before it, this one is worth nothing.
                self.write(self.path, "r+b", frame.bytes)
        except OSError:
            # Half of it may be there: the next frame replaces the file.
            self.store.failed()
            raise
        self.store.written()

    def write(self, path, mode, data):
        with path.open(mode) as file:
            file.seek(0, os.SEEK_END)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


class Entries:
    """An engine of keys and values."""

    def __init__(self):
        self.store = Store()

    def recover(self) -> Registry:
        return Registry.load(self.read())

    def keep(self, registry: Registry) -> None:
        writes = self.store.writes(registry)
        if writes is None:
            return
        self.write(writes.whole, writes.entries)
        self.store.written()


class Sqlite(Entries):
    """A table of SQLite."""

    def __init__(self, path):
        super().__init__()
        self.db = sqlite3.connect(path, check_same_thread=False)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.execute("CREATE TABLE IF NOT EXISTS callboard (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")

    def read(self):
        return self.db.execute("SELECT key, value FROM callboard").fetchall()

    def write(self, whole, entries):
        with self.db:
            if whole:
                self.db.execute("DELETE FROM callboard")
            kept = [(key, value) for key, value in entries if value is not None]
            self.db.executemany("INSERT INTO callboard VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", kept)
            self.db.executemany("DELETE FROM callboard WHERE key = ?", [(key,) for key, value in entries if value is None])


class Redis(Entries):
    """A hash of Redis, changed in transactions. How much a crash of Redis itself can lose is Redis' setting: `appendfsync always` loses nothing.

    pip install redis
    """

    def __init__(self, url, name="callboard"):
        import redis

        super().__init__()
        self.redis, self.name = redis.Redis.from_url(url, decode_responses=True), name

    def read(self):
        return list(self.redis.hgetall(self.name).items())

    def write(self, whole, entries):
        kept = {key: value for key, value in entries if value is not None}
        gone = [key for key, value in entries if value is None]
        with self.redis.pipeline(transaction=True) as all_at_once:
            if whole:
                all_at_once.delete(self.name)
            if kept:
                all_at_once.hset(self.name, mapping=kept)
            if gone:
                all_at_once.hdel(self.name, *gone)
            all_at_once.execute()


class Etcd(Entries):
    """Keys of etcd below a prefix, over its JSON gateway.

    pip install httpx
    """

    AT_ONCE = 100  # etcd takes 128 in a transaction

    def __init__(self, url, prefix="callboard/"):
        import httpx

        super().__init__()
        self.http, self.prefix = httpx.Client(base_url=url, timeout=5), prefix

    def read(self):
        found = self.call("kv/range", {"key": b64(self.prefix), "range_end": b64(self.prefix[:-1] + "0")})
        return [(unb64(one["key"]).removeprefix(self.prefix), unb64(one["value"])) for one in found.get("kvs", [])]

    def write(self, whole, entries):
        gone = []
        if whole:
            known = {key for key, _ in entries}
            gone = [(key, None) for key, _ in self.read() if key not in known]
        # The last of the entries tells how far the others reach, and stays the last.
        every = [*gone, *entries]
        for at in range(0, len(every), self.AT_ONCE):
            some = every[at : at + self.AT_ONCE]
            self.call("kv/txn", {"success": [self.operation(key, value) for key, value in some]})

    def operation(self, key, value):
        key = b64(self.prefix + key)
        return {"request_delete_range": {"key": key}} if value is None else {"request_put": {"key": key, "value": b64(value)}}

    def call(self, path, body):
        answer = self.http.post("/v3/" + path, content=json.dumps(body))
        answer.raise_for_status()
        return answer.json()


def b64(text):
    return base64.b64encode(text.encode()).decode()


def unb64(text):
    return base64.b64decode(text).decode()


def engine(url):
    """The engine of a URL: `file:PATH`, `sqlite:PATH`, `redis://...` or `etcd://HOST:PORT`."""
    scheme, _, rest = url.partition(":")
    match scheme:
        case "file":
            return File(rest)
        case "sqlite":
            return Sqlite(rest)
        case "redis":
            return Redis(url)
        case "etcd":
            return Etcd("http:" + rest)
    raise ValueError(f"no engine for {url!r}: file:PATH, sqlite:PATH, redis://HOST:PORT or etcd://HOST:PORT")
