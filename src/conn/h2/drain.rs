//! Ends in order: two steps of GOAWAY, so that no request on its way is lost (RFC 9113
//! section 6.8), and the last words of a connection.

use super::{Connection, Stop};
use crate::{close::Ending, observe::Why, parse::h2::ErrorCode, respond::h2 as respond};

/// The payload of the PING whose answer ends the first step.
pub(super) const PING: [u8; 8] = *b"ringway!";

/// Milliseconds for that answer.
const PING_MS: u64 = 1_000;

/// The last id of GOAWAY that turns nothing away.
const NONE_YET: u32 = 0x7fff_ffff;

/// Ids left when the connection begins to drain.
const IDS_KEPT: u32 = 2_000;

/// How far the connection is on its way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Drain {
    /// Requests are welcome.
    #[default]
    Serving,
    /// The client knows that it should go elsewhere; what is on its way is still served.
    Announced {
        /// When the second step comes in any case, in milliseconds.
        until: u64,
    },
    /// Nothing beyond this stream is served.
    Final(u32),
}

impl Connection<'_> {
    /// The first step, unless it was taken.
    pub(super) fn begin_drain(&mut self) -> Result<(), Stop> {
        if self.drain != Drain::Serving {
            return Ok(());
        }
        self.drain = Drain::Announced { until: self.now() + PING_MS };
        self.go_away(NONE_YET, ErrorCode::NoError, "")?;
        self.reply(&respond::ping(PING))
    }

    /// The first step alone, for a peer that costs too much: an honest one goes on elsewhere, and
    /// what it has asked for is still served.
    /// `why` says which bound is near.
    pub(super) fn warn_once(&mut self, why: &'static str) -> Result<(), Stop> {
        if self.drain != Drain::Serving || std::mem::replace(&mut self.warned, true) {
            return Ok(());
        }
        self.go_away(NONE_YET, ErrorCode::NoError, why)
    }

    /// The client has seen the first step: all that it sent before has been read.
    pub(super) fn drain_acknowledged(&mut self) -> Result<(), Stop> {
        if !matches!(self.drain, Drain::Announced { .. }) {
            return Ok(());
        }
        self.drain = Drain::Final(self.last_stream);
        self.go_away(self.last_stream, ErrorCode::NoError, "")
    }

    /// Takes the steps that are due.
    pub(super) fn drain_if_due(&mut self) -> Result<(), Stop> {
        match self.drain {
            Drain::Serving if self.context.is_draining() => {
                self.session.clock.ends(Why::ServerDrain);
                self.begin_drain()
            }
            Drain::Announced { until } if self.now() >= until => self.drain_acknowledged(),
            Drain::Serving | Drain::Announced { .. } | Drain::Final(_) => Ok(()),
        }
    }

    /// A request was taken: the connection may have had as many as it may.
    pub(super) fn drain_if_used_up(&mut self) -> Result<(), Stop> {
        self.requests += 1;
        let used_up = self.requests >= self.context.terms().limits.requests_per_connection
            || self.last_stream >= NONE_YET - 2 * IDS_KEPT;
        if used_up && self.drain == Drain::Serving {
            self.session.clock.ends(Why::ServerRequests);
            return self.begin_drain();
        }
        Ok(())
    }

    /// Whether requests on a stream are no longer served.
    pub(super) fn is_beyond(&self, stream: u32) -> bool {
        matches!(self.drain, Drain::Final(last) if stream > last)
    }

    /// Whether all that was promised has left.
    pub(super) fn is_finished(&self) -> bool {
        matches!(self.drain, Drain::Final(_))
            && self.streams.is_empty()
            && self.replies.is_empty()
            && self.filled == 0
            && !self.session.writer.is_departing()
    }

    /// Since when a client that has sent GOAWAY has had all that it asked for.
    ///
    /// What it sends may already be followed by a PING, or by another request: GOAWAY of a client
    /// speaks of the server's streams alone (RFC 9113 section 6.8). So the connection stays for
    /// `--close-timeout`, unless the client ends it, as most do at once.
    pub(super) fn left_since(&self) -> Option<u64> {
        self.client_leaves
            .filter(|_| self.is_idle_now())
            .map(|announced| announced.max(self.idle_since))
    }

    fn go_away(&mut self, last: u32, code: ErrorCode, why: &str) -> Result<(), Stop> {
        self.context.count(|counts| match code {
            ErrorCode::NoError => counts.http2_goaway += 1,
            ErrorCode::InternalError => counts.http2_goaway_internal += 1,
            ErrorCode::FlowControlError => counts.http2_goaway_flow_control += 1,
            ErrorCode::StreamClosed => counts.http2_goaway_stream_closed += 1,
            ErrorCode::FrameSizeError => counts.http2_goaway_frame_size += 1,
            ErrorCode::CompressionError => counts.http2_goaway_compression += 1,
            ErrorCode::EnhanceYourCalm => counts.http2_goaway_calm += 1,
            _ => counts.http2_goaway_protocol += 1,
        });
        self.reply(&respond::go_away(last, code, why))?;
        if why.is_empty() { Ok(()) } else { self.reply(why.as_bytes()) }
    }

    /// Gathers the rest of a frame that was begun, and all control frames, once there is room.
    async fn gather_last(&mut self) -> Result<(), Stop> {
        while !self.finish_frame()? || !self.gather_replies()? {
            self.make_way().await?;
        }
        Ok(())
    }

    /// The end: says why, where that is owed.
    pub(super) async fn end(&mut self, stop: Stop) -> Ending {
        let open = self.streams.len() as u64;
        self.context.count(|counts| counts.http2_closed += open);
        let (code, why, ending) = match stop {
            Stop::Close(ending) => return ending,
            Stop::Leave(ending) => (ErrorCode::NoError, "", ending),
            Stop::GoAway(code, why) => {
                self.session.clock.ends(match code {
                    ErrorCode::EnhanceYourCalm => Why::Http2Flood,
                    ErrorCode::CompressionError => Why::Http2Compression,
                    ErrorCode::FlowControlError => Why::Http2FlowControl,
                    ErrorCode::InternalError => Why::ServerDefect,
                    _ => Why::Http2Protocol,
                });
                if code == ErrorCode::InternalError {
                    self.context.defect(&format_args!("http2: {why}"));
                } else {
                    log::debug!("http2: connection error {code}: {why}");
                }
                (code, why, Ending::Linger)
            }
        };
        // All that was ready leaves before; where even that finds no room, the reason does not
        // either.
        if self.gather_last().await.is_err() {
            return Ending::Reset;
        }
        // A later GOAWAY never takes back what an earlier one has turned away.
        let last = if let Drain::Final(last) = self.drain { last } else { self.last_stream };
        if self.go_away(last, code, why).is_err()
            || self.gather_last().await.is_err()
            || self.flush().await.is_err()
        {
            return Ending::Reset;
        }
        ending
    }
}
