# Written by hand, checked against the module by mypy's stubtest.
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Literal, final

from typing_extensions import Self, TypeAlias

from ._types import Advanced, AdminState, Answer, Ask, Changes, Delta, Endpoint, Fed, Frame, Health, Instance, Locality, Next, Position, Reconciled, Registered, Response, Told, Unread, Writes
from ._watch import Watch
from .policy import Policy

__all__ = ["Balancer", "Feed", "Pick", "Place", "Query", "Registry", "Replica", "Server", "Store", "View", "Wait", "__VERSION__", "codes", "decode", "encode", "is_heartbeat", "is_repeatable", "now", "proof"]

__VERSION__: Final[str]

_Document: TypeAlias = Mapping[str, Any]
_Asked: TypeAlias = Query | str | _Document
_Format: TypeAlias = Literal["callboard", "consul-health", "consul-query", "consul-catalog", "consul-services", "consul-agent", "prometheus",
    "curator", "dns", "dubbo", "dubbo-metadata", "envoy", "etcd-grpc", "etcd-kratos", "etcd-micro", "etcd-zero", "eureka-app", "eureka-apps", "eureka-vips", "eureka-xml", "kubernetes",
    "nacos",
]
_OutcomeKind: TypeAlias = Literal["success", "error", "gateway", "connect", "timeout", "throttled", "cancelled"]

def codes() -> dict[str, str]:
    """Every error code with the name of the exception class that carries it."""

def is_heartbeat(method: str, path: str, query: str = "") -> bool:
    """Whether a request only says that somebody is still there. A host that stores what it acknowledges need not wait for that with these."""

def is_repeatable(method: str, *, kind: _OutcomeKind | None = None, status: int | None = None, grpc_status: int | None = None) -> bool:
    """Whether a call by an HTTP method, or of a gRPC method of that `idempotency_level`, that ended so may be made again, by another instance: the method
    is one that may be done twice, and the fault may be this instance's alone. Whether there is a budget for that is `Balancer.may_retry`'s to say."""

def decode(body: bytes | str, format: _Format, *, namespace: str = "default", service: str | None = None) -> dict[str, Any]:
    """Reads a payload of another registry: the registrations, and what was not taken and why, as dicts."""

def proof(
    token: str, verb: Literal["renew", "health", "deregister"], epoch: int, handle: int, sequence: int, *, query: str = "", body: bytes | str = b""
) -> str:
    """What goes into `x-callboard-proof`: that whoever sends a request holds the token of an instance. Epoch and handle are those of the answer to its
    registration, `query` and `body` those of the request, and `sequence` is above every one before, such as the time in microseconds."""

def encode(format: _Format, instances: Sequence[_Document]) -> bytes:
    """Writes registrations, as `decode` has them, as another registry says them, as far as it can. Who is not `enabled` is written as unhealthy."""

def now() -> int:
    """The time in whole microseconds of the monotonic clock that a call without `now` reads. Its zero is the first reading in this process."""

@final
class Feed:
    """Follows one source: tells what to ask, and takes what is answered, by the client rules of its protocol.

    A follower is a loop: wait `next.after`, ask with `next.query`, `next.headers` and as `next.ask` says, `push` what
    comes or tell that it `failed`.
    """

    def __new__(
        cls,
        source: str,
        *,
        format: _Format,
        namespace: str = "default",
        service: str | None = None,
        seed: int = 0,
        client: str = "",
        interval: float | None = None,
        wait: float = 60,
    ) -> Self: ...
    @property
    def next(self) -> Next:
        """What to ask next."""

    def push(
        self,
        registry: Registry,
        body: bytes | str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        complete: bool = True,
        now: int | None = None,
    ) -> Fed:
        """Takes an answer. What is wrong with it is told in `problem`, and changes nothing but when to ask again."""

    def failed(self, *, now: int | None = None) -> Next:
        """Notes that a question had no answer: no connection, a time-out. Gives what to ask next."""

