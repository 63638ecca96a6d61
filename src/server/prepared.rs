//! A server that has opened what it needs and runs nothing yet: the moment at which a process can
//! give up what it needed for that.
//!
//! The invariant: what only root may have is opened before, and nothing else is. Before it:
//! listeners, certificates and keys, which are read. Right after it, as the new user but not yet
//! confined: the access log and the admin listener's Unix socket, since root must not make files
//! in folders that others may write to. Then, confined: rings, threads (that which reads certificates
//! again among them), the served folder and its files, and whatever is opened anew.

use std::{
    collections::HashSet,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{RunningServer, StartError, listeners::Bound, patience::within, start, tls::Tls};
use crate::{
    config::{
        AccessLogTarget, AdminAddress, Collector, Config, IoMode, LandlockMode, Limits, PoolOptions,
    },
    conn::KtlsPlan,
    observe::{access_log::LogFile, admin::AdminSocket},
    privilege::{self, Account, Allowed, Extent, folder_of, folders_of, successors_of},
    ring::Choice,
    upstream::Trust,
};

/// A server that has been prepared; dropping it gives all of it back.
#[derive(Debug)]
pub struct Prepared {
    pub(super) config: Config,
    /// The limits as they were asked for, before they were fitted to the host.
    pub(super) asked: Limits,
    pub(super) workers: usize,
    pub(super) tls: Arc<Tls>,
    /// What servers of pools are believed by.
    pub(super) trust: Trust,
    pub(super) ktls: KtlsPlan,
    pub(super) tls_path: String,
    pub(super) bound: Vec<Bound>,
    /// Those of each worker, in the order of `bound`.
    pub(super) listeners: Vec<Vec<OwnedFd>>,
    pub(super) log: Option<LogFile>,
    pub(super) admin: Option<AdminSocket>,
    pub(super) confinement: Option<Confinement>,
    /// What the workers run on, once that is decided.
    pub(super) io: Option<Choice>,
    /// What answers beside the folder.
    #[cfg(feature = "service")]
    pub(super) applications: crate::service::Applications,
}

/// What the process has given up.
#[derive(Debug)]
pub struct Confinement {
    text: String,
    landlock: Option<Extent>,
}

impl Confinement {
    /// For a person, on one line.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether only ports that were named at the start can be bound and connected to.
    pub(super) fn denies_tcp(&self) -> bool {
        self.landlock.as_ref().is_some_and(Extent::denies_tcp)
    }
}

impl Prepared {
    /// Gives up, for the whole process and for good, what [`Config::process`] says: becomes that
    /// user, confines the process by Landlock, forbids core dumps and new privileges.
    ///
    /// A program calls this while the calling thread is its only one: what it gives up, the threads
    /// that it starts hereafter lack too. If there are others, it becomes no other user, and Landlock
    /// confines nothing.
    ///
    /// # Errors
    /// What was asked for cannot be had. The process may be changed in part, and should end.
    pub fn confine(mut self) -> Result<Self, StartError> {
        let wanted = self.config.process.clone();
        let user = match &wanted.user {
            Some(user) => {
                let account = Account::find(user).map_err(StartError::Account)?;
                self.become_user(&account)?;
                warn_of_unreadable(&self.config, &account);
                format!("user {account}")
            }
            None => invoking_user(),
        };
        privilege::give_up_new_privileges().map_err(StartError::Process)?;
        // A change of user decides this too, so it is decided again.
        if wanted.core_dumps {
            privilege::allow_core_dumps().map_err(StartError::Process)?;
        } else {
            privilege::forbid_core_dumps().map_err(StartError::Process)?;
        }
        self.open_files()?;
        // The trial binds sockets, which is soon denied.
        self.io = Some(choose(self.config.io)?);
        let landlock = match wanted.landlock {
            LandlockMode::Off => Err("it is switched off (--landlock off)".to_owned()),
            mode => match privilege::confine(&allowed(&self.config)) {
                Ok(extent) if mode == LandlockMode::On => {
                    extent.covers_process().map_err(StartError::Landlock)?;
                    Ok(extent)
                }
                Ok(extent) => Ok(extent),
                Err(error) if mode == LandlockMode::On => return Err(StartError::Landlock(error)),
                Err(error) => Err(error.to_string()),
            },
        };
        let extent = match &landlock {
            Ok(extent) => extent.to_string(),
            Err(why) => format!("no Landlock, {why}"),
        };
        let dumps = if wanted.core_dumps { "core dumps allowed" } else { "no core dumps" };
        let text = format!("{user}; {extent}; {dumps}");
        self.confinement = Some(Confinement { text, landlock: landlock.ok() });
        Ok(self)
    }

    /// Makes the rings, starts the threads, and serves.
    ///
    /// # Errors
    /// The host has no ring for us, or a worker cannot be set up; nothing is left behind.
    pub fn start(mut self) -> Result<RunningServer, StartError> {
        if self.confinement.is_none() {
            self.open_files()?;
        }
        let choice = match self.io.take() {
            Some(choice) => choice,
            None => choose(self.config.io)?,
        };
        if choice.refusal().is_some() {
            log::warn!("workers run on {choice}");
        }
        start::start(self, &choice)
    }

    /// Opens what is made in the file system, as the process's present user.
    fn open_files(&mut self) -> Result<(), StartError> {
        if let Some(target) = &self.config.observe.access_log {
            let log = target.clone();
            let opened = within(target.path().display(), move || LogFile::open(&log))?;
            self.log = Some(opened.map_err(StartError::AccessLog)?);
        }
        if let Some(address) = &self.config.observe.admin
            && self.admin.is_none()
        {
            self.admin = Some(AdminSocket::bind(address, None).map_err(StartError::Admin)?);
        }
        Ok(())
    }

    /// Becomes this user, who must be able to enter the served folders.
    fn become_user(&self, account: &Account) -> Result<(), StartError> {
        let send_memory = self.config.limits.send_memory_bytes.saturating_mul(self.workers);
        privilege::allow_locked_memory(send_memory as u64);
        privilege::become_user(account).map_err(StartError::Become)?;
        for folder in self.config.folders() {
            let entered = rustix::fs::access(&folder, rustix::fs::Access::EXEC_OK);
            entered.map_err(|errno| StartError::Folder {
                folder,
                account: account.to_string(),
                error: errno.into(),
            })?;
        }
        Ok(())
    }
}

/// What is looked up by its path once the server runs.
/// What getaddrinfo(3) reads to resolve the names of upstream servers.
const RESOLVER: [&str; 9] = [
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/ld.so.cache",
    "/usr/lib",
    "/lib",
    "/run/systemd/resolve",
];

/// The port of DNS, for answers that need TCP.
const DNS: u16 = 53;

fn allowed(config: &Config) -> Allowed {
    let folders = config.folders();
    let mut read = folders.clone();
    read.push(PathBuf::from("/proc/self/net"));
    read.extend_from_slice(&config.process.allow_read);
    let pages = config.error_contents();
    read.extend(pages.iter().filter_map(|page| page.file()).flat_map(|file| folders_of(file)));
    if config.observe.anatomy {
        // Whether a worker's thread had its processor, and who works for its ring.
        read.push(PathBuf::from("/proc/self/task"));
    }
    let renewed = read_again(config).into_iter().flat_map(|file| folders_of(&file));
    read.extend(renewed);
    read.extend(folders.iter().flat_map(|folder| successors_of(folder)));
    let collector = config.observe.otlp.as_ref();
    let named = collector.is_some_and(Collector::is_named);
    if named || config.pools.values().any(PoolOptions::is_named) {
        read.extend(RESOLVER.map(PathBuf::from));
    }
    let mut seen = HashSet::new();
    read.retain(|folder| seen.insert(folder.clone()));
    let append = match &config.observe.access_log {
        Some(AccessLogTarget::File(path)) if is_regular(path) => folders_of(path),
        // A pipe or a device is not rotated.
        Some(AccessLogTarget::File(path)) => vec![path.clone()],
        _ => Vec::new(),
    };
    let socket = config.observe.admin.as_ref().and_then(AdminAddress::as_unix);
    let remove = socket.map(folder_of).into_iter().collect();
    let collector = collector.map(Collector::port).into_iter().chain(named.then_some(DNS));
    let connect = ports_of_pools(config).chain(collector).collect();
    Allowed { read, append, remove, bind: config.process.allow_bind.clone(), connect }
}

/// The TCP ports that this configuration lets be connected to.
pub(super) fn ports_of_pools(config: &Config) -> impl Iterator<Item = u16> + '_ {
    let pools = config.pools.values();
    let named = pools.clone().any(PoolOptions::is_named).then_some(DNS);
    pools.flat_map(PoolOptions::ports).chain(named).chain(config.process.allow_connect.clone())
}

