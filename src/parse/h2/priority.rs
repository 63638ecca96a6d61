//! The `priority` field (RFC 9218 section 4), a dictionary of structured fields (RFC 9651).

/// How urgent a response is, and whether a part of it is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// 0 (most urgent) to 7.
    pub urgency: u8,
    /// It shares the connection with others of its urgency.
    pub incremental: bool,
}

impl Default for Priority {
    fn default() -> Self {
        Self { urgency: 3, incremental: false }
    }
}

impl Priority {
    /// Reads a field value. One that is no dictionary means the defaults, as do parameters of
    /// another type or beyond their range; unknown ones are ignored (RFC 9218 section 4).
    pub fn parse(value: &[u8]) -> Self {
        let mut priority = Self::default();
        match dictionary(value, &mut priority) {
            Some(()) => priority,
            None => Self::default(),
        }
    }
}

/// What a member of the dictionary is worth here.
enum Item {
    Integer(i64),
    Boolean(bool),
    Other,
}

/// RFC 9651 section 4.2.2. None if the value is no dictionary.
fn dictionary(value: &[u8], priority: &mut Priority) -> Option<()> {
    let mut rest = trim_spaces(value);
    while !rest.is_empty() {
        let name;
        (name, rest) = key(rest)?;
        let item = if let Some(tail) = rest.strip_prefix(b"=") {
            let item;
            (item, rest) = if let Some(inner) = tail.strip_prefix(b"(") {
                (Item::Other, inner_list(inner)?)
            } else {
                bare_item(tail)?
            };
            item
        } else {
            Item::Boolean(true)
        };
        rest = parameters(rest)?;
        match (name, item) {
            (b"u", Item::Integer(urgency @ 0..=7)) => priority.urgency = urgency as u8,
            (b"u", _) => priority.urgency = Priority::default().urgency,
            (b"i", Item::Boolean(incremental)) => priority.incremental = incremental,
            (b"i", _) => priority.incremental = false,
            // Unknown parameters are ignored (RFC 9218, section 4).
            _ => {}
        }
        rest = trim_blanks(rest);
        if rest.is_empty() {
            return Some(());
        }
        rest = trim_blanks(rest.strip_prefix(b",")?);
        if rest.is_empty() {
            return None;
        }
    }
    Some(())
}

fn key(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let begins = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'*';
    let goes_on = |byte: &u8| begins(byte) || byte.is_ascii_digit() || b"_-.".contains(byte);
    text.first().filter(|byte| begins(byte))?;
    let end = text.iter().position(|byte| !goes_on(byte)).unwrap_or(text.len());
    text.split_at_checked(end)
}

/// RFC 9651 section 4.2.3.2.
fn parameters(mut rest: &[u8]) -> Option<&[u8]> {
    while let Some(tail) = rest.strip_prefix(b";") {
        (_, rest) = key(trim_spaces(tail))?;
        if let Some(tail) = rest.strip_prefix(b"=") {
            (_, rest) = bare_item(tail)?;
        }
    }
    Some(rest)
}

/// RFC 9651 section 4.2.1.2, from behind the parenthesis.
fn inner_list(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        rest = trim_spaces(rest);
        if let Some(tail) = rest.strip_prefix(b")") {
            return Some(tail);
        }
        (_, rest) = bare_item(rest)?;
        rest = parameters(rest)?;
        rest.first().filter(|byte| matches!(byte, b' ' | b')'))?;
    }
}

/// RFC 9651 section 4.2.3.1.
fn bare_item(text: &[u8]) -> Option<(Item, &[u8])> {
    let (&first, tail) = text.split_first()?;
    match first {
        b'-' | b'0'..=b'9' => number(text),
        b'"' => string(tail).map(|rest| (Item::Other, rest)),
        b'?' => match tail.split_first()? {
            (b'0', rest) => Some((Item::Boolean(false), rest)),
            (b'1', rest) => Some((Item::Boolean(true), rest)),
            _ => None,
        },
        b':' => {
            let end = memchr::memchr(b':', tail)?;
            let (octets, rest) = tail.split_at_checked(end)?;
            let valid = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
            octets.iter().all(valid).then_some((Item::Other, rest.get(1..)?))
        }
        b'@' => number(tail).map(|(_, rest)| (Item::Other, rest)),
        b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
            let goes_on = |byte: &u8| crate::parse::is_token_byte(*byte) || b":/".contains(byte);
            let end = text.iter().position(|byte| !goes_on(byte)).unwrap_or(text.len());
            Some((Item::Other, text.get(end..)?))
        }
        _ => None,
    }
}

