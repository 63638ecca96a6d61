//! Why a server does not start.

use std::{fmt, io, path::PathBuf};

use rustix::{
    process::{Resource, getrlimit},
    thread::{CapabilitySet, capabilities},
};

use super::patience::PATIENCE;
use crate::{
    accept::BindError,
    config::ConfigError,
    observe::{AccessLogError, AdminError},
    privilege::{AccountError, BecomeError, LandlockError},
    ring::probe::RingUnavailable,
    tls::{TicketKeysError, identity::CredentialsError},
};

/// Why a server does not start; its text says what to do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A value of the configuration.
    Config(ConfigError),
    /// A certificate, its key, or the authorities of clients.
    Credentials(CredentialsError),
    /// The keys of session tickets.
    TicketKeys(TicketKeysError),
    /// A certificate could not be made.
    SelfSigned(String),
    /// rustls refuses the certificate with this configuration.
    Tls(rustls::Error),
    /// An address.
    Bind(BindError),
    /// The host has no io_uring for us.
    Ring(RingUnavailable),
    /// Kernel TLS was demanded, and the kernel has none.
    KernelTls(String),
    /// The limit on open files leaves no room for a connection.
    OpenFiles(u64),
    /// The access log.
    AccessLog(AccessLogError),
    /// The admin listener.
    Admin(AdminError),
    /// The user to become.
    Account(AccountError),
    /// The change of user.
    Become(BecomeError),
    /// Opening or reading something has not ended in time.
    Blocked {
        /// What was opened or read.
        what: String,
    },
    /// The folder cannot be entered by the user that the process has become.
    Folder {
        /// The served folder.
        folder: PathBuf,
        /// The user.
        account: String,
        /// What the system said.
        error: io::Error,
    },
    /// Landlock was demanded, and cannot be had.
    Landlock(LandlockError),
    /// The system refused a change of the process.
    Process(io::Error),
    /// The control group allows too little memory; the text says what would help.
    Memory(String),
    /// A folder cannot be opened.
    Site {
        /// Its path.
        folder: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A worker could not be set up.
    Worker(io::Error),
    /// A thread could not be started.
    Thread(io::Error),
}

impl StartError {
    /// Whether the host lacks something that the configuration needs, as opposed to a
    /// configuration that is wrong.
    pub fn is_host_unsupported(&self) -> bool {
        match self {
            Self::Ring(_)
            | Self::KernelTls(_)
            | Self::OpenFiles(_)
            | Self::Landlock(_)
            | Self::Memory(_)
            | Self::Thread(_) => true,
            Self::Worker(error) => matches!(
                error.raw_os_error(),
                Some(libc::ENOMEM | libc::EAGAIN | libc::EMFILE | libc::ENFILE)
            ),
            _ => false,
        }
    }

    /// Whether the configuration, certificate included, is wrong.
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::Config(_)
                | Self::Credentials(_)
                | Self::TicketKeys(_)
                | Self::Tls(_)
                | Self::Account(_)
                | Self::Become(BecomeError::NotRoot(_))
                | Self::Folder { .. }
        )
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => write!(f, "{error}"),
            Self::Credentials(error) => write!(f, "{error}"),
            Self::TicketKeys(error) => write!(f, "{error}"),
            Self::SelfSigned(error) => write!(f, "a certificate could not be made: {error}"),
            Self::Tls(error) => write!(f, "TLS configuration: {error}"),
            Self::Bind(error) => write!(f, "{error}"),
            Self::Ring(error) => write!(f, "{error}"),
            Self::KernelTls(reason) => {
                write!(
                    f,
                    "kernel TLS was demanded (--ktls on or send), but {reason}; or use --ktls auto"
                )
            }
            Self::OpenFiles(limit) => write!(
                f,
                "the limit of {limit} open files leaves no room for a connection on each worker; \
                 raise it (ulimit -n, LimitNOFILE=) or use fewer --workers"
            ),
            Self::AccessLog(error) => write!(f, "{error}"),
            Self::Admin(error) => write!(f, "{error}"),
            Self::Account(error) => write!(f, "{error}"),
            Self::Become(error) => write!(f, "{error}"),
            Self::Blocked { what } => write!(
                f,
                "{what}: not there after {} s; it may be a pipe that nobody writes to, or on a file \
                 system that does not answer",
                PATIENCE.as_secs()
            ),
            Self::Folder { folder, account, error } => write!(
                f,
                "user: {account} cannot enter the folder {}: {error}; let it search that folder \
                 and those above it (chmod o+x)",
                folder.display()
            ),
            Self::Landlock(error) => write!(
                f,
                "Landlock was demanded (--landlock on), but {error}; or use --landlock auto"
            ),
            Self::Process(error) => write!(
                f,
                "the process cannot give up privileges: {error}; a filter on system calls may \
                 refuse prctl or setrlimit"
            ),
            Self::Memory(what) => f.write_str(what),
            Self::Site { folder, error } => write!(
                f,
                "folder {}: {error}; name one that exists and that this user may read",
                folder.display()
            ),
            Self::Worker(error) => {
                write!(f, "a worker could not be set up: {error}")?;
                match error.raw_os_error() {
                    Some(libc::ENOMEM) => write!(f, "; {}", memory_limit()),
                    Some(libc::EMFILE | libc::ENFILE) => {
                        f.write_str("; raise the limit on open files (ulimit -n, LimitNOFILE=)")
                    }
                    _ => Ok(()),
                }
            }
            Self::Thread(error) => write!(
                f,
                "a thread could not be started: {error}; raise the number of threads that are \
                 allowed (ulimit -u, TasksMax=, docker run --pids-limit) or use fewer --workers"
            ),
        }
    }
}

/// Which limit most likely refused memory, and what to do about it.
fn memory_limit() -> String {
    if let Some(bytes) = getrlimit(Resource::As).current {
        return format!(
            "the address space is limited to {} MiB (ulimit -v), and a worker reserves about 100: \
             raise it or use fewer --workers",
            bytes >> 20
        );
    }
    let own = capabilities(None).is_ok_and(|own| own.effective.contains(CapabilitySet::IPC_LOCK));
    match getrlimit(Resource::Memlock).current {
        Some(bytes) if !own => format!(
            "locked memory is limited to {} KiB for all processes of this user, and the rings count \
             against it with 512 KiB each: raise it (ulimit -l, LimitMEMLOCK=infinity, docker run \
             --ulimit memlock=-1) or use fewer --workers",
            bytes >> 10
        ),
        _ => "the host or the control group has no memory left".to_owned(),
    }
}

impl std::error::Error for StartError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_error_of_the_system_is_no_message() {
        let of = |code| io::Error::from_raw_os_error(code);
        for (error, says) in [
            (StartError::Worker(of(libc::ENOMEM)), " memory"),
            (StartError::Worker(of(libc::EMFILE)), "LimitNOFILE="),
            (StartError::Thread(of(libc::EAGAIN)), "TasksMax="),
        ] {
            assert!(error.is_host_unsupported(), "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
        assert!(!StartError::Worker(of(libc::ENOENT)).is_host_unsupported());
    }
}
