//! Request content, as an application reads it.
//!
//! A cell is shared between the [`Body`] and the task of the connection: one piece at a time, the end,
//! and whether more is wanted. The body takes the piece or says that it wants one, and wakes the
//! connection's task, which reads, decrypts and hands over. There is no queue: nobody asks, nobody
//! reads, and the client's window closes.
//!
//! The invariant: a body ends in order only if its content did. If the connection ends before, the
//! body fails.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

/// The content of a request. It may be sent to another thread and read there.
///
/// It is read from the client only as fast as it is polled. Dropping it says that the rest is not
/// wanted.
pub struct Body(Kind);

enum Kind {
    Empty,
    /// All of it came with the head, and has not been taken.
    Whole(Bytes),
    Stream(Arc<Mutex<Cell>>),
}

/// Why request content does not end in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// The connection ended, or the client broke the framing of the content, took too long or sent
    /// more than `max-body`. The exchange is over: what is answered now reaches nobody.
    Incomplete,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete => f.write_str("the content of the request is incomplete"),
        }
    }
}

impl std::error::Error for BodyError {}

/// What both sides share.
#[derive(Default)]
struct Cell {
    piece: Option<Bytes>,
    /// What the content ends with.
    trailers: Option<HeaderMap>,
    /// Bytes that have not been taken, if the request states how many there are.
    remaining: Option<u64>,
    wanted: bool,
    ended: bool,
    failed: bool,
    /// The connection's task is polling the application: it looks at `wanted` by itself.
    attended: bool,
    /// Who waits for a piece.
    reader: Option<Waker>,
    /// The connection's task.
    connection: Option<Waker>,
}

fn lock(cell: &Mutex<Cell>) -> MutexGuard<'_, Cell> {
    cell.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Body {
    /// No content.
    pub fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// Content that is all there.
    pub(crate) fn whole(content: Bytes) -> Self {
        Self(if content.is_empty() { Kind::Empty } else { Kind::Whole(content) })
    }

    /// Content of `length` bytes, if that is known, and the side from which it comes.
    pub(crate) fn stream(length: Option<u64>, connection: Waker) -> (Self, Feeder) {
        let cell = Cell { remaining: length, connection: Some(connection), ..Cell::default() };
        let cell = Arc::new(Mutex::new(cell));
        (Self(Kind::Stream(Arc::clone(&cell))), Feeder(cell))
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("empty", &matches!(self.0, Kind::Empty))
            .finish_non_exhaustive()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Kind::Stream(cell) = &self.0 else {
            return Poll::Ready(match std::mem::replace(&mut self.0, Kind::Empty) {
                Kind::Whole(content) => Some(Ok(Frame::data(content))),
                Kind::Empty | Kind::Stream(_) => None,
            });
        };
        let wake = {
            let mut cell = lock(cell);
            if let Some(piece) = cell.piece.take() {
                cell.remaining = cell.remaining.map(|left| left.saturating_sub(piece.len() as u64));
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if cell.failed {
                return Poll::Ready(Some(Err(BodyError::Incomplete)));
            }
            if cell.ended {
                return Poll::Ready(
                    cell.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))),
                );
            }
            if !cell.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
                cell.reader = Some(cx.waker().clone());
            }
            let newly = !std::mem::replace(&mut cell.wanted, true);
            if newly && !cell.attended { cell.connection.clone() } else { None }
        };
        // Without the lock: a waker is foreign code.
        if let Some(connection) = wake {
            connection.wake();
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Whole(_) => false,
            Kind::Stream(cell) => {
                let cell = lock(cell);
                cell.ended && cell.piece.is_none() && cell.trailers.is_none() && !cell.failed
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Whole(content) => SizeHint::with_exact(content.len() as u64),
            Kind::Stream(cell) => {
                lock(cell).remaining.map_or_else(SizeHint::new, SizeHint::with_exact)
            }
        }
    }
}

/// The side from which content comes: the task of the connection. Dropped before the end, it makes the
/// body fail.
pub(crate) struct Feeder(Arc<Mutex<Cell>>);

impl Feeder {
    /// The connection's task begins or ends to poll the application. While it does, a body that wants
    /// more need not wake it, nor what is handed over the application in it.
    pub(crate) fn attend(&self, attended: bool) {
        lock(&self.0).attended = attended;
    }

    /// Whether more is wanted. Never after the body was dropped.
    pub(crate) fn is_wanted(&self) -> bool {
        let cell = lock(&self.0);
        cell.wanted && cell.piece.is_none() && Arc::strong_count(&self.0) > 1
    }

    /// Hands a piece over, which was wanted.
    pub(crate) fn put(&self, piece: Bytes) {
        self.change(|cell| {
            cell.piece = Some(piece);
            cell.wanted = false;
        });
    }

    /// Nothing comes behind what was handed over.
    pub(crate) fn end(&self) {
        self.end_with(None);
    }

    /// Nothing but these trailers comes behind what was handed over.
    pub(crate) fn end_with(&self, trailers: Option<HeaderMap>) {
        self.change(|cell| {
            cell.trailers = trailers;
            cell.ended = true;
        });
    }

