"""Follows a cluster of a control plane of Envoy, by its endpoint discovery over REST. One JSON document a line tells what
came and who is there.

python envoy.py http://127.0.0.1:18000 web 30
"""

import json
import secrets
import sys
import time

import httpx
from callboard import Feed, Registry

server, service, seconds = sys.argv[1:]
registry = Registry()
feed = Feed("eds", format="envoy", service=service, interval=float(seconds), seed=secrets.randbits(32))
http = httpx.Client(base_url=server, timeout=30, trust_env=False)
question = {
    "node": {"id": "callboard", "cluster": "callboard"},
    "type_url": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
    "resource_names": [service],
}

while True:
    time.sleep(feed.next.after)
    try:
        answer = http.post("/v3/discovery:endpoints", json=question, headers=feed.next.headers)
        fed = feed.push(registry, answer.content, status=answer.status_code, headers=dict(answer.headers))
        print(json.dumps({"urls": [instance.url for instance in registry.query(service).instances], **fed.to_dict()}), flush=True)
    except httpx.HTTPError as error:
        print(repr(error), file=sys.stderr)
        feed.failed()
