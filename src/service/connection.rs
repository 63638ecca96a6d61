//! What an application can learn of the connection that a request came on.

use std::{fmt, future::Future, net::SocketAddr, sync::Arc};

use super::signal::Signal;

/// The connection that a request came on: an extension of every request. A clone shares it.
///
/// ```
/// use ringway::{Body, Connection};
///
/// fn who(request: &http::Request<Body>) -> Option<std::net::SocketAddr> {
///     request.extensions().get::<Connection>()?.peer()
/// }
/// ```
#[derive(Clone)]
pub struct Connection(Arc<Facts>);

/// What is known of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) tls_version: &'static str,
    pub(crate) protocol: &'static str,
    pub(crate) resumed: bool,
    pub(crate) worker: usize,
    /// The drain of its worker.
    pub(crate) drain: Signal,
}

impl Connection {
    pub(crate) fn new(facts: Facts) -> Self {
        Self(Arc::new(facts))
    }

    /// The client's address; None if the connection was gone before it was asked for.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.0.peer
    }

    /// Our own address that the client connected to; None as for [`Self::peer`].
    pub fn local(&self) -> Option<SocketAddr> {
        self.0.local
    }

    /// The version of TLS: `TLSv1.2` or `TLSv1.3`.
    pub fn tls_version(&self) -> &'static str {
        self.0.tls_version
    }

    /// The protocol of its requests, as ALPN spells it: `http/1.1` or `h2`.
    pub fn protocol(&self) -> &'static str {
        self.0.protocol
    }

    /// Whether a session ticket spared the full handshake.
    pub fn is_resumed(&self) -> bool {
        self.0.resumed
    }

    /// Waits until the server stops. Exchanges may finish then, for as long as `drain` allows; one that
    /// would never end, such as a stream of events, ends itself when this is done.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + use<> {
        self.0.drain.wait()
    }

    /// The worker that holds it, from 0.
    pub fn worker(&self) -> usize {
        self.0.worker
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Facts { peer, local, tls_version, protocol, resumed, worker, drain: _ } = &*self.0;
        f.debug_struct("Connection")
            .field("peer", peer)
            .field("local", local)
            .field("tls_version", tls_version)
            .field("protocol", protocol)
            .field("resumed", resumed)
            .field("worker", worker)
            .finish()
    }
}
