//! The ClientHello as it lies in the first bytes of a connection (RFC 8446 section 4.1.2): whether
//! it is whole, whether it says that the client fell back to an older version (RFC 7507), and
//! whether it offers HTTP/2 (RFC 7301).
//!
//! Pure. rustls judges everything else about it. What does not look like a ClientHello here is
//! passed on to rustls, which has the right alert for it.

#![forbid(unsafe_code)]

use std::borrow::Cow;

use crate::record::{ContentType, HEADER, RecordHeader};

/// Most bytes that a client may send in a handshake, and with a ClientHello.
pub(super) const MAX_BYTES: usize = 32 << 10;

/// Most records that it may spread them over.
pub(super) const MAX_RECORDS: usize = 64;

/// HandshakeType `client_hello`.
const CLIENT_HELLO: u8 = 1;

/// HandshakeType and length before the body of a message.
const MESSAGE_HEADER: usize = 4;

/// `TLS_FALLBACK_SCSV` (RFC 7507 section 2).
const FALLBACK_SCSV: [u8; 2] = [0x56, 0x00];

/// `supported_versions` (RFC 8446 section 4.2.1).
const SUPPORTED_VERSIONS: [u8; 2] = [0, 43];

/// `server_name` (RFC 6066 section 3).
const SERVER_NAME: [u8; 2] = [0, 0];

/// `application_layer_protocol_negotiation` (RFC 7301 section 3.1).
const ALPN: [u8; 2] = [0, 16];

/// The version that `supported_versions` names for TLS 1.3, the newest that we speak.
const TLS_1_3: [u8; 2] = [3, 4];

/// What the first bytes of a connection hold.
#[derive(Debug, PartialEq, Eq)]
enum First<'b> {
    /// The beginning of a ClientHello.
    Part,
    /// A ClientHello, without its header.
    Whole(Cow<'b, [u8]>),
    /// Something else, or more than a handshake may take.
    Other,
}

/// Whether `bytes`, all that a client has sent, may be the beginning of a ClientHello and are not
/// yet a whole one. Looks at [`Handshake::MAX_RECORDS`](super::Handshake::MAX_RECORDS) record headers at most.
pub(crate) fn is_partial_hello(bytes: &[u8]) -> bool {
    first(bytes) == First::Part
}

/// Whether `bytes` hold a ClientHello of a client that fell back to a version older than ours: it
/// must be refused with `inappropriate_fallback` (RFC 7507 section 3).
pub(super) fn is_inappropriate_fallback(bytes: &[u8]) -> bool {
    match first(bytes) {
        // What cannot be parsed is refused by rustls, with the right alert.
        First::Whole(hello) => falls_back(&hello).unwrap_or(false),
        First::Part | First::Other => false,
    }
}

/// Whether `bytes` hold a ClientHello that offers HTTP/2 by ALPN.
pub(crate) fn offers_http2(bytes: &[u8]) -> bool {
    match first(bytes) {
        // As above.
        First::Whole(hello) => names_http2(&hello).unwrap_or(false),
        First::Part | First::Other => false,
    }
}

/// The name that the ClientHello in `bytes` asks for (RFC 6066 section 3), as it was sent. None if
/// there is none.
pub(crate) fn server_name(bytes: &[u8]) -> Option<Vec<u8>> {
    match first(bytes) {
        First::Whole(hello) => named(&hello).map(<[u8]>::to_vec),
        First::Part | First::Other => None,
    }
}

fn first(bytes: &[u8]) -> First<'_> {
    if bytes.len() > MAX_BYTES {
        return First::Other;
    }
    let mut rest = bytes;
    let mut message: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    for _ in 0..MAX_RECORDS {
        let header = match RecordHeader::parse_initial(rest) {
            Ok(Some(header)) if header.content_type == ContentType::Handshake => header,
            Ok(None) => return First::Part,
            Ok(Some(_)) | Err(_) => return First::Other,
        };
        let Some((record, later)) = rest.split_at_checked(header.record_length()) else {
            return First::Part;
        };
        let fragment = &record[HEADER..];
        if message.is_empty() {
            message = Cow::Borrowed(fragment);
        } else {
            message.to_mut().extend_from_slice(fragment);
        }
        rest = later;
        if message.first().is_some_and(|&kind| kind != CLIENT_HELLO) {
            return First::Other;
        }
        let &[_, high, middle, low, ..] = &*message else { continue };
        let end = MESSAGE_HEADER + u32::from_be_bytes([0, high, middle, low]) as usize;
        if end > MAX_BYTES {
            return First::Other;
        }
        if message.len() >= end {
            return First::Whole(match message {
                Cow::Borrowed(message) => Cow::Borrowed(&message[MESSAGE_HEADER..end]),
                Cow::Owned(message) => Cow::Owned(message[MESSAGE_HEADER..end].to_vec()),
            });
        }
    }
    First::Other
}

