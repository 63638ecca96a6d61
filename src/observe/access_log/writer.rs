//! The log's thread, its file, and the command that reopens it.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, Receiver, Sender, SyncSender},
    },
    thread,
    time::{Duration, SystemTime},
};

use rustix::fs::OFlags;

use super::{BATCHES, Batch, Feed, Message, Rules, format::PushLine};
use crate::{
    config::{AccessLogTarget, LogFormat},
    monotonic::Monotonic,
};

/// Memory of the lines of one batch that is kept between batches.
const KEPT: usize = 256 << 10;

/// How long the end of a server waits for its log.
const LAST_LINES: Duration = Duration::from_secs(5);

/// What became of lines, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Written.
    pub written: u64,
    /// Dropped, because the log's thread did not keep up.
    pub dropped: u64,
    /// Lost, because the file could not be written.
    pub failed: u64,
    /// Times that the file was opened anew.
    pub reopened: u64,
}

impl Totals {
    /// What was added since `earlier`.
    pub(in crate::observe) fn since(self, earlier: Self) -> Self {
        Self {
            written: self.written.saturating_sub(earlier.written),
            dropped: self.dropped.saturating_sub(earlier.dropped),
            failed: self.failed.saturating_sub(earlier.failed),
            reopened: self.reopened.saturating_sub(earlier.reopened),
        }
    }
}

#[derive(Debug, Default)]
struct Counters {
    written: AtomicU64,
    dropped: Arc<AtomicU64>,
    failed: AtomicU64,
    reopened: AtomicU64,
}

/// Makes a log reopen its file, and reports what became of its lines. May be cloned and sent.
#[derive(Clone, Debug)]
pub(crate) struct LogHandle {
    messages: SyncSender<Message>,
    /// Whether a [`Message::Reopen`] is in the queue: there is room for one.
    reopening: Arc<AtomicBool>,
    counters: Arc<Counters>,
}

impl LogHandle {
    /// Opens the file of that name anew, after what was handed over before; lines go to the old
    /// one until then. For log rotation.
    pub(crate) fn reopen(&self) {
        // However many signals come, one message waits: others would take the room of the last.
        if !self.reopening.swap(true, Ordering::AcqRel)
            && let Err(error) = self.messages.try_send(Message::Reopen)
        {
            self.reopening.store(false, Ordering::Release);
            log::debug!("access log: its thread has ended: {error}");
        }
    }

    /// What became of lines so far.
    pub(crate) fn totals(&self) -> Totals {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            written: get(&self.counters.written),
            dropped: get(&self.counters.dropped),
            failed: get(&self.counters.failed),
            reopened: get(&self.counters.reopened),
        }
    }
}

/// An access log that has been opened, and the thread that writes it.
#[derive(Debug)]
pub(crate) struct AccessLog {
    /// Closed when the thread has ended.
    ended: Receiver<()>,
    handle: LogHandle,
}

/// The access log cannot be opened.
#[derive(Debug)]
pub struct AccessLogError {
    path: PathBuf,
    error: io::Error,
}

impl fmt::Display for AccessLogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, error } = self;
        let advice = if error.raw_os_error() == Some(libc::ENXIO) {
            "it is a pipe that nobody reads: start its reader first"
        } else {
            "name a file in a folder that this user may write to, or - for standard output"
        };
        write!(f, "the access log {} cannot be opened: {error}; {advice}", path.display())
    }
}

impl std::error::Error for AccessLogError {}

/// An access log that has been opened and that nobody writes yet.
#[derive(Debug)]
pub(crate) struct LogFile(Output);

impl LogFile {
    /// Opens the log, to append to it.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(crate) fn open(target: &AccessLogTarget) -> Result<Self, AccessLogError> {
        let failed = |error| AccessLogError { path: target.path().to_owned(), error };
        Output::open(target).map(Self).map_err(failed)
    }
}

impl AccessLog {
    /// Starts the log's thread; with a way to it for each of so many workers.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn start(
        LogFile(output): LogFile,
        format: LogFormat,
        rules: Rules,
        workers: usize,
    ) -> Result<(Self, Vec<Feed>), AccessLogError> {
        let path = output.path().to_owned();
        let failed = |error| AccessLogError { path, error };
        let counters = Arc::new(Counters::default());
        let (messages, received) = queue(workers);
        let (mut feeds, mut returns) = (Vec::new(), Vec::new());
        for worker in 0..workers {
            let (back, empty) = mpsc::channel();
            for _ in 0..BATCHES {
                let _ = back.send(Batch::new(worker));
            }
            returns.push(back);
            let (full, dropped) = (messages.clone(), Arc::clone(&counters.dropped));
            let start = Monotonic::now();
            feeds.push(Feed { rules, passed_over: 0, start, filling: None, empty, full, dropped });
        }
        let reopening = Arc::default();
        let handle =
            LogHandle { messages, reopening: Arc::clone(&reopening), counters: counters.clone() };
        let mut writing = Writing { output, format, reopening, counters };
        let (end, ended) = mpsc::channel();
        thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                writing.run(&received, &returns);
                drop(end);
            })
            .map_err(failed)?;
        Ok((Self { ended, handle }, feeds))
    }

    /// The handle that makes it reopen.
    pub(crate) fn handle(&self) -> LogHandle {
        self.handle.clone()
    }

    /// Waits until all that was handed over before is written, for five seconds at most.
    pub(crate) fn finish(self) {
        let Self { ended, handle } = self;
        if handle.messages.try_send(Message::End).is_err() {
            log::error!("access log: its queue has no room for the end: a defect");
        }
        if ended.recv_timeout(LAST_LINES) == Err(mpsc::RecvTimeoutError::Timeout) {
            log::warn!("access log: its last lines could not be written in time");
        }
    }
}

