//! Streams do not hold each other up: neither one that the client does not take, nor one whose file
//! does not come.

use std::time::Duration;

use ringway_bench_h2::frame::{code, kind, setting};

use crate::host::skip;
use crate::server::PATIENCE;
use crate::site::{HELLO, Site};
use crate::stuck_disk::{Reads, StuckDisk};
use crate::target::Target;

const LONG: u64 = 256 << 20;

/// Frames are read while the socket takes no more of an answer: else a client that sends before it
/// reads would never come to read.
#[test]
fn frames_are_read_while_a_send_waits() {
    let site = Site::new();
    std::fs::File::create(site.root().join("long.bin")).unwrap().set_len(LONG).unwrap();
    let options = ["--response-timeout", "600s", "--response-min-rate", "0"];
    let target = Target::start(site, &options);
    let mut peer = target.connect_with(&[(setting::INITIAL_WINDOW_SIZE, LONG as u32)]);
    peer.generous = false;
    peer.open_window(0, LONG as u32);
    let long = peer.ask("/long.bin");
    peer.let_it_fill();
    // More than lies between two sockets, unless the other end takes it.
    peer.socket.set_write_timeout(Some(PATIENCE)).unwrap();
    for _ in 0..160 {
        assert!(peer.open_window_often(1024, 4_000), "the server takes no frames");
    }
    // So it knows of this before it sends more than is on its way.
    let behind: Vec<u32> = (0..3).map(|_| peer.ask("/hello.txt")).collect();
    peer.frame(kind::RST_STREAM, 0, long, &code::CANCEL.to_be_bytes());
    for stream in behind {
        assert_eq!(peer.answer(stream).body, HELLO);
    }
    peer.expect_alive();
    let answer = &peer.answers[&long];
    assert!(answer.ended().is_none() && (answer.body.len() as u64) < LONG);
}

#[test]
fn a_file_that_does_not_come_delays_its_own_stream() {
    delays_its_own_stream(Reads::Ahead);
}

/// Nor does it stop the worker, where the thread that submits a read would wait for a file server.
#[test]
fn a_file_server_that_does_not_answer_delays_its_own_stream() {
    delays_its_own_stream(Reads::InLine);
}

fn delays_its_own_stream(reads: Reads) {
    let site = Site::new();
    site.noise("large.bin", 3 << 20);
    let root = site.root();
    let target = Target::start(site, &["--response-timeout", "600s"]);
    let disk = match StuckDisk::mount(&root.join("stuck"), reads) {
        Ok(disk) => disk,
        Err(error) => return skip(&format!("FUSE cannot be mounted: {error}")),
    };
    let mut peer = target.connect();
    let stuck: Vec<u32> = (0..3).map(|number| peer.ask(&format!("/stuck/{number}"))).collect();
    for stream in &stuck {
        peer.until(|peer| peer.answers[stream].status == 200);
    }
    while disk.reads() < stuck.len() {
        std::thread::sleep(Duration::from_millis(5));
    }
    for _ in 0..3 {
        let large = std::fs::read(root.join("large.bin")).unwrap();
        assert!(peer.get("/large.bin").body == large, "another content");
        assert_eq!(peer.get("/hello.txt").body, HELLO);
    }
    for stream in &stuck {
        let answer = &peer.answers[stream];
        assert!(answer.ended().is_none() && answer.body.is_empty(), "{answer:?}");
        peer.frame(kind::RST_STREAM, 0, *stream, &code::CANCEL.to_be_bytes());
    }
    peer.expect_alive();
}

#[test]
fn a_file_that_never_comes_costs_its_own_stream() {
    let reads = Reads::Ahead;
    let site = Site::new();
    let root = site.root();
    let target = Target::start(site, &["--response-timeout", "1s"]);
    let _disk = match StuckDisk::mount(&root.join("stuck"), reads) {
        Ok(disk) => disk,
        Err(error) => return skip(&format!("FUSE cannot be mounted: {error}")),
    };
    let mut peer = target.connect();
    // More than are read at a time.
    let stuck: Vec<u32> = (0..6).map(|number| peer.ask(&format!("/stuck/{number}"))).collect();
    for stream in stuck {
        peer.expect_reset(stream, code::INTERNAL_ERROR);
    }
    peer.expect_alive();
}
