"""Replays a recording of the demo (`cargo xtask demo` says what is in it) and prints what each policy chose."""

import json
import sys

from callboard import Balancer, Error, Query, Registry
from follow import Follower

with open(sys.argv[1], encoding="utf-8") as log:
    header, *events = map(json.loads, log)

for policy in header["policies"]:
    registry = Registry(allow_local_addresses=True, seed=header["seed"])
    balancer = Balancer(registry, Query(header["service"], namespace=header["namespace"]), policy=policy, seed=header["seed"])
    follower = Follower(registry, header["namespace"], header["service"], header["source"])
    picks, running = [], {}
    for event in events:
        now = event["at"]
        if event["do"] == "feed":
            follower.feed(json.dumps(event["answer"]).encode(), now=now)
        elif event["do"] == "pick":
            try:
                pick = running[event["call"]] = balancer.pick(key=event["key"], now=now)
                picks.append(pick.instance.id)
            except Error as error:
                picks.append(error.code)
        elif pick := running.pop(event["call"], None):
            pick.finish(ok=event["ok"], now=now)
    print(json.dumps({"policy": policy, "picks": picks}))
