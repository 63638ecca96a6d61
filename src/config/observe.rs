//! What the server reports about itself, and to whom. An [`AdminAddress`] can only be made of one
//! that nobody but this host reaches.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use super::Collector;

/// What the server reports about itself, beside its log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObserveOptions {
    /// Where metrics, `/anatomy.json` and its page are served. Default: nowhere.
    pub admin: Option<AdminAddress>,
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

/// Where the admin listener is: on loopback, or in the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminAddress(Place);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// The longest path of a Unix socket (unix(7)), without the NUL behind it.
const LONGEST_PATH: usize = 107;

impl AdminAddress {
    /// An address of TCP.
    ///
    /// # Errors
    /// It is not on loopback.
    pub fn tcp(address: SocketAddr) -> Result<Self, AdminAddressError> {
        if address.ip().is_loopback() {
            Ok(Self(Place::Tcp(address)))
        } else {
            Err(AdminAddressError::NotLoopback)
        }
    }

    /// A path for a Unix socket.
    ///
    /// # Errors
    /// It is empty or longer than 107 bytes.
    pub fn unix(path: impl Into<PathBuf>) -> Result<Self, AdminAddressError> {
        let path = path.into();
        match path.as_os_str().len() {
            1..=LONGEST_PATH => Ok(Self(Place::Unix(path))),
            _ => Err(AdminAddressError::Path),
        }
    }

    /// The address, if it is one of TCP.
    pub fn as_tcp(&self) -> Option<SocketAddr> {
        match self.0 {
            Place::Tcp(address) => Some(address),
            Place::Unix(_) => None,
        }
    }

    /// The path, if it is a Unix socket's.
    pub fn as_unix(&self) -> Option<&Path> {
        match &self.0 {
            Place::Tcp(_) => None,
            Place::Unix(path) => Some(path),
        }
    }
}

impl FromStr for AdminAddress {
    type Err = AdminAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("unix:") {
            Some(path) => Self::unix(path),
            None => Self::tcp(text.parse().map_err(|_| AdminAddressError::Form)?),
        }
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Tcp(address) => write!(f, "{address}"),
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why an admin address was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdminAddressError {
    /// It is neither an address with a port nor `unix:` and a path.
    Form,
    /// Others could reach it.
    NotLoopback,
    /// The path is empty or too long.
    Path,
}

impl fmt::Display for AdminAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "write 127.0.0.1:PORT, [::1]:PORT or unix:/path",
            Self::NotLoopback => {
                "this address can be reached from other hosts, and the admin listener asks nobody \
                 who they are; use 127.0.0.1, [::1] or unix:/path, and a tunnel from elsewhere"
            }
            Self::Path => "a Unix socket's path has 1 to 107 bytes",
        })
    }
}

impl std::error::Error for AdminAddressError {}

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
    fn an_admin_address_is_of_this_host() {
        for text in ["127.0.0.1:9000", "[::1]:0", "127.9.9.9:1", "unix:/run/x.sock"] {
            assert_eq!(text.parse::<AdminAddress>().unwrap().to_string(), text);
        }
        for (text, error) in [
            ("0.0.0.0:9000", AdminAddressError::NotLoopback),
            ("[::]:9000", AdminAddressError::NotLoopback),
            ("192.168.1.1:9000", AdminAddressError::NotLoopback),
            ("localhost:9000", AdminAddressError::Form),
            ("9000", AdminAddressError::Form),
            ("unix:", AdminAddressError::Path),
        ] {
            assert_eq!(text.parse::<AdminAddress>(), Err(error), "{text}");
        }
        let long = format!("unix:/{}", "x".repeat(107));
        assert_eq!(long.parse::<AdminAddress>(), Err(AdminAddressError::Path));
    }

    #[test]
    fn a_dash_is_standard_output() {
        assert_eq!(AccessLogTarget::from(PathBuf::from("-")), AccessLogTarget::Stdout);
        assert_eq!(AccessLogTarget::from(PathBuf::from("./-")).path(), Path::new("./-"));
    }
}
