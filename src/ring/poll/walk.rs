//! Opening below a folder where the kernel has no openat2(2) (before Linux 5.6, gVisor) or a filter
//! refuses it: the path is walked name by name.
//!
//! The result is that of openat2(2) with `RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS`, and with
//! `RESOLVE_NO_SYMLINKS` where links are not followed. The invariants: each step opens one name below
//! a folder that this walk has opened, and passes no symbolic link (`O_NOFOLLOW`); `..` in a link's
//! target returns to the folder that the walk came from and is never resolved by the kernel, so a
//! rename at the same time cannot lead out of the folder.
//!
//! `RESOLVE_NO_XDEV` is not imitated. It keeps a worker from waiting for a file server, and a walk
//! runs on a thread of the helper, which may wait. A magic link of procfs is read as the text that
//! readlink(2) shows, and so fails as a link that leads out or to nothing.

use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{Mode, OFlags, openat, readlinkat},
    io::Errno,
};

/// Symbolic links that one walk follows, as many as the kernel does (`MAXSYMLINKS`,
/// `include/linux/namei.h`).
const MOST_LINKS: usize = 40;

/// Bytes of a path or of a link's target with its zero (`PATH_MAX`).
const PATH_MAX: usize = 4096;

/// Names of the path and of all links that one walk follows; one more is answered with ELOOP. The kernel
/// has no such bound: a path and 40 links of `PATH_MAX` bytes each hold 80,000 names. It bounds the calls of
/// a walk, and the folders that it holds open for as long as it takes.
const MOST_NAMES: usize = PATH_MAX;

/// A folder on the way. `O_PATH` needs no permission to read it, as the kernel's own walk does not.
const STEP: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens `path` below `folder`.
///
/// # Errors
/// What openat2(2) answers: EXDEV for a path that leads out, ELOOP for a link that may not be
/// followed or one too many, and what openat(2) answers for each step. ELOOP also for more than
/// [`MOST_NAMES`].
pub(super) fn open(
    folder: BorrowedFd<'_>,
    path: &CStr,
    flags: OFlags,
    follows_links: bool,
) -> Result<OwnedFd, Errno> {
    let mut walk = Walk { ahead: Vec::new(), folders: Vec::new(), names: 0 };
    walk.put(path.to_bytes())?;
    let mut links = 0;
    while let Some(name) = walk.ahead.pop() {
        let is_last = walk.ahead.is_empty();
        match name.to_bytes() {
            b"." if !is_last => continue,
            b".." => {
                walk.folders.pop().ok_or(Errno::XDEV)?;
                if is_last {
                    walk.ahead.push(c".".into());
                }
                continue;
            }
            // A name, which is opened below.
            _ => {}
        }
        let at = walk.folders.last().map_or(folder, AsFd::as_fd);
        let step = if is_last { flags | OFlags::NOFOLLOW } else { STEP };
        let error = match openat(at, &name, step, Mode::empty()) {
            Ok(opened) if is_last => return Ok(opened),
            Ok(opened) => {
                walk.folders.push(opened);
                continue;
            }
            Err(error) => error,
        };
        // A link fails as the last name with ELOOP, and as a folder with ENOTDIR.
        if !matches!(error, Errno::LOOP | Errno::NOTDIR) {
            return Err(error);
        }
        let Ok(target) = readlinkat(at, &name, Vec::new()) else { return Err(error) };
        links += 1;
        if !follows_links || links > MOST_LINKS {
            return Err(Errno::LOOP);
        }
        walk.put(target.to_bytes())?;
    }
    Err(Errno::NOENT)
}

struct Walk {
    /// The names to come, the next one last.
    ahead: Vec<CString>,
    /// The folders between the first one and here.
    folders: Vec<OwnedFd>,
    /// The names so far, those to come included.
    names: usize,
}

