//! The field names that mean something to a server, as an enum: whatever is asked of a field later
//! costs no comparison of text.

macro_rules! names {
    ($($name:ident = $text:literal;)*) => {
        /// A field name that matters, or none of these.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum FieldName {
            /// Any other name.
            Other,
            $(#[doc = concat!("`", $text, "`")] $name,)*
        }

        impl FieldName {
            pub(super) const ALL: &'static [(Self, &'static str)] = &[$((Self::$name, $text),)*];
        }
    };
}

names! {
    Authority = ":authority";
    Method = ":method";
    Path = ":path";
    Protocol = ":protocol";
    Scheme = ":scheme";
    Status = ":status";
    AcceptEncoding = "accept-encoding";
    Connection = "connection";
    ContentLength = "content-length";
    Cookie = "cookie";
    Expect = "expect";
    Host = "host";
    IfMatch = "if-match";
    IfModifiedSince = "if-modified-since";
    IfNoneMatch = "if-none-match";
    IfRange = "if-range";
    IfUnmodifiedSince = "if-unmodified-since";
    KeepAlive = "keep-alive";
    Priority = "priority";
    ProxyConnection = "proxy-connection";
    Range = "range";
    Referer = "referer";
    Te = "te";
    Traceparent = "traceparent";
    TransferEncoding = "transfer-encoding";
    Upgrade = "upgrade";
    UserAgent = "user-agent";
    XRequestId = "x-request-id";
}

impl FieldName {
    /// The longest name that matters.
    const LONGEST: usize = 19;

    /// For each length, where its names begin in [`Self::BY_LENGTH`].
    const BEGIN: [u8; Self::LONGEST + 2] = {
        let mut begin = [0; Self::LONGEST + 2];
        let mut length = 0;
        let mut placed = 0;
        while length <= Self::LONGEST {
            begin[length] = placed;
            let mut at = 0;
            while at < Self::ALL.len() {
                placed += (Self::ALL[at].1.len() == length) as u8;
                at += 1;
            }
            length += 1;
        }
        begin[length] = placed;
        assert!(placed as usize == Self::ALL.len(), "LONGEST is too small");
        begin
    };

    /// The names in the order of their lengths.
    const BY_LENGTH: [(Self, &'static str); Self::ALL.len()] = {
        let mut sorted = [Self::ALL[0]; Self::ALL.len()];
        let mut length = 0;
        let mut placed = 0;
        while length <= Self::LONGEST {
            let mut at = 0;
            while at < Self::ALL.len() {
                if Self::ALL[at].1.len() == length {
                    sorted[placed] = Self::ALL[at];
                    placed += 1;
                }
                at += 1;
            }
            length += 1;
        }
        sorted
    };

    /// The name that a text is, which must be in lower case as RFC 9113 section 8.2.1 demands.
    pub fn of(text: &[u8]) -> Self {
        static BEGIN: [u8; FieldName::LONGEST + 2] = FieldName::BEGIN;
        static BY_LENGTH: [(FieldName, &str); FieldName::ALL.len()] = FieldName::BY_LENGTH;
        let places = (BEGIN.get(text.len()), BEGIN.get(text.len() + 1));
        // Longer than all names that matter.
        let (Some(&begin), Some(&end)) = places else { return Self::Other };
        let mut names = BY_LENGTH.iter().take(end.into()).skip(begin.into());
        let found = names.find(|(_, name)| name.as_bytes() == text);
        found.map_or(Self::Other, |(token, _)| *token)
    }

    /// The name as text; empty for [`Self::Other`].
    pub fn text(self) -> &'static str {
        let at = usize::from(self.number()).checked_sub(1);
        at.and_then(|at| Self::ALL.get(at)).map_or("", |(_, text)| *text)
    }

    /// The name with this number, as [`Self::number`] gave it.
    pub(super) fn from_number(number: u8) -> Self {
        let at = usize::from(number).checked_sub(1);
        at.and_then(|at| Self::ALL.get(at)).map_or(Self::Other, |(token, _)| *token)
    }

    /// A number for the name, to be kept in one byte.
    pub(super) const fn number(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_by_its_text_and_number() {
        for (token, text) in FieldName::ALL {
            assert_eq!(FieldName::of(text.as_bytes()), *token);
            assert_eq!(FieldName::from_number(token.number()), *token);
            assert_eq!(token.text(), *text);
            assert_eq!(FieldName::of(&text.as_bytes()[1..]), FieldName::Other);
            assert_eq!(FieldName::of(&[text.as_bytes(), b"s"].concat()), FieldName::Other);
        }
        assert_eq!(FieldName::of(b""), FieldName::Other);
        assert_eq!(FieldName::of(b"Host"), FieldName::Other);
        assert_eq!(FieldName::of(&[b'a'; 300]), FieldName::Other);
        assert_eq!(FieldName::from_number(FieldName::Other.number()), FieldName::Other);
        assert_eq!(FieldName::from_number(255), FieldName::Other);
    }
}
