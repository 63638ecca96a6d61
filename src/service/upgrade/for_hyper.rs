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
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body::Body as _;
use hyper::{
    body::Incoming,
    ext::Protocol,
    rt::{Read, ReadBufCursor, Write},
    server::conn::http1,
    service::service_fn,
    upgrade::OnUpgrade,
};

use super::Outbound;
use crate::service::{Body, Feeder, signal::Signal};

/// What hyper reads.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";

/// Bytes that hyper's head ends with.
const END: &[u8] = b"\r\n\r\n";

/// An upgrade that was offered as hyper has it.
pub(super) struct ForHyper {
    /// Hyper's connection, until it has handed over.
    hyper: Pin<Box<dyn Future<Output = ()>>>,
    accepted: Signal,
    outbound: Outbound,
    feeder: Feeder,
}

impl ForHyper {
    /// Adds an `OnUpgrade` to a request that asks for another protocol; to an extended CONNECT also its
    /// [`Protocol`].
    pub(super) fn offer<B>(
        request: &mut Request<B>,
        protocol: Option<&str>,
        connection: &Waker,
    ) -> Option<Self> {
        if let Some(protocol) = protocol {
            request.extensions_mut().insert(Protocol::from(protocol));
        }
        let (body, feeder) = Body::stream(None, connection.clone());
        let outbound = Outbound::default();
        let memory = Memory {
            unread: REQUEST,
            matched: 0,
            body,
            piece: Bytes::new(),
            outbound: outbound.clone(),
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
        // It waits for the application; what matters is whether `given` was set.
        let _ = hyper.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let given: OnUpgrade = given.take()?;
        request.extensions_mut().insert(given);
        Some(Self { hyper, accepted, outbound, feeder })
    }

    /// The application has accepted: what it waits for becomes the tunnel, whose ends these are.
    pub(super) fn accept(mut self) -> (Feeder, Outbound) {
        self.accepted.set();
        // It is done in one poll: nothing that it waits for is not there.
        let _ = self.hyper.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        (self.feeder, self.outbound)
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
    outbound: Outbound,
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
        self.outbound.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbound.close();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.outbound.close();
    }
}
