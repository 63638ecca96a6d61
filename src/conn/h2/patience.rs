//! What a peer may cost: a balance that useful work fills and costly frames spend.
//!
//! Only what costs this server more than the peer is counted, and honest peers earn faster than
//! they spend. A low balance slows the connection down and sends the peer elsewhere; an empty one
//! ends it.

use crate::observe::Counts;

/// The balance at the start, and the most.
const MOST: i64 = 1_000;

/// Below this the connection is read once in [`SLOW_MS`] and gets GOAWAY(NO_ERROR).
const LOW: i64 = 400;

/// Milliseconds between two reads from a connection that has used up most of its patience.
pub(super) const SLOW_MS: u64 = 100;

/// Points that come back each second.
const A_SECOND: i64 = 50;

/// Bytes moved, either way, that are worth a point.
const BYTES_A_POINT: u64 = 16 * 1024;

/// Frames that a request is a reason for: a PING.
const A_REQUEST: u32 = 1;

/// Frames that one of DATA is a reason for: WINDOW_UPDATE for the stream and for the connection.
const A_FRAME: u32 = 2;

/// Frames that are expected at most.
const MOST_EXPECTED: u32 = 1_000;

/// What is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cost {
    /// RST_STREAM before the answer has left (CVE-2023-44487).
    ResetByPeer,
    /// RST_STREAM that the peer has provoked (CVE-2025-8671).
    ResetForFault,
    /// A stream beyond the limit, after the peer has acknowledged the limit.
    Refused,
    /// DATA without content and without an end, empty or padding alone (CVE-2019-9518).
    EmptyData,
    /// PRIORITY, PRIORITY_UPDATE, an unknown type.
    Control,
    /// SETTINGS, with so many streams open whose windows may change.
    Settings(usize),
    /// PING. Some clients send one with each request, or with each that they cancel.
    Ping,
    /// WINDOW_UPDATE under 1 KiB that opens nothing.
    SmallWindow,
    /// DATA of ours under 256 bytes, because the window allows no more.
    SmallFrame,
    /// WINDOW_UPDATE for a stream that has ended.
    LateWindow,
    /// Another frame for a stream that has ended.
    Closed,
}

impl Cost {
    fn points(self) -> i64 {
        match self {
            Self::ResetByPeer => 4,
            Self::ResetForFault | Self::Refused => 20,
            Self::EmptyData => 2,
            Self::Ping
            | Self::Control
            | Self::SmallWindow
            | Self::SmallFrame
            | Self::LateWindow
            | Self::Closed => 1,
            Self::Settings(streams) => 5 + streams as i64 / 10,
        }
    }

    /// Where the points are counted that were spent on it.
    pub(super) fn account(self, counts: &mut Counts) -> &mut u64 {
        match self {
            Self::ResetByPeer => &mut counts.http2_patience_cancelled,
            Self::ResetForFault => &mut counts.http2_patience_reset,
            Self::Refused => &mut counts.http2_patience_refused,
            Self::EmptyData => &mut counts.http2_patience_empty_data,
            Self::Control => &mut counts.http2_patience_control,
            Self::Settings(_) => &mut counts.http2_patience_settings,
            Self::Ping => &mut counts.http2_patience_ping,
            Self::SmallWindow | Self::LateWindow => &mut counts.http2_patience_window,
            Self::SmallFrame => &mut counts.http2_patience_small_frame,
            Self::Closed => &mut counts.http2_patience_closed,
        }
    }

    /// Whether an answer is a reason for it.
    fn is_expected(self) -> bool {
        matches!(self, Self::Ping | Self::SmallWindow | Self::LateWindow)
    }

    /// Which bound was met, for the debug data of GOAWAY and the log.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::ResetByPeer => "too many requests were cancelled",
            Self::ResetForFault => "too many streams had to be reset",
            Self::Refused => "too many streams beyond SETTINGS_MAX_CONCURRENT_STREAMS",
            Self::EmptyData => "too many DATA frames without content",
            Self::Ping => "too many PINGs",
            Self::Control => "too many PRIORITY or unknown frames",
            Self::Settings(_) => "too many SETTINGS",
            Self::SmallWindow | Self::LateWindow => {
                "too many WINDOW_UPDATEs that open little or nothing"
            }
            Self::SmallFrame => "the windows let through too little at a time",
            Self::Closed => "too many frames for streams that have ended",
        }
    }
}

/// How much is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Enough,
    /// The peer should go elsewhere.
    Low,
    /// The connection ends.
    None,
}

/// The balance of one connection.
#[derive(Debug)]
pub(super) struct Patience {
    points: i64,
    /// Frames of the peer that are free of cost, since answers are a reason for them.
    expected: u32,
    /// Bytes that have not made a point yet.
    bytes: u64,
    /// Until when points have come back, in milliseconds.
    filled: u64,
}

