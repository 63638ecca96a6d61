//! Is this part of a file in the page cache? Asked before a call that would wait for the disk.

use std::{
    io,
    ops::Range,
    os::fd::{AsFd, AsRawFd},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::io::ReadWriteFlags;

/// `cachestat(2)` (Linux 6.5), the same number on every architecture but alpha.
const SYS_CACHESTAT: libc::c_long = 451;

#[repr(C)]
struct CachestatRange {
    offset: u64,
    len: u64,
}

#[repr(C)]
#[derive(Default)]
struct Cachestat {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

static HAS_CACHESTAT: AtomicBool = AtomicBool::new(true);

/// Whether every page of `range` is cached; on kernels before 6.5, whether the first and the last
/// are. False also if that is unknown: the caller then reads through the ring, which never
/// waits for a disk in this thread.
pub(crate) fn is_cached(file: impl AsFd, range: Range<u64>) -> bool {
    if range.is_empty() {
        return true;
    }
    if HAS_CACHESTAT.load(Ordering::Relaxed) {
        let wanted = CachestatRange { offset: range.start, len: range.end - range.start };
        let mut found = Cachestat::default();
        // SAFETY: both structs are as the kernel lays them out (include/uapi/linux/mman.h) and
        // live until the call returns.
        let result = unsafe {
            libc::syscall(
                SYS_CACHESTAT,
                file.as_fd().as_raw_fd(),
                &raw const wanted,
                &raw mut found,
                0,
            )
        };
        if result == 0 {
            return found.cached >= pages(&range, rustix::param::page_size() as u64);
        }
        if is_refused(&io::Error::last_os_error()) {
            HAS_CACHESTAT.store(false, Ordering::Relaxed);
        }
    }
    byte_is_cached(&file, range.start) && byte_is_cached(&file, range.end - 1)
}

/// Whether an error of cachestat(2) says that it is not there. EPERM is a filter's answer.
fn is_refused(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))
}

/// Whether the kernel has cachestat(2), tried on no file.
pub(super) fn has_cachestat() -> bool {
    // SAFETY: -1 is no descriptor, so the call ends with EBADF before it reads an argument; one that
    // is not there, or refused, reads none either.
    let result = unsafe {
        libc::syscall(SYS_CACHESTAT, -1, std::ptr::null::<u8>(), std::ptr::null::<u8>(), 0)
    };
    result == 0 || !is_refused(&io::Error::last_os_error())
}

/// Pages of the page cache that a range touches. cachestat(2) counts in pages of the kernel, which are
/// 16 or 64 KiB on some.
fn pages(range: &Range<u64>, page: u64) -> u64 {
    range.end.div_ceil(page).saturating_sub(range.start / page)
}

fn byte_is_cached(file: impl AsFd, offset: u64) -> bool {
    let mut byte = [0];
    let read = rustix::io::preadv2(
        file,
        &mut [std::io::IoSliceMut::new(&mut byte)],
        offset,
        ReadWriteFlags::NOWAIT,
    );
    read == Ok(1)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_was_just_written_is_cached() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 10_000]).unwrap();
        let _ = is_cached(&file, 0..1);
        if !HAS_CACHESTAT.load(Ordering::Relaxed) && !byte_is_cached(&file, 0) {
            // Neither cachestat(2) nor RWF_NOWAIT here: residency is unknown, so all counts as cold.
            assert!(!is_cached(&file, 0..10_000));
            return;
        }
        assert!(is_cached(&file, 0..10_000));
        assert!(is_cached(&file, 5000..5001));
        assert!(is_cached(&file, 5000..5000));
    }

    #[test]
    fn pages_are_those_of_the_kernel() {
        for (range, page, count) in [
            (0..10_000, 4096, 3),
            (0..10_000, 65_536, 1),
            (4095..4097, 4096, 2),
            (65_535..65_537, 65_536, 2),
            (16_384..32_768, 16_384, 1),
        ] {
            assert_eq!(pages(&range, page), count, "{range:?} of {page}");
        }
    }

    #[test]
    fn what_lies_behind_the_end_is_not() {
        let file = tempfile::tempfile().unwrap();
        assert!(!is_cached(&file, 0..4096));
    }
}
