//! What one connection takes of the server's memory: idle, with a full table, and under attack. It is
//! counted over many connections at once, from what the kernel says of the process; what the process
//! takes only once (pools, a worker's scratch memory) is taken before, by connections that do the same.

use std::cell::Cell;
use std::time::Duration;

use ringway_bench_h2::encode::{self, Literal};
use ringway_bench_h2::frame::{flag, kind, put, setting};

use crate::peer::{Peer, asking, get};
use crate::site::Site;
use crate::target::Target;

/// Connections that are counted.
const MANY: u64 = 200;

/// Of these, connections that are made before those before them rest.
const AT_ONCE: usize = 20;

/// Longer than it takes until an idle connection gives memory back.
const UNTIL_THEY_REST: Duration = Duration::from_millis(1_600);

/// KiB of a connection in this state, on average. `bring` brings one into it.
fn kib_of_each(target: &Target, mut bring: impl FnMut() -> Peer) -> f64 {
    let warm: Vec<Peer> = (0..MANY / 4).map(|_| bring()).collect();
    let before = target.server().anonymous_kib();
    let held: Vec<Peer> = (0..MANY).map(|_| bring()).collect();
    let grown = target.server().anonymous_kib().saturating_sub(before);
    assert!(held.iter().all(|peer| peer.end.is_none()), "a connection has ended");
    drop(warm);
    grown as f64 / MANY as f64
}

/// Waits until the server has taken all that was sent.
fn settled(mut peer: Peer) -> Peer {
    let mark = [3, 1, 4, 1, 5, 9, 2, peer.pongs.len() as u8];
    peer.ping(mark);
    peer.until(|peer| peer.pongs.contains(&mark));
    peer
}

#[test]
fn an_idle_connection_takes_little_memory() {
    // What one gives back is there for the next: so few are counted that do not rest yet.
    let made = Cell::new(0_usize);
    let rest = || {
        made.set(made.get() + 1);
        if made.get().is_multiple_of(AT_ONCE) {
            std::thread::sleep(UNTIL_THEY_REST);
        }
    };
    let target = Target::start(Site::new(), &["--idle-timeout=1h"]);
    let idle = kib_of_each(&target, || {
        let mut peer = target.connect();
        peer.get("/hello.txt");
        rest();
        settled(peer)
    });
    let target = Target::start(Site::new(), &["--idle-timeout=1h"]);
    let full = kib_of_each(&target, || {
        let mut peer = target.connect();
        let mut block = encode::block(get("/hello.txt"));
        for number in 0..30 {
            let name = format!("x-{number}");
            encode::literal(&mut block, Literal::Indexed, name.as_bytes(), &[b'v'; 100]);
        }
        let stream = peer.block(&block, true);
        peer.answer(stream);
        rest();
        settled(peer)
    });
    eprintln!("an idle connection takes {idle:.1} KiB, one with a full table {full:.1} KiB");
    assert!(idle <= IDLE_KIB, "{idle:.1} KiB");
    // The entries of a full table take 4 KiB less 24 bytes each.
    assert!(full <= FULL_KIB, "{full:.1} KiB with a full table, {idle:.1} KiB without");
}

/// KiB of an idle connection, at most.
const IDLE_KIB: f64 = 8.0;

/// KiB of an idle connection whose client has filled the table of fields, at most.
const FULL_KIB: f64 = 12.0;

/// KiB of a connection, whatever its client does.
const ATTACKED_KIB: f64 = 128.0;

/// What an attack is called, and what brings a connection into it.
type Attack<'a> = (&'a str, Box<dyn Fn(&Target) -> Peer + 'a>);

#[test]
fn a_connection_under_attack_takes_little_memory() {
    let site = || {
        let site = Site::new();
        site.noise("film.bin", 8 << 20);
        site
    };
    let shut = [(setting::INITIAL_WINDOW_SIZE, 0)];
    let piece = encode::block(get("/hello.txt"));
    let attacks: [Attack<'_>; 6] = [
        (
            "a hundred streams of a film behind shut windows",
            Box::new(|target| {
                let mut peer = target.connect_with(&shut);
                (0..100).for_each(|_| _ = peer.ask("/film.bin"));
                settled(peer)
            }),
        ),
        (
            "a hundred error pages behind shut windows",
            Box::new(|target| {
                let mut peer = target.connect_with(&shut);
                (0..100).for_each(|_| _ = peer.ask("/none"));
                settled(peer)
            }),
        ),
        (
            "a hundred multipart answers behind shut windows",
            Box::new(|target| {
                let mut peer = target.connect_with(&shut);
                for _ in 0..100 {
                    peer.ask_with("/film.bin", &[("range", "bytes=0-0,9-9,20-29,100-200")]);
                }
                settled(peer)
            }),
        ),
        (
            "a head in pieces that does not end",
            Box::new(|target| {
                let mut peer = target.connect();
                let mut out = Vec::new();
                put(&mut out, kind::HEADERS, flag::END_STREAM, 1, &piece);
                (0..7).for_each(|_| put(&mut out, kind::CONTINUATION, 0, 1, &[0x82; 4000]));
                peer.expect(1, "GET");
                peer.send(&out);
                peer
            }),
        ),
        (
            "a hundred bodies that do not come",
            Box::new(|target| {
                let mut peer = target.connect();
                for _ in 0..100 {
                    let fields =
                        [&asking("POST", "/")[..], &[("content-length", "60000")]].concat();
                    peer.request(&fields, false);
                }
                settled(peer)
            }),
        ),
        (
            "windows that are open wide, and nothing is read",
            Box::new(|target| {
                let mut peer = target.connect_with(&[(setting::INITIAL_WINDOW_SIZE, 1 << 30)]);
                peer.open_window(0, 1 << 30);
                (0..100).for_each(|_| _ = peer.ask("/film.bin"));
                peer
            }),
        ),
    ];
    let options =
        ["--head-timeout=1h", "--response-timeout=1h", "--body-timeout=1h", "--idle-timeout=1h"];
    for (what, attack) in attacks {
        let target = Target::start(site(), &options);
        let each = kib_of_each(&target, || attack(&target));
        eprintln!("{what}: {each:.1} KiB");
        assert!(each <= ATTACKED_KIB, "{what}: {each:.1} KiB");
    }
}
