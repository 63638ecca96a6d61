//! Landlock: the process keeps the way to what it serves and keeps, and loses every other
//! (landlock(7)).
//!
//! What is open stays open: listeners, logs, the served folder. A path that is looked up later, by
//! a system call or by an operation of a ring, is looked up under the domain of the thread that
//! asks; the kernel's own threads that carry such operations out take it over with them.

use std::{fmt, io, path::PathBuf, thread};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort,
    PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    Scope,
};

use super::status::Status;

/// What is denied unless it is allowed: everything of this ABI (Linux 6.12), or what the kernel has
/// of it. What newer ones add is not asked for, since nobody has tried it here.
const ABI_ASKED: ABI = ABI::V6;

/// What stays allowed, in folders and all below them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// Reading files and folders.
    pub read: Vec<PathBuf>,
    /// Making regular files and writing to files, but neither truncating nor removing them: logs
    /// that are opened anew.
    pub append: Vec<PathBuf>,
    /// Removing files: a Unix socket at the end.
    pub remove: Vec<PathBuf>,
    /// Binding TCP sockets to these ports: addresses of a later configuration.
    pub bind: Vec<u16>,
    /// Connecting TCP sockets to these ports: those of upstream servers.
    pub connect: Vec<u16>,
}

/// What is enforced, for as long as the process lives.
#[derive(Debug)]
pub(crate) struct Extent {
    abi: u32,
    /// TCP sockets may be connected to some ports.
    connects: bool,
    /// Why the number of threads is unknown, if it is: others than this one may be free.
    unknown_threads: Option<io::Error>,
    /// Files below `/proc` are new ones after memory was short, unless someone holds them.
    _held: Vec<PathFd>,
}

impl Extent {
    /// The version of the rules in force: the kernel's, but no newer one than Ringway asks for.
    #[cfg(test)]
    pub(crate) fn abi(&self) -> u32 {
        self.abi
    }

    /// Whether the calling thread was the only one, so that the whole process is confined.
    ///
    /// # Errors
    /// The number of threads could not be read.
    pub(crate) fn covers_process(&self) -> Result<(), LandlockError> {
        match &self.unknown_threads {
            Some(error) => Err(LandlockError::UnknownThreads(error.kind())),
            None => Ok(()),
        }
    }

    /// Whether binding and connecting TCP sockets is denied, but for the ports of upstream servers
    /// (ABI 4, Linux 6.7).
    pub(crate) fn denies_tcp(&self) -> bool {
        self.abi >= ABI::V4 as u32
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Landlock ABI {}: the folder, certificates and logs alone", self.abi)?;
        if self.denies_tcp() {
            f.write_str(if self.connects {
                ", new TCP sockets to the ports of the pools only"
            } else {
                ", no new TCP sockets"
            })?;
        }
        match &self.unknown_threads {
            Some(error) => write!(
                f,
                " (of the first thread and those that it starts: /proc/self/status: {error})"
            ),
            None => Ok(()),
        }
    }
}

/// Why the kernel confines nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// It was not built with Landlock, or a filter on system calls refuses it.
    NotBuilt,
    /// It was not chosen at boot.
    NotChosen,
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotBuilt => "the kernel was built without it, or a seccomp filter refuses it",
            Self::NotChosen => "it is not among the security modules chosen at boot (lsm=)",
        })
    }
}

/// The process is not confined.
#[derive(Debug)]
#[non_exhaustive]
pub enum LandlockError {
    /// The kernel has nothing to confine it with.
    Absent(Absence),
    /// There are so many threads, and the others would stay free.
    OtherThreads(usize),
    /// The number of threads cannot be read from `/proc/self/status`.
    UnknownThreads(io::ErrorKind),
    /// The kernel has Landlock and refused to apply it.
    Refused(RulesetError),
}

impl fmt::Display for LandlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(absence) => write!(f, "{absence}"),
            Self::OtherThreads(count) => {
                write!(f, "the process has {count} threads, and would be confined in part only")
            }
            Self::UnknownThreads(error) => write!(
                f,
                "the number of threads cannot be read from /proc/self/status: {error}; mount /proc"
            ),
            Self::Refused(error) => write!(f, "the kernel refused it: {error}"),
        }
    }
}

