"""Follows the providers of an interface of Dubbo in ZooKeeper (`pip install kazoo`). One JSON document a line tells what came
and who is there.

python dubbo.py 127.0.0.1:2181 com.example.Orders
"""

import json
import secrets
import sys
import threading

from callboard import Feed, Registry
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException

servers, service = sys.argv[1:]
registry = Registry()
feed = Feed("zookeeper", format="dubbo", service=service, seed=secrets.randbits(32))
zookeeper = KazooClient(servers)
zookeeper.start()
news = threading.Event()


def changed(_event: object) -> None:
    news.set()


while True:
    news.wait(feed.next.after)
    news.clear()
    try:
        fed = feed.push(registry, json.dumps(zookeeper.get_children(f"/dubbo/{service}/providers", changed)))
        print(json.dumps({"urls": [instance.url for instance in registry.query(service).instances], **fed.to_dict()}), flush=True)
    except KazooException as error:
        print(repr(error), file=sys.stderr)
        feed.failed()
