//! The end of a connection that is in order: drain, limits on requests, idleness, the client's
//! GOAWAY.

use ringway_bench_h2::frame::{code, flag, kind};
use rustix::process::Signal;

use crate::peer::{Ended, Peer};
use crate::site::{HELLO, Site};
use crate::target::Target;

const ALL: u32 = (1 << 31) - 1;

fn with_film(options: &[&str]) -> Target {
    let site = Site::new();
    site.noise("film.bin", 1 << 20);
    Target::start(site, options)
}

/// Waits for the first GOAWAY, which names no stream, and the PING behind it.
fn first_step(peer: &mut Peer) -> [u8; 8] {
    peer.until(|peer| !peer.pings.is_empty());
    let away = peer.aways.first().expect("a GOAWAY before the PING");
    assert_eq!((away.last, away.code), (ALL, code::NO_ERROR));
    peer.pings[0]
}

#[test]
fn a_drain_loses_no_request_that_was_on_its_way() {
    let mut target = with_film(&["--drain-timeout", "1h"]);
    let mut peer = target.connect();
    peer.generous = false;
    let film = peer.ask("/film.bin");
    peer.until(|peer| peer.answers[&film].body.len() == 65_535);
    peer.polite = false;
    target.server().signal(Signal::TERM);
    let ping = first_step(&mut peer);
    // On its way while the client had not heard of the end.
    let late = peer.ask("/hello.txt");
    peer.frame(kind::PING, flag::ACK, 0, &ping);
    peer.until(|peer| peer.aways.len() == 2);
    let away = peer.aways[1].clone();
    assert_eq!((away.last, away.code), (late, code::NO_ERROR));
    // Nothing is taken any more; what is open ends properly.
    let refused = peer.ask("/hello.txt");
    peer.open_window(0, 1 << 24);
    peer.open_window(film, 1 << 24);
    assert_eq!(peer.answer(film).body.len(), 1 << 20);
    assert_eq!(peer.answer(late).body, HELLO);
    let last = peer.expect_away(code::NO_ERROR);
    assert_eq!(last.last, late);
    assert_eq!(peer.answers[&refused].status, 0);
    assert_eq!(target.server.as_mut().unwrap().wait().code(), Some(0));
}

#[test]
fn a_client_that_answers_no_ping_is_drained_as_well() {
    let mut target = with_film(&["--drain-timeout", "1h"]);
    let mut peer = target.connect();
    peer.polite = false;
    peer.generous = false;
    let film = peer.ask("/film.bin");
    peer.until(|peer| peer.answers[&film].body.len() == 65_535);
    target.server().signal(Signal::TERM);
    first_step(&mut peer);
    peer.until(|peer| peer.aways.len() == 2);
    assert_eq!(peer.aways[1].last, film);
    peer.open_window(0, 1 << 24);
    peer.open_window(film, 1 << 24);
    assert_eq!(peer.answer(film).body.len(), 1 << 20);
    peer.expect_away(code::NO_ERROR);
    assert_eq!(target.server.as_mut().unwrap().wait().code(), Some(0));
}

#[test]
fn idle_connections_are_drained_at_once() {
    let mut target = Target::plain(&["--drain-timeout", "1h"]);
    let mut peers: Vec<Peer> = (0..20).map(|_| target.connect()).collect();
    for (number, peer) in peers.iter_mut().enumerate() {
        // Half of them have asked before.
        if number % 2 == 0 {
            assert_eq!(peer.get("/hello.txt").body, HELLO);
        } else {
            peer.until(|peer| peer.acknowledged == 1);
        }
    }
    target.server().signal(Signal::TERM);
    for peer in &mut peers {
        peer.expect_away(code::NO_ERROR);
    }
    assert_eq!(target.server.as_mut().unwrap().wait().code(), Some(0));
}

