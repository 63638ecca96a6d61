//! What a client says of the trace that its request is a part of: the field `traceparent` (W3C
//! Trace Context, section 3.2), and `X-Request-Id`, which has no standard. Pure.

use std::fmt;

/// A `traceparent` of version 00, or of a later one as far as that is compatible with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trace {
    id: [u8; Self::ID],
    parent: [u8; Self::PARENT],
    /// Whether the caller may have recorded its part.
    pub(super) sampled: bool,
}

impl Trace {
    const ID: usize = 16;
    const PARENT: usize = 8;

    /// Takes a value apart. None for one that the specification wants ignored.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let (version, rest) = value.split_first_chunk::<2>()?;
        let (id, rest) = rest.strip_prefix(b"-")?.split_first_chunk::<{ 2 * Self::ID }>()?;
        let (parent, rest) =
            rest.strip_prefix(b"-")?.split_first_chunk::<{ 2 * Self::PARENT }>()?;
        let (flags, rest) = rest.strip_prefix(b"-")?.split_first_chunk::<2>()?;
        let is_hex = |text: &[u8]| text.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let whole =
            if version == b"00" { rest.is_empty() } else { rest.is_empty() || rest[0] == b'-' };
        let valid = [&version[..], id, parent, flags].into_iter().all(is_hex) && version != b"ff";
        let (id, parent) = (bytes_of(id)?, bytes_of(parent)?);
        let not_zero = id != [0; Self::ID] && parent != [0; Self::PARENT];
        let sampled = digit(flags[1])? & 1 == 1;
        (whole && valid && not_zero).then_some(Self { id, parent, sampled })
    }

    /// Of a head in the form of HTTP/1: its only `traceparent`. Two are ignored, as the
    /// specification has it.
    pub(super) fn of_head(head: &[u8]) -> Option<Self> {
        const NAME: &[u8] = b"traceparent";
        let lines = head.split(|byte| *byte == b'\n').skip(1);
        let mut values = lines.filter_map(|line| {
            let (name, value) = line.split_at_checked(NAME.len())?;
            name.eq_ignore_ascii_case(NAME).then(|| value.strip_prefix(b":"))?
        });
        let value = values.next()?;
        if values.next().is_some() { None } else { Self::parse(value.trim_ascii()) }
    }

    /// The trace's id, in hexadecimal digits.
    pub(super) fn id(&self) -> impl fmt::Display {
        Hex(self.id)
    }

    /// The same as bytes.
    pub(super) fn id_bytes(&self) -> [u8; Self::ID] {
        self.id
    }

    /// The id of the caller's part as bytes.
    pub(super) fn parent_bytes(&self) -> [u8; Self::PARENT] {
        self.parent
    }

    /// The id of the caller's part, in hexadecimal digits.
    pub(super) fn parent(&self) -> impl fmt::Display {
        Hex(self.parent)
    }
}

fn digit(text: u8) -> Option<u8> {
    char::from(text).to_digit(16).map(|digit| digit as u8)
}

/// What hexadecimal digits stand for, two for each byte. None for another number of them, and for
/// what is no digit.
fn bytes_of<const COUNT: usize>(digits: &[u8]) -> Option<[u8; COUNT]> {
    let (pairs, rest) = digits.as_chunks::<2>();
    let mut bytes = [0; COUNT];
    if !rest.is_empty() || pairs.len() != COUNT {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

/// Bytes, shown as hexadecimal digits in lower case.
struct Hex<const COUNT: usize>([u8; COUNT]);

impl<const COUNT: usize> fmt::Display for Hex<COUNT> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "b7ad6b7169203331";

    #[test]
    fn the_specifications_example_is_taken_apart() {
        for (value, sampled) in
            [("00-ID-PARENT-01", true), ("00-ID-PARENT-00", false), ("cc-ID-PARENT-03-more", true)]
        {
            let value = value.replace("ID", ID).replace("PARENT", PARENT);
            let trace = Trace::parse(value.as_bytes()).unwrap();
            assert_eq!(
                (trace.id().to_string(), trace.parent().to_string()),
                (ID.into(), PARENT.into())
            );
            assert_eq!(trace.sampled, sampled);
            assert_eq!(trace.parent_bytes(), [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]);
            assert_eq!(trace.id_bytes()[14..], [0x31, 0x9c]);
        }
    }

    #[test]
    fn what_is_invalid_is_ignored() {
        for value in [
            "",
            "00",
            "00-ID-PARENT",
            "00-ID-PARENT-01-more",
            "ff-ID-PARENT-01",
            "00-ID-PARENT-0g",
            "cc-ID-PARENT-01more",
            "00-00000000000000000000000000000000-PARENT-01",
            "00-ID-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-PARENT-01",
            "00_ID_PARENT_01",
        ] {
            let value = value.replace("ID", ID).replace("PARENT", PARENT);
            assert_eq!(Trace::parse(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn it_is_found_in_a_head() {
        let one = format!("TraceParent:\t00-{ID}-{PARENT}-01 \r\n");
        let head = |lines: &str| format!("GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
        let id = |lines: &str| {
            Trace::of_head(head(lines).as_bytes()).map(|trace| trace.id().to_string())
        };
        assert_eq!(id(&one).as_deref(), Some(ID));
        assert_eq!(id(&format!("{one}{one}")), None, "two of them");
        assert_eq!(id(&one.replace("TraceParent", "traceparents")), None);
        assert_eq!(id("A: traceparent: x\r\n"), None);
        assert_eq!(Trace::of_head(one.as_bytes()), None, "no request line");
    }
}
