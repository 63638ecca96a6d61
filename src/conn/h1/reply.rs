//! From a reply to the write queue: its head into send memory, its content by the shortest way.

use std::{future::poll_fn, pin::pin, rc::Rc, task::Poll};

use super::{Stop, head::Refusal};
use crate::{
    close::Ending,
    conn::{
        Context, Session,
        exchange::Reply,
        session::{ended_by_write, while_held_up},
    },
    observe::{RequestClock, ServerTiming, Stage, Why},
    process::{answer::FieldSink, facts::Made},
    respond::{HeadFault, HeadWriter, Status},
    ring::Socket,
    write::{Following, Piece, WriteError, Writer},
};

/// Room for the status line and the fields that every head may have: `Server`, `Date`,
/// `Connection`, and the empty line.
pub(super) const OWN_LINES: usize = 160;

/// The longest head that is sent: one record holds it with its page.
const MAX_HEAD_ROOM: usize = 15 * 1024;

/// What the response says of the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    /// It goes on.
    pub(super) persists: bool,
    /// And that has to be said.
    pub(super) says_so: bool,
}

impl Connection {
    /// The response is the last.
    const CLOSES: Self = Self { persists: false, says_so: false };
}

/// Writes the fields of an answer as lines.
pub(super) struct Sink<'a, 'b> {
    pub(super) head: &'a mut HeadWriter<'b>,
    /// The connection has no TLS.
    pub(super) plain: bool,
}

impl Sink<'_, '_> {
    /// Never without TLS (RFC 6797 section 7.2).
    fn leaves_out(&self, name: &str) -> bool {
        self.plain && name.eq_ignore_ascii_case("Strict-Transport-Security")
    }
}

impl FieldSink for Sink<'_, '_> {
    fn field(&mut self, name: &str, value: &[u8]) {
        if !self.leaves_out(name) {
            self.head.field(name, value);
        }
    }

    fn checked_field(&mut self, name: &str, value: &[u8]) {
        if !self.leaves_out(name) {
            self.head.checked_field(name, value);
        }
    }

    fn field_u64(&mut self, name: &str, number: u64) {
        self.head.field_u64(name, number);
    }

    fn made(&mut self, made: &Made) {
        self.head.lines(made.lines());
    }
}

/// Why a reply was not queued.
pub(super) enum Unsent {
    /// Its head is longer than [`MAX_HEAD_ROOM`].
    TooLong,
    /// Its head could not be written: nothing of it was sent.
    Head(HeadFault),
    /// The connection is broken.
    Broken(WriteError),
}

impl From<WriteError> for Unsent {
    fn from(error: WriteError) -> Self {
        Self::Broken(error)
    }
}

impl Unsent {
    /// How the loop of requests goes on without the reply, which answered a HEAD or not.
    #[cold]
    pub(super) fn into_stop(self, context: &Context, session: &Session, to_head: bool) -> Stop {
        let (status, why) = match self {
            Self::TooLong => (Status::UriTooLong, Why::RequestTargetTooLong),
            Self::Head(fault) => {
                context.defect(&fault);
                (Status::InternalServerError, Why::ServerDefect)
            }
            Self::Broken(error) => return Stop::Close(ended_by_write(&session.clock, &error)),
        };
        Stop::Refuse(Refusal { status, why, to_head })
    }
}

/// Answers what cannot be served, after what was queued before it; the connection closes.
pub(super) async fn refuse(
    context: &Rc<Context>,
    socket: &Socket,
    session: &mut Session,
    request: &mut RequestClock,
    refusal: Refusal,
) -> Ending {
    context.count(|counts| {
        counts.requests += 1;
        counts.refused += 1;
    });
    request.head(session.reader.plaintext(), usize::MAX);
    request.refused(refusal.why);
    if let Err(ending) = session.refresh_key(socket).await {
        return ending;
    }
    session.clock.ends(refusal.why);
    request.enter(Stage::Respond);
    let mut reply = Reply::refusal(context, refusal.status);
    if refusal.to_head {
        reply = reply.head_only();
    }
    let sent = match queue(context, socket, session, request, &mut reply, Connection::CLOSES).await
    {
        Ok(()) => session.flush(socket).await,
        Err(Unsent::Broken(error)) => Err(ended_by_write(&session.clock, &error)),
        Err(Unsent::TooLong) => Err(Ending::Defect("a refusal has too long a head")),
        Err(Unsent::Head(_)) => Err(Ending::Defect("the head of a refusal cannot be written")),
    };
    sent.map_or_else(|ending| ending, |()| Ending::Linger)
}

/// A reply that is on its way into the queue: something has to be awaited for that.
pub(super) struct Queueing {
    /// Bytes that its head may take.
    room: usize,
    following: Following,
    connection: Connection,
    /// The length of its head, if that lies in the room.
    head: Option<usize>,
}

