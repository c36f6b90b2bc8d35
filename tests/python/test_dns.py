"""Real DNS as the judge: a dnsmasq answers what we decode and follow, and a dig reads what we encode."""

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import threading
import time

import pytest

from callboard import Balancer, Feed, Registry, decode, encode

ANY, A, SRV = 255, 1, 33
WEB = "_http._tcp.web.example"


def program(name):
    """Debian keeps servers where the path of a user may not lead."""
    found = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/usr/local/sbin"]))
    assert found, f"{name} is missing: cargo xtask setup"
    return found


def free_port():
    """A port that is free for UDP and for TCP."""
    while True:
        with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind(("127.0.0.1", 0))
            with contextlib.suppress(OSError):
                tcp.bind(udp.getsockname())
                return udp.getsockname()[1]


def question(name, kind):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, kind, 1)


def over_udp(port, message):
    with socket.socket(type=socket.SOCK_DGRAM) as wire:
        wire.settimeout(5)
        wire.connect(("127.0.0.1", port))
        wire.send(message)
        return wire.recv(65_535)


def over_tcp(port, message):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as wire:
        wire.sendall(len(message).to_bytes(2, "big") + message)
        with wire.makefile("rb") as answer:
            return answer.read(int.from_bytes(answer.read(2), "big"))


@contextlib.contextmanager
def dnsmasq(*settings, port=None):
    """A dnsmasq that knows these records and nobody else to ask."""
    port = port or free_port()
    command = [program("dnsmasq"), "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--local=/example/", "--local-ttl=7"]
    command += [f"--port={port}", "--listen-address=127.0.0.1", "--bind-interfaces", *settings]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
        try:
            until = time.monotonic() + 30
            while True:
                try:
                    over_udp(port, question("ready.example", A))
                    break
                except OSError:
                    assert server.poll() is None and time.monotonic() < until, server.stdout.read().decode()
                    time.sleep(0.05)
            yield port
        finally:
            server.terminate()


def service(target, port, priority=0, weight=1):
    return f"--srv-host={WEB},{target}.web.example,{port},{priority},{weight}"


def host(name, *addresses):
    return f"--host-record={name}.web.example,{','.join(addresses)}"


def urls(registry):
    return {one.id: [str(endpoint) for endpoint in one.endpoints] for one in registry.query("web").instances}


def test_the_services_of_dnsmasq_are_followed():
    registry, feed = Registry(), Feed("dns", format="dns", service="web")
    first = [service("a", 8080, weight=10), host("a", "10.0.0.1", "fd00::1"), service("b", 8081, priority=3, weight=30), host("b", "10.0.0.2")]
    with dnsmasq(*first, service("c", 0), "--txt-record=c.web.example,zone=z1,env=prod") as port:
        fed = feed.push(registry, over_udp(port, question(WEB, SRV)), now=0)
        assert (fed.added, fed.problem, fed.skipped) == (3, None, ())
        # The time to live is 7 s for all of it.
        assert 6.3 <= fed.next.after <= 7.7
        assert urls(registry) == {
            "a.web.example:8080": ["http://10.0.0.1:8080", "http://[fd00::1]:8080"],
            "b.web.example:8081": ["http://10.0.0.2:8081"],
            "c.web.example": ["http://c.web.example"],
        }
        told = {one.id: (one.weight, one.metadata.get("priority")) for one in registry.query("web").instances}
        assert told == {"a.web.example:8080": (10, None), "b.web.example:8081": (30, "3"), "c.web.example": (1, None)}
        names = Balancer(registry, "web", policy={"preset": "round-robin", "levels": {}})
        assert {names.pick(now=0).instance.id for _ in range(9)} == {"a.web.example:8080", "c.web.example"}
        assert feed.push(registry, over_tcp(port, question(WEB, SRV)), now=1).removed == 0
        nothing = Feed("other", format="dns", service="shop").push(registry, over_udp(port, question("_http._tcp.shop.example", SRV)), now=1)
        assert (nothing.problem, nothing.added, nothing.removed) == (None, 0, 0)
    with pytest.raises(OSError):
        over_udp(port, question(WEB, SRV))
    feed.failed(now=2)
    assert len(urls(registry)) == 3
    with dnsmasq(*first) as port:
        assert feed.push(registry, over_udp(port, question(WEB, SRV)), now=3).removed == 1
    with dnsmasq() as port:
        # Nobody at all is doubted first.
        fed = feed.push(registry, over_udp(port, question(WEB, SRV)), now=4)
        assert (fed.held, fed.removed, fed.problem, len(urls(registry))) == (2, 0, None, 2)


def test_what_dnsmasq_cuts_is_asked_for_again_over_tcp():
    registry, feed = Registry(), Feed("dns", format="dns", service="web")
    targets = [f"h{number}" for number in range(60)]
    with dnsmasq(*[service(target, 80) for target in targets], *[host(target, f"10.0.1.{at}") for at, target in enumerate(targets)]) as port:
        fed = feed.push(registry, over_udp(port, question(WEB, SRV)), now=0)
        assert fed.added < 60 and fed.stale and "TCP" in fed.next.resync
        fed = feed.push(registry, over_tcp(port, question(WEB, SRV)), now=1)
        assert (len(urls(registry)), fed.next.resync, fed.stale) == (60, None, False)
        # What is cut again removes nobody.
        assert feed.push(registry, over_udp(port, question(WEB, SRV)), now=2).removed == 0