    fn change(&self, change: impl FnOnce(&mut Cell)) {
        let reader = {
            let mut cell = lock(&self.0);
            change(&mut cell);
            let reader = cell.reader.take();
            // The connection's task polls the application next.
            let own = cell.connection.as_ref().filter(|_| cell.attended);
            reader.filter(|reader| !own.is_some_and(|own| own.will_wake(reader)))
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.change(|cell| {
            cell.failed = !cell.ended;
            // The task is another's from here on.
            cell.connection = None;
        });
    }
}

impl fmt::Debug for Feeder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feeder").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
        task::Wake,
    };

    use http_body::Body as _;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn poll(body: &mut Body, waker: &Waker) -> Poll<Option<Result<Bytes, BodyError>>> {
        let mut cx = Context::from_waker(waker);
        let frame = Pin::new(body).poll_frame(&mut cx);
        frame.map(|frame| frame.map(|frame| frame.map(|frame| frame.into_data().unwrap())))
    }

    #[test]
    fn an_application_that_is_polled_next_is_not_woken_for_what_it_gets() {
        let (connection, elsewhere) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let own = Waker::from(Arc::clone(&connection));
        let (mut body, feeder) = Body::stream(None, own.clone());
        let piece = Bytes::from_static(b"a");
        feeder.attend(true);
        for (waker, woken) in [(own, 0), (Waker::from(Arc::clone(&elsewhere)), 1)] {
            assert!(poll(&mut body, &waker).is_pending());
            feeder.put(piece.clone());
            assert_eq!((connection.0.load(SeqCst), elsewhere.0.load(SeqCst)), (0, woken));
            assert_eq!(poll(&mut body, &waker), Poll::Ready(Some(Ok(piece.clone()))));
        }
    }

    #[test]
    fn content_that_is_all_there_comes_at_once() {
        let mut body = Body::whole(Bytes::from_static(b"abc"));
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(3), false));
        let piece = poll(&mut body, Waker::noop());
        assert_eq!(piece, Poll::Ready(Some(Ok(Bytes::from_static(b"abc")))));
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
        assert_eq!(poll(&mut body, Waker::noop()), Poll::Ready(None));
        assert!(Body::whole(Bytes::new()).is_end_stream());
    }

    #[test]
    fn content_comes_when_it_is_asked_for_and_wakes_who_waits() {
        let (connection, reader) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let (mut body, feeder) = Body::stream(Some(3), Waker::from(Arc::clone(&connection)));
        let waker = Waker::from(Arc::clone(&reader));
        assert_eq!(body.size_hint().exact(), Some(3));
        assert!(!feeder.is_wanted());
        assert!(poll(&mut body, &waker).is_pending());
        assert!(poll(&mut body, &waker).is_pending());
        assert_eq!(connection.0.load(SeqCst), 1, "the connection is woken once for a piece");
        assert!(feeder.is_wanted());
        feeder.put(Bytes::from_static(b"abc"));
        assert_eq!(reader.0.load(SeqCst), 1);
        assert!(!feeder.is_wanted() && !body.is_end_stream());
        feeder.end();
        assert_eq!(poll(&mut body, &waker), Poll::Ready(Some(Ok(Bytes::from_static(b"abc")))));
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
        assert_eq!(poll(&mut body, &waker), Poll::Ready(None));
        drop(feeder);
        assert_eq!(poll(&mut body, &waker), Poll::Ready(None), "an end stays an end");
    }

    #[test]
    fn trailers_come_behind_the_last_piece() {
        let (mut body, feeder) = Body::stream(None, Waker::noop().clone());
        assert!(poll(&mut body, Waker::noop()).is_pending());
        feeder.put(Bytes::from_static(b"abc"));
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "7".parse().unwrap());
        feeder.end_with(Some(trailers.clone()));
        assert_eq!(
            poll(&mut body, Waker::noop()),
            Poll::Ready(Some(Ok(Bytes::from_static(b"abc"))))
        );
        assert!(!body.is_end_stream());
        let frame = Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(Some(Ok(frame))) = frame else { panic!("{frame:?}") };
        assert_eq!(frame.into_trailers().unwrap(), trailers);
        assert!(body.is_end_stream());
        assert_eq!(poll(&mut body, Waker::noop()), Poll::Ready(None));
    }

    #[test]
    fn a_truncation_never_looks_like_an_end() {
        let (mut body, feeder) = Body::stream(None, Waker::noop().clone());
        let reader = Arc::new(Count::default());
        assert!(poll(&mut body, &Waker::from(Arc::clone(&reader))).is_pending());
        drop(feeder);
        assert_eq!(reader.0.load(SeqCst), 1, "who waits for content is woken");
        for _ in 0..2 {
            let failed = poll(&mut body, Waker::noop());
            assert_eq!(failed, Poll::Ready(Some(Err(BodyError::Incomplete))));
        }
        assert!(!body.is_end_stream());
    }

    #[test]
    fn a_body_that_was_dropped_wants_nothing() {
        let (mut body, feeder) = Body::stream(None, Waker::noop().clone());
        assert!(poll(&mut body, Waker::noop()).is_pending());
        assert!(feeder.is_wanted());
        drop(body);
        assert!(!feeder.is_wanted());
    }

    #[test]
    fn an_attentive_connection_is_not_woken() {
        let connection = Arc::new(Count::default());
        let (mut body, feeder) = Body::stream(None, Waker::from(Arc::clone(&connection)));
        feeder.attend(true);
        assert!(poll(&mut body, Waker::noop()).is_pending());
        feeder.attend(false);
        assert_eq!(connection.0.load(SeqCst), 0);
        assert!(feeder.is_wanted(), "it looks by itself");
    }
}
