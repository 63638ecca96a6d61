//! Requests out: who may be given one, who has something to write, and the writing itself.

use std::time::Instant;

use super::Engine;
use crate::connection::{Asked, Role, State};
use crate::plan::Sessions;
use crate::tally::{Failure, Trouble};

impl Engine<'_> {
    /// Arms the connection to receive.
    pub(super) fn arm(&mut self, key: u32) {
        let connection = &mut self.connections[key as usize];
        if connection.receiving {
            return;
        }
        let armed = if self.plan.sessions == Sessions::KeepAlive && connection.role != Role::Slow {
            self.ring.receive_all(key, connection.socket())
        } else {
            self.ring.receive_once(key, connection.socket(), 0)
        };
        match armed {
            Ok(()) => connection.receiving = true,
            Err(error) => self.fail(key, Trouble::new(Failure::Closed, error)),
        }
    }

    /// Puts the connection on the list of those with something to write.
    pub(super) fn mark(&mut self, key: u32) {
        let connection = &mut self.connections[key as usize];
        if !connection.dirty && connection.wants_write() {
            connection.dirty = true;
            self.dirty.push(key);
        }
    }

    /// At a fixed rate: lets the connection be given a request, if it can take one.
    pub(super) fn offer(&mut self, key: u32) {
        let on_demand = self.opens_on_demand(key);
        let connection = &mut self.connections[key as usize];
        let can = match connection.state {
            State::Down => on_demand,
            _ => connection.may_ask() && connection.outstanding() < self.plan.depth,
        };
        if can && !connection.listed {
            connection.listed = true;
            self.free.push_back(key);
        }
    }

    /// At a fixed rate: hands what is due to connections that are free.
    pub(super) fn issue(&mut self, now: Instant) -> bool {
        let on_demand = self.plan.sessions != Sessions::KeepAlive;
        let Some(pace) = &mut self.pace else { return false };
        pace.advance(now);
        let mut issued = false;
        while let Some(&key) = self.free.front() {
            let connection = &mut self.connections[key as usize];
            let down = matches!(connection.state, State::Down);
            let usable = connection.may_ask() || down && on_demand;
            if usable {
                let Some(pace) = &mut self.pace else { break };
                let Some(due) = pace.take() else { break };
                connection.ask(Asked { path: self.mix.draw(), due, sent: now });
                issued = true;
            }
            self.free.pop_front();
            self.connections[key as usize].listed = false;
            if !usable {
                continue;
            }
            if down {
                self.open(key);
            } else {
                self.offer(key);
                self.mark(key);
            }
        }
        issued
    }

    /// Writes to all connections that have something to write and find a slot.
    pub(super) fn flush(&mut self) {
        while let Some(&key) = self.dirty.last() {
            let connection = &mut self.connections[key as usize];
            if connection.wants_write() {
                let Some(slot) = self.ring.slot() else { return };
                let written = connection.write(key, slot, &mut self.ring, &self.common);
                if let Err(trouble) = written {
                    self.fail(key, trouble);
                }
            }
            self.connections[key as usize].dirty = false;
            self.dirty.pop();
        }
    }
}
