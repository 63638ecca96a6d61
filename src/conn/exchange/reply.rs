//! An answer with its content, ready for whatever protocol carries it.

use std::{io, ops::Range, rc::Rc};

#[cfg(feature = "service")]
use super::field_map::FieldMap;
use super::streamed::each_line;
use crate::{
    conn::{
        Context,
        sites::{Served, Terms},
    },
    files::{FileContent, FileEntry, FileObject},
    observe::{Endpoint, Why},
    process::{
        answer::{Answer, AnswerHead, Content, FieldSink},
        multipart::Multipart,
        negotiate::Coding,
        page::Page,
        range::ByteRange,
    },
    respond::{Status, content_length_allowed},
    ring::Pages,
    write::{Division, Parts, Source, Whole, WriteError},
};

/// Pages up to this length are copied behind their head; longer ones are shared with the ring.
const COPIED_PAGE: usize = 1024;

/// Fields and content of handlers up to this length together share a record.
#[cfg(feature = "service")]
pub(super) const SHORT: usize = 12 * 1024;

/// What a `Content-Length` takes, at most.
const LENGTH_LINE: usize = 40;

/// Where a status and fields come from.
#[derive(Debug)]
enum Heading<'l> {
    /// The decision on a file or a page.
    Answer(AnswerHead<'l>),
    /// A handler of the embedding program.
    #[cfg_attr(not(feature = "service"), allow(dead_code))]
    Given(Given),
    /// An application.
    #[cfg(feature = "service")]
    Application(OfApplication),
}

/// A status and fields of an application.
#[cfg(feature = "service")]
#[derive(Debug)]
pub(super) struct OfApplication {
    /// Three digits, 200 or more.
    pub(super) status: u16,
    pub(super) present: crate::respond::forward::Present,
    /// `Content-Length` among them is not written.
    pub(super) fields: FieldMap,
    /// Bytes that the others take as lines.
    pub(super) lines: usize,
    /// Bytes of the content that a GET gets.
    pub(super) length: u64,
}

/// A status and fields that were given as lines.
#[derive(Debug)]
pub(super) struct Given {
    /// Three digits, 200 or more.
    pub(super) code: u16,
    /// Lines of HTTP/1.1, each with its CRLF, whose names and values were checked.
    pub(super) lines: Rc<Vec<u8>>,
    /// Bytes of the content that a GET gets; None where the status has none, or the lines say it.
    pub(super) length: Option<u64>,
    /// The lines have a `Date`.
    pub(super) dated: bool,
    /// The lines have a `Server`.
    pub(super) named: bool,
    /// The fields of the route are among the lines.
    pub(super) complete: bool,
}

/// What stands before the reason in `Proxy-Status`.
const OURSELVES: &[u8] = b"ringway; error=";

/// Bytes of that line besides the reason, at most.
const PROXY_STATUS: usize = 64;

/// Status, fields and content.
#[derive(Debug)]
pub(in crate::conn) struct Reply<'l> {
    head: Heading<'l>,
    /// The route, whose fields it has.
    served: Rc<Served>,
    source: Source,
    shared_page: usize,
    endpoint: Endpoint,
    /// Why a server behind this one did not answer.
    proxy_error: Option<&'static str>,
    /// Why the request was refused.
    why: Option<Why>,
}

