//! WebSockets of HTTP/2 clients on servers of HTTP/1.1 (RFC 8441 section 5): what such a client leaves
//! out of its request is added, and what the server answers is checked and taken out.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64ct::{Base64, Encoding as _};

use super::line;

/// What a server appends to a key before it hashes both (RFC 6455 section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// `Sec-WebSocket-Key` for a handshake with these random bytes.
pub(crate) fn key(random: [u8; 16]) -> String {
    Base64::encode_string(&random)
}

/// `Sec-WebSocket-Accept` of a server that has read this key and speaks WebSocket.
fn accept(key: &str) -> String {
    // Part of the protocol, and no secret depends on it.
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), GUID].concat());
    Base64::encode_string(hash.as_ref())
}

/// Appends the field that an extended CONNECT has no need of, to the head of a request.
pub(crate) fn ask(out: &mut Vec<u8>, key: &str) {
    line(out, "Sec-WebSocket-Key", key.as_bytes());
}

/// The lines of a server's 101 as the client gets them, without what HTTP/2 does not have. None if the
/// server has not accepted this key: then it does not speak WebSocket.
pub(crate) fn accepted(lines: &[u8], key: &str) -> Option<Vec<u8>> {
    const ACCEPT: &[u8] = b"sec-websocket-accept:";
    let begins = |line: &[u8], name: &[u8]| {
        line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
    };
    let expected = accept(key);
    let (mut rest, mut accepted) = (Vec::with_capacity(lines.len()), false);
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        if begins(line, ACCEPT) {
            accepted = line.get(ACCEPT.len()..)?.trim_ascii() == expected.as_bytes();
        } else if !begins(line, b"upgrade:") {
            rest.extend_from_slice(line);
        }
    }
    accepted.then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_speaks_websocket_is_known_by_its_hash() {
        // The example of RFC 6455 section 1.3.
        let key = key(*b"the sample nonce");
        assert_eq!(key, "dGhlIHNhbXBsZSBub25jZQ==");
        let lines = b"Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
                      Sec-WebSocket-Protocol: chat\r\n";
        assert_eq!(accepted(lines, &key).unwrap(), b"Sec-WebSocket-Protocol: chat\r\n");
        assert_eq!(accepted(lines, "x"), None);
        assert_eq!(accepted(b"Upgrade: websocket\r\n", &key), None);
        let mut asked = Vec::new();
        ask(&mut asked, &key);
        assert_eq!(asked, b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    }
}
