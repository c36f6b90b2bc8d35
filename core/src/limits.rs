//! The table of limits.
//!
//! Every bound of the crate stands here once, with its precedent; each is tested at L-1, L and L+1. Exceeding
//! one is an [`Error`](crate::Error) with the code [`LimitExceeded`](crate::Code::LimitExceeded), the field
//! and the limit.

/// Bytes of a namespace or service name (a DNS label, a Kubernetes label value).
pub const NAME_BYTES: usize = 63;
/// Bytes of an instance id or a source name (a DNS name).
pub const ID_BYTES: usize = 253;
/// Endpoints of one instance (ports of a Kubernetes EndpointSlice).
pub const ENDPOINTS: usize = 100;
/// Bytes of a host name (RFC 1035).
pub const HOST_BYTES: usize = 253;
/// Bytes of an endpoint name or a scheme.
pub const LABEL_BYTES: usize = 63;
/// Bytes of a region, zone, sub-zone or node name.
pub const LOCALITY_BYTES: usize = 128;
/// Metadata pairs of one instance (Consul).
pub const METADATA_PAIRS: usize = 64;
/// Bytes of a metadata key (Consul).
pub const METADATA_KEY_BYTES: usize = 128;
/// Bytes of a metadata value (Consul).
pub const METADATA_VALUE_BYTES: usize = 512;
/// Tags of one instance.
pub const TAGS: usize = 64;
/// Bytes of a tag.
pub const TAG_BYTES: usize = 128;
/// Bytes of a version or a version range.
pub const VERSION_BYTES: usize = 128;
/// Thousandths of the largest weight, 65 535 (Envoy's u32 and Nacos' 10 000.00 both fit).
pub const WEIGHT_THOUSANDTHS: u32 = 65_535_000;
/// Shortest time to live of a lease, microseconds (1 s).
pub const TTL_MIN_MICROS: u64 = 1_000_000;
/// Longest time to live or grace of a lease, microseconds (24 h).
pub const TTL_MAX_MICROS: u64 = 86_400_000_000;
/// Bytes of the reason of an administrative override.
pub const REASON_BYTES: usize = 256;
/// Bytes of a selector's text.
pub const SELECTOR_BYTES: usize = 4_096;
/// Nodes of a parsed selector.
pub const SELECTOR_NODES: usize = 256;
/// Nesting of a selector.
pub const SELECTOR_DEPTH: usize = 32;
/// Fallbacks of a query.
pub const FALLBACKS: usize = 8;
/// Saved queries of one namespace.
pub const SAVED_QUERIES: usize = 1_024;
/// Distinct sources of a registry, `local` included.
pub const SOURCES: usize = 32;
/// Operations of one atomic `apply`.
pub const BATCH_OPS: usize = 10_000;
/// Bytes of one payload or request body.
pub const PAYLOAD_BYTES: usize = 8 * 1_024 * 1_024;
/// Instances that one payload of another registry names: a listing of short names costs much more than its bytes.
pub const PAYLOAD_INSTANCES: usize = 65_536;
/// Nesting of a document.
pub const DOCUMENT_DEPTH: usize = 64;
/// Values in one document.
pub const DOCUMENT_NODES: usize = 1_000_000;
/// Bytes of one string in a document.
pub const DOCUMENT_STRING_BYTES: usize = 65_536;
/// Bytes of a routing key handed to a hash policy.
pub const KEY_BYTES: usize = 4_096;
/// Instances excluded from one pick.
pub const EXCLUDED: usize = 64;
/// Shortest time after which an unfinished pick may be reaped, microseconds (1 ms).
pub const REAP_MIN_MICROS: u64 = 1_000;
/// Longest time after which an unfinished pick is reaped, microseconds (24 h).
pub const REAP_MAX_MICROS: u64 = 86_400_000_000;
/// Unfinished picks of one balancer.
pub const PICKS_IN_FLIGHT: usize = 1 << 20;

/// Shortest interval or wait of a feed, microseconds (1 s).
pub const FEED_SPAN_MIN_MICROS: u64 = 1_000_000;
/// Longest interval or wait of a feed, microseconds (1 h).
pub const FEED_SPAN_MAX_MICROS: u64 = 3_600_000_000;