/// What is read again when it changes. Ringway's own certificate is not.
fn read_again(config: &Config) -> Vec<PathBuf> {
    let source = config.certificate_in_force();
    let pairs = source.pairs().iter();
    let mut files: Vec<_> = pairs.flat_map(|pair| [pair.cert.clone(), pair.key.clone()]).collect();
    files.extend(config.demands().into_iter().flatten().map(|clients| clients.ca));
    files.extend(config.ticket_keys.clone());
    files.extend(config.observe.admin_token.clone());
    files.extend(config.auths.values().filter_map(|auth| auth.file.clone()));
    files
}

/// Files that root could read and this user cannot: they are in use, and cannot be renewed.
fn warn_of_unreadable(config: &Config, account: &Account) {
    for file in read_again(config) {
        if let Err(errno) = rustix::fs::access(&file, rustix::fs::Access::READ_OK) {
            log::warn!(
                "{}: user {account} cannot read it ({}), so a new version is not taken up while \
                 ringway runs; let that user read it, or restart ringway after each renewal",
                file.display(),
                io::Error::from(errno),
            );
        }
    }
}

/// What the workers run on, decided once for all of them.
pub(super) fn choose(mode: IoMode) -> Result<Choice, StartError> {
    let choice = match mode {
        IoMode::Auto => Choice::auto(),
        IoMode::Ring => Choice::ring(),
        IoMode::Poll => Ok(Choice::poll()),
    };
    choice.map_err(StartError::Ring)
}

