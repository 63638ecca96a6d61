//! What clients of the admin listener have to pass that other hosts reach: TLS, a certificate, a token.

use std::{
    fmt,
    io::{self, Read, Write},
    net::TcpStream,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::config::AdminToken;

/// How seldom a refusal is logged, since clients cause it.
const QUIET: Duration = Duration::from_secs(60);

/// Gives the present configuration of TLS, which a renewal of certificates replaces.
pub(crate) type TlsSource = Box<dyn Fn() -> Option<Arc<ServerConfig>> + Send + Sync>;

/// The token that clients have to send, which a new version of its file replaces.
pub(crate) struct SharedToken(Mutex<AdminToken>);

impl fmt::Debug for SharedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedToken")
    }
}

impl SharedToken {
    /// Begins with this token.
    pub(crate) fn new(token: AdminToken) -> Self {
        Self(Mutex::new(token))
    }

    /// Requests that come from now on have to send this one.
    pub(crate) fn replace(&self, token: AdminToken) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }

    fn is(&self, sent: &[u8]) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is(sent)
    }
}

/// Who is let in.
pub(crate) struct Door {
    tls: TlsSource,
    /// What `tls` gave last, and the listener's own configuration made of it.
    made: Mutex<Option<(Arc<ServerConfig>, Arc<ServerConfig>)>>,
    token: Option<Arc<SharedToken>>,
    refusals: Mutex<Refusals>,
}

/// Refused requests since the last line of the log about them.
#[derive(Default)]
struct Refusals {
    count: u64,
    logged: Option<Instant>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Door")
    }
}

impl Door {
    /// Lets those in who agree on TLS, with a certificate if `tls` demands one, and send the token, if
    /// there is one.
    pub(crate) fn new(tls: TlsSource, token: Option<Arc<SharedToken>>) -> Self {
        Self { tls, made: Mutex::default(), token, refusals: Mutex::default() }
    }

    /// Speaks TLS over a connection. The handshake takes place as bytes are read.
    ///
    /// # Errors
    /// There is no configuration of TLS.
    pub(super) fn secure(&self, stream: Timed) -> io::Result<Secured> {
        let config = self.config().ok_or_else(|| io::Error::other("no TLS configuration"))?;
        let connection = ServerConnection::new(config).map_err(io::Error::other)?;
        Ok(StreamOwned::new(connection, stream))
    }

    /// The present configuration of TLS with HTTP/1.1 alone, which is all that the listener speaks. Made
    /// once for each version of the sites'.
    fn config(&self) -> Option<Arc<ServerConfig>> {
        let present = (self.tls)()?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, config)) = &*made
            && Arc::ptr_eq(of, &present)
        {
            return Some(Arc::clone(config));
        }
        let mut config = ServerConfig::clone(&present);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        *made = Some((present, Arc::clone(&config)));
        Some(config)
    }

    /// Whether a request is let in that has these values of `Authorization`.
    pub(super) fn admits<'v>(&self, mut values: impl Iterator<Item = &'v [u8]>) -> bool {
        let Some(token) = &self.token else { return true };
        let sent = values.next().and_then(bearer).filter(|_| values.next().is_none());
        sent.is_some_and(|sent| token.is(sent))
    }

    /// Logs that a client was refused, once a minute at most.
    pub(super) fn refused(&self, why: &dyn fmt::Display) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.count += 1;
        if refusals.logged.is_none_or(|logged| logged.elapsed() >= QUIET) {
            log::warn!(
                "admin: {} refused since the last such line; the last: {why}",
                refusals.count
            );
            *refusals = Refusals { count: 0, logged: Some(Instant::now()) };
        }
    }
}

/// The token of the Bearer scheme (RFC 6750 section 2.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token.trim_ascii())
}

/// A connection with TLS.
pub(super) type Secured = StreamOwned<ServerConnection, Timed>;

/// A connection that ends at a time, however slowly its client sends and reads.
#[derive(Debug)]
pub(super) struct Timed {
    stream: TcpStream,
    /// For each read and each write.
    patience: Duration,
    until: Instant,
}

impl Timed {
    /// Allows `patience` for each read and each write, and `whole` for all of them.
    pub(super) fn new(stream: TcpStream, patience: Duration, whole: Duration) -> Self {
        Self { stream, patience, until: Instant::now() + whole }
    }

    /// What the next read or write may take.
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Instant::now()).min(self.patience);
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Timed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(into)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bearer_scheme_has_a_token() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  abc "), Some(&b"abc"[..]));
        for value in [&b""[..], b"Bearer", b"Basic abc", b"Bearerabc"] {
            assert_eq!(bearer(value), None, "{value:?}");
        }
    }

    #[test]
    fn a_token_is_sent_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "0123456789abcdef").unwrap();
        let token = Arc::new(SharedToken::new(AdminToken::load(&path).unwrap()));
        let door = Door::new(Box::new(|| None), Some(Arc::clone(&token)));
        let right = &b"Bearer 0123456789abcdef"[..];
        assert!(door.admits([right].into_iter()));
        for values in [&[][..], &[&b"Bearer 0123456789abcdeF"[..]], &[right, right]] {
            assert!(!door.admits(values.iter().copied()), "{values:?}");
        }
        assert!(Door::new(Box::new(|| None), None).admits([].into_iter()));
        std::fs::write(&path, "fedcba9876543210").unwrap();
        token.replace(AdminToken::load(&path).unwrap());
        assert!(!door.admits([right].into_iter()));
        assert!(door.admits([&b"Bearer fedcba9876543210"[..]].into_iter()));
    }
}
