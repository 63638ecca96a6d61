//! Where the admin listener is, and who may ask it.
//!
//! The invariant: a configuration that was checked lets clients of other hosts ask only over TLS, with a
//! token or a certificate.

use std::{
    fmt,
    fs::File,
    io::Read as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{ClientAuth, ConfigError, ObserveOptions};

/// Where the admin listener is: an address of TCP, or in the file system.
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
    /// An address of TCP. One that is not on loopback needs [`ObserveOptions::admin_token`] or
    /// [`ObserveOptions::admin_client_ca`].
    pub fn tcp(address: SocketAddr) -> Self {
        Self(Place::Tcp(address))
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

    /// Whether processes of this host alone reach it.
    pub(crate) fn is_local(&self) -> bool {
        match &self.0 {
            Place::Tcp(address) => address.ip().is_loopback(),
            Place::Unix(_) => true,
        }
    }
}

impl FromStr for AdminAddress {
    type Err = AdminAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("unix:") {
            Some(path) => Self::unix(path),
            None => text.parse().map(Self::tcp).map_err(|_| AdminAddressError::Form),
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

/// Why a text is no admin address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdminAddressError {
    /// It is neither an address with a port nor `unix:` and a path.
    Form,
    /// The path is empty or too long.
    Path,
}

impl fmt::Display for AdminAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "write 127.0.0.1:PORT, [::1]:PORT or unix:/path",
            Self::Path => "a Unix socket's path has 1 to 107 bytes",
        })
    }
}

impl std::error::Error for AdminAddressError {}

/// The shortest token, in characters: 16 random ones of base64 are 96 bits.
const SHORTEST_TOKEN: usize = 16;

/// The longest token, in characters.
const LONGEST_TOKEN: usize = 256;

/// What clients of the admin listener have to send. Only its hash is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct AdminToken([u8; 32]);

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken")
    }
}

impl AdminToken {
    /// Reads the token: the only line of a file.
    ///
    /// # Errors
    /// The file cannot be read, or its content is no token (`b64token` of RFC 6750 section 2.1) of 16 to
    /// 256 characters. The message does not have the content.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let refused = |problem: fmt::Arguments<'_>| {
            let advice = "name a file with one line of 16 to 256 letters, digits and - . _ ~ + / =, as \
                          `openssl rand -hex 32` prints it";
            ConfigError::new("admin-token", format_args!("{}: {problem}", path.display()), advice)
        };
        let mut text = Zeroizing::new(Vec::new());
        let file = File::open(path).map_err(|error| refused(format_args!("{error}")))?;
        let read = file.take(LONGEST_TOKEN as u64 + 3).read_to_end(&mut text);
        read.map_err(|error| refused(format_args!("{error}")))?;
        let token = text.trim_ascii_end();
        if !(SHORTEST_TOKEN..=LONGEST_TOKEN).contains(&token.len()) {
            return Err(refused(format_args!("this is too short or too long for a token")));
        }
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
        if !token.iter().all(fits) {
            return Err(refused(format_args!("a token has no such characters")));
        }
        Ok(Self(Sha256::digest(token).into()))
    }

    /// Whether a client has sent the token. The time that takes depends on nothing but the length of what
    /// it has sent.
    pub(crate) fn is(&self, sent: &[u8]) -> bool {
        verify_slices_are_equal(&self.0, &Sha256::digest(sent)).is_ok()
    }
}

impl ObserveOptions {
    /// Whether clients of the admin listener have to show something, over TLS.
    pub(crate) fn guards_admin(&self) -> bool {
        self.admin_token.is_some() || self.admin_client_ca.is_some()
    }

    /// What is demanded of certificates of the admin listener's clients, if anything.
    pub(crate) fn admin_clients(&self) -> Option<ClientAuth> {
        self.admin_client_ca.as_ref().map(ClientAuth::required)
    }

