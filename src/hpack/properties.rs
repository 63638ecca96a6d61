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

    /// The decoder of the crate `httlib-hpack` reads what is written here.
    #[test]
    fn another_decoder_reads_our_blocks(
        blocks in vec(vec((name(), vec(any::<u8>(), 0..80), any::<bool>()), 0..20), 1..5),
    ) {
        let mut theirs = httlib_hpack::Decoder::default();
        for (number, fields) in blocks.iter().enumerate() {
            let mut buffer = vec![0; 8192];
            let mut block = BlockWriter::new(&mut buffer);
            if number > 0 {
                block.empty_table();
            }
            for (name, value, never) in fields {
                if *never {
                    block.never_indexed(name, value);
                } else {
                    block.field(name, value);
                }
            }
            let length = block.finish().unwrap();
            buffer.truncate(length);
            let mut read = Vec::new();
            theirs.decode(&mut buffer, &mut read).unwrap();
            prop_assert_eq!(read.len(), fields.len());
            for ((name, value, never), (their_name, their_value, flags)) in fields.iter().zip(read) {
                prop_assert_eq!(their_name, name.to_ascii_lowercase().into_bytes());
                prop_assert_eq!(&their_value, value);
                let marked = flags & httlib_hpack::Decoder::NEVER_INDEXED != 0;
                prop_assert_eq!(marked, *never || name.eq_ignore_ascii_case("set-cookie"));
            }
        }
    }

    /// What its encoder writes is read here: with and without Huffman text, indexed in every way, with a
    /// table that fills and empties.
    #[test]
    fn we_read_the_blocks_of_another_encoder(
        blocks in vec(vec((theirs(), flags()), 0..30), 1..12),
    ) {
        let mut encoder = httlib_hpack::Encoder::default();
        let mut decoder = Decoder::default();
        for fields in blocks {
            let mut block = Vec::new();
            for ((name, value), flags) in &fields {
                let field = (name.clone().into_bytes(), value.clone(), *flags);
                encoder.encode(field, &mut block).unwrap();
            }
            let read = decode(&mut decoder, &block).unwrap();
            prop_assert_eq!(read.fields.len(), fields.len());
            for (((name, value), _), read) in fields.iter().zip(&read.fields) {
                let value: String = value.iter().map(|byte| char::from(*byte)).collect();
                prop_assert_eq!(read, &(name.clone(), value));
            }
        }
    }
}

/// Fields that often recur, so that the table is used, and some that fill it.
fn theirs() -> impl Strategy<Value = (String, Vec<u8>)> {
    let names = vec![":path", ":method", "cookie", "accept", "x-long", "x-other", "user-agent"];
    let value = prop_oneof![
        4 => prop::sample::select(vec!["/", "GET", "a=b", "*/*", ""]).prop_map(Into::into),
        2 => vec(any::<u8>(), 0..60),
        1 => vec(any::<u8>(), 0..1500),
    ];
    (prop::sample::select(names).prop_map(str::to_owned), value)
}

fn flags() -> impl Strategy<Value = u8> {
    use httlib_hpack::Encoder;
    let indexing = prop::sample::select(vec![
        0,
        Encoder::WITH_INDEXING,
        Encoder::NEVER_INDEXED,
        Encoder::BEST_FORMAT,
    ]);
    let huffman = prop::sample::select(vec![
        0,
        Encoder::HUFFMAN_NAME,
        Encoder::HUFFMAN_VALUE,
        Encoder::HUFFMAN_NAME | Encoder::HUFFMAN_VALUE,
    ]);
    (indexing, huffman).prop_map(|(indexing, huffman)| indexing | huffman)
}
