//! A disk whose files can be opened and never be read: a FUSE file system that answers all but READ.
//! Whether the kernel waits for a page that it reads ahead is up to the file system: one may be a disk,
//! the other a file server.
//!
//! The messages are those of `include/uapi/linux/fuse.h`.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// Bytes of each of its files, whatever the name is: too many for the cache.
const LENGTH: u64 = 8 << 20;

const ROOT: u64 = 1;

/// What a thread does that reads what is not in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// It has the pages read ahead, and may look again later.
    Ahead,
    /// It waits for the file system's server.
    InLine,
}

/// The mounted file system. Dropping it fails all reads that wait.
pub(crate) struct StuckDisk {
    place: PathBuf,
    reads: Arc<AtomicUsize>,
    ends: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl StuckDisk {
    /// # Errors
    /// The host has no FUSE, or does not let the test mount it.
    pub(crate) fn mount(place: &Path, reads: Reads) -> io::Result<Self> {
        std::fs::create_dir_all(place)?;
        let device = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/fuse")?;
        let data = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        let data = std::ffi::CString::new(data)?;
        mount("stuck", place, c"fuse", MountFlags::NOSUID | MountFlags::NODEV, data.as_c_str())?;
        let ahead = reads == Reads::Ahead;
        let (reads, ends) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, over) = (Arc::clone(&reads), Arc::clone(&ends));
        let server = std::thread::spawn(move || serve(device, &counted, &over, ahead));
        Ok(Self { place: place.to_owned(), reads, ends, server: Some(server) })
    }

    /// Reads that wait.
    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }
}

impl Drop for StuckDisk {
    fn drop(&mut self) {
        // Closing the device ends the connection, and so every read.
        self.ends.store(true, Ordering::SeqCst);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
        if let Err(error) = unmount(&self.place, UnmountFlags::DETACH) {
            eprintln!("{} stays mounted: {error}", self.place.display());
        }
    }
}

fn serve(mut device: File, reads: &AtomicUsize, ends: &AtomicBool, ahead: bool) {
    let mut message = vec![0; 1 << 20];
    while !ends.load(Ordering::SeqCst) {
        match device.read(&mut message) {
            Ok(length) => {
                if let Some(answer) = answer(&message[..length], reads, ahead) {
                    let _ = device.write(&answer);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

fn answer(message: &[u8], reads: &AtomicUsize, ahead: bool) -> Option<Vec<u8>> {
    let word = |at: usize| u32::from_ne_bytes(message[at..at + 4].try_into().unwrap());
    let node = u64::from_ne_bytes(message[16..24].try_into().unwrap());
    let unique = &message[8..16];
    let (error, body) = match word(4) {
        // LOOKUP: there is a file of any name, numbered by its first letter.
        1 => (0, entry(2 + u64::from(message[40]))),
        // FORGET, INTERRUPT, BATCH_FORGET want no answer.
        2 | 36 | 42 => return None,
        // GETATTR
        3 => (0, [[0; 16].as_slice(), &attributes(node)].concat()),
        // OPEN, OPENDIR: what was cached stays.
        14 | 27 => (0, [[0; 8].as_slice(), &2_u32.to_ne_bytes(), &[0; 4]].concat()),
        // READ
        15 => {
            reads.fetch_add(1, Ordering::SeqCst);
            return None;
        }
        // FLUSH, RELEASE, RELEASEDIR
        18 | 25 | 29 => (0, Vec::new()),
        // INIT
        26 => {
            let mut body = vec![0; 64];
            body[..4].copy_from_slice(&7_u32.to_ne_bytes());
            body[4..8].copy_from_slice(&31_u32.to_ne_bytes());
            // Reading ahead does not wait, as with a disk (FUSE_ASYNC_READ).
            body[12..16].copy_from_slice(&u32::from(ahead).to_ne_bytes());
            body[16..18].copy_from_slice(&200_u16.to_ne_bytes());
            body[20..24].copy_from_slice(&4096_u32.to_ne_bytes());
            (0, body)
        }
        // ENOSYS
        _ => (-38_i32, Vec::new()),
    };
    let length = 16 + body.len() as u32;
    Some([&length.to_ne_bytes()[..], &error.to_ne_bytes(), unique, &body].concat())
}

fn entry(node: u64) -> Vec<u8> {
    [&node.to_ne_bytes()[..], &[0; 32], &attributes(node)].concat()
}

fn attributes(node: u64) -> Vec<u8> {
    let mode: u32 = if node == ROOT { 0o040_755 } else { 0o100_644 };
    let size = if node == ROOT { 0 } else { LENGTH };
    let times = [1_700_000_000_u64; 3];
    let mut bytes = Vec::new();
    for number in [node, size, size / 512].into_iter().chain(times) {
        bytes.extend(number.to_ne_bytes());
    }
    for number in [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0] {
        bytes.extend(number.to_ne_bytes());
    }
    bytes
}
