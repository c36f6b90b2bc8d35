//! What a call may cost: heap and time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What no call on 64 KiB may take.
const TIME: Duration = Duration::from_millis(100);

/// Counts what this thread holds, and the most it has held.
pub struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

// SAFETY: everything is the system's allocator's; the counts allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// Does it, within so many bytes of heap and 100 ms. What is slow once may be so by accident: it is a finding when it is slow three times.
pub fn within<T>(heap: usize, mut work: impl FnMut() -> T) -> T {
    let mut least = Duration::MAX;
    for _ in 0..3 {
        let before = HELD.get();
        PEAK.set(before);
        let began = thread_time();
        let done = work();
        least = least.min(thread_time().saturating_sub(began));
        let peak = PEAK.get() - before;
        assert!(peak <= heap as isize, "{peak} bytes of heap, {heap} are allowed");
        if least <= TIME {
            return done;
        }
    }
    panic!("{} ms", least.as_millis());
}

/// The heap a reader may use for a payload.
pub fn of_payload(bytes: &[u8]) -> usize {
    // The queue of the YAML parser grows by doubling, which takes 86 KiB where a text of 300 bytes is nothing but commas.
    let yaml = !matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'[') | None);
    bytes.len() * 20 + 65_536 + if yaml { 32_768 } else { 0 }
}

/// The heap that nothing may use.
pub const HEAP: usize = 64 << 20;
