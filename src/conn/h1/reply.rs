//! From an answer to the write queue: its head into send memory, its content by the shortest way.

use std::{pin::pin, rc::Rc};

use super::Stop;
use crate::{
    close::Ending,
    conn::{
        Context, Session,
        session::{ending_of_write, while_held_up},
    },
    files::{FileEntry, FileObject},
    observe::{RequestClock, ServerTiming, Stage},
    process::{
        answer::{Answer, Content, FieldSink},
        multipart::{MAX_PART_HEAD, Multipart},
        negotiate::Coding,
        page::Page,
    },
    respond::{HeadFault, HeadWriter, Status, refusal},
    ring::{Pages, Socket},
    write::{Body, WriteError, Writer},
};

/// Room for a head without the operator's fields and without a `Location`.
const HEAD_ROOM: usize = 1000;

/// Pages up to this length are written behind their head; longer ones are shared with the ring.
const INLINE_PAGE: usize = 1024;

/// The longest head that is sent: one record holds it with its page.
const MAX_HEAD_ROOM: usize = 15 * 1024;

/// Room for a refusal (see [`refusal`]).
const REFUSAL_ROOM: usize = 1536;

/// What the response says of the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    /// It goes on.
    pub(super) persists: bool,
    /// And that has to be said.
    pub(super) says_so: bool,
}

struct Sink<'a, 'b>(&'a mut HeadWriter<'b>);

impl FieldSink for Sink<'_, '_> {
    fn field(&mut self, name: &str, value: &[u8]) {
        self.0.field(name, value);
    }

    fn field_u64(&mut self, name: &str, number: u64) {
        self.0.field_u64(name, number);
    }

    fn lines(&mut self, lines: &[u8]) {
        self.0.lines(lines);
    }
}

/// Queues an answer. It leaves with the next flush, or in part now if it is large.
pub(super) async fn send(
    context: &Rc<Context>,
    socket: &Socket,
    session: &mut Session,
    request: &mut RequestClock,
    answer: &Answer<'_>,
    file: Option<&FileEntry>,
    connection: Connection,
) -> Result<(), Stop> {
    let mut room = HEAD_ROOM + context.own_fields_len();
    if context.config.observe.server_timing {
        room += ServerTiming::LONGEST_LINE;
    }
    if let Content::Page(page) = &answer.content {
        // A redirect's Location is no longer than its page.
        room += page.len().min(INLINE_PAGE) + if answer.status == 301 { page.len() } else { 0 };
    }
    if room > MAX_HEAD_ROOM {
        return Err(Stop::Refuse(Status::UriTooLong));
    }
    let more = !session.reader.plaintext().is_empty();
    let Session { reader, writer, clock, .. } = session;
    let queued = async {
        let expected = match &answer.content {
            Content::Nothing => 0,
            _ => answer.content_length().unwrap_or(0),
        };
        writer.reserve(socket, room, expected, more).await?;
        let head = match write_head(context, writer.room(), answer, connection, request) {
            Ok(head) => head,
            Err(fault) => return Ok(Err(fault)),
        };
        match &answer.content {
            Content::Nothing => writer.queue(socket, head, Body::None).await?,
            Content::Page(page) => queue_page(context, writer, socket, head, page).await?,
            Content::Whole(coding) => {
                if let Some(object) = object(file, *coding) {
                    let all = 0..object.stat.length;
                    writer.queue(socket, head, body(object, all)).await?;
                }
            }
            Content::Slice(coding, range) => {
                if let Some(object) = object(file, *coding) {
                    writer.queue(socket, head, body(object, range.first..range.last + 1)).await?;
                }
            }
            Content::Parts(coding, parts) => {
                writer.queue(socket, head, Body::None).await?;
                if let Some(object) = object(file, *coding) {
                    Box::pin(queue_parts(writer, socket, object, parts)).await?;
                }
            }
        }
        Ok::<_, WriteError>(Ok(()))
    };
    let queued = while_held_up(reader, pin!(queued)).await;
    clock.answered(request, answer.status, writer.is_kernel(), writer.take_moved());
    match queued {
        Ok(Ok(())) => {
            writer.departure().carries(request);
            Ok(())
        }
        Ok(Err(fault)) => {
            log::warn!("respond: {fault}");
            Err(Stop::Refuse(Status::InternalServerError))
        }
        Err(error) => {
            writer.departure().carries(request);
            Err(Stop::Close(ending_of_write(&error)))
        }
    }
}

