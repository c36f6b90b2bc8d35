"""Follows a service of Curator's discovery in ZooKeeper (`pip install kazoo`). One JSON document a line tells what came and
who is there.

python curator.py 127.0.0.1:2181 /services web
"""

import json
import secrets
import sys
import threading

from callboard import Feed, Registry
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException

servers, base, service = sys.argv[1:]
registry = Registry()
feed = Feed("zookeeper", format="curator", service=service, seed=secrets.randbits(32))
zookeeper = KazooClient(servers)
zookeeper.start()
news = threading.Event()


def changed(_event: object) -> None:
    news.set()


while True:
    news.wait(feed.next.after)
    news.clear()
    try:
        ids = zookeeper.get_children(f"{base}/{service}", changed)
        nodes = [zookeeper.get(f"{base}/{service}/{id}", changed)[0] for id in ids]
        fed = feed.push(registry, b"[" + b",".join(nodes) + b"]")
        print(json.dumps({"urls": [instance.url for instance in registry.query(service).instances], **fed.to_dict()}), flush=True)
    except KazooException as error:
        print(repr(error), file=sys.stderr)
        feed.failed()