impl<'l> Reply<'l> {
    /// # Errors
    /// [`WriteError::Defect`] if the answer promises content that is not there.
    pub(super) fn new(
        context: &Context,
        served: &Rc<Served>,
        answer: Answer<'l, FileEntry>,
    ) -> Result<Self, WriteError> {
        let served = Rc::clone(served);
        let answer = if answer.is_own_error() { paged(&served, answer) } else { answer };
        let Answer { head, content, .. } = answer;
        let length = head.content_length();
        let mut shared_page = 0;
        let source = match content {
            Content::Nothing => {
                let head = Heading::Answer(head);
                let (source, endpoint) = (Source::Nothing, Endpoint::UNNAMED);
                let (proxy_error, why) = (None, None);
                return Ok(Self { head, served, source, shared_page, endpoint, proxy_error, why });
            }
            Content::Page(page) => {
                let source = page_source(context, page);
                shared_page = if let Source::Pages(_, range) = &source { range.len() } else { 0 };
                source
            }
            Content::Whole(file, coding) => {
                let object = file.object(coding);
                if file.is_made(coding) {
                    let plain = file.object(Coding::Identity).stat.length;
                    context.count_compressed(coding, 1, plain, object.stat.length);
                }
                slice(object, 0..object.stat.length)
            }
            Content::Slice(file, coding, ByteRange { first, last }) => {
                slice(file.object(coding), first..last + 1)
            }
            Content::Parts(file, coding, parts) => {
                let whole = whole(file.object(coding));
                let length = length.ok_or(WriteError::Defect("parts without a length"))?;
                Source::Parts(Parts::new(parts, whole, length)?)
            }
        };
        if length != Some(source.remaining()) {
            return Err(WriteError::Defect("content is not as long as its head promises"));
        }
        let (head, endpoint) = (Heading::Answer(head), Endpoint::UNNAMED);
        Ok(Self { head, served, source, shared_page, endpoint, proxy_error: None, why: None })
    }

