use std::io::{Read, Write as _};

use proptest::prelude::*;

use super::{
    Encoder, encode,
    stream::{LEAST_ROOM, Progress},
};
use crate::process::negotiate::Coding;

fn decode(coding: Coding, mut coded: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        Coding::Zstandard => {
            let mut decoder = zstd::stream::read::Decoder::new(coded).unwrap();
            // Browsers refuse larger ones (RFC 9659).
            decoder.window_log_max(23).unwrap();
            decoder.read_to_end(&mut plain).unwrap();
        }
        Coding::Brotli => {
            brotli::BrotliDecompress(&mut coded, &mut plain).unwrap();
        }
        Coding::Gzip => {
            flate2::read::GzDecoder::new(coded).read_to_end(&mut plain).unwrap();
        }
        Coding::Identity => plain.extend_from_slice(coded),
    }
    plain
}

/// What a decoder has that was given all of `coded`, which has no end.
fn decode_so_far(coding: Coding, coded: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        Coding::Zstandard => {
            let mut decoder = zstd::stream::write::Decoder::new(plain).unwrap();
            decoder.write_all(coded).unwrap();
            decoder.flush().unwrap();
            plain = decoder.into_inner();
        }
        Coding::Brotli => {
            // It gives what fits its buffer, and asks for the rest only once it ends.
            let mut decoder = brotli::DecompressorWriter::new(plain, 1 << 17);
            decoder.write_all(coded).unwrap();
            plain = decoder.into_inner().unwrap_or_else(|unfinished| unfinished);
        }
        Coding::Gzip => {
            let mut decoder = flate2::write::GzDecoder::new(plain);
            decoder.write_all(coded).unwrap();
            decoder.flush().unwrap();
            plain = std::mem::take(decoder.get_mut());
        }
        Coding::Identity => plain.extend_from_slice(coded),
    }
    plain
}

/// Has an encoder do a step to its end, with so much room at a time.
fn complete(
    room: usize,
    coded: &mut Vec<u8>,
    mut step: impl FnMut(usize, &mut [u8]) -> std::io::Result<Progress>,
) {
    let mut output = vec![0; room];
    let mut read = 0;
    for _ in 0..100_000 {
        let progress = step(read, &mut output).unwrap();
        coded.extend_from_slice(&output[..progress.written]);
        read += progress.read;
        if progress.complete {
            return;
        }
        assert!(progress.read + progress.written > 0, "a step with room goes on");
    }
    panic!("a step with {room} bytes of room does not end");
}

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
        let mut encoder = Encoder::new(coding).unwrap();
        let (mut coded, mut rest, mut taken) = (Vec::new(), &content[..], 0);
        for (length, flush, room) in pieces.into_iter().cycle() {
            if rest.is_empty() {
                complete(room, &mut coded, |_, output| encoder.finish(output));
                break;
            }
            let (piece, behind) = rest.split_at(length.min(rest.len()));
            (rest, taken) = (behind, taken + piece.len());
            complete(room, &mut coded, |read, output| encoder.write(&piece[read..], output));
            if flush {
                complete(room, &mut coded, |_, output| encoder.flush(output));
                let so_far = decode_so_far(coding, &coded);
                prop_assert_eq!(so_far.len(), taken);
                prop_assert!(so_far == content[..taken]);
            }
        }
        prop_assert_eq!(decode(coding, &coded), content);
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
