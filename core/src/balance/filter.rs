//! Which candidates the request itself rules out.

use crate::model::Handle;

/// Draws that may hit an excluded candidate before the draw is made among the rest.
///
/// Rejection costs nothing when few are excluded; the exact draw costs a look at every candidate. Both give the
/// same distribution.
pub(super) const TRIES: u32 = 8;

/// The instances a call was already tried on: at most [`limits::EXCLUDED`](crate::limits::EXCLUDED), so a scan is cheap.
#[derive(Clone, Copy)]
pub(super) struct Excluded<'a>(pub(super) &'a [Handle]);

impl Excluded<'_> {
    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(self) -> usize {
        self.0.len()
    }

    #[inline]
    pub(super) fn has(self, handle: Handle) -> bool {
        self.0.contains(&handle)
    }
}
