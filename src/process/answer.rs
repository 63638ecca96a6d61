//! An answer: a status, what follows the head, and the fields that describe it.
//!
//! The invariant: the fields belong to the content. What a GET would get is built first and a HEAD
//! drops the content from it, so that both have the same head; a `Content-Length` is always the
//! exact length of the content that a GET gets, and a response that has no content by definition
//! (204, 304) has none.

use std::io::Write;

use super::facts::{FileFacts, Representation};
use super::media_type;
use super::multipart::Multipart;
use super::negotiate::Coding;
use super::page::{self, Page};
use super::range::ByteRange;
use super::site::{Method, Site};
use super::validator::{EntityTag, LastModified};

/// Takes the fields of a response head, one by one.
pub trait FieldSink {
    /// A field with a value of bytes.
    fn field(&mut self, name: &str, value: &[u8]);
    /// A field with a number for its value.
    fn field_u64(&mut self, name: &str, number: u64);
    /// Whole field lines that this module made before, each with its CRLF.
    fn lines(&mut self, lines: &[u8]) {
        for line in lines.split(|byte| *byte == b'\n') {
            let line = line.trim_ascii_end();
            if let Some((name, value)) = memchr::memchr(b':', line).map(|at| line.split_at(at)) {
                let value = value.get(1..).unwrap_or_default().trim_ascii_start();
                self.field(str::from_utf8(name).unwrap_or_default(), value);
            }
        }
    }
}

/// The lines of fields, one after the other. Nothing that a client sent may come here: values are
/// taken as they are.
#[derive(Default)]
struct Lines(Vec<u8>);

impl FieldSink for Lines {
    fn field(&mut self, name: &str, value: &[u8]) {
        for piece in [name.as_bytes(), b": ", value, b"\r\n"] {
            self.0.extend_from_slice(piece);
        }
    }

    fn field_u64(&mut self, name: &str, number: u64) {
        self.field(name, number.to_string().as_bytes());
    }
}

/// What follows the head.
#[derive(Clone, Debug)]
pub enum Content {
    /// Nothing: the answer to a HEAD, or one that has no content.
    Nothing,
    /// The whole file that carries this coding.
    Whole(Coding),
    /// One range of the file that carries this coding.
    Slice(Coding, ByteRange),
    /// Several ranges of the file that carries this coding, each after its part head.
    Parts(Coding, Box<Multipart>),
    /// These bytes.
    Page(Page),
}

/// The answer to a request.
#[derive(Clone, Debug)]
pub struct Answer<'f> {
    /// The status code.
    pub status: u16,
    /// What follows the head.
    pub content: Content,
    fields: Fields<'f>,
}

/// The fields of an answer; those that are absent or false are not sent.
#[derive(Clone, Debug, Default)]
struct Fields<'f> {
    /// The lines that describe a whole file, made before: they stand for all fields but the
    /// operator's.
    lines: Option<&'f [u8]>,
    content_length: Option<u64>,
    content_type: Option<&'static str>,
    coding: Coding,
    content_range: Option<ContentRange>,
    entity_tag: Option<&'f EntityTag>,
    /// And the moment at which it is said.
    last_modified: Option<(&'f LastModified, i64)>,
    /// `Accept-Ranges: bytes`.
    ranges: bool,
    /// `Vary: Accept-Encoding`.
    varies: bool,
    location: Option<Vec<u8>>,
    /// `Allow`, with the methods that files have.
    allow: bool,
    /// The operator's fields on caching, which are meant for the site's files.
    cacheable: bool,
    /// `X-Content-Type-Options: nosniff`, for what might be anything else.
    nosniff: bool,
    /// A policy that lets the page do nothing but have a style.
    inert: bool,
}

#[derive(Clone, Copy, Debug)]
enum ContentRange {
    Part(ByteRange, u64),
    Unsatisfied(u64),
}

/// The methods that files have (RFC 9110 section 10.2.1).
const ALLOW: &[u8] = b"GET, HEAD, OPTIONS";

/// The one field of ours that operators commonly set too; theirs is then the only one.
const NOSNIFF: &str = "X-Content-Type-Options";

