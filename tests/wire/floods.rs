//! Too much of something legal: requests, connections, bytes. What has a bound is cut off there,
//! and an honest client beside it is served.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::beside::{beside, beside_a_crowd};
use crate::client::{Client, End, connect, drain};
use crate::host::skip;
use crate::server::{PATIENCE, Server};
use crate::site::{HELLO, Site};

const REQUEST: &[u8] = b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn a_hundred_thousand_pipelined_requests() {
    let server = Server::plain(&[]);
    beside(&server, || {
        let mut client = server.connect();
        let batch = REQUEST.repeat(1_000);
        let finder = memchr::memmem::Finder::new(HELLO);
        let mut buffer = vec![0; 1 << 16];
        for _ in 0..100 {
            assert!(client.send(&batch));
            let mut answered = 0;
            let mut held = Vec::new();
            while answered < 1_000 {
                let read = client.read(&mut buffer).unwrap();
                assert_ne!(read, 0);
                held.extend_from_slice(&buffer[..read]);
                answered += finder.find_iter(&held).count();
                // What may be the beginning of the next one.
                let end = finder.find_iter(&held).last().map_or(0, |at| at + HELLO.len());
                held.drain(..end.max(held.len().saturating_sub(HELLO.len() - 1)));
            }
            assert_eq!(answered, 1_000);
        }
    });
}

/// As many idle connections as this process may hold, ten thousand at most.
#[test]
fn ten_thousand_idle_connections() {
    let files = usize::try_from(raise_open_files()).unwrap_or(usize::MAX);
    // The server keeps two descriptors for each, and the kernel spreads them unevenly.
    let idle = (files / 5 * 2).min(10_000);
    if idle < 4_000 {
        return skip("the hard limit on open files is too low for thousands of connections");
    }
    eprintln!("{idle} idle connections");
    let options = ["--head-timeout", "10m", "--file-cache-entries", "16"];
    let server = Server::plain(&options);
    let before = server.descriptors();
    let connections = beside(&server, || {
        std::thread::scope(|scope| {
            let shake_hands = || {
                let mut sockets = Vec::with_capacity(idle / 2);
                for _ in 0..idle / 2 {
                    let mut client = server.connect();
                    client.handshake().unwrap();
                    sockets.push(client.socket);
                }
                sockets
            };
            let threads = [scope.spawn(shake_hands), scope.spawn(shake_hands)];
            let sockets = threads.map(|thread| thread.join().unwrap());
            sockets.into_iter().flatten().collect::<Vec<TcpStream>>()
        })
    });
    assert!(server.descriptors() >= before + connections.len(), "all are held");
    // They wait without a task that runs: the server does next to nothing for them.
    assert!(server.anonymous_kib() < server.ceiling_kib());
    beside(&server, || {});
    drop(connections);
    server.settle(before + 2);
}

