//! Requests that ask for another protocol, and what applications find in them: a [`Tunnel`] of ours,
//! and with the feature `upgrade` also hyper's `OnUpgrade`. The application takes one of the two.
//!
//! The invariant: a tunnel that the application has not opened, by 101 or by 2xx to an extended CONNECT,
//! carries nothing and fails.

#[cfg(feature = "upgrade")]
mod for_hyper;
mod tunnel;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Version, header};

use super::{Body, Feeder};
#[cfg(feature = "upgrade")]
use for_hyper::ForHyper;
use tunnel::Outbound;
pub use tunnel::{Tunnel, TunnelReader, TunnelWriter};

/// An upgrade that was offered to an application.
pub(crate) struct Upgrade {
    offer: Offer,
    outbound: Outbound,
    /// Where bytes of the client go.
    pub(crate) feeder: Feeder,
    #[cfg(feature = "upgrade")]
    for_hyper: Option<ForHyper>,
}

/// A tunnel that was offered: an extension of the request.
#[derive(Clone)]
struct Offer {
    tunnel: Arc<Mutex<Option<Tunnel>>>,
    /// `:protocol` of an extended CONNECT.
    protocol: Option<Box<str>>,
}

impl Offer {
    fn take(&self) -> Option<Tunnel> {
        self.tunnel.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Takes the tunnel of a request that asks for another protocol: by `Upgrade` in HTTP/1.1 (RFC 9110
/// section 7.8), by extended CONNECT in HTTP/2 (RFC 8441). It opens when the handler answers with 101
/// and `Upgrade`; HTTP/2 has no 101, and the client gets 200 there. It ends when the writer is dropped or
/// the client leaves. It may be used on any thread.
///
/// None if the request asks for no other protocol, or the tunnel was taken before. Where the feature
/// `upgrade` is on, a request has hyper's `OnUpgrade` as well; it fails once this was taken.
///
/// ```
/// use http::{HeaderValue, Request, Response, StatusCode, header};
/// use ringway::Body;
///
/// async fn echo(mut request: Request<Body>) -> Response<Body> {
///     let mut response = Response::new(Body::empty());
///     if ringway::wanted_protocol(&request) != Some("echo") {
///         *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
///         return response;
///     }
///     let Some(mut tunnel) = ringway::upgrade(&mut request) else { return response };
///     # #[cfg(feature = "tokio")]
///     tokio::spawn(async move {
///         while let Some(Ok(bytes)) = tunnel.receive().await {
///             if tunnel.send(&bytes).await.is_err() {
///                 return;
///             }
///         }
///     });
///     *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
///     response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("echo"));
///     response
/// }
/// ```
pub fn upgrade<B>(request: &mut Request<B>) -> Option<Tunnel> {
    request.extensions_mut().remove::<Offer>()?.take()
}

/// The protocol that a request asks for: `:protocol` of an extended CONNECT, or the whole value of
/// `Upgrade`, in which a client may name several.
pub fn wanted_protocol<B>(request: &Request<B>) -> Option<&str> {
    match &request.extensions().get::<Offer>()?.protocol {
        Some(protocol) => Some(protocol),
        None => request.headers().get(header::UPGRADE)?.to_str().ok(),
    }
}

/// Whether a request of HTTP/1.1 asks for another protocol (RFC 9110 section 7.8).
fn asks<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_11
        && request.headers().contains_key(header::UPGRADE)
        && names_upgrade(request.headers())
}

fn names_upgrade(fields: &HeaderMap) -> bool {
    fields.get_all(header::CONNECTION).iter().any(|value| {
        let mut options = value.as_bytes().split(|byte| *byte == b',');
        options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    })
}

impl Upgrade {
    /// Offers a tunnel to the application, if the request asks for another protocol: by its fields, or
    /// as an extended CONNECT to `protocol` (RFC 8441 section 4). `connection` is the task of the
    /// connection.
    pub(crate) fn offer<B>(
        request: &mut Request<B>,
        protocol: Option<&[u8]>,
        connection: &Waker,
    ) -> Option<Self> {
        let protocol = match protocol {
            Some(protocol) => Some(str::from_utf8(protocol).ok()?),
            None if asks(request) => None,
            None => return None,
        };
        let (body, feeder) = Body::stream(None, connection.clone());
        let outbound = Outbound::default();
        let tunnel = Arc::new(Mutex::new(Some(Tunnel::new(body, outbound.clone()))));
        let offer = Offer { tunnel, protocol: protocol.map(Box::from) };
        request.extensions_mut().insert(offer.clone());
        #[cfg(feature = "upgrade")]
        let for_hyper = ForHyper::offer(request, protocol, connection);
        Some(Self {
            offer,
            outbound,
            feeder,
            #[cfg(feature = "upgrade")]
            for_hyper,
        })
    }

    /// The application has accepted: what it waits for becomes the tunnel. One that it has not taken
    /// ends at once.
    pub(crate) fn accept(&mut self) {
        let untaken = self.offer.take();
        #[cfg(feature = "upgrade")]
        if let Some(for_hyper) = self.for_hyper.take()
            && untaken.is_some()
        {
            (self.feeder, self.outbound) = for_hyper.accept();
        }
        drop(untaken);
    }

    /// The next bytes of the application; None once it has closed its side.
    pub(crate) fn poll_outbound(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.outbound.poll_read(cx)
    }
}

impl Drop for Upgrade {
    fn drop(&mut self) {
        self.outbound.close();
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade").field("protocol", &self.offer.protocol).finish_non_exhaustive()
    }
}
