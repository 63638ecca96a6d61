//! The system's wall clock: what dates, certificates and tickets go by. It may be set at any time,
//! so nothing waits or measures by it: see [`crate::monotonic`].

#![forbid(unsafe_code)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time since 1970-01-01T00:00:00Z, without leap seconds. A clock that shows less reads 1970.
pub(crate) fn since_1970() -> Duration {
    since_1970_at(SystemTime::now())
}

/// The same for a time that the clock has shown.
pub(crate) fn since_1970_at(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

/// Seconds since 1970-01-01T00:00:00Z.
pub(crate) fn unix_seconds() -> i64 {
    let shown = i64::try_from(since_1970().as_secs()).unwrap_or(i64::MAX);
    #[cfg(test)]
    let shown = shown + tests::AHEAD.get();
    shown
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    thread_local! {
        /// Seconds by which [`super::unix_seconds`] is ahead, for the thread of a test.
        pub(crate) static AHEAD: Cell<i64> = const { Cell::new(0) };
    }
}
