//! The `Server-Timing` field (W3C Server Timing): the stages that are known when a head is written.

use std::io::Write;

use super::{RequestClock, Stage};

/// The value of the field, in memory of its own so that writing it allocates nothing.
#[derive(Debug)]
pub(crate) struct ServerTiming {
    text: [u8; Self::LONGEST],
    len: usize,
}

impl ServerTiming {
    const LONGEST: usize = 384;

    /// Bytes of the longest field line.
    pub(crate) const LONGEST_LINE: usize = Self::LONGEST + "Server-Timing: \r\n".len();

    /// What is known of a request: each stage that took time, in milliseconds to the microsecond; of
    /// the first request of a connection also its handshake.
    pub(crate) fn of(request: &RequestClock) -> Self {
        let mut timing = Self { text: [0; Self::LONGEST], len: 0 };
        request.so_far(|stage, nanoseconds| timing.push(stage, nanoseconds));
        let endpoint = request.endpoint();
        if endpoint.is_named() {
            timing.push_endpoint(&endpoint.name());
        }
        request.layer_times().each(|name, nanoseconds| timing.push_layer(name, nanoseconds));
        timing
    }

    /// Appends a stage; one that does not fit is left out.
    fn push(&mut self, stage: Stage, nanoseconds: u64) {
        let mut room = &mut self.text[self.len..];
        let before = room.len();
        let comma = if self.len == 0 { "" } else { ", " };
        let (ms, us) = (nanoseconds / 1_000_000, nanoseconds / 1_000 % 1_000);
        if write!(room, "{comma}{};dur={ms}.{us:03}", stage.name()).is_ok() {
            self.len += before - room.len();
        }
    }

    /// Appends the name of an endpoint, if it fits and a quoted string can hold it as it is.
    fn push_endpoint(&mut self, name: &str) {
        if !is_plain(name) {
            return;
        }
        let mut room = &mut self.text[self.len..];
        let before = room.len();
        let comma = if self.len == 0 { "" } else { ", " };
        if write!(room, "{comma}endpoint;desc=\"{name}\"").is_ok() {
            self.len += before - room.len();
        }
    }

    /// Appends the own time of a layer, if it fits and its name can stand in a quoted string.
    fn push_layer(&mut self, name: &str, nanoseconds: u64) {
        if !is_plain(name) {
            return;
        }
        let mut room = &mut self.text[self.len..];
        let before = room.len();
        let comma = if self.len == 0 { "" } else { ", " };
        let (ms, us) = (nanoseconds / 1_000_000, nanoseconds / 1_000 % 1_000);
        if write!(room, "{comma}layer;desc=\"{name}\";dur={ms}.{us:03}").is_ok() {
            self.len += before - room.len();
        }
    }

    /// The value of the field.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }
}

/// Whether a quoted string can hold this as it is.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_metrics_in_milliseconds() {
        let mut timing = ServerTiming { text: [0; ServerTiming::LONGEST], len: 0 };
        timing.push(Stage::HandshakeFull, 2_345_678);
        timing.push(Stage::Decode, 900);
        assert_eq!(timing.as_bytes(), b"handshake_full;dur=2.345, decode;dur=0.000");
    }

    #[test]
    fn what_does_not_fit_is_left_out_whole() {
        let mut timing = ServerTiming { text: [0; ServerTiming::LONGEST], len: 0 };
        (0..50).for_each(|_| timing.push(Stage::HandshakeResumed, u64::MAX));
        let text = std::str::from_utf8(timing.as_bytes()).unwrap();
        let metrics: Vec<_> = text.split(", ").collect();
        assert!(metrics.len() > 3 && metrics.iter().all(|metric| *metric == metrics[0]), "{text}");
    }
}
