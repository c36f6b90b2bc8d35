//! Sorting in little code.
//!
//! The standard library's sorts are the fastest there are, and each type and each comparison gets some 8 kB of machine code of its own:
//! of a module for the edge they were an eighth. Where time does not matter, these do.

use core::cmp::Ordering;

/// Sorts slots, or other numbers of records, fast: in one copy of the standard library's code for all of them. Not stable.
#[inline(never)]
pub(crate) fn sort_slots(slots: &mut [u32], compare: &mut dyn FnMut(u32, u32) -> Ordering) {
    slots.sort_unstable_by(|one, other| compare(*one, *other));
}

/// Sorts what is short or seldom sorted, as a heap: n log n at worst, some three times slower than the standard library. Not stable.
#[inline(never)]
pub(crate) fn sort_few<T>(items: &mut [T], compare: &mut dyn FnMut(&T, &T) -> Ordering) {
    for root in (0..items.len() / 2).rev() {
        sink(items, root, compare);
    }
    for end in (1..items.len()).rev() {
        items.swap(0, end);
        if let Some(heap) = items.get_mut(..end) {
            sink(heap, 0, compare);
        }
    }
}

/// Puts the item at `root` below whatever is greater: the greatest of a heap stands first.
fn sink<T>(heap: &mut [T], mut root: usize, compare: &mut dyn FnMut(&T, &T) -> Ordering) {
    loop {
        let left = root.saturating_mul(2).saturating_add(1);
        let right = left.saturating_add(1);
        let Some(first) = heap.get(left) else { return };
        let (child, greatest) = match heap.get(right) {
            Some(second) if compare(first, second) == Ordering::Less => (right, second),
            _ => (left, first),
        };
        if heap.get(root).is_none_or(|item| compare(item, greatest) != Ordering::Less) {
            return;
        }
        heap.swap(root, child);
        root = child;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use std::vec::Vec;

    #[test]
    fn both_sort_as_the_standard_library_does() {
        let mut rng = Rng::new(7);
        for length in 0..200u32 {
            // Few distinct values, so that equals meet.
            let items: Vec<u32> = (0..length).map(|_| rng.below(length / 2 + 1)).collect();
            let (mut expected, mut few, mut slots) = (items.clone(), items.clone(), items);
            expected.sort_unstable();
            sort_few(&mut few, &mut u32::cmp);
            sort_slots(&mut slots, &mut |one, other| one.cmp(&other));
            assert_eq!((&few, &slots), (&expected, &expected));
        }
    }
}