@final
class Query:
    """Who is asked for: the instances of a service of which every condition holds.

    Parsed once; immutable, hashable, picklable. Without a service it asks for every service of the namespace.
    """

    def __new__(
        cls,
        service: str | None = None,
        *,
        namespace: str = "default",
        health: Literal["any", "serving", "available"] = "serving",
        version: str | None = None,
        selector: str | None = None,
        locality: Locality | Mapping[str, str] | None = None,
        tags: Sequence[str] = (),
        limit: int | None = None,
        fallbacks: Sequence[Query | _Document] = (),
    ) -> Self: ...
    @staticmethod
    def from_dict(document: Query | _Document) -> Query:
        """Reads a query document, such as `to_dict` writes."""

    def to_dict(self) -> dict[str, Any]:
        """The query as a document."""

    def matches(self, registration: Instance | _Document) -> bool:
        """Whether an instance registered so would be found: a registration document."""

    @property
    def namespace(self) -> str:
        """The namespace."""

    @property
    def service(self) -> str | None:
        """The service; None for every service of the namespace."""

    @property
    def health(self) -> Literal["any", "serving", "available"]:
        """The least availability."""

    @property
    def version(self) -> str | None:
        """The range of versions."""

    @property
    def selector(self) -> str | None:
        """The selector, as the parser prints it."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Callable[[_Document], Query], tuple[Any, ...]]: ...

@final
class Registry:
    """Who is here now: registrations with their leases, other registries' listings, and every change in order.

    Does no I/O. Every method that takes `now` reads the monotonic clock when none is passed: whole microseconds,
    see `callboard.now()`. Safe to share between threads.
    """

    def __new__(
        cls,
        *,
        seed: int | None = None,
        epoch: int | None = None,
        timer_slack: float = 1,
        eviction_interval: float = 1,
        protection_limit: float = 600,
        eviction_percent: int = 15,
        renewal_percent: int = 85,
        confirm_repeats: int = 3,
        confirm_after: float = 10,
        log_capacity: int = 16384,
        allow_local_addresses: bool = False,
        max_instances: int = 1000000,
        max_services: int = 100000,
        max_instances_per_service: int = 100000,
        max_overrides: int = 100000,
    ) -> Self: ...
    @staticmethod
    def restore(
        snapshot: bytes,
        *,
        now: int | None = None,
        seed: int | None = None,
        epoch: int | None = None,
        timer_slack: float = 1,
        eviction_interval: float = 1,
        protection_limit: float = 600,
        eviction_percent: int = 15,
        renewal_percent: int = 85,
        confirm_repeats: int = 3,
        confirm_after: float = 10,
        log_capacity: int = 16384,
        allow_local_addresses: bool = False,
        max_instances: int = 1000000,
        max_services: int = 100000,
        max_instances_per_service: int = 100000,
        max_overrides: int = 100000,
    ) -> Registry:
        """The registry of a snapshot, in a new epoch. Leases start anew at `now`."""

    @staticmethod
    def load(
        entries: Iterable[tuple[str, str | bytes]],
        *,
        now: int | None = None,
        seed: int | None = None,
        epoch: int | None = None,
        timer_slack: float = 1,
        eviction_interval: float = 1,
        protection_limit: float = 600,
        eviction_percent: int = 15,
        renewal_percent: int = 85,
        confirm_repeats: int = 3,
        confirm_after: float = 10,
        log_capacity: int = 16384,
        allow_local_addresses: bool = False,
        max_instances: int = 1000000,
        max_services: int = 100000,
        max_instances_per_service: int = 100000,
        max_overrides: int = 100000,
    ) -> tuple[Registry, tuple[Unread, ...]]:
        """The registry of all entries of a store, in a new epoch, and what of them could not be read. Leases start anew at `now`."""

    @staticmethod
    def recover(
        journal: bytes,
        *,
        now: int | None = None,
        seed: int | None = None,
        epoch: int | None = None,
        timer_slack: float = 1,
        eviction_interval: float = 1,
        protection_limit: float = 600,
        eviction_percent: int = 15,
        renewal_percent: int = 85,
        confirm_repeats: int = 3,
        confirm_after: float = 10,
        log_capacity: int = 16384,
        allow_local_addresses: bool = False,
        max_instances: int = 1000000,
        max_services: int = 100000,
        max_instances_per_service: int = 100000,
        max_overrides: int = 100000,
    ) -> tuple[Registry, int]:
        """The registry of a journal, in a new epoch, and how many bytes of its last frame were never wholly written."""

    @property
    def epoch(self) -> int:
        """Names this life of the registry: a restored one has another."""

    @property
    def edition(self) -> int:
        """Another number whenever a `snapshot` would be another: unlike the revision also when a renewal brings a newer incarnation."""

    @property
    def revision(self) -> int:
        """How many batches of changes were committed. Renewals make none."""

    @property
    def position(self) -> Position:
        """Epoch and revision: where `changes` can go on from."""

    @property
    def deadline(self) -> int | None:
        """When `advance` has something to do next, in microseconds: the host's only timer. None while nothing is due."""

    def __len__(self) -> int: ...
    def stats(self) -> dict[str, Any]:
        """Counts of what is held and of what was done, as a dict."""

    def lookup(self, service: str, id: str, *, namespace: str = "default") -> Instance | None:
        """The instance of a key, or None."""

    def instance(self, handle: int) -> Instance | None:
        """The instance of a handle, or None when that record is gone."""

    def services(self, namespace: str | None = None) -> list[dict[str, Any]]:
        """The services by namespace and name, each a dict."""

    def query(self, query: _Asked) -> Answer:
        """What matches: a query, or the name of a service."""

    def changes(self, since: Position | _Document) -> Changes:
        """What happened after a position, in order and without a gap."""

    def digest(self, service: str, *, namespace: str = "default") -> str | None:
        """A strong hash over the sorted (id, revision) of a service; None when there is no such service."""

    def register(
        self,
        service: str,
        id: str,
        *,
        endpoints: Sequence[str | Endpoint | _Document] = (),
        version: str | None = None,
        metadata: Mapping[str, str] | None = None,
        tags: Sequence[str] = (),
        locality: Locality | Mapping[str, str] | None = None,
        weight: float = 1,
        health: Health = "healthy",
        ttl: float | None = None,
        grace: float | None = None,
        incarnation: int = 0,
        namespace: str = "default",
        mode: Literal["upsert", "create", "update"] = "upsert",
        if_revision: int | None = None,
        now: int | None = None,
    ) -> Registered:
        """Puts a provider on the board, or changes what it says of itself. `mode` is upsert, create or update."""

    def renew(self, service: str, id: str, *, namespace: str = "default", incarnation: int = 0, now: int | None = None) -> int:
        """Renews a lease and returns the handle. `unknown-lease` says: register again."""

    def renew_handle(self, handle: int, *, incarnation: int = 0, now: int | None = None) -> None:
        """Renews a lease by handle: the cheapest heartbeat."""

    def deregister(
        self, service: str, id: str, *, namespace: str = "default", incarnation: int | None = None, now: int | None = None
    ) -> int:
        """Takes a provider off the board and returns the revision."""

    def set_health(
        self,
        service: str,
        id: str,
        health: Health,
        *,
        namespace: str = "default",
        incarnation: int | None = None,
        now: int | None = None,
    ) -> int:
        """Reports the health of an instance and returns the revision."""

    def set_admin(
        self,
        service: str,
        id: str,
        state: AdminState | None,
        *,
        ttl: float | None = None,
        reason: str = "",
        namespace: str = "default",
        now: int | None = None,
    ) -> int:
        """The operator's word about an instance, which may not be there yet: enabled, draining or disabled, for `ttl`
        seconds or until it is lifted with None. Returns the revision."""

    def apply(self, ops: Sequence[_Document], *, now: int | None = None) -> int:
        """Several operations as one: all of them in one revision, which is returned, or none."""

    def reconcile(
        self,
        source: str,
        instances: Sequence[_Document],
        *,
        namespace: str = "default",
        service: str | None = None,
        removed: Sequence[_Document] = (),
        now: int | None = None,
    ) -> Reconciled:
        """Takes over the full listing of a source as the smallest change. What a listing that is suddenly short no
        longer names is held until it is confirmed, unless `removed` names it."""

    def feed(
        self,
        source: str,
        body: bytes | str,
        *,
        format: _Format,
        namespace: str = "default",
        service: str | None = None,
        now: int | None = None,
    ) -> Reconciled:
        """Takes over a payload of another registry, as bytes or text, by the rules of `reconcile`."""

    def acknowledge(self, source: str, *, now: int | None = None) -> Reconciled:
        """Confirms the short listing of a source: what it no longer names is removed."""

    def advance(self, *, now: int | None = None) -> Advanced:
        """Does what is due at `now`: ends leases, overrides and drains."""

    def watch(self, query: _Asked) -> Watch:
        """Follows a query: `poll()` it, or `async for change in` it."""

    def handle(
        self,
        method: str,
        path: str,
        query: str = "",
        body: bytes | str = b"",
        *,
        headers: Sequence[tuple[str, str]] | None = None,
        peer: str | None = None,
        principal: str | None = None,
        server: Server | None = None,
        now: int | None = None,
    ) -> Response | Wait:
        """Answers a request of callboard's HTTP API (`GET /v1/openapi.json` describes it) or of Consul's, Eureka's or Nacos', told apart by the path: a
        response, or a `Wait` for a long poll. `path` and `query` are as they were sent, not decoded; `peer` is the IP address of who
        asks, `principal` who it is, as the host has found out: it counts where the server has a policy."""

    def explain(self, query: _Asked) -> dict[str, Any]:
        """Which condition of a query leaves each instance out: `{"namespace", "revision", "epoch", "rung", "stale", "protected", "rungs", "text"}`. Of each
        rung `{"service", "known", "found", "code", "conditions": [{"part", "text", "fails"}], "failed": [{"service", "id", "handle",
        "conditions"}], "more"}`; `text` is all of it as a screen of text."""

    def saved_query(self, name: str, *, namespace: str = "default") -> Query | None:
        """The query that is saved under a name; None when there is none."""

    def saved_queries(self, namespace: str | None = None) -> list[dict[str, Any]]:
        """The saved queries by namespace and name, each a dict of `name`, `query` and the `revision` that saved it."""

    def save_query(self, name: str, query: _Asked, *, now: int | None = None) -> int:
        """Saves a query under a name of its namespace, for `saved_query`, `watch_saved` and the HTTP API; gives the revision."""

    def drop_query(self, name: str, *, namespace: str = "default", now: int | None = None) -> int:
        """Removes what is saved under a name; gives the revision."""

    def watch_saved(self, name: str, *, namespace: str = "default") -> Watch:
        """Follows the query that is saved under a name, whatever it is at the time; nobody matches while there is none."""

    def answer_dns(self, message: bytes, *, udp: bool = True, server: Server | None = None, now: int | None = None) -> bytes | None:
        """Answers a message of DNS, or gives None where nothing is to be sent. What came over UDP is answered in as many bytes as may be
        sent back so."""

    def _enter(self, server: Server | None = None) -> Place | Response: ...
    def _listen(self, callable: Callable[[], object]) -> int: ...
    def _unlisten(self, listener: int) -> None: ...
    def snapshot(self) -> bytes:
        """The registry as bytes, for `Registry.restore`."""

