//! Files through the ring: opening below a folder, and reading.

use std::{
    ffi::CString,
    fmt,
    ops::{Deref, Range},
    os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
};

use super::{
    op::{Defect, Submission},
    pages::Pages,
    send_pool::SendBuf,
};

/// Vectors that one read may scatter over: the records of a bulk buffer.
pub(crate) const MAX_VECTORS: usize = 8;

/// What an open may pass on its way. It always stays below its folder (`RESOLVE_BENEATH`: no
/// absolute symbolic link, no `..`, no symbolic link that leaves it), and the back doors of procfs
/// are closed (`RESOLVE_NO_MAGICLINKS`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenRules {
    /// Symbolic links are followed; else they fail with ELOOP.
    pub links: bool,
    /// Mount points are crossed; else they fail with EXDEV. A thread of the kernel opens the file
    /// then: some file systems (FUSE, NFS) wait for their server when a file is opened, and
    /// io_uring lets the submitting thread wait if the path is in its caches.
    pub other_file_systems: bool,
}

/// An openat2(2) in flight: its path and its rules.
pub(super) struct OpenRequest {
    path: CString,
    how: libc::open_how,
    on_thread: bool,
}

impl OpenRequest {
    /// Read-only, close-on-exec, and never blocking on a FIFO.
    pub(super) fn beneath(path: CString, rules: OpenRules) -> Self {
        // SAFETY: all-zero is a valid open_how; the kernel demands zero in what is not set.
        let mut how: libc::open_how = unsafe { std::mem::zeroed() };
        how.flags = (libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY) as u64;
        how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS;
        if !rules.links {
            how.resolve |= libc::RESOLVE_NO_SYMLINKS;
        }
        if !rules.other_file_systems {
            how.resolve |= libc::RESOLVE_NO_XDEV;
        }
        Self { path, how, on_thread: rules.other_file_systems }
    }

    pub(super) fn submission(&self, directory: RawFd) -> Submission {
        let Self { path, how, on_thread } = self;
        let (path, how) = (path.as_ptr(), &raw const *how);
        Submission::OpenAt2 { directory, path, how, on_thread: *on_thread }
    }
}

impl fmt::Debug for OpenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenRequest({:?})", self.path)
    }
}

/// An open file, and how it is read.
#[derive(Debug)]
pub(crate) struct OpenFile {
    fd: OwnedFd,
    on_thread: bool,
}

impl OpenFile {
    /// A file of a local file system, which never waits for anything but a disk.
    pub(crate) fn local(fd: OwnedFd) -> Self {
        Self { fd, on_thread: false }
    }

    /// A file that may lie on a file system with a server of its own, as NFS and FUSE have: a read waits
    /// for that, on the thread that submits it unless another one does it.
    pub(crate) fn remote(fd: OwnedFd) -> Self {
        Self { fd, on_thread: true }
    }

    /// Whether a thread of the kernel has to read it.
    pub(crate) fn is_read_on_thread(&self) -> bool {
        self.on_thread
    }

    /// The descriptor alone.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Deref for OpenFile {
    type Target = OwnedFd;

    fn deref(&self) -> &OwnedFd {
        &self.fd
    }
}

/// Where a read puts its bytes.
#[derive(Debug)]
pub(super) enum Target {
    /// Ranges of a send buffer, filled one after the other.
    Buffer(SendBuf, Vec<Range<usize>>),
    /// Pages, from `filled` to their end.
    Pages(Pages, usize),
}

/// A read in flight: its memory.
pub(super) struct FileRead {
    pub(super) target: Target,
    vectors: [libc::iovec; MAX_VECTORS],
}

impl FileRead {
    pub(super) fn new(target: Target) -> Box<Self> {
        let empty = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        Box::new(Self { target, vectors: [empty; MAX_VECTORS] })
    }

    /// Describes the read to the kernel. `registered`: its send buffer lies in registered memory.
    pub(super) fn submission(
        &mut self,
        file: RawFd,
        offset: u64,
        (registered, on_thread): (bool, bool),
    ) -> Result<Submission, Defect> {
        match &mut self.target {
            Target::Pages(bytes, filled) => {
                let rest = bytes.get_mut(*filled..).filter(|rest| !rest.is_empty());
                let rest = rest.ok_or(Defect::FullPages)?;
                let (data, len) = (rest.as_mut_ptr(), clamp(rest.len()));
                Ok(Submission::Read { file, data, len, offset, on_thread })
            }
            Target::Buffer(buffer, ranges) => {
                let base = buffer.as_mut_ptr();
                let room = buffer.len();
                if ranges.is_empty() || ranges.len() > MAX_VECTORS {
                    return Err(Defect::ReadCount);
                }
                for (vector, range) in self.vectors.iter_mut().zip(&*ranges) {
                    if range.is_empty() || range.end > room {
                        return Err(Defect::ReadRange);
                    }
                    // SAFETY: the range begins and ends within the buffer.
                    let data = unsafe { base.add(range.start) };
                    *vector = libc::iovec { iov_base: data.cast(), iov_len: range.len() };
                }
                let (vectors, count) = (self.vectors.as_ptr(), ranges.len() as u32);
                if count > 1 || !registered {
                    return Ok(Submission::ReadVectored {
                        file,
                        vectors,
                        count,
                        offset,
                        on_thread,
                    });
                }
                let first = self.vectors[0];
                let (data, len) = (first.iov_base.cast(), clamp(first.iov_len));
                Ok(Submission::ReadFixed { file, data, len, offset, on_thread })
            }
        }
    }
}

impl fmt::Debug for FileRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileRead").field("target", &self.target).finish_non_exhaustive()
    }
}

/// A length as the kernel takes it; longer reads come back short and are continued.
fn clamp(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(1 << 30).min(1 << 30)
}
