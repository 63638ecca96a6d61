//! From the bytes of a head to what they ask for and how the message around them is framed.
//!
//! The head is parsed where it lies and stays borrowed: what is decided at once copies nothing.

use std::rc::Rc;

use crate::{
    conn::{
        Context, Session,
        client::Sender,
        exchange::{
            Begun, Coming, Decided, First, Incoming, KeptAsked, Lookups, Passage, Reply, Responder,
            Want, ask_handler, begin, begin_at_once, behind, decide, guard, is_polled_at_once,
        },
        guard::Verification,
        sites::{Served, Terms},
        why,
    },
    observe::{RequestClock, Stage, Why},
    parse::{
        BodyLength, FieldStorage, HeadError, Method, RequestHead, Target, Version, request_head,
    },
    process::{
        interest::Interest,
        site::{Asked, Via},
    },
    read::LENT_FROM,
    respond::Status,
    ring::Socket,
    write::WriteError,
};

/// What is known of a request apart from what it asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Framing {
    /// Bytes of its head.
    pub(super) head: usize,
    /// Bytes of content that its responder was given with the head.
    pub(super) taken: usize,
    /// How the content ends that its responder has not got.
    pub(super) body: BodyLength,
    /// The client waits for 100 before it sends its content.
    pub(super) expects_continue: bool,
    /// The client lets the connection go on.
    pub(super) persistent: bool,
    /// The response has to say that it does: the client speaks HTTP/1.0.
    pub(super) says_keep_alive: bool,
    /// The request is a HEAD: no response to it has content.
    pub(super) to_head: bool,
    /// The client speaks HTTP/1.0, which does not know chunked content.
    pub(super) http10: bool,
}

impl Framing {
    fn of(head: &RequestHead<'_, '_>) -> Self {
        Self {
            head: head.length,
            taken: 0,
            body: head.body,
            expects_continue: head.expect_continue,
            persistent: head.persistent,
            says_keep_alive: head.persistent && head.version == Version::Http10,
            to_head: head.method == Method::Head,
            http10: head.version == Version::Http10,
        }
    }

    pub(super) fn has_body(&self) -> bool {
        !matches!(self.body, BodyLength::None | BodyLength::Length(0))
    }
}

/// An answer that ends its connection, since what follows has no certain meaning or is not wanted.
#[derive(Clone, Copy, Debug)]
pub(in crate::conn) struct Refusal {
    pub(super) status: Status,
    /// What is wrong.
    pub(super) why: Why,
    /// It answers a HEAD, so it has no content (RFC 9110 section 9.3.2).
    pub(super) to_head: bool,
}

impl Refusal {
    /// The refusal of a head that lies, in part at least, at the start of `bytes`.
    pub(super) fn of_head(status: Status, why: Why, bytes: &[u8]) -> Self {
        // Empty lines may stand before a request line (RFC 9112 section 2.2).
        let begin = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
        let to_head = begin.is_some_and(|at| bytes.split_at(at).1.starts_with(b"HEAD "));
        Self { status, why, to_head }
    }
}

/// What the bytes amount to. Made and taken apart within one poll.
pub(super) enum Examined<'s, 'l> {
    Incomplete,
    Refused(Refusal),
    /// The answer lies where it stays until it is queued: it is large, and each move of it costs more than
    /// a field of a head.
    Decided(Framing, &'s mut Reply<'l>),
    Streamed(Framing, Rc<Served>, Box<dyn Responder>, Option<First>),
    Wants(Framing, KeptAsked, Want),
}

