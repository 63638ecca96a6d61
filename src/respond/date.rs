//! The `Date` field's value, rendered once a second (RFC 9110 sections 5.6.7 and 6.6.1).

use super::decimal::pair;

/// An IMF-fixdate is always this long: `Sun, 06 Nov 1994 08:49:37 GMT`.
const LENGTH: usize = 29;

const SECONDS_PER_DAY: u64 = 86_400;

/// 9999-12-31T23:59:59Z: the format has four digits for the year.
const LAST_SECOND: u64 = 253_402_300_799;

/// The epoch was a Thursday.
const WEEKDAYS: [[u8; 3]; 7] = [*b"Thu", *b"Fri", *b"Sat", *b"Sun", *b"Mon", *b"Tue", *b"Wed"];

const MONTHS: [[u8; 3]; 12] = [
    *b"Jan", *b"Feb", *b"Mar", *b"Apr", *b"May", *b"Jun", *b"Jul", *b"Aug", *b"Sep", *b"Oct",
    *b"Nov", *b"Dec",
];

/// The current second as an IMF-fixdate. Each worker owns one and updates it on its way round.
#[derive(Clone, Debug)]
pub struct DateCache {
    second: u64,
    text: [u8; LENGTH],
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
            self.text = fixdate(unix_seconds);
        }
    }

    /// The rendered date.
    pub const fn as_bytes(&self) -> &[u8; LENGTH] {
        &self.text
    }
}

impl Default for DateCache {
    fn default() -> Self {
        Self::new()
    }
}

/// Renders a second since the epoch as an IMF-fixdate.
fn fixdate(unix_seconds: u64) -> [u8; LENGTH] {
    let seconds = unix_seconds.min(LAST_SECOND);
    let days = seconds / SECONDS_PER_DAY;
    let of_day = seconds % SECONDS_PER_DAY;
    let (year, month, day) = civil(days);

    let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    text[0..3].copy_from_slice(&WEEKDAYS[(days % 7) as usize]);
    text[5..7].copy_from_slice(&pair(day));
    text[8..11].copy_from_slice(&MONTHS[month]);
    text[12..14].copy_from_slice(&pair(year / 100));
    text[14..16].copy_from_slice(&pair(year));
    text[17..19].copy_from_slice(&pair(of_day / 3600));
    text[20..22].copy_from_slice(&pair(of_day / 60 % 60));
    text[23..25].copy_from_slice(&pair(of_day % 60));
    text
}

/// Year, month (0 is January) and day of month of a day since 1970-01-01.
///
/// Counts from 0000-03-01, so that the leap day ends its year, and a cycle of the calendar is
/// 400 years or 146,097 days.
fn civil(days: u64) -> (u64, usize, u64) {
    const TO_EPOCH: u64 = 719_468;
    const CYCLE: u64 = 146_097;
    let days = days + TO_EPOCH;
    let cycle = days / CYCLE;
    let of_cycle = days % CYCLE;
    let year = (of_cycle - of_cycle / 1460 + of_cycle / 36_524 - of_cycle / (CYCLE - 1)) / 365;
    let of_year = of_cycle - (365 * year + year / 4 - year / 100);
    // Months from March alternate 31 and 30 in groups of five that are 153 days long.
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12;
    let year = cycle * 400 + year + u64::from(month < 2);
    (year, month as usize, day)
}
