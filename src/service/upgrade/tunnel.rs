//! Both directions of a connection whose protocol an application has changed.
//!
//! The invariant: what one side has not taken holds the other back. The client's bytes are read only
//! while they are asked for, and at most [`OUTBOUND`] bytes of the application wait for the client.

use std::{
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::Body as _;

use crate::service::{Body, BodyError};

/// Bytes that the application can write before the client takes them.
const OUTBOUND: usize = 64 * 1024;

/// What the application has written. A clone is the same.
#[derive(Clone, Default)]
pub(super) struct Outbound(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    closed: bool,
    /// The connection's task, if it waits for bytes.
    connection: Option<Waker>,
    /// The application, if it waits for room.
    application: Option<Waker>,
}

/// Wakes without the lock: a waker is foreign code.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Outbound {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The application writes as many of these bytes as there is room for.
    pub(super) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let (count, connection) = {
            let mut state = self.lock();
            if state.closed {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let room = OUTBOUND.saturating_sub(state.bytes.len());
            if room == 0 {
                state.application = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let count = room.min(bytes.len());
            state.bytes.extend_from_slice(&bytes[..count]);
            (count, state.connection.take())
        };
        wake(connection);
        Poll::Ready(Ok(count))
    }

    /// The next bytes for the client; None once the application has closed its side.
    pub(super) fn poll_read(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let (bytes, application) = {
            let mut state = self.lock();
            if state.bytes.is_empty() {
                if state.closed {
                    return Poll::Ready(None);
                }
                state.connection = Some(cx.waker().clone());
                return Poll::Pending;
            }
            (std::mem::take(&mut state.bytes), state.application.take())
        };
        wake(application);
        Poll::Ready(Some(Bytes::from(bytes)))
    }

    /// Nothing more is written; what was written still leaves.
    pub(super) fn close(&self) {
        let (connection, application) = {
            let mut state = self.lock();
            state.closed = true;
            (state.connection.take(), state.application.take())
        };
        wake(connection);
        wake(application);
    }
}

/// Both sides of a connection that speaks another protocol than HTTP from here on; see
/// [`upgrade`](super::upgrade()). Dropping the writer ends the connection once what was written has left.
#[derive(Debug)]
pub struct Tunnel {
    reader: TunnelReader,
    writer: TunnelWriter,
}

/// The client's side of a [`Tunnel`].
#[derive(Debug)]
pub struct TunnelReader(Body);

/// The application's side of a [`Tunnel`].
pub struct TunnelWriter(Outbound);

impl fmt::Debug for TunnelWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TunnelWriter").finish_non_exhaustive()
    }
}

impl Tunnel {
    pub(super) fn new(body: Body, outbound: Outbound) -> Self {
        Self { reader: TunnelReader(body), writer: TunnelWriter(outbound) }
    }

    /// As [`TunnelReader::receive`].
    pub async fn receive(&mut self) -> Option<Result<Bytes, BodyError>> {
        self.reader.receive().await
    }

    /// As [`TunnelWriter::send`].
    ///
    /// # Errors
    /// As there.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.send(bytes).await
    }

    /// The two sides, which may be used on different threads.
    pub fn split(self) -> (TunnelReader, TunnelWriter) {
        (self.reader, self.writer)
    }
}

impl TunnelReader {
    /// Waits for bytes of the client, which are read only then. None once the client has ended its side in
    /// order: with END_STREAM over HTTP/2, with close_notify over HTTP/1.1 (with FIN where there is no
    /// TLS). It may still read what the writer sends. An error if the connection or the stream has ended
    /// otherwise, or if the handler did not open the tunnel.
    pub async fn receive(&mut self) -> Option<Result<Bytes, BodyError>> {
        loop {
            let frame = poll_fn(|cx| Pin::new(&mut self.0).poll_frame(cx)).await?;
            match frame.map(http_body::Frame::into_data) {
                Ok(Ok(data)) => return Some(Ok(data)),
                // Trailers mean nothing in a tunnel.
                Ok(Err(_)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl TunnelWriter {
    /// Sends all of these bytes; waits while 64 KiB wait for the client. They may not have left when this
    /// returns.
    ///
    /// # Errors
    /// `BrokenPipe` if the connection has ended.
    pub async fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = poll_fn(|cx| self.0.poll_write(cx, bytes)).await?;
            bytes = bytes.get(count..).ok_or(io::ErrorKind::WriteZero)?;
        }
        Ok(())
    }
}

impl Drop for TunnelWriter {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_does_not_take_holds_the_application_back() {
        let outbound = Outbound::default();
        let mut cx = Context::from_waker(Waker::noop());
        let written = outbound.poll_write(&mut cx, &vec![1; OUTBOUND + 1]);
        assert!(matches!(written, Poll::Ready(Ok(OUTBOUND))));
        assert!(outbound.poll_write(&mut cx, b"x").is_pending());
        let Poll::Ready(Some(bytes)) = outbound.poll_read(&mut cx) else { panic!("nothing") };
        assert_eq!(bytes.len(), OUTBOUND);
        assert!(matches!(outbound.poll_write(&mut cx, b"x"), Poll::Ready(Ok(1))));
        outbound.close();
        assert!(matches!(outbound.poll_read(&mut cx), Poll::Ready(Some(bytes)) if &*bytes == b"x"));
        assert!(matches!(outbound.poll_read(&mut cx), Poll::Ready(None)));
        assert!(matches!(outbound.poll_write(&mut cx, b"x"), Poll::Ready(Err(_))));
    }
}
