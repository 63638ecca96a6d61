//! What the field lines say about the message itself: its host, where it ends, whether the
//! connection persists. Gathered line by line, judged once all lines are known.

use super::authority::is_host;
use super::token::is_token;
use super::{BodyLength, HeadError, Version};

/// The lines seen so far, as far as they matter here.
#[derive(Debug, Default)]
pub(super) struct Facts<'b> {
    pub(super) host: Option<&'b [u8]>,
    content_length: Option<u64>,
    coding: Coding,
    close: bool,
    keep_alive: bool,
    expect_continue: bool,
    expect_unknown: bool,
}

/// The transfer codings seen so far, over all lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Coding {
    /// No `Transfer-Encoding`.
    #[default]
    Absent,
    /// Codings that we do not have, and no `chunked` yet.
    Others,
    /// Exactly `chunked`.
    Chunked,
    /// Other codings, then `chunked`.
    OthersThenChunked,
}

impl<'b> Facts<'b> {
    /// Takes one field line.
    #[inline]
    pub(super) fn note(&mut self, name: &str, value: &'b [u8]) -> Result<(), HeadError> {
        // The length rules out nearly every other field with one comparison.
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => self.note_host(value),
            6 if name.eq_ignore_ascii_case("expect") => {
                self.note_expect(value);
                Ok(())
            }
            10 if name.eq_ignore_ascii_case("connection") => {
                self.note_connection(value);
                Ok(())
            }
            14 if name.eq_ignore_ascii_case("content-length") => self.note_content_length(value),
            17 if name.eq_ignore_ascii_case("transfer-encoding") => self.note_coding(value),
            _ => Ok(()),
        }
    }

    /// Takes one field line of a response: those that frame it and those of the connection.
    #[inline]
    pub(super) fn note_response(&mut self, name: &str, value: &[u8]) -> Result<(), HeadError> {
        match name.len() {
            10 if name.eq_ignore_ascii_case("connection") => {
                self.note_connection(value);
                Ok(())
            }
            14 if name.eq_ignore_ascii_case("content-length") => self.note_content_length(value),
            17 if name.eq_ignore_ascii_case("transfer-encoding") => self.note_coding(value),
            _ => Ok(()),
        }
    }

    /// One valid `Host` (RFC 9112 section 3.2).
    fn note_host(&mut self, value: &'b [u8]) -> Result<(), HeadError> {
        if self.host.is_some() {
            return Err(HeadError::HostRepeated);
        }
        if !is_host(value) {
            return Err(HeadError::HostInvalid);
        }
        self.host = Some(value);
        Ok(())
    }

    /// One plain number. RFC 9110 section 8.6 would tolerate equal repetitions; we need not.
    fn note_content_length(&mut self, value: &[u8]) -> Result<(), HeadError> {
        if self.content_length.is_some() {
            return Err(HeadError::ContentLengthRepeated);
        }
        let number = value.iter().try_fold(0_u64, |number, digit| {
            let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
            number.checked_mul(10)?.checked_add(digit)
        });
        match number {
            Some(number) if !value.is_empty() => self.content_length = Some(number),
            _ => return Err(HeadError::ContentLengthInvalid),
        }
        Ok(())
    }

    /// `chunked` last and once (RFC 9112 sections 6.1 and 7). Empty list elements, which lists
    /// elsewhere may have, are refused here: they serve only to disguise.
    fn note_coding(&mut self, value: &[u8]) -> Result<(), HeadError> {
        for element in elements(value) {
            let chunked = element.eq_ignore_ascii_case(b"chunked");
            self.coding = match self.coding {
                Coding::Absent if chunked => Coding::Chunked,
                Coding::Others if chunked => Coding::OthersThenChunked,
                Coding::Absent | Coding::Others if is_coding(element) => Coding::Others,
                _ => return Err(HeadError::CodingInvalid),
            };
        }
        Ok(())
    }

    /// `close` and `keep-alive` in a list; other options concern fields that we ignore anyway
    /// (RFC 9110 section 7.6.1).
    fn note_connection(&mut self, value: &[u8]) {
        for option in elements(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// A list of expectations; one is defined (RFC 9110 section 10.1.1).
    fn note_expect(&mut self, value: &[u8]) {
        for expectation in elements(value).filter(|element| !element.is_empty()) {
            if expectation.eq_ignore_ascii_case(b"100-continue") {
                self.expect_continue = true;
            } else {
                self.expect_unknown = true;
            }
        }
    }

    /// Judges the lines together. Framing comes first: its errors are the dangerous ones.
    pub(super) fn conclude(self, version: Version) -> Result<Conclusion<'b>, HeadError> {
        let http11 = version == Version::Http11;
        let body = self.body(http11)?;
        if http11 && self.host.is_none() {
            return Err(HeadError::HostMissing);
        }
        if self.expect_unknown {
            return Err(HeadError::ExpectationUnknown);
        }
        let content = !matches!(body, BodyLength::None | BodyLength::Length(0));
        Ok(Conclusion {
            host: self.host,
            body,
            persistent: self.is_persistent(http11),
            expect_continue: self.expect_continue && http11 && content,
        })
    }

    /// `Content-Length`, if it was sent.
    pub(super) fn stated_length(&self) -> Option<u64> {
        self.content_length
    }

    /// Judges the lines of a response together: its framing, and whether the connection persists.
    pub(super) fn conclude_response(
        self,
        version: Version,
    ) -> Result<(BodyLength, bool), HeadError> {
        let http11 = version == Version::Http11;
        Ok((self.body(http11)?, self.is_persistent(http11)))
    }

    fn body(&self, http11: bool) -> Result<BodyLength, HeadError> {
        match (self.coding, self.content_length) {
            (Coding::Absent, None) => Ok(BodyLength::None),
            (Coding::Absent, Some(length)) => Ok(BodyLength::Length(length)),
            (_, Some(_)) => Err(HeadError::LengthBesideCoding),
            (_, None) if !http11 => Err(HeadError::CodingInHttp10),
            (Coding::Chunked, None) => Ok(BodyLength::Chunked),
            (Coding::Others, None) => Err(HeadError::CodingInvalid),
            (Coding::OthersThenChunked, None) => Err(HeadError::CodingUnsupported),
        }
    }

    fn is_persistent(&self, http11: bool) -> bool {
        !self.close && (http11 || self.keep_alive)
    }
}

/// What the field lines of a well-formed head amount to.
#[derive(Debug)]
pub(super) struct Conclusion<'b> {
    pub(super) host: Option<&'b [u8]>,
    pub(super) body: BodyLength,
    pub(super) persistent: bool,
    pub(super) expect_continue: bool,
}

/// A coding name, perhaps with parameters; these are not read, as no such coding is implemented.
fn is_coding(element: &[u8]) -> bool {
    element.split(|&byte| byte == b';').next().is_some_and(|name| is_token(name.trim_ascii_end()))
}

/// The elements of a comma-separated list, trimmed (RFC 9110 section 5.6.1).
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}
