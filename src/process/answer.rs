//! An answer: a status, what follows the head, and the fields that describe it.
//!
//! The invariant: the fields belong to the content. What a GET would get is built first and a HEAD
//! drops the content from it, so that both have the same head; a `Content-Length` is always the
//! exact length of the content that a GET gets, and a response that has no content by definition
//! (204, 304) has none.

use std::{io::Write, sync::Arc};

use super::caching::RuleNumber;
use super::facts::{File, FileFacts, Made, Representation};
use super::media_type;
use super::multipart::{Boundary, Multipart};
use super::negotiate::Coding;
use super::page::{self, Page};
use super::range::ByteRange;
use super::site::Site;
use super::validator::{EntityTag, LastModified};
use crate::parse::Method;
use crate::respond::Status;

/// Takes the fields of a response head, one by one.
pub trait FieldSink {
    /// A field with a value of bytes.
    fn field(&mut self, name: &str, value: &[u8]);
    /// A field with a number for its value.
    fn field_u64(&mut self, name: &str, number: u64);
    /// Fields that were rendered before. A sink that can copy a rendered form overrides this.
    fn made(&mut self, made: &Made) {
        for (name, value) in made.fields() {
            self.field(name, value);
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

/// What follows the head. It names its file, so that an answer with a file's content always has
/// the file.
#[derive(Debug)]
pub enum Content<'f, F = FileFacts> {
    /// Nothing: the answer to a HEAD, or one that has no content.
    Nothing,
    /// The whole of a file in this coding.
    Whole(&'f F, Coding),
    /// One range of a file in this coding.
    Slice(&'f F, Coding, ByteRange),
    /// Several ranges of a file in this coding, each after its part head.
    Parts(&'f F, Coding, Box<Multipart>),
    /// These bytes.
    Page(Page),
}

/// The answer to a request.
#[derive(Debug)]
pub struct Answer<'f, F = FileFacts> {
    /// Status and fields.
    pub head: AnswerHead<'f>,
    /// What follows the head.
    pub content: Content<'f, F>,
    /// A file, and a coding that is worth making of it for clients such as this one.
    pub(crate) wanted: Option<(&'f F, Coding)>,
}

/// Status and fields of an answer.
#[derive(Debug)]
pub struct AnswerHead<'f> {
    /// The status.
    pub status: Status,
    fields: Fields<'f>,
}

/// The fields of an answer; those that are absent or false are not sent.
#[derive(Clone, Debug, Default)]
struct Fields<'f> {
    /// The fields that describe a whole file, rendered before: they stand for all fields but the
    /// operator's.
    made: Option<&'f Made>,
    content_length: Option<u64>,
    content_type: Option<&'f str>,
    /// What stands between the parts of `multipart/byteranges`, which is then the content type.
    boundary: Option<Boundary>,
    coding: Coding,
    content_range: Option<ContentRange>,
    entity_tag: Option<&'f EntityTag>,
    last_modified: Option<&'f LastModified>,
    /// `Accept-Ranges: bytes`.
    ranges: bool,
    /// `Vary: Accept-Encoding`.
    varies: bool,
    location: Option<Vec<u8>>,
    /// `Allow`, with the methods that files have.
    allow: bool,
    /// `Retry-After`, in seconds (RFC 9110 section 10.2.3). What was short may be there again in one.
    retry: Option<u64>,
    /// `WWW-Authenticate` (RFC 9110 section 11.6.1).
    challenge: Option<Arc<str>>,
    /// The operator's fields on caching, which are meant for the site's files.
    cacheable: bool,
    /// The operator's rule on caching for this file.
    rule: Option<RuleNumber>,
    /// `X-Content-Type-Options: nosniff`, for what might be anything else.
    nosniff: bool,
    /// A policy that lets the page do nothing but have a style.
    inert: bool,
    /// The content is our page of an error.
    own_error: bool,
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

/// Bytes of a head's fields that do not depend on the request or the operator, at most: `Location`
/// and the operator's own are counted apart.
const MAX_FIELDS_LEN: usize = 768;

impl<'f, F: File> Answer<'f, F> {
    fn new(status: Status, content: Content<'f, F>, fields: Fields<'f>) -> Self {
        Self { head: AnswerHead { status, fields }, content, wanted: None }
    }

    /// 200 with the whole file.
    pub(super) fn whole(file: &'f F, coding: Coding, now: i64) -> Self {
        let facts = file.facts();
        let representation = facts.representation(coding);
        let content_length = Some(representation.length);
        let all = || Fields { content_length, ..file_fields(facts, coding, representation, now) };
        let fields = if representation.validators.date(now).is_none() {
            // The date may be one that can be trusted a second later.
            all()
        } else {
            let made = representation.made(|| all().to_lines());
            Fields { made: Some(made), content_length, cacheable: true, ..Fields::default() }
        };
        Self::new(Status::Ok, Content::Whole(file, coding), fields)
    }

    /// 206 with one range of the file.
    pub(super) fn slice(file: &'f F, coding: Coding, range: ByteRange, now: i64) -> Self {
        let facts = file.facts();
        let representation = facts.representation(coding);
        let fields = Fields {
            content_length: Some(range.len()),
            content_range: Some(ContentRange::Part(range, representation.length)),
            ..file_fields(facts, coding, representation, now)
        };
        let content = Content::Slice(file, coding, range);
        Self::new(Status::PartialContent, content, fields)
    }

    /// Several ranges of the file: 206. There is no `Content-Range` beside the parts' own
    /// (RFC 9110 section 15.3.7.2).
    pub(super) fn parts(file: &'f F, coding: Coding, multipart: Multipart, now: i64) -> Self {
        let facts = file.facts();
        let representation = facts.representation(coding);
        let fields = Fields {
            content_length: Some(multipart.content_length()),
            content_type: None,
            boundary: Some(multipart.boundary()),
            ..file_fields(facts, coding, representation, now)
        };
        let content = Content::Parts(file, coding, Box::new(multipart));
        Self::new(Status::PartialContent, content, fields)
    }

    /// Not modified: 304. `dated` says whether the client goes by the date alone; to one that goes
    /// by the tag the date is of no use (RFC 9110 section 15.4.5).
    pub(super) fn not_modified(file: &'f F, coding: Coding, dated: bool, now: i64) -> Self {
        let facts = file.facts();
        let validators = &facts.representation(coding).validators;
        let fields = Fields {
            entity_tag: Some(&validators.entity_tag),
            last_modified: if dated { validators.date(now) } else { None },
            varies: facts.varies(),
            cacheable: true,
            ..Fields::default()
        };
        Self::new(Status::NotModified, Content::Nothing, fields)
    }

    /// 416 for a representation of so many bytes.
    pub(super) fn unsatisfiable(length: u64) -> Self {
        let mut answer = Self::error(Status::RangeNotSatisfiable);
        answer.head.fields.content_range = Some(ContentRange::Unsatisfied(length));
        answer.head.fields.ranges = true;
        answer
    }

    /// 404 with the site's own page.
    pub(super) fn not_found(file: &'f F, coding: Coding) -> Self {
        let facts = file.facts();
        let fields = Fields {
            content_length: Some(facts.representation(coding).length),
            content_type: Some(facts.media_type()),
            coding,
            varies: facts.varies(),
            nosniff: true,
            ..Fields::default()
        };
        Self::new(Status::NotFound, Content::Whole(file, coding), fields)
    }

    /// 301 to a reference that `path::slash_redirect` wrote.
    pub(super) fn moved(location: Vec<u8>) -> Self {
        Self::redirect(Status::MovedPermanently, location)
    }

    /// A redirect to a reference that `path::slash_redirect` or `redirect::location` wrote.
    pub fn redirect(status: Status, location: Vec<u8>) -> Self {
        let mut answer = Self::page(status, page::redirect(&location));
        answer.head.fields.location = Some(location);
        answer
    }

    /// An answer of the operator's own, whose fields on caching it gets.
    pub fn fixed(status: Status, media_type: &'f str, content: Vec<u8>) -> Self {
        let fields = Fields {
            content_length: Some(content.len() as u64),
            content_type: Some(media_type),
            retry: (status == Status::ServiceUnavailable).then_some(1),
            nosniff: true,
            cacheable: true,
            ..Fields::default()
        };
        Self::new(status, Content::Page(content.into()), fields)
    }

    /// 204 with the methods in `Allow`.
    pub(super) fn options() -> Self {
        let fields = Fields { allow: true, ..Fields::default() };
        Self::new(Status::NoContent, Content::Nothing, fields)
    }

    /// An error with its small page; 405 has the methods in `Allow`, 503 a `Retry-After`.
    pub fn error(status: Status) -> Self {
        let mut answer = Self::page(status, Page::Borrowed(status.page().as_bytes()));
        answer.head.fields.allow = status == Status::MethodNotAllowed;
        answer.head.fields.retry = (status == Status::ServiceUnavailable).then_some(1);
        answer.head.fields.own_error = true;
        answer
    }

    /// The same for a client that may come again after so many seconds.
    #[must_use]
    pub(crate) fn retrying(mut self, after: Option<u64>) -> Self {
        self.head.fields.retry = after.or(self.head.fields.retry);
        self
    }

    /// The same with a challenge, at most 128 bytes.
    #[must_use]
    pub(crate) fn challenging(mut self, challenge: Option<Arc<str>>) -> Self {
        self.head.fields.challenge = challenge;
        self
    }

    /// Goes by the operator's rule on caching, where it speaks of a file.
    pub(super) fn cached_by(&mut self, rule: Option<RuleNumber>) {
        self.head.fields.rule = rule.filter(|_| self.head.fields.cacheable);
    }

    /// Whether its content is our page of an error, which [`Self::with_page`] replaces.
    pub fn is_own_error(&self) -> bool {
        self.head.fields.own_error
    }

    /// The same with another page. What else is known of it stays: the methods in `Allow`, the length in
    /// `Content-Range`.
    #[must_use]
    pub fn with_page(mut self, media_type: &'static str, page: &[u8]) -> Self {
        let fields = &mut self.head.fields;
        fields.content_length = Some(page.len() as u64);
        fields.content_type = Some(media_type);
        (fields.inert, fields.own_error) = (false, false);
        // The answer to a HEAD has no content.
        if matches!(self.content, Content::Page(_)) {
            self.content = Content::Page(page.to_vec().into());
        }
        self
    }

    /// 200 with the page that [`super::listing::Listing::into_page`] made.
    pub fn listing(page: String) -> Self {
        Self::page(Status::Ok, page.into_bytes().into())
    }

    /// The same for clients of which some get it compressed: this one by `coding`, if `coded` is there.
    #[must_use]
    pub(crate) fn coded(mut self, coding: Coding, coded: Option<Vec<u8>>) -> Self {
        self.head.fields.varies = true;
        if let Some(coded) = coded {
            self.head.fields.content_length = Some(coded.len() as u64);
            self.head.fields.coding = coding;
            self.content = Content::Page(coded.into());
        }
        self
    }

    fn page(status: Status, page: Page) -> Self {
        let fields = Fields {
            content_length: Some(page.len() as u64),
            content_type: Some(media_type::HTML),
            nosniff: true,
            inert: true,
            ..Fields::default()
        };
        Self::new(status, Content::Page(page), fields)
    }

    /// The same for a representation that was chosen among several.
    #[must_use]
    pub(super) fn varying(mut self, varies: bool) -> Self {
        self.head.fields.varies = varies;
        self
    }

    /// The same where another coding is worth making of the file.
    #[must_use]
    pub(super) fn wanting(mut self, file: &'f F, coding: Option<Coding>) -> Self {
        self.wanted = coding.map(|coding| (file, coding));
        self
    }

    /// The same for this method: a HEAD gets the head alone.
    #[must_use]
    pub fn to(mut self, method: Method<'_>) -> Self {
        if method == Method::Head {
            self.content = Content::Nothing;
        }
        self
    }
}

impl AnswerHead<'_> {
    /// The length of the content that a GET gets; none for a response that has none by definition.
    pub fn content_length(&self) -> Option<u64> {
        self.fields.content_length
    }

    /// Bytes that the fields of [`Self::write_fields`] take as lines of HTTP/1.1, at most, without
    /// the operator's.
    pub fn fields_bound(&self) -> usize {
        MAX_FIELDS_LEN + self.fields.location.as_ref().map_or(0, Vec::len)
    }

    /// Writes the fields, the operator's own among them. What belongs to the connection (`Date`,
    /// `Connection`) is left to the writer of the head.
    pub fn write_fields(&self, site: &Site, sink: &mut impl FieldSink) {
        let fields = &self.fields;
        if let Some(made) = fields.made {
            sink.made(made);
        } else {
            fields.write(sink);
        }
        if fields.nosniff && !site.rules(NOSNIFF) {
            sink.field(NOSNIFF, b"nosniff");
        }
        site.write_fields_cached(fields.cacheable, fields.rule, sink);
    }
}

impl Fields<'_> {
    /// The lines of a whole file.
    fn to_lines(&self) -> Box<[u8]> {
        let mut lines = Lines::default();
        self.write(&mut lines);
        lines.0.into_boxed_slice()
    }

    /// Writes all but what the operator has a say in.
    fn write(&self, sink: &mut impl FieldSink) {
        if let Some(content_type) = self.content_type {
            sink.field("Content-Type", content_type.as_bytes());
        } else if let Some(boundary) = self.boundary {
            let value = format_args!("multipart/byteranges; boundary={boundary}");
            field_text(sink, "Content-Type", value);
        }
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
        if let Some(last_modified) = self.last_modified {
            sink.field("Last-Modified", last_modified.as_bytes());
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
        if let Some(seconds) = self.retry {
            sink.field_u64("Retry-After", seconds);
        }
        if let Some(challenge) = &self.challenge {
            sink.field("WWW-Authenticate", challenge.as_bytes());
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
        last_modified: representation.validators.date(now),
        ranges: true,
        varies: facts.varies(),
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
    sink.field(name, &text[..len]);
}
