//! Content that is sealed in frames from where it lies, opened by the peer.

use std::future::poll_fn;

use proptest::prelude::*;

use super::{Bench, block_on, records};
use crate::{
    config::Timeouts,
    ring::Pages,
    write::{Frames, Writer},
};

/// The frames of a stream: how long they are, whether they are marked as the last, and what is in them.
fn frames(mut stream: &[u8]) -> Vec<(bool, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = stream.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        frames.push((head[3] == 1, rest[..length].to_vec()));
        stream = &rest[length..];
    }
    assert!(stream.is_empty(), "a frame is cut short");
    frames
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever content is sealed in frames from where it lies, in whatever room: what the peer opens
    /// are whole frames within their bound, which are the content.
    #[test]
    fn content_is_sealed_in_frames_from_where_it_lies(
        contents in prop::collection::vec((4097_usize..200_000, 0_usize..10_000), 1..5),
        most in prop::sample::select(vec![16_384_usize, 16_383, 16_375, 5000]),
        rested: bool,
    ) {
        let Bench { ring, socket, mut writer, mut peer } = Bench::new(&Timeouts::default());
        let reader = std::thread::spawn(move || records(&mut peer).concat());
        let mut expected = Vec::new();
        let sent = block_on(&ring, async {
            if !rested {
                // Past the short records of a new connection.
                Bench::respond_with(&mut writer, &socket, 64 << 10).await?;
            }
            for (number, &(length, copied)) in contents.iter().enumerate() {
                // What is copied before: a frame of its own.
                writer.reserve(&socket, 9 + copied, 0, true).await?;
                let head = (copied as u32).to_be_bytes();
                let room = writer.room();
                room[..9].copy_from_slice(&[head[1], head[2], head[3], 0, 0, 0, 0, 0, 0]);
                room[9..9 + copied].fill(b'c');
                writer.commit(9 + copied)?;
                let bytes: Vec<u8> = (0..length).map(|at| (at * 7 + number) as u8).collect();
                let pages = Pages::from(&bytes[..]);
                let mut done = 0;
                while done < length {
                    let mut left = length - done;
                    let mut head = |count: u32| {
                        left -= count as usize;
                        let bytes = count.to_be_bytes();
                        [bytes[1], bytes[2], bytes[3], u8::from(left == 0), 0, 0, 0, 0, 1]
                    };
                    let frames = Frames { most, head: &mut head };
                    let count = writer.seal_frames(&pages[done..], frames)?;
                    done += count;
                    if count == 0 {
                        let wanted = Writer::framed(length - done);
                        poll_fn(|_| writer.poll_reserve_to_lend(&socket, wanted)).await?;
                    }
                }
                expected.push(bytes);
            }
            writer.flush(&socket).await
        });
        sent.unwrap();
        drop((writer, socket));
        ring.turn().unwrap();
        let mut stream = &reader.join().unwrap()[..];
        if !rested {
            stream = &stream[100 + (64 << 10)..];
        }
        let (mut content, mut contents) = (Vec::new(), Vec::new());
        for (is_last, frame) in frames(stream) {
            if content.is_empty() && frame.iter().all(|byte| *byte == b'c') {
                continue;
            }
            prop_assert!(frame.len() <= most);
            content.extend_from_slice(&frame);
            if is_last {
                contents.push(std::mem::take(&mut content));
            }
        }
        prop_assert!(contents == expected, "content is mixed up");
    }
}

/// In a long content each record is full: a frame, and the head of the next one.
#[test]
fn frames_of_a_long_content_fill_their_records() {
    let Bench { ring, socket, mut writer, mut peer } = Bench::new(&Timeouts::default());
    let reader = std::thread::spawn(move || records(&mut peer));
    let content = vec![b'x'; 8 * 16_375 - 9];
    block_on(&ring, async {
        // Past the short records of a new connection.
        Bench::respond_with(&mut writer, &socket, 64 << 10).await?;
        let wanted = Writer::framed(content.len());
        poll_fn(|_| writer.poll_reserve_to_lend(&socket, wanted)).await?;
        let mut head = |count: u32| {
            let bytes = count.to_be_bytes();
            [bytes[1], bytes[2], bytes[3], 0, 0, 0, 0, 0, 1]
        };
        let frames = Frames { most: 16_384, head: &mut head };
        assert_eq!(writer.seal_frames(&content, frames)?, content.len());
        writer.flush(&socket).await
    })
    .unwrap();
    drop((writer, socket));
    ring.turn().unwrap();
    let lengths: Vec<usize> = reader.join().unwrap().iter().map(Vec::len).collect();
    let own = &lengths[lengths.len() - 9..];
    assert_eq!(own, [9, 16_384, 16_384, 16_384, 16_384, 16_384, 16_384, 16_384, 16_366]);
}
