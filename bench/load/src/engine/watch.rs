//! What is looked at now and then rather than after events: slow readers, retries, time-outs,
//! and at the end what has no answer.

use std::time::Instant;

use super::{Engine, TICK};
use crate::connection::{Connection, Role, State};
use crate::tally::{Failure, Trouble};

impl Engine<'_> {
    pub(super) fn tick(&mut self, now: Instant) {
        let tally = &self.common.tally;
        self.control.progress(self.index, tally.requests, tally.failed());
        let mut index = 0;
        while let Some(&(at, key)) = self.retry.get(index) {
            if at <= now {
                self.retry.swap_remove(index);
                self.open(key);
            } else {
                index += 1;
            }
        }
        let active = &self.connections[self.idle + self.slow..];
        if !self.warm && active.iter().all(|connection| connection.served > 0) {
            self.warm = true;
            self.control.warm();
        }
        let Some(slow) = self.plan.slow else { return };
        for key in self.idle..self.idle + self.slow {
            let connection = &mut self.connections[key];
            let rate = f64::from(slow.rate);
            connection.allowance = (connection.allowance + rate * TICK.as_secs_f64()).min(rate);
            let enough = connection.allowance >= (rate / 20.0).max(1.0);
            if matches!(connection.state, State::Open(_)) && !connection.receiving && enough {
                let limit = connection.allowance as u32;
                match self.ring.receive_once(key as u32, connection.socket(), limit) {
                    Ok(()) => connection.receiving = true,
                    Err(error) => self.fail(key as u32, Trouble::new(Failure::Closed, error)),
                }
            }
        }
    }

    /// Looks for time-outs, and for connections that a failure left to be closed.
    pub(super) fn sweep(&mut self, now: Instant) {
        for key in 0..self.connections.len() {
            let connection = &self.connections[key];
            let late = connection
                .waits_since()
                .is_some_and(|since| now.saturating_duration_since(since) > self.plan.timeout);
            if late && connection.role != Role::Slow {
                let what = format!("no answer in {:?}", self.plan.timeout);
                self.fail(key as u32, Trouble::new(Failure::Timeout, what));
            }
            if matches!(self.connections[key].state, State::Closing) {
                self.settle(key as u32);
            }
        }
    }

    /// When the measured interval begins: forgets what was counted, and takes stock of what is
    /// still to be answered.
    pub(super) fn begin(&mut self, now: Instant) {
        self.common.tally.reset();
        let active = &mut self.connections[self.idle + self.slow..];
        self.common.tally.carried = active.iter().map(|c| c.outstanding() as u64).sum();
        for connection in active {
            connection.served = 0;
        }
        if let Some(pace) = &mut self.pace {
            pace.advance(now);
            pace.begin();
            self.common.tally.carried += pace.waiting().count() as u64;
        }
        self.control.progress(self.index, 0, 0);
    }

    /// At the end: counts what has no answer yet, and how many each connection has had.
    pub(super) fn unfinished(&mut self, now: Instant) {
        let tally = &mut self.common.tally;
        let active = &self.connections[self.idle + self.slow..];
        tally.unfinished = active.iter().map(|c| c.outstanding() as u64).sum();
        tally.served = active.iter().map(|c| c.served).collect();
        if let Some(pace) = &mut self.pace {
            // What came due since the loop last looked is due as well.
            pace.advance(now);
            tally.due = pace.due();
            for due in pace.waiting().chain(active.iter().flat_map(Connection::dues)) {
                tally.latency(now.saturating_duration_since(due));
            }
            tally.unfinished += pace.waiting().count() as u64;
            tally.missed = pace.missed();
        }
    }

    pub(super) fn hopeless(&self) -> String {
        let last = self.last_trouble.as_ref().map_or("", |trouble| &trouble.what);
        format!("{}: nothing but failures; the last: {last}", self.plan.url)
    }
}