    /// An answer whose status, fields and content a handler has given.
    #[cfg(feature = "service")]
    pub(super) fn given(served: &Rc<Served>, given: Given, source: Source) -> Reply<'static> {
        let head = Heading::Given(given);
        let (served, endpoint) = (Rc::clone(served), Endpoint::UNNAMED);
        Reply { head, served, source, shared_page: 0, endpoint, proxy_error: None, why: None }
    }

    /// The answer of an application, whose content is all there.
    #[cfg(feature = "service")]
    pub(super) fn of_application(
        served: &Rc<Served>,
        head: OfApplication,
        source: Source,
    ) -> Reply<'static> {
        let head = Heading::Application(head);
        let (served, endpoint) = (Rc::clone(served), Endpoint::UNNAMED);
        Reply { head, served, source, shared_page: 0, endpoint, proxy_error: None, why: None }
    }

    /// Content of a handler whose fields take so many bytes: a copy behind its head if both are short,
    /// else in memory that the ring can share.
    #[cfg(feature = "service")]
    pub(super) fn content(
        context: &Context,
        lines: usize,
        content: crate::ring::Content,
    ) -> Source {
        if content.is_empty() {
            Source::Nothing
        } else if lines + content.len() <= SHORT {
            Source::Shared(content.into())
        } else {
            let mut copy = Pages::counted(content.len(), context.stores.listings());
            copy.copy_from_slice(&content);
            Source::Pages(Rc::new(copy), 0..content.len())
        }
    }

    /// The same with further fields, owning all that it is made of. A field of `more` takes the place of
    /// those with its name, unless it describes the content.
    #[cfg(feature = "service")]
    pub(super) fn with_fields(self, more: &http::HeaderMap) -> Reply<'static> {
        let code = self.code();
        let mut merged = Merged { lines: Vec::new(), code, more };
        self.write_fields(&mut merged);
        let mut lines = merged.lines;
        for (name, value) in more.iter().filter(|(name, _)| !describes(name.as_str(), code)) {
            push_line(&mut lines, name.as_str(), value.as_bytes());
        }
        let has = |name| more.contains_key(name);
        let given = Given {
            code,
            lines: Rc::new(lines),
            length: None,
            dated: has(http::header::DATE),
            named: has(http::header::SERVER),
            complete: true,
        };
        let Self { served, source, shared_page, endpoint, why, .. } = self;
        Reply {
            head: Heading::Given(given),
            served,
            source,
            shared_page,
            endpoint,
            proxy_error: None,
            why,
        }
    }

    /// The answer to what cannot be understood or is not wanted.
    pub(in crate::conn) fn refusal(context: &Context, status: Status) -> Self {
        Self::failure(context, &context.refusing(), status)
    }

    /// The error of a request that has a route.
    pub(in crate::conn) fn failure(context: &Context, served: &Rc<Served>, status: Status) -> Self {
        let answer: Answer<'_, FileEntry> = Answer::error(status);
        let Answer { head, content, .. } = paged(served, answer);
        let source = match content {
            Content::Page(page) => page_source(context, page),
            _ => Source::Nothing,
        };
        let head = Heading::Answer(head);
        let shared_page = if let Source::Pages(_, range) = &source { range.len() } else { 0 };
        let (served, endpoint) = (Rc::clone(served), Endpoint::UNNAMED);
        Self { head, served, source, shared_page, endpoint, proxy_error: None, why: None }
    }

    /// The same with the reason in `Proxy-Status` (RFC 9209), if there is one: a word of its section
    /// 2.3.
    #[must_use]
    pub(in crate::conn) fn with_proxy_error(mut self, error: Option<&'static str>) -> Self {
        self.proxy_error = error;
        self
    }

    /// The same, for a request that was refused for this reason.
    #[must_use]
    pub(super) fn because(mut self, why: Why) -> Self {
        self.why = Some(why);
        self
    }

    /// Why the request was refused, if it was.
    pub(in crate::conn) fn why(&self) -> Option<Why> {
        self.why
    }

    /// The same without content, as a HEAD gets it.
    #[must_use]
    pub(in crate::conn) fn head_only(mut self) -> Self {
        self.source = Source::Nothing;
        self
    }

    /// The same, of an endpoint of an application.
    #[cfg(feature = "service")]
    #[must_use]
    pub(super) fn of(mut self, endpoint: Endpoint) -> Self {
        self.endpoint = endpoint;
        self
    }

    /// The endpoint of an application that has answered.
    pub(in crate::conn) fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// The status, three digits.
    pub(in crate::conn) fn code(&self) -> u16 {
        match &self.head {
            Heading::Answer(head) => head.status.code(),
            Heading::Given(given) => given.code,
            #[cfg(feature = "service")]
            Heading::Application(of) => of.status,
        }
    }

    /// Whether the fields have a `Date`.
    pub(in crate::conn) fn is_dated(&self) -> bool {
        match &self.head {
            Heading::Answer(_) => false,
            Heading::Given(given) => given.dated,
            #[cfg(feature = "service")]
            Heading::Application(of) => of.present.date,
        }
    }

    /// Whether the fields have a `Server`.
    pub(in crate::conn) fn names_server(&self) -> bool {
        match &self.head {
            Heading::Answer(_) => false,
            Heading::Given(given) => given.named,
            #[cfg(feature = "service")]
            Heading::Application(of) => of.present.server,
        }
    }

    /// The bounds of its configuration.
    pub(in crate::conn) fn terms(&self) -> &Terms {
        &self.served.terms
    }

    /// What follows the head.
    pub(in crate::conn) fn source(&self) -> &Source {
        &self.source
    }

    /// Bytes of a page that were copied into memory of their own.
    pub(in crate::conn) fn shared_page(&self) -> usize {
        self.shared_page
    }

    /// Bytes that the fields take as lines of HTTP/1.1, at most.
    pub(in crate::conn) fn fields_bound(&self) -> usize {
        let proxy = self.proxy_error.map_or(0, |error| PROXY_STATUS + error.len());
        let own = self.served.own_fields_len + proxy;
        match &self.head {
            Heading::Answer(head) => head.fields_bound() + own,
            Heading::Given(given) => LENGTH_LINE + given.lines.len() + own,
            #[cfg(feature = "service")]
            Heading::Application(of) => LENGTH_LINE + of.lines + own,
        }
    }

    /// Writes the fields, but for those that every response has (`Date`, `Server`) and those of the
    /// connection.
    pub(in crate::conn) fn write_fields(&self, sink: &mut impl FieldSink) {
        if let Some(error) = self.proxy_error {
            let value = [OURSELVES, error.as_bytes()].concat();
            sink.field("Proxy-Status", &value);
        }
        let site = &self.served.site;
        let given = match &self.head {
            Heading::Answer(head) => return head.write_fields(site, sink),
            Heading::Given(given) => given,
            #[cfg(feature = "service")]
            Heading::Application(of) => {
                of.fields.each(|name, value| {
                    if !site.leaves_out(name) {
                        sink.checked_field(name, value);
                    }
                });
                sink.field_u64("Content-Length", of.length);
                return site.write_own_fields(of.status < 400, sink);
            }
        };
        each_line(&given.lines, |name, value| {
            if given.complete || !site.leaves_out(name) {
                sink.field(name, value);
            }
        });
        if let Some(length) = given.length.filter(|_| content_length_allowed(given.code)) {
            sink.field_u64("Content-Length", length);
        }
        if !given.complete {
            site.write_own_fields(given.code < 400, sink);
        }
    }

    /// What follows the head, to be taken. It owns what it is made of, and may outlive the reply.
    pub(in crate::conn) fn source_mut(&mut self) -> &mut Source {
        &mut self.source
    }
}

