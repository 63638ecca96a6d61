use std::io::{Read, Write as _};

use proptest::prelude::*;

use super::{Effort, Encoder, whole};
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
    fn what_was_encoded_in_any_pieces_decodes_to_the_same(
        content in content(),
        pieces in prop::collection::vec((1_usize..7_000, any::<bool>(), any::<bool>()), 1..9),
        coding in prop::sample::select(Coding::SIBLINGS.to_vec()),
        known in any::<bool>(),
    ) {
        let length = known.then_some(content.len() as u64);
        let mut encoder = Encoder::new(coding, Effort::Once, length).unwrap();
        let (mut coded, mut rest, mut taken) = (Vec::new(), &content[..], 0);
        for (len, flush, take) in pieces.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at(len.min(rest.len()));
            (rest, taken) = (behind, taken + piece.len());
            encoder.write(piece).unwrap();
            if flush {
                encoder.flush().unwrap();
            }
            if take || flush {
                prop_assert_eq!(encoder.ready(), {
                    let new = encoder.take();
                    coded.extend_from_slice(&new);
                    new.len()
                });
            }
            if flush {
                let so_far = decode_so_far(coding, &coded);
                prop_assert_eq!(so_far.len(), taken);
                prop_assert!(so_far == content[..taken]);
            }
        }
        coded.extend_from_slice(&encoder.finish().unwrap());
        prop_assert_eq!(decode(coding, &coded), content);
    }
}

#[test]
fn a_whole_content_is_shorter_and_the_same_each_time() {
    let content: Vec<u8> = (0..40_000_u32)
        .flat_map(|n| format!("line {} of a text\n", n % 977).into_bytes())
        .collect();
    assert!(content.len() > super::THOROUGH);
    for coding in Coding::SIBLINGS {
        for part in [&content[..], &content[..100_000], &content[..1], &[]] {
            let coded = whole(coding, Effort::Often, part).unwrap();
            assert_eq!(coded, whole(coding, Effort::Often, part).unwrap(), "{coding:?}");
            assert_eq!(decode(coding, &coded), part, "{coding:?}");
            assert!(part.len() < 2 || coded.len() < part.len() / 4, "{coding:?}");
        }
    }
    whole(Coding::Identity, Effort::Often, b"x").unwrap_err();
}
