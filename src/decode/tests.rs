use super::*;

/// A bound that no test body reaches unless it wants to.
const ROOM: u64 = 1 << 20;

/// Feeds `bytes` in pieces of `size` and returns the content and, once ended, the bytes consumed.
fn decode_with(
    length: BodyLength,
    max_body: u64,
    bytes: &[u8],
    size: usize,
) -> Result<(Vec<u8>, Option<usize>), BodyError> {
    let mut decoder = BodyDecoder::new(length, max_body)?;
    let mut content = Vec::new();
    let mut consumed = 0;
    for piece in bytes.chunks(size.max(1)) {
        let mut rest = piece;
        while !rest.is_empty() && !decoder.is_finished() {
            let step = match decoder.decode(rest) {
                Ok(step) => step,
                Err(error) => {
                    assert_eq!(decoder.decode(rest), Err(error), "an error must last");
                    assert_eq!(decoder.decode(b""), Err(error), "an error must last");
                    return Err(error);
                }
            };
            assert!(step.data.start <= step.data.end && step.data.end <= step.consumed);
            assert_eq!(step.finished, decoder.is_finished());
            content.extend_from_slice(&rest[step.data]);
            consumed += step.consumed;
            rest = &rest[step.consumed..];
        }
    }
    Ok((content, decoder.is_finished().then_some(consumed)))
}

/// Decodes a chunked body at every split into equal pieces and demands one answer.
fn chunked(bytes: &[u8]) -> Result<(Vec<u8>, Option<usize>), BodyError> {
    let whole = decode_with(BodyLength::Chunked, ROOM, bytes, bytes.len());
    for size in 1..bytes.len().min(200) {
        let split = decode_with(BodyLength::Chunked, ROOM, bytes, size);
        assert_eq!(split, whole, "{:?} in pieces of {size}", bytes.escape_ascii().to_string());
    }
    whole
}

#[track_caller]
fn accepts(bytes: &[u8], content: &[u8]) {
    assert_eq!(chunked(bytes), Ok((content.to_vec(), Some(bytes.len()))));
    // What follows belongs to the next request.
    let followed = [bytes, b"GET / HTTP/1.1\r\n\r\n"].concat();
    assert_eq!(chunked(&followed), Ok((content.to_vec(), Some(bytes.len()))));
    // And nothing shorter is a whole body.
    for end in 0..bytes.len() {
        let (_, consumed) = chunked(&bytes[..end]).expect("a valid beginning");
        assert_eq!(consumed, None, "{end} bytes");
    }
}

#[track_caller]
fn refuses(bytes: &[u8], error: BodyError) {
    assert_eq!(chunked(bytes), Err(error), "{:?}", bytes.escape_ascii().to_string());
}

#[test]
fn a_stated_length_is_followed_to_the_byte() {
    for size in 1..8 {
        assert_eq!(
            decode_with(BodyLength::Length(5), 5, b"helloGET /", size),
            Ok((b"hello".to_vec(), Some(5)))
        );
    }
    assert_eq!(decode_with(BodyLength::Length(5), 5, b"hell", 4), Ok((b"hell".to_vec(), None)));
}

#[test]
fn no_content_is_finished_from_the_start() {
    for length in [BodyLength::None, BodyLength::Length(0)] {
        let mut decoder = BodyDecoder::new(length, 0).unwrap();
        assert!(decoder.is_finished());
        let step = decoder.decode(b"GET /").unwrap();
        assert_eq!(step, Step { consumed: 0, data: 0..0, finished: true });
    }
}

#[test]
fn a_stated_length_beyond_the_bound_is_refused_at_once() {
    for (length, bound) in [(1, 0), (101, 100), (u64::MAX, u64::MAX - 1)] {
        let refused = BodyDecoder::new(BodyLength::Length(length), bound);
        assert_eq!(refused.unwrap_err(), BodyError::TooLarge);
    }
    assert!(BodyDecoder::new(BodyLength::Length(u64::MAX), u64::MAX).is_ok());
    assert_eq!(BodyError::TooLarge.status(), Status::ContentTooLarge);
}

