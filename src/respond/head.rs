//! Writing a response head (RFC 9112 sections 4 and 5) into memory that the caller owns.

use std::fmt;

use super::decimal::Decimal;
use super::{DateCache, Status, content_length_allowed, reason::reason};

/// Why a head could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadFault {
    /// The buffer is too small for the head.
    Overflow,
    /// A field name is no token, or a field value holds a control character.
    ForbiddenByte,
    /// A status code has not three digits.
    StatusCode,
}

impl fmt::Display for HeadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overflow => "the response head does not fit its buffer",
            Self::StatusCode => "a status code has not three digits",
            Self::ForbiddenByte => "a response field holds a character that no field may hold",
        })
    }
}

impl std::error::Error for HeadFault {}

/// Writes one response head. The first fault is kept and comes out of [`finish`](Self::finish);
/// until then every call is safe and cheap.
#[derive(Debug)]
pub struct HeadWriter<'b> {
    buffer: &'b mut [u8],
    used: usize,
    code: u16,
    fault: Option<HeadFault>,
}

impl<'b> HeadWriter<'b> {
    /// Begins a head at the start of `buffer` with its status line.
    #[inline]
    pub fn new(buffer: &'b mut [u8], status: Status) -> Self {
        let mut head = Self { buffer, used: 0, code: status.code(), fault: None };
        head.put([status.line()]);
        head
    }

    /// Begins the head of an answer that is not our own: any status code of three digits.
    #[inline]
    pub(crate) fn of_code(buffer: &'b mut [u8], code: u16) -> Self {
        if let Some(status) = Status::from_code(code) {
            return Self::new(buffer, status);
        }
        let mut head = Self { buffer, used: 0, code, fault: None };
        if (100..1000).contains(&code) {
            let code = Decimal::new(u64::from(code));
            let reason = reason(head.code);
            head.put([b"HTTP/1.1 ", code.as_bytes(), b" ", reason.as_bytes(), b"\r\n"]);
        } else {
            head.fail(HeadFault::StatusCode);
        }
        head
    }

    /// A field with any value. Names are written by us, or by the operator and then checked with
    /// the configuration; debug builds check them again.
    #[inline]
    pub fn field(&mut self, name: &str, value: &[u8]) -> &mut Self {
        if value_is_safe(value) {
            self.line(name, value);
        } else {
            self.fail(HeadFault::ForbiddenByte);
        }
        self
    }

    /// A field whose value was checked before. Debug builds check it again.
    #[inline]
    pub(crate) fn checked_field(&mut self, name: &str, value: &[u8]) {
        debug_assert!(value_is_safe(value), "{} is no value", value.escape_ascii());
        self.line(name, value);
    }

    /// A field whose value is a number.
    #[inline]
    pub fn field_u64(&mut self, name: &str, number: u64) -> &mut Self {
        self.line(name, Decimal::new(number).as_bytes());
        self
    }

    /// Whole field lines, each with its CRLF, that were made and checked before. Debug builds check
    /// them again.
    #[inline]
    pub fn lines(&mut self, lines: &[u8]) -> &mut Self {
        debug_assert!(are_lines(lines), "{} are no lines", lines.escape_ascii());
        self.put([lines]);
        self
    }

    /// `Content-Length` in bytes, left out where the status forbids it.
    #[inline]
    pub fn content_length(&mut self, length: u64) -> &mut Self {
        if content_length_allowed(self.code) {
            self.field_u64("Content-Length", length);
        }
        self
    }

    /// `Date`.
    #[inline]
    pub fn date(&mut self, date: &DateCache) -> &mut Self {
        self.line("Date", date.as_bytes());
        self
    }

    /// `Server: ringway`, without a version: an attacker need not know.
    #[inline]
    pub fn server(&mut self) -> &mut Self {
        self.put([b"Server: ringway\r\n"]);
        self
    }

    /// `Connection: close`: the last response of its connection.
    #[inline]
    pub fn connection_close(&mut self) -> &mut Self {
        self.put([b"Connection: close\r\n"]);
        self
    }

    /// `Connection: keep-alive`, which an HTTP/1.0 client needs to read (RFC 9112 section 9.3).
    #[inline]
    pub fn connection_keep_alive(&mut self) -> &mut Self {
        self.put([b"Connection: keep-alive\r\n"]);
        self
    }

    /// Ends the head with its empty line and returns its length in bytes.
    ///
    /// # Errors
    /// The first fault of any call before; the buffer's content is then meaningless.
    #[inline]
    pub fn finish(mut self) -> Result<usize, HeadFault> {
        self.put([b"\r\n"]);
        match self.fault {
            None => Ok(self.used),
            Some(fault) => Err(fault),
        }
    }

    #[inline]
    fn line(&mut self, name: &str, value: &[u8]) {
        debug_assert!(is_name(name), "{name:?} is no field name");
        self.put([name.as_bytes(), b": ", value, b"\r\n"]);
    }

    /// Appends the pieces, all or none, with one check of the space.
    #[inline]
    fn put<const N: usize>(&mut self, pieces: [&[u8]; N]) {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let free = self.buffer.get_mut(self.used..);
        let Some((mut space, _)) = free.and_then(|free| free.split_at_mut_checked(length)) else {
            self.fail(HeadFault::Overflow);
            return;
        };
        for piece in pieces {
            // The space is as long as the pieces together, so the split is within it.
            let (to, rest) = space.split_at_mut(piece.len());
            to.copy_from_slice(piece);
            space = rest;
        }
        self.used += length;
    }

    #[cold]
    fn fail(&mut self, fault: HeadFault) {
        self.fault.get_or_insert(fault);
    }
}

/// Whether nothing in a name could end it, or its line.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
}

/// Whether these are field lines: a name and a safe value in each, and CRLF behind it.
fn are_lines(lines: &[u8]) -> bool {
    lines.split_inclusive(|byte| *byte == b'\n').all(|line| {
        let Some(line) = line.strip_suffix(b"\r\n") else { return false };
        let Some(colon) = memchr::memchr(b':', line) else { return false };
        let (name, value) = line.split_at(colon);
        str::from_utf8(name).is_ok_and(is_name) && value_is_safe(value)
    })
}

/// Whether a value stays within its line: no control character but HTAB (RFC 9110 section 5.5).
///
/// Looks at every byte without an early exit, so that the compiler takes many at once.
#[inline]
pub(super) fn value_is_safe(value: &[u8]) -> bool {
    let forbidden = |byte: u8| (byte < b' ' && byte != b'\t') || byte == 0x7f;
    value.iter().fold(0, |found, &byte| found | u8::from(forbidden(byte))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What debug builds check of what was made and checked before.
    #[test]
    fn names_and_lines_cannot_end_early() {
        assert!(is_name("X-Own") && !is_name(""));
        for name in ["a:b", "a b", "a\r", "a\n", "\u{e9}"] {
            assert!(!is_name(name), "{name:?}");
        }
        assert!(are_lines(b"") && are_lines(b"A: b\r\nC:\r\n"));
        for lines in
            [&b"A: b"[..], b"A: b\n", b"A b\r\n", b": b\r\n", b"A: \0\r\n", b"A: b\r\n\r\n"]
        {
            assert!(!are_lines(lines), "{}", lines.escape_ascii());
        }
    }
}
