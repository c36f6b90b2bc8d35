"""Engines that keep a registry: a file, SQLite, Redis, etcd, NATS.

An engine has two methods: `recover` gives the registry that it holds, `keep` writes what has changed. What is to be written is callboard's decision (`Store`);
these classes bring the file and the connection. After `keep` has returned, a change may be acknowledged.

Redis and etcd let go of an instance by themselves when no server has said for the length of its lease that it is still there: who died while no server ran is
not there when one comes back. What stands below our prefix and is not ours, or is damaged, is told on stderr and left as it is.
"""

import asyncio
import base64
import json
import os
import sqlite3
import sys
import threading
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
        registry, skipped = Registry.load(self.read())
        for unread in skipped:
            print(f"{unread.key} is left alone: {unread.error['code']}", file=sys.stderr)
        return registry

    def keep(self, registry: Registry) -> None:
        while writes := self.store.writes(registry):
            if not all([self.refresh(ttl) for ttl in writes.refresh]):
                # The engine has let go of what it was not told of in time: all of it again.
                self.store.failed()
                continue
            gone = self.store.leftovers(registry, self.read()) if writes.whole else []
            if entries := [*((key, None, None) for key in gone), *writes.entries]:
                self.write(entries)
            self.store.written()

    def refresh(self, ttl) -> bool:
        """The keys that were written with this ttl are to be kept that long from now on. Whether they are there."""
        return True


class Sqlite(Entries):
    """A table of SQLite. It keeps everything until it is told otherwise."""

    def __init__(self, path):
        super().__init__()
        self.db = sqlite3.connect(path, check_same_thread=False)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.execute("CREATE TABLE IF NOT EXISTS callboard (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")

    def read(self):
        return self.db.execute("SELECT CAST(key AS TEXT), CAST(value AS BLOB) FROM callboard").fetchall()

    def write(self, entries):
        with self.db:
            kept = [(key, value) for key, value, _ in entries if value is not None]
            self.db.executemany("DELETE FROM callboard WHERE key = ?", [(key,) for key, value, _ in entries if value is None])
            self.db.executemany("INSERT INTO callboard VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", kept)


class Redis(Entries):
    """Hashes of Redis, changed in transactions: one for what stays, and one for each ttl, `NAME:TTL`, which expires as a whole (the fields of a hash can do so by
    themselves only from Redis 7.4 on). How much a crash of Redis itself can lose is Redis' setting: `appendfsync always` loses nothing.

    pip install redis
    """

    def __init__(self, url, name="callboard"):
        import redis

        super().__init__()
        self.redis, self.name, self.hashes = redis.Redis.from_url(url), name, {name}

    def read(self):
        self.hashes |= {found.decode() for found in self.redis.scan_iter(self.name + ":*", _type="hash")}
        fields = [pair for one in sorted(self.hashes) for pair in self.redis.hgetall(one).items()]
        return [(readable(key), value) for key, value in fields if key]

    def write(self, entries):
        places = {None: self.name, **{ttl: f"{self.name}:{ttl}" for _, _, ttl in entries if ttl}}
        self.hashes |= set(places.values())
        keys = [key for key, _, _ in entries]
        with self.redis.pipeline(transaction=True) as all_at_once:
            # A lease may have been another before.
            for one in self.hashes:
                all_at_once.hdel(one, *keys)
            for ttl, place in places.items():
                kept = {key: value for key, value, own in entries if own == ttl and value is not None}
                if kept and ttl:
                    # With a field of no name a hash is there also when nobody is.
                    all_at_once.hset(place, mapping={"": "", **kept}).expire(place, ttl)
                elif kept:
                    all_at_once.hset(place, mapping=kept)
            all_at_once.execute()

    def refresh(self, ttl):
        return bool(self.redis.expire(f"{self.name}:{ttl}", ttl))


