//! Content over HTTP/2: what of a DATA frame is content, whether all of it is what Content-Length
//! has promised, and trailers (RFC 9113 sections 6.1, 8.1 and 8.1.1). Pure.

use std::ops::Range;

use super::{MAX_TRAILER_BYTES, MAX_TRAILER_FIELDS};
use crate::{
    hpack::{Field, FieldName, FieldVisitor},
    parse::h2::{ErrorCode, Fault, FieldCheck, Flags, FrameHead, field_check},
};

/// Follows the payload of one DATA frame, wherever it is split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DataPayload {
    /// The length of the padding is still to come.
    padded: bool,
    /// Octets of the payload still to come, the padding and its length included.
    rest: u32,
    padding: u32,
    /// Some of it was content.
    has_content: bool,
}

impl DataPayload {
    /// Begins the payload behind this head.
    pub(crate) fn new(head: &FrameHead) -> Self {
        let padded = head.flags.has(Flags::PADDED);
        Self { padded, rest: head.length, padding: 0, has_content: false }
    }

    /// Whether the frame has ended and held no content: it was empty, or padding alone.
    pub(crate) fn was_empty(&self) -> bool {
        self.is_finished() && !self.has_content
    }

    /// Whether the frame has ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.rest == 0 && !self.padded
    }

    /// Takes what `bytes` has of the payload. Returns how much that is, and which of it is content.
    ///
    /// # Errors
    /// Of the connection: padding that is longer than the frame, or a frame without the length that
    /// its flag promises.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(usize, Range<usize>), Fault> {
        let mut begin = 0;
        if self.padded {
            if self.rest == 0 {
                return Err(Fault::size("a padded DATA frame is empty"));
            }
            let Some(&padding) = bytes.first() else { return Ok((0, 0..0)) };
            (self.padded, self.padding) = (false, padding.into());
            self.rest -= 1;
            begin = 1;
            if self.padding > self.rest {
                return Err(Fault::protocol("the padding is longer than its frame"));
            }
        }
        let available = bytes.len() - begin;
        let content = available.min((self.rest - self.padding) as usize);
        self.has_content |= content > 0;
        let padding = (available - content).min(self.padding as usize);
        self.rest -= (content + padding) as u32;
        self.padding -= padding as u32;
        Ok((begin + content + padding, begin..begin + content))
    }
}

/// What is wrong with the content of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentFault {
    /// It is longer than the bound: 413.
    TooLarge,
    /// It is not as long as Content-Length says: the request is malformed.
    Length(&'static str),
}

/// Adds up the content of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContentSum {
    received: u64,
    /// What Content-Length says; `u64::MAX` for nothing.
    stated: u64,
}

impl ContentSum {
    /// Begins content of this stated length.
    pub(crate) fn new(stated: Option<u64>) -> Self {
        Self { received: 0, stated: stated.unwrap_or(u64::MAX) }
    }

    /// Bytes that are still to come, if that was stated.
    pub(crate) fn left(&self) -> Option<u64> {
        (self.stated != u64::MAX).then(|| self.stated.saturating_sub(self.received))
    }

    /// Takes `bytes` of content, of which at most `most` may come.
    ///
    /// # Errors
    /// More than stated, or more than `most`.
    pub(crate) fn add(&mut self, bytes: usize, most: u64) -> Result<(), ContentFault> {
        self.received = self.received.saturating_add(bytes as u64);
        if self.received > self.stated {
            return Err(ContentFault::Length("more content than Content-Length says"));
        }
        if self.received > most {
            return Err(ContentFault::TooLarge);
        }
        Ok(())
    }

    /// The content has ended.
    ///
    /// # Errors
    /// It is shorter than stated.
    pub(crate) fn finish(&self) -> Result<(), ContentFault> {
        if self.stated != u64::MAX && self.received < self.stated {
            return Err(ContentFault::Length("less content than Content-Length says"));
        }
        Ok(())
    }
}

/// Checks trailers, and keeps them where something reads them (RFC 9113 section 8.1).
#[derive(Debug, Default)]
pub(crate) struct Trailers {
    bytes: usize,
    fields: u32,
    fault: Option<&'static str>,
    keeps: bool,
    kept: Vec<u8>,
}

