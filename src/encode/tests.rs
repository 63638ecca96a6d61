use std::io::Write as _;

use proptest::prelude::*;

use super::{
    Encoder, LEAST_ROOM, encode,
    hold::{Piece, complete, decode, decode_so_far, pieces_decode_to_the_same},
};
use crate::process::negotiate::Coding;

/// Content that repeats itself, as text does, and content that does not.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let words =
        prop::collection::vec(prop::sample::select(vec!["alpha ", "beta", "\n<p>"]), 0..9_000);
    let text = words.prop_map(|words| words.concat().into_bytes());
    prop_oneof![text, prop::collection::vec(any::<u8>(), 0..5_000)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_encoded_decodes_to_the_same(
        content in content(),
        coding in prop::sample::select(Coding::SIBLINGS.to_vec()),
    ) {
        prop_assert_eq!(decode(coding, &encode(coding, &content).unwrap()), content);
    }

    #[test]
    fn what_was_encoded_in_any_pieces_decodes_to_the_same(
        content in content(),
        pieces in prop::collection::vec((1_usize..7_000, any::<bool>(), LEAST_ROOM..5_000), 1..9),
        coding in prop::sample::select(Coding::SIBLINGS.to_vec()),
    ) {
        let pieces: Vec<Piece> = pieces
            .into_iter()
            .map(|(length, flush, room)| Piece { length, room, flush })
            .collect();
        pieces_decode_to_the_same(coding, &content, &pieces);
    }
}

/// A flush of gzip that fills its output to the last byte begins another one.
#[test]
fn each_step_ends_with_the_least_room_and_fails_with_less() {
    for coding in Coding::SIBLINGS {
        for room in LEAST_ROOM..3 * LEAST_ROOM {
            let mut encoder = Encoder::new(coding).unwrap();
            let mut coded = Vec::new();
            for _ in 0..20 {
                complete(room, &mut coded, |read, output| encoder.write(&b"event"[read..], output));
                complete(room, &mut coded, |_, output| encoder.flush(output));
            }
            complete(room, &mut coded, |_, output| encoder.finish(output));
            assert_eq!(decode(coding, &coded), b"event".repeat(20), "{coding:?} {room}");
        }
        let mut encoder = Encoder::new(coding).unwrap();
        encoder.flush(&mut [0; LEAST_ROOM - 1]).unwrap_err();
    }
}

#[test]
fn a_flush_without_input_costs_little_and_nothing_is_coded_as_identity() {
    for coding in Coding::SIBLINGS {
        let mut encoder = Encoder::new(coding).unwrap();
        let mut coded = Vec::new();
        complete(64, &mut coded, |read, output| encoder.write(&b"event"[read..], output));
        for _ in 0..3 {
            complete(64, &mut coded, |_, output| encoder.flush(output));
        }
        assert_eq!(decode_so_far(coding, &coded), b"event", "{coding:?}");
        assert!(coded.len() < 64, "{coding:?}: {}", coded.len());
        complete(64, &mut coded, |_, output| encoder.finish(output));
        assert_eq!(decode(coding, &coded), b"event", "{coding:?}");
    }
    Encoder::new(Coding::Identity).unwrap_err();
}

/// Its slowest quality takes two seconds for a megabyte.
#[test]
fn brotli_is_thorough_with_short_content_alone() {
    let text: Vec<u8> = (0..20_000_u32)
        .flat_map(|n| format!("line {} of a text\n", n % 977).into_bytes())
        .collect();
    for (length, quality) in [(5_000, 11), (super::THOROUGH + 1, 9)] {
        let content = &text[..length];
        let mut encoder =
            brotli::CompressorWriter::new(Vec::new(), super::BROTLI_BUFFER, quality, super::WINDOW);
        encoder.write_all(content).unwrap();
        assert_eq!(encode(Coding::Brotli, content).unwrap(), encoder.into_inner(), "{quality}");
    }
}

#[test]
fn a_text_is_shorter_and_the_same_each_time() {
    let content: Vec<u8> = (0..40_000_u32)
        .flat_map(|n| format!("line {} of a text\n", n % 977).into_bytes())
        .collect();
    assert!(content.len() > super::THOROUGH);
    for coding in Coding::SIBLINGS {
        for part in [&content[..], &content[..100_000], &content[..1], &[]] {
            let coded = encode(coding, part).unwrap();
            assert_eq!(coded, encode(coding, part).unwrap(), "{coding:?}");
            assert_eq!(decode(coding, &coded), part, "{coding:?}");
            assert!(part.len() < 2 || coded.len() < part.len() / 4, "{coding:?}");
        }
    }
    encode(Coding::Identity, b"x").unwrap_err();
}