/// An integer of up to 15 digits, or a decimal of up to 12 and 3.
fn number(text: &[u8]) -> Option<(Item, &[u8])> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(tail) => (true, tail),
        None => (false, text),
    };
    let (whole, rest) = digits(text, 15)?;
    if let Some(tail) = rest.strip_prefix(b".") {
        let (_, rest) = digits(tail, 3)?;
        return (text.len() - rest.len() <= 16).then_some((Item::Other, rest));
    }
    Some((Item::Integer(if negative { -whole } else { whole }), rest))
}

/// One digit to `most`.
fn digits(text: &[u8], most: usize) -> Option<(i64, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    let number = digits.iter().take(most).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    (1..=most).contains(&digits.len()).then_some((number, rest))
}

/// A string, from behind its first quote.
fn string(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        rest = match rest {
            [b'"', tail @ ..] => return Some(tail),
            [b'\\', b'"' | b'\\', tail @ ..] => tail,
            [b'\\', ..] => return None,
            [b' '..=b'~', tail @ ..] => tail,
            _ => return None,
        };
    }
}

fn trim_spaces(mut text: &[u8]) -> &[u8] {
    while let Some(tail) = text.strip_prefix(b" ") {
        text = tail;
    }
    text
}

fn trim_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', tail @ ..] = text {
        text = tail;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::Priority;

    /// RFC 9651 section 4.2: members that mean nothing here must still be well-formed.
    #[test]
    fn other_members_are_read_to_their_ends() {
        for member in [
            "x=123456789012345",
            "x=-123456789012345",
            "x=123456789012.125",
            "x=-123456789012.125",
            "x=1.1",
            "x=()",
            "x=( 1  2 )",
            "x=(\"a\";b=2 c)",
            "x=:YW+/Jj==:",
            "x=::",
            "x=A:b/c",
            "x=*",
            "x=\" ~\"",
            "x_.-*=1",
            "x;a=1; b;c=?0",
            "x=@-1",
        ] {
            for value in [format!("u=2, {member}, i"), format!("{member},u=2\t ,\t i")] {
                let parsed = Priority::parse(value.as_bytes());
                assert_eq!(parsed, Priority { urgency: 2, incremental: true }, "{value:?}");
            }
        }
        for member in [
            "x=1234567890123456",
            "x=1234567890123.125",
            "x=1.1234",
            "x=1.",
            "x=-",
            "x=.5",
            "x=(1,2)",
            "x=(1\"a\")",
            "x=(1",
            "x=:YW-Jj:",
            "x=:YWJj",
            "x=\"\u{7f}\"",
            "x=\"\t\"",
            "x=@",
            "x=@a",
            "x=?",
            "x=",
            "x;",
            "x;A",
            "x;a=",
            "1x",
            "x i",
        ] {
            for value in [format!("u=2, {member}"), format!("{member}, u=2, i")] {
                assert_eq!(Priority::parse(value.as_bytes()), Priority::default(), "{value:?}");
            }
        }
        let urgency = |value: &str| Priority::parse(value.as_bytes()).urgency;
        assert_eq!(["u=01", "u=12", "u=10", "u=007"].map(urgency), [1, 3, 3, 7]);
    }

    #[test]
    fn dictionaries_are_read_and_the_rest_means_the_defaults() {
        let cases: [(&str, u8, bool); 30] = [
            ("", 3, false),
            ("u=0", 0, false),
            ("u=7, i", 7, true),
            ("i", 3, true),
            ("i=?1", 3, true),
            ("i=?0", 3, false),
            (" u=5,i ", 5, true),
            ("i,u=1", 1, true),
            ("u=1,u=2", 2, false),
            ("u=8", 3, false),
            ("u=-1", 3, false),
            ("u=2.0", 3, false),
            ("u=1,u=9", 3, false),
            ("i=1", 3, false),
            ("u", 3, false),
            ("u=2;x=\"a\\\"b\";y, i;z=:YWJj:", 2, true),
            ("u=2, other=(1 tok \"s\";p=2), i", 2, true),
            ("*k-1=@12, u=4", 4, false),
            ("u=5, a=tok/en:x", 5, false),
            // No dictionaries.
            ("u=2,", 3, false),
            ("u=2 i", 3, false),
            (",u=2", 3, false),
            ("U=2", 3, false),
            ("u=", 3, false),
            ("u=2, x=\"a", 3, false),
            ("u=2, x=\"a\\n\"", 3, false),
            ("u=2, x=(1", 3, false),
            ("u=2, x=?2", 3, false),
            ("u=2, x=1234567890123456", 3, false),
            ("\tu=2", 3, false),
        ];
        for (value, urgency, incremental) in cases {
            let parsed = Priority::parse(value.as_bytes());
            assert_eq!(parsed, Priority { urgency, incremental }, "{value:?}");
        }
    }
}
