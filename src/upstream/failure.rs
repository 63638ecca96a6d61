//! Why an exchange with a server failed: the client's status and the reason in the log.

use std::fmt;

use crate::{parse::response::ResponseError, respond::Status};

/// A reason, in the words of RFC 9209 section 2.3 where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The server refuses connections.
    Refused,
    /// There is no way to it.
    Unroutable,
    /// Its name is not known.
    NameUnknown,
    /// It was not connected in time.
    ConnectTimeout,
    /// Its certificate is not believed.
    TlsCertificate,
    /// The handshake with it failed, or a record was malformed.
    TlsProtocol,
    /// It ended before a whole head.
    Terminated,
    /// It ended within the content.
    Incomplete,
    /// Its head is malformed or too long.
    Head(ResponseError),
    /// More interim responses than are accepted.
    Interim,
    /// The framing of its content is malformed.
    Framing,
    /// It took nothing of the request in time.
    SendTimeout,
    /// It did not answer in time.
    ResponseTimeout,
    /// It sent nothing more of a response in time.
    ReadTimeout,
    /// Neither it nor the client has sent anything through a tunnel in time.
    TunnelIdle,
    /// The line is full, or took too long.
    Busy,
    /// As many connections have switched protocols as may.
    Tunnels,
    /// This host cannot open a connection.
    Local,
}

impl Reason {
    /// The word for logs and metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Refused => "connection_refused",
            Self::Unroutable => "destination_ip_unroutable",
            Self::NameUnknown => "dns_error",
            Self::ConnectTimeout => "connection_timeout",
            Self::TlsCertificate => "tls_certificate_error",
            Self::TlsProtocol => "tls_protocol_error",
            Self::Terminated => "connection_terminated",
            Self::Incomplete => "http_response_incomplete",
            Self::Head(error) => error.reason(),
            Self::Interim | Self::Framing => "http_protocol_error",
            Self::SendTimeout => "connection_write_timeout",
            Self::ResponseTimeout => "http_response_timeout",
            Self::ReadTimeout | Self::TunnelIdle => "connection_read_timeout",
            Self::Busy | Self::Tunnels => "connection_limit_reached",
            Self::Local => "proxy_internal_error",
        }
    }

    /// What the client gets, if no byte of a response has left.
    pub(crate) const fn status(self) -> Status {
        match self {
            Self::ConnectTimeout | Self::SendTimeout | Self::ResponseTimeout => {
                Status::GatewayTimeout
            }
            Self::Busy | Self::Tunnels | Self::Local => Status::ServiceUnavailable,
            Self::Refused
            | Self::Unroutable
            | Self::NameUnknown
            | Self::TlsCertificate
            | Self::TlsProtocol
            | Self::Terminated
            | Self::Incomplete
            | Self::Head(_)
            | Self::Interim
            | Self::Framing
            | Self::ReadTimeout
            | Self::TunnelIdle => Status::BadGateway,
        }
    }

    /// The reason that an error of connect(2) is.
    pub(super) fn of_connect(error: &std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EACCES | libc::EPERM) => {
                Self::Unroutable
            }
            Some(libc::ETIMEDOUT) => Self::ConnectTimeout,
            Some(libc::EADDRNOTAVAIL | libc::EMFILE | libc::ENFILE | libc::ENOBUFS) => Self::Local,
            _ => Self::Refused,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Head(error) => write!(f, " ({error})"),
            _ => Ok(()),
        }
    }
}