impl Walk {
    /// Puts the names of a path before those to come. One that ends in a slash names a folder: it gets
    /// `.` as its last name.
    fn put(&mut self, path: &[u8]) -> Result<(), Errno> {
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        if path.len() >= PATH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        if path[0] == b'/' {
            return Err(Errno::XDEV);
        }
        let ends_as_folder = path.ends_with(b"/") || path == b"." || path.ends_with(b"/.");
        if ends_as_folder {
            self.ahead.push(c".".into());
        }
        for name in path.split(|byte| *byte == b'/').rev() {
            if !matches!(name, b"" | b".") {
                self.names += 1;
                if self.names > MOST_NAMES {
                    return Err(Errno::LOOP);
                }
                self.ahead.push(CString::new(name).map_err(|_| Errno::INVAL)?);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::Path};

    use proptest::prelude::*;
    use rustix::fs::{CWD, ResolveFlags, fstat, openat2};

    use super::*;

    const FLAGS: OFlags =
        OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

    /// Device and inode of what was opened.
    type Outcome = Result<(u64, u64), Errno>;

    fn seen(opened: Result<OwnedFd, Errno>) -> Outcome {
        opened.map(|file| {
            let stat = fstat(&file).unwrap();
            (stat.st_dev, stat.st_ino)
        })
    }

    fn walked(folder: &OwnedFd, path: &CStr, links: bool) -> Outcome {
        seen(open(folder.as_fd(), path, FLAGS, links))
    }

    fn kernel(folder: &OwnedFd, path: &CStr, links: bool) -> Outcome {
        let mut rules = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        rules.set(ResolveFlags::NO_SYMLINKS, !links);
        seen(openat2(folder, path, FLAGS, Mode::empty(), rules))
    }

    fn root(path: &Path) -> OwnedFd {
        rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap()
    }

    fn agree(folder: &OwnedFd, path: &CStr) {
        for links in [false, true] {
            let (walked, kernel) = (walked(folder, path, links), kernel(folder, path, links));
            if kernel == Err(Errno::NOSYS) {
                return;
            }
            assert_eq!(walked, kernel, "{path:?}, links followed: {links}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore)]
    fn a_walk_ends_where_the_kernel_does() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), b"x").unwrap();
        let top = outside.path().join("top");
        fs::create_dir_all(top.join("a/b/c")).unwrap();
        for file in ["file", "a/file", "a/b/c/file"] {
            fs::write(top.join(file), b"x").unwrap();
        }
        for (link, target) in [
            ("to-file", "file"),
            ("to-folder", "a/b"),
            ("a/up", ".."),
            ("a/b/up-and-down", "../../a/b/c/file"),
            ("out", "../secret"),
            ("a/out", "../../secret"),
            ("absolute", "/etc/passwd"),
            ("back", "/"),
            ("loop", "loop"),
            ("a/round", "../a/round"),
            ("gone", "missing"),
            ("slash", "a/"),
            ("file-slash", "file/"),
            ("dot", "."),
            ("a/dots", "./b/../b/./c/."),
        ] {
            symlink(target, top.join(link)).unwrap();
        }
        for depth in 0..45 {
            symlink(format!("chain{}", depth + 1), top.join(format!("chain{depth}"))).unwrap();
        }
        fs::write(top.join("chain45"), b"x").unwrap();
        let folder = root(&top);
        for path in [
            c".",
            c"./",
            c"./.",
            c"..",
            c"../top",
            c"../secret",
            c"/",
            c"/etc/passwd",
            c"",
            c"file",
            c"file/",
            c"file/.",
            c"file/x",
            c"a",
            c"a/",
            c"a/.",
            c"a/..",
            c"a/../..",
            c"a/../file",
            c"a/../../top/file",
            c"a//b///c/file",
            c"a/./b/./c/./file",
            c"missing",
            c"a/missing/x",
            c"to-file",
            c"to-file/",
            c"to-folder",
            c"to-folder/",
            c"to-folder/c/file",
            c"a/up",
            c"a/up/file",
            c"a/up/..",
            c"a/up/../secret",
            c"a/b/up-and-down",
            c"out",
            c"out/x",
            c"a/out",
            c"absolute",
            c"absolute/x",
            c"back",
            c"back/etc/passwd",
            c"loop",
            c"loop/x",
            c"a/round",
            c"gone",
            c"gone/x",
            c"slash",
            c"slash/file",
            c"file-slash",
            c"file-slash/x",
            c"dot",
            c"dot/file",
            c"dot/..",
            c"a/dots",
            c"a/dots/file",
            c"to-folder/../file",
            c"chain0",
            c"chain4",
            c"chain5",
            c"chain6",
            c"chain44",
            c"chain45",
        ] {
            agree(&folder, path);
        }
        let long = CString::new("a/../".repeat(818) + "file").unwrap();
        agree(&folder, &long);
        let too_long = CString::new("./".repeat(2046) + "file").unwrap();
        agree(&folder, &too_long);
        let long_name = CString::new("n".repeat(256)).unwrap();
        agree(&folder, &long_name);
    }

    /// Few links may expand to many names.
    #[test]
    #[cfg_attr(miri, ignore)]
    fn the_names_of_all_links_are_bounded() {
        let outside = tempfile::tempdir().unwrap();
        let top = outside.path();
        fs::create_dir(top.join("a")).unwrap();
        fs::write(top.join("link0"), b"x").unwrap();
        // 1,001 names each.
        for link in 1..=5 {
            let target = format!("{}link{}", "a/../".repeat(500), link - 1);
            symlink(target, top.join(format!("link{link}"))).unwrap();
        }
        let folder = root(top);
        agree(&folder, c"link4");
        assert_eq!(walked(&folder, c"link5", true), Err(Errno::LOOP));
    }

    #[test]
    #[cfg_attr(miri, ignore)]
    fn magic_links_of_procfs_lead_nowhere() {
        let itself = root(Path::new("/proc/self"));
        for path in [c"cwd", c"root/etc/passwd", c"exe", c"fd/0"] {
            assert!(walked(&itself, path, false) == Err(Errno::LOOP), "{path:?}");
            let outcome = walked(&itself, path, true);
            assert!(matches!(outcome, Err(Errno::XDEV | Errno::NOENT)), "{path:?}: {outcome:?}");
        }
    }

    /// Names that random trees are made of: few, so that paths meet what is there.
    const NAMES: [&str; 3] = ["a", "b", "c"];

    fn pieces(count: usize) -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            6 => prop::sample::select(&NAMES[..]),
            2 => Just(".."),
            1 => Just("."),
            1 => Just(""),
        ];
        prop::collection::vec(piece, 1..=count).prop_map(|pieces| pieces.join("/"))
    }