/// Raises the limit on open files, of this process and of the servers that it starts, so far that
/// ten thousand connections fit if the user who runs the test may do that: root may. The limit that
/// holds then.
pub(crate) fn raise_open_files() -> u64 {
    const ENOUGH: u64 = 32_768;
    let hard = getrlimit(Resource::Nofile).maximum;
    let more = hard.map(|hard| hard.max(ENOUGH));
    let raised = Rlimit { current: more, maximum: more };
    if setrlimit(Resource::Nofile, raised).is_err() {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Many more than there is room for connect and say nothing. Each holds a place until the
/// handshake's deadline; an honest client has its turn.
#[test]
fn a_flood_of_silent_connections() {
    let server =
        Server::plain(&["--connections", "64", "--handshakes", "64", "--handshake-timeout", "10s"]);
    let before = server.descriptors();
    let silent: Vec<TcpStream> = beside_a_crowd(&server, || {
        let silent = (0..400).map(|_| connect(server.port).unwrap()).collect();
        // The server never holds more than it may, and what a burst brings.
        assert!(server.descriptors() < before + 2 * 64 + 64);
        silent
    });
    for mut socket in silent {
        assert!(drain(&mut socket).is_empty());
    }
}

/// Idle connections fill the server. Those that waited longest are evicted, one for each that
/// comes.
#[test]
fn idle_connections_give_way() {
    let server = Server::plain(&["--connections", "4", "--handshakes", "4"]);
    let mut kept: Vec<Client> = (0..24)
        .map(|_| {
            let mut client = server.connect();
            assert_eq!(client.get("/hello.txt").body, HELLO);
            client
        })
        .collect();
    // Two workers of four places: at most eight are still there, and the youngest is one of them.
    let mut last = kept.pop().unwrap();
    assert_eq!(last.get("/hello.txt").body, HELLO);
    let mut gone = 0;
    for client in &mut kept {
        client.socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        match client.read(&mut [0; 16]) {
            Ok(0) => gone += 1,
            Ok(_) => panic!("bytes that nobody asked for"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}"),
        }
    }
    assert!(gone >= 24 - 8, "{gone} of 24 were closed, by close_notify");
}

/// A fast uploader of something far too large reads its refusal, and no reset.
#[test]
fn an_upload_that_is_too_large_reads_its_refusal() {
    let server = Server::plain(&["--close-timeout", "5m"]);
    for _ in 0..5 {
        let mut client = server.connect();
        client.send(
            b"POST /hello.txt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16777216\r\n\r\n",
        );
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..16 {
            assert!(client.send(&piece), "the server reads on");
        }
        let response = client.response("POST");
        assert_eq!(response.status, 413);
        assert!(response.closes());
        client.close();
        client.expect_close();
    }
}

/// Sends a head, and then a piece again and again until the server has enough. What it said.
fn pour(server: &Server, head: &str, piece: &[u8]) -> String {
    let mut client = server.connect();
    client.send(head.as_bytes());
    let deadline = Instant::now() + PATIENCE;
    while client.send(piece) {
        assert!(Instant::now() < deadline, "there is no end to it");
    }
    let (said, _) = client.end();
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn bodies_without_end() {
    let server = Server::plain(&["--close-timeout", "200ms"]);
    let head = "POST /hello.txt HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let line = |text: &str, times: usize| text.repeat(times).into_bytes();
    beside(&server, || {
        for (start, piece, statuses) in [
            // Content, in large and in tiny chunks.
            ("", [b"10000\r\n".to_vec(), vec![b'x'; 1 << 16], b"\r\n".to_vec()].concat(), [413; 2]),
            ("", line("1\r\nx\r\n", 10_000), [413; 2]),
            // Framing without content.
            ("1", line(";extension=value", 1_000), [400, 413]),
            ("", line("1;a=bcdefghijklmnop\r\nx\r\n", 1_000), [400, 413]),
            ("0\r\n", line("Trailer: value\r\n", 1_000), [400, 431]),
            ("0\r\nTrailer: ", line("value", 10_000), [400, 431]),
        ] {
            let said = pour(&server, &format!("{head}{start}"), &piece);
            let status = said.get(9..12).and_then(|status| status.parse::<u16>().ok());
            // A reset may have overtaken it.
            assert!(status.is_none_or(|status| statuses.contains(&status)), "{said}");
        }
    });
}

#[test]
fn requests_that_ask_for_much_work() {
    let site = Site::new();
    site.noise("file", 1 << 20);
    let server = Server::start(site, &[]);
    let ranges: Vec<String> = (0..1_000).map(|i| format!("{i}-{}", i + 1)).collect();
    let overlapping = vec!["0-"; 2_000].join(",");
    let long_path = "/a%2e".repeat(1_600);
    let deep_path = "/..".repeat(2_500);
    let query = format!("/hello.txt?{}", "q=1&".repeat(2_000));
    beside(&server, || {
        let mut client = server.connect();
        for _ in 0..20 {
            for ranges in [&ranges.join(","), &overlapping] {
                let response =
                    client.request("GET", "/file", &format!("Range: bytes={ranges}\r\n"));
                assert!([200, 206, 416].contains(&response.status));
                assert!(response.body.len() <= (1 << 20) + 8_192, "never more than the file");
            }
            assert_eq!(client.get(&query).body, HELLO);
            assert!([400, 404].contains(&client.get(&long_path).status));
            assert!([301, 400, 404].contains(&client.get(&deep_path).status));
        }
    });
}

/// A client that asks for much and reads at its own pace takes no more than its turn.
#[test]
fn huge_downloads_beside_small_ones() {
    let site = Site::new();
    site.noise("huge", 256 << 20);
    let server = Server::start(site, &[]);
    beside(&server, || {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut client = server.connect();
                    client.send(&b"GET /huge HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(4));
                    let mut left = 64 << 20;
                    let mut buffer = vec![0; 1 << 18];
                    while left > 0 {
                        let read = client.read(&mut buffer).unwrap();
                        assert_ne!(read, 0);
                        left -= read.min(left);
                    }
                });
            }
        });
    });
}

/// Heads that are never finished, on every place that there is.
#[test]
fn slow_heads_and_slow_bodies() {
    let server = Server::plain(&["--head-timeout", "1s", "--body-timeout", "1s"]);
    let post = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n";
    beside(&server, || {
        let mut slow: Vec<Client> = (0..200)
            .map(|index| {
                let mut client = server.connect();
                let part = if index % 2 == 0 { "GET / HTTP/1.1\r\nHo" } else { post };
                client.send(part.as_bytes());
                client
            })
            .collect();
        for client in &mut slow {
            let response = client.response("GET");
            assert_eq!(response.status, 408);
            let _ = client.socket.write_all(b"");
            assert_ne!(client.end().1, End::Truncated);
        }
    });
}
