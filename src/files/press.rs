//! Compressing files apart from the workers, once for each version of a file and each coding.
//!
//! The first request for a file only notes that clients want it; the second has it compressed, by a
//! thread that yields to the workers. No request waits: the plain file goes out until the result is
//! there, which the next request for the file takes into the cache. *Bounded*: one thread,
//! [`WAITING`] files in line, and [`PRESS_HELD_BYTES`] for their contents and for results that no request
//! has taken, each of which takes the place of its content; what is beyond is refused and asked for again a second later. *Never torn*: content that
//! is read anew counts only if the file is the same before and after.

use std::{
    cell::{Cell, RefCell},
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use sha2::{Digest, Sha256};

use super::{Pool, entry::stat};
use crate::{
    config::PRESS_HELD_BYTES,
    encode::encode,
    process::{
        negotiate::{Coding, Siblings},
        validator::{EntityTag, FileStat},
    },
};

/// Files that wait for the thread.
const WAITING: usize = 32;

/// Bytes of a file that is worth compressing, at least: below, a response is one packet anyway.
const SHORTEST: u64 = 1 << 10;

/// The longest file that is compressed, in bytes.
const LONGEST: u64 = 4 << 20;

/// After a refusal the file is asked for again after so long, in milliseconds.
const PAUSE: u64 = 1_000;

/// How much less the workers' threads leave to the one that compresses (`setpriority(2)`).
const NICE: i32 = 10;

/// What compresses for all workers of a server.
#[derive(Clone, Debug)]
pub(crate) struct Press {
    pool: Pool,
    held: Arc<AtomicUsize>,
}

impl Default for Press {
    fn default() -> Self {
        Self { pool: Pool::of("compress", 1, WAITING), held: Arc::default() }
    }
}

impl Press {
    /// Ends it, see [`Pool::close`].
    pub(crate) fn close(&self, limit: Duration) {
        self.pool.close(limit);
    }

    /// The codings that can be made of a file of this length and media type.
    pub(super) fn offer(codings: Siblings, stat: &FileStat, compressible: bool) -> Siblings {
        let fits = (SHORTEST..=LONGEST).contains(&stat.length);
        if fits && compressible { codings } else { Siblings::default() }
    }

    /// Has a content compressed. None if the queue or its memory is full.
    fn begin(&self, original: Original, stat: &FileStat, coding: Coding) -> Option<Arc<Job>> {
        let mut held = Held::reserve(&self.held, stat.length as usize)?;
        let job = Arc::new(Job { coding, done: AtomicBool::new(false), result: Mutex::default() });
        // A file that is not known any more need not be compressed.
        let (wanted, stat) = (Arc::downgrade(&job), *stat);
        let run = move || {
            let Some(job) = wanted.upgrade() else { return };
            let done = Done(job);
            let result = original.compress(&stat, coding).map(|bytes| {
                // The result is shorter, and stands in the place of the content.
                held.shrink_to(bytes.len());
                Pressed { tag: tag_of(&bytes, &stat, coding), bytes, _held: held }
            });
            *done.0.result.lock().unwrap_or_else(PoisonError::into_inner) = result;
        };
        self.pool.run(Box::new(run)).ok()?;
        Some(job)
    }
}

/// The content of a file, as a thread gets it.
pub(super) enum Original {
    Bytes(Vec<u8>),
    File(OwnedFd),
}

impl Original {
    /// The coded content, if it is worth having: at least an eighth shorter.
    fn compress(self, stat: &FileStat, coding: Coding) -> Option<Vec<u8>> {
        yield_to_workers();
        let bytes = match self {
            Self::Bytes(bytes) => bytes,
            Self::File(file) => read(&file, stat)?,
        };
        let coded = encode(coding, &bytes).ok()?;
        (coded.len() <= bytes.len() - bytes.len() / 8).then_some(coded)
    }
}

/// All of a file, if it is this version before and after.
fn read(file: &OwnedFd, version: &FileStat) -> Option<Vec<u8>> {
    let is_same = || stat(file).is_ok_and(|(_, now)| now == *version);
    let mut bytes = vec![0; usize::try_from(version.length).ok()?];
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::io::pread(file.as_fd(), bytes.get_mut(filled..)?, filled as u64) {
            Ok(0) => return None,
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    is_same().then_some(bytes)
}

/// The thread gets what the workers leave. Where that is refused it is a thread as any.
fn yield_to_workers() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICE) {
        log::debug!("files: the priority of a thread stays: {error}");
    }
}

fn tag_of(coded: &[u8], stat: &FileStat, coding: Coding) -> EntityTag {
    let hash = Sha256::digest(coded);
    let digest = hash.iter().take(8).fold(0, |digest, byte| digest << 8 | u64::from(*byte));
    EntityTag::made(&FileStat { length: coded.len() as u64, ..*stat }, digest, coding)
}

/// Bytes in the account of what is held, for as long as this lives.
struct Held {
    account: Arc<AtomicUsize>,
    bytes: usize,
}

