//! Work at the start that may block for good: a pipe that nobody writes to, a network file system
//! that does not answer. It runs on a thread of its own, and the start waits for it for a bounded
//! time, on a thread that signals reach.

use std::{
    fmt::Display,
    path::PathBuf,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use super::StartError;

/// How long one such piece of work may take: longer than mounting a file system on demand does.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How long a thread that has ended may go on being counted by the kernel.
const REAPING: Duration = Duration::from_secs(1);

/// Does `work`, which opens or reads `what`, and waits for it for [`PATIENCE`] at most. When this
/// returns with a result, the thread is gone for the kernel too: what the process gives up next
/// depends on its having one thread only.
///
/// # Errors
/// [`StartError::Blocked`] if the time is over; the thread is then left behind. What the system says
/// if there is no thread for it.
pub(super) fn within<T: Send + 'static>(
    what: impl Display,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StartError> {
    wait_for(PATIENCE, what, work)
}

fn wait_for<T: Send + 'static>(
    patience: Duration,
    what: impl Display,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StartError> {
    let (done, result) = mpsc::sync_channel(1);
    let worker = thread::Builder::new().name("start".to_owned()).spawn(move || {
        let task = PathBuf::from(format!("/proc/self/task/{}", rustix::thread::gettid()));
        // Nobody listens any more if the time is over.
        let _ = done.send((task, work()));
    });
    let worker = worker.map_err(StartError::Thread)?;
    match result.recv_timeout(patience) {
        Ok((task, value)) => {
            if let Err(panic) = worker.join() {
                std::panic::resume_unwind(panic);
            }
            let until = Instant::now() + REAPING;
            while task.exists() && Instant::now() < until {
                thread::sleep(Duration::from_micros(100));
            }
            Ok(value)
        }
        Err(RecvTimeoutError::Timeout) => Err(StartError::Blocked { what: what.to_string() }),
        Err(RecvTimeoutError::Disconnected) => match worker.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => Err(StartError::Blocked { what: what.to_string() }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_blocks_is_given_up_and_named() {
        assert_eq!(within("a file", || 7).unwrap(), 7);
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("cert.pem");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
        let shown = pipe.display().to_string();
        let path = pipe.clone();
        let patience = Duration::from_millis(50);
        let error = wait_for(patience, &shown, move || std::fs::read(path)).unwrap_err();
        assert!(matches!(error, StartError::Blocked { .. }));
        assert!(error.to_string().contains(&shown), "{error}");
        // Lets the thread go.
        drop(std::fs::File::options().write(true).open(&pipe).unwrap());
    }
}