fn write_head(
    context: &Context,
    room: &mut [u8],
    answer: &Answer<'_>,
    connection: Connection,
    request: &RequestClock,
) -> Result<usize, HeadFault> {
    let status = Status::from_code(answer.status).unwrap_or(Status::InternalServerError);
    let mut head = HeadWriter::new(room, status);
    head.server().date(&context.date());
    answer.write_fields(&context.site, &mut Sink(&mut head));
    if context.config.observe.server_timing {
        head.field("Server-Timing", ServerTiming::of(request).as_bytes());
    }
    if !connection.persists {
        head.connection_close();
    } else if connection.says_so {
        head.connection_keep_alive();
    }
    head.finish()
}

fn object(file: Option<&FileEntry>, coding: Coding) -> Option<&FileObject> {
    file.map(|file| file.object(coding))
}

/// A range of a file, from memory if it is at hand.
fn body(object: &FileObject, range: std::ops::Range<u64>) -> Body<'_> {
    match (&object.content, &object.file) {
        (Some(content), _) => Body::Shared(content, range.start as usize..range.end as usize),
        (None, Some(file)) => Body::File(file, range),
        (None, None) => Body::None,
    }
}

async fn queue_page(
    context: &Context,
    writer: &mut Writer,
    socket: &Socket,
    head: usize,
    page: &Page,
) -> Result<(), WriteError> {
    if page.len() <= INLINE_PAGE
        && let Some(room) = writer.room().get_mut(head..head + page.len())
    {
        room.copy_from_slice(page);
        writer.note_page(page.len(), 0);
        return writer.queue(socket, head + page.len(), Body::None).await;
    }
    let mut copy = Pages::counted(page.len(), context.files.listings());
    copy.copy_from_slice(page);
    let page = Rc::new(copy);
    writer.note_page(0, page.len());
    writer.queue(socket, head, Body::Shared(&page, 0..page.len())).await
}

async fn queue_parts(
    writer: &mut Writer,
    socket: &Socket,
    object: &FileObject,
    parts: &Multipart,
) -> Result<(), WriteError> {
    for &range in parts.ranges() {
        writer.reserve(socket, MAX_PART_HEAD, range.len(), true).await?;
        let head = parts.part_head(range, writer.room()).map_err(WriteError::File)?;
        writer.queue(socket, head, body(object, range.first..range.last + 1)).await?;
    }
    writer.reserve(socket, MAX_PART_HEAD, 0, true).await?;
    let end = parts.end(writer.room()).map_err(WriteError::File)?;
    writer.queue(socket, end, Body::None).await
}

/// Answers what cannot be served, after what was queued before it; the connection closes.
pub(super) async fn refuse(
    context: &Rc<Context>,
    socket: &Socket,
    session: &mut Session,
    request: &mut RequestClock,
    status: Status,
) -> Ending {
    context.count(|counts| {
        counts.requests += 1;
        counts.refused += 1;
    });
    request.head(session.reader.plaintext(), usize::MAX);
    request.enter(Stage::Respond);
    let Session { reader, writer, clock, .. } = session;
    let queued = async {
        writer.reserve(socket, REFUSAL_ROOM, 0, false).await?;
        let written = refusal(writer.room(), status, &context.date()).unwrap_or(0);
        let refusal = writer.room().get(..written).unwrap_or_default();
        let head = memchr::memmem::find(refusal, b"\r\n\r\n").map_or(written, |end| end + 4);
        writer.note_page(written - head, 0);
        writer.queue(socket, written, Body::None).await
    };
    let queued = while_held_up(reader, pin!(queued)).await;
    clock.answered(request, status.code(), writer.is_kernel(), writer.take_moved());
    writer.departure().carries(request);
    let sent = match queued {
        Ok(()) => session.flush(socket).await,
        Err(error) => Err(ending_of_write(&error)),
    };
    sent.map_or_else(|ending| ending, |()| Ending::Linger)
}
