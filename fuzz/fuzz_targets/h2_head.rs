//! Request heads of HTTP/2: no panic, limits kept, nothing forbidden in what is served, and the same
//! fields, or the same refusal, as another decoder makes of the same blocks.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::internals::hpack::{Decoder, Field, FieldVisitor};
use ringway::internals::parse::HeadLimits;
use ringway::internals::parse::h2::{Draft, HeadOutcome};

const LIMITS: HeadLimits =
    HeadLimits { max_head_bytes: 4096, max_fields: 8, max_target_bytes: 256 };

/// A head, and its fields as they came.
struct Both<'s> {
    draft: Draft<'s>,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    oversized: bool,
}

impl FieldVisitor for Both<'_> {
    fn field(&mut self, field: Field<'_>) -> bool {
        self.fields.push((field.name.to_vec(), field.value.to_vec()));
        self.draft.field(field)
    }

    fn oversized(&mut self, bytes: usize) {
        self.oversized = true;
        self.draft.oversized(bytes);
    }
}

fn judged(outcome: &HeadOutcome<'_>) {
    let HeadOutcome::Head(head) = outcome else { return };
    assert!(!head.authority.is_empty());
    assert!(head.path_text.len() <= LIMITS.max_target_bytes);
    let starts = head.path_text.first().is_none_or(|&first| first == b'/' || first == b'*');
    assert!(starts && head.path_text.iter().all(u8::is_ascii_graphic));
    let mut bytes = 0;
    for (_, value) in head.fields() {
        bytes += value.len();
        assert!(value.iter().all(|&byte| byte == b'\t' || byte >= b' ' && byte != 0x7f));
        assert!(!value.first().is_some_and(u8::is_ascii_whitespace));
        assert!(!value.last().is_some_and(u8::is_ascii_whitespace));
    }
    assert!(bytes <= LIMITS.max_head_bytes);
}

fuzz_target!(|bytes: &[u8]| {
    let (mut decoder, mut other) =
        (Decoder::default(), ringway_bench_h2::decoder::Decoder::default());
    let mut scratch = [0; Decoder::MIN_SCRATCH];
    let mut room = [0; LIMITS.max_head_bytes];
    // One connection, block by block; the first bit of each piece is END_STREAM.
    for block in bytes.split(|byte| *byte == 0xfe) {
        let end = block.first().is_some_and(|first| first & 1 == 1);
        let draft = Draft::new(&mut room, LIMITS);
        let mut both = Both { draft, fields: Vec::new(), oversized: false };
        let decoded = decoder.decode(block, &mut scratch, &mut both);
        let mut fields = Vec::new();
        let again = other.decode(block, |name, value| fields.push((name.to_vec(), value.to_vec())));
        if both.oversized {
            // What is too long for the scratch is counted only, so it cannot be compared.
            return;
        }
        let sizes = block.iter().take_while(|byte| **byte & 0xe0 == 0x20).count();
        if sizes <= 2 {
            assert_eq!(decoded.is_ok(), again.is_ok());
        }
        if decoded.is_err() || again.is_err() {
            return;
        }
        assert_eq!(both.fields, fields);
        judged(&both.draft.finish(end));
    }
});