#[test]
fn chunked_bodies_that_the_rfc_allows() {
    accepts(b"0\r\n\r\n", b"");
    accepts(b"5\r\nhello\r\n0\r\n\r\n", b"hello");
    accepts(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world");
    accepts(b"A\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n", b"01234567890123456789");
    accepts(b"0000000000000002\r\nab\r\n0000000000000000\r\n\r\n", b"ab");
    accepts(b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n");
    accepts(b"2;name=value\r\nab\r\n0;last\r\n\r\n", b"ab");
    accepts(b"2 \t; name = \"quoted; \xff\"\r\nab\r\n0\r\n\r\n", b"ab");
    accepts(b"2\r\nab\r\n0\r\nX-Sum: 1\r\nEmpty:\r\n\r\n", b"ab");
    accepts(b"0\r\nContent-Length: 99\r\nTransfer-Encoding: gzip\r\nHost: x\r\n\r\n", b"");
}

#[test]
fn sizes_that_are_no_numbers() {
    for size in ["", "g", "-1", "+1", "0x5", " 5", "\t5", "5g", "5_0", "00000000000000005", ";a"] {
        refuses(format!("{size}\r\nhello\r\n0\r\n\r\n").as_bytes(), BodyError::ChunkSize);
    }
    refuses(b"\0", BodyError::ChunkSize);
    refuses(b"5\0", BodyError::ChunkSize);
    refuses(b"5\x0b", BodyError::ChunkSize);
    refuses(b"5\r\nhello\r\n\r\n", BodyError::ChunkSize);
}

#[test]
fn extensions_that_leave_doubt() {
    refuses(b"5;\n", BodyError::ChunkExtension);
    refuses(b"5;a\nhello", BodyError::ChunkExtension);
    refuses(b"5;a=\"\n\"\r\n", BodyError::ChunkExtension);
    refuses(b"5;a\0", BodyError::ChunkExtension);
    refuses(b"5;a\x7f", BodyError::ChunkExtension);
    refuses(b"5 \r\nhello", BodyError::ChunkExtension);
    refuses(b"5 \nhello", BodyError::ChunkExtension);
    refuses(b"5 a\r\nhello", BodyError::ChunkExtension);
    refuses(b"5;a\rb\n", BodyError::LineEnd);
    refuses(b"5;a\r\r\n", BodyError::LineEnd);
}

#[test]
fn extensions_are_bounded_by_line_and_in_total() {
    let line = |bytes: u32| format!("1;{}\r\nx\r\n", "a".repeat(bytes as usize - 1));
    accepts(format!("{}0\r\n\r\n", line(MAX_EXTENSION_LINE)).as_bytes(), b"x");
    refuses(line(MAX_EXTENSION_LINE + 1).as_bytes(), BodyError::ChunkExtensionTooLong);
    refuses(format!("1{}", " ".repeat(257)).as_bytes(), BodyError::ChunkExtensionTooLong);

    let lines = (MAX_EXTENSION_TOTAL / MAX_EXTENSION_LINE) as usize;
    let most = line(MAX_EXTENSION_LINE).repeat(lines);
    let within = format!("{most}0\r\n\r\n");
    let beyond = format!("{most}0;\r\n\r\n");
    let decode = |body: &str, size| decode_with(BodyLength::Chunked, ROOM, body.as_bytes(), size);
    for size in [1, 1000, 1 << 20] {
        assert_eq!(decode(&within, size), Ok((vec![b'x'; lines], Some(within.len()))));
        assert_eq!(decode(&beyond, size), Err(BodyError::ChunkExtensionTooLong));
    }
}

#[test]
fn line_ends_that_are_not_crlf() {
    refuses(b"5\nhello\r\n0\r\n\r\n", BodyError::LineEnd);
    refuses(b"5\rhello\r\n0\r\n\r\n", BodyError::LineEnd);
    refuses(b"5\r\r\nhello", BodyError::LineEnd);
    refuses(b"5\r\nhello\n0\r\n\r\n", BodyError::LineEnd);
    refuses(b"5\r\nhello0\r\n\r\n", BodyError::LineEnd);
    refuses(b"5\r\nhello!\r\n0\r\n\r\n", BodyError::LineEnd);
    refuses(b"5\r\nhello\rX", BodyError::LineEnd);
    refuses(b"0\r\n\rX", BodyError::LineEnd);
    refuses(b"0\r\nA: b\rX", BodyError::LineEnd);
    refuses(b"0\n\n", BodyError::LineEnd);
}

#[test]
fn trailers_that_are_no_fields() {
    refuses(b"0\r\n\n", BodyError::Trailer);
    refuses(b"0\r\n: x\r\n", BodyError::Trailer);
    refuses(b"0\r\nname\r\n", BodyError::Trailer);
    refuses(b"0\r\nna me: x\r\n", BodyError::Trailer);
    refuses(b"0\r\nname : x\r\n", BodyError::Trailer);
    refuses(b"0\r\nname: x\n", BodyError::Trailer);
    refuses(b"0\r\nname: \0\r\n", BodyError::Trailer);
    refuses(b"0\r\nname: x\r\n folded\r\n\r\n", BodyError::Trailer);
    refuses(b"0\r\n\tname: x\r\n\r\n", BodyError::Trailer);
}

#[test]
fn trailers_are_bounded_in_bytes_and_count() {
    let fields = MAX_TRAILER_FIELDS as usize;
    accepts(format!("0\r\n{}\r\n", "a:\r\n".repeat(fields)).as_bytes(), b"");
    let many = format!("0\r\n{}\r\n", "a:\r\n".repeat(fields + 1));
    refuses(many.as_bytes(), BodyError::TrailerTooLong);

    // The name, the colon and three line ends' worth of bytes beside the value.
    let value = |bytes: u32| format!("0\r\na:{}\r\n\r\n", "b".repeat(bytes as usize));
    let within = value(MAX_TRAILER_BYTES - 6);
    let beyond = value(MAX_TRAILER_BYTES - 5);
    let decode = |body: &str, size| decode_with(BodyLength::Chunked, ROOM, body.as_bytes(), size);
    for size in [1, 1000, 1 << 20] {
        assert_eq!(decode(&within, size), Ok((Vec::new(), Some(within.len()))));
        assert_eq!(decode(&beyond, size), Err(BodyError::TrailerTooLong));
    }
}

#[test]
fn chunks_beyond_the_bound_are_refused_by_their_size() {
    let decode = |body: &[u8], bound| decode_with(BodyLength::Chunked, bound, body, body.len());
    assert_eq!(decode(b"5\r\nhello\r\n0\r\n\r\n", 5), Ok((b"hello".to_vec(), Some(15))));
    assert_eq!(decode(b"5", 4), Err(BodyError::TooLarge));
    assert_eq!(decode(b"3\r\nabc\r\n2", 4), Err(BodyError::TooLarge));
    assert_eq!(decode(b"FFFFFFFFFFFFFFFF", ROOM), Err(BodyError::TooLarge));
    assert_eq!(decode(b"1", 0), Err(BodyError::TooLarge));
    assert_eq!(decode(b"0\r\n\r\n", 0), Ok((Vec::new(), Some(5))));
    // The sum of the sizes must not wrap either.
    assert_eq!(decode(b"1\r\na\r\nFFFFFFFFFFFFFFFF", u64::MAX), Err(BodyError::TooLarge));
}

#[test]
fn every_error_says_what_is_wrong() {
    for error in [
        BodyError::TooLarge,
        BodyError::ChunkSize,
        BodyError::ChunkExtension,
        BodyError::ChunkExtensionTooLong,
        BodyError::LineEnd,
        BodyError::Trailer,
        BodyError::TrailerTooLong,
    ] {
        assert!(error.to_string().len() > 20);
        let too_large = error == BodyError::TooLarge;
        assert_eq!(error.status() == Status::ContentTooLarge, too_large);
        assert_eq!(error.status() == Status::BadRequest, !too_large);
    }
}

#[test]
fn trailers_are_kept_where_that_is_asked_for() {
    let body = b"3\r\nabc\r\n0\r\nA: b\r\nC: d\r\n\r\n";
    for (keep, kept) in [(true, &b"A: b\r\nC: d\r\n"[..]), (false, b"")] {
        let mut decoder = BodyDecoder::new(BodyLength::Chunked, ROOM).unwrap();
        if keep {
            decoder.keep_trailers();
        }
        let mut rest = &body[..];
        while !decoder.is_finished() {
            assert_eq!(decoder.clone().take_trailers(), b"");
            let step = decoder.decode(&rest[..1]).unwrap();
            rest = &rest[step.consumed..];
        }
        assert_eq!(decoder.take_trailers(), kept);
    }
    let mut stated = BodyDecoder::new(BodyLength::Length(0), ROOM).unwrap();
    stated.keep_trailers();
    assert_eq!(stated.take_trailers(), b"");
}

#[test]
fn content_that_went_another_way_counts() {
    let mut stated = BodyDecoder::new(BodyLength::Length(7), ROOM).unwrap();
    assert_eq!(stated.rest(), Some(7));
    assert!(stated.pass(4));
    assert_eq!(stated.rest(), Some(3));
    assert!(!stated.pass(4));
    assert_eq!(stated.rest(), Some(3));
    assert!(stated.pass(3) && stated.is_finished());

    let mut chunked = BodyDecoder::new(BodyLength::Chunked, ROOM).unwrap();
    assert_eq!(chunked.rest(), None);
    assert!(!chunked.pass(0) && !chunked.is_finished());
}
