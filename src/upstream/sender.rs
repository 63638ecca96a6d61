//! The request on its way to the server: its head, what was held of its content, then the rest as the
//! client sends it. One message is in flight at a time.

use std::task::Poll;

use super::{connection::Connection, exchange::RequestContent, pool::Pool};
use crate::{
    observe::PassedOn,
    parse::BodyLength,
    respond::forward::{TrailersOf, trailer_fields},
    ring::{Chunk, Content, Flight, Message},
};

/// What is sent of a request.
pub(super) struct Outgoing<'e> {
    pub(super) framed: BodyLength,
    pub(super) head: Content,
    /// Content that is here.
    pub(super) held: &'e [Chunk],
    /// It is all of it.
    pub(super) whole: bool,
    /// The trailer lines behind it, if it is.
    pub(super) trailers: &'e [u8],
}

/// A request on its way.
pub(super) struct Sender {
    flight: Option<Flight<Box<Message>>>,
    framed: BodyLength,
    next: Next,
    /// What was held, to be sent behind the head.
    head: Option<(Content, Vec<Chunk>)>,
    /// Trailer lines of content that is held.
    trailers: Vec<u8>,
    whole: bool,
    /// Bytes of the client are passed on as they are.
    tunnel: bool,
    sent_any: bool,
    streamed: bool,
    had_content: bool,
    failed: bool,
    waits: bool,
}

/// What is sent next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Head,
    Content,
    /// The end of chunked content.
    End,
    Nothing,
}

impl Sender {
    pub(super) fn new(outgoing: Outgoing<'_>) -> Self {
        let Outgoing { framed, head, held, whole, trailers } = outgoing;
        Self {
            trailers: trailers.to_vec(),
            tunnel: false,
            flight: None,
            framed,
            next: Next::Head,
            had_content: !held.is_empty() || !whole,
            head: Some((head, held.to_vec())),
            whole,
            sent_any: false,
            streamed: false,
            failed: false,
            waits: false,
        }
    }

    /// The request has ended with HTTP: what the client sends from here on is passed on as it is.
    pub(super) fn open_tunnel(&mut self) {
        self.framed = BodyLength::Length(u64::MAX);
        self.tunnel = true;
        self.next = Next::Content;
    }

    /// Whether the kernel has all of the request.
    pub(super) fn is_done(&self) -> bool {
        self.next == Next::Nothing && self.flight.is_none() && !self.failed
    }

    /// Whether a request without content was submitted. The task is not woken once the kernel has all of it:
    /// the response is what comes next, and nothing is kept that somebody else could use.
    pub(super) fn is_unwatched(&self) -> bool {
        self.next == Next::Nothing && !self.had_content && self.flight.is_some()
    }

    /// Whether more of the client's content is waited for, and nothing else.
    pub(super) fn waits_for_client(&self) -> bool {
        self.waits && self.flight.is_none()
    }

    /// Whether the kernel accepted any byte.
    pub(super) fn sent_any(&self) -> bool {
        self.sent_any
    }

    /// Whether content was sent that is not held.
    pub(super) fn has_streamed(&self) -> bool {
        self.streamed
    }

    /// Whether the request has content.
    pub(super) fn had_content(&self) -> bool {
        self.had_content
    }

    /// Sends on. Whether anything was accepted by the kernel.
    pub(super) fn drive(
        &mut self,
        pool: &Pool,
        connection: &mut Connection,
        content: &mut impl RequestContent,
    ) -> bool {
        let mut moved = false;
        while !self.failed {
            if let Some(flight) = &mut self.flight {
                let Poll::Ready((result, mut message)) = flight.poll() else { break };
                self.flight = None;
                match result {
                    Ok(count) => {
                        moved = true;
                        self.sent_any |= count > 0;
                        message.advance(count);
                    }
                    // The server may have answered before it stopped reading: its answer counts.
                    Err(_) => self.failed = true,
                }
                if !self.failed && message.remaining() > 0 {
                    self.submit(connection, message);
                } else {
                    pool.ring().put_back_message(message);
                }
                continue;
            }
            let Some(message) = self.next_message(pool, connection, content) else { break };
            match connection.protect(message) {
                Ok(message) => self.submit(connection, message),
                Err(_) => self.failed = true,
            }
        }
        moved
    }

    fn submit(&mut self, connection: &Connection, message: Box<Message>) {
        let count = message.remaining();
        self.flight = connection.begin_send(message);
        let unwatched = self.is_unwatched();
        if let Some(flight) = self.flight.as_mut().filter(|_| unwatched) {
            flight.expect(count);
        }
    }

    /// The next message, if there is one.
    fn next_message(
        &mut self,
        pool: &Pool,
        connection: &Connection,
        content: &mut impl RequestContent,
    ) -> Option<Box<Message>> {
        self.waits = false;
        match self.next {
            Next::Nothing => None,
            Next::End => {
                self.next = Next::Nothing;
                let mut message = pool.ring().message();
                if self.trailers.is_empty() {
                    self.trailers = trailer_fields(&content.take_trailers(), TrailersOf::Request);
                }
                let end = if self.trailers.is_empty() {
                    Chunk::from(Content::Fixed(b"0\r\n\r\n"))
                } else {
                    Chunk::from([b"0\r\n", &*self.trailers, b"\r\n"].concat())
                };
                push(&mut message, end);
                Some(message)
            }
            Next::Head => {
                let (head, held) = self.head.take()?;
                let mut message = pool.ring().message();
                push(&mut message, Chunk::from(head));
                for chunk in held {
                    note_content(pool, connection, &chunk);
                    self.push_content(&mut message, chunk);
                }
                self.next = match self.framed {
                    _ if !self.whole => Next::Content,
                    BodyLength::Chunked => Next::End,
                    BodyLength::None | BodyLength::Length(_) => Next::Nothing,
                };
                Some(message)
            }
            Next::Content => match content.poll_piece() {
                Poll::Pending => {
                    self.waits = true;
                    None
                }
                Poll::Ready(Some(chunk)) => {
                    self.streamed = true;
                    note_content(pool, connection, &chunk);
                    let mut message = pool.ring().message();
                    self.push_content(&mut message, chunk);
                    Some(message)
                }
                Poll::Ready(None) => {
                    let chunked = self.framed == BodyLength::Chunked;
                    self.next = if chunked { Next::End } else { Next::Nothing };
                    if self.tunnel {
                        // The client has ended its side.
                        connection.end_sending();
                    }
                    if chunked { self.next_message(pool, connection, content) } else { None }
                }
            },
        }
    }

    /// Appends content in the framing of the request.
    fn push_content(&self, message: &mut Message, chunk: Chunk) {
        if self.framed != BodyLength::Chunked {
            push(message, chunk);
            return;
        }
        let line = format!("{:x}\r\n", chunk.len()).into_bytes();
        push(message, Chunk::from(line));
        push(message, chunk);
        push(message, Chunk::from(Content::Fixed(b"\r\n")));
    }
}

/// Content is about to be sent.
fn note_content(pool: &Pool, connection: &Connection, chunk: &Chunk) {
    let sent = chunk.len() as u64;
    let sealed = if connection.is_secured() { sent } else { 0 };
    pool.note_passed_on(PassedOn { sent, held: 0, sealed });
}

/// Appends a chunk. A message here has few parts: a head, one piece of held content, one chunk.
fn push(message: &mut Message, chunk: Chunk) {
    let (content, range) = chunk.into_parts();
    let pushed = message.push_content(content, range);
    debug_assert!(pushed, "a request has fewer parts than a message");
}