impl Patience {
    pub(super) fn new(now: u64) -> Self {
        Self { points: MOST, expected: 0, bytes: 0, filled: now }
    }

    /// Points that something costs now: none if an answer was a reason for it.
    pub(super) fn price(&self, cost: Cost) -> u64 {
        let free = cost.is_expected() && self.expected > 0;
        if free { 0 } else { cost.points().unsigned_abs() }
    }

    /// Pays for something at `now`.
    pub(super) fn spend(&mut self, cost: Cost, now: u64) -> Left {
        self.refill(now);
        if cost.is_expected() && self.expected > 0 {
            self.expected -= 1;
        } else {
            self.points -= cost.points();
        }
        self.left()
    }

    /// An answer was completed.
    pub(super) fn answered(&mut self) {
        self.points = (self.points + 1).min(MOST);
        self.expect(A_REQUEST);
    }

    /// A frame of content was sent: the peer may open both windows for it.
    pub(super) fn sent_frame(&mut self) {
        self.expect(A_FRAME);
    }

    fn expect(&mut self, frames: u32) {
        self.expected = (self.expected + frames).min(MOST_EXPECTED);
    }

    /// Content was moved, or consumed.
    pub(super) fn moved(&mut self, bytes: u64) {
        let bytes = self.bytes + bytes;
        self.bytes = bytes % BYTES_A_POINT;
        let points = i64::try_from(bytes / BYTES_A_POINT).unwrap_or(MOST);
        self.points = self.points.saturating_add(points).min(MOST);
    }

    /// What is left at `now`.
    #[cfg(test)]
    fn at(&mut self, now: u64) -> Left {
        self.refill(now);
        self.left()
    }

    fn left(&self) -> Left {
        match self.points {
            LOW.. => Left::Enough,
            1.. => Left::Low,
            _ => Left::None,
        }
    }

    fn refill(&mut self, now: u64) {
        let a_point = 1000 / A_SECOND as u64;
        let points = now.saturating_sub(self.filled) / a_point;
        if points > 0 {
            self.filled += points * a_point;
            let points = i64::try_from(points).unwrap_or(MOST);
            self.points = self.points.saturating_add(points).min(MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_cancels_is_borne_and_a_flood_is_not() {
        let mut patience = Patience::new(0);
        for _ in 0..100 {
            assert_eq!(patience.spend(Cost::ResetByPeer, 0), Left::Enough);
            assert_eq!(patience.spend(Cost::Ping, 0), Left::Enough);
        }
        let mut patience = Patience::new(0);
        let left: Vec<_> = (0..251).map(|_| patience.spend(Cost::ResetByPeer, 0)).collect();
        let count = |wanted| left.iter().filter(|left| **left == wanted).count();
        assert_eq!([count(Left::Enough), count(Left::Low), count(Left::None)], [150, 99, 2]);
    }

    /// As clients do that open both windows for each small answer, and send a PING.
    #[test]
    fn what_answers_are_a_reason_for_is_free() {
        let mut patience = Patience::new(0);
        for _ in 0..10_000 {
            patience.answered();
            patience.sent_frame();
            for cost in [Cost::Ping, Cost::SmallWindow, Cost::LateWindow] {
                assert_eq!(patience.spend(cost, 0), Left::Enough);
            }
        }
        assert_eq!(patience.points, MOST);
        let left: Vec<_> = (0..1_001).map(|_| patience.spend(Cost::Ping, 0)).collect();
        assert_eq!(left.last(), Some(&Left::None));
    }

    #[test]
    fn work_and_time_fill_the_balance_up_to_the_most() {
        let mut patience = Patience::new(1000);
        for _ in 0..30 {
            patience.spend(Cost::ResetForFault, 1000);
        }
        assert_eq!(patience.at(1000), Left::Enough);
        patience.spend(Cost::Control, 1000);
        assert_eq!(patience.at(1019), Left::Low);
        assert_eq!(patience.at(1020), Left::Enough);
        patience.spend(Cost::Control, 1020);
        patience.moved(16_383);
        assert_eq!(patience.at(1020), Left::Low);
        patience.moved(1);
        assert_eq!(patience.at(1020), Left::Enough);
        patience.spend(Cost::Control, 1020);
        patience.answered();
        assert_eq!(patience.at(1020), Left::Enough);
        patience.moved(u64::MAX / 2);
        assert_eq!(patience.points, MOST);
        assert_eq!(patience.at(u64::MAX), Left::Enough);
        assert_eq!(Cost::Settings(100).points(), 15);
    }
}
