//! A simulated client: rustls at the other end, and what is on its way between the two.

use std::{
    io::Read,
    os::fd::{OwnedFd, RawFd},
    sync::{Arc, OnceLock},
};

use rustix::io::Errno;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, SupportedCipherSuite,
    crypto::{
        CryptoProvider,
        aws_lc_rs::{cipher_suite, default_provider, kx_group},
    },
    pki_types::{PrivateKeyDer, ServerName},
    version,
};

use super::{answers::Answers, frames::Streams};
use crate::{
    read::Reader,
    ring::{
        SendQueue,
        sim::{number_of, socket_pair},
    },
    tls::{
        Offer, TlsParts,
        identity::{Certificate, Certificates, Credentials},
        own_tickets,
    },
};

/// The suites of the clients: each client offers one.
const SUITES: [SupportedCipherSuite; 6] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// A server's configuration, and a client's for each suite.
pub(super) struct Identity {
    pub(super) server: Arc<ServerConfig>,
    provider: Vec<Arc<CryptoProvider>>,
    roots: Arc<RootCertStore>,
}

/// One for all runs. Its signatures are all of one length, so that flights are.
pub(super) fn identity() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
            .and_then(|params| params.self_signed(&key))
            .expect("a certificate");
        let chain = vec![certificate.der().clone()];
        let mut roots = RootCertStore::empty();
        roots.add(chain[0].clone()).expect("a root");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let credentials = Credentials { chain, key, warnings: Vec::new() };
        let certificate = Certificate::new(credentials).expect("a certificate");
        let parts = TlsParts {
            certificates: Arc::new(Certificates::new(vec![Arc::new(certificate)])),
            clients: None,
            tickets: own_tickets().expect("keys of tickets"),
        };
        let minimum = crate::record::TlsVersion::Tls12;
        let server = parts.server_config(Offer { minimum, http2: true });
        let provider = |suite| {
            let (cipher_suites, kx_groups) = (vec![suite], vec![kx_group::X25519]);
            Arc::new(CryptoProvider { cipher_suites, kx_groups, ..default_provider() })
        };
        Identity {
            server: server.expect("a configuration"),
            provider: SUITES.into_iter().map(provider).collect(),
            roots: Arc::new(roots),
        }
    })
}

/// A configuration of its own for each run, so that no run resumes another's session.
pub(super) fn client_config(suite: usize, http2: bool) -> Arc<ClientConfig> {
    let identity = identity();
    let suite = suite % SUITES.len();
    let versions: &[_] =
        if SUITES[suite].tls13().is_some() { &[&version::TLS13] } else { &[&version::TLS12] };
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&identity.provider[suite]))
        .with_protocol_versions(versions)
        .expect("a version for each suite")
        .with_root_certificates(Arc::clone(&identity.roots))
        .with_no_client_auth();
    if http2 {
        config.alpn_protocols = vec![b"h2".to_vec()];
    }
    Arc::new(config)
}

/// One client and its connection.
pub(super) struct Peer {
    tls: ClientConnection,
    /// The server's socket, until it is accepted.
    pub(super) socket: Option<OwnedFd>,
    /// Its number from then on.
    pub(super) descriptor: RawFd,
    /// The other end of it, which shows whether it is closed.
    pub(super) witness: OwnedFd,
    /// On its way to the server.
    pub(super) outbound: Vec<u8>,
    /// On its way to the client, or in its socket.
    pub(super) inbound: Vec<u8>,
    /// Bytes that may be on their way to the client.
    pub(super) window: usize,
    /// The client takes what has come.
    pub(super) reads: bool,
    /// The client has said all: behind `outbound` comes FIN.
    pub(super) finished: bool,
    /// That FIN has left.
    pub(super) is_shut: bool,
    /// The client's bytes were changed on their way: the two no longer understand each other.
    pub(super) tampered: bool,
    /// Something happened for which the server may close the connection.
    pub(super) excused: bool,
    /// The client understands nothing any more.
    dead: bool,
    key_updates: u8,
    pub(super) answers: Answers,
}

impl Peer {
    /// A client whose connection is to be accepted.
    pub(super) fn new(config: Arc<ClientConfig>, window: usize) -> Self {
        let (socket, witness) = socket_pair().expect("a pair of sockets");
        Self::over(config, window, Some(socket), witness)
    }