/// Candidates that `sample` draws for one pick.
pub const CHOICES: u32 = 32;
/// Events that a balancer writes down for its trace.
pub const TRACE_EVENTS: u32 = 1 << 20;
/// Probes in the pool of `prequal`.
pub const PROBES: u32 = 64;
/// Points of a hash ring (Envoy).
pub const RING_POINTS: u32 = 8_388_608;
/// Points of one host on a ring of fixed points.
pub const HOST_POINTS: u32 = 65_536;
/// Places of a Maglev table (Envoy); a prime.
pub const MAGLEV_TABLE: u32 = 5_000_011;
/// Percent of its fair share that a host may be loaded with before keys go elsewhere.
pub const LOAD_PERCENT: u32 = 10_000;
/// Shortest time constant or interval of a policy, microseconds (1 ms).
pub const SPAN_MIN_MICROS: u64 = 1_000;
/// Longest time constant or interval of a policy, microseconds (1 h).
pub const SPAN_MAX_MICROS: u64 = 3_600_000_000;

/// How often one call may be tried in all.
pub const ATTEMPTS: u32 = 100;

/// Selectors of a policy's `labels`.
pub const LABEL_SELECTORS: usize = 16;
/// Groups of instances by labels that a balancer keeps ready.
pub const LABEL_GROUPS: u32 = 4_096;

/// Changes that wait for an engine which is away.
pub const QUEUED_CHANGES: u32 = 1_000_000;

/// Requests, bodies or long polls that a host may be told to hold at a time.
pub const HELD: u32 = 1 << 20;

/// Every limit by name, for tests and for hosts that print them.
pub const ALL: &[(&str, u64)] = &[
    ("name-bytes", NAME_BYTES as u64),
    ("id-bytes", ID_BYTES as u64),
    ("endpoints", ENDPOINTS as u64),
    ("host-bytes", HOST_BYTES as u64),
    ("label-bytes", LABEL_BYTES as u64),
    ("locality-bytes", LOCALITY_BYTES as u64),
    ("metadata-pairs", METADATA_PAIRS as u64),
    ("metadata-key-bytes", METADATA_KEY_BYTES as u64),
    ("metadata-value-bytes", METADATA_VALUE_BYTES as u64),
    ("tags", TAGS as u64),
    ("tag-bytes", TAG_BYTES as u64),
    ("version-bytes", VERSION_BYTES as u64),
    ("weight-thousandths", WEIGHT_THOUSANDTHS as u64),
    ("ttl-min-micros", TTL_MIN_MICROS),
    ("ttl-max-micros", TTL_MAX_MICROS),
    ("reason-bytes", REASON_BYTES as u64),
    ("selector-bytes", SELECTOR_BYTES as u64),
    ("selector-nodes", SELECTOR_NODES as u64),
    ("selector-depth", SELECTOR_DEPTH as u64),
    ("fallbacks", FALLBACKS as u64),
    ("saved-queries", SAVED_QUERIES as u64),
    ("sources", SOURCES as u64),
    ("batch-ops", BATCH_OPS as u64),
    ("payload-bytes", PAYLOAD_BYTES as u64),
    ("payload-instances", PAYLOAD_INSTANCES as u64),
    ("document-depth", DOCUMENT_DEPTH as u64),
    ("document-nodes", DOCUMENT_NODES as u64),
    ("document-string-bytes", DOCUMENT_STRING_BYTES as u64),
    ("key-bytes", KEY_BYTES as u64),
    ("excluded", EXCLUDED as u64),
    ("reap-min-micros", REAP_MIN_MICROS),
    ("reap-max-micros", REAP_MAX_MICROS),
    ("picks-in-flight", PICKS_IN_FLIGHT as u64),
    ("feed-span-min-micros", FEED_SPAN_MIN_MICROS),
    ("feed-span-max-micros", FEED_SPAN_MAX_MICROS),
    ("choices", CHOICES as u64),
    ("probes", PROBES as u64),
    ("trace-events", TRACE_EVENTS as u64),
    ("attempts", ATTEMPTS as u64),
    ("label-selectors", LABEL_SELECTORS as u64),
    ("label-groups", LABEL_GROUPS as u64),
    ("queued-changes", QUEUED_CHANGES as u64),
    ("held", HELD as u64),
    ("ring-points", RING_POINTS as u64),
    ("host-points", HOST_POINTS as u64),
    ("maglev-table", MAGLEV_TABLE as u64),
    ("load-percent", LOAD_PERCENT as u64),
    ("span-min-micros", SPAN_MIN_MICROS),
    ("span-max-micros", SPAN_MAX_MICROS),
];
