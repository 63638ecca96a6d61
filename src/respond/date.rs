//! The `Date` field's value, rendered once a second (RFC 9110 sections 5.6.7 and 6.6.1).

use crate::calendar::{FIXDATE, fixdate};

/// The current second as an IMF-fixdate. Each worker owns one and updates it on its way round.
#[derive(Clone, Debug)]
pub struct DateCache {
    second: u64,
    text: [u8; FIXDATE],
}

impl DateCache {
    /// The epoch, until the first [`update`](Self::update).
    pub fn new() -> Self {
        Self { second: 0, text: fixdate(0) }
    }

    /// Sets the second, in seconds since 1970-01-01T00:00:00Z. Costs one comparison when it has
    /// not changed. Seconds after the year 9999 render as its last.
    pub fn update(&mut self, unix_seconds: u64) {
        if self.second != unix_seconds {
            self.second = unix_seconds;
            self.text = fixdate(i64::try_from(unix_seconds).unwrap_or(i64::MAX));
        }
    }

    /// The rendered date.
    pub const fn as_bytes(&self) -> &[u8; FIXDATE] {
        &self.text
    }
}

impl Default for DateCache {
    fn default() -> Self {
        Self::new()
    }
}
