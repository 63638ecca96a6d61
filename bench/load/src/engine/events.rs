//! What becomes of a connection after each of its events.

use std::io;
use std::time::Instant;

use ringway_bench_ring::{Done, Lease, Slot};

use super::{Engine, RETRY};
use crate::connection::{Asked, Role, State};
use crate::plan::Sessions;
use crate::run::Stage;
use crate::tally::{Failure, Trouble};

impl Engine<'_> {
    pub(super) fn handle(&mut self, done: Done) {
        match done {
            Done::Accepted { .. } | Done::Closed => {}
            Done::Connected { key, result } => self.connected(key, result),
            Done::Received { key, result, more } => self.received(key, result, more),
            Done::Written { key, slot, result } => self.written(key, slot, result),
        }
    }

    fn connected(&mut self, key: u32, result: io::Result<()>) {
        let connection = &mut self.connections[key as usize];
        connection.connecting = false;
        if !matches!(connection.state, State::Closing) {
            let outcome = result
                .map_err(|error| Trouble::new(Failure::Connect, error))
                .and_then(|()| connection.connected(&mut self.common));
            if let Err(trouble) = outcome {
                self.fail(key, trouble);
            }
        }
        self.settle(key);
    }

    fn received(&mut self, key: u32, result: io::Result<Option<Lease>>, more: bool) {
        const ENOBUFS: i32 = rustix::io::Errno::NOBUFS.raw_os_error();
        let connection = &mut self.connections[key as usize];
        connection.receiving = more;
        if matches!(connection.state, State::Closing) {
            return self.settle(key);
        }
        let outcome = match result {
            Ok(Some(mut bytes)) => {
                connection.allowance -= bytes.len() as f64;
                self.common.tally.wire_bytes += bytes.len() as u64;
                connection.receive(&mut bytes, &mut self.common)
            }
            Ok(None) => connection.closed().map(|()| connection.shut()),
            // All buffers were leased; they are free again by now.
            Err(error) if error.raw_os_error() == Some(ENOBUFS) => Ok(()),
            Err(error) => Err(Trouble::new(Failure::Closed, error)),
        };
        match outcome {
            Ok(()) => self.settle(key),
            Err(trouble) => {
                self.fail(key, trouble);
                self.settle(key);
            }
        }
    }

    fn written(&mut self, key: u32, slot: Slot, result: io::Result<usize>) {
        let connection = &mut self.connections[key as usize];
        let closing = matches!(connection.state, State::Closing);
        match connection.written(key, slot, result, &mut self.ring) {
            // The requests' answers will settle it, unless more output waits.
            Ok(()) if matches!(connection.state, State::Open(_)) => self.mark(key),
            Ok(()) => self.settle(key),
            Err(trouble) => {
                if !closing {
                    self.fail(key, trouble);
                }
                self.settle(key);
            }
        }
    }

    /// Counts a failure and shuts the connection.
    pub(super) fn fail(&mut self, key: u32, trouble: Trouble) {
        let connection = &mut self.connections[key as usize];
        let lost = connection.give_up();
        connection.shut();
        self.fruitless += 1;
        self.last_trouble = Some(trouble.clone());
        // That the server closes a connection that it need not keep is counted as such.
        let may_close = match connection.role {
            Role::Active => false,
            Role::Idle => self.control.stage() != Stage::Idle,
            Role::Slow => true,
        };
        if !(may_close && trouble.failure == Failure::Closed) {
            self.common.tally.fail(trouble, lost.max(1) as u64);
        }
        connection.since = Instant::now() + RETRY;
    }

    /// Looks at a connection after an event.
    pub(super) fn settle(&mut self, key: u32) {
        let connection = &mut self.connections[key as usize];
        let answered = connection.take_answered();
        if answered > 0 {
            self.fruitless = 0;
        }
        match &connection.state {
            State::Open(_) => self.settle_open(key, answered > 0),
            State::Shaking(_) => {
                self.arm(key);
                self.mark(key);
            }
            State::Ending if connection.is_written() => {
                if connection.close() {
                    self.closed(key, false);
                } else {
                    connection.shut();
                }
            }
            State::Ending => self.mark(key),
            State::Closing => {
                if connection.close() {
                    self.closed(key, true);
                }
            }
            State::Down | State::Connecting => {}
        }
    }

    fn settle_open(&mut self, key: u32, answered: bool) {
        let connection = &mut self.connections[key as usize];
        match connection.role {
            Role::Idle => {
                if answered {
                    self.idle_settled += 1;
                    if self.idle_settled == self.idle {
                        self.control.idle_ready();
                    }
                    self.open_next_idle();
                }
            }
            Role::Slow => {
                if connection.outstanding() == 0 && connection.may_ask() {
                    let now = Instant::now();
                    connection.ask(Asked { path: 0, due: now, sent: now });
                }
            }
            Role::Active if self.plan.sessions != Sessions::KeepAlive => {
                if answered {
                    return self.finish(key);
                }
            }
            Role::Active if self.pace.is_some() => self.offer(key),
            Role::Active => {
                if connection.may_ask() {
                    while connection.outstanding() < self.plan.depth {
                        let now = Instant::now();
                        connection.ask(Asked { path: self.mix.draw(), due: now, sent: now });
                    }
                }
            }
        }
        let connection = &mut self.connections[key as usize];
        if connection.outstanding() == 0 && !connection.may_ask() {
            return self.finish(key);
        }
        if connection.role != Role::Slow {
            self.arm(key);
        }
        self.mark(key);
    }

    /// Ends a connection that is not needed any more.
    fn finish(&mut self, key: u32) {
        let connection = &mut self.connections[key as usize];
        connection.end(Instant::now());
        if connection.is_written() { self.settle(key) } else { self.mark(key) }
    }

    /// The socket of a connection is closed; see what becomes of it.
    fn closed(&mut self, key: u32, shut: bool) {
        let connection = &self.connections[key as usize];
        let now = Instant::now();
        match connection.role {
            // What the server would not keep is not forced upon it.
            Role::Slow => self.common.tally.slow_closed += 1,
            Role::Idle if self.control.stage() != Stage::Idle => {
                self.common.tally.idle_closed += 1;
            }
            _ if self.control.stage() == Stage::Stop => {}
            _ if self.opens_on_demand(key) => self.offer(key),
            _ if shut && connection.since > now => self.retry.push((connection.since, key)),
            _ => self.open(key),
        }
    }
}
