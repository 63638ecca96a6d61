//! How the folder is presented. A [`FieldLine`] can only be made from a valid one, so that no
//! option can split a response or contradict its framing.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::Compression;

/// How the served folder is presented.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SiteOptions {
    /// The file inside the root that answers every path that names no file, with 200, as
    /// single-page applications want it. Default: none.
    pub spa: Option<PathBuf>,
    /// Whether a folder without an index file is answered with a listing. Default: no.
    pub listing: bool,
    /// Whether symbolic links are followed, those that stay in the root and lead to nothing hidden.
    /// Default: yes.
    pub follow_links: bool,
    /// Field lines that every response gets, at most 32 of them and 4 KiB together. Default: none.
    pub headers: Vec<FieldLine>,
    /// The name of the file that answers for its folder. Default: `index.html`.
    pub index: String,
    /// Content codings that files are compressed with. Default: none.
    pub compress: Compression,
}

impl Default for SiteOptions {
    fn default() -> Self {
        Self {
            spa: None,
            listing: false,
            follow_links: true,
            headers: Vec::new(),
            index: "index.html".to_owned(),
            compress: Compression::NONE,
        }
    }
}

/// One response field line: a token as its name, a value without control characters, and neither
/// framing nor a field that Ringway sets itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldLine {
    name: String,
    value: String,
}

/// The longest field name or value, in bytes.
const MAX_FIELD_BYTES: usize = 2_048;

/// Fields that carry the message's framing or the connection's fate (RFC 9110 section 7.6.1,
/// RFC 9112 sections 6 and 9).
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Fields with a single value that Ringway sets itself, from the file, the request or the clock: a
/// second line would contradict the first.
const DERIVED: [&str; 11] = [
    "accept-ranges",
    "allow",
    "content-encoding",
    "content-range",
    "content-type",
    "date",
    "etag",
    "last-modified",
    "location",
    "retry-after",
    "server",
];

impl FieldLine {
    /// Makes a field line of a name and a value; white space around the value is dropped
    /// (RFC 9112 section 5.1).
    pub fn new(name: &str, value: &str) -> Result<Self, FieldLineError> {
        let value = value.trim_matches([' ', '\t']);
        if name.is_empty() || !name.bytes().all(is_token_byte) {
            return Err(FieldLineError::Name);
        }
        if value.bytes().any(|byte| byte != b'\t' && byte.is_ascii_control()) {
            return Err(FieldLineError::Value);
        }
        if name.len() > MAX_FIELD_BYTES || value.len() > MAX_FIELD_BYTES {
            return Err(FieldLineError::TooLong);
        }
        let lower = name.to_ascii_lowercase();
        if FRAMING.contains(&lower.as_str()) {
            return Err(FieldLineError::Framing);
        }
        if DERIVED.contains(&lower.as_str()) {
            return Err(FieldLineError::Derived);
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }

    /// The field's name, as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The field's value, without white space around it.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The bytes that it takes in a head: `name: value` and the line's end.
    pub fn wire_bytes(&self) -> usize {
        self.name.len() + self.value.len() + 4
    }
}

impl FromStr for FieldLine {
    type Err = FieldLineError;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let (name, value) = line.split_once(':').ok_or(FieldLineError::Colon)?;
        Self::new(name, value)
    }
}

/// Why a field line was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldLineError {
    /// There is no colon.
    Colon,
    /// The name is not a token (RFC 9110 section 5.6.2).
    Name,
    /// The value holds a control character, such as a line's end.
    Value,
    /// The name or the value is longer than 2,048 bytes.
    TooLong,
    /// The field would change the message's framing or the connection's fate.
    Framing,
    /// Ringway sets this field itself.
    Derived,
}

impl fmt::Display for FieldLineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Colon => "there is no colon; write it as 'Name: value'",
            Self::Name => {
                "the name must be one or more letters, digits or any of !#$%&'*+-.^_`|~, with no \
                 space before the colon"
            }
            Self::Value => "the value holds a control character; leave out line ends and NUL",
            Self::TooLong => "the name or the value is longer than 2048 bytes; shorten it",
            Self::Framing => {
                "this field frames the message, and Ringway alone sets it; leave it out"
            }
            Self::Derived => "Ringway sets this field itself, once for each response; leave it out",
        })
    }
}

impl std::error::Error for FieldLineError {}

/// `tchar` of RFC 9110 section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::{FieldLine, FieldLineError};
    use proptest::prelude::*;

    #[test]
    fn a_field_line_is_taken_apart() {
        let line: FieldLine = "Cache-Control:  max-age=60, public\t".parse().unwrap();
        assert_eq!((line.name(), line.value()), ("Cache-Control", "max-age=60, public"));
        assert_eq!(line.wire_bytes(), "Cache-Control: max-age=60, public\r\n".len());
        assert_eq!("X-Empty:".parse::<FieldLine>().unwrap().value(), "");
    }

    #[test]
    fn what_could_split_or_contradict_a_response_is_refused() {
        for (line, error) in [
            ("no colon", FieldLineError::Colon),
            (": value", FieldLineError::Name),
            ("Bad Name: value", FieldLineError::Name),
            ("Name : value", FieldLineError::Name),
            ("N\u{e4}me: value", FieldLineError::Name),
            ("X: a\r\nSet-Cookie: b", FieldLineError::Value),
            ("X: a\nb", FieldLineError::Value),
            ("X: a\0b", FieldLineError::Value),
            ("Content-Length: 5", FieldLineError::Framing),
            ("transfer-ENCODING: chunked", FieldLineError::Framing),
            ("Connection: close", FieldLineError::Framing),
            ("ETag: \"x\"", FieldLineError::Derived),
            ("SERVER: x", FieldLineError::Derived),
        ] {
            assert_eq!(line.parse::<FieldLine>(), Err(error), "{line:?}");
        }
        assert_eq!(FieldLine::new("X", &"a".repeat(2_049)), Err(FieldLineError::TooLong));
    }

    proptest! {
        #[test]
        fn an_accepted_line_stays_one_line(name in ".{0,12}", value in ".{0,24}") {
            if let Ok(line) = FieldLine::new(&name, &value) {
                let wire = format!("{}: {}", line.name(), line.value());
                prop_assert!(!wire.bytes().any(|b| b == b'\r' || b == b'\n' || b == 0));
                prop_assert_eq!(wire.parse::<FieldLine>(), Ok(line));
            }
        }
    }
}
