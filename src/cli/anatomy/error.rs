//! What can go wrong between this client and a server, in words that say what to do about it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustls::CertificateError;

/// Why there is nothing to show.
#[derive(Debug)]
pub(super) enum AnatomyError {
    /// The name has no address.
    Lookup { host: String, error: io::Error },
    /// None of the addresses took the connection; this is the last.
    Connect { address: SocketAddr, error: io::Error },
    /// The handshake failed.
    Tls(rustls::Error),
    /// The connection failed while it was doing this.
    Io { during: &'static str, error: io::Error },
    /// The server closed while it was doing this.
    Closed { during: &'static str },
    /// The response is not one.
    Response(String),
    /// The handshake did not agree on HTTP/2.
    NoHttp2,
    /// What the server did over HTTP/2 that ends all requests.
    Http2(String),
    /// The time given was over while it was doing this.
    Late { during: &'static str, after: Duration },
}

impl AnatomyError {
    /// An error of the socket, where one of time is one of its own.
    pub(super) fn io(during: &'static str, limit: Duration, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                Self::Late { during, after: limit }
            }
            io::ErrorKind::UnexpectedEof => Self::Closed { during },
            _ => Self::Io { during, error },
        }
    }
}

impl fmt::Display for AnatomyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lookup { host, error } => {
                write!(f, "{host} has no address: {error}; is the name right?")
            }
            Self::Connect { address, error } => match error.kind() {
                io::ErrorKind::ConnectionRefused => write!(
                    f,
                    "{address} refuses connections: nothing listens there, or a firewall answers \
                     for it; is the server started, and on this port?"
                ),
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => write!(
                    f,
                    "{address} does not answer: the host is down, or a firewall drops what it \
                     gets; --timeout waits longer"
                ),
                _ => write!(f, "{address} cannot be reached: {error}"),
            },
            Self::Tls(error) => tls(f, error),
            Self::Io { during, error } => {
                write!(f, "the connection broke in the {during}: {error}")
            }
            Self::Closed { during } => {
                write!(f, "the server closed the connection in the {during}; its log may say why")
            }
            Self::Response(what) => write!(f, "the answer is not HTTP/1.1: {what}"),
            Self::NoHttp2 => f.write_str(
                "the server does not speak HTTP/2 here; without --http2 it is asked over HTTP/1.1",
            ),
            Self::Http2(what) => write!(f, "no answer over HTTP/2: {what}"),
            Self::Late { during, after } => write!(
                f,
                "the {during} took longer than the {after:?} that it was given; --timeout waits \
                 longer"
            ),
        }
    }
}

/// What webpki says of a certificate for an authority that a server shows as its own.
const AUTHORITYS_OWN: &str = "CaUsedAsEndEntity";

fn tls(f: &mut fmt::Formatter<'_>, error: &rustls::Error) -> fmt::Result {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => f.write_str(
            "the server's certificate is from nobody that this host trusts; name its file or its \
             authority's with --cacert FILE, or look without trust with --insecure",
        ),
        rustls::Error::InvalidCertificate(CertificateError::Other(other))
            if other.to_string() == AUTHORITYS_OWN =>
        {
            f.write_str(
                "the server's certificate is refused: it is an authority's own (CA:TRUE), which no \
                 server may show; `openssl req -x509` makes another with `-addext \
                 basicConstraints=critical,CA:FALSE`; --insecure looks all the same",
            )
        }
        rustls::Error::InvalidCertificate(certificate) => write!(
            f,
            "the server's certificate is refused: {certificate}; --insecure looks all the same"
        ),
        rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol) => f
            .write_str(
                "the server does not speak the version of HTTP that was offered; --http2 offers \
             HTTP/2, its absence HTTP/1.1",
            ),
        rustls::Error::AlertReceived(alert) => {
            write!(f, "the server ended the handshake with the alert {alert:?}")
        }
        rustls::Error::InvalidMessage(_) => write!(
            f,
            "what the server says is not TLS ({error}); does this port speak HTTP without it?"
        ),
        _ => write!(f, "the handshake failed: {error}"),
    }
}
