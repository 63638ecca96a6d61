//! Prefetching memory that the next task will read.
//!
//! The invariant: it changes nothing but time.

/// Bytes of a cache line, on every processor that Ringway is built for so far.
const LINE: usize = 64;

/// Lines that are asked for at a time, at most: more than a processor has in flight at once, and
/// what is behind them would push out what came first.
const MOST_LINES: usize = 64;

/// Asks for the cache lines of `value`, without waiting for them: of its first 4 KiB, if it is
/// larger. Does nothing where the processor has no such instruction that we know.
#[inline]
pub(crate) fn prefetch<T: ?Sized>(value: &T) {
    let start = std::ptr::from_ref(value).cast::<u8>();
    let lines = size_of_val(value).div_ceil(LINE).min(MOST_LINES);
    // Four for each turn of the loop: what is counted and compared for one costs as much as asking. The last
    // ones may lie behind the value, which does no harm.
    for line in (0..lines).step_by(4) {
        for ahead in 0..4 {
            ask(start.wrapping_add((line + ahead) * LINE));
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn ask(line: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a hint; it does not fault, whatever the address (Intel SDM, PREFETCHh), and every
    // processor of this architecture has it (SSE).
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn ask(_: *const u8) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_size_will_do() {
        prefetch(&());
        prefetch(&1_u8);
        prefetch("text");
        prefetch(&[0_u8; 10_000]);
    }
}
