//! An answer: a status, what follows the head, and the fields that describe it.
//!
//! The invariant: the fields belong to the content. What a GET would get is built first and a HEAD
//! drops the content from it, so that both have the same head; a `Content-Length` is always the
//! exact length of the content that a GET gets, and a response that has no content by definition
//! (204, 304) has none.

mod head;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::caching::RuleNumber;
use super::facts::{File, FileFacts, Made};
use super::media_type;
use super::multipart::Multipart;
use super::negotiate::Coding;
use super::page::{self, Page};
use super::range::ByteRange;
use crate::parse::Method;
use crate::respond::Status;
pub use head::AnswerHead;
use head::{ContentRange, Fields};

/// Takes the fields of a response head, one by one.
pub trait FieldSink {
    /// A field with a value of bytes.
    fn field(&mut self, name: &str, value: &[u8]);
    /// A field whose value is one of `http`, which holds no control character but HTAB either. A sink that
    /// checks values overrides this.
    fn checked_field(&mut self, name: &str, value: &[u8]) {
        self.field(name, value);
    }
    /// A field with a number for its value.
    fn field_u64(&mut self, name: &str, number: u64);
    /// Fields that were rendered before. A sink that can copy a rendered form overrides this.
    fn made(&mut self, made: &Made) {
        for (name, value) in made.fields() {
            self.field(name, value);
        }
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

impl<'f, F: File> Answer<'f, F> {
    fn new(head: AnswerHead<'f>, content: Content<'f, F>) -> Self {
        Self { head, content, wanted: None }
    }

    /// The fields that are seldom there, to be changed.
    fn more(&mut self) -> &mut Fields<'f> {
        self.head.more.get_or_insert_default()
    }

    /// 200 with the whole file.
    pub(super) fn whole(file: &'f F, coding: Coding, now: i64) -> Self {
        let facts = file.facts();
        let representation = facts.representation(coding);
        let status = Status::Ok;
        let content_length = Some(representation.length);
        let all = || {
            let of_file = AnswerHead::of_file(status, facts, coding, representation, now);
            AnswerHead { content_length, ..of_file }
        };
        let head = if representation.validators.date(now).is_none() {
            // The date may be one that can be trusted a second later.
            all()
        } else {
            let made = Some(representation.made(|| all().to_lines()));
            AnswerHead { made, content_length, cacheable: true, ..AnswerHead::of(status) }
        };
        Self::new(head, Content::Whole(file, coding))
    }

    /// 206 with one range of the file.
    pub(super) fn slice(file: &'f F, coding: Coding, range: ByteRange, now: i64) -> Self {
        let facts = file.facts();
        let representation = facts.representation(coding);
        let status = Status::PartialContent;
        let head = AnswerHead::of_file(status, facts, coding, representation, now);
        let mut answer = Self::new(head, Content::Slice(file, coding, range));
        answer.head.content_length = Some(range.len());
        answer.more().content_range = Some(ContentRange::Part(range, representation.length));
        answer
    }

    /// Several ranges of the file: 206. There is no `Content-Range` beside the parts' own
    /// (RFC 9110 section 15.3.7.2).
    pub(super) fn parts(file: &'f F, coding: Coding, multipart: Multipart, now: i64) -> Self {
        let facts = file.facts();
        let representation = facts.representation(coding);
        let status = Status::PartialContent;
        let head = AnswerHead::of_file(status, facts, coding, representation, now);
        let (length, boundary) = (multipart.content_length(), multipart.boundary());
        let mut answer = Self::new(head, Content::Parts(file, coding, Box::new(multipart)));
        answer.head.content_length = Some(length);
        let more = answer.more();
        (more.content_type, more.boundary) = (None, Some(boundary));
        answer
    }

    /// Not modified: 304. `dated` says whether the client goes by the date alone; to one that goes
    /// by the tag the date is of no use (RFC 9110 section 15.4.5).
    pub(super) fn not_modified(file: &'f F, coding: Coding, dated: bool, now: i64) -> Self {
        let facts = file.facts();
        let validators = &facts.representation(coding).validators;
        let head = AnswerHead {
            entity_tag: Some(&validators.entity_tag),
            last_modified: if dated { validators.date(now) } else { None },
            varies: facts.varies(),
            cacheable: true,
            ..AnswerHead::of(Status::NotModified)
        };
        Self::new(head, Content::Nothing)
    }

    /// 416 for a representation of so many bytes.
    pub(super) fn unsatisfiable(length: u64) -> Self {
        let mut answer = Self::error(Status::RangeNotSatisfiable);
        let more = answer.more();
        more.content_range = Some(ContentRange::Unsatisfied(length));
        more.ranges = true;
        answer
    }

    /// 404 with the site's own page.
    pub(super) fn not_found(file: &'f F, coding: Coding) -> Self {
        let facts = file.facts();
        let more = Fields {
            content_type: Some(facts.media_type()),
            coding,
            nosniff: true,
            ..Fields::default()
        };
        let head = AnswerHead {
            content_length: Some(facts.representation(coding).length),
            varies: facts.varies(),
            more: Some(Box::new(more)),
            ..AnswerHead::of(Status::NotFound)
        };
        Self::new(head, Content::Whole(file, coding))
    }

    /// 301 to a reference that `path::slash_redirect` wrote.
    pub(super) fn moved(location: Vec<u8>) -> Self {
        Self::redirect(Status::MovedPermanently, location)
    }

    /// A redirect to a reference that `path::slash_redirect` or `redirect::location` wrote.
    pub fn redirect(status: Status, location: Vec<u8>) -> Self {
        let mut answer = Self::page(status, page::redirect(&location));
        answer.more().location = Some(location);
        answer
    }

    /// An answer of the operator's own, whose fields on caching it gets.
    pub fn fixed(status: Status, media_type: &'f str, content: Vec<u8>) -> Self {
        let more = Fields {
            content_type: Some(media_type),
            retry: (status == Status::ServiceUnavailable).then_some(1),
            nosniff: true,
            ..Fields::default()
        };
        let head = AnswerHead {
            content_length: Some(content.len() as u64),
            cacheable: true,
            more: Some(Box::new(more)),
            ..AnswerHead::of(status)
        };
        Self::new(head, Content::Page(content.into()))
    }

    /// 204 with the methods in `Allow`.
    pub(super) fn options() -> Self {
        let mut answer = Self::new(AnswerHead::of(Status::NoContent), Content::Nothing);
        answer.more().allow = true;
        answer
    }

    /// An error with its small page; 405 has the methods in `Allow`, 503 a `Retry-After`.
    pub fn error(status: Status) -> Self {
        let mut answer = Self::page(status, Page::Borrowed(status.page().as_bytes()));
        let more = answer.more();
        more.allow = status == Status::MethodNotAllowed;
        more.retry = (status == Status::ServiceUnavailable).then_some(1);
        more.own_error = true;
        answer
    }

    /// The same for a client that may come again after so many seconds.
    #[must_use]
    pub(crate) fn retrying(mut self, after: Option<u64>) -> Self {
        if after.is_some() {
            self.more().retry = after;
        }
        self
    }

    /// The same with a challenge, at most 128 bytes.
    #[must_use]
    pub(crate) fn challenging(mut self, challenge: Option<Arc<str>>) -> Self {
        if challenge.is_some() {
            self.more().challenge = challenge;
        }
        self
    }

    /// Goes by the operator's rule on caching, where it speaks of a file.
    pub(super) fn cached_by(&mut self, rule: Option<RuleNumber>) {
        self.head.rule = rule.filter(|_| self.head.cacheable);
    }

    /// Whether its content is our page of an error, which [`Self::with_page`] replaces.
    pub fn is_own_error(&self) -> bool {
        self.head.more.as_ref().is_some_and(|more| more.own_error)
    }

    /// The same with another page. What else is known of it stays: the methods in `Allow`, the length in
    /// `Content-Range`.
    #[must_use]
    pub fn with_page(mut self, media_type: &'static str, page: &[u8]) -> Self {
        self.head.content_length = Some(page.len() as u64);
        let more = self.more();
        more.content_type = Some(media_type);
        (more.inert, more.own_error) = (false, false);
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
        self.head.varies = true;
        if let Some(coded) = coded {
            self.head.content_length = Some(coded.len() as u64);
            self.more().coding = coding;
            self.content = Content::Page(coded.into());
        }
        self
    }

    fn page(status: Status, page: Page) -> Self {
        let more = Fields {
            content_type: Some(media_type::HTML),
            nosniff: true,
            inert: true,
            ..Fields::default()
        };
        let head = AnswerHead {
            content_length: Some(page.len() as u64),
            more: Some(Box::new(more)),
            ..AnswerHead::of(status)
        };
        Self::new(head, Content::Page(page))
    }

    /// The same for a representation that was chosen among several.
    #[must_use]
    pub(super) fn varying(mut self, varies: bool) -> Self {
        self.head.varies = varies;
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
