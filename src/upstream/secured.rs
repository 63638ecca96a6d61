//! TLS to a server: rustls over the bytes that a connection moves.
//!
//! Each direction copies its bytes once more than a connection without TLS: rustls opens and seals in
//! memory of its own. It keeps the session whole in one place: key updates, tickets, alerts.

use std::{io::Read as _, io::Write as _, sync::Arc};

use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};

use super::failure::Reason;

/// A session with a server.
pub(super) struct Secured(ClientConnection);

/// What records brought.
pub(super) struct Opened {
    /// Plaintext; may be none, for records of the protocol itself.
    pub(super) bytes: Vec<u8>,
    /// The server has ended its side by close_notify.
    pub(super) closed: bool,
}

impl std::fmt::Debug for Secured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secured").finish_non_exhaustive()
    }
}

impl Secured {
    /// A session that is about to begin with the server of this name.
    pub(super) fn new(
        config: &Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, Reason> {
        let mut session =
            ClientConnection::new(Arc::clone(config), name).map_err(|_| Reason::TlsProtocol)?;
        // What is sealed is taken at once; how much that is, the sender bounds.
        session.set_buffer_limit(None);
        Ok(Self(session))
    }

    /// Whether the handshake is not over.
    pub(super) fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// Seals plaintext.
    pub(super) fn seal(&mut self, plaintext: &[u8]) -> Result<Vec<u8>, Reason> {
        self.0.writer().write_all(plaintext).map_err(|_| Reason::TlsProtocol)?;
        self.outgoing()
    }

    /// Records that have to be sent.
    pub(super) fn outgoing(&mut self) -> Result<Vec<u8>, Reason> {
        let mut records = Vec::new();
        while self.0.wants_write() {
            self.0.write_tls(&mut records).map_err(|_| Reason::TlsProtocol)?;
        }
        Ok(records)
    }

    /// Opens records, or a part of one.
    pub(super) fn open(&mut self, mut records: &[u8]) -> Result<Opened, Reason> {
        let mut opened = Opened { bytes: Vec::new(), closed: false };
        while !records.is_empty() && !opened.closed {
            self.0.read_tls(&mut records).map_err(|_| Reason::TlsProtocol)?;
            let state = self.0.process_new_packets().map_err(|error| match error {
                rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
                    Reason::TlsCertificate
                }
                _ => Reason::TlsProtocol,
            })?;
            let (begin, more) = (opened.bytes.len(), state.plaintext_bytes_to_read());
            opened.bytes.resize(begin + more, 0);
            let room = opened.bytes.get_mut(begin..).ok_or(Reason::Local)?;
            self.0.reader().read_exact(room).map_err(|_| Reason::TlsProtocol)?;
            opened.closed = state.peer_has_closed();
        }
        Ok(opened)
    }
}