@final
class View:
    """The instances that match a query, followed change by change."""

    @property
    def query(self) -> Query:
        """Who is asked for."""

    def poll(self) -> Delta | None:
        """What is different since the last call; None when nothing is."""

@final
class Balancer(Iterator[Instance]):
    """Chooses an instance for each call, among those that match a query, and learns from what became of the calls.

    It follows its registry by itself, and does the registry's timed work when a pick finds it due. Safe to share
    between threads; with a balancer of its own, a thread shares no lock.
    """

    def __new__(
        cls,
        registry: Registry,
        query: _Asked,
        policy: Policy = "adaptive",
        *,
        seed: int | None = None,
        reap_after: float = 600,
        trace: int = 0,
        explain: bool = False,
    ) -> Self: ...
    @property
    def registry(self) -> Registry:
        """The registry it follows."""

    @property
    def query(self) -> Query:
        """Who is asked for."""

    @property
    def policy(self) -> str:
        """How an instance is chosen."""

    @property
    def in_flight(self) -> int:
        """How many picks are not finished."""

    @property
    def deadline(self) -> int | None:
        """When the oldest unfinished pick is reaped or an instance that is out comes back, in microseconds; None when there is
        neither."""

    @property
    def limit(self) -> int | None:
        """How many calls the policy's `limit` lets out at once now; None while it has none."""

    def __len__(self) -> int: ...
    def stats(self) -> dict[str, Any]:
        """What it has done so far, in sum and by instance, as a dict."""

    def metrics(self) -> str:
        """What it has done so far as OpenMetrics text, for a scraper."""

    def explain(
        self,
        key: str | bytes | None = None,
        *,
        exclude: Iterable[Instance | Pick | int] = (),
        labels: Mapping[str, str] = {},
        prefer: Sequence[str] = (),
        now: int | None = None,
    ) -> dict[str, Any]:
        """What `pick` would choose for this request now, and why, as a dict; its `text` is a screen of text. Nothing is
        counted, drawn or learnt."""

    def explained(self) -> dict[str, Any] | None:
        """Why the last pick chose whom it chose, or nobody, as `explain` gives it; None before the first, and unless
        `explain=True`."""

    def trace(self) -> dict[str, Any] | None:
        """What it was told and what it answered since it was made, as a dict; None unless `trace` said how many events to
        keep."""

    @staticmethod
    def replay(trace: Mapping[str, Any]) -> dict[str, Any]:
        """Does a trace again and compares the answers: `picks`, how many are the `same`, and the place of the first
        `difference`."""

    def pick(
        self,
        key: str | bytes | None = None,
        *,
        exclude: Iterable[Instance | Pick | int] = (),
        labels: Mapping[str, str] = {},
        prefer: Sequence[str] = (),
        now: int | None = None,
    ) -> Pick:
        """Chooses the instance a call should go to and counts the call as in flight there until the pick is finished.

        The same `key` goes to the same instance under a hashing policy. `exclude` has the instances, picks or
        handles it must not be, because they were tried; `labels` those that it must have, under a policy with
        labels; `prefer` the names of those to try first, under a policy with sticky requests.
        """

    def finish(
        self,
        token: int,
        ok: bool = True,
        latency: float | None = None,
        *,
        now: int | None = None,
        kind: _OutcomeKind | None = None,
        status: int | None = None,
        grpc_status: int | None = None,
        retry_after: float | None = None,
        load: Mapping[str, float] | None = None,
    ) -> bool:
        """Tells what became of a pick: whether it went well and after how many seconds. False when the token is unknown,
        was finished before or was reaped.

        `kind` says how it ended: success, error, gateway, connect, timeout, throttled or cancelled; `status` or `grpc_status`,
        instead, the status of the answer in HTTP or gRPC; `retry_after`, how many
        seconds the instance asked to be spared; `load`, what it reported.
        """

    def finish_and_pick(
        self,
        token: int,
        ok: bool = True,
        latency: float | None = None,
        *,
        key: str | bytes | None = None,
        exclude: Iterable[Instance | Pick | int] = (),
        labels: Mapping[str, str] = {},
        prefer: Sequence[str] = (),
        now: int | None = None,
        kind: _OutcomeKind | None = None,
        status: int | None = None,
        grpc_status: int | None = None,
        retry_after: float | None = None,
        load: Mapping[str, float] | None = None,
    ) -> Pick:
        """`finish`, then `pick`, in one call."""

    def may_retry(self, *, now: int | None = None) -> bool:
        """Whether a call that failed may be tried again now; what that costs is taken from the budget of the policy's
        `retry`."""

    def retry_delay(self, retry: int = 1) -> float | None:
        """How many seconds to wait before a retry, the first being 1; None when the call was tried as often as it may be."""

    def hedge_delay(self, *, now: int | None = None) -> float | None:
        """How many seconds to wait for an answer before the call is sent to another instance as well; None when it should
        not be."""

    def may_hedge(self, *, now: int | None = None) -> bool:
        """Whether a call may be hedged now, its delay being over; what that costs is taken from the budget of the policy's
        `hedge`."""

    def admit(self, *, now: int | None = None) -> bool:
        """Whether one call more may go out now, by the policy's `limit`. Ask before a pick, and refuse or queue the call."""

    def probe_requests(self, *, now: int | None = None) -> list[Instance]:
        """Whom to ask how it is: for the picks made since the last time, and of those that are out whom it is time to check.
        Tell of them with `probed`. Nobody for policies that need no probes."""

    def probed(self, instance: Instance | Pick | int, rif: int, latency: float, *, now: int | None = None) -> bool:
        """Tells what a probe brought: how many requests the instance has in flight, of all its clients, and how many seconds it
        expects one more to take. False when that is of no use."""

    def __next__(self) -> Instance: ...
    def __iter__(self) -> Self: ...
    def advance(self, *, now: int | None = None) -> int:
        """Reaps the picks that were never finished and are due, and returns how many."""

