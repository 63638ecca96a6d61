//! Percent-encoding of paths and queries (RFC 3986 section 2.1): what comes out is visible ASCII
//! that no reader of a URI reference, an HTML attribute or a field value takes for a delimiter.

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Encodes path bytes, keeping `/` as the delimiter that it is. Kept as they are: the characters
/// of `pchar` (RFC 3986 section 3.3) save `&` and `'`, which mean something in HTML.
pub(crate) fn path(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    encode(bytes, |byte| byte.is_ascii_alphanumeric() || b"-._~!$()*+,;=:@/".contains(&byte))
}

/// Encodes only what could not stand in a query (RFC 3986 section 3.4) or in a field value:
/// controls, space, `#` and what is not ASCII. `%` stays: the query is already encoded.
pub(crate) fn query(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    encode(bytes, |byte| byte.is_ascii_graphic() && byte != b'#')
}

fn encode(bytes: &[u8], keep: fn(u8) -> bool) -> impl Iterator<Item = u8> + '_ {
    bytes.iter().flat_map(move |&byte| {
        let high = HEX[usize::from(byte >> 4)];
        let low = HEX[usize::from(byte & 15)];
        let (text, len) = if keep(byte) { ([byte, 0, 0], 1) } else { ([b'%', high, low], 3) };
        text.into_iter().take(len)
    })
}

/// The byte that two hexadecimal digits stand for.
pub(crate) fn decode_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Decodes once. None if a `%` has no two hexadecimal digits behind it.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'%' => decode_pair(rest.next()?, rest.next()?)?,
            byte => byte,
        });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::{decode, decode_pair, path, query};

    fn text(bytes: impl Iterator<Item = u8>) -> String {
        String::from_utf8(bytes.collect()).unwrap()
    }

    #[test]
    fn path_bytes_are_encoded() {
        assert_eq!(text(path(b"a b/c?d#e%f")), "a%20b/c%3Fd%23e%25f");
        assert_eq!(text(path("\u{e9}".as_bytes())), "%C3%A9");
        assert_eq!(text(path(b"<\"&'>")), "%3C%22%26%27%3E");
    }

    #[test]
    fn a_query_keeps_its_own_encoding() {
        assert_eq!(text(query(b"a=%20b&c=d?e")), "a=%20b&c=d?e");
        assert_eq!(text(query(b"a\r\nX: y#z")), "a%0D%0AX:%20y%23z");
    }

    #[test]
    fn decoding_is_the_way_back() {
        let all: Vec<u8> = (0..=255).collect();
        let encoded: Vec<u8> = path(&all).collect();
        assert_eq!(decode(&encoded), Some(all));
        assert_eq!(decode(b"a%2525+b"), Some(b"a%25+b".to_vec()));
        for broken in [&b"%"[..], b"a%2", b"%g0"] {
            assert_eq!(decode(broken), None);
        }
    }

    #[test]
    fn pairs_of_digits() {
        assert_eq!(decode_pair(b'2', b'f'), Some(b'/'));
        assert_eq!(decode_pair(b'F', b'F'), Some(0xff));
        assert_eq!(decode_pair(b'+', b'1'), None);
        assert_eq!(decode_pair(b'1', b'g'), None);
    }
}
