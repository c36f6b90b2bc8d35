//! What long polls have in common.

use crate::query::Query;
use crate::registry::Changes;

/// Whether nothing since a position can have changed the answer.
pub(super) fn is_unchanged(query: &Query, changes: Changes) -> bool {
    let Changes::Events { events, .. } = changes else { return false };
    let asks = |service: &str| {
        let rungs = core::iter::once(query).chain(&query.fallbacks);
        rungs.map(|rung| rung.service.as_deref()).any(|own| own.is_none_or(|own| own == service))
    };
    !events.iter().any(|event| *event.namespace == *query.namespace && asks(&event.service))
}
