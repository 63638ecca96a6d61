//! What must hold of any content in any pieces: for the fuzz target, and tried on some by the tests.

use std::io::{Read, Write};

use super::stream::{Encoder, LEAST_ROOM, Progress};
use crate::process::negotiate::Coding;

/// A part of a content: so many bytes, with room for so many coded ones at a time, and whether the encoder
/// is flushed behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) length: usize,
    pub(super) room: usize,
    pub(super) flush: bool,
}

/// Any bytes say what content is encoded, in which pieces, by which coding.
///
/// # Panics
/// What was encoded does not decode to the same, or a step does not end.
pub fn any_pieces_decode_to_the_same(bytes: &[u8]) {
    let [coding, repeats, count, rest @ ..] = bytes else { return };
    let coding = Coding::SIBLINGS[usize::from(*coding) % Coding::SIBLINGS.len()];
    let Some((pieces, content)) = rest.split_at_checked(5 * (1 + usize::from(count % 8))) else {
        return;
    };
    let pieces: Vec<Piece> = pieces
        .chunks_exact(5)
        .map(|of| Piece {
            length: 1 + usize::from(u16::from_le_bytes([of[0], of[1]])),
            room: LEAST_ROOM + usize::from(u16::from_le_bytes([of[2], of[3]])),
            flush: of[4] % 2 == 1,
        })
        .collect();
    pieces_decode_to_the_same(coding, &content.repeat(usize::from(repeats % 32)), &pieces);
}

/// The pieces are taken in turn until the content is at its end.
pub(super) fn pieces_decode_to_the_same(coding: Coding, content: &[u8], pieces: &[Piece]) {
    let mut encoder = Encoder::new(coding).unwrap();
    let (mut coded, mut rest, mut taken) = (Vec::new(), content, 0);
    for Piece { length, room, flush } in pieces.iter().copied().cycle() {
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
            assert_eq!(so_far.len(), taken);
            assert!(so_far == content[..taken]);
        }
    }
    assert!(decode(coding, &coded) == content);
}

/// The content that was coded, whole.
pub(super) fn decode(coding: Coding, mut coded: &[u8]) -> Vec<u8> {
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
pub(super) fn decode_so_far(coding: Coding, coded: &[u8]) -> Vec<u8> {
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
pub(super) fn complete(
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
