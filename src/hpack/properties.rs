use proptest::collection::vec;
use proptest::prelude::*;

use super::tests::decode;
use super::*;

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec!["Content-Type", "etag", "Set-Cookie", "x-a", "date", "Server"])
            .prop_map(str::to_owned),
        "[a-zA-Z0-9-]{1,30}",
    ]
}

proptest! {
    #[test]
    fn blocks_come_back_as_they_were_written(
        fields in vec((name(), vec(any::<u8>(), 0..80), any::<bool>()), 0..20),
        status in 100..600_u16,
    ) {
        let mut buffer = vec![0; 8192];
        let mut block = BlockWriter::new(&mut buffer);
        block.status(status);
        for (name, value, never) in &fields {
            if *never {
                block.never_indexed(name, value);
            } else {
                block.field(name, value);
            }
        }
        let length = block.finish().unwrap();
        let collected = decode(&mut Decoder::default(), &buffer[..length]).unwrap();
        prop_assert_eq!(&collected.fields[0], &(":status".to_owned(), status.to_string()));
        for ((name, value, _), decoded) in fields.iter().zip(&collected.fields[1..]) {
            let value: String = value.iter().map(|byte| char::from(*byte)).collect();
            prop_assert_eq!(decoded, &(name.to_ascii_lowercase(), value));
        }
        prop_assert_eq!(collected.fields.len(), fields.len() + 1);
    }

    /// Whatever comes, it is decoded or refused, within the work that its length allows.
    #[test]
    fn anything_is_decoded_or_refused(
        blocks in vec(vec(prop_oneof![any::<u8>(), Just(0xbe), 0x40..0x80_u8], 0..200), 1..5),
    ) {
        let mut decoder = Decoder::default();
        for block in blocks {
            match decode(&mut decoder, &block) {
                Ok(collected) => prop_assert!(collected.fields.len() <= block.len()),
                Err(_) => break,
            }
        }
    }
}