impl Trailers {
    /// Keeps the fields as lines of HTTP/1, each with its CRLF: [`MAX_TRAILER_BYTES`] and four bytes for
    /// each of [`MAX_TRAILER_FIELDS`] at most. Fields that only the head of a request may have are left
    /// out (RFC 9110 section 6.5.1).
    pub(crate) fn keeping() -> Self {
        Self { keeps: true, ..Self::default() }
    }

    /// The lines that were kept; none if they were not to be kept.
    pub(crate) fn into_lines(self) -> Vec<u8> {
        self.kept
    }

    /// What makes the message malformed, if something does.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.fault.map(|why| Fault::Stream(ErrorCode::ProtocolError, why))
    }

    fn count(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.fields += 1;
        if self.bytes > MAX_TRAILER_BYTES as usize || self.fields > MAX_TRAILER_FIELDS {
            self.fault.get_or_insert("the trailers are too long or too many");
        }
        self.fault.is_none()
    }
}

impl FieldVisitor for Trailers {
    fn field(&mut self, field: Field<'_>) -> bool {
        if !self.count(field.name.len() + field.value.len()) {
            return false;
        }
        if field.name.first() == Some(&b':') {
            self.fault = Some("a pseudo-field among the trailers");
            return false;
        }
        if !field.checked && field_check(&field) != FieldCheck::Valid {
            self.fault = Some("a trailer field is malformed");
            return false;
        }
        if matches!(
            field.token,
            FieldName::Connection
                | FieldName::KeepAlive
                | FieldName::ProxyConnection
                | FieldName::TransferEncoding
                | FieldName::Upgrade
        ) {
            self.fault = Some("a trailer field that belongs to connections of HTTP/1");
        }
        let of_heads = matches!(
            field.token,
            FieldName::ContentLength
                | FieldName::Host
                | FieldName::Te
                | FieldName::Expect
                | FieldName::Cookie
                | FieldName::Range
                | FieldName::IfMatch
                | FieldName::IfNoneMatch
                | FieldName::IfRange
                | FieldName::IfModifiedSince
                | FieldName::IfUnmodifiedSince
        );
        if self.keeps && !of_heads {
            for piece in [field.name, b": ", field.value, b"\r\n"] {
                self.kept.extend_from_slice(piece);
            }
        }
        true
    }