impl<'f> Answer<'f> {
    /// 200 with the whole file.
    pub(super) fn whole(facts: &'f FileFacts, coding: Coding, now: i64) -> Self {
        let representation = facts.representation(coding);
        let content_length = Some(representation.length);
        let all = || Fields { content_length, ..file_fields(facts, coding, representation, now) };
        let fields = if representation.validators.last_modified.seconds() > now {
            // What is said of a date in the future changes with every second.
            all()
        } else {
            let lines = representation.lines(|| all().to_lines());
            Fields { lines: Some(lines), content_length, cacheable: true, ..Fields::default() }
        };
        Self { status: 200, content: Content::Whole(coding), fields }
    }

    /// 206 with one range of the file.
    pub(super) fn slice(facts: &'f FileFacts, coding: Coding, range: ByteRange, now: i64) -> Self {
        let representation = facts.representation(coding);
        let fields = Fields {
            content_length: Some(range.len()),
            content_range: Some(ContentRange::Part(range, representation.length)),
            ..file_fields(facts, coding, representation, now)
        };
        Self { status: 206, content: Content::Slice(coding, range), fields }
    }

    /// Several ranges of the file: 206. There is no `Content-Range` beside the parts' own
    /// (RFC 9110 section 15.3.7.2).
    pub(super) fn parts(
        facts: &'f FileFacts,
        coding: Coding,
        multipart: Multipart,
        now: i64,
    ) -> Self {
        let representation = facts.representation(coding);
        let fields = Fields {
            content_length: Some(multipart.content_length()),
            content_type: None,
            ..file_fields(facts, coding, representation, now)
        };
        Self { status: 206, content: Content::Parts(coding, Box::new(multipart)), fields }
    }

    /// Not modified: 304. `dated` says whether the client goes by the date alone; to one that goes
    /// by the tag the date is of no use (RFC 9110 section 15.4.5).
    pub(super) fn not_modified(
        facts: &'f FileFacts,
        coding: Coding,
        dated: bool,
        now: i64,
    ) -> Self {
        let validators = &facts.representation(coding).validators;
        let fields = Fields {
            entity_tag: Some(&validators.entity_tag),
            last_modified: dated.then_some((&validators.last_modified, now)),
            varies: !facts.siblings().is_empty(),
            cacheable: true,
            ..Fields::default()
        };
        Self { status: 304, content: Content::Nothing, fields }
    }

    /// 416 for a representation of so many bytes.
    pub(super) fn unsatisfiable(length: u64) -> Self {
        let mut answer = Self::error(416);
        answer.fields.content_range = Some(ContentRange::Unsatisfied(length));
        answer.fields.ranges = true;
        answer
    }

    /// 404 with the site's own page.
    pub(super) fn not_found(facts: &'f FileFacts, coding: Coding) -> Self {
        let fields = Fields {
            content_length: Some(facts.representation(coding).length),
            content_type: Some(facts.media_type()),
            coding,
            varies: !facts.siblings().is_empty(),
            nosniff: true,
            ..Fields::default()
        };
        Self { status: 404, content: Content::Whole(coding), fields }
    }

    /// 301 to a reference that `path::slash_redirect` wrote.
    pub(super) fn moved(location: Vec<u8>) -> Self {
        let mut answer = Self::page(301, page::redirect(&location));
        answer.fields.location = Some(location);
        answer
    }

    /// 204 that tells the methods.
    pub(super) fn options() -> Self {
        let fields = Fields { allow: true, ..Fields::default() };
        Self { status: 204, content: Content::Nothing, fields }
    }

    /// An error with its small page; 405 tells the methods.
    pub fn error(status: u16) -> Self {
        let mut answer = Self::page(status, page::error(status));
        answer.fields.allow = status == 405;
        answer
    }

    /// 200 with the page that [`super::listing::Listing::into_page`] made.
    pub fn listing(page: String) -> Self {
        Self::page(200, page.into_bytes().into())
    }

    fn page(status: u16, page: Page) -> Self {
        let fields = Fields {
            content_length: Some(page.len() as u64),
            content_type: Some(media_type::HTML),
            nosniff: true,
            inert: true,
            ..Fields::default()
        };
        Self { status, content: Content::Page(page), fields }
    }

    /// The same for a representation that was chosen among several.
    #[must_use]
    pub(super) fn varying(mut self, varies: bool) -> Self {
        self.fields.varies = varies;
        self
    }

