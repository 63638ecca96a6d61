//! Priorities (RFC 9218), seen by the order in which content comes once a window that held all of
//! it is opened.

use ringway_bench_h2::frame::{WINDOW, code, kind, put_reset, setting};

use crate::peer::Peer;
use crate::site::Site;
use crate::target::Target;

const LEN: usize = 300_000;

fn target() -> Target {
    let site = Site::new();
    site.noise("some.bin", LEN);
    Target::start(site, &[])
}

/// A connection whose window is used up, and whose streams have wide ones.
fn held(target: &Target) -> Peer {
    let mut peer = target.connect_with(&[(setting::INITIAL_WINDOW_SIZE, 1 << 24)]);
    peer.generous = false;
    let filler = peer.ask("/some.bin");
    peer.until(|peer| peer.answers[&filler].body.len() == WINDOW as usize);
    let mut out = Vec::new();
    put_reset(&mut out, filler, code::CANCEL);
    peer.send(&out);
    peer
}

/// Asks with each of these priorities, and waits for the heads.
fn asked(peer: &mut Peer, priorities: &[&str]) -> Vec<u32> {
    let streams: Vec<u32> = priorities
        .iter()
        .map(|priority| match *priority {
            "" => peer.ask("/some.bin"),
            priority => peer.ask_with("/some.bin", &[("priority", priority)]),
        })
        .collect();
    peer.until(|peer| streams.iter().all(|stream| peer.answers[stream].status == 200));
    streams
}

/// Opens the window and answers with the order in which these streams end.
fn order(peer: &mut Peer, streams: &[u32]) -> Vec<u32> {
    peer.data.clear();
    peer.order.clear();
    peer.open_window(0, 1 << 24);
    for &stream in streams {
        assert_eq!(peer.answer(stream).body.len(), LEN);
    }
    peer.order.clone()
}

#[test]
fn more_urgent_content_comes_first() {
    let target = target();
    let mut peer = held(&target);
    let streams = asked(&mut peer, &["u=7", "u=5", "", "u=0", "u=2", "u=4"]);
    let [last, fifth, third, first, second, fourth] = streams[..] else { panic!() };
    assert_eq!(order(&mut peer, &streams), [first, second, third, fourth, fifth, last]);
}

#[test]
fn content_of_one_urgency_comes_in_the_order_of_the_questions() {
    let target = target();
    let mut peer = held(&target);
    let streams = asked(&mut peer, &["", "u=3", "i=?0", "nonsense!", ""]);
    assert_eq!(order(&mut peer, &streams), streams);
    // One stream at a time.
    let mut seen: Vec<u32> = peer.data.iter().map(|(stream, _)| *stream).collect();
    seen.dedup();
    assert_eq!(seen, streams);
}

#[test]
fn incremental_content_is_shared() {
    let target = target();
    let mut peer = held(&target);
    let streams = asked(&mut peer, &["i", "i", "u=3, i"]);
    order(&mut peer, &streams);
    let mut seen: Vec<u32> = peer.data.iter().map(|(stream, _)| *stream).collect();
    seen.dedup();
    // A turn is a record of a cached file, or up to 128 KiB of one that the worker reads.
    assert!(seen.len() >= 6, "in turns: {seen:?}");
    // All are under way before the first ends.
    assert!(streams.iter().all(|stream| seen[..6].contains(stream)), "{seen:?}");
}

#[test]
fn priorities_change() {
    let target = target();
    let mut peer = held(&target);
    let streams = asked(&mut peer, &["u=1", "u=2", "u=3"]);
    let update = |peer: &mut Peer, stream: u32, priority: &str| {
        let payload = [&stream.to_be_bytes()[..], priority.as_bytes()].concat();
        peer.frame(kind::PRIORITY_UPDATE, 0, 0, &payload);
    };
    update(&mut peer, streams[0], "u=6");
    update(&mut peer, streams[2], "u=0");
    peer.ping(*b"in order");
    peer.until(|peer| peer.pongs.contains(b"in order"));
    let reversed: Vec<u32> = streams.iter().rev().copied().collect();
    assert_eq!(order(&mut peer, &streams), reversed);
}

#[test]
fn a_priority_may_come_before_its_stream() {
    let target = target();
    let mut peer = held(&target);
    // The next stream but one.
    let later = 5_u32;
    let payload = [&later.to_be_bytes()[..], b"u=0"].concat();
    peer.frame(kind::PRIORITY_UPDATE, 0, 0, &payload);
    let streams = asked(&mut peer, &["u=2", ""]);
    assert_eq!(streams, [3, later]);
    assert_eq!(order(&mut peer, &streams), [later, 3]);
}
