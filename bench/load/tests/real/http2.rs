//! An HTTP/2 side for the server: all of its answers wait until the client has nothing more to
//! send, then leave in the reverse of the order in which they were asked for.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use ringway_bench_h2::decoder::Decoder;
use ringway_bench_h2::encode::{self, Literal};
use ringway_bench_h2::frame::{
    FrameHead, HEAD, MAX_FRAME, PREFACE, code, flag, kind, put, put_reset, put_settings, setting,
};

use super::server::{Behaviour, body};

/// Streams that the server allows at once.
pub(crate) const STREAMS: u32 = 6;

pub(crate) fn serve<S: Read + Write>(
    stream: &mut S,
    behaviour: Behaviour,
    asked: &AtomicUsize,
) -> io::Result<()> {
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface)?;
    assert_eq!(&preface, PREFACE);
    let mut out = Vec::new();
    put_settings(&mut out, &[(setting::MAX_CONCURRENT_STREAMS, STREAMS)]);
    put(&mut out, kind::PING, 0, 0, b"are you?");
    stream.write_all(&out)?;
    stream.flush()?;
    let (mut decoder, mut input, mut waiting) = (Decoder::default(), Vec::new(), Vec::new());
    let mut acknowledged = (false, false);
    loop {
        while let Some(head) = input.first_chunk::<HEAD>().copied().map(FrameHead::read) {
            if input.len() < HEAD + head.len {
                break;
            }
            let payload: Vec<u8> = input.drain(..HEAD + head.len).skip(HEAD).collect();
            match head.kind {
                kind::HEADERS => {
                    let mut path = String::new();
                    let field = |name: &[u8], value: &[u8]| {
                        if name == b":path" {
                            path = String::from_utf8(value.to_vec()).unwrap();
                        }
                    };
                    decoder.decode(&payload, field).unwrap();
                    waiting.push((head.stream, path));
                    assert!(waiting.len() <= STREAMS as usize);
                }
                kind::SETTINGS if head.has(flag::ACK) => acknowledged.0 = true,
                kind::PING => {
                    assert!(head.has(flag::ACK) && payload == b"are you?");
                    acknowledged.1 = true;
                }
                _ => {}
            }
        }
        let mut out = Vec::new();
        if acknowledged == (true, true) {
            for (id, path) in waiting.drain(..).rev() {
                if !answer(&mut out, id, &path, behaviour, asked) {
                    stream.write_all(&out)?;
                    return stream.flush();
                }
            }
        }
        stream.write_all(&out)?;
        stream.flush()?;
        let mut more = [0; 4096];
        let len = stream.read(&mut more)?;
        if len == 0 {
            return Ok(());
        }
        input.extend_from_slice(&more[..len]);
    }
}

/// Appends an answer; false if the connection is to end instead.
fn answer(
    out: &mut Vec<u8>,
    id: u32,
    path: &str,
    behaviour: Behaviour,
    asked: &AtomicUsize,
) -> bool {
    let number = asked.fetch_add(1, Ordering::Relaxed);
    let wrong = number % 2 == 1;
    let mut body = body(path);
    let length = body.len().to_string();
    let mut status = b"200";
    match behaviour {
        Behaviour::WrongStatus if wrong => status = b"503",
        Behaviour::WrongLength if wrong => body.truncate(4999),
        Behaviour::WrongBytes if wrong => body[4999] ^= 1,
        Behaviour::Garbage if wrong => status = b"tea",
        Behaviour::Break if wrong => return false,
        Behaviour::Reset if wrong => {
            put_reset(out, id, code::CANCEL);
            return true;
        }
        Behaviour::GoAway if wrong => {
            put(out, kind::GOAWAY, 0, 0, &[0; 8]);
            return true;
        }
        _ => {}
    }
    let mut block = Vec::new();
    encode::literal(&mut block, Literal::Indexed, b":status", status);
    encode::literal(&mut block, Literal::Indexed, b"content-length", length.as_bytes());
    let (first, rest) = block.split_at(block.len() / 2);
    put(out, kind::HEADERS, 0, id, first);
    put(out, kind::CONTINUATION, flag::END_HEADERS, id, rest);
    let mut pieces = body.chunks(MAX_FRAME.min(3000)).peekable();
    while let Some(piece) = pieces.next() {
        let last = if pieces.peek().is_none() { flag::END_STREAM } else { 0 };
        put(out, kind::DATA, last, id, piece);
    }
    true
}
