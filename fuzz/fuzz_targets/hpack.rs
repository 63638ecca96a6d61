//! Field blocks: no panic, no more fields than the block has octets, and what the writer makes of
//! the fields is decoded to the same fields.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::internals::hpack::{BlockWriter, Decoder, Field, FieldVisitor};

#[derive(Default)]
struct Fields(Vec<(Vec<u8>, Vec<u8>, bool)>);

impl FieldVisitor for Fields {
    fn field(&mut self, field: Field<'_>) -> bool {
        self.0.push((field.name.to_vec(), field.value.to_vec(), field.never_indexed));
        field.value.len().is_multiple_of(2)
    }

    fn oversized(&mut self, bytes: usize) {
        assert!(bytes > Decoder::MIN_SCRATCH);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut decoder = Decoder::default();
    let mut scratch = [0; Decoder::MIN_SCRATCH];
    for block in bytes.split(|byte| *byte == 0xfe) {
        let mut fields = Fields::default();
        if decoder.decode(block, &mut scratch, &mut fields).is_err() {
            return;
        }
        assert!(fields.0.len() <= block.len());
        let mut written = vec![0; 1 << 20];
        let mut writer = BlockWriter::new(&mut written);
        let mut expected = Vec::new();
        for (name, value, never) in fields.0 {
            let Ok(text) = String::from_utf8(name.to_ascii_lowercase()) else { continue };
            if text.starts_with(':') {
                continue;
            }
            if never {
                writer.never_indexed(&text, &value);
            } else {
                writer.field(&text, &value);
            }
            let never = never || text == "set-cookie";
            expected.push((text.into_bytes(), value, never));
        }
        let Some(length) = writer.finish() else { return };
        let mut again = Fields::default();
        Decoder::default().decode(&written[..length], &mut scratch, &mut again).unwrap();
        if again.0.len() == expected.len() {
            assert_eq!(again.0, expected);
        }
    }
});
