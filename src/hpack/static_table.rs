//! The static table (RFC 7541 appendix A).

use super::FieldName;

/// Entries of the static table. Indices begin at 1.
pub(super) const LENGTH: usize = 61;

/// Names and values, in the order of their indices.
const ENTRIES: [(&str, &str); LENGTH] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// An entry, its name known.
pub(super) struct Entry {
    pub(super) token: FieldName,
    pub(super) name: &'static str,
    pub(super) value: &'static str,
}

/// The entry at an index.
#[inline]
pub(super) fn get(index: usize) -> Option<Entry> {
    let at = index.checked_sub(1)?;
    let (name, value) = *ENTRIES.get(at)?;
    Some(Entry { token: FieldName::from_number(*TOKENS.get(at)?), name, value })
}

/// The name of each entry, as its number.
static TOKENS: [u8; LENGTH] = {
    let mut tokens = [0; LENGTH];
    let mut at = 0;
    while at < LENGTH {
        tokens[at] = token(ENTRIES[at].0.as_bytes()).number();
        at += 1;
    }
    tokens
};

/// [`FieldName::of`] at compile time.
const fn token(name: &[u8]) -> FieldName {
    let mut at = 0;
    while at < FieldName::ALL.len() {
        let text = FieldName::ALL[at].1.as_bytes();
        if text.len() == name.len() {
            let mut same = 0;
            while same < name.len() && text[same] == name[same] {
                same += 1;
            }
            if same == name.len() {
                return FieldName::ALL[at].0;
            }
        }
        at += 1;
    }
    FieldName::Other
}

/// The first index of a name in any case, among those that responses have.
pub(super) fn index_of(name: &[u8]) -> Option<u8> {
    let candidates: &[(&str, u8)] = match name.len() {
        3 => &[("age", 21), ("via", 60)],
        4 => &[("date", 33), ("etag", 34), ("link", 45), ("vary", 59)],
        5 => &[("allow", 22)],
        6 => &[("server", 54)],
        7 => &[("expires", 36), ("refresh", 52)],
        8 => &[("location", 46)],
        10 => &[("set-cookie", 55)],
        11 => &[("retry-after", 53)],
        12 => &[("content-type", 31)],
        13 => &[
            ("accept-ranges", 18),
            ("cache-control", 24),
            ("content-range", 30),
            ("last-modified", 44),
        ],
        14 => &[("content-length", 28)],
        16 => &[
            ("content-encoding", 26),
            ("content-language", 27),
            ("content-location", 29),
            ("www-authenticate", 61),
        ],
        19 => &[("content-disposition", 25)],
        25 => &[("strict-transport-security", 56)],
        27 => &[("access-control-allow-origin", 20)],
        _ => &[],
    };
    let found = candidates.iter().find(|(text, _)| is(name, text.as_bytes()));
    found.map(|(_, index)| *index)
}

/// Whether a name, a token in any case, is one in lower case of the same length. Eight bytes are compared at
/// a time: `eq_ignore_ascii_case` compares each by itself, and took ten instructions for it.
#[inline]
fn is(name: &[u8], lower: &[u8]) -> bool {
    /// What makes a capital letter small. No other byte of a token (RFC 9110 section 5.6.2) becomes a letter
    /// or a hyphen by it.
    const SMALL: u64 = 0x2020_2020_2020_2020;
    let same =
        |(a, b): (&[u8; 8], &[u8; 8])| u64::from_le_bytes(*a) | SMALL == u64::from_le_bytes(*b);
    let ((words, rest), (lower_words, lower_rest)) = (name.as_chunks(), lower.as_chunks());
    words.iter().zip(lower_words).all(same)
        && rest.iter().zip(lower_rest).all(|(a, b)| *a | SMALL as u8 == *b)
}

/// The index of a whole `:status` field, of those that the table has.
pub(super) fn index_of_status(code: u16) -> Option<u8> {
    Some(match code {
        200 => 8,
        204 => 9,
        206 => 10,
        304 => 11,
        400 => 12,
        404 => 13,
        500 => 14,
        _ => return None,
    })
}

/// The index of the name `:status`.
pub(super) const STATUS: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_lead_to_their_names() {
        assert!(get(0).is_none() && get(62).is_none());
        let mut named = 0;
        for index in 1..=LENGTH {
            let entry = get(index).unwrap();
            assert_eq!(entry.token, FieldName::of(entry.name.as_bytes()));
            let upper = entry.name.to_ascii_uppercase();
            if let Some(found) = index_of(upper.as_bytes()) {
                assert_eq!(usize::from(found), index);
                named += 1;
            }
        }
        assert_eq!(named, 26);
        let mut whole = Vec::new();
        for code in 100..600 {
            if let Some(index) = index_of_status(code) {
                let entry = get(index.into()).unwrap();
                assert_eq!((entry.name, entry.value), (":status", code.to_string().as_str()));
                whole.push(code);
            }
        }
        assert_eq!(whole, [200, 204, 206, 304, 400, 404, 500], "all that the table has");
    }

    /// Of the bytes that tokens are made of (RFC 9110 section 5.6.2), none but its own two cases stands for
    /// a letter.
    #[test]
    fn a_name_that_differs_in_a_byte_is_another() {
        let token: Vec<u8> =
            (b'!'..=b'~').filter(|byte| !b"\"(),/:;<=>?@[\\]{}".contains(byte)).collect();
        for index in 1..=LENGTH {
            let entry = get(index).unwrap();
            if index_of(entry.name.as_bytes()).is_none() {
                continue;
            }
            for at in 0..entry.name.len() {
                for &byte in &token {
                    let mut name = entry.name.as_bytes().to_vec();
                    let same = byte.eq_ignore_ascii_case(&name[at]);
                    name[at] = byte;
                    let found = index_of(&name).map(|found| get(found.into()).unwrap().name);
                    let expected = (same
                        || found.is_some_and(|found| name.eq_ignore_ascii_case(found.as_bytes())))
                    .then(|| str::from_utf8(&name).unwrap().to_ascii_lowercase());
                    assert_eq!(found, expected.as_deref(), "{name:?}");
                }
            }
        }
    }
}
