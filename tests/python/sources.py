"""Small servers that keep the rules of the registries' protocols, and can break them: what the followers are tried on."""

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from callboard import Registry, Wait


class Source:
    """What is there, guarded by a condition that every change notifies."""

    def __init__(self):
        self.changed = threading.Condition()
        self.broken = 0
        self.asked = []

    def change(self, **values):
        with self.changed:
            vars(self).update(values)
            self.changed.notify_all()

    def of(self, client, since=0):
        """What a client has asked, as time, path, query and the status it had."""
        with self.changed:
            return [question[1:] for question in self.asked[since:] if client in question[0]]

    def clients(self):
        with self.changed:
            return {question[0] for question in self.asked}

    def handle(self, client, path, query, headers, body):
        at = time.monotonic()
        with self.changed:
            answer = (self.broken, {}, b"broken") if self.broken else self.answer(path, query, headers, body)
            self.asked.append((client, at, path, query, answer[0]))
        return answer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        client = headers.get("user-agent", "rust").lower()
        query = dict(parse_qsl(url.query))
        with contextlib.suppress(OSError):
            status, answered, content = self.server.source.handle(client, url.path, query, headers, body)
            self.send_response(status)
            for name, value in answered.items():
                self.send_header(name, value)
            if isinstance(content, bytes):
                if status != 304:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                return
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in content:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")

    do_POST = do_GET

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serve(source):
    """Serves on a free port. Gives the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close, server.source = True, False, source
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class Board(Source):
    """Another callboard."""

    def __init__(self):
        super().__init__()
        self.registry = Registry()

    def answer(self, path, query, headers, body):
        text = "&".join(f"{name}={value}" for name, value in query.items())
        registry = self.registry
        reply = registry.handle("GET", path, text)
        while isinstance(reply, Wait):
            self.changed.wait(0.05)
            if self.registry is not registry:  # it was started anew
                return 503, {}, b"going down"
            reply = reply.resume()
        return reply.status, dict(reply.headers), reply.body


class Consul(Source):
    """`/v1/health/service/web` with blocking queries."""

    index, hosts = 10, ()

    def tell(self, *hosts, index=None):
        self.change(hosts=hosts, index=self.index + 1 if index is None else index)

    def answer(self, path, query, headers, body):
        assert path == "/v1/health/service/web", path
        if asked := int(query.get("index", 0)):
            self.changed.wait_for(lambda: self.broken or self.index != asked, int(query["wait"].removesuffix("s")))
        if self.broken:
            return self.broken, {}, b"No cluster leader"
        entries = [
            {
                "Node": {"Node": f"node-{host}", "Address": host},
                "Service": {"ID": "web-1", "Service": "web", "Address": host, "Port": 80},
                "Checks": [{"CheckID": "service:web-1", "Status": "passing"}],
            }
            for host in self.hosts
        ]
        return 200, {"X-Consul-Index": str(self.index)}, json.dumps(entries).encode()


class Prometheus(Source):
    """An `http_sd` endpoint with entity tags."""

    targets = ()

    def answer(self, path, query, headers, body):
        tag = f'"{hash(self.targets)}"'
        if headers.get("if-none-match") == tag:
            return 304, {"ETag": tag}, b""
        groups = [{"targets": list(self.targets), "labels": {"job": "web"}}]
        return 200, {"ETag": tag, "Content-Type": "application/json"}, json.dumps(groups).encode()


class Envoy(Source):
    """A control plane that answers endpoint discovery over REST."""

    hosts = ()

    def answer(self, path, query, headers, body):
        asked = json.loads(body)
        assert path == "/v3/discovery:endpoints" and asked["resource_names"] == ["web"] and asked["node"]["id"], asked
        one = [{"endpoint": {"address": {"socket_address": {"address": host, "port_value": 80}}}} for host in self.hosts]
        resource = {"@type": asked["type_url"], "cluster_name": "web", "endpoints": [{"lb_endpoints": one}]}
        return 200, {}, json.dumps({"version_info": "1", "resources": [resource]}).encode()


class Eureka(Source):
    """`/eureka/apps` and `/eureka/apps/delta`. What is changed in silence is missing from the delta."""

    def __init__(self, *hosts):
        super().__init__()
        self.hosts, self.delta, self.no_delta = list(hosts), [], 0

    def add(self, host, silent=False):
        self.change(hosts=[*self.hosts, host], delta=self.delta + [] if silent else [*self.delta, ("ADDED", host)])

    def remove(self, host):
        self.change(hosts=[one for one in self.hosts if one != host], delta=[*self.delta, ("DELETED", host)])

    def answer(self, path, query, headers, body):
        assert path in ("/eureka/apps", "/eureka/apps/delta") and "json" in headers["accept"], (path, headers)
        if path.endswith("delta") and self.no_delta:
            return self.no_delta, {}, b"delta is disabled"
        said = self.delta if path.endswith("delta") else [("ADDED", host) for host in self.hosts]
        instances = [
            {
                "instanceId": f"{host}:web:80",
                "app": "WEB",
                "hostName": host,
                "ipAddr": host,
                "status": "UP",
                "port": {"$": 80, "@enabled": "true"},
                "actionType": action,
            }
            for action, host in said
        ]
        apps = {"apps__hashcode": f"UP_{len(self.hosts)}_", "application": [{"name": "WEB", "instance": instances}]}
        return 200, {"Content-Type": "application/json"}, json.dumps({"applications": apps}).encode()


class Nacos(Source):
    """The lists of instances of API v2. One that protects itself calls everybody healthy."""

    hosts, ill, protects, missing = (), (), False, False

    def answer(self, path, query, headers, body):
        assert (path, query) == ("/nacos/v2/ns/instance/list", {"serviceName": "web"}), (path, query)
        if self.missing:
            return 200, {}, json.dumps({"code": 20004, "message": "resource not found", "data": None}).encode()
        hosts = [
            {
                "instanceId": f"{host}#80#DEFAULT#DEFAULT_GROUP@@web",
                "ip": host,
                "port": 80,
                "weight": 1.0,
                "healthy": self.protects or host not in self.ill,
                "enabled": True,
                "clusterName": "DEFAULT",
                "serviceName": "DEFAULT_GROUP@@web",
                "metadata": {},
            }
            for host in self.hosts
        ]
        told = {"name": "DEFAULT_GROUP@@web", "cacheMillis": 1_000, "hosts": hosts, "reachProtectionThreshold": self.protects}
        return 200, {}, json.dumps({"code": 0, "message": "success", "data": told}).encode()


class Kubernetes(Source):
    """EndpointSlices of the service `web`: a list, and a watch that forgets and ends when it is told to."""

    def __init__(self):
        super().__init__()
        self.version, self.slices, self.log, self.oldest, self.round, self.gone = 100, {}, [], 0, 0, None

    def put(self, name, *hosts, kind="MODIFIED"):
        version = self.version + 1
        told = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": name,
                "namespace": "shop",
                "resourceVersion": str(version),
                "labels": {"kubernetes.io/service-name": "web"},
            },
            "addressType": "IPv4",
            "ports": [{"port": 80}],
            "endpoints": [{"addresses": [host], "conditions": {"ready": True}} for host in hosts],
        }
        slices = {key: value for key, value in self.slices.items() if key != name}
        if kind != "DELETED":
            slices[name] = told
        self.change(version=version, slices=slices, log=[*self.log, (version, {"type": kind, "object": told})])

    def bookmark(self):
        version = self.version + 1
        told = {"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "metadata": {"resourceVersion": str(version)}}
        self.change(version=version, log=[*self.log, (version, {"type": "BOOKMARK", "object": told})])

    def end_watches(self):
        self.change(round=self.round + 1)

    def forget(self, how, *put, **more):
        """Ends the watches, makes a change, and forgets all before it."""
        with self.changed:
            self.end_watches()
            self.put(*put, **more)
            self.change(gone=how, oldest=self.version)

    def answer(self, path, query, headers, body):
        assert path == "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices", path
        assert query["labelSelector"] == "kubernetes.io/service-name=web", query
        if "watch" not in query:
            slices = {"kind": "EndpointSliceList", "metadata": {"resourceVersion": str(self.version)}, "items": list(self.slices.values())}
            return 200, {}, json.dumps(slices).encode()
        since = int(query["resourceVersion"])
        gone = {"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410}
        if since < self.oldest and self.gone == "status":
            return 410, {}, b""
        if since < self.oldest:
            return 200, {}, [json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n"]
        return 200, {}, self.watch(since, self.round)

    def watch(self, since, began):
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.round != began or self.version > since)
                news = [(version, event) for version, event in self.log if version > since]
                over = self.round != began
            for version, event in [] if over else news:
                yield json.dumps(event).encode() + b"\n"
                since = version
            if over:
                return