/// Parses a head and decides its answer, which is put into `slot`, if what it asks for is known.
///
/// # Errors
/// [`WriteError::Defect`], as [`decide`] has it.
pub(super) fn examine<'s, 'l>(
    context: &Rc<Context>,
    socket: &Socket,
    session: &mut Session,
    lookups: &'l Lookups,
    clock: &mut RequestClock,
    slot: &'s mut Option<Reply<'l>>,
) -> Result<Examined<'s, 'l>, WriteError> {
    let bytes = session.reader.plaintext();
    let mut storage = FieldStorage::new();
    let terms = context.terms();
    let parsed = request_head(bytes, &mut storage, &terms.head_limits);
    let head = match &parsed {
        Ok(Some(head)) => head,
        Ok(None) => return Ok(Examined::Incomplete),
        Err(error) => return Ok(refused(*error, bytes)),
    };
    clock.enter(Stage::Decode);
    let (path, query) = head.target.path_and_query();
    let mut interest = Interest::default();
    head.fields.iter().for_each(|(name, value)| interest.note(name, value));
    let (interest, now) = (&interest, context.time.unix_seconds() as i64);
    let (via, demand, host) = (session.via, session.demand, head.host);
    let asked = Asked { via, demand, method: head.method, host, path, query, interest, now };
    let mut framing = Framing::of(head);
    let authority = match head.target {
        Target::Absolute { authority, .. } => Some(authority),
        _ => None,
    };
    let Some(values) = bytes.get(..head.length) else {
        return Err(WriteError::Defect("a head is longer than the bytes that it came in"));
    };
    let incoming = Incoming {
        method: head.method.as_bytes(),
        path,
        query,
        authority,
        version: Some(head.version),
        fields: &head.fields,
        values,
        body: head.body,
        here: None,
        secure: via == Via::Tls,
        protocol: None,
    };
    let Session { clock: own, about, .. } = session;
    let (asked, incoming) = (&asked, &incoming);
    let coming = Coming { context, socket, clock: own, asked, incoming };
    let mut verification = None;
    // Results are taken apart where they are: `?` would move the reply once more.
    let decided = match ask_handler(coming, about, lookups) {
        Ok(Some(decided)) => Ok(decided),
        Ok(None) => {
            let sender = || Sender::new(context, socket, own, about, &head.fields, clock);
            match guard(context, asked, lookups, sender) {
                Ok(Passage::Through(to_verify)) => verification = to_verify,
                Ok(Passage::Wants(want)) => {
                    return Ok(Examined::Wants(framing, KeptAsked::new(asked), want));
                }
                Ok(Passage::Refused(reply)) => return Ok(decided_apart(framing, reply, slot)),
                Err(error) => return Err(error),
            }
            decide(context, asked, lookups)
        }
        Err(error) => Err(error),
    };
    match decided {
        Ok(Decided::Ready(reply)) => Ok(Examined::Decided(framing, slot.insert(reply))),
        Ok(Decided::Wants(want)) => Ok(Examined::Wants(framing, KeptAsked::new(asked), want)),
        Ok(Decided::Begun(served, responder)) => {
            Ok(Examined::Streamed(framing, served, responder, None))
        }
        Ok(Decided::Streamed(served)) => {
            let mut refused = None;
            if is_polled_at_once(&served, verification.as_ref())
                && let Some(here) = content_at_hand(bytes, head, &served.terms)
            {
                let incoming =
                    &Incoming { here: Some(here).filter(|here| !here.is_empty()), ..*incoming };
                (framing.taken, framing.body) = (here.len(), BodyLength::None);
                match begin_at_once(Coming { incoming, ..coming }, about, &served, clock) {
                    Ok(Begun::Answered(reply)) => {
                        return Ok(Examined::Decided(framing, slot.insert(reply)));
                    }
                    Ok(Begun::Polled(responder, first)) => {
                        return Ok(Examined::Streamed(framing, served, responder, Some(first)));
                    }
                    Err(status) => refused = Some(status),
                }
            }
            let begun = match refused {
                Some(status) => Err(status),
                None => begin(coming, about, &served),
            };
            Ok(begun_apart(coming, served, verification, begun, framing, slot))
        }
        Err(error) => Err(error),
    }
}

// What follows stands apart, so that what most requests run lies together.

#[cold]
fn refused<'s, 'l>(error: HeadError, bytes: &[u8]) -> Examined<'s, 'l> {
    log::debug!("parse: {error}");
    Examined::Refused(Refusal::of_head(error.status(), why::of_head(error), bytes))
}

#[allow(clippy::boxed_local, reason = "it is boxed where it is seldom made")]
#[cold]
fn decided_apart<'s, 'l>(
    framing: Framing,
    reply: Box<Reply<'l>>,
    slot: &'s mut Option<Reply<'l>>,
) -> Examined<'s, 'l> {
    Examined::Decided(framing, slot.insert(*reply))
}

/// A responder that has begun and is polled later, or did not begin.
#[cold]
fn begun_apart<'s, 'l>(
    coming: Coming<'_>,
    served: Rc<Served>,
    verification: Option<Verification>,
    begun: Result<Box<dyn Responder>, Status>,
    framing: Framing,
    slot: &'s mut Option<Reply<'l>>,
) -> Examined<'s, 'l> {
    match behind(coming, &served, verification, begun) {
        Ok(responder) => Examined::Streamed(framing, served, responder, None),
        Err(reply) => decided_apart(framing, reply, slot),
    }
}

/// The content of a request, if all of it has come with its head and it is short. None: it is read as it is
/// wanted, or refused.
fn content_at_hand<'b>(
    bytes: &'b [u8],
    head: &RequestHead<'_, '_>,
    terms: &Terms,
) -> Option<&'b [u8]> {
    let length = match head.body {
        BodyLength::None => 0,
        BodyLength::Length(length) => usize::try_from(length).ok()?,
        BodyLength::Chunked => return None,
    };
    if length >= LENT_FROM || length as u64 > terms.limits.body_bytes {
        return None;
    }
    bytes.get(head.length..)?.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_head_is_known_to_be_a_head() {
        for (bytes, to_head) in [
            (&b"HEAD / HTTP/1.1\r\nHo st: x\r\n\r\n"[..], true),
            (b"\r\n\r\nHEAD /", true),
            (b"HEAD", false),
            (b"HEADER / HTTP/1.1", false),
            (b"GET /HEAD HTTP/1.1\r\n", false),
            (b"\r\n", false),
            (b"", false),
        ] {
            assert_eq!(
                Refusal::of_head(Status::BadRequest, Why::RequestLine, bytes).to_head,
                to_head,
                "{bytes:?}"
            );
        }
    }
}
