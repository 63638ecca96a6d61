use std::borrow::Cow;
use std::path::{Component, Path};

use proptest::prelude::*;

use super::{
    MAX_DEPTH, MAX_PATH_BYTES, PathError, SitePath, is_hidden, is_reachable, slash_redirect,
};

fn resolved(raw: &[u8]) -> (Vec<u8>, bool) {
    let path = SitePath::resolve(raw).unwrap();
    (path.as_bytes().to_vec(), path.ends_in_slash())
}

#[test]
fn plain_paths_are_borrowed() {
    for (raw, bytes, slash) in [
        (&b"/"[..], &b""[..], true),
        (b"/a", b"a", false),
        (b"/a/", b"a", true),
        (b"/a/b.html", b"a/b.html", false),
        (b"/.well-known/acme-challenge/x", b".well-known/acme-challenge/x", false),
        (b"/caf\xc3\xa9", b"caf\xc3\xa9", false),
        (b"/a..b/c..", b"a..b/c..", false),
        (b"/a+b", b"a+b", false),
    ] {
        let path = SitePath::resolve(raw).unwrap();
        assert!(matches!(path.bytes, Cow::Borrowed(_)), "{raw:?}");
        assert_eq!((path.as_bytes(), path.ends_in_slash()), (bytes, slash));
    }
}

#[test]
fn decoding_happens_exactly_once() {
    assert_eq!(resolved(b"/a%20b"), (b"a b".to_vec(), false));
    assert_eq!(resolved(b"/%61%2fb".get(..4).unwrap()), (b"a".to_vec(), false));
    assert_eq!(resolved(b"/%2541"), (b"%41".to_vec(), false));
    assert_eq!(resolved(b"/%252e%252e/x"), (b"%2e%2e/x".to_vec(), false));
    assert_eq!(resolved(b"/100%25"), (b"100%".to_vec(), false));
    assert_eq!(resolved(b"/%ff%FE"), (b"\xff\xfe".to_vec(), false));
    assert_eq!(resolved(b"/what%3F%23"), (b"what?#".to_vec(), false));
    assert_eq!(resolved(b"/%2ewell-known/x"), (b".well-known/x".to_vec(), false));
}

#[test]
fn repeated_slashes_are_merged() {
    assert_eq!(resolved(b"//"), (b"".to_vec(), true));
    assert_eq!(resolved(b"//evil.example/x"), (b"evil.example/x".to_vec(), false));
    assert_eq!(resolved(b"/a///b//"), (b"a/b".to_vec(), true));
}

#[test]
fn what_is_refused_and_with_which_status() {
    let cases: &[(&[u8], PathError, u16)] = &[
        (b"", PathError::NotAbsolute, 400),
        (b"a", PathError::NotAbsolute, 400),
        (b"*", PathError::NotAbsolute, 400),
        (b"\\a", PathError::NotAbsolute, 400),
        (b"/a?b", PathError::Delimiter, 400),
        (b"/a#b", PathError::Delimiter, 400),
        (b"/%", PathError::Percent, 400),
        (b"/%4", PathError::Percent, 400),
        (b"/%zz", PathError::Percent, 400),
        (b"/%+1", PathError::Percent, 400),
        (b"/%u002e", PathError::Percent, 400),
        (b"/a%00", PathError::Control, 400),
        (b"/a\0", PathError::Control, 400),
        (b"/a%0d%0aX:y", PathError::Control, 400),
        (b"/a%7f", PathError::Control, 400),
        (b"/..\\x", PathError::Backslash, 400),
        (b"/..%5cx", PathError::Backslash, 400),
        (b"/a%5Cb", PathError::Backslash, 400),
        (b"/a%2Fb", PathError::EncodedSlash, 404),
        (b"/%2f..%2f", PathError::EncodedSlash, 404),
        (b"/.", PathError::DotSegment, 400),
        (b"/..", PathError::DotSegment, 400),
        (b"/a/../b", PathError::DotSegment, 400),
        (b"/a/./b", PathError::DotSegment, 400),
        (b"/a/..", PathError::DotSegment, 400),
        (b"/a/../", PathError::DotSegment, 400),
        (b"/%2e", PathError::DotSegment, 400),
        (b"/%2E%2e/x", PathError::DotSegment, 400),
        (b"/.%2e/x", PathError::DotSegment, 400),
        (b"//..//x", PathError::DotSegment, 400),
        (b"/.git/config", PathError::Hidden, 404),
        (b"/%2egit/config", PathError::Hidden, 404),
        (b"/a/.htpasswd", PathError::Hidden, 404),
        (b"/...", PathError::Hidden, 404),
        (b"/a/.well-known", PathError::Hidden, 404),
        (b"/.well-known/.git", PathError::Hidden, 404),
        (b"/.Well-Known/x", PathError::Hidden, 404),
    ];
    for &(raw, error, status) in cases {
        let found = SitePath::resolve(raw).unwrap_err();
        assert_eq!((found, found.status().code()), (error, status), "{}", raw.escape_ascii());
    }
}

/// RFC 8615 has `.well-known` at the root alone; links of Kubernetes lead through names with two dots.
#[test]
fn a_link_must_not_lead_to_what_is_hidden() {
    for path in ["a/.git/x", ".git", "a/.well-known/x", "..data/.git"] {
        assert!(is_hidden(path.as_bytes()), "{path}");
    }
    for path in ["", "a/b.c", ".well-known/x", "..data/x", "a/..2026_11_28/x"] {
        assert!(!is_hidden(path.as_bytes()), "{path}");
    }
}