impl std::error::Error for LandlockError {}

impl From<RulesetError> for LandlockError {
    fn from(error: RulesetError) -> Self {
        Self::Refused(error)
    }
}

/// Confines the process, whose only thread must be the calling one, as [`restrict`] does. Without
/// `/proc` the number of threads is unknown; the calling thread and those that it starts are confined
/// all the same, and [`Extent::covers_process`] says that there may be others.
///
/// # Errors
/// It has other threads; the kernel has no Landlock, or refuses.
pub(crate) fn confine(allowed: &Allowed) -> Result<Extent, LandlockError> {
    confine_threads(Status::read().map(|status| status.threads), allowed)
}

fn confine_threads(threads: io::Result<usize>, allowed: &Allowed) -> Result<Extent, LandlockError> {
    match threads {
        Ok(count) if count > 1 => Err(LandlockError::OtherThreads(count)),
        Ok(_) => restrict(allowed),
        Err(error) => {
            let extent = restrict(allowed)?;
            Ok(Extent { unknown_threads: Some(error), ..extent })
        }
    }
}

/// Confines the calling thread, and those that it starts hereafter, to what is allowed. Nothing
/// takes this back. Sets `PR_SET_NO_NEW_PRIVS`, as the kernel demands.
///
/// # Errors
/// The kernel has no Landlock, or refuses.
pub(crate) fn restrict(allowed: &Allowed) -> Result<Extent, LandlockError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let folders = [
        (&allowed.read, read),
        (&allowed.append, AccessFs::WriteFile | AccessFs::MakeReg),
        (&allowed.remove, AccessFs::RemoveFile.into()),
    ];
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI_ASKED))?
        .handle_access(AccessNet::from_all(ABI_ASKED))?
        .scope(Scope::from_all(ABI_ASKED))?
        .create()?;
    let mut held = Vec::new();
    for (path, access) in
        folders.iter().flat_map(|(paths, access)| paths.iter().map(|path| (path, *access)))
    {
        // What cannot be reached now is not to be reached later either.
        let Ok(place) = PathFd::new(path) else {
            log::debug!("landlock: {} is not there", path.display());
            continue;
        };
        let access = if path.is_dir() { access } else { access & AccessFs::from_file(ABI_ASKED) };
        ruleset = add(ruleset, &place, access)?;
        if path.starts_with("/proc") {
            held.push(place);
        }
    }
    for port in &allowed.bind {
        ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
    }
    for port in &allowed.connect {
        ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    let connects = !allowed.connect.is_empty();
    enforced(&ruleset.restrict_self()?)
        .map(|abi| Extent { abi, connects, unknown_threads: None, _held: held })
        .map_err(LandlockError::Absent)
}

fn add(
    ruleset: landlock::RulesetCreated,
    place: &PathFd,
    access: BitFlags<AccessFs>,
) -> Result<landlock::RulesetCreated, RulesetError> {
    if access.is_empty() { Ok(ruleset) } else { ruleset.add_rule(PathBeneath::new(place, access)) }
}

/// How far the rules go on this kernel, found by confining a thread that then ends.
///
/// # Errors
/// It has no Landlock.
pub(crate) fn extent() -> Result<u32, Absence> {
    let trial = || -> Result<RestrictionStatus, RulesetError> {
        Ruleset::default().handle_access(AccessFs::from_all(ABI_ASKED))?.create()?.restrict_self()
    };
    let tried = thread::Builder::new().spawn(trial).map(thread::JoinHandle::join);
    match tried {
        Ok(Ok(Ok(status))) => enforced(&status),
        _ => Err(Absence::NotBuilt),
    }
}

fn enforced(status: &RestrictionStatus) -> Result<u32, Absence> {
    match status.landlock {
        LandlockStatus::NotEnabled => Err(Absence::NotChosen),
        LandlockStatus::NotImplemented => Err(Absence::NotBuilt),
        LandlockStatus::Available { effective_abi, kernel_abi } => {
            Ok(in_force(effective_abi, kernel_abi))
        }
    }
}

