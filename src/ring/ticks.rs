//! The processor's time-stamp counter.

/// Reads the counter, or 0 where there is none that is cheap to read. It may stop, jump or change its
/// pace: its user has to compare it with a clock
/// ([`TickClock`](crate::tick_clock::TickClock)).
#[inline]
pub(crate) fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: RDTSC reads a register and touches nothing else. Where a process is forbidden to
    // execute it (prctl(2), PR_SET_TSC), it may not read the kernel's clock in user space either.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    0
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn it_counts() {
        let first = super::ticks();
        std::thread::sleep(std::time::Duration::from_millis(1));
        assert_ne!(super::ticks(), first);
    }
}
