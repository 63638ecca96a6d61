//! Whatever path comes, it resolves to segments below the folder or to nothing, and its slash
//! form leads back to it on the same host.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::internals::process::path::{
    MAX_DEPTH, MAX_PATH_BYTES, MAX_SEGMENT_BYTES, SitePath, slash_redirect,
};

fuzz_target!(|input: (&[u8], Option<&[u8]>)| {
    let (raw, query) = input;
    let path = match SitePath::resolve(raw) {
        Ok(path) => path,
        Err(error) => return assert!(matches!(error.status().code(), 400 | 404)),
    };
    let bytes = path.as_bytes();
    assert!(bytes.len() <= MAX_PATH_BYTES);
    assert!(!bytes.iter().any(|byte| byte.is_ascii_control() || *byte == b'\\'));
    if path.is_root() {
        assert!(path.ends_in_slash());
    } else {
        let segments: Vec<_> = bytes.split(|&byte| byte == b'/').collect();
        assert!(segments.len() <= MAX_DEPTH);
        for (depth, segment) in segments.iter().enumerate() {
            assert!(!segment.is_empty() && segment.len() <= MAX_SEGMENT_BYTES);
            assert!(!segment.starts_with(b".") || (depth == 0 && *segment == b".well-known"));
        }
    }

    let mut location = Vec::new();
    slash_redirect(&path, query, &mut location);
    assert!(location.starts_with(b"/") && location.iter().all(u8::is_ascii_graphic));
    assert!(!location.starts_with(b"//") && !location.starts_with(b"/\\"));
    let end = location.iter().position(|&byte| byte == b'?').unwrap_or(location.len());
    let again = SitePath::resolve(&location[..end]).expect("a redirect leads somewhere");
    assert_eq!(again.as_bytes(), bytes);
    assert!(again.ends_in_slash());
});
