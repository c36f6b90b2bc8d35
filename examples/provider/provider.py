"""A provider as small as a user would write: it serves HTTP, and it is on the callboard while it lives.

    CALLBOARD=http://127.0.0.1:7400 python provider.py --id billing-1

Nothing but Python's standard library: a provider needs no package of ours, only four HTTP requests.
"""

import argparse, json, os, signal, threading, time, urllib.error, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
options.add_argument("--registry", default=os.environ.get("CALLBOARD", "http://127.0.0.1:7400"))
options.add_argument("--service", default="billing")
options.add_argument("--id", required=True)
options.add_argument("--port", type=int, default=0, help="0: any free one")
options.add_argument("--version", default="1.0.0")
options.add_argument("--zone", default="")
options.add_argument("--ttl", type=float, default=30.0, help="seconds without a heartbeat until others avoid us")
options.add_argument("--grace", type=float, default=15.0, help="seconds after that until we are taken off the board")
options = options.parse_args()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps({"id": options.id, "version": options.version, "path": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
leaving = threading.Event()
registration = {
    "endpoints": [f"http://127.0.0.1:{server.server_port}"],
    "version": options.version,
    "locality": {"zone": options.zone},
    "ttl": options.ttl,
    "grace": options.grace,
    "incarnation": time.time_ns() // 1_000_000,  # larger in a later life of this id, so that the old one cannot undo us
}


def registry(method, action="", document=None):
    url = f"{options.registry}/v1/instances/default/{options.service}/{options.id}{action}"
    request = urllib.request.Request(url, json.dumps(document).encode() if document else None, method=method)
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=5) as response:
        return json.load(response)


def stay_on_the_board():
    """Signs in, then beats four times a ttl; a registry that forgot us gets the registration again."""
    known = False
    while not leaving.is_set():
        try:
            if known:
                registry("POST", f"/renew?incarnation={registration['incarnation']}")
            else:
                registry("PUT", document=registration)
                known = True
        except urllib.error.HTTPError as error:
            known = known and error.code != 404
            print(f"{options.id}: the registry answers {error.code}: {error.read().decode()}", flush=True)
        except OSError as error:
            print(f"{options.id}: no registry, still serving: {error}", flush=True)
        leaving.wait(options.ttl / 4)


def leave(*_):
    leaving.set()


signal.signal(signal.SIGTERM, leave)
signal.signal(signal.SIGINT, leave)
threading.Thread(target=server.serve_forever, daemon=True).start()
stay_on_the_board()
try:
    registry("DELETE", f"?incarnation={registration['incarnation']}")
except OSError as error:
    print(f"{options.id}: could not sign off, the lease will end by itself: {error}", flush=True)
time.sleep(0.5)  # who has not heard yet is still served
server.shutdown()
