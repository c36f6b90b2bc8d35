"""Follows the targets of a Prometheus http_sd endpoint. One JSON document a line tells what came and who is there.

python prometheus.py http://127.0.0.1:8080/targets node 30
"""

import json
import secrets
import sys
import time

import httpx
from callboard import Feed, Registry

url, service, seconds = sys.argv[1:]
registry = Registry()
feed = Feed("http_sd", format="prometheus", service=service, interval=float(seconds), seed=secrets.randbits(32))
http = httpx.Client(timeout=30, trust_env=False)

while True:
    time.sleep(feed.next.after)
    try:
        headers = {**feed.next.headers, "X-Prometheus-Refresh-Interval-Seconds": seconds}
        answer = http.get(url, headers=headers)
        fed = feed.push(registry, answer.content, status=answer.status_code, headers=dict(answer.headers))
        print(json.dumps({"urls": [instance.url for instance in registry.query(service).instances], **fed.to_dict()}), flush=True)
    except httpx.HTTPError as error:
        print(repr(error), file=sys.stderr)
        feed.failed()
