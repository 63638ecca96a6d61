//! Chunked bodies: no panic, the bound kept, and the same content however the bytes are split.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::internals::decode::{BodyDecoder, BodyError};
use ringway::internals::parse::BodyLength;

const MAX_BODY: u64 = 4096;

/// Content and length of a body that comes in pieces of `size` bytes.
fn decode(bytes: &[u8], size: usize) -> Result<(Vec<u8>, Option<usize>), BodyError> {
    let mut decoder = BodyDecoder::new(BodyLength::Chunked, MAX_BODY)?;
    let mut content = Vec::new();
    let mut consumed = 0;
    for piece in bytes.chunks(size) {
        let mut rest = piece;
        while !rest.is_empty() {
            let step = decoder.decode(rest)?;
            assert!(step.consumed > 0 || step.finished);
            assert!(step.data.end <= step.consumed);
            content.extend_from_slice(&rest[step.data]);
            assert!(content.len() as u64 <= MAX_BODY);
            consumed += step.consumed;
            rest = &rest[step.consumed..];
            if step.finished {
                return Ok((content, Some(consumed)));
            }
        }
    }
    Ok((content, None))
}

fuzz_target!(|bytes: &[u8]| {
    let whole = decode(bytes, bytes.len().max(1));
    for size in [1, 2, 3, 7] {
        assert_eq!(decode(bytes, size), whole, "in pieces of {size}");
    }
});