impl Held {
    fn reserve(account: &Arc<AtomicUsize>, bytes: usize) -> Option<Self> {
        let before = account.fetch_add(bytes, Ordering::Relaxed);
        let held = Self { account: Arc::clone(account), bytes };
        // Dropping it takes the bytes back.
        (before.saturating_add(bytes) <= PRESS_HELD_BYTES).then_some(held)
    }

    fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.account.fetch_sub(less, Ordering::Relaxed);
        self.bytes -= less;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.account.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A content that was compressed.
pub(super) struct Pressed {
    pub(super) bytes: Vec<u8>,
    pub(super) tag: EntityTag,
    _held: Held,
}

/// A file on its way through the thread.
struct Job {
    coding: Coding,
    done: AtomicBool,
    /// Set before `done`; None where nothing came of it.
    result: Mutex<Option<Pressed>>,
}

/// The job is done, whatever became of it.
struct Done(Arc<Job>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.done.store(true, Ordering::Release);
    }
}

/// What clients have asked of one version of a file: kept for as long as that is known.
#[derive(Default)]
pub(super) struct Demand {
    /// Somebody wanted it compressed.
    asked: Cell<bool>,
    jobs: RefCell<Vec<Arc<Job>>>,
    /// Codings of which nothing came.
    useless: Cell<Siblings>,
    /// When to ask again after a refusal, in milliseconds on the worker's clock.
    again: Cell<u64>,
}

/// What became of a wish for a coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// It is noted, being seen to, or of no use.
    Noted,
    /// A thread makes it.
    Begun,
    /// The queue is full.
    Shed,
}

impl Demand {
    /// Notes that a client wants this coding, and has it made at the second time. `original` gives the
    /// content; None where it cannot be had.
    pub(super) fn note(
        &self,
        press: &Press,
        stat: &FileStat,
        coding: Coding,
        now: u64,
        original: impl FnOnce() -> io::Result<Option<Original>>,
    ) -> Wish {
        let is_begun = self.jobs.borrow().iter().any(|job| job.coding == coding);
        if is_begun || self.useless.get().has(coding) || now < self.again.get() {
            return Wish::Noted;
        }
        if !self.asked.replace(true) {
            return Wish::Noted;
        }
        let begun = match original() {
            Ok(Some(original)) => press.begin(original, stat, coding),
            Ok(None) => {
                self.useless.set(self.useless.get().with(coding));
                return Wish::Noted;
            }
            // Descriptors have run out.
            Err(_) => None,
        };
        let Some(job) = begun else {
            self.again.set(now.saturating_add(PAUSE));
            return Wish::Shed;
        };
        self.jobs.borrow_mut().push(job);
        Wish::Begun
    }

    /// Whether there are results that nobody took.
    pub(super) fn is_ready(&self) -> bool {
        self.jobs.borrow().iter().any(|job| job.done.load(Ordering::Acquire))
    }

    /// Takes the results.
    pub(super) fn take(&self) -> Vec<(Coding, Pressed)> {
        let mut taken = Vec::new();
        self.jobs.borrow_mut().retain(|job| {
            if !job.done.load(Ordering::Acquire) {
                return true;
            }
            match job.result.lock().unwrap_or_else(PoisonError::into_inner).take() {
                Some(pressed) => taken.push((job.coding, pressed)),
                None => self.useless.set(self.useless.get().with(job.coding)),
            }
            false
        });
        taken
    }

    /// There is no room for what was made of this coding: it is not made again for a while.
    pub(super) fn postpone(&self, now: u64) {
        self.again.set(now.saturating_add(60 * PAUSE));
    }
}

impl std::fmt::Debug for Demand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let jobs = self.jobs.borrow().len();
        f.debug_struct("Demand")
            .field("asked", &self.asked)
            .field("jobs", &jobs)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All bytes that may be held are on their way; what comes of one does not need more of them.
    #[test]
    fn a_result_takes_the_place_of_its_content() {
        let press = Press::default();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, [b'x'; 4096]).unwrap();
        let (_, stat) = stat(&std::fs::File::open(&path).unwrap().into()).unwrap();
        let _others = Held::reserve(&press.held, PRESS_HELD_BYTES - 4096).unwrap();
        let demand = Demand::default();
        let original = || Ok(Some(Original::Bytes(vec![b'x'; 4096])));
        assert_eq!(demand.note(&press, &stat, Coding::Gzip, 0, original), Wish::Noted);
        assert_eq!(demand.note(&press, &stat, Coding::Gzip, 0, original), Wish::Begun);
        assert_eq!(demand.note(&press, &stat, Coding::Brotli, 0, original), Wish::Shed);
        while !demand.is_ready() {
            std::thread::yield_now();
        }
        let made = demand.take();
        let bytes = made.iter().map(|(_, pressed)| pressed.bytes.len()).sum::<usize>();
        assert_eq!((made.len(), bytes > 0), (1, true));
        assert_eq!(press.held.load(Ordering::Relaxed), PRESS_HELD_BYTES - 4096 + bytes);
        drop(made);
        assert_eq!(press.held.load(Ordering::Relaxed), PRESS_HELD_BYTES - 4096);
        press.close(Duration::from_secs(60));
    }
}
