//! Native handlers: answers that cost what a file costs.
//!
//! A handler sees the head of a request where it lies, and writes status, fields and content into
//! memory of the worker that is used again and again. It is a plain function, since a borrowed head
//! cannot outlive a wait: a handler that has to wait takes what it needs out of the head, and answers
//! with [`Outcome::Later`].
//!
//! The invariant: a reply holds no field that could end its line or change the framing of the
//! message.

mod ask;

use std::{fmt, fs::File, future::Future, io, ops::Range, pin::Pin, rc::Rc};

use bytes::Bytes;

use super::Connection;
pub(crate) use ask::{Answered, Handlers, Late, Memory, Native, ask};

/// Bytes that the fields of a reply may take as lines of HTTP/1.1.
pub(crate) const MAX_LINES: usize = 8 * 1024;

/// Answers requests in place, without `http` types and without allocating.
///
/// ```
/// use ringway::native::{Head, Outcome, Reply};
///
/// fn health(head: &Head<'_>, reply: &mut Reply) -> Outcome {
///     if head.path() != b"/health" {
///         return Outcome::Pass;
///     }
///     reply.status(200).field("Content-Type", "text/plain").body(b"ok\n");
///     Outcome::Done
/// }
/// # let _ = ringway::Server::builder().handler_at("/", health);
/// ```
///
/// It runs on the worker that holds the connection: a call that blocks holds all its connections. A
/// panic is a 500 for its request.
pub trait Handler: Send + Sync + 'static {
    /// Answers a request, or passes it on.
    fn answer(&self, head: &Head<'_>, reply: &mut Reply) -> Outcome;
}

impl<F> Handler for F
where
    F: Fn(&Head<'_>, &mut Reply) -> Outcome + Send + Sync + 'static,
{
    fn answer(&self, head: &Head<'_>, reply: &mut Reply) -> Outcome {
        self(head, reply)
    }
}

/// What a handler does with a request.
pub enum Outcome {
    /// The reply is complete.
    Done,
    /// The request goes to what its path leads to without the handler: a service, a file, a pool. What
    /// was written into the reply is dropped.
    Pass,
    /// The reply comes when this is done. It is polled on the worker, in the runtime of the server.
    Later(Pin<Box<dyn Future<Output = Reply>>>),
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "Done",
            Self::Pass => "Pass",
            Self::Later(_) => "Later",
        })
    }
}

/// Calls its argument with every field, in order.
pub(crate) type EachField<'r> = dyn Fn(&mut dyn FnMut(&'r str, &'r [u8])) + 'r;

/// The head of a request, borrowed where it lies. It was checked, and is within
/// [`Limits`](crate::config::Limits).
pub struct Head<'r> {
    pub(crate) method: &'r [u8],
    pub(crate) path: &'r [u8],
    pub(crate) query: Option<&'r [u8]>,
    pub(crate) host: Option<&'r [u8]>,
    pub(crate) fields: &'r EachField<'r>,
    pub(crate) connection: &'r Connection,
}

impl<'r> Head<'r> {
    /// The method, a token: `GET`.
    pub fn method(&self) -> &'r [u8] {
        self.method
    }

    /// The path as it was sent, percent-encoded.
    pub fn path(&self) -> &'r [u8] {
        self.path
    }

    /// What follows the first `?` of the target.
    pub fn query(&self) -> Option<&'r [u8]> {
        self.query
    }

    /// The host that the request is for, perhaps with a port; None for HTTP/1.0 without one.
    pub fn host(&self) -> Option<&'r [u8]> {
        self.host
    }

    /// The value of the first field with this name, in any case.
    pub fn field(&self, name: &str) -> Option<&'r [u8]> {
        let mut found = None;
        (self.fields)(&mut |own, value| {
            if found.is_none() && own.eq_ignore_ascii_case(name) {
                found = Some(value);
            }
        });
        found
    }

    /// Calls `each` with every field line, in order. Over HTTP/2 names are in lower case.
    pub fn each_field(&self, mut each: impl FnMut(&'r str, &'r [u8])) {
        (self.fields)(&mut each);
    }

    /// The value of a cookie (RFC 6265 section 4.2), as it was sent.
    pub fn cookie(&self, name: &str) -> Option<&'r [u8]> {
        let cookies = self.field("Cookie")?;
        cookies.split(|byte| *byte == b';').find_map(|pair| {
            let pair = pair.trim_ascii_start();
            pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
        })
    }

    /// The connection that the request came on.
    pub fn connection(&self) -> &'r Connection {
        self.connection
    }
}

