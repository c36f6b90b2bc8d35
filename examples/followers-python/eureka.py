"""Follows an application of Eureka, by deltas. One JSON document a line tells what came and who is there.

python eureka.py http://127.0.0.1:8761/eureka WEB 30
"""

import json
import secrets
import sys
import time

import httpx
from callboard import Feed, Registry

server, service, seconds = sys.argv[1:]
registry = Registry()
# The hash of a delta is that of all applications, so all of them are followed.
feed = Feed("eureka", format="eureka-apps", interval=float(seconds), seed=secrets.randbits(32))
http = httpx.Client(base_url=server, timeout=30, trust_env=False, headers={"Accept": "application/json"})

while True:
    time.sleep(feed.next.after)
    try:
        answer = http.get("/apps/delta" if feed.next.ask == "delta" else "/apps")
        fed = feed.push(registry, answer.content, status=answer.status_code, headers=dict(answer.headers))
        print(json.dumps({"urls": [instance.url for instance in registry.query(service).instances], **fed.to_dict()}), flush=True)
    except httpx.HTTPError as error:
        print(repr(error), file=sys.stderr)
        feed.failed()