    /// The same for this method: a HEAD gets the head alone.
    #[must_use]
    pub fn to(mut self, method: Method) -> Self {
        if method == Method::Head {
            self.content = Content::Nothing;
        }
        self
    }

    /// The length of the content that a GET gets; none for a response that has none by definition.
    pub fn content_length(&self) -> Option<u64> {
        self.fields.content_length
    }

    /// Writes the fields, the operator's own among them. What belongs to the connection (`Date`,
    /// `Connection`) is left to the writer of the head.
    pub fn write_fields(&self, site: &Site, sink: &mut impl FieldSink) {
        let fields = &self.fields;
        if let Some(lines) = fields.lines {
            sink.lines(lines);
        } else {
            self.write_content_type(sink);
            fields.write(sink);
        }
        if fields.nosniff && !site.has_own_field(NOSNIFF) {
            sink.field(NOSNIFF, b"nosniff");
        }
        site.write_own_fields(fields.cacheable, sink);
    }

    fn write_content_type(&self, sink: &mut impl FieldSink) {
        if let Some(content_type) = self.fields.content_type {
            sink.field("Content-Type", content_type.as_bytes());
        } else if let Content::Parts(_, multipart) = &self.content {
            let boundary = multipart.boundary();
            field_text(
                sink,
                "Content-Type",
                format_args!("multipart/byteranges; boundary={boundary}"),
            );
        }
    }
}

impl Fields<'_> {
    /// The lines of a whole file.
    fn to_lines(&self) -> Box<[u8]> {
        let mut lines = Lines::default();
        if let Some(content_type) = self.content_type {
            lines.field("Content-Type", content_type.as_bytes());
        }
        self.write(&mut lines);
        lines.0.into_boxed_slice()
    }

    /// Writes all but the content type and what the operator has a say in.
    fn write(&self, sink: &mut impl FieldSink) {
        if let Some(length) = self.content_length {
            sink.field_u64("Content-Length", length);
        }
        if let Some(token) = self.coding.token() {
            sink.field("Content-Encoding", token.as_bytes());
        }
        if let Some(range) = self.content_range {
            range.write(sink);
        }
        if let Some(entity_tag) = self.entity_tag {
            sink.field("ETag", entity_tag.as_bytes());
        }
        if let Some((last_modified, now)) = self.last_modified {
            sink.field("Last-Modified", last_modified.at(now).as_bytes());
        }
        if self.ranges {
            sink.field("Accept-Ranges", b"bytes");
        }
        if self.varies {
            sink.field("Vary", b"Accept-Encoding");
        }
        if let Some(location) = &self.location {
            sink.field("Location", location);
        }
        if self.allow {
            sink.field("Allow", ALLOW);
        }
        if self.inert {
            sink.field("Content-Security-Policy", b"default-src 'none'; style-src 'unsafe-inline'");
        }
    }
}

/// The fields that every 200 and 206 with a file's bytes has.
fn file_fields<'f>(
    facts: &FileFacts,
    coding: Coding,
    representation: &'f Representation,
    now: i64,
) -> Fields<'f> {
    Fields {
        content_type: Some(facts.media_type()),
        coding,
        entity_tag: Some(&representation.validators.entity_tag),
        last_modified: Some((&representation.validators.last_modified, now)),
        ranges: true,
        varies: !facts.siblings().is_empty(),
        cacheable: true,
        ..Fields::default()
    }
}

impl ContentRange {
    fn write(self, sink: &mut impl FieldSink) {
        let name = "Content-Range";
        match self {
            Self::Part(ByteRange { first, last }, length) => {
                field_text(sink, name, format_args!("bytes {first}-{last}/{length}"));
            }
            Self::Unsatisfied(length) => field_text(sink, name, format_args!("bytes */{length}")),
        }
    }
}

/// A field with a short formatted value, at most 80 bytes of it.
fn field_text(sink: &mut impl FieldSink, name: &str, value: std::fmt::Arguments<'_>) {
    let mut text = [0; 80];
    let mut rest = &mut text[..];
    let written = rest.write_fmt(value);
    debug_assert!(written.is_ok(), "boundaries and three numbers fit");
    let len = 80 - rest.len();
    sink.field(name, text.get(..len).unwrap_or_default());
}
