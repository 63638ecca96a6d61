//! Which bytes of a representation were asked for (RFC 9110 sections 14.1 and 14.2).
//!
//! The invariant: the ranges that come out lie inside the representation, and no byte lies in two
//! of them or next to another range; so a response to ranges never carries more of the
//! representation than the whole of it, and at most [`MAX_RANGES`] part heads.

#[cfg(test)]
mod tests;

/// The most ranges of one response. Of a request for more, those that overlap or adjoin are joined,
/// and the first that are left are answered: a 206 transfers "one or more parts" (RFC 9110 section
/// 15.3.7), each says which it is, and the client asks again for the rest. To ignore the field would
/// answer with the whole file, however large, and reward the excess that section 17.15 warns of; 416
/// would send nothing of what is there.
pub const MAX_RANGES: usize = 16;

/// A range of bytes, both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte's offset.
    pub first: u64,
    /// The last byte's offset, at least `first`.
    pub last: u64,
}

impl ByteRange {
    /// How many bytes these are.
    #[expect(clippy::len_without_is_empty, reason = "a range holds at least one byte")]
    pub fn len(self) -> u64 {
        // Inside a representation `last` is below its length, so this cannot overflow.
        (self.last - self.first).saturating_add(1)
    }

    /// Whether two ranges overlap, or one begins where the other ends.
    fn touches(self, other: Self) -> bool {
        self.first <= other.last.saturating_add(1) && other.first <= self.last.saturating_add(1)
    }

    fn union(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

/// One to [`MAX_RANGES`] ranges that do not touch each other, in the order in which they were
/// asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ranges {
    ranges: [ByteRange; MAX_RANGES],
    count: usize,
}

impl Ranges {
    /// The ranges, in order.
    pub fn as_slice(&self) -> &[ByteRange] {
        // `add` counts no further than there is room.
        &self.ranges[..self.count]
    }

    /// Adds a range, joined with those that it touches, in the place of the first of them. One that
    /// touches none is left out if there are [`MAX_RANGES`].
    fn add(&mut self, mut range: ByteRange) {
        let mut place = self.count;
        while let Some(at) = self.as_slice().iter().position(|other| other.touches(range)) {
            range = range.union(self.ranges[at]);
            place = place.min(at);
            self.ranges.copy_within(at + 1..self.count, at);
            self.count -= 1;
        }
        if self.count < MAX_RANGES {
            self.ranges.copy_within(place..self.count, place + 1);
            self.ranges[place] = range;
            self.count += 1;
        }
    }
}

/// What a `Range` field asks for.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::large_enum_variant, reason = "lives on the stack for the length of one decision")]
pub enum Selection {
    /// The whole representation: the field is of an unknown unit, malformed, or asks for the end of
    /// an empty representation, which a 206 could not express.
    Whole,
    /// These ranges: 206.
    Part(Ranges),
    /// Nothing that is there: 416.
    Unsatisfiable,
}

/// Reads the value of a `Range` field against a representation of `length` bytes.
pub fn select(value: &[u8], length: u64) -> Selection {
    read(value, length).unwrap_or(Selection::Whole)
}

/// [`select`], with `None` for a field to ignore.
fn read(value: &[u8], length: u64) -> Option<Selection> {
    let (unit, set) = value.trim_ascii().split_at_checked(6)?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let mut ranges = Ranges::default();
    let mut specs = 0;
    for spec in set.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        // A recipient accepts empty list members (RFC 9110 section 5.6.1.2).
        if spec.is_empty() {
            continue;
        }
        specs += 1;
        match Spec::read(spec)?.within(length) {
            Within::Range(range) => ranges.add(range),
            Within::Nothing => {}
            Within::EmptyEnd => return None,
        }
    }
    match (specs, ranges.count) {
        (0, _) => None,
        (_, 0) => Some(Selection::Unsatisfiable),
        _ => Some(Selection::Part(ranges)),
    }
}

/// A `range-spec` of RFC 9110 section 14.1.1, of bytes.
enum Spec {
    /// From an offset to another, or to the end.
    From(u64, u64),
    /// The last so many bytes.
    Suffix(u64),
}

/// What a range asks of a representation of a certain length.
enum Within {
    Range(ByteRange),
    Nothing,
    /// The end of an empty representation: satisfiable by section 14.1.2, but it has no bytes.
    EmptyEnd,
}

impl Spec {
    fn read(spec: &[u8]) -> Option<Self> {
        let hyphen = spec.iter().position(|&byte| byte == b'-')?;
        let (first, last) = (&spec[..hyphen], &spec[hyphen + 1..]);
        if first.is_empty() {
            return Some(Self::Suffix(number(last)?));
        }
        let first = number(first)?;
        let last = if last.is_empty() { u64::MAX } else { number(last)? };
        (first <= last).then_some(Self::From(first, last))
    }

    fn within(&self, length: u64) -> Within {
        let first = match *self {
            Self::Suffix(0) => return Within::Nothing,
            Self::Suffix(_) if length == 0 => return Within::EmptyEnd,
            Self::Suffix(count) => length.saturating_sub(count),
            Self::From(first, _) => first,
        };
        if first >= length {
            return Within::Nothing;
        }
        let end = length - 1;
        let last = match *self {
            Self::From(_, last) => last.min(end),
            Self::Suffix(_) => end,
        };
        Within::Range(ByteRange { first, last })
    }
}

/// A number of one or more digits; one too large for 64 bits is as good as the largest.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    })
}