#[cfg(feature = "service")]
fn push_line(lines: &mut Vec<u8>, name: &str, value: &[u8]) {
    for piece in [name.as_bytes(), b": ", value, b"\r\n"] {
        lines.extend_from_slice(piece);
    }
}

/// Whether a field describes the content, which is not the handler's.
#[cfg(feature = "service")]
fn describes(name: &str, code: u16) -> bool {
    let names = [
        "content-length",
        "content-range",
        "content-encoding",
        "accept-ranges",
        "etag",
        "last-modified",
    ];
    names.iter().any(|own| own.eq_ignore_ascii_case(name))
        // Another page stands in the place of the file.
        || (code >= 300 && name.eq_ignore_ascii_case("content-type"))
}

/// Lines of those fields that no field of a handler takes the place of.
#[cfg(feature = "service")]
struct Merged<'m> {
    lines: Vec<u8>,
    code: u16,
    more: &'m http::HeaderMap,
}

#[cfg(feature = "service")]
impl FieldSink for Merged<'_> {
    fn field(&mut self, name: &str, value: &[u8]) {
        let stays = describes(name, self.code) || name.eq_ignore_ascii_case("vary");
        if stays || !self.more.contains_key(name) {
            push_line(&mut self.lines, name, value);
        }
    }

    fn field_u64(&mut self, name: &str, number: u64) {
        self.field(name, number.to_string().as_bytes());
    }
}

/// An error with the operator's page of it, if there is one.
#[cold]
fn paged<'l>(served: &Served, answer: Answer<'l, FileEntry>) -> Answer<'l, FileEntry> {
    match served.error_page(answer.head.status) {
        Some(page) => answer.with_page(page.media_type, &page.content),
        None => answer,
    }
}

/// A short page as it is; a long one in memory that the ring can share, counted among the listings.
fn page_source(context: &Context, page: Page) -> Source {
    if page.len() <= COPIED_PAGE {
        return Source::page(page);
    }
    let mut copy = Pages::counted(page.len(), context.stores.listings());
    copy.copy_from_slice(&page);
    Source::Pages(Rc::new(copy), 0..page.len())
}

fn whole(object: &FileObject) -> Whole {
    match &object.content {
        FileContent::Cached(pages) => Whole::Pages(Rc::clone(pages)),
        FileContent::Open(file) => Whole::File(Rc::clone(file)),
    }
}

fn slice(object: &FileObject, range: Range<u64>) -> Source {
    match whole(object) {
        Whole::Pages(pages) => Source::Pages(pages, range.start as usize..range.end as usize),
        Whole::File(file) => Source::File(file, range),
    }
}

impl Division for Multipart {
    fn range(&self, part: usize) -> Option<Range<u64>> {
        self.ranges().get(part).map(|range| range.first..range.last + 1)
    }

    fn frame(&self, part: usize, out: &mut [u8]) -> io::Result<usize> {
        match self.ranges().get(part) {
            Some(range) => self.part_head(*range, out),
            None => self.end(out),
        }
    }
}
