//! Opening below the served folder.
//!
//! The invariant: what is opened lies below the folder and has no hidden name on its real path,
//! symbolic links included; and the worker never waits for a file server.

use std::{
    ffi::CString,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::Arc,
};

use rustix::fs::{Mode, OFlags};

use crate::{
    process::path,
    ring::{OpenFile, OpenRules, Ring},
};

/// Tries of an open that the kernel could not decide because of a rename at the same time
/// (openat2(2), EAGAIN).
const OPEN_TRIES: usize = 4;

/// File systems whose files are opened without waiting for anything but a disk, so that io_uring
/// opens what is in the kernel's caches without a wait. NFS and FUSE ask their server at each open,
/// and the kernel lets the thread that submits wait for the answer. Magic numbers of
/// `linux/magic.h`, and of ZFS and bcachefs.
const LOCAL: [u32; 12] = [
    0x0000_ef53, // ext2, ext3, ext4
    0x5846_5342, // XFS
    0x9123_683e, // Btrfs
    0x0102_1994, // tmpfs
    0x8584_58f6, // ramfs
    0x794c_7630, // overlayfs
    0xf2f5_2010, // F2FS
    0x7371_7368, // SquashFS
    0xe0f5_e1e2, // EROFS
    0x0000_9660, // ISO 9660
    0x2fc1_2fc1, // ZFS
    0xca45_1a4e, // bcachefs
];

/// A folder that can be served, as any thread opens it.
#[derive(Debug)]
pub(crate) struct Folder {
    descriptor: Arc<OwnedFd>,
    is_local: bool,
    /// Device and inode.
    identity: (u64, u64),
}

impl Folder {
    /// Opens the folder.
    ///
    /// # Errors
    /// What open(2), fstat(2) or fstatfs(2) says of it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty())?;
        let magic = rustix::fs::fstatfs(&folder)?.f_type as u32;
        let stat = rustix::fs::fstat(&folder)?;
        let identity = (stat.st_dev, stat.st_ino);
        let descriptor = Arc::new(folder);
        Ok(Self { descriptor, is_local: LOCAL.contains(&magic), identity })
    }

    /// Its device and inode: the same for as long as it is the same folder.
    pub(crate) fn identity(&self) -> (u64, u64) {
        self.identity
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// The folder of a store.
#[derive(Clone, Debug)]
pub(super) struct Root {
    folder: Arc<OwnedFd>,
    is_local: bool,
    follows_links: bool,
}

impl Root {
    /// A folder whose symbolic links are followed or not.
    pub(super) fn new(folder: &Folder, follows_links: bool) -> Self {
        let descriptor = Arc::clone(&folder.descriptor);
        Self { folder: descriptor, is_local: folder.is_local, follows_links }
    }

    /// The same rules with another folder.
    pub(super) fn moved_to(&self, folder: &Folder) -> Self {
        Self::new(folder, self.follows_links)
    }

    /// Opens a path below the folder for reading; the folder itself for the empty path.
    ///
    /// Most paths need one attempt: no symbolic link, and no other file system than the folder's.
    /// What needs more is found out by attempts that fail at once.
    ///
    /// # Errors
    /// What openat2(2) says of it; `NotFound` for what is hidden or may not be followed.
    pub(super) async fn open_below(&self, ring: &Ring, path: &[u8]) -> io::Result<OpenFile> {
        let path = if path.is_empty() { b"." } else { path };
        let path = CString::new(path).map_err(|_| io::Error::from(io::ErrorKind::NotFound))?;
        let mut rules = OpenRules { links: false, other_file_systems: !self.is_local };
        let mut tries = OPEN_TRIES;
        loop {
            let opened = ring.open_beneath(&self.folder, path.clone(), rules).await;
            let error = match opened {
                Ok(opened) if rules.links && self.is_hidden(&opened)? => {
                    ring.close(opened);
                    return Err(io::ErrorKind::NotFound.into());
                }
                // What was found on the local file system of the folder is read without a server.
                Ok(opened) if rules.other_file_systems => return Ok(OpenFile::remote(opened)),
                Ok(opened) => return Ok(OpenFile::local(opened)),
                Err(error) => error,
            };
            match error.raw_os_error() {
                Some(libc::ELOOP) if self.follows_links && !rules.links => rules.links = true,
                Some(libc::EXDEV) if !rules.other_file_systems => rules.other_file_systems = true,
                Some(libc::EAGAIN) if tries > 1 => tries -= 1,
                _ => return Err(error),
            }
        }
    }

    /// Whether a file that was reached by symbolic links has a hidden name on its real path, or
    /// has left the folder since.
    ///
    /// # Errors
    /// The kernel does not say where the file is: there is no /proc.
    fn is_hidden(&self, file: &OwnedFd) -> io::Result<bool> {
        let (folder, file) = (real_path(&self.folder)?, real_path(file)?);
        let folder = folder.strip_suffix(b"/").unwrap_or(&folder);
        let Some(below) = file.strip_prefix(folder) else { return Ok(true) };
        Ok(match below.strip_prefix(b"/") {
            Some(below) => path::is_hidden(below),
            None => !below.is_empty(),
        })
    }
}

/// Where an open file is (proc(5), `/proc/pid/fd`). Nothing is asked of its file system.
fn real_path(file: &OwnedFd) -> io::Result<Vec<u8>> {
    use std::os::fd::AsRawFd;
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::readlink(link, Vec::new())?.into_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn root_of(path: &Path) -> Root {
        Root::new(&Folder::open(path).unwrap(), true)
    }

    #[test]
    fn a_real_path_is_hidden_by_any_of_its_names() {
        let folder = tempfile::Builder::new().prefix(".hidden-root").tempdir().unwrap();
        let root = root_of(folder.path());
        let make = |path: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, b"x").unwrap();
            OwnedFd::from(std::fs::File::open(path).unwrap())
        };
        for (path, hidden) in [
            ("page", false),
            ("a/b.c/d", false),
            (".well-known/x", false),
            ("..2026_11_28/page", false),
            ("..2026_11_28/.page", true),
            (".page", true),
            (".git/page", true),
            ("a/.git/page", true),
            ("a/.well-known/x", true),
        ] {
            assert_eq!(root.is_hidden(&make(path)).unwrap(), hidden, "{path}");
        }
        let itself = std::fs::File::open(folder.path()).unwrap();
        assert!(!root.is_hidden(&itself.into()).unwrap());
        let beside = tempfile::NamedTempFile::new().unwrap();
        assert!(root.is_hidden(&beside.reopen().unwrap().into()).unwrap(), "it is outside");
        // A folder whose path only begins alike.
        let alike = format!("{}-2", folder.path().display());
        std::fs::write(&alike, b"x").unwrap();
        assert!(root.is_hidden(&std::fs::File::open(&alike).unwrap().into()).unwrap());
        std::fs::remove_file(alike).unwrap();
        // The root may be reached by a link itself.
        let link = beside.path().with_extension("link");
        symlink(folder.path(), &link).unwrap();
        let linked = root_of(&link);
        assert!(!linked.is_hidden(&make("page")).unwrap());
        std::fs::remove_file(link).unwrap();
    }

    #[test]
    fn temporary_files_are_local() {
        let root = root_of(&std::env::temp_dir());
        assert!(root.is_local, "or LOCAL lacks the file system of this host");
        assert!(!root_of(Path::new("/proc")).is_local);
    }
}