def test_addresses_aliases_and_discovery_of_dnsmasq():
    kind = "_http._tcp.example"
    settings = [host("a", "10.0.0.1", "fd00::1"), "--cname=www.example,a.web.example", f"--ptr-record={kind},desk.{kind}"]
    with dnsmasq(*settings, f"--srv-host=desk.{kind},a.web.example,80", f"--txt-record=desk.{kind},path=/,Secure") as port:
        ids = lambda name, kind: [one["id"] for one in decode(over_udp(port, question(name, kind)), "dns", service="web")["instances"]]
        assert ids("a.web.example", A) == ids("www.example", A) == ["10.0.0.1"]
        assert ids("a.web.example", 28) == ["fd00::1"]
        # dnsmasq tells the instances, and not where they are: what is on record of them stays.
        told = decode(over_udp(port, question(kind, 12)), "dns")
        assert [entry["id"] for entry in told["skipped"]] + [one["id"] for one in told["instances"]] == ["desk"]
        one = decode(over_udp(port, question(f"desk.{kind}", SRV)), "dns")["instances"]
        assert [(own["id"], own["endpoints"][0]["host"]) for own in one] == [("a.web.example:80", "10.0.0.1")]


@contextlib.contextmanager
def responder(message):
    """Answers every question with this message under the question's own id."""
    with socket.socket(type=socket.SOCK_DGRAM) as wire:
        wire.bind(("127.0.0.1", 0))

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    asked, peer = wire.recvfrom(4_096)
                    wire.sendto(asked[:2] + message[2:], peer)

        threading.Thread(target=serve, daemon=True).start()
        yield wire.getsockname()[1]


def dig(port, name, kind):
    """The records of each section, without the comments."""
    command = [program("dig"), "@127.0.0.1", "-p", str(port), name, kind, "+norecurse", "+noedns", "+ignore", "+tries=1", "+time=5"]
    said = subprocess.run([*command, "+nostats"], capture_output=True, text=True, check=True, timeout=30).stdout
    assert "WARNING" not in said and "Warning" not in said and "NOERROR" in said, said
    sections = {}
    for line in said.splitlines():
        if line.startswith(";; ") and line.endswith(" SECTION:"):
            records = sections.setdefault(line.split()[1], [])
        elif line and not line.startswith(";"):
            records.append(line.split(maxsplit=4))
    return sections


def test_dig_reads_what_we_write():
    instances = [
        {"service": "web", "id": "a1", "endpoints": ["http://10.0.0.1:8080", "http://[fd00::1]:8080"], "weight": 3, "metadata": {"priority": "2"}},
        {"service": "web", "id": "Node/2", "endpoints": ["http://10.0.0.2:8080"], "version": "1.2.0", "metadata": {"env": 'the "big" one'}},
        {"service": "web", "id": "api.example.net:443", "endpoints": ["http://api.example.net:443"]},
        {"service": "web", "id": "ill", "endpoints": ["http://10.0.0.3:8080"], "health": "unhealthy"},
    ]
    with responder(encode("dns", instances)) as port:
        said = dig(port, "_http._tcp.web", "SRV")
    owners, ttls, classes, kinds, answers = zip(*said["ANSWER"])
    assert (set(owners), set(ttls), set(classes), set(kinds)) == ({"_http._tcp.web."}, {"5"}, {"IN"}, {"SRV"})
    hashed = answers[1].split()[3]
    assert sorted(answers) == sorted(["2 3 8080 a1.web.", f"0 1 8080 {hashed}", "0 1 443 api.example.net."])
    assert sorted((owner, kind, data) for owner, _, _, kind, data in said["ADDITIONAL"]) == sorted([
        ("a1.web.", "A", "10.0.0.1"),
        ("a1.web.", "AAAA", "fd00::1"),
        ("a1.web.", "TXT", '"callboard-id=a1"'),
        (hashed, "A", "10.0.0.2"),
        (hashed, "TXT", '"callboard-id=Node/2" "version=1.2.0" "env=the \\"big\\" one"'),
    ])


def test_dig_reads_a_hundred_of_ours():
    instances = [
        {"service": "web", "id": f"web-{at}", "endpoints": [f"http://10.0.2.{at}:80"], "metadata": {"env": "prod"}} for at in range(100)
    ]
    message = encode("dns", instances)
    with responder(message) as port:
        said = dig(port, "_http._tcp.web", "SRV")
    assert (len(said["ANSWER"]), len(said["ADDITIONAL"])) == (100, 200)
    back = decode(message, "dns")["instances"]
    assert [(own["id"], own["metadata"]) for own in back] == [(own["id"], own["metadata"]) for own in instances]