/// Queues a reply. It leaves with the next flush, or in part now if it is large.
pub(super) async fn queue(
    context: &Rc<Context>,
    socket: &Socket,
    session: &mut Session,
    request: &mut RequestClock,
    reply: &mut Reply<'_>,
    connection: Connection,
) -> Result<(), Unsent> {
    match begin(context, socket, session, request, reply, connection)? {
        None => Ok(()),
        Some(queueing) => finish(context, socket, session, request, reply, queueing).await,
    }
}

/// Begins to queue a reply. None: it is queued, since it found room and is short, as most are. Else
/// [`finish`] does the rest.
pub(super) fn begin(
    context: &Context,
    socket: &Socket,
    session: &mut Session,
    request: &mut RequestClock,
    reply: &mut Reply<'_>,
    connection: Connection,
) -> Result<Option<Queueing>, Unsent> {
    let mut room = OWN_LINES + reply.fields_bound();
    if reply.terms().server_timing {
        room += ServerTiming::LONGEST_LINE;
    }
    if let Some(Piece::Copied(bytes)) = reply.source().piece() {
        room += bytes.len();
    }
    if room > MAX_HEAD_ROOM {
        return Err(Unsent::TooLong);
    }
    if reply.endpoint().is_named() {
        request.of(reply.endpoint());
    }
    if let Some(why) = reply.why() {
        request.refused(why);
    }
    let more = !session.reader.plaintext().is_empty();
    let following = if more { Following::Some } else { Following::Nothing };
    let writer = &mut session.writer;
    writer.goes_by(reply.terms().sending);
    let mut queueing = Queueing { room, following, connection, head: None };
    let queued = match writer.poll_reserve(socket, room, reply.source().remaining(), following) {
        Poll::Pending => return Ok(Some(queueing)),
        Poll::Ready(Err(error)) => Err(Unsent::Broken(error)),
        Poll::Ready(Ok(())) => match write_head(context, writer, reply, connection, request) {
            Err(fault) => Err(Unsent::Head(fault)),
            Ok(head) => match writer.queue_short(head, reply.source_mut()) {
                Ok(true) => Ok(()),
                Ok(false) => {
                    queueing.head = Some(head);
                    return Ok(Some(queueing));
                }
                Err(error) => Err(Unsent::Broken(error)),
            },
        },
    };
    note_queued(socket, session, request, reply.code(), queued).map(|()| None)
}

/// Queues what [`begin`] could not. While the peer takes nothing, the connection holds no receive buffers.
pub(super) async fn finish(
    context: &Context,
    socket: &Socket,
    session: &mut Session,
    request: &mut RequestClock,
    reply: &mut Reply<'_>,
    Queueing { room, following, connection, head }: Queueing,
) -> Result<(), Unsent> {
    let Session { reader, writer, .. } = session;
    let queued = async {
        let head = if let Some(head) = head {
            head
        } else {
            let body = reply.source().remaining();
            poll_fn(|_| writer.poll_reserve(socket, room, body, following)).await?;
            write_head(context, writer, reply, connection, request).map_err(Unsent::Head)?
        };
        writer.queue(socket, head, reply.source_mut()).await.map_err(Unsent::Broken)
    };
    let queued = while_held_up(reader, pin!(queued)).await;
    note_queued(socket, session, request, reply.code(), queued)
}

/// Takes note of a reply with this status that was queued, or not.
fn note_queued(
    socket: &Socket,
    session: &mut Session,
    request: &mut RequestClock,
    status: u16,
    queued: Result<(), Unsent>,
) -> Result<(), Unsent> {
    let Session { writer, clock, .. } = session;
    clock.answered(request, status, writer.is_kernel(), writer.take_moved());
    match &queued {
        Ok(()) => writer.carry(socket, request, 0),
        Err(Unsent::Broken(_)) => writer.breaks_off(request),
        // It is answered anew, with an error.
        Err(Unsent::TooLong | Unsent::Head(_)) => {}
    }
    queued
}

/// Writes the head of a reply into the room that was made for it.
fn write_head(
    context: &Context,
    writer: &mut Writer,
    reply: &Reply<'_>,
    connection: Connection,
    request: &RequestClock,
) -> Result<usize, HeadFault> {
    let plain = writer.is_plain();
    let mut head = HeadWriter::of_code(writer.room(), reply.code());
    if !reply.names_server() {
        head.server();
    }
    if !reply.is_dated() {
        head.date(&context.time.date());
    }
    reply.write_fields(&mut Sink { head: &mut head, plain });
    if reply.terms().server_timing {
        head.field("Server-Timing", ServerTiming::of(request).as_bytes());
    }
    if !connection.persists {
        head.connection_close();
    } else if connection.says_so {
        head.connection_keep_alive();
    }
    let written = head.finish()?;
    writer.gathering().holds_head();
    writer.note_page(0, reply.shared_page());
    Ok(written)
}
