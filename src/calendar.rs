//! The one calendar: seconds since 1970 as dates of UTC, for logs, listings and HTTP.
//!
//! Pure. The arithmetic is `time`'s and, for HTTP dates, `httpdate`'s.

#![forbid(unsafe_code)]

use std::{
    io::Write as _,
    time::{Duration, UNIX_EPOCH},
};

use time::OffsetDateTime;

/// 0001-01-01T00:00:00Z, in seconds since 1970.
const FIRST_SECOND: i64 = -62_135_596_800;

/// 9999-12-31T23:59:59Z: the year has four digits in every form that we write.
const LAST_SECOND: i64 = 253_402_300_799;

/// Months as HTTP and the combined log format abbreviate them.
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Bytes of an IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) const FIXDATE: usize = 29;

/// A second of UTC, in the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Utc {
    pub(crate) year: i32,
    /// 1 to 12.
    pub(crate) month: u8,
    /// 1 to 31.
    pub(crate) day: u8,
    pub(crate) hour: u8,
    pub(crate) minute: u8,
    pub(crate) second: u8,
}

impl Utc {
    /// So many seconds after 1970-01-01T00:00:00Z. Outside the years 1 to 9999: the nearest second
    /// within them.
    pub(crate) fn from_unix(seconds: i64) -> Self {
        let seconds = seconds.clamp(FIRST_SECOND, LAST_SECOND);
        let Ok(moment) = OffsetDateTime::from_unix_timestamp(seconds) else {
            unreachable!("the calendar has the years 1 to 9999")
        };
        let (year, month, day) = moment.to_calendar_date();
        let (hour, minute, second) = moment.to_hms();
        Self { year, month: month.into(), day, hour, minute, second }
    }

    /// The month in three letters.
    pub(crate) fn month_name(self) -> &'static str {
        MONTHS[usize::from(self.month - 1)]
    }
}

/// An IMF-fixdate (RFC 9110 section 5.6.7), without an allocation. Seconds before 1970 or after the
/// year 9999 give the nearest that HTTP can say.
pub(crate) fn fixdate(unix_seconds: i64) -> [u8; FIXDATE] {
    let seconds = unix_seconds.clamp(0, LAST_SECOND).unsigned_abs();
    let date = httpdate::HttpDate::from(UNIX_EPOCH + Duration::from_secs(seconds));
    let mut text = [b' '; FIXDATE];
    let Ok(()) = write!(&mut text[..], "{date}") else {
        unreachable!("an IMF-fixdate is {FIXDATE} bytes")
    };
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(utc: Utc) -> String {
        let Utc { year, month, day, hour, minute, second } = utc;
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }

    #[test]
    fn dates_are_gregorian() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00"),
            (-1, "1969-12-31 23:59:59"),
            (951_825_599, "2000-02-29 11:59:59"),
            (951_868_800, "2000-03-01 00:00:00"),
            (4_107_542_399, "2100-02-28 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
            (i64::MIN, "0001-01-01 00:00:00"),
            (i64::MAX, "9999-12-31 23:59:59"),
        ] {
            assert_eq!(text(Utc::from_unix(seconds)), expected);
        }
    }

    #[test]
    fn http_dates_stop_at_their_first_and_last_second() {
        assert_eq!(&fixdate(-1), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(&fixdate(i64::MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(&fixdate(951_782_400), b"Tue, 29 Feb 2000 00:00:00 GMT");
    }

    proptest! {
        /// Two libraries, one calendar.
        #[test]
        fn every_second_agrees_with_its_http_date(seconds in 0..=LAST_SECOND) {
            let utc = Utc::from_unix(seconds);
            let Utc { year, day, hour, minute, second, .. } = utc;
            let month = utc.month_name();
            let expected =
                format!("{day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT");
            prop_assert_eq!(&fixdate(seconds)[5..], expected.as_bytes());
        }
    }
}