    #[derive(Clone, Debug)]
    enum Made {
        Folder,
        File,
        Link(String),
    }

    fn trees() -> impl Strategy<Value = Vec<(String, Made)>> {
        let path = prop::collection::vec(prop::sample::select(&NAMES[..]), 1..4)
            .prop_map(|names| names.join("/"));
        let made = prop_oneof![
            3 => Just(Made::Folder),
            2 => Just(Made::File),
            4 => pieces(4).prop_map(Made::Link),
        ];
        prop::collection::vec((path, made), 1..16)
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: if cfg!(miri) { 0 } else { 128 },
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn random_trees_are_walked_as_the_kernel_walks_them(
            tree in trees(),
            paths in prop::collection::vec(pieces(6), 16),
        ) {
            let outside = tempfile::tempdir().unwrap();
            let top = outside.path().join("a");
            fs::create_dir(&top).unwrap();
            fs::write(outside.path().join("b"), b"outside").unwrap();
            for (path, made) in &tree {
                let place = top.join(path);
                // What cannot be made there is left out.
                let _ = match made {
                    Made::Folder => fs::create_dir_all(place),
                    Made::File => fs::write(place, b"x"),
                    Made::Link(target) if target.is_empty() => Ok(()),
                    Made::Link(target) => symlink(target, place),
                };
            }
            let folder = root(&top);
            for path in paths {
                agree(&folder, &CString::new(path).unwrap());
            }
        }
    }
}
