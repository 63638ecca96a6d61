//! Request heads: no panic, limits kept, and the same answer however the bytes are split.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::internals::parse::{FieldStorage, HeadLimits, HeadScan, MAX_FIELDS, request_head};

const LIMITS: HeadLimits =
    HeadLimits { max_head_bytes: 1024, max_fields: 8, max_target_bytes: 256 };

/// What a parse amounts to: needs more, is this many bytes long, or is refused.
fn outcome(bytes: &[u8]) -> Result<Option<usize>, ()> {
    let mut storage = FieldStorage::new();
    let head = request_head(bytes, &mut storage, &LIMITS).map_err(|_| ())?;
    let Some(head) = head else { return Ok(None) };
    assert!(head.length <= bytes.len().min(LIMITS.max_head_bytes));
    assert!(bytes[..head.length].ends_with(b"\r\n\r\n"));
    assert!(head.fields.len() <= LIMITS.max_fields.min(MAX_FIELDS));
    for (name, value) in head.fields.iter() {
        assert!(name.bytes().all(ringway::internals::parse::is_token_byte));
        assert!(value.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f)));
    }
    if let Some(path) = head.target.path() {
        assert!(path.starts_with(b"/") && path.is_ascii());
    }
    Ok(Some(head.length))
}

fuzz_target!(|bytes: &[u8]| {
    let whole = outcome(bytes);
    let mut scan = HeadScan::default();
    let mut stepwise = Ok(None);
    for end in 0..=bytes.len() {
        let part = &bytes[..end];
        let worth = scan.worth_parsing(part, &LIMITS);
        if let Ok(None) = stepwise
            && worth
        {
            stepwise = outcome(part);
        }
    }
    match (whole, stepwise) {
        // Only the scan waits: for the line that decides.
        (Err(()), Ok(None)) => {}
        (whole, stepwise) => assert_eq!(whole, stepwise),
    }
});