#[test]
fn every_refusal_has_a_text_of_its_own() {
    let all = [
        PathError::NotAbsolute,
        PathError::Delimiter,
        PathError::Percent,
        PathError::Control,
        PathError::Backslash,
        PathError::EncodedSlash,
        PathError::DotSegment,
        PathError::Hidden,
        PathError::TooLong,
        PathError::TooDeep,
    ];
    let texts = all.map(|error| error.to_string());
    for (at, text) in texts.iter().enumerate() {
        assert!(text.starts_with("the path ") && !texts[..at].contains(text), "{text}");
    }
}

#[test]
fn lengths_and_depth_are_bounded() {
    let segment = [&b"/"[..], &[b'a'; 255]].concat();
    assert!(SitePath::resolve(&segment).is_ok());
    assert_eq!(SitePath::resolve(&[&segment[..], b"a"].concat()), Err(PathError::TooLong));
    assert_eq!(SitePath::resolve(&segment.repeat(15)), Err(PathError::TooLong));
    assert!(14 * segment.len() < MAX_PATH_BYTES && SitePath::resolve(&segment.repeat(14)).is_ok());
    assert!(SitePath::resolve(&b"/a".repeat(MAX_DEPTH)).is_ok());
    assert_eq!(SitePath::resolve(&b"/a".repeat(MAX_DEPTH + 1)), Err(PathError::TooDeep));
}

fn redirect(raw: &[u8], query: Option<&[u8]>) -> String {
    let mut out = Vec::new();
    slash_redirect(&SitePath::resolve(raw).unwrap(), query, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn the_redirect_stays_on_this_host() {
    assert_eq!(redirect(b"/a", None), "/a/");
    assert_eq!(redirect(b"//evil.example", None), "/evil.example/");
    assert_eq!(redirect(b"///evil.example/%20", Some(b"q=//x")), "/evil.example/%20/?q=//x");
    assert_eq!(redirect(b"/a", Some(b"")), "/a/?");
    assert_eq!(redirect(b"/a", Some(b"x=1&y=%2F")), "/a/?x=1&y=%2F");
    assert_eq!(redirect(b"/%25%3F%23", None), "/%25%3F%23/");
    assert_eq!(redirect(b"/", None), "/");
}

#[test]
fn names_and_what_can_be_reached() {
    assert_eq!(SitePath::resolve(b"/a/b.txt").unwrap().file_name(), b"b.txt");
    assert_eq!(SitePath::resolve(b"/").unwrap().file_name(), b"");
    assert!(is_reachable(b"a b\xff") && is_reachable(b"a..b"));
    for name in [&b""[..], b".", b"..", b".git", b"a\nb", b"a\\b", b"a/b"] {
        assert!(!is_reachable(name));
    }
}

/// Paths made of the pieces that matter.
fn awkward_path() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"/".to_vec()),
        Just(b".".to_vec()),
        Just(b"..".to_vec()),
        Just(b"%2e".to_vec()),
        Just(b"%2F".to_vec()),
        Just(b"%5c".to_vec()),
        Just(b"%00".to_vec()),
        Just(b"%25".to_vec()),
        Just(b".well-known".to_vec()),
        Just(b"\\".to_vec()),
        "[a-z]{1,3}".prop_map(String::into_bytes),
        any::<u8>().prop_map(|byte| vec![byte]),
        any::<u8>().prop_map(|byte| format!("%{byte:02x}").into_bytes()),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| [&b"/"[..], &pieces.concat()].concat())
}

proptest! {
    #[test]
    fn what_looks_plain_resolves_as_anything_else(
        text in "[/.%ab2\\\\?#\u{7f}\u{e9}]{0,12}(/[a-c.]{1,3}){0,70}/?"
    ) {
        let raw = format!("/{text}");
        let any = SitePath::resolve_any(text.as_bytes());
        prop_assert_eq!(SitePath::resolve(raw.as_bytes()), any);
    }

    #[test]
    fn a_resolved_path_never_escapes(raw in awkward_path()) {
        let Ok(path) = SitePath::resolve(&raw) else { return Ok(()) };
        let bytes = path.as_bytes();
        prop_assert!(!bytes.iter().any(|byte| byte.is_ascii_control() || *byte == b'\\'));
        prop_assert!(!bytes.starts_with(b"/"));
        if !bytes.is_empty() {
            for segment in bytes.split(|&byte| byte == b'/') {
                prop_assert!(!segment.is_empty() && segment != b"." && segment != b"..");
                prop_assert!(!segment.starts_with(b".") || segment == b".well-known");
            }
        }
        let text = String::from_utf8_lossy(bytes);
        prop_assert!(Path::new(&*text).components().all(|c| matches!(c, Component::Normal(_))));
    }

    #[test]
    fn the_redirect_resolves_to_the_same_path(raw in awkward_path(), query in any::<Vec<u8>>()) {
        let Ok(path) = SitePath::resolve(&raw) else { return Ok(()) };
        let mut location = Vec::new();
        slash_redirect(&path, Some(&query), &mut location);
        prop_assert!(location.iter().all(u8::is_ascii_graphic));
        prop_assert!(location.starts_with(b"/"));
        prop_assert!(!location.starts_with(b"//") && !location.starts_with(b"/\\"));
        let end = location.iter().position(|&byte| byte == b'?').unwrap();
        let again = SitePath::resolve(&location[..end]).unwrap();
        prop_assert_eq!(again.as_bytes(), path.as_bytes());
        prop_assert!(again.ends_in_slash());
    }

    #[test]
    fn resolving_never_panics(raw in any::<Vec<u8>>()) {
        let _ = SitePath::resolve(&raw);
    }
}
