use std::io::Read;

use proptest::prelude::*;

use super::encode;
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