@final
class Pick:
    """The chosen instance, until the call is over.

    As a context manager it gives the instance and finishes the pick: well, or badly if the block raises, with the time
    the block took.
    """

    @property
    def instance(self) -> Instance:
        """The instance."""

    @property
    def token(self) -> int:
        """Names the pick to `Balancer.finish`."""

    def finish(
        self,
        ok: bool = True,
        latency: float | None = None,
        *,
        now: int | None = None,
        kind: _OutcomeKind | None = None,
        status: int | None = None,
        grpc_status: int | None = None,
        retry_after: float | None = None,
        load: Mapping[str, float] | None = None,
    ) -> bool:
        """Tells what became of the call, once. The latency in seconds is the time since the pick when it is not told.
        The rest is as in `Balancer.finish`."""

    def __enter__(self) -> Instance: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...

@final
class Replica:
    """A registry's part in an etcd that several servers share.

    A host carries questions and answers: one after the other for `ask`, each followed by `answer` or `failed`; and besides them the one stream of `follow`,
    with `push` for each body or line, and `lost`. `prefix` stands before every key; `queue` is how many changes may wait for an engine that is away, 0 refuses
    them all."""

    def __new__(cls, *, prefix: str = "callboard/", queue: int = 0) -> Self: ...
    @property
    def stale(self) -> bool:
        """Whether what the registry says may be behind what other servers know."""

    @property
    def deadline(self) -> int | None:
        """When `ask` has a question next, if nothing changes before; None before the first listing."""

    def fate(self, edition: int) -> Literal["kept", "waiting", "unknown"]:
        """What became of all changes up to an edition of the registry: `unknown` while the engine is away."""

    def follow(self) -> Ask:
        """What to follow the others with."""

    def ask(self, registry: Registry, *, now: int | None = None) -> Ask | None:
        """The next question about what there is to say, if any."""

    def answer(self, registry: Registry, body: str | bytes, *, now: int | None = None) -> Told:
        """Takes the answer to the last question."""

    def failed(self, registry: Registry, *, now: int | None = None) -> None:
        """There was no answer to the last question, or none in time."""

    def push(self, registry: Registry, body: str | bytes, *, now: int | None = None) -> Told:
        """Takes a body or a line that `follow` was answered with."""

    def lost(self, registry: Registry, *, now: int | None = None) -> None:
        """The stream, or the question for it, ended."""

