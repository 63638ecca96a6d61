//! The rustls configuration: what Ringway offers, in which order.
//!
//! One configuration serves all workers, and with it one set of ticket keys, so a client may
//! resume on whichever worker it lands.

#![forbid(unsafe_code)]

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::version;

use super::identity::Certificates;
#[cfg(test)]
use super::identity::{Certificate, Credentials};
use super::policy::{ClientPolicy, NO_POLICY};
use super::protocol::Protocol;
use super::provider::provider;
use super::tickets::BoundTickets;
use crate::config::Demand;
use crate::record::TlsVersion;

/// Tickets with each handshake of TLS 1.3 for a client that will speak HTTP/1. A ticket is used once,
/// and a browser that comes back opens up to six connections at the same time.
const HTTP1_TICKETS: usize = 2;

/// Tickets for a client that will speak HTTP/2: it needs one connection.
const HTTP2_TICKETS: usize = 1;

/// Most tickets for a client that asks for a number of them; the memory of handshakes counts with it.
const MAX_TICKETS: usize = 2;

/// What clients are offered, whatever the certificates are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// The oldest version of TLS that is accepted.
    pub minimum: TlsVersion,
    /// Whether ALPN offers HTTP/2.
    pub http2: bool,
}

/// What a configuration is made of, each part of which can be replaced while the server runs.
#[derive(Debug)]
pub(crate) struct TlsParts {
    /// The certificates to choose from.
    pub certificates: Arc<Certificates>,
    /// What is demanded of clients; `None` if they are not asked for certificates.
    pub clients: Option<Arc<ClientPolicy>>,
    /// What makes tickets: [`own_tickets`], or [`SharedTickets`](super::SharedTickets).
    pub tickets: Arc<dyn ProducesTickets>,
}

impl TlsParts {
    /// Builds the configuration for this offer.
    ///
    /// - Key exchange: X25519MLKEM768, then X25519, P-256, P-384.
    /// - Cipher suites: the server's order decides; AES-128-GCM leads on CPUs with AES instructions,
    ///   ChaCha20-Poly1305 elsewhere. TLS 1.2 has forward-secret AEAD suites only, none of which
    ///   RFC 9113 section 9.2.2 prohibits for HTTP/2.
    /// - ALPN: `h2` where it is offered, `http/1.1`, `http/1.0`.
    /// - Tickets: stateless, and bound to what is demanded of clients. Nothing else is kept of a
    ///   session. Two with each handshake, or one for a client of HTTP/2 (see [`SharedConfig`]);
    ///   clients that want another number say so (RFC 9149). No session is resumed later than seven days after its full
    ///   handshake.
    /// - No early data: a replayed request must not exist.
    pub(crate) fn server_config(self, offer: Offer) -> Result<Arc<ServerConfig>, rustls::Error> {
        let versions: &[_] = match offer.minimum {
            TlsVersion::Tls12 => &[&version::TLS13, &version::TLS12],
            TlsVersion::Tls13 => &[&version::TLS13],
        };
        let (verifier, policy) = match self.clients {
            Some(clients) => (Arc::clone(&clients.verifier), clients.digest),
            None => (WebPkiClientVerifier::no_client_auth(), NO_POLICY),
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(versions)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(self.certificates);
        config.alpn_protocols = Protocol::offered(offer.http2);
        config.ignore_client_order = true;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Arc::new(BoundTickets { inner: self.tickets, policy });
        config.send_tls13_tickets = HTTP1_TICKETS;
        config.max_tls13_tickets = MAX_TICKETS;
        config.max_early_data_size = 0;
        config.enable_secret_extraction = true;
        Ok(Arc::new(config))
    }
}

/// The configuration for one certificate, clients without any, tickets of its own and HTTP/1.
#[cfg(test)]
pub(crate) fn server_config(
    credentials: Credentials,
    minimum: TlsVersion,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let certificate = Arc::new(Certificate::new(credentials)?);
    let parts = TlsParts {
        certificates: Arc::new(Certificates::new(vec![certificate])),
        clients: None,
        tickets: own_tickets()?,
    };
    parts.server_config(Offer { minimum, http2: false })
}

/// Tickets for this process alone: the keys are random, change every six hours and open tickets for
/// twelve.
pub(crate) fn own_tickets() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    Ticketer::new()
}

/// The configuration that handshakes begin with, which a reload may replace at any time. A handshake
/// looks here once and stays with what it found.
///
/// It is kept once for each protocol, since a client of HTTP/2 gets fewer tickets; all else is shared.
///
/// A lock that is only ever written when certificates are replaced costs a reader two atomic
/// operations, less than a thousandth of a handshake.
#[derive(Debug)]
pub(crate) struct SharedConfig(RwLock<Configs>);

/// By what is demanded of clients.
#[derive(Debug, Default)]
struct Configs {
    present: HashMap<Demand, Variants>,
    /// Of the ones before, those that the present ones lack: workers that have not switched to another
    /// configuration yet ask for them.
    leaving: HashMap<Demand, Variants>,
}

/// One configuration with as many tickets as the clients of each protocol need.
#[derive(Debug)]
struct Variants {
    http1: Arc<ServerConfig>,
    http2: Arc<ServerConfig>,
}

impl Variants {
    fn of(http1: Arc<ServerConfig>) -> Self {
        let is_http2 = |name: &Vec<u8>| Protocol::agreed(Some(name)) == Some(Protocol::Http2);
        let offered = http1.alpn_protocols.iter().any(is_http2);
        let http2 = if offered {
            let mut config = ServerConfig::clone(&http1);
            config.send_tls13_tickets = HTTP2_TICKETS;
            Arc::new(config)
        } else {
            Arc::clone(&http1)
        };
        Self { http1, http2 }
    }
}

impl SharedConfig {
    /// Begins with one that demands nothing of clients.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn new(config: Arc<ServerConfig>) -> Self {
        Self::of(vec![(Demand::NONE, config)])
    }

    /// Begins with these, each for what is demanded of clients.
    pub(crate) fn of(configs: Vec<(Demand, Arc<ServerConfig>)>) -> Self {
        let shared = Self(RwLock::default());
        shared.replace(configs);
        shared
    }

    /// The present one for what is demanded of a client, whose ClientHello offers HTTP/2, or does not. None
    /// if nothing demands that.
    pub(crate) fn current(&self, demand: Demand, offers_http2: bool) -> Option<Arc<ServerConfig>> {
        let configs = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let variants = configs.present.get(&demand).or_else(|| configs.leaving.get(&demand))?;
        Some(Arc::clone(if offers_http2 { &variants.http2 } else { &variants.http1 }))
    }

    /// Puts others in their place. An old one goes with the last handshake that has it; one for which there
    /// is no other stays until the next replacement.
    pub(crate) fn replace(&self, configs: Vec<(Demand, Arc<ServerConfig>)>) {
        let present: HashMap<_, _> =
            configs.into_iter().map(|(demand, config)| (demand, Variants::of(config))).collect();
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut old = std::mem::replace(&mut current.present, present);
        let leaving: HashMap<_, _> =
            old.extract_if(|demand, _| !current.present.contains_key(demand)).collect();
        let gone = std::mem::replace(&mut current.leaving, leaving);
        // Taking them apart is not for handshakes to wait for.
        drop(current);
        drop((old, gone));
    }
}