#[test]
fn a_drain_under_load_loses_nothing() {
    let mut target = Target::plain(&["--drain-timeout", "1h"]);
    let mut peers: Vec<Peer> = (0..8).map(|_| target.connect()).collect();
    let mut streams: Vec<Vec<u32>> = vec![Vec::new(); peers.len()];
    for round in 0..40 {
        if round == 20 {
            target.server().signal(Signal::TERM);
        }
        for (peer, streams) in peers.iter_mut().zip(&mut streams) {
            // So many may be open that ten more are within SETTINGS_MAX_CONCURRENT_STREAMS, on a slow host too.
            peer.until(|peer| {
                let is_open = |stream: &&u32| peer.answers[*stream].ended().is_none();
                !peer.aways.is_empty() || streams.iter().filter(is_open).count() <= 50
            });
            // A client may ask until it hears of the end, so it asks without having listened.
            if peer.aways.is_empty() {
                streams.extend((0..10).map(|_| peer.ask("/hello.txt")));
            }
        }
        for peer in &mut peers {
            peer.glance();
        }
    }
    for (peer, streams) in peers.iter_mut().zip(streams) {
        let away = peer.expect_away(code::NO_ERROR);
        for stream in streams {
            let answer = &peer.answers[&stream];
            if stream <= away.last {
                assert_eq!((answer.status, &answer.body[..]), (200, HELLO), "{stream}: {away:?}");
            } else {
                assert_eq!(answer.status, 0, "{stream}: {away:?}");
            }
        }
    }
    assert_eq!(target.server.as_mut().unwrap().wait().code(), Some(0));
}

#[test]
fn a_connection_ends_at_its_limit_of_requests() {
    let target = Target::plain(&["--max-requests", "5"]);
    let mut peer = target.connect();
    while peer.end.is_none() && peer.aways.len() < 2 {
        let stream = peer.ask("/hello.txt");
        peer.until(|peer| peer.answers[&stream].ended().is_some() || peer.aways.len() == 2);
        assert!(peer.answers.len() < 1000, "a limit of five requests");
    }
    let away = peer.expect_away(code::NO_ERROR);
    for (stream, answer) in &peer.answers {
        assert_eq!(answer.whole, *stream <= away.last, "{stream}");
    }
    // The last of them may come behind the GOAWAY that counts it.
    let answered = peer.answers.values().filter(|answer| answer.whole).count();
    assert!((5..20).contains(&answered), "{answered}");
    target.connect().expect_alive();
}

#[test]
fn a_client_that_says_goaway_gets_its_answers_and_the_end() {
    let target = with_film(&[]);
    let mut peer = target.connect();
    let film = peer.ask("/film.bin");
    peer.frame(kind::GOAWAY, 0, 0, &[0; 8]);
    assert_eq!(peer.answer(film).body.len(), 1 << 20);
    peer.until(|peer| peer.end.is_some());
    assert_eq!(peer.end, Some(crate::client::End::Notified));
    assert!(peer.aways.iter().all(|away| away.code == code::NO_ERROR));
}

/// GOAWAY of a client ends nothing by itself: what follows it is answered, whether it comes in the
/// same record or after a pause.
#[test]
fn a_client_that_has_said_goaway_is_answered() {
    let target = Target::start(Site::new(), &["--close-timeout=30s"]);
    let mut peer = target.connect();
    peer.frame(kind::GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0xff]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    peer.expect_alive();
    let late = peer.ask("/");
    assert_eq!(peer.answer(late).status, 200);
}

#[test]
fn a_connection_that_the_client_closes_ends_its_streams() {
    let target = with_film(&[]);
    for closes in 0..10 {
        let mut peer = target.connect();
        peer.generous = false;
        let film = peer.ask("/film.bin");
        peer.until(|peer| peer.answers[&film].body.len() == 65_535);
        if closes % 2 == 0 {
            peer.close();
        }
    }
    // Their descriptors come back.
    let mut peer = target.connect();
    assert_eq!(peer.get("/hello.txt").body, HELLO);
    if let Some(server) = &target.server {
        let before = server.descriptors();
        server.settle(before.max(1));
    }
    let again = peer.ask("/film.bin");
    assert_eq!(peer.ended(again), Ended::Whole);
}