@final
class Server:
    """Under which names the protocols serve: the namespace of those that have none, the datacenter and the node that Consul's
    clients see, the domain that DNS answers for and for how many seconds its answers are good; and to whom.

    `policy` is a list of principals, `{"name", "tokens", "grants": [{"namespace", "service", "may"}]}`: tokens are SHA-256 digests in
    hexadecimal, namespaces and services globs (`default` and everything when absent), `may` is `read`, `register`, `operate` or
    `administer`, each with those before it. With a `secret`, text of at least 32 bytes that nobody knows, whoever signs an instance in by the REST API
    is given a token of it, for `proof`. Without a policy everybody may do everything; with one, what no grant allows is denied.

    `bounds` is how much `respond` takes at a time: `requests` in hand (8192), large `bodies` of more than 64 KiB that are read (32), long polls and
    streams, `waits` (4096), and for how many seconds it waits for a body, `patience` (10). What comes above them is answered 503 with `retry-after`."""

    def __new__(
        cls,
        *,
        namespace: str = "default",
        datacenter: str = "dc1",
        node: str = "callboard",
        domain: str = "callboard",
        dns_ttl: int = 5,
        secret: str | None = None,
        policy: Sequence[_Document] | None = None,
        bounds: Mapping[str, float] | None = None,
    ) -> Self: ...

