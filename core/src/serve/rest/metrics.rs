//! The registry's figures as OpenMetrics text, for a scraper.

use alloc::string::String;
use core::fmt::Write as _;

use super::{Call, Reply, Response};
use crate::error::Error;
use crate::registry::Stats;

/// Name, whether it only grows, what it is, and the figure.
type Family = (&'static str, bool, &'static str, fn(&Stats) -> u64);

const FAMILIES: &[Family] = &[
    ("callboard_registry_instances", false, "Instances on record.", |stats| stats.instances),
    ("callboard_registry_services", false, "Services with an instance.", |stats| stats.services),
    ("callboard_registry_leased", false, "Instances with a lease.", |stats| stats.leased),
    ("callboard_registry_suspect", false, "Instances whose lease is suspect.", |stats| stats.suspect),
    ("callboard_registry_overrides", false, "Words of the operator.", |stats| stats.overrides),
    ("callboard_registry_sources", false, "Sources of records, local ones included.", |stats| stats.sources),
    ("callboard_registry_protected", false, "Services whose overdue instances are held.", |stats| stats.protected),
    ("callboard_registry_log", false, "Changes in the log.", |stats| stats.log),
    ("callboard_registry_revisions", true, "Batches of changes.", |stats| stats.revision),
    ("callboard_registry_expired", true, "Instances that expired.", |stats| stats.expired),
    ("callboard_registry_gaps", true, "Gaps after which every lease counted as renewed.", |stats| stats.gaps),
    ("callboard_registry_backwards", true, "Times that ran backwards.", |stats| stats.backwards),
];

/// As `GET /v1/health`: for who may administer everything.
pub(super) fn metrics(call: &mut Call<'_>) -> Result<Reply, Error> {
    call.parameters.only(&[])?;
    let stats = call.registry.stats()?;
    let mut text = String::new();
    for (name, grows, help, figure) in FAMILIES {
        let (kind, suffix) = if *grows { ("counter", "_total") } else { ("gauge", "") };
        // Writing to memory does not fail.
        let _ = write!(text, "# TYPE {name} {kind}\n# HELP {name} {help}\n{name}{suffix} {}\n", figure(&stats));
    }
    text.push_str("# EOF\n");
    Ok(Reply::Response(Response::bytes(200, "application/openmetrics-text; version=1.0.0; charset=utf-8", text.into_bytes())))
}