class Etcd(Entries):
    """Keys of etcd below a prefix, over its JSON gateway. What has a ttl hangs on a lease of etcd's, one for each ttl.

    pip install httpx
    """

    AT_ONCE = 100  # etcd takes 128 in a transaction

    def __init__(self, url, prefix="callboard/"):
        import httpx

        super().__init__()
        self.http, self.prefix, self.leases = httpx.Client(base_url=url, timeout=5, trust_env=False), prefix, {}

    def read(self):
        found = self.call("kv/range", {"key": b64(self.prefix), "range_end": b64(self.prefix[:-1] + "0")})
        pairs = [(base64.b64decode(one["key"]), base64.b64decode(one.get("value", ""))) for one in found.get("kvs", [])]
        return [(readable(key).removeprefix(self.prefix), value) for key, value in pairs]

    def write(self, entries):
        for ttl in {ttl for _, _, ttl in entries if ttl and ttl not in self.leases}:
            self.leases[ttl] = self.call("lease/grant", {"TTL": ttl})["ID"]
        # The last of the entries tells how far the others reach, and stays the last.
        for at in range(0, len(entries), self.AT_ONCE):
            self.call("kv/txn", {"success": [self.operation(*entry) for entry in entries[at : at + self.AT_ONCE]]})

    def operation(self, key, value, ttl):
        key = b64(self.prefix + key)
        if value is None:
            return {"request_delete_range": {"key": key}}
        return {"request_put": {"key": key, "value": b64(value), "lease": self.leases[ttl] if ttl else 0}}

    def refresh(self, ttl):
        there = ttl in self.leases and int(self.call("lease/keepalive", {"ID": self.leases[ttl]})["result"].get("TTL", 0)) > 0
        if not there:
            self.leases.clear()
        return there

    def call(self, path, body):
        answer = self.http.post("/v3/" + path, content=json.dumps(body))
        if "lease not found" in answer.text:
            # It has ended between two of our words: everything again, on new ones.
            self.leases.clear()
            self.store.failed()
        answer.raise_for_status()
        return answer.json()


class Nats(Entries):
    """A key-value bucket of NATS JetStream. It takes one key at a time, and keeps each until it is told otherwise: a key has a ttl of its own only from NATS
    2.11 on, and that of a bucket counts from when a key was written, so that every instance would have to be written again and again.

    pip install nats-py
    """

    AT_ONCE = 100

    def __init__(self, url, bucket="callboard"):
        super().__init__()
        self.url, self.name, self.bucket = url, bucket, None
        # The client lives on asyncio; a thread of its own waits for nobody's loop.
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def read(self):
        return self.on_loop(self.read_all())

    def write(self, entries):
        self.on_loop(self.write_all(entries))

    def on_loop(self, work):
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, 30), self.loop).result()

    async def open(self):
        import nats
        from nats.js.errors import BucketNotFoundError

        if self.bucket is None:
            patience = {"connect_timeout": 2, "max_reconnect_attempts": -1, "reconnect_time_wait": 0.2}
            # What cannot be read or written is told where that is tried.
            self.client = await nats.connect(self.url, error_cb=nothing, **patience)
            stream = self.client.jetstream(timeout=2)
            try:
                self.bucket = await stream.key_value(self.name)
            except BucketNotFoundError:
                self.bucket = await stream.create_key_value(bucket=self.name, history=1)
        return self.bucket

    async def read_all(self):
        bucket = await self.open()
        found, watch = [], await bucket.watchall(ignore_deletes=True)
        # After all that is there comes a None.
        while entry := await watch.updates(timeout=5):
            found.append((entry.key, entry.value))
        await watch.stop()
        return found

    async def write_all(self, entries):
        bucket = await self.open()

        async def write(key, value, _):
            # What is gone leaves a mark of a few bytes.
            await (bucket.delete(key) if value is None else bucket.put(key, value.encode()))

        # The last of the entries tells how far the others reach, and comes last.
        *others, last = entries
        for at in range(0, len(others), self.AT_ONCE):
            await asyncio.gather(*(write(*entry) for entry in others[at : at + self.AT_ONCE]))
        await write(*last)


async def nothing(_):
    pass


def b64(text):
    return base64.b64encode(text.encode()).decode()


def readable(key):
    return key.decode(errors="backslashreplace")


def engine(url):
    """The engine of a URL: `file:PATH`, `sqlite:PATH`, `redis://...`, `etcd://HOST:PORT` or `nats://...`."""
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
        case "nats":
            return Nats(url)
    raise ValueError(f"no engine for {url!r}: file:PATH, sqlite:PATH, redis://HOST:PORT, etcd://HOST:PORT or nats://HOST:PORT")
