//! How other threads speak to a worker: a queue of commands, and an eventfd that its ring reads.

use std::{
    collections::VecDeque,
    io,
    os::fd::OwnedFd,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::AcqRel},
        mpsc::SyncSender,
    },
    time::Duration,
};

use rustix::event::{EventfdFlags, eventfd};

use super::Change;
use crate::{conn::SitePlan, files::Folder, observe::WorkerSnapshot};

/// A command to a worker.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// Say by readiness that the server is about to stop.
    Leave,
    /// Accept nothing more, finish what is in flight within this time, then end.
    Drain(Duration),
    /// Serve this folder, which stands at this path now.
    Folder(Arc<Path>, Arc<Folder>),
    /// Make what is this worker's own of a plan, with these changes of its listeners, and say when that
    /// is done.
    Prepare(Arc<SitePlan>, Change, SyncSender<()>),
    /// Serve what was prepared last.
    Switch,
    /// Give up what was prepared.
    Forget,
    /// Send a copy of what was noted. Dropped unanswered if the worker ends before.
    Snapshot(SyncSender<Box<WorkerSnapshot>>),
    /// The same; then forget the slowest requests, which the asker keeps.
    Collect(SyncSender<Box<WorkerSnapshot>>),
}

/// A worker's inbox. Commands are few (a drain, now and then a question), so a lock serves.
#[derive(Debug)]
pub(crate) struct Inbox {
    commands: Mutex<VecDeque<Command>>,
    /// Idle connections to evict, since another worker has none. A number, not a
    /// command: however often it is asked for, there is no more than this of it.
    room: AtomicU32,
    event: Arc<OwnedFd>,
}

impl Inbox {
    pub(crate) fn new() -> io::Result<Self> {
        let event = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        Ok(Self { commands: Mutex::new(VecDeque::new()), room: AtomicU32::new(0), event })
    }

    /// Leaves a command.
    pub(crate) fn send(&self, command: Command) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).push_back(command);
        self.wake();
    }

    /// Asks the worker to evict so many idle connections, for those that wait on another worker. What was
    /// asked for before and has not been looked at is not added up: it may be for the same ones.
    pub(super) fn ask_for_room(&self, wanted: u32) {
        // Who asked first has woken it.
        if self.room.fetch_max(wanted, AcqRel) == 0 {
            self.wake();
        }
    }

    fn wake(&self) {
        // It fails only when the counter is full, and then the worker is awake.
        let _ = rustix::io::write(&*self.event, &1_u64.to_ne_bytes());
    }

    /// The next command.
    pub(super) fn take(&self) -> Option<Command> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Takes the number of idle connections to evict.
    pub(super) fn take_room(&self) -> u32 {
        self.room.swap(0, AcqRel)
    }

    /// What becomes readable when there is something to take.
    pub(super) fn event(&self) -> &Arc<OwnedFd> {
        &self.event
    }
}
