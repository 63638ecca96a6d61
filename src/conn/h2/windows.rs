//! What shut and open windows mean for the streams that wait to send.

use super::{
    Connection, Stop,
    streams::{Answering, Slot},
};
use crate::observe::Stage;

impl Connection<'_> {
    /// A stream may have something to send, or its window has changed.
    pub(super) fn ready_if_open(&mut self, slot: Slot) -> Result<(), Stop> {
        let now = self.now();
        let connections = self.window.available();
        let stream = self.streams.at(slot)?;
        stream.clock.flows(stream.content, stream.window.available(), connections);
        let waits =
            stream.reading || stream.parked || stream.kept_head.is_some() || !stream.has_content();
        if stream.answering == Answering::Sending && !waits && stream.window.available() > 0 {
            let shut = stream.opened(now);
            self.context.count(|counts| counts.http2_window_shut_ms += shut);
            self.schedule.insert(&mut self.streams, slot);
        }
        Ok(())
    }

    /// A stream's own window is shut: it leaves the schedule until the window opens.
    pub(super) fn stream_window_shut(&mut self, slot: Slot) -> Result<(), Stop> {
        self.schedule.remove(&mut self.streams, slot);
        let now = self.now();
        let stream = self.streams.at(slot)?;
        stream.shut_at(now);
        stream.clock.enter(Stage::Window);
        Ok(())
    }

    /// The connection's window is shut: that counts for every stream that could send.
    pub(super) fn connection_window_shut(&mut self) -> Result<(), Stop> {
        let now = self.now();
        for number in 0..self.streams.len() {
            let slot = self.streams.nth(number)?;
            let stream = self.streams.at(slot)?;
            if stream.queued {
                stream.shut_at(now);
                stream.clock.enter(Stage::Window);
            }
        }
        Ok(())
    }

    /// The connection's window has opened.
    pub(super) fn connection_window_opened(&mut self) -> Result<(), Stop> {
        let now = self.now();
        let connections = self.window.available();
        for number in 0..self.streams.len() {
            let slot = self.streams.nth(number)?;
            let stream = self.streams.at(slot)?;
            if stream.queued {
                let shut = stream.opened(now);
                stream.clock.enter(Stage::Turn);
                stream.clock.flows(stream.content, stream.window.available(), connections);
                self.context.count(|counts| counts.http2_window_shut_ms += shut);
            }
        }
        Ok(())
    }
}