    fn oversized(&mut self, bytes: usize) {
        self.count(bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parse::h2::Kind;

    fn head(length: u32, flags: Flags) -> FrameHead {
        FrameHead { length, kind: Kind::Data, flags, stream: 1 }
    }

    /// The content of a payload that comes in pieces of these sizes.
    fn content(payload: &[u8], flags: Flags, sizes: &[usize]) -> Result<Vec<u8>, Fault> {
        let mut data = DataPayload::new(&head(payload.len() as u32, flags));
        let mut sizes = sizes.iter().cycle();
        let (mut content, mut from) = (Vec::new(), 0);
        while !data.is_finished() {
            assert!(!data.was_empty(), "a frame that goes on");
            let end = payload.len().min(from + sizes.next().unwrap());
            let (taken, range) = data.take(&payload[from..end])?;
            content.extend_from_slice(&payload[from..end][range]);
            from += taken;
        }
        assert_eq!(from, payload.len());
        assert_eq!(data.was_empty(), content.is_empty());
        Ok(content)
    }

    #[test]
    fn padding_is_taken_off_or_refused() {
        let whole = |payload: &[u8]| content(payload, Flags::PADDED, &[100]);
        assert_eq!(whole(b"\x02abcpp"), Ok(b"abc".to_vec()));
        assert_eq!(whole(b"\x00abc"), Ok(b"abc".to_vec()));
        assert_eq!(whole(b"\x02pp"), Ok(Vec::new()));
        assert_eq!(whole(b"\x03pp").unwrap_err().code(), ErrorCode::ProtocolError);
        assert_eq!(whole(b"").unwrap_err().code(), ErrorCode::FrameSizeError);
        assert_eq!(content(b"abc", Flags::default(), &[100]), Ok(b"abc".to_vec()));
        assert!(DataPayload::new(&head(0, Flags::END_STREAM)).is_finished());
    }

    proptest! {
        #[test]
        fn splits_never_change_the_content(
            text in prop::collection::vec(any::<u8>(), 0..300),
            padding in 0..=255_u8,
            sizes in prop::collection::vec(1..40_usize, 1..5),
        ) {
            let mut payload = vec![padding];
            payload.extend(&text);
            payload.extend(vec![0; padding.into()]);
            prop_assert_eq!(content(&payload, Flags::PADDED, &sizes), Ok(text.clone()));
            prop_assert_eq!(content(&text, Flags::default(), &sizes), Ok(text));
        }
    }

    #[test]
    fn content_is_as_long_as_stated_and_within_its_bound() {
        let mut sum = ContentSum::new(Some(5));
        assert_eq!(sum.add(3, 100), Ok(()));
        assert!(matches!(sum.finish(), Err(ContentFault::Length(_))));
        assert_eq!((sum.left(), ContentSum::new(None).left()), (Some(2), None));
        assert_eq!(sum.add(2, 100), Ok(()));
        assert_eq!(sum.finish(), Ok(()));
        assert!(matches!(sum.add(1, 100), Err(ContentFault::Length(_))));
        let mut sum = ContentSum::new(None);
        assert_eq!(sum.finish(), Ok(()));
        assert_eq!(sum.add(100, 100), Ok(()));
        assert_eq!((sum.add(1, 100), sum.received), (Err(ContentFault::TooLarge), 101));
    }

    #[test]
    fn trailers_are_fields_and_bounded() {
        let check = |name: &'static str, value: &'static str, times: usize| {
            let mut trailers = Trailers::default();
            for _ in 0..times {
                trailers.field(Field {
                    token: FieldName::of(name.as_bytes()),
                    name: name.as_bytes(),
                    value: value.as_bytes(),
                    checked: false,
                    never_indexed: false,
                });
            }
            trailers.fault().is_none()
        };
        assert!(check("checksum", "a b", 64) && !check("checksum", "a b", 65));
        assert!(!check(":path", "/", 1) && !check(":what", "/", 1) && !check("", "a", 1));
        assert!(!check("Checksum", "a", 1) && !check("a", "b\n", 1) && !check("a", " b", 1));
        assert!(!check("connection", "close", 1));
        let mut trailers = Trailers::default();
        trailers.oversized(8 * 1024);
        assert!(trailers.fault().is_none());
        trailers.oversized(1);
        assert!(trailers.fault().is_some());
    }

    /// RFC 9110 section 6.5.1: what only the head of a request may say is left out, and nothing else.
    #[test]
    fn trailers_are_kept_as_lines_where_something_reads_them() {
        let lines = |mut trailers: Trailers| {
            let of_heads = "content-length host te expect cookie range if-match if-none-match if-range \
                            if-modified-since if-unmodified-since";
            for name in ["checksum"].into_iter().chain(of_heads.split(' ')).chain(["referer"]) {
                let (token, name) = (FieldName::of(name.as_bytes()), name.as_bytes());
                let field = Field { token, name, value: b"1", checked: true, never_indexed: false };
                assert!(trailers.field(field));
            }
            assert_eq!(trailers.fault(), None);
            trailers.into_lines()
        };
        assert_eq!(lines(Trailers::keeping()), b"checksum: 1\r\nreferer: 1\r\n");
        assert_eq!(lines(Trailers::default()), b"");
    }

    /// What the table remembers as well-formed is not checked again, and the rest is each time.
    #[test]
    fn what_was_checked_is_not_checked_again() {
        for (checked, sound) in [(true, true), (false, false)] {
            let mut trailers = Trailers::default();
            let (token, name) = (FieldName::Other, &b"X"[..]);
            let field = Field { token, name, value: b"1", checked, never_indexed: false };
            assert_eq!(trailers.field(field), sound);
            assert_eq!(trailers.fault().is_none(), sound);
        }
    }
}
