//! What long polls have in common.

use super::desk::Desk;
use crate::query::Query;
use crate::registry::Position;

/// Whether nothing since a position can have changed the answer.
pub(super) fn is_unchanged(query: &Query, registry: &Desk<'_>, since: Position) -> bool {
    let asks = |service: &str| {
        let rungs = core::iter::once(query).chain(&query.fallbacks);
        rungs.map(|rung| rung.service.as_deref()).any(|own| own.is_none_or(|own| own == service))
    };
    let changed = registry.changed_services(since);
    changed.is_some_and(|mut changed| !changed.any(|(namespace, service)| *namespace == *query.namespace && asks(service)))
}
