"""Follows a service at another callboard, by long polls. One JSON document a line tells what came and who is there.

python board.py http://127.0.0.1:7400 web
"""

import json
import secrets
import sys
import time

import httpx
from callboard import Feed, Registry

server, service = sys.argv[1:]
registry = Registry()
feed = Feed("callboard", format="callboard", service=service, seed=secrets.randbits(32))
http = httpx.Client(base_url=server, timeout=90, trust_env=False)

while True:
    time.sleep(feed.next.after)
    try:
        answer = http.get(f"/v1/instances/default/{service}?{feed.next.query}")
        fed = feed.push(registry, answer.content, status=answer.status_code, headers=dict(answer.headers))
        print(json.dumps({"urls": [instance.url for instance in registry.query(service).instances], **fed.to_dict()}), flush=True)
    except httpx.HTTPError as error:
        print(repr(error), file=sys.stderr)
        feed.failed()