impl fmt::Debug for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("method", &self.method.escape_ascii().to_string())
            .field("path", &self.path.escape_ascii().to_string())
            .finish_non_exhaustive()
    }
}

/// An answer: a status, fields, and content. A new one is a 200 without content.
///
/// `Content-Length`, `Connection`, `Keep-Alive`, `Transfer-Encoding` and `Upgrade` are Ringway's: fields
/// of these names are dropped.
#[derive(Debug)]
pub struct Reply {
    code: u16,
    /// Lines of HTTP/1.1, each with its CRLF.
    lines: Rc<Vec<u8>>,
    body: Rc<Vec<u8>>,
    content: Content,
    dated: bool,
    named: bool,
    fault: Option<Fault>,
}

/// What a reply has for content.
#[derive(Debug)]
pub(crate) enum Content {
    /// What was written into its own memory.
    Own(Rc<Vec<u8>>),
    /// Bytes of the program.
    Bytes(Bytes),
    /// A range of an open file.
    File(File, Range<u64>),
    /// What the site has at this path.
    Site(Vec<u8>),
}

/// What is wrong with a reply. The client gets 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A status that is not of three digits, 200 or more.
    Status,
    /// A name that is no token, or a value with a control character.
    Field,
    /// Fields that are longer than [`MAX_LINES`].
    TooLong,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Status => "a handler replied with a status that is not of 200 to 999",
            Self::Field => "a handler replied with a field that HTTP does not allow",
            Self::TooLong => "a handler replied with more than 8 KiB of fields",
        })
    }
}

/// A reply that was found sound.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: u16,
    pub(crate) lines: Rc<Vec<u8>>,
    pub(crate) content: Content,
    /// It has a `Date` of its own.
    pub(crate) dated: bool,
    /// It has a `Server` of its own.
    pub(crate) named: bool,
}

impl Default for Reply {
    fn default() -> Self {
        Self::over(Rc::default(), Rc::default())
    }
}

impl Reply {
    /// 200, without fields and content.
    pub fn new() -> Self {
        Self::default()
    }

    fn over(lines: Rc<Vec<u8>>, body: Rc<Vec<u8>>) -> Self {
        let content = Content::Bytes(Bytes::new());
        Self { code: 200, lines, body, content, dated: false, named: false, fault: None }
    }

    /// Sets the status: 200 to 999.
    pub fn status(&mut self, code: u16) -> &mut Self {
        self.code = code;
        if !(200..1000).contains(&code) {
            self.fault = Some(Fault::Status);
        }
        self
    }

    /// Adds a field. A name that is no token or a value with a control character makes the answer a
    /// 500 and a line in the log, as more than 8 KiB of fields do.
    pub fn field(&mut self, name: &str, value: impl AsRef<[u8]>) -> &mut Self {
        let value = value.as_ref();
        if !is_token(name) || value.iter().any(|byte| is_forbidden(*byte)) {
            self.fault = Some(Fault::Field);
            return self;
        }
        if is_of_the_connection(name) {
            return self;
        }
        if self.lines.len() + name.len() + value.len() + 4 > MAX_LINES {
            self.fault = Some(Fault::TooLong);
            return self;
        }
        self.dated |= name.eq_ignore_ascii_case("date");
        self.named |= name.eq_ignore_ascii_case("server");
        let lines = Rc::make_mut(&mut self.lines);
        for piece in [name.as_bytes(), b": ", value, b"\r\n"] {
            lines.extend_from_slice(piece);
        }
        self
    }

