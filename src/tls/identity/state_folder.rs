//! The folder that Ringway keeps its own certificate in.
//!
//! The invariant: what is read there was written by this user, and what is written there goes where
//! this user meant it to go. Root in particular follows no link that another user may have made,
//! and makes nothing in another user's folder.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

/// Most links that are followed on the way to the folder, as the kernel does (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// The permission bits of others than the owner that let them put something into a folder.
const OTHERS_WRITE: u32 = 0o022;

/// Writable by everyone, and the bit that keeps everyone from replacing what others own there.
const WORLD_WRITES: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Where this user's state is kept: `$XDG_STATE_HOME/ringway`, else `~/.local/state/ringway` (XDG
/// base directory specification: relative paths do not count). Root's is `/var/lib/ringway` unless
/// `XDG_STATE_HOME` says otherwise; `HOME` may be that of the user who called sudo(8).
pub(super) fn path() -> Option<PathBuf> {
    let absolute =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let fallback = || {
        if rustix::process::geteuid().is_root() {
            Some(PathBuf::from("/var/lib"))
        } else {
            absolute("HOME").map(|home| home.join(".local/state"))
        }
    };
    absolute("XDG_STATE_HOME").or_else(fallback).map(|state| state.join("ringway"))
}

/// Makes sure that the folder is there and is this user's alone.
///
/// # Errors
/// It cannot be made, or another user could put something into it or in its place.
pub(super) fn claim(folder: &Path) -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        return walk(folder, true);
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    check_own(folder)
}

/// Whether the folder is there and this user's alone, so that what is in it may be trusted.
///
/// # Errors
/// It is not there, or another user could put something into it or in its place.
pub(super) fn check(folder: &Path) -> io::Result<()> {
    if rustix::process::geteuid().is_root() { walk(folder, false) } else { check_own(folder) }
}

/// Whether a file is a regular one of this user's, and no link.
pub(super) fn is_own_file(path: &Path) -> bool {
    fs::symlink_metadata(path)
        .is_ok_and(|file| file.is_file() && file.uid() == rustix::process::geteuid().as_raw())
}

fn check_own(folder: &Path) -> io::Result<()> {
    let found = fs::metadata(folder)?;
    let own = found.uid() == rustix::process::geteuid().as_raw();
    if own && found.mode() & OTHERS_WRITE == 0 { Ok(()) } else { Err(foreign(folder)) }
}

fn foreign(place: &Path) -> io::Error {
    let why = format!("{} can be changed by another user", place.display());
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

/// Goes to the folder one name at a time, following links of root's own only, and makes what is not
/// there if `make` says so.
fn walk(folder: &Path, make: bool) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = || rustix::fs::open("/", flags, Mode::empty());
    let (mut at, mut place) = (top()?, PathBuf::from("/"));
    let mut left: VecDeque<OsString> = names(folder).collect();
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        let next = place.join(&name);
        let stat = match rustix::fs::statat(&at, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) if make => {
                rustix::fs::mkdirat(&at, &name, Mode::RWXU)?;
                rustix::fs::statat(&at, &name, AtFlags::SYMLINK_NOFOLLOW)?
            }
            stat => stat?,
        };
        if stat.st_uid != 0 {
            return Err(foreign(&next));
        }
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            links += 1;
            if links > MAX_LINKS {
                return Err(rustix::io::Errno::LOOP.into());
            }
            let target = rustix::fs::readlinkat(&at, &name, Vec::new())?;
            let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
            if target.is_absolute() {
                (at, place) = (top()?, PathBuf::from("/"));
            }
            for name in names(&target).collect::<Vec<_>>().into_iter().rev() {
                left.push_front(name);
            }
            continue;
        }
        at = rustix::fs::openat(&at, &name, flags, Mode::empty())?;
        place = next;
        check_step(&at, &place, left.is_empty())?;
    }
    Ok(())
}

/// Whether nobody but root can replace what is in this folder, or, if it is the last, put anything
/// into it.
fn check_step(at: &OwnedFd, place: &Path, is_last: bool) -> io::Result<()> {
    let stat = rustix::fs::fstat(at)?;
    let mode = stat.st_mode;
    let open = if is_last {
        mode & OTHERS_WRITE != 0
    } else {
        mode & WORLD_WRITES != 0 && mode & STICKY == 0
    };
    if stat.st_uid == 0 && !open { Ok(()) } else { Err(foreign(place)) }
}

fn names(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    let parts = path.components();
    let named = parts.filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    named.map(|part| part.as_os_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_not_claimed() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("a/b");
        assert!(check(&folder).is_err(), "it is not there");
        claim(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        check(&folder).unwrap();
        mode(&folder, 0o770);
        assert!(check(&folder).is_err() && claim(&folder).is_err());
    }

    #[test]
    fn root_follows_its_own_links_alone() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let place = tempfile::tempdir().unwrap();
        mode(place.path(), 0o755);
        let path = |name: &str| place.path().join(name);
        for folder in ["mine", "users"] {
            fs::create_dir(path(folder)).unwrap();
        }
        // As systemd does for StateDirectory= with DynamicUser=.
        symlink("mine/state", path("own-link")).unwrap();
        claim(&path("own-link/ringway")).unwrap();
        assert!(path("mine/state/ringway").is_dir());
        symlink(path("mine"), path("absolute")).unwrap();
        check(&path("absolute/state/ringway")).unwrap();

        chown(path("users"), Some(12_345), Some(12_345)).unwrap();
        let error = claim(&path("users/ringway")).unwrap_err();
        assert!(error.to_string().contains("another user"), "{error}");
        assert!(!path("users/ringway").exists());
        // A link of the user's to a folder of root's.
        symlink(path("mine"), path("link")).unwrap();
        std::os::unix::fs::lchown(path("link"), Some(12_345), Some(12_345)).unwrap();
        assert!(claim(&path("link/ringway")).is_err());
        assert!(!path("mine/ringway").exists());
        symlink("loop", path("loop")).unwrap();
        assert!(claim(&path("loop/ringway")).is_err());
        // Anyone could put something else in the place of what is in it.
        fs::create_dir(path("open")).unwrap();
        mode(&path("open"), 0o777);
        assert!(claim(&path("open/ringway")).is_err());
        mode(&path("open"), 0o1777);
        claim(&path("open/ringway")).unwrap();
    }

    #[test]
    fn links_and_foreign_files_are_not_own_files() {
        let place = tempfile::tempdir().unwrap();
        let (file, link) = (place.path().join("file"), place.path().join("link"));
        fs::write(&file, b"x").unwrap();
        symlink("file", &link).unwrap();
        assert!(is_own_file(&file) && !is_own_file(&link) && !is_own_file(place.path()));
        if rustix::process::geteuid().is_root() {
            chown(&file, Some(12_345), None).unwrap();
            assert!(!is_own_file(&file));
        }
    }
}