/// The version of the rules: `kernel` is given where the kernel has a newer one than the library
/// knows, and Ringway asks for no more than [`ABI_ASKED`] on any.
fn in_force(effective: ABI, kernel: Option<i32>) -> u32 {
    kernel.map_or(effective as u32, i32::unsigned_abs).min(ABI_ASKED as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, io::Write};

    /// In a thread of its own, so that the others stay free.
    fn confined<T: Send>(allowed: &Allowed, then: impl FnOnce(&Extent) -> T + Send) -> Option<T> {
        thread::scope(|scope| {
            scope.spawn(|| restrict(allowed).ok().map(|extent| then(&extent))).join().unwrap()
        })
    }

    fn denied<T: fmt::Debug>(result: std::io::Result<T>) -> bool {
        result.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
    }

    #[test]
    fn what_is_allowed_is_left_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let folder = place.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("file"), b"x").unwrap();
            folder
        };
        let (read, append, remove, other) =
            (folder("read"), folder("append"), folder("remove"), folder("other"));
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let other_server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (to, elsewhere) = (server.local_addr().unwrap(), other_server.local_addr().unwrap());
        let port = to.port();
        let allowed = Allowed {
            read: vec![read.clone(), "/proc/self/net".into(), "/no such folder".into()],
            append: vec![append.clone()],
            remove: vec![remove.clone()],
            bind: Vec::new(),
            connect: vec![port],
        };
        let ran = confined(&allowed, |extent| {
            assert_eq!(fs::read(read.join("file")).unwrap(), b"x");
            assert!(denied(fs::write(read.join("file"), b"y")));
            assert!(denied(fs::remove_file(read.join("file"))));
            let open = |path: PathBuf| fs::File::options().append(true).create(true).open(path);
            open(append.join("file")).unwrap();
            open(append.join("new")).unwrap();
            assert!(denied(fs::read(append.join("file"))));
            assert!(denied(fs::remove_file(append.join("file"))));
            if extent.abi() >= 3 {
                assert!(denied(fs::write(append.join("file"), b"y")), "truncated");
            }
            fs::remove_file(remove.join("file")).unwrap();
            assert!(denied(fs::read(other.join("file"))));
            assert!(denied(fs::write(remove.join("new"), b"y")));
            assert!(denied(fs::read("/proc/self/status")));
            assert!(fs::read_to_string("/proc/self/net/netstat").unwrap().contains("TcpExt"));
            let bound = std::net::TcpListener::bind("127.0.0.1:0");
            assert_eq!(denied(bound), extent.denies_tcp());
            std::net::TcpStream::connect(to).unwrap();
            let elsewhere = std::net::TcpStream::connect(elsewhere);
            assert_eq!(denied(elsewhere), extent.denies_tcp());
        });
        assert_eq!(ran.is_some(), extent().is_ok());
        if let Err(absence) = extent() {
            // Not by a macro, whose output the test runner would keep to itself.
            let line = format!("skipped what_is_allowed_is_left_and_nothing_else: {absence}\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }

    #[test]
    fn the_version_is_that_of_the_rules_and_not_of_a_newer_kernel() {
        assert_eq!(in_force(ABI::V6, Some(9)), 6);
        assert_eq!(in_force(ABI::V6, None), 6);
        assert_eq!(in_force(ABI::V4, None), 4);
    }

    #[test]
    fn threads_that_cannot_be_counted_are_said_to_be_unknown() {
        let place = tempfile::tempdir().unwrap();
        let allowed = Allowed { read: vec![place.path().to_owned()], ..Allowed::default() };
        let unreadable = || Err(io::Error::from(io::ErrorKind::PermissionDenied));
        let extent = thread::scope(|scope| {
            scope.spawn(|| confine_threads(unreadable(), &allowed)).join().unwrap()
        });
        // Without Landlock there is nothing to say.
        let Ok(extent) = extent else { return };
        assert!(extent.covers_process().unwrap_err().to_string().contains("mount /proc"));
        assert!(extent.to_string().contains("/proc/self/status"), "{extent}");
        assert!(matches!(confine_threads(Ok(3), &allowed), Err(LandlockError::OtherThreads(3))));
    }

    #[test]
    fn asking_confines_nobody() {
        let _ = extent();
        assert!(fs::read("/proc/self/status").is_ok());
    }
}
