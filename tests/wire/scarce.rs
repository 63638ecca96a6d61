//! Little of everything: descriptors, memory, and what the start block promised of them.

use std::io::Write;
use std::net::TcpStream;
use std::time::Instant;

use crate::beside::{beside, beside_a_crowd, until_answered};
use crate::client::{Client, connect};
use crate::server::{PATIENCE, Server};
use crate::site::{HELLO, Site};

/// A limit of 64 open files: fewer connections, and the start block says how many. A crowd beyond
/// them waits its turn, and files can be opened all the while.
#[test]
fn sixty_four_open_files() {
    let site = Site::new();
    for index in 0..20 {
        site.noise(&format!("file-{index}"), 2 << 20);
    }
    let server = Server::start_within(64, site, &["--handshake-timeout", "60s"]);
    assert!(server.start_block.contains("the limit of 64 open files"), "{}", server.start_block);
    beside_a_crowd(&server, || {
        let silent: Vec<TcpStream> = (0..60).map(|_| connect(server.port).unwrap()).collect();
        let mut client = server.connect();
        for index in 0..20 {
            let response = until_answered(&server, &mut client, &format!("/file-{index}"));
            assert_eq!((response.status, response.body.len()), (200, 2 << 20));
        }
        assert!(server.descriptors() <= 64);
        drop(silent);
    });
}

/// Everything that takes memory at once, by more clients than there are places for: the process
/// stays below the ceiling that it printed.
#[test]
fn memory_stays_below_its_ceiling() {
    let site = Site::new();
    for index in 0..40 {
        site.noise(&format!("file-{index}"), 1 << 20);
    }
    site.noise("huge", 64 << 20);
    let options = [
        "--connections",
        "150",
        "--handshakes",
        "50",
        "--receive-buffers",
        "64",
        "--send-memory",
        "1MiB",
        "--file-cache",
        "8MiB",
        "--file-cache-entries",
        "64",
        "--head-timeout",
        "60s",
        "--response-timeout",
        "60s",
    ];
    let server = Server::start(site, &options);
    let ceiling = server.ceiling_kib();
    let mut most = 0;
    let mut held: Vec<Client> = Vec::new();
    let field = format!("X: {}\r\n", "y".repeat(1_000));
    for index in 0..240 {
        let mut client = server.connect();
        let part = match index % 4 {
            // A head that lacks its end.
            0 => format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}", field.repeat(15)),
            // Requests whose answers nobody reads, for files that push each other out.
            1 => format!("GET /file-{} HTTP/1.1\r\nHost: localhost\r\n\r\n", index % 40).repeat(50),
            2 => "GET /huge HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            // A record in pieces.
            _ => String::new(),
        };
        client.send(part.as_bytes());
        if index % 4 == 3 {
            let _ = client.handshake();
            let _ = client.socket.write_all(&[0x17, 3, 3, 0x40, 0x11]);
            let _ = client.socket.write_all(&[0; 16_000]);
        }
        held.push(client);
        most = most.max(server.anonymous_kib());
    }
    let silent: Vec<TcpStream> = (0..100).map(|_| connect(server.port).unwrap()).collect();
    let until = Instant::now() + std::time::Duration::from_secs(1);
    while Instant::now() < until {
        most = most.max(server.anonymous_kib());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(most < ceiling, "{most} KiB in use, {ceiling} KiB promised");
    assert!(most > ceiling / 20, "{most} KiB of {ceiling}: this test drives nothing to its limit");
    drop((held, silent));
    let deadline = Instant::now() + PATIENCE;
    while !server.connect().ask("/hello.txt").is_ok_and(|response| response.body == HELLO) {
        assert!(Instant::now() < deadline, "the server does not recover");
    }
}

/// Listings of a folder of long names, to clients that do not read them: beyond the memory that
/// there is for them, the next is asked to come again; files are served as ever.
#[test]
fn listings_are_bounded() {
    let site = Site::new();
    for index in 0..2_000 {
        site.file(&format!("long/{index:04}{}", "&".repeat(250)), b"");
    }
    let server = Server::start(site, &["--listing", "--response-timeout", "60s"]);
    let mut refused = 0;
    let held = beside(&server, || {
        let mut held = Vec::new();
        // More than the memory of both workers holds, however the kernel divides them.
        for _ in 0..64 {
            let mut client = server.connect();
            client.send(b"GET /long/ HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let head = client.try_head().unwrap();
            match head.status {
                200 => held.push(client),
                503 => {
                    assert!(head.field("Retry-After").is_some(), "it is asked to come again");
                    refused += 1;
                }
                other => panic!("{other}"),
            }
        }
        held
    });
    assert!(!held.is_empty() && refused > 0, "{} pages are held, {refused} refused", held.len());
    assert!(server.anonymous_kib() < server.ceiling_kib());
    drop(held);
    let deadline = Instant::now() + PATIENCE;
    while server.connect().get("/long/").status != 200 {
        assert!(Instant::now() < deadline, "listings are refused for good");
    }
}
