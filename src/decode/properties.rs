use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Feeds `bytes` in pieces of the given sizes, over and over, and collects the content.
fn decode(
    bytes: &[u8],
    sizes: &[usize],
    max_body: u64,
) -> Result<(Vec<u8>, Option<usize>), BodyError> {
    let mut decoder = BodyDecoder::new(BodyLength::Chunked, max_body)?;
    let mut content = Vec::new();
    let mut start = 0;
    let mut sizes = sizes.iter().cycle();
    while start < bytes.len() && !decoder.is_finished() {
        let end = bytes.len().min(start + sizes.next().copied().unwrap_or(1));
        let step = decoder.decode(&bytes[start..end])?;
        assert!(step.consumed > 0, "a step that gets nowhere");
        content.extend_from_slice(&bytes[start..end][step.data]);
        start += step.consumed;
    }
    Ok((content, decoder.is_finished().then_some(start)))
}

/// Bytes that a chunked body is made of, so that arbitrary input gets past the first state.
fn likely_bytes() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        b"\r\n".as_slice(),
        b"\r",
        b"\n",
        b"0",
        b"1",
        b"a",
        b"F",
        b";",
        b" ",
        b"a:b",
        b":",
        b"0\r\n",
        b"1\r\nx\r\n",
        b"\"",
        b"=",
        b"\0",
        b"\t",
        b"\xff",
    ]);
    vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        chunks in vec(vec(any::<u8>(), 1..300), 0..12),
        extension in prop::sample::select(vec!["", ";a", " ; a=\"b\""]),
        trailers in prop::sample::select(vec!["", "A: b\r\n", "A: b\r\nC:\r\n"]),
        sizes in vec(1..64_usize, 1..8),
        next in vec(any::<u8>(), 0..16),
    ) {
        let mut bytes = Vec::new();
        for chunk in &chunks {
            bytes.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
        let length = bytes.len();
        bytes.extend_from_slice(&next);
        let content = chunks.concat();
        let bound = content.len() as u64;
        prop_assert_eq!(decode(&bytes, &sizes, bound), Ok((content, Some(length))));
        if bound > 0 {
            prop_assert_eq!(decode(&bytes, &sizes, bound - 1), Err(BodyError::TooLarge));
        }
    }

    #[test]
    fn splits_never_change_the_answer_or_pass_the_bound(
        bytes in prop_oneof![likely_bytes(), vec(any::<u8>(), 0..80)],
        sizes in vec(1..8_usize, 1..6),
        max_body in 0..40_u64,
    ) {
        let whole = decode(&bytes, &[usize::MAX / 2], max_body);
        prop_assert_eq!(&decode(&bytes, &sizes, max_body), &whole);
        if let Ok((content, _)) = whole {
            prop_assert!(content.len() as u64 <= max_body);
        }
    }

    #[test]
    fn a_stated_length_never_yields_more(
        length in 0..100_u64,
        sizes in vec(0..40_usize, 0..12),
    ) {
        let mut decoder = BodyDecoder::new(BodyLength::Length(length), 100).unwrap();
        let mut left = length;
        for size in sizes {
            let step = decoder.decode(&[b'x'; 40][..size]).unwrap();
            let expected = left.min(size as u64);
            prop_assert_eq!(step.consumed as u64, expected);
            prop_assert_eq!(step.data, 0..step.consumed);
            left -= expected;
            prop_assert_eq!(step.finished, left == 0);
        }
    }
}
