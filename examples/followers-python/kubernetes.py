"""Follows a service of Kubernetes: a list, and a watch from there on. One JSON document a line tells what came and who is there.

kubectl proxy & python kubernetes.py http://127.0.0.1:8001 default web
"""

import json
import secrets
import sys
import time

import httpx
from callboard import Feed, Registry

server, namespace, service = sys.argv[1:]
registry = Registry()
feed = Feed("kubernetes", format="kubernetes", service=service, seed=secrets.randbits(32))
slices = f"{server}/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector=kubernetes.io/service-name={service}"
http = httpx.Client(timeout=90, trust_env=False)

while True:
    time.sleep(feed.next.after)
    try:
        watch = feed.next.ask == "watch"
        with http.stream("GET", f"{slices}&{feed.next.query}") as answer:
            for part in answer.iter_lines() if watch and answer.is_success else [answer.read()]:
                fed = feed.push(registry, part, status=answer.status_code, headers=dict(answer.headers))
                print(json.dumps({"urls": [instance.url for instance in registry.query(service).instances], **fed.to_dict()}), flush=True)
                if fed.problem or fed.next.resync:
                    break
            else:
                if watch:  # it has ended
                    feed.failed()
    except httpx.HTTPError as error:
        print(repr(error), file=sys.stderr)
        feed.failed()
