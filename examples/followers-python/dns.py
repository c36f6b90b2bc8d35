"""Follows a service in DNS: its SRV records, over UDP and, once an answer was cut, over TCP. One JSON document a line tells
what came and who is there.

python dns.py 127.0.0.1 53 _http._tcp.web.example web
"""

import json
import secrets
import socket
import struct
import sys
import time

from callboard import Feed, Registry

host, port, name, service = sys.argv[1:]
registry = Registry()
feed = Feed("dns", format="dns", service=service, seed=secrets.randbits(32))
labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split("."))
question = struct.pack("!5H", 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, 33, 1)  # SRV
tcp = False


def ask(message: bytes) -> bytes:
    if tcp:
        with socket.create_connection((host, int(port)), timeout=5) as wire, wire.makefile("rb") as answer:
            wire.sendall(len(message).to_bytes(2, "big") + message)
            return answer.read(int.from_bytes(answer.read(2), "big"))
    with socket.socket(type=socket.SOCK_DGRAM) as wire:
        wire.settimeout(5)
        wire.connect((host, int(port)))
        wire.send(message)
        while (answer := wire.recv(65_535))[:2] != message[:2]:  # an answer to nothing that was asked
            pass
        return answer


while True:
    time.sleep(feed.next.after)
    try:
        fed = feed.push(registry, ask(secrets.token_bytes(2) + question))
        tcp = tcp or fed.next.resync is not None
        print(json.dumps({"urls": [instance.url for instance in registry.query(service).instances], **fed.to_dict()}), flush=True)
    except OSError as error:
        print(repr(error), file=sys.stderr)
        feed.failed()