/// Whether the suites hold the signal and the versions lack ours. `None` if the ClientHello is
/// malformed.
fn falls_back(hello: &[u8]) -> Option<bool> {
    let (suites, extensions) = lists(hello)?;
    if !suites.chunks_exact(2).any(|suite| suite == FALLBACK_SCSV) {
        return Some(false);
    }
    // Without supported_versions there is no TLS 1.3.
    let Some(content) = extension(extensions, SUPPORTED_VERSIONS)? else { return Some(true) };
    let (versions, _) = list(content, 1)?;
    Some(!versions.chunks_exact(2).any(|version| version == TLS_1_3))
}

/// Whether ALPN names `h2`. `None` if the ClientHello is malformed.
fn names_http2(hello: &[u8]) -> Option<bool> {
    let (_, extensions) = lists(hello)?;
    let Some(content) = extension(extensions, ALPN)? else { return Some(false) };
    let (mut names, _) = list(content, 2)?;
    while !names.is_empty() {
        let (name, rest) = list(names, 1)?;
        if name == b"h2" {
            return Some(true);
        }
        names = rest;
    }
    Some(false)
}

/// The first name of a host. rustls refuses a ClientHello that is malformed or has several.
fn named(hello: &[u8]) -> Option<&[u8]> {
    const HOST_NAME: u8 = 0;
    let (_, extensions) = lists(hello)?;
    let (names, _) = list(extension(extensions, SERVER_NAME)??, 2)?;
    let (&kind, rest) = names.split_first()?;
    if kind != HOST_NAME {
        return None;
    }
    list(rest, 2).map(|(name, _)| name)
}

/// The cipher suites and the extensions, of which there may be none.
fn lists(hello: &[u8]) -> Option<(&[u8], &[u8])> {
    // legacy_version and random, then four lists.
    let (_, rest) = hello.split_at_checked(2 + 32)?;
    let (_session, rest) = list(rest, 1)?;
    let (suites, rest) = list(rest, 2)?;
    let (_compressions, rest) = list(rest, 1)?;
    let extensions = if rest.is_empty() { rest } else { list(rest, 2)?.0 };
    Some((suites, extensions))
}

/// The content of the first extension of this kind, if there is one. The outer `None` stands for
/// a malformed list.
#[expect(clippy::option_option, reason = "malformed and absent are not the same")]
fn extension(mut extensions: &[u8], wanted: [u8; 2]) -> Option<Option<&[u8]>> {
    while !extensions.is_empty() {
        let (kind, rest) = extensions.split_first_chunk::<2>()?;
        let (content, rest) = list(rest, 2)?;
        if *kind == wanted {
            return Some(Some(content));
        }
        extensions = rest;
    }
    Some(None)
}

