//! Where a redirect leads, for one request.
//!
//! The invariant: what comes from the request enters `Location` as visible ASCII alone, and a path
//! from the request begins with exactly one slash, so that it can never name another host.

use super::percent;
use super::routes::host_alone;
use crate::config::{RedirectPart, RedirectTarget};

/// What a request brings for the places of a target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places<'r> {
    /// The host, perhaps with a port; None where there is none.
    pub host: Option<&'r [u8]>,
    /// The path of the target, as it was sent.
    pub path: &'r [u8],
    /// Segments of the route's own path.
    pub depth: usize,
    /// The query without its `?`.
    pub query: Option<&'r [u8]>,
}

/// Writes where the target leads. None if it names the host, and the request names none.
pub(crate) fn location(target: &RedirectTarget, places: &Places<'_>) -> Option<Vec<u8>> {
    let mut location = Vec::new();
    for part in target.parts() {
        match part {
            RedirectPart::Text(text) => location.extend_from_slice(text.as_bytes()),
            RedirectPart::Host => {
                let host = places.host.map(host_alone).filter(|host| !host.is_empty())?;
                // The parsers let nothing else through.
                let is_host = |byte: &u8| byte.is_ascii_graphic() && !b"/\\@?#".contains(byte);
                if !host.iter().all(is_host) {
                    return None;
                }
                location.extend_from_slice(host);
            }
            RedirectPart::Path => path(places.path, &mut location),
            RedirectPart::Rest => {
                let rest = behind(places.path, places.depth);
                if !rest.is_empty() {
                    path(rest, &mut location);
                }
            }
            RedirectPart::Query => {
                if let Some(query) = places.query {
                    location.push(b'?');
                    location.extend(percent::query(query));
                }
            }
        }
    }
    Some(location)
}

/// Writes a path that begins with one slash; its encoding stays as it is.
fn path(path: &[u8], out: &mut Vec<u8>) {
    out.push(b'/');
    let slashes = path.iter().take_while(|byte| matches!(byte, b'/' | b'\\')).count();
    let (_, relative) = path.split_at(slashes);
    for piece in relative.split_inclusive(|byte| *byte == b'\\') {
        let plain = piece.strip_suffix(b"\\");
        out.extend(percent::query(plain.unwrap_or(piece)));
        if plain.is_some() {
            out.extend_from_slice(b"%5C");
        }
    }
}

/// What follows the first `depth` segments of a path.
fn behind(path: &[u8], depth: usize) -> &[u8] {
    let mut rest = path;
    for _ in 0..depth {
        let slashes = rest.iter().take_while(|byte| **byte == b'/').count();
        let (_, segment) = rest.split_at(slashes);
        let end = memchr::memchr(b'/', segment).unwrap_or(segment.len());
        (_, rest) = segment.split_at(end);
    }
    rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn led(target: &str, host: &str, path: &str, query: Option<&str>) -> Option<String> {
        let target: RedirectTarget = target.parse().unwrap();
        let places = Places {
            host: Some(host.as_bytes()),
            path: path.as_bytes(),
            depth: 1,
            query: query.map(str::as_bytes),
        };
        location(&target, &places).map(|location| String::from_utf8(location).unwrap())
    }

    #[test]
    fn places_are_filled() {
        let all = "https://{host}{path}{query}";
        for (target, path, query, expected) in [
            (all, "/a%20b", Some("x=1&y"), "https://example.com/a%20b?x=1&y"),
            (all, "/", None, "https://example.com/"),
            (all, "/a", Some(""), "https://example.com/a?"),
            ("/new{rest}", "/old/a/b", Some("q"), "/new/a/b"),
            ("/new{rest}", "/old", None, "/new"),
            ("/new{rest}", "//old//evil.example", None, "/new/evil.example"),
            ("https://other.example", "/x", None, "https://other.example"),
        ] {
            assert_eq!(led(target, "example.com:8080", path, query).as_deref(), Some(expected));
        }
        assert_eq!(led(all, "[::1]:8080", "/", None).as_deref(), Some("https://[::1]/"));
        assert_eq!(led(all, "", "/", None), None);
        assert_eq!(led("/a", "", "/", None).as_deref(), Some("/a"));
    }

    proptest! {
        #[test]
        fn nothing_splits_the_head_or_leads_to_another_host(
            path in prop::collection::vec(any::<u8>(), 0..24),
            query in prop::option::of(prop::collection::vec(any::<u8>(), 0..24)),
            host in prop::collection::vec(any::<u8>(), 0..12),
            depth in 0..3_usize,
        ) {
            let path = [b"/", &path[..]].concat();
            for target in ["https://{host}{path}{query}", "https://a.example{path}", "/x{rest}{query}"] {
                let target: RedirectTarget = target.parse().unwrap();
                let places = Places {
                    host: Some(&host), path: &path, depth, query: query.as_deref()
                };
                let Some(location) = location(&target, &places) else { continue };
                prop_assert!(location.iter().all(u8::is_ascii_graphic));
                prop_assert!(!location.starts_with(b"//"));
                if let Some(rest) = location.strip_prefix(b"https://a.example") {
                    prop_assert!(rest.starts_with(b"/") && !rest.starts_with(b"//"));
                }
            }
        }
    }
}
