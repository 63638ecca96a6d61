//! One byte stream, two servers, one on io_uring and one on epoll: random requests, whole and damaged,
//! in random pieces. Both answer with the same bytes and end in the same way.

use std::process::Command;

use proptest::prelude::*;

use crate::client::{ClientOptions, End};
use crate::identity::Identity;
use crate::server::{PROGRAM, Server};
use crate::site::Site;

/// Requests that come together to streams. The last one of a stream may be damaged.
const REQUESTS: [&str; 12] = [
    "GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "HEAD /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip, br\r\n\r\n",
    "GET /large HTTP/1.1\r\nHost: localhost\r\nRange: bytes=5-3000\r\n\r\n",
    "GET /large HTTP/1.1\r\nHost: localhost\r\nRange: bytes=-70000\r\n\r\n",
    "GET /missing HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /hello.txt HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: *\r\n\r\n",
    "POST /hello.txt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /hello.txt HTTP/1.0\r\n\r\n",
    "GET /hello.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
];

#[derive(Clone, Debug)]
enum Damage {
    None,
    Replaced(usize, u8),
    Removed(usize),
    Inserted(usize, u8),
    Cut(usize),
}

fn streams() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let damage = prop_oneof![
        3 => Just(Damage::None),
        2 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Damage::Replaced(at, byte)),
        1 => any::<usize>().prop_map(Damage::Removed),
        2 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Damage::Inserted(at, byte)),
        1 => any::<usize>().prop_map(Damage::Cut),
    ];
    let requests = prop::collection::vec(prop::sample::select(&REQUESTS[..]), 1..5);
    (requests, damage, prop::collection::vec(any::<usize>(), 0..6)).prop_map(
        |(requests, damage, cuts)| {
            let mut bytes = requests.concat().into_bytes();
            let last = bytes.len() - requests.last().map_or(0, |last| last.len());
            let place = |at: usize| last + at % (bytes.len() - last);
            match damage {
                Damage::None => {}
                Damage::Replaced(at, byte) => {
                    let at = place(at);
                    bytes[at] = byte;
                }
                Damage::Removed(at) => _ = bytes.remove(place(at)),
                Damage::Inserted(at, byte) => bytes.insert(place(at), byte),
                Damage::Cut(at) => bytes.truncate(place(at)),
            }
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            cuts.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect()
        },
    )
}

/// What comes back, without the time of day, and how it ends.
fn answered(server: &Server, pieces: &[Vec<u8>]) -> (String, End) {
    let mut client = server.connect_as(&ClientOptions::default());
    client.handshake().unwrap();
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        client.send(piece);
    }
    client.close();
    let (bytes, end) = client.end();
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("date: "));
    (lines.collect::<Vec<_>>().join("\r\n"), end)
}

#[test]
fn both_answer_any_stream_alike() {
    let site = Site::new();
    site.noise("large", 3 << 20);
    // A file of the present second has no `Last-Modified`: it would depend on when a server opens it.
    site.age("index.html");
    site.age("large");
    let root = site.root();
    let identity = Identity::ecdsa(site.outside());
    let ring = Server::start_as(site, identity, &["--io=auto"]);
    // The same files, so that their validators are equal.
    let beside = Site::new();
    let identity = Identity::ecdsa(beside.outside());
    let mut program = Command::new(PROGRAM);
    program.arg("serve").arg(root);
    let poll = Server::start_command(program, beside, identity, &["--io=poll"]);
    let cases =
        ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(cases, |(pieces in streams())| {
        prop_assert_eq!(answered(&ring, &pieces), answered(&poll, &pieces));
    });
}
