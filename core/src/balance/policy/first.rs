//! `first`: always the same one, as long as it may be given calls.

use super::Candidates;

/// The first candidate by service and id that the request leaves.
pub(super) fn pick(candidates: &Candidates<'_>) -> Option<u32> {
    candidates.open().next()
}
