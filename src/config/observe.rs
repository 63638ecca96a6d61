//! What the server reports about itself, and to whom.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{AdminAddress, Collector};

/// What the server reports about itself, beside its log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObserveOptions {
    /// Where metrics, `/anatomy.json` and its page are served. Default: nowhere.
    pub admin: Option<AdminAddress>,
    /// A file with a token of 16 to 256 characters, which clients of the admin listener then have to send
    /// (RFC 6750), over TLS with the server's certificate. Read at the start. Default: none.
    pub admin_token: Option<PathBuf>,
    /// A PEM file, at most 1 MiB, of authorities: clients of the admin listener then have to show a
    /// certificate by one of them, over TLS with the server's certificate. It is read again when it
    /// changes. Default: none.
    pub admin_client_ca: Option<PathBuf>,
    /// Where a line for each request goes. Default: nowhere.
    pub access_log: Option<AccessLogTarget>,
    /// Of requests that were neither slow nor failed, the access log has one in so many; from 1 to a
    /// million. Default: 1, which is all of them.
    pub access_log_one_in: u32,
    /// From this time on a request is slow, and logged in any case. Default: 1 s.
    pub access_log_slow: Duration,
    /// Where slow and failed requests go as spans of OpenTelemetry. Default: nowhere.
    pub otlp: Option<Collector>,
    /// From this time on a request is slow, and becomes a span; its wait in the accept queue counts.
    /// Default: 1 s.
    pub otlp_slow: Duration,
    /// Whether responses carry the stages known by then in `Server-Timing`. Default: no.
    pub server_timing: bool,
    /// Whether stages are timed and bytes counted at all; off serves to measure what that costs.
    /// Default: yes.
    pub anatomy: bool,
}

impl Default for ObserveOptions {
    fn default() -> Self {
        Self {
            admin: None,
            admin_token: None,
            admin_client_ca: None,
            access_log: None,
            access_log_one_in: 1,
            access_log_slow: Duration::from_secs(1),
            otlp: None,
            otlp_slow: Duration::from_secs(1),
            server_timing: false,
            anatomy: true,
        }
    }
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccessLogTarget {
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

impl AccessLogTarget {
    /// The file's path; `-` for standard output.
    pub fn path(&self) -> &Path {
        match self {
            Self::Stdout => Path::new("-"),
            Self::File(path) => path,
        }
    }
}

impl From<PathBuf> for AccessLogTarget {
    /// `-` is standard output.
    fn from(path: PathBuf) -> Self {
        if path.as_os_str() == "-" { Self::Stdout } else { Self::File(path) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dash_is_standard_output() {
        assert_eq!(AccessLogTarget::from(PathBuf::from("-")), AccessLogTarget::Stdout);
        assert_eq!(AccessLogTarget::from(PathBuf::from("./-")).path(), Path::new("./-"));
    }
}
