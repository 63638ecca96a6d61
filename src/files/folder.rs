//! Reading a folder for its listing, on a thread of the [`Pool`]; an eventfd wakes the worker.

use std::{
    ffi::CStr,
    io,
    os::fd::OwnedFd,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use rustix::{
    event::{EventfdFlags, eventfd},
    fs::{AtFlags, Dir, FileType, StatxFlags, statx},
};

use super::pool::Pool;
use crate::{
    process::listing::{After, Entry, Listing},
    ring::Ring,
};

/// Names that are looked at in one folder: a second or so of a thread's time. Of more, the page says
/// that it is not complete.
const MAX_SCANNED: usize = 1_000_000;

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

/// Gathers a page of the entries of an open folder. Dropping the future gives the job up.
///
/// # Errors
/// What reading the folder failed with, or that no thread is free for it.
pub(super) async fn list(
    ring: &Rc<Ring>,
    pool: &Pool,
    folder: OwnedFd,
    after: Option<After>,
) -> io::Result<Listing> {
    let done = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
    let slot = Arc::new(Slot::default());
    let (signal, wanted) = (Signal(Arc::clone(&done)), Arc::downgrade(&slot));
    pool.run(Box::new(move || {
        let _signal = signal;
        let listing = gather(&folder, after, &wanted);
        if let Some(slot) = wanted.upgrade() {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(listing);
        }
    }))?;
    ring.read_counter(&done).await?;
    let gathered = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    gathered.unwrap_or_else(|| Err(io::Error::other("the job ended without a result")))
}

fn gather(folder: &OwnedFd, after: Option<After>, wanted: &Weak<Slot>) -> io::Result<Listing> {
    let mut listing = Listing::new(after);
    for (scanned, entry) in Dir::read_from(folder)?.enumerate() {
        if scanned == MAX_SCANNED {
            listing.cut_off(scanned);
            break;
        }
        if wanted.strong_count() == 0 {
            break;
        }
        let entry = entry?;
        let name = entry.file_name();
        if !Listing::shows(name.to_bytes()) {
            continue;
        }
        // What a symlink points to is not looked at: it may lie outside the folder.
        let kind = match entry.file_type() {
            FileType::Unknown => match stat(folder, name) {
                Ok((kind, ..)) => kind,
                Err(_) => continue,
            },
            kind => kind,
        };
        let is_file = match kind {
            FileType::RegularFile => true,
            FileType::Directory => false,
            _ => continue,
        };
        if !listing.wants(is_file, name.to_bytes()) {
            continue;
        }
        // It may have been removed, or replaced by something else.
        let Ok((now, length, modified)) = stat(folder, name) else { continue };
        if now == kind {
            let length = is_file.then_some(length);
            listing.add(Entry { name: name.to_bytes().into(), length, modified });
        }
    }
    Ok(listing)
}

/// An entry's type, length and time of modification.
fn stat(folder: &OwnedFd, name: &CStr) -> io::Result<(FileType, u64, i64)> {
    let stat = statx(folder, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)?;
    let kind = FileType::from_raw_mode(stat.stx_mode.into());
    Ok((kind, stat.stx_size, stat.stx_mtime.tv_sec))
}
