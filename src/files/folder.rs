//! Reading a folder for its listing. There is no ring operation for that, and a cold disk may
//! take its time, so a thread does it; the worker is told through an eventfd.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use rustix::{
    event::{EventfdFlags, eventfd},
    fs::{AtFlags, Dir, FileType, statat},
};

use crate::{
    process::listing::{Entry, Listing},
    ring::Ring,
};

/// Entries that are looked at in one folder; more are left out uncounted.
const MAX_SCANNED: usize = 100_000;

/// Threads that read folders at a time; further requests are told to come again (503).
const MAX_THREADS: usize = 8;

static THREADS: AtomicUsize = AtomicUsize::new(0);

/// A place among the threads, given back on drop.
struct Place;

impl Place {
    fn take() -> io::Result<Self> {
        let place = Self;
        if THREADS.fetch_add(1, Ordering::Relaxed) < MAX_THREADS {
            return Ok(place);
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "enough folders are being listed"))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        THREADS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Gathers the entries of an open folder.
pub(super) async fn list(ring: &Rc<Ring>, folder: OwnedFd) -> io::Result<Listing> {
    let place = Place::take()?;
    let done = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
    let slot = Arc::new(Mutex::new(None));
    let (signal, result) = (Arc::clone(&done), Arc::clone(&slot));
    thread::Builder::new().name("listing".into()).spawn(move || {
        let _place = place;
        let listing = gather(&folder);
        *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(listing);
        // The eventfd is open, and its counter far from full: the write cannot fail.
        let _ = rustix::io::write(&*signal, &1_u64.to_ne_bytes());
    })?;
    ring.read_counter(&done).await?;
    let gathered = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    gathered.unwrap_or_else(|| Err(io::Error::other("the listing thread left nothing")))
}

fn gather(folder: &OwnedFd) -> io::Result<Listing> {
    let mut listing = Listing::default();
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