    /// A client with its end of a connection; the server's too, unless a listener has it.
    pub(super) fn over(
        config: Arc<ClientConfig>,
        window: usize,
        socket: Option<OwnedFd>,
        witness: OwnedFd,
    ) -> Self {
        let http2 = !config.alpn_protocols.is_empty();
        let name = ServerName::try_from("localhost").expect("a name");
        let mut tls = ClientConnection::new(config, name).expect("a client");
        tls.set_buffer_limit(None);
        let mut answers = Answers::default();
        if http2 {
            use std::io::Write;
            answers.streams = Some(Streams::default());
            let _ = tls.writer().write_all(&Streams::greeting());
        }
        Self {
            tls,
            descriptor: socket.as_ref().map_or(-1, number_of),
            socket,
            witness,
            outbound: Vec::new(),
            inbound: Vec::new(),
            window,
            reads: true,
            finished: false,
            is_shut: false,
            tampered: false,
            excused: false,
            dead: false,
            key_updates: 0,
            answers,
        }
    }

    pub(super) fn is_shaking_hands(&self) -> bool {
        self.tls.is_handshaking() && !self.dead
    }

    /// Writes plaintext. It waits for the handshake's end if need be.
    pub(super) fn write(&mut self, plaintext: &[u8]) {
        use std::io::Write;
        if !self.finished {
            let _ = self.tls.writer().write_all(plaintext);
            self.pump();
        }
    }

    /// Moves what the client has to say on its way.
    pub(super) fn pump(&mut self) {
        while !self.finished && self.tls.wants_write() {
            if self.tls.write_tls(&mut self.outbound).is_err() {
                return;
            }
        }
    }

    /// Changes keys and asks the server to. After as many as it bears in a row, the server may
    /// refuse what follows.
    pub(super) fn update_keys(&mut self) {
        if !self.finished && self.tls.refresh_traffic_keys().is_ok() {
            self.key_updates = self.key_updates.saturating_add(1);
            if self.key_updates >= Reader::MAX_CONTROL_IN_A_ROW {
                (self.tampered, self.excused) = (true, true);
                self.answers.run_wild();
            }
            self.pump();
        }
    }

    /// Says close_notify and nothing more.
    pub(super) fn close(&mut self) {
        if !self.finished {
            if self.tls.is_handshaking() {
                // Nothing that the other expects here.
                self.tampered = true;
                self.answers.run_wild();
            }
            self.tls.send_close_notify();
            self.pump();
            // rustls takes for granted that nothing can fail after its last word.
            self.dead |= self.tampered;
            self.finished = true;
        }
    }

    /// Takes what has come, if the client reads.
    pub(super) fn take(&mut self, refusals: bool) {
        if !self.reads {
            return;
        }
        let came = std::mem::take(&mut self.inbound);
        let mut rest = &came[..];
        while !rest.is_empty() && !self.dead {
            let read = self.tls.read_tls(&mut rest);
            let state = read
                .map_err(|error| error.to_string())
                .and_then(|_| self.tls.process_new_packets().map_err(|error| error.to_string()));
            let mut plaintext = Vec::new();
            let _ = self.tls.reader().read_to_end(&mut plaintext);
            self.answers.take(&plaintext, refusals || self.excused);
            match state {
                Ok(state) if state.peer_has_closed() => {
                    self.answers.closed(refusals || self.excused);
                }
                Ok(_) => {}
                Err(error) => {
                    assert!(self.tampered, "the client does not understand the server: {error}");
                    self.dead = true;
                }
            }
        }
        if let Some(streams) = &mut self.answers.streams {
            let replies = std::mem::take(&mut streams.replies);
            self.write(&replies);
        }
        self.pump();
    }

    /// How full the way to the client is.
    pub(super) fn queue(&self) -> SendQueue {
        SendQueue { queued: self.inbound.len(), limit: self.window, unsent: 0 }
    }

    /// Whether the server's end is closed.
    pub(super) fn is_closed(&self) -> bool {
        if self.socket.is_some() {
            return false;
        }
        // Where the kernel moves the bytes, some may not have been read.
        let mut bytes = [0; 4096];
        loop {
            match rustix::io::read(&self.witness, &mut bytes) {
                Ok(0) | Err(Errno::CONNRESET) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }
}
