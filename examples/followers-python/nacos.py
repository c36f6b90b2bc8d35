"""Follows a service in Nacos, by its lists of instances. One JSON document a line tells what came and who is there.

python nacos.py http://127.0.0.1:8848 web
"""

import json
import secrets
import sys
import time

import httpx
from callboard import Feed, Registry

server, service = sys.argv[1:]
registry = Registry()
# How often to ask is told by the server.
feed = Feed("nacos", format="nacos", service=service, seed=secrets.randbits(32))
http = httpx.Client(base_url=server, timeout=30, trust_env=False)

while True:
    time.sleep(feed.next.after)
    try:
        answer = http.get(f"/nacos/v2/ns/instance/list?serviceName={service}")
        fed = feed.push(registry, answer.content, status=answer.status_code, headers=dict(answer.headers))
        print(json.dumps({"urls": [instance.url for instance in registry.query(service).instances], **fed.to_dict()}), flush=True)
    except httpx.HTTPError as error:
        print(repr(error), file=sys.stderr)
        feed.failed()
