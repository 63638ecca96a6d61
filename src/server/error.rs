//! Why a server does not start.

use std::{fmt, io};

use crate::{
    accept::BindError,
    config::ConfigError,
    handshake::{CredentialsError, TicketKeysError},
    observe::{access_log::AccessLogError, admin::AdminError},
    ring::probe::RingUnavailable,
};

/// Why a server does not start; its text says what to do about it.
#[derive(Debug)]
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
    /// A worker could not be set up.
    Worker(io::Error),
}

impl StartError {
    /// Whether the host lacks something that the configuration needs, as opposed to a
    /// configuration that is wrong.
    pub fn is_lack_of_host(&self) -> bool {
        matches!(self, Self::Ring(_) | Self::KernelTls(_) | Self::OpenFiles(_))
    }

    /// Whether the configuration, certificate included, is wrong.
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Credentials(_) | Self::TicketKeys(_) | Self::Tls(_))
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
                write!(f, "kernel TLS was demanded (--ktls on), but {reason}; or use --ktls auto")
            }
            Self::OpenFiles(limit) => write!(
                f,
                "the limit of {limit} open files leaves no room for a connection on each worker; \
                 raise it (ulimit -n, LimitNOFILE=) or use fewer --workers"
            ),
            Self::AccessLog(error) => write!(f, "{error}"),
            Self::Admin(error) => write!(f, "{error}"),
            Self::Worker(error) => {
                write!(f, "a worker could not be set up: {error}")?;
                if error.raw_os_error() == Some(libc::ENOMEM) {
                    write!(
                        f,
                        "; raise the locked-memory limit (ulimit -l) or lower --send-memory"
                    )?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for StartError {}
