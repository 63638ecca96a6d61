//! Where reports come from: the workers' copies, the listeners' queues, the kernel's counters.

use std::{
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::{Arc, Weak, atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use super::root::RootFigures;
use crate::{
    observe::{
        Anatomy, KernelFigures, ListenerQueue, ServerFacts, access_log::LogHandle, admin::Source,
    },
    ring::TcpInfo,
    worker::{Command, Inbox},
};

/// How long all workers together may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// A listener of a worker, for as long as that holds it.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    pub(super) worker: usize,
    pub(super) listener: Weak<OwnedFd>,
}

/// Everything that a report is made of.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) facts: ServerFacts,
    pub(super) started: Instant,
    pub(super) inboxes: Vec<Arc<Inbox>>,
    pub(super) listeners: Vec<Listening>,
    pub(super) log: Option<LogHandle>,
    pub(super) root: Arc<RootFigures>,
}

impl Source for Sources {
    fn anatomy(&self) -> Anatomy {
        // Asked all at once, so that one that is stuck does not keep the others from being heard.
        let replies: Vec<_> = self
            .inboxes
            .iter()
            .map(|inbox| {
                let (reply, answer) = mpsc::sync_channel(1);
                inbox.send(Command::Snapshot(reply));
                answer
            })
            .collect();
        let until = Instant::now() + PATIENCE;
        let workers = replies
            .into_iter()
            .map(|answer| answer.recv_timeout(until.saturating_duration_since(Instant::now())).ok())
            .collect();
        let kernel = KernelFigures::sample(self.listeners.iter().filter_map(queue).collect());
        let log = self.log.as_ref().map(LogHandle::totals);
        let facts = ServerFacts {
            root_missing: self.root.missing.load(Ordering::Relaxed),
            root_replaced: self.root.replaced.load(Ordering::Relaxed),
            ..self.facts.clone()
        };
        Anatomy::of(facts, self.started.elapsed(), workers, kernel, log)
    }
}

fn queue(listening: &Listening) -> Option<ListenerQueue> {
    let listener = listening.listener.upgrade()?;
    let (queued, limit) = TcpInfo::of(&listener).ok()?.accept_queue();
    Some(ListenerQueue { address: listening.address, worker: listening.worker, queued, limit })
}
