"""How a consumer follows the board: the registry server's answers, kept in a registry of its own."""

import json

from callboard import Registry


class Follower:
    """Keeps `registry` equal to what the server says of one service."""

    def __init__(self, registry: Registry, namespace: str, service: str, source: str = "callboard") -> None:
        self.registry, self.namespace, self.service, self.source = registry, namespace, service, source
        self.since = ""

    def path(self, wait: float) -> str:
        """What to ask next: answered at once when something is new, and after `wait` seconds at the latest."""
        return f"/v1/instances/{self.namespace}/{self.service}?wait={wait:g}{self.since}"

    def feed(self, body: bytes, now: int | None = None) -> None:
        """Takes an answer."""
        self.registry.feed(self.source, body, format="callboard", namespace=self.namespace, service=self.service, now=now)
        answer = json.loads(body)
        self.since = f"&epoch={answer['epoch']}&revision={answer['revision']}"
