//! A thread that says who holds a worker: a handler that computes or blocks keeps all connections of its
//! worker waiting, and nothing else shows it while it lasts.

use std::{
    io,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::service::{Suspect, Watched};

/// Between two looks.
const EVERY: Duration = Duration::from_millis(50);

/// Looks for which a poll has been under way when it is reported: 200 ms and a little.
const LOOKS: u32 = 5;

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Watchdog {
    thread: Option<JoinHandle<()>>,
    stop: Option<mpsc::Sender<()>>,
}

impl Watchdog {
    /// Watches workers, in their order.
    ///
    /// # Errors
    /// There can be no further thread.
    pub(super) fn start(workers: Vec<Arc<Watched>>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let mut suspects: Vec<_> = workers.into_iter().map(Suspect::new).collect();
        let watch = move || {
            while stopped.recv_timeout(EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                for (number, suspect) in suspects.iter_mut().enumerate() {
                    if let Some(held) = suspect.look(LOOKS) {
                        let milliseconds = EVERY.as_millis() * u128::from(LOOKS - 1);
                        log::warn!(
                            "worker {number} has been in {} for {milliseconds} ms and more; its {} \
                             connections wait",
                            held.endpoint,
                            held.connections,
                        );
                    }
                }
            }
        };
        let thread = thread::Builder::new().name("watchdog".to_owned()).spawn(watch)?;
        Ok(Self { thread: Some(thread), stop: Some(stop) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("watchdog: it panicked");
        }
    }
}
