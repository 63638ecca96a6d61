//! How other threads speak to a worker: a queue of commands, and an eventfd that its ring reads.

use std::{
    collections::VecDeque,
    io,
    os::fd::OwnedFd,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustix::event::{EventfdFlags, eventfd};

/// What a worker can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Accept nothing more, finish what is in flight within this time, then end.
    Drain(Duration),
}

/// A worker's inbox. Commands are few (a drain, later a reload), so a lock serves.
#[derive(Debug)]
pub(crate) struct Inbox {
    commands: Mutex<VecDeque<Command>>,
    event: OwnedFd,
}

impl Inbox {
    pub(crate) fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC)?;
        Ok(Self { commands: Mutex::new(VecDeque::new()), event })
    }

    /// Leaves a command.
    pub(crate) fn send(&self, command: Command) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).push_back(command);
        // It fails only when the counter is full, and then the worker is awake.
        let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
    }

    /// The next command.
    pub(super) fn take(&self) -> Option<Command> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// What becomes readable when there is a command.
    pub(super) fn event(&self) -> &OwnedFd {
        &self.event
    }
}