fn invoking_user() -> String {
    match rustix::process::geteuid() {
        uid if uid.is_root() => "root (see --user)".to_owned(),
        uid => format!("uid {}", uid.as_raw()),
    }
}

fn is_regular(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{CertificatePair, CertificateSource, ClientAuth, ObserveOptions, ProcessOptions},
        privilege::LandlockError,
        server::Builder,
    };

    #[test]
    fn a_process_with_other_threads_is_not_confined_by_halves() {
        let folder = tempfile::tempdir().unwrap();
        let confined = |landlock| {
            let config = Config {
                root: folder.path().to_owned(),
                listen: vec!["127.0.0.1:0".parse().unwrap()],
                workers: Some(1),
                // The limits of the test's own process stay as they are.
                process: ProcessOptions { landlock, core_dumps: true, ..ProcessOptions::default() },
                ..Config::default()
            };
            Builder::from(config).prepare().unwrap().confine()
        };
        // Beside this thread there is at least the test runner's.
        let refused = confined(LandlockMode::On).unwrap_err();
        assert!(refused.is_host_unsupported());
        assert!(matches!(refused, StartError::Landlock(LandlockError::OtherThreads(2..))));
        let prepared = confined(LandlockMode::Auto).unwrap();
        let said = prepared.confinement.as_ref().unwrap().as_str();
        assert!(said.contains("no Landlock, the process has"), "{said}");
        assert!(std::fs::read("/proc/self/status").is_ok());
    }

    #[test]
    fn what_is_read_again_is_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().canonicalize().unwrap();
        let path = |name: &str| place.join(name);
        let config = Config {
            root: path("www"),
            certificate: CertificateSource::Files(
                ["one", "two"]
                    .map(|name| CertificatePair {
                        cert: path(name).join("cert.pem"),
                        key: path(name).join("private/key.pem"),
                    })
                    .to_vec(),
            ),
            client_auth: Some(ClientAuth::required(path("clients/ca.pem"))),
            ticket_keys: Some(path("tickets/keys")),
            ..Config::default()
        };
        let allowed = allowed(&config);
        for folder in ["www", "one", "one/private", "two", "two/private", "clients", "tickets"] {
            assert!(allowed.read.contains(&path(folder)), "{folder}: {allowed:?}");
        }
        assert!(!allowed.read.contains(&place), "nor anything beside them: {allowed:?}");
        assert_eq!((allowed.append, allowed.remove), (Vec::new(), Vec::new()));
        assert!(allowed.read.contains(&PathBuf::from("/proc/self/task")));
        let observe = ObserveOptions { anatomy: false, ..config.observe };
        let allowed = super::allowed(&Config { observe, ..config });
        assert!(!allowed.read.contains(&PathBuf::from("/proc/self/task")), "nobody looks there");
    }
}