    /// Appends to the content, by a copy. Beyond 12 KiB the memory is not used again.
    pub fn body(&mut self, bytes: &[u8]) -> &mut Self {
        Rc::make_mut(&mut self.body).extend_from_slice(bytes);
        self
    }

    /// Makes these bytes the content, in place of what was appended.
    pub fn bytes(&mut self, bytes: impl Into<Bytes>) -> &mut Self {
        self.content = Content::Bytes(bytes.into());
        self
    }

    /// Makes a range of a file the content: it is read through the ring and leaves uncopied. The file
    /// must have all of the range; fields such as `Content-Range` are the handler's.
    pub fn file(&mut self, file: File, range: Range<u64>) -> &mut Self {
        self.content = Content::File(file, range.start..range.end.max(range.start));
        self
    }

    /// Answers with what the files of the site have at `path`, an absolute path, percent-encoded as in
    /// a target: with codings, ranges and conditions, from the cache. The path need not be one that
    /// clients can ask for. The status is then that of the file; fields of the reply are added.
    pub fn site(&mut self, path: &str) -> &mut Self {
        self.content = Content::Site(path.as_bytes().to_vec());
        self
    }

    /// Takes the reply apart.
    ///
    /// # Errors
    /// It cannot be sent.
    pub(crate) fn finish(self) -> Result<Finished, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let Self { code, lines, body, content, dated, named, .. } = self;
        let content = match content {
            Content::Bytes(bytes) if bytes.is_empty() => Content::Own(body),
            content => content,
        };
        Ok(Finished { code, lines, content, dated, named })
    }
}

/// Appends to the content: `write!`, `serde_json::to_writer`.
impl io::Write for Reply {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.body(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a name is a token (RFC 9110 section 5.6.2).
fn is_token(name: &str) -> bool {
    let of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(of_token)
}

/// Whether a byte may not stand in a value (RFC 9110 section 5.5).
fn is_forbidden(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

fn is_of_the_connection(name: &str) -> bool {
    let names = [
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
    ];
    names.iter().any(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn fault(make: impl FnOnce(&mut Reply)) -> Option<Fault> {
        let mut reply = Reply::new();
        make(&mut reply);
        reply.finish().err()
    }

    #[test]
    fn a_reply_takes_no_field_that_could_end_its_line() {
        assert_eq!(fault(|reply| _ = reply.field("X-One", "1").field("x-two", b"\t\xff")), None);
        for (name, value) in [("", "1"), ("a b", "1"), ("a:", "1"), ("a", "1\r\nb: 2"), ("a", "\0")]
        {
            assert_eq!(fault(|reply| _ = reply.field(name, value)), Some(Fault::Field), "{name}");
        }
        for status in [0, 101, 199, 1000] {
            assert_eq!(fault(|reply| _ = reply.status(status)), Some(Fault::Status));
        }
        let long = "x".repeat(MAX_LINES);
        assert_eq!(fault(|reply| _ = reply.field("a", &long)), Some(Fault::TooLong));
    }

    #[test]
    fn what_frames_the_message_is_dropped() {
        let mut reply = Reply::new();
        for name in ["Content-Length", "connection", "Transfer-Encoding", "X-Mine", "DATE"] {
            reply.field(name, "1");
        }
        write!(reply, "{}", 42).unwrap();
        let finished = reply.finish().unwrap();
        assert_eq!(&**finished.lines, b"X-Mine: 1\r\nDATE: 1\r\n");
        assert!(finished.dated && !finished.named);
        assert!(matches!(finished.content, Content::Own(body) if *body == b"42"));
    }
}
