//! Reading a folder for its listing, on a thread of the [`Pool`]; an eventfd wakes the worker.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use rustix::{
    event::{EventfdFlags, eventfd},
    fs::{AtFlags, Dir, FileType, statat},
};

use super::pool::Pool;
use crate::{
    process::listing::{Entry, Listing},
    ring::Ring,
};

/// Entries that are looked at in one folder; more are left out uncounted.
const MAX_SCANNED: usize = 100_000;

/// Where a thread leaves its result. The job holds it weakly: once nobody waits any more, the
/// folder is not read, or not read on.
type Slot = Mutex<Option<io::Result<Listing>>>;

/// Wakes the worker when the thread is done, and also if it ends before it is done.
struct Signal(Arc<OwnedFd>);

impl Drop for Signal {
    fn drop(&mut self) {
        // The eventfd is open, and its counter far from full: the write cannot fail.
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }
}

/// Gathers the entries of an open folder. Dropping the future gives the job up.
///
/// # Errors
/// What reading the folder failed with, or that no thread is free for it.
pub(super) async fn list(ring: &Rc<Ring>, pool: &Pool, folder: OwnedFd) -> io::Result<Listing> {
    let done = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
    let slot = Arc::new(Slot::default());
    let (signal, wanted) = (Signal(Arc::clone(&done)), Arc::downgrade(&slot));
    pool.run(Box::new(move || {
        let _signal = signal;
        let listing = gather(&folder, &wanted);
        if let Some(slot) = wanted.upgrade() {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(listing);
        }
    }))?;
    ring.read_counter(&done).await?;
    let gathered = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    gathered.unwrap_or_else(|| Err(io::Error::other("the job ended without a result")))
}

fn gather(folder: &OwnedFd, wanted: &Weak<Slot>) -> io::Result<Listing> {
    let mut listing = Listing::default();
    if wanted.strong_count() == 0 {
        return Ok(listing);
    }
    for entry in Dir::read_from(folder)?.take(MAX_SCANNED) {
        let entry = entry?;
        let name = entry.file_name();
        if !Listing::shows(name.to_bytes()) {
            continue;
        }
        if listing.is_full() {
            listing.leave_out();
            continue;
        }
        if wanted.strong_count() == 0 {
            break;
        }
        // What a symlink points to is not looked at: it may lie outside the folder.
        let Ok(stat) = statat(folder.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let length = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Some(u64::try_from(stat.st_size).unwrap_or(0)),
            FileType::Directory => None,
            _ => continue,
        };
        listing.add(Entry { name: name.to_bytes().into(), length, modified: stat.st_mtime });
    }
    Ok(listing)
}
