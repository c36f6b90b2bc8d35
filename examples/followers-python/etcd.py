"""Follows a service in etcd: a range, and a watch from there on, over the JSON gateway. One JSON document a line tells what
came and who is there. The second argument is whose values they are: kratos, micro (Go Micro), grpc (gRPC's resolver) or
zero (go-zero).

python etcd.py http://127.0.0.1:2379 kratos web
"""

import json
import secrets
import sys
import time
from base64 import b64encode
from urllib.parse import parse_qsl

import httpx
from callboard import Feed, Registry

server, family, service = sys.argv[1:]
registry = Registry()
feed = Feed("etcd", format=f"etcd-{family}", service=service, seed=secrets.randbits(32))
path = {"kratos": "/microservices/", "micro": "/micro/registry/"}.get(family, "") + service
first, end = (b64encode(key.encode()).decode() for key in (path + "/", path + "0"))  # "0" comes after "/"
keys = {"key": first, "range_end": end}
http = httpx.Client(base_url=server, timeout=90, trust_env=False)

while True:
    time.sleep(feed.next.after)
    try:
        watch = feed.next.ask == "watch"
        question = {"create_request": {**keys, **dict(parse_qsl(feed.next.query))}} if watch else keys
        with http.stream("POST", "/v3/watch" if watch else "/v3/kv/range", json=question) as answer:
            for part in answer.iter_lines() if watch and answer.is_success else [answer.read()]:
                fed = feed.push(registry, part, status=answer.status_code)
                print(json.dumps({"urls": [instance.url for instance in registry.query(service).instances], **fed.to_dict()}), flush=True)
                if fed.problem or fed.next.resync:
                    break
            else:
                if watch:  # it has ended
                    feed.failed()
    except httpx.HTTPError as error:
        print(repr(error), file=sys.stderr)
        feed.failed()
