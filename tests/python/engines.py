"""Engines that keep state, as their packages have them: started on free ports of the loopback, killed, and started again on what they have on disk."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time

import httpx

PATIENCE = 90  # seconds; the longest wait of a follower between two vain questions is 22.5
ENV = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(done, what):
    start = time.monotonic()
    while not done():
        assert time.monotonic() - start < PATIENCE, f"waited in vain for {what}"
        time.sleep(0.05)


class Engine:
    """A program with a folder of its own."""

    program = ""

    def __init__(self, folder):
        self.folder, self.port, self.process = folder, free_port(), None
        self.binary = shutil.which(self.program)
        assert self.binary, f"{self.program} is missing: cargo xtask setup"

    def start(self):
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([self.binary, *self.flags()], cwd=self.folder, stdout=log, stderr=log)
        wait_for(self.is_up, self.program)
        return self

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Etcd(Engine):
    program = "etcd"

    def __init__(self, folder):
        super().__init__(folder)
        self.url, self.peer = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{free_port()}"
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=30)

    def flags(self):
        addresses = {"listen-client": self.url, "advertise-client": self.url, "listen-peer": self.peer, "initial-advertise-peer": self.peer}
        flags = [f"--{name}-urls={url}" for name, url in addresses.items()]
        return [f"--data-dir={self.folder}/data", f"--initial-cluster=default={self.peer}", *flags]

    def is_up(self):
        with contextlib.suppress(httpx.HTTPError):
            return self.http.post("/v3/kv/range", json={"key": "YQ=="}).status_code == 200


class Redis(Engine):
    program = "redis-server"

    def flags(self):
        return ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "always"]

    def is_up(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(7) == b"+PONG\r\n"


class Nats(Engine):
    program = "nats-server"

    def flags(self):
        return ["-js", "-a", "127.0.0.1", "-p", str(self.port), "-sd", str(self.folder / "data")]

    def is_up(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            return connection.recv(5) == b"INFO "
