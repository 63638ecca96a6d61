//! The threads of the workers, and how they end.
//!
//! The invariant: a thread is joined unless a disk holds it. The kernel does not let a thread end
//! while one of its operations is in progress, and an open or a read of a disk that does not answer
//! cannot be cancelled; only the end of the process ends it.

use std::{
    io,
    sync::mpsc::{Receiver, Sender, channel},
    thread::{self, JoinHandle},
};

use super::ServerError;
use crate::worker::{Plan, Report, Worker};

/// The thread of one worker.
#[derive(Debug)]
pub(super) struct WorkerThread {
    number: usize,
    outcome: Receiver<io::Result<Report>>,
    thread: JoinHandle<()>,
}

impl WorkerThread {
    /// Starts a worker. Whether it could be set up is sent to `ready`.
    ///
    /// # Errors
    /// There can be no further thread.
    pub(super) fn start(
        number: usize,
        plan: Plan,
        ready: Sender<io::Result<()>>,
    ) -> io::Result<Self> {
        let (ended, outcome) = channel();
        #[cfg(feature = "service")]
        let runtime = plan.applications.runtime.clone();
        let work = move || {
            let worker = match Worker::set_up(plan) {
                Ok(worker) => worker,
                Err(error) => {
                    let _ = ready.send(Err(error));
                    let _ = ended.send(Ok(Report::default()));
                    return;
                }
            };
            let _ = ready.send(Ok(()));
            drop(ready);
            // The waiting thread is there until it comes.
            let _ = ended.send(worker.run());
        };
        // Applications find the runtime entered, for as long as the worker lives.
        #[cfg(feature = "service")]
        let work = move || runtime.entered(work);
        let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(work)?;
        Ok(Self { number, outcome, thread })
    }

    /// Waits until the worker has ended; says what it did.
    ///
    /// # Errors
    /// It ended for another reason than a drain.
    pub(super) fn join(self) -> Result<Report, ServerError> {
        let Self { number, outcome, thread } = self;
        let outcome = outcome.recv();
        if let Ok(Ok(Report { in_flight: 1.., .. })) = outcome {
            log::warn!("worker {number}: a disk does not answer; its thread is not waited for");
        } else if thread.join().is_err() {
            return Err(ServerError::Panicked);
        }
        outcome.map_err(|_| ServerError::Panicked)?.map_err(ServerError::Ring)
    }
}