/// A list behind its length of so many bytes, and what follows it.
fn list(bytes: &[u8], length_bytes: usize) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(length_bytes)?;
    let length = length.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A ClientHello with these suites and, if any, these versions, in records of `size` bytes.
    fn hello(suites: &[[u8; 2]], versions: Option<&[[u8; 2]]>, size: usize) -> Vec<u8> {
        hello_with(suites, versions, None, size)
    }

    /// The same with these names of protocols.
    fn hello_with(
        suites: &[[u8; 2]],
        versions: Option<&[[u8; 2]]>,
        protocols: Option<&[&[u8]]>,
        size: usize,
    ) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.push(0);
        body.extend((suites.len() as u16 * 2).to_be_bytes());
        body.extend(suites.concat());
        body.extend([1, 0]);
        let mut extensions = Vec::new();
        if let Some(versions) = versions {
            let versions = versions.concat();
            extensions.extend([0, 23, 0, 0]);
            extensions.extend(SUPPORTED_VERSIONS);
            extensions.extend((versions.len() as u16 + 1).to_be_bytes());
            extensions.push(versions.len() as u8);
            extensions.extend(versions);
        }
        if let Some(protocols) = protocols {
            let name = |name: &&[u8]| [&[name.len() as u8], *name].concat();
            let names = protocols.iter().flat_map(name).collect::<Vec<u8>>();
            extensions.extend(ALPN);
            extensions.extend((names.len() as u16 + 2).to_be_bytes());
            extensions.extend((names.len() as u16).to_be_bytes());
            extensions.extend(names);
        }
        if !extensions.is_empty() {
            body.extend((extensions.len() as u16).to_be_bytes());
            body.extend(extensions);
        }
        let mut message = vec![CLIENT_HELLO];
        message.extend(&(body.len() as u32).to_be_bytes()[1..]);
        message.extend(body);
        let record = |fragment: &[u8]| {
            let length = (fragment.len() as u16).to_be_bytes();
            [&[22, 3, 1][..], &length, fragment].concat()
        };
        message.chunks(size).flat_map(record).collect()
    }

    const GREASE: [u8; 2] = [0x7a, 0x7a];
    const AES: [u8; 2] = [0xc0, 0x2b];
    const TLS_1_2: [u8; 2] = [3, 3];

    #[test]
    fn the_signal_counts_where_our_newest_version_is_not_offered() {
        let signal = [GREASE, AES, FALLBACK_SCSV];
        for size in [3, 7, 1 << 14] {
            let is_fallback =
                |suites, versions| is_inappropriate_fallback(&hello(suites, versions, size));
            assert!(is_fallback(&signal, None));
            assert!(is_fallback(&signal, Some(&[GREASE, TLS_1_2])));
            assert!(!is_fallback(&signal, Some(&[GREASE, TLS_1_3, TLS_1_2])));
            assert!(!is_fallback(&[AES], None));
        }
    }

    #[test]
    fn http2_is_offered_by_its_name_alone() {
        for size in [3, 7, 1 << 14] {
            let offers = |protocols: Option<&[&[u8]]>| {
                offers_http2(&hello_with(&[AES], Some(&[TLS_1_3]), protocols, size))
            };
            assert!(offers(Some(&[b"h2", b"http/1.1"])));
            assert!(offers(Some(&[b"http/1.1", b"h2"])));
            assert!(!offers(Some(&[b"http/1.1"])));
            assert!(!offers(Some(&[b"h2c", b"h", b"xh2"])));
            assert!(!offers(Some(&[])));
            assert!(!offers(None));
        }
        assert!(!offers_http2(&hello_with(&[AES], None, None, 1 << 14)), "no extensions");
        let whole = hello_with(&[AES], None, Some(&[b"h2"]), 1 << 14);
        assert!(offers_http2(&whole));
        assert!((0..whole.len()).all(|length| !offers_http2(&whole[..length])));
    }

    #[test]
    fn a_hello_is_partial_up_to_its_last_byte() {
        for size in [3, 1 << 14] {
            let hello = hello(&[AES], Some(&[TLS_1_3]), size);
            for length in 0..hello.len() {
                assert!(is_partial_hello(&hello[..length]), "{length} of {}", hello.len());
            }
            assert!(!is_partial_hello(&hello));
            assert!(!is_partial_hello(&[&hello[..], b"more"].concat()));
        }
    }

    #[test]
    fn what_is_no_hello_is_not_waited_for() {
        assert!(!is_partial_hello(b"GET / HTTP/1.1"));
        assert!(!is_partial_hello(&[21, 3, 1, 0, 2, 1, 0]), "an alert");
        assert!(!is_partial_hello(&[22, 3, 1, 0, 4, 2, 0, 0, 0]), "a ServerHello");
        assert!(!is_partial_hello(&[22, 3, 1, 0, 4, 1, 1, 0, 0]), "of 64 KiB");
        assert!(!is_partial_hello(&[22, 3, 1, 0, 0].repeat(MAX_RECORDS)));
        assert!(!is_partial_hello(&vec![22; MAX_BYTES + 1]));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (is_partial_hello(&bytes), falls_back(&bytes), names_http2(&bytes));
            let framed = [&[22, 3, 1, 1, 0, 1, 0, 0, 200][..], &bytes].concat();
            let _ = (is_inappropriate_fallback(&framed), offers_http2(&framed));
        }
    }
}