@final
class Place:
    """The place of a request among those that are in hand."""

    @property
    def patience(self) -> float: ...
    def take(self, bytes: int) -> Response | None: ...
    def read(self) -> None: ...
    def leave(self) -> None: ...
    @staticmethod
    def late() -> Response: ...
    @staticmethod
    def cut() -> Response: ...

@final
class Store:
    """What an engine holds of a registry, and what it does not yet.

    Ask `writes`, or `frame` for a file, after each change; write what it says; then call `written`, and only then acknowledge the change."""

    def __new__(cls) -> Self: ...
    def writes(self, registry: Registry) -> Writes | None:
        """The entries to write now, if any."""

    @staticmethod
    def leftovers(registry: Registry, entries: Iterable[tuple[str, str | bytes]]) -> list[str]:
        """Of the entries that an engine holds, the keys that go with a whole answer. What is not ours or cannot be read is not among them."""

    def frame(self, registry: Registry) -> Frame | None:
        """The bytes to write to a file now, if any."""

    def written(self) -> None:
        """The last answer is written, and will be there after a power cut."""

    def failed(self) -> None:
        """Nobody knows what the engine holds now: the next answer is whole."""

@final
class Wait:
    """A request that has no answer yet, a long poll, or none that is complete, a stream."""

    @property
    def until(self) -> int:
        """When to ask again all the same, in microseconds."""

    def resume(self, *, now: int | None = None) -> Response | Wait:
        """Asks again: when something has changed that it is about, and at the latest at `until`. Gives the response, or the next
        piece of one, or this object when there is still none."""

    def _refused(self) -> Response | None: ...
    def _listen(self, callable: Callable[[], object]) -> int | None: ...
    def _unlisten(self, number: int) -> None: ...
