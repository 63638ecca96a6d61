//! The request fields that a static answer depends on, picked up in one pass over the head.
//!
//! The invariant: nothing is copied and nothing is allocated; a field that may stand once and
//! stands twice is known to be doubtful, never silently one of the two.

/// The most lines that are read of one list field. RFC 9110 section 5.3 lets a list be spread over
/// several lines; lines beyond these are not read, which at worst sends a full response where a
/// 304 was possible, or refuses an `If-Match` that might have held.
pub const MAX_LINES: usize = 4;

/// The lines of one list field, in order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lines<'b> {
    lines: [&'b [u8]; MAX_LINES],
    count: usize,
}

impl<'b> Lines<'b> {
    /// Adds a line, unless [`MAX_LINES`] are there.
    pub fn push(&mut self, line: &'b [u8]) {
        if let Some(slot) = self.lines.get_mut(self.count) {
            *slot = line;
            self.count += 1;
        }
    }

    /// Whether the field is absent.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The lines, in order.
    pub fn iter(&self) -> impl Iterator<Item = &'b [u8]> + '_ {
        self.lines.iter().take(self.count).copied()
    }

    /// The only line, if there is exactly one.
    pub fn only(&self) -> Option<&'b [u8]> {
        if self.count == 1 { self.lines.first().copied() } else { None }
    }
}

/// A field that has one value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Single<'b> {
    /// The field is absent.
    #[default]
    Absent,
    /// The field is there once.
    Once(&'b [u8]),
    /// The field is there several times, so that its value is not valid.
    Repeated,
}

impl<'b> Single<'b> {
    fn push(&mut self, value: &'b [u8]) {
        *self = match self {
            Self::Absent => Self::Once(value),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        };
    }

    /// The value, if there is exactly one.
    pub fn value(self) -> Option<&'b [u8]> {
        match self {
            Self::Once(value) => Some(value),
            Self::Absent | Self::Repeated => None,
        }
    }
}

/// The fields of a request that a static answer depends on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Interest<'b> {
    /// `Accept-Encoding` (RFC 9110 section 12.5.3).
    pub accept_encoding: Lines<'b>,
    /// `If-Match` (RFC 9110 section 13.1.1).
    pub if_match: Lines<'b>,
    /// `If-None-Match` (RFC 9110 section 13.1.2).
    pub if_none_match: Lines<'b>,
    /// `If-Modified-Since` (RFC 9110 section 13.1.3).
    pub if_modified_since: Single<'b>,
    /// `If-Unmodified-Since` (RFC 9110 section 13.1.4).
    pub if_unmodified_since: Single<'b>,
    /// `If-Range` (RFC 9110 section 13.1.5).
    pub if_range: Single<'b>,
    /// `Range` (RFC 9110 section 14.2).
    pub range: Single<'b>,
}

impl<'b> Interest<'b> {
    /// Picks the fields of interest from all of a request's fields, given as name and value.
    pub fn collect<'n>(fields: impl IntoIterator<Item = (&'n str, &'b [u8])>) -> Self {
        let mut interest = Self::default();
        for (name, value) in fields {
            interest.note(name, value);
        }
        interest
    }

    /// Gives each field line that was noted, with its name in lower case. Noting all of them again
    /// makes the same; of a field that may not be repeated and was, the values are lost.
    pub fn each(&self, mut each: impl FnMut(&'static str, &'b [u8])) {
        for (name, lines) in [
            ("accept-encoding", &self.accept_encoding),
            ("if-match", &self.if_match),
            ("if-none-match", &self.if_none_match),
        ] {
            lines.iter().for_each(|line| each(name, line));
        }
        for (name, single) in [
            ("if-modified-since", self.if_modified_since),
            ("if-unmodified-since", self.if_unmodified_since),
            ("if-range", self.if_range),
            ("range", self.range),
        ] {
            match single {
                Single::Absent => {}
                Single::Once(value) => each(name, value),
                Single::Repeated => (0..2).for_each(|_| each(name, b"")),
            }
        }
    }

    /// Notes one field line, if it is of interest. The name's length distinguishes most of them.
    pub fn note(&mut self, name: &str, value: &'b [u8]) {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        match name.len() {
            5 if is("range") => self.range.push(value),
            8 if is("if-match") => self.if_match.push(value),
            8 if is("if-range") => self.if_range.push(value),
            13 if is("if-none-match") => self.if_none_match.push(value),
            15 if is("accept-encoding") => self.accept_encoding.push(value),
            17 if is("if-modified-since") => self.if_modified_since.push(value),
            19 if is("if-unmodified-since") => self.if_unmodified_since.push(value),
            // No decision depends on the others.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Interest, MAX_LINES, Single};

    #[test]
    fn fields_are_found_whatever_their_case() {
        let interest = Interest::collect([
            ("Host", &b"example"[..]),
            ("RANGE", b"bytes=0-1"),
            ("If-Match", b"a"),
            ("if-range", b"b"),
            ("If-None-Match", b"c"),
            ("If-none-match", b"d"),
            ("Accept-Encoding", b"gzip"),
            ("If-Modified-Since", b"e"),
            ("If-Unmodified-Since", b"f"),
        ]);
        assert_eq!(interest.range, Single::Once(b"bytes=0-1"));
        assert_eq!(interest.if_match.only(), Some(&b"a"[..]));
        assert_eq!(interest.if_range.value(), Some(&b"b"[..]));
        assert_eq!(interest.if_none_match.iter().collect::<Vec<_>>(), [b"c", b"d"]);
        assert_eq!(interest.if_none_match.only(), None);
        assert_eq!(interest.accept_encoding.only(), Some(&b"gzip"[..]));
        assert_eq!(interest.if_modified_since.value(), Some(&b"e"[..]));
        assert_eq!(interest.if_unmodified_since.value(), Some(&b"f"[..]));
    }

    #[test]
    fn what_is_absent_or_repeated_has_no_value() {
        let interest = Interest::collect([("Range", &b"a"[..]), ("Range", b"a")]);
        assert_eq!(interest.range, Single::Repeated);
        assert_eq!(interest.range.value(), None);
        assert_eq!(interest.if_range, Single::Absent);
        assert!(interest.if_match.is_empty());
    }

    #[test]
    fn what_is_given_out_makes_the_same_again() {
        for fields in [
            &[][..],
            &[
                ("if-match", &b"a"[..]),
                ("If-Match", b"b"),
                ("range", b"c"),
                ("accept-encoding", b"d"),
            ],
            &[("if-none-match", b"a"), ("if-range", b"b"), ("if-modified-since", b"c")],
            &[("if-unmodified-since", b"a"), ("if-unmodified-since", b"a"), ("x", b"y")],
        ] {
            let interest = Interest::collect(fields.iter().copied());
            let mut again = Interest::default();
            let mut given = 0;
            interest.each(|name, value| {
                assert_eq!(name, name.to_ascii_lowercase());
                again.note(name, value);
                given += 1;
            });
            assert_eq!(format!("{again:?}"), format!("{interest:?}"));
            assert_eq!(given, fields.iter().filter(|(name, _)| *name != "x").count());
        }
    }

    #[test]
    fn lines_are_bounded() {
        let interest = Interest::collect([("if-match", &b"x"[..]); MAX_LINES + 3]);
        assert_eq!(interest.if_match.iter().count(), MAX_LINES);
    }
}
