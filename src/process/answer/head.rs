//! Status and fields of an answer. The fields of a whole file were rendered before; others are written
//! one by one.

use std::{io::Write, sync::Arc};

use super::FieldSink;
use crate::process::caching::RuleNumber;
use crate::process::facts::{FileFacts, Made, Representation};
use crate::process::multipart::Boundary;
use crate::process::negotiate::Coding;
use crate::process::range::ByteRange;
use crate::process::site::Site;
use crate::process::validator::{EntityTag, LastModified};
use crate::respond::Status;

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

/// Status and fields of an answer; fields that are absent or false are not sent. It is handed from
/// step to step, so what a whole file has no use for lies in a box.
#[derive(Debug)]
pub struct AnswerHead<'f> {
    /// The status.
    pub status: Status,
    /// The fields that describe a whole file, rendered before: they stand for all fields but the
    /// operator's.
    pub(super) made: Option<&'f Made>,
    pub(super) content_length: Option<u64>,
    pub(super) entity_tag: Option<&'f EntityTag>,
    pub(super) last_modified: Option<&'f LastModified>,
    /// `Vary: Accept-Encoding`.
    pub(super) varies: bool,
    /// The operator's fields on caching, which are meant for the site's files.
    pub(super) cacheable: bool,
    /// The operator's rule on caching for this file.
    pub(super) rule: Option<RuleNumber>,
    pub(super) more: Option<Box<Fields<'f>>>,
}

/// The fields that a whole file does not have, or has rendered.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields<'f> {
    pub(super) content_type: Option<&'f str>,
    /// What stands between the parts of `multipart/byteranges`, which is then the content type.
    pub(super) boundary: Option<Boundary>,
    pub(super) coding: Coding,
    pub(super) content_range: Option<ContentRange>,
    /// `Accept-Ranges: bytes`.
    pub(super) ranges: bool,
    pub(super) location: Option<Vec<u8>>,
    /// `Allow`, with the methods that files have.
    pub(super) allow: bool,
    /// `Retry-After`, in seconds (RFC 9110 section 10.2.3). What was short may be there again in one.
    pub(super) retry: Option<u64>,
    /// `WWW-Authenticate` (RFC 9110 section 11.6.1).
    pub(super) challenge: Option<Arc<str>>,
    /// `X-Content-Type-Options: nosniff`, for what might be anything else.
    pub(super) nosniff: bool,
    /// A policy that lets the page do nothing but have a style.
    pub(super) inert: bool,
    /// The content is our page of an error.
    pub(super) own_error: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum ContentRange {
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

impl<'f> AnswerHead<'f> {
    /// Without fields.
    pub(super) fn of(status: Status) -> Self {
        Self {
            status,
            made: None,
            content_length: None,
            entity_tag: None,
            last_modified: None,
            varies: false,
            cacheable: false,
            rule: None,
            more: None,
        }
    }

    /// With the fields that every 200 and 206 with a file's bytes has.
    pub(super) fn of_file(
        status: Status,
        facts: &FileFacts,
        coding: Coding,
        representation: &'f Representation,
        now: i64,
    ) -> Self {
        let content_type = Some(facts.media_type());
        let more = Fields { content_type, coding, ranges: true, ..Fields::default() };
        Self {
            entity_tag: Some(&representation.validators.entity_tag),
            last_modified: representation.validators.date(now),
            varies: facts.varies(),
            cacheable: true,
            more: Some(Box::new(more)),
            ..Self::of(status)
        }
    }

    /// The length of the content that a GET gets; none for a response that has none by definition.
    pub fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// Bytes that the fields of [`Self::write_fields`] take as lines of HTTP/1.1, at most, without
    /// the operator's.
    pub fn fields_bound(&self) -> usize {
        let location = self.more.as_ref().and_then(|more| more.location.as_ref());
        MAX_FIELDS_LEN + location.map_or(0, Vec::len)
    }

    /// Writes the fields, the operator's own among them. What belongs to the connection (`Date`,
    /// `Connection`) is left to the writer of the head.
    pub fn write_fields(&self, site: &Site, sink: &mut impl FieldSink) {
        if let Some(made) = self.made {
            sink.made(made);
        } else {
            self.write(sink);
        }
        let nosniff = self.more.as_ref().is_some_and(|more| more.nosniff);
        if nosniff && !site.rules(NOSNIFF) {
            sink.field(NOSNIFF, b"nosniff");
        }
        site.write_fields_cached(self.cacheable, self.rule, sink);
    }

    /// The lines of a whole file.
    pub(super) fn to_lines(&self) -> Box<[u8]> {
        let mut lines = Lines::default();
        self.write(&mut lines);
        lines.0.into_boxed_slice()
    }

    /// Writes all but what the operator has a say in.
    fn write(&self, sink: &mut impl FieldSink) {
        let more = self.more.as_deref();
        if let Some(more) = more {
            more.write_type(sink);
        }
        if let Some(length) = self.content_length {
            sink.field_u64("Content-Length", length);
        }
        if let Some(more) = more {
            more.write_part(sink);
        }
        if let Some(entity_tag) = self.entity_tag {
            sink.field("ETag", entity_tag.as_bytes());
        }
        if let Some(last_modified) = self.last_modified {
            sink.field("Last-Modified", last_modified.as_bytes());
        }
        if more.is_some_and(|more| more.ranges) {
            sink.field("Accept-Ranges", b"bytes");
        }
        if self.varies {
            sink.field("Vary", b"Accept-Encoding");
        }
        if let Some(more) = more {
            more.write_rest(sink);
        }
    }
}

impl Fields<'_> {
    fn write_type(&self, sink: &mut impl FieldSink) {
        if let Some(content_type) = self.content_type {
            sink.field("Content-Type", content_type.as_bytes());
        } else if let Some(boundary) = self.boundary {
            let value = format_args!("multipart/byteranges; boundary={boundary}");
            field_text(sink, "Content-Type", value);
        }
    }

    /// Writes what the content is of the whole.
    fn write_part(&self, sink: &mut impl FieldSink) {
        if let Some(token) = self.coding.token() {
            sink.field("Content-Encoding", token.as_bytes());
        }
        if let Some(range) = self.content_range {
            range.write(sink);
        }
    }

    fn write_rest(&self, sink: &mut impl FieldSink) {
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