/// The queue of the log's thread: room for every batch, one [`Message::Reopen`] and the end.
fn queue(workers: usize) -> (SyncSender<Message>, Receiver<Message>) {
    mpsc::sync_channel(workers * BATCHES + 2)
}

/// Where lines go.
#[derive(Debug)]
enum Output {
    Stdout,
    File { path: PathBuf, file: File },
}

impl Output {
    fn open(target: &AccessLogTarget) -> io::Result<Self> {
        match target {
            AccessLogTarget::Stdout => Ok(Self::Stdout),
            AccessLogTarget::File(path) => {
                Ok(Self::File { path: path.clone(), file: append_to(path)? })
            }
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Stdout => Path::new("-"),
            Self::File { path, .. } => path,
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Self::File { path, file } = self {
            *file = append_to(path)?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                io::stdout().lock().write_all(bytes).and_then(|()| io::stdout().flush())
            }
            Self::File { file, .. } => file.write_all(bytes),
        }
    }
}

/// Opens a file to append to it. A pipe that nobody reads is refused (ENXIO) instead of waited for;
/// from then on writes wait for the reader, which only the log's thread notices.
fn append_to(path: &PathBuf) -> io::Result<File> {
    let nonblocking = OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().create(true).append(true).custom_flags(nonblocking).open(path)?;
    let flags = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
    Ok(file)
}

struct Writing {
    output: Output,
    format: LogFormat,
    reopening: Arc<AtomicBool>,
    counters: Arc<Counters>,
}

impl Writing {
    fn run(&mut self, messages: &Receiver<Message>, returns: &[Sender<Batch>]) {
        let mut text = String::new();
        let mut failing = false;
        for message in messages {
            let mut batch = match message {
                Message::Batch(batch) => batch,
                Message::End => return,
                Message::Reopen => {
                    // What is asked for from here on finds a file that is opened later.
                    self.reopening.store(false, Ordering::Release);
                    match self.output.reopen() {
                        Ok(()) => _ = self.counters.reopened.fetch_add(1, Ordering::Relaxed),
                        Err(error) => {
                            log::warn!("access log: it cannot be opened anew: {error}");
                        }
                    }
                    continue;
                }
            };
            text.clear();
            if failing {
                // What failed may have ended within a line.
                text.push('\n');
            }
            let (wall, now) = (SystemTime::now(), batch.start.elapsed());
            for line in &batch.lines {
                let head = &batch.heads[line.head.clone()];
                let ago = Duration::from_nanos(now.saturating_sub(line.finished.ended));
                self.format.push_line(&mut text, line, head, (batch.worker, wall - ago));
            }
            let lines = batch.lines.len() as u64;
            match self.output.write(text.as_bytes()) {
                Ok(()) => {
                    failing = false;
                    self.counters.written.fetch_add(lines, Ordering::Relaxed);
                }
                Err(error) => {
                    self.counters.failed.fetch_add(lines, Ordering::Relaxed);
                    // Once, and not for each batch of a disk that stays full.
                    if !std::mem::replace(&mut failing, true) {
                        log::error!("access log: lines are lost: {error}");
                    }
                }
            }
            text.shrink_to(KEPT);
            batch.lines.clear();
            batch.heads.clear();
            batch.heads.shrink_to(2 * super::BATCH_BYTES);
            if let Some(back) = returns.get(batch.worker) {
                let _ = back.send(batch);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_without_a_reader_is_refused_and_with_one_taken() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("log");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
        let target = AccessLogTarget::File(pipe.clone());
        let error = LogFile::open(&target).unwrap_err().to_string();
        assert!(error.contains("start its reader first"), "{error}");
        let nonblocking = OFlags::NONBLOCK.bits() as i32;
        let reader = OpenOptions::new().read(true).custom_flags(nonblocking).open(&pipe).unwrap();
        let LogFile(Output::File { file, .. }) = LogFile::open(&target).unwrap() else { panic!() };
        let flags = rustix::fs::fcntl_getfl(&file).unwrap();
        assert!(!flags.contains(OFlags::NONBLOCK), "a slow reader is waited for");
        drop(reader);
    }

    /// Signals that come while the log's thread waits for its disk.
    #[test]
    fn however_often_it_is_reopened_the_end_has_its_place() {
        let (messages, received) = queue(1);
        let handle = LogHandle {
            messages,
            reopening: Arc::default(),
            counters: Arc::new(Counters::default()),
        };
        for _ in 0..BATCHES {
            handle.messages.try_send(Message::Batch(Batch::new(0))).unwrap();
        }
        for _ in 0..100 {
            handle.reopen();
        }
        handle.messages.try_send(Message::End).unwrap();
        let reopens = received.try_iter().filter(|m| matches!(m, Message::Reopen)).count();
        assert_eq!(reopens, 1);
    }
}
