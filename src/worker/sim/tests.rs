//! The player plays: what is known to be in order, then anything.

use proptest::{prelude::*, strategy::ValueTree};

use super::{
    Played, play, play_polling,
    requests::{KINDS, is_cut},
};

/// One client of the first suite, in peace.
const PEACE: [u8; 3] = [0x3b, 0x10, 0];

/// Connect, and ask for each of these; then as the kernel likes.
fn ask(kinds: impl IntoIterator<Item = u8>) -> Vec<u8> {
    let mut input = PEACE.to_vec();
    input.push(0);
    for kind in kinds {
        input.extend([1, kind, 11]);
    }
    input
}

#[test]
fn whatever_is_asked_is_answered() {
    for kind in 0..KINDS {
        let played = play(&ask([kind]));
        let answers = usize::from(!is_cut(kind));
        let expected = Played { accepted: 1, handshakes: 1, requests: 1, answers, ..played };
        assert_eq!(played, expected, "request {kind}");
    }
}

/// The same over epoll: the same answers, since the kernel moves the same bytes.
#[test]
#[cfg_attr(miri, ignore)]
fn whatever_is_asked_is_answered_over_epoll() {
    for http2 in [0, 0x40] {
        for kind in (0..KINDS).filter(|kind| !is_cut(*kind)) {
            let mut input = ask([kind]);
            input[2] |= http2;
            let (script, polled) = (play(&input), play_polling(&input));
            let same = |played: Played| {
                (played.accepted, played.handshakes, played.requests, played.answers)
            };
            assert_eq!(same(polled), same(script), "request {kind}");
            assert_eq!(polled.answers, 1, "request {kind}");
        }
    }
    for pools in 0..=255 {
        let mut input = ask([2, 4, 11, 13, 0]);
        (input[0], input[2]) = (pools, pools & 15);
        assert_eq!(play_polling(&input).answers, 5, "pools {pools:#x}");
    }
}

/// The same over HTTP/2, one after the other and all at once.
#[test]
fn whatever_is_asked_over_http2_is_answered() {
    let over_http2 = |mut input: Vec<u8>| {
        input[2] |= 0x40;
        play(&input)
    };
    for kind in (0..KINDS).filter(|kind| !is_cut(*kind)) {
        let played = over_http2(ask([kind]));
        assert_eq!((played.requests, played.answers), (1, 1), "request {kind}");
    }
    let mut input = PEACE.to_vec();
    input.extend([0, 0, 0]);
    let kinds = (0..KINDS).filter(|kind| !is_cut(*kind));
    input.extend(kinds.clone().flat_map(|kind| [1, kind]));
    assert_eq!(over_http2(input).answers, kinds.count());
    // What the first has looked up the second finds.
    for kind in (0..KINDS).filter(|kind| !is_cut(*kind)) {
        assert_eq!(over_http2(ask([kind, kind])).answers, 2, "request {kind} twice");
    }
    for pools in 0..=255 {
        let mut input = ask([2, 4, 11, 13, 0]);
        (input[0], input[2]) = (pools, pools & 15);
        assert_eq!(over_http2(input).answers, 5, "pools {pools:#x}");
    }
}

#[test]
fn every_suite_and_size_of_pool_serves() {
    for pools in 0..=255 {
        let mut input = ask([2, 4, 11, 13, 0]);
        (input[0], input[2]) = (pools, pools & 15);
        assert_eq!(play(&input).answers, 5, "pools {pools:#x}");
    }
}

#[test]
fn the_same_input_plays_the_same_way() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let inputs = prop::collection::vec(any::<u8>(), 50..200);
    for _ in 0..20 {
        let input = inputs.new_tree(&mut runner).expect("an input").current();
        assert_eq!(play(&input), play(&input));
    }
}

/// A send of the handshake that is interrupted is tried again, as any other.
#[test]
fn an_interrupted_flight_goes_on() {
    for how in [0x05, 0x15] {
        // The client's first flight is delivered, and the first send of the server's fails.
        let played = play(&[0x3b, 0x10, 0x10, 0, 0x0a, 0x0a, 1, 1, how, 2, 11]);
        assert_eq!((played.handshakes, played.answers), (1, 1), "fault {how:#x}");
    }
}

/// Inputs that once failed.
const FOUND: [&[u8]; 2] = [
    // A connection that ended while its KeyUpdate left closed it under the old key.
    &[0, 10, 128, 0, 1, 0, 49, 0, 113, 0, 245, 136, 3, 0, 10, 88, 240, 151, 142, 0],
    // A worker that was stopping served connections beyond its limit.
    b"\x1b\xf6\x10\x12\x00\xb0\x03\x00\x00\x00\x0a\x0a\x0a\x0a\x0a\x01\x14\x0a\x01\x02\x00\xef\xf9\xf1\x0c\x0b\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x1d\x1d\x0b\x00\x11\x17\x0a\x15\x14\x57\x1d\x0b\xbd\x0b",
];

#[test]
fn what_was_found_stays_mended() {
    for input in FOUND {
        play(input);
    }
}

/// Bytes that make a connection and then mostly something happen to it.
fn inputs() -> impl Strategy<Value = Vec<u8>> {
    (any::<[u8; 3]>(), prop::collection::vec(any::<u8>(), 0..300)).prop_map(|(setup, acts)| {
        let mut input = setup.to_vec();
        input.extend([0, 1]);
        input.extend(acts);
        input
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 400 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_nothing_is_left(input in inputs()) {
        play(&input);
    }

    #[test]
    #[cfg_attr(miri, ignore)]
    fn whatever_happens_nothing_is_left_over_epoll(input in inputs()) {
        play_polling(&input);
    }
}
