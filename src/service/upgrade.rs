//! Upgrades as axum and others expect them: a `hyper::upgrade::OnUpgrade` among the extensions of a
//! request that asks for one.
//!
//! Only hyper can make that value, so for each such request a connection of hyper runs over memory: it
//! reads a fixed request, and its service hands out the `OnUpgrade`. If the application answers 101,
//! hyper's service does the same; the head that it writes is dropped, since the real one is ours, and
//! what hyper then gives to the application reads and writes our tunnel.
//!
//! The invariant: the tunnel begins behind hyper's head, byte by byte, whichever thread writes next.

use std::{
    cell::RefCell,
    convert::Infallible,
    fmt,
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use hyper::{
    body::Incoming,
    ext::Protocol,
    rt::{Read, ReadBufCursor, Write},
    server::conn::http1,
    service::service_fn,
    upgrade::OnUpgrade,
};

use super::{Body, Feeder, signal::Signal};

/// What hyper reads.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";

/// Bytes that the application can write before the client takes them.
const OUTBOUND: usize = 64 * 1024;

/// Bytes that hyper's head ends with.
const END: &[u8] = b"\r\n\r\n";

/// An upgrade that was offered to an application.
pub(crate) struct Upgrade {
    /// Hyper's connection, until it has handed over.
    hyper: Option<Pin<Box<dyn Future<Output = ()>>>>,
    accepted: Signal,
    outbound: Arc<Mutex<Outbound>>,
    /// Where bytes of the client go.
    pub(crate) feeder: Feeder,
}

/// What the application has written.
#[derive(Default)]
struct Outbound {
    bytes: Vec<u8>,
    closed: bool,
    /// The connection's task, if it waits for bytes.
    connection: Option<Waker>,
    /// The application, if it waits for room.
    application: Option<Waker>,
}

fn lock(outbound: &Mutex<Outbound>) -> MutexGuard<'_, Outbound> {
    outbound.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// Offers an upgrade to the application, if the request asks for one: by its fields, or as an
    /// extended CONNECT to `protocol`, which applications find as [`Protocol`] (RFC 8441 section 4).
    /// `connection` is the task of the connection.
    pub(crate) fn offer<B>(
        request: &mut Request<B>,
        protocol: Option<&[u8]>,
        connection: &Waker,
    ) -> Option<Self> {
        match protocol {
            Some(protocol) => {
                let protocol = Protocol::from(str::from_utf8(protocol).ok()?);
                request.extensions_mut().insert(protocol);
            }
            None if asks(request) => {}
            None => return None,
        }
        let (body, feeder) = Body::stream(None, connection.clone());
        let outbound = Arc::<Mutex<Outbound>>::default();
        let memory = Memory {
            unread: REQUEST,
            matched: 0,
            body,
            piece: Bytes::new(),
            outbound: Arc::clone(&outbound),
        };
        let accepted = Signal::default();
        let given = Rc::new(RefCell::new(None));
        let (gives, waits) = (Rc::clone(&given), accepted.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            *gives.borrow_mut() = Some(hyper::upgrade::on(&mut request));
            let accepted = waits.wait();
            async move {
                accepted.await;
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                let name = header::HeaderValue::from_static("upgrade");
                response.headers_mut().insert(header::CONNECTION, name);
                Ok::<_, Infallible>(response)
            }
        });
        let mut builder = http1::Builder::new();
        builder.header_read_timeout(None);
        let hyper = builder.serve_connection(memory, service).with_upgrades();
        let mut hyper: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async move {
            if let Err(error) = hyper.await {
                log::debug!("upgrade: {error}");
            }
        });
        let _ = hyper.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let given: OnUpgrade = given.take()?;
        request.extensions_mut().insert(given);
        Some(Self { hyper: Some(hyper), accepted, outbound, feeder })
    }

    /// The application has answered 101: what it waits for becomes the tunnel.
    pub(crate) fn accept(&mut self) {
        self.accepted.set();
        // It is done in one poll: nothing that it waits for is not there.
        if let Some(hyper) = &mut self.hyper {
            let _ = hyper.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
        self.hyper = None;
    }

    /// The next bytes of the application; None once it has closed its side.
    pub(crate) fn poll_outbound(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let (bytes, application) = {
            let mut outbound = lock(&self.outbound);
            if outbound.bytes.is_empty() {
                if outbound.closed {
                    return Poll::Ready(None);
                }
                outbound.connection = Some(cx.waker().clone());
                return Poll::Pending;
            }
            (std::mem::take(&mut outbound.bytes), outbound.application.take())
        };
        if let Some(application) = application {
            application.wake();
        }
        Poll::Ready(Some(Bytes::from(bytes)))
    }
}

impl Drop for Upgrade {
    fn drop(&mut self) {
        let application = {
            let mut outbound = lock(&self.outbound);
            outbound.closed = true;
            outbound.application.take()
        };
        if let Some(application) = application {
            application.wake();
        }
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade").field("pending", &self.hyper.is_some()).finish_non_exhaustive()
    }
}

/// What hyper reads and writes, and behind its head the application.
struct Memory {
    /// What is left of the request.
    unread: &'static [u8],
    /// Bytes of [`END`] that hyper's head has ended with so far; all of them: the tunnel is open.
    matched: usize,
    body: Body,
    /// What is left of the last piece.
    piece: Bytes,
    outbound: Arc<Mutex<Outbound>>,
}

impl Memory {
    fn is_open(&self) -> bool {
        self.matched == END.len()
    }

    /// Passes over hyper's head. Bytes of `bytes` that belong to it.
    fn pass_over(&mut self, bytes: &[u8]) -> usize {
        for (at, byte) in bytes.iter().enumerate() {
            if self.is_open() {
                return at;
            }
            let goes_on = END.get(self.matched) == Some(byte);
            self.matched = if goes_on { self.matched + 1 } else { usize::from(*byte == b'\r') };
        }
        bytes.len()
    }
}

impl Read for Memory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.unread.is_empty() {
            let (taken, rest) = self.unread.split_at(self.unread.len().min(into.remaining()));
            into.put_slice(taken);
            self.unread = rest;
            return Poll::Ready(Ok(()));
        }
        if !self.is_open() {
            // Nothing comes but the upgrade, for which this is polled again.
            return Poll::Pending;
        }
        while self.piece.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(frame)) => self.piece = frame.into_data().unwrap_or_else(|_| Bytes::new()),
                Some(Err(error)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, error)));
                }
            }
        }
        let count = self.piece.len().min(into.remaining());
        into.put_slice(&self.piece.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl Write for Memory {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let passed = self.pass_over(bytes);
        if passed > 0 || bytes.is_empty() {
            return Poll::Ready(Ok(passed));
        }
        let (count, connection) = {
            let mut outbound = lock(&self.outbound);
            if outbound.closed {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let room = OUTBOUND.saturating_sub(outbound.bytes.len());
            if room == 0 {
                outbound.application = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let count = room.min(bytes.len());
            outbound.bytes.extend_from_slice(&bytes[..count]);
            (count, outbound.connection.take())
        };
        if let Some(connection) = connection {
            connection.wake();
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close();
        Poll::Ready(Ok(()))
    }
}

impl Memory {
    /// Nothing more is written.
    fn close(&self) {
        let connection = {
            let mut outbound = lock(&self.outbound);
            outbound.closed = true;
            outbound.connection.take()
        };
        if let Some(connection) = connection {
            connection.wake();
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.close();
    }
}