    /// Checks that nobody but this host can ask without a token or a certificate.
    pub(super) fn check_admin(&self) -> Result<(), ConfigError> {
        let guard = if self.admin_token.is_some() { "admin-token" } else { "admin-client-ca" };
        match &self.admin {
            Some(address) if !address.is_local() && !self.guards_admin() => {
                return Err(ConfigError::new(
                    "admin",
                    format_args!(
                        "{address} can be reached from other hosts, and nothing is asked of clients"
                    ),
                    "give admin-token or admin-client-ca, or use 127.0.0.1, [::1] or unix:/path",
                ));
            }
            Some(address) if address.as_unix().is_some() && self.guards_admin() => {
                return Err(ConfigError::new(
                    guard,
                    "a Unix socket has no TLS, and admits its owner alone",
                    "leave it out, or give an address of TCP",
                ));
            }
            None if self.guards_admin() => {
                let problem = "there is no admin listener";
                return Err(ConfigError::new(guard, problem, "give its address by admin"));
            }
            // A listener with its guard, or neither.
            _ => {}
        }
        if let Some(ca) = &self.admin_client_ca
            && ca.as_os_str().is_empty()
        {
            return Err(ConfigError::new("admin-client-ca", "the path is empty", "name a file"));
        }
        self.admin_token.as_deref().map_or(Ok(()), |token| AdminToken::load(token).map(drop))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_address_is_of_this_host_or_not() {
        for text in ["127.0.0.1:9000", "[::1]:0", "127.9.9.9:1", "unix:/run/x.sock"] {
            let address: AdminAddress = text.parse().unwrap();
            assert!(address.to_string() == text && address.is_local(), "{text}");
        }
        for text in ["0.0.0.0:9000", "[::]:9000", "192.168.1.1:9000"] {
            assert!(!text.parse::<AdminAddress>().unwrap().is_local(), "{text}");
        }
        for (text, error) in [
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
    fn other_hosts_ask_only_with_a_token_or_a_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "0123456789abcdef\n").unwrap();
        let check = |admin: Option<&str>, with_token: bool, ca: bool| {
            let options = ObserveOptions {
                admin: admin.map(|text| text.parse().unwrap()),
                admin_token: with_token.then(|| token.clone()),
                admin_client_ca: ca.then(|| "ca.pem".into()),
                ..ObserveOptions::default()
            };
            options.check_admin().map_err(|error| error.to_string())
        };
        for (admin, with_token, ca) in [
            (None, false, false),
            (Some("127.0.0.1:1"), false, false),
            (Some("127.0.0.1:1"), true, false),
            (Some("0.0.0.0:1"), true, false),
            (Some("[::]:1"), false, true),
            (Some("192.0.2.1:1"), true, true),
            (Some("unix:/x"), false, false),
        ] {
            assert_eq!(check(admin, with_token, ca), Ok(()), "{admin:?}");
        }
        for (admin, with_token, ca, says) in [
            (Some("0.0.0.0:1"), false, false, "can be reached from other hosts"),
            (Some("[::]:1"), false, false, "can be reached from other hosts"),
            (Some("unix:/x"), true, false, "admits its owner alone"),
            (None, false, true, "no admin listener"),
        ] {
            let said = check(admin, with_token, ca).unwrap_err();
            assert!(said.contains(says), "{said}");
        }
    }

    #[test]
    fn a_token_is_one_line_that_is_hard_to_guess() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        assert!(AdminToken::load(&path).unwrap_err().to_string().contains("No such file"));
        for (text, says) in [
            ("", "too short"),
            ("0123456789abcde\n", "too short"),
            (&*"x".repeat(257), "too long"),
            ("0123456789 abcdef", "no such characters"),
            ("0123456789abcdef\n0123456789abcdef\n", "no such characters"),
            ("\u{e4}0123456789abcdef", "no such characters"),
        ] {
            std::fs::write(&path, text).unwrap();
            let said = AdminToken::load(&path).unwrap_err().to_string();
            assert!(said.contains(says) && !said.contains("0123"), "{said}");
        }
        std::fs::write(&path, "0123456789abcdef\r\n").unwrap();
        let token = AdminToken::load(&path).unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for sent in [&b""[..], b"0123456789abcde", b"0123456789abcdefg", b"0123456789abcdeF"] {
            assert!(!token.is(sent), "{sent:?}");
        }
    }
}
