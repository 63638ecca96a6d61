//! Records that cost work and carry nothing, from clients that have shaken hands. A few are borne,
//! many end the connection, and nobody else notices.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustls::{ContentType, ProtocolVersion};

use crate::beside::beside;
use crate::client::drain;
use crate::host::has_kernel_tls;
use crate::sealed::Sealed;
use crate::server::{PATIENCE, Server};
use crate::site::Site;

const GET: &[u8] = b"GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// What is asked for: more than tickets and alerts come to.
const SIZE: usize = 20_000;
/// A warning that does not end a session: user_canceled (RFC 8446 section 6.1).
const WARNING: &[u8] = &[1, 90];

/// Serves a file, and lets no deadline end a connection: what ends it is what it does.
fn server() -> Server {
    server_with(&[])
}

fn server_with(more: &[&str]) -> Server {
    let site = Site::new();
    site.noise("file", SIZE);
    let long = ["--idle-timeout", "1h", "--head-timeout", "1h", "--body-timeout", "1h"];
    Server::start(site, &[&long, more].concat())
}

fn versions() -> [&'static rustls::SupportedProtocolVersion; 2] {
    [&rustls::version::TLS13, &rustls::version::TLS12]
}

/// Asks for the file, and reads as much as it has bytes at least.
fn is_served(client: &mut Sealed) {
    assert!(client.pour(ContentType::ApplicationData, GET, 1));
    let mut left = SIZE;
    let mut buffer = [0; 4096];
    while left > 0 {
        let read = client.socket.read(&mut buffer).unwrap();
        assert_ne!(read, 0, "{left} bytes are missing");
        left = left.saturating_sub(read);
    }
}

/// A few records of this kind are borne, again and again between requests; without end they are not.
fn few_are_borne_and_many_are_not(server: &Server, typ: ContentType, bytes: &[u8], few: usize) {
    for version in versions() {
        beside(server, || {
            let mut client = Sealed::connect(server, version);
            for _ in 0..20 {
                assert!(client.pour(typ, bytes, few));
                is_served(&mut client);
            }
            let deadline = Instant::now() + PATIENCE;
            while client.pour(typ, bytes, 1_000) {
                assert!(Instant::now() < deadline, "{:?}: no end to it", client.version());
            }
            // And it is ended, which is more than that the socket's buffer is full.
            drain(&mut client.socket);
        });
    }
}

#[test]
fn empty_records_without_end() {
    let server = server_with(&["--ktls", "off"]);
    few_are_borne_and_many_are_not(&server, ContentType::ApplicationData, b"", 10);
}

/// The kernel skips empty records silently, so no one can count them.
#[test]
fn empty_records_that_the_kernel_passes_over() {
    if !has_kernel_tls() {
        return;
    }
    let server = server_with(&["--ktls", "on"]);
    for version in versions() {
        beside(&server, || {
            let mut client = Sealed::connect(&server, version);
            is_served(&mut client);
            for _ in 0..20 {
                assert!(client.pour(ContentType::ApplicationData, b"", 500));
                is_served(&mut client);
            }
        });
    }
}

#[test]
fn alerts_without_end() {
    few_are_borne_and_many_are_not(&server(), ContentType::Alert, WARNING, 3);
}

/// Another ClientHello within a session asks TLS 1.2 to renegotiate, and TLS 1.3 forbids it.
#[test]
fn renegotiation_is_refused() {
    let server = server();
    for version in versions() {
        let mut hello = Vec::new();
        server.connect().tls.write_tls(&mut hello).unwrap();
        // The message without the header of its record.
        let message = &hello[5..];
        beside(&server, || {
            for _ in 0..50 {
                let mut client = Sealed::connect(&server, version);
                is_served(&mut client);
                assert!(client.pour(ContentType::Handshake, message, 1));
                drain(&mut client.socket);
            }
            // Without end, and without waiting for what the server makes of it.
            let mut client = Sealed::connect(&server, version);
            while client.pour(ContentType::Handshake, message, 10) {}
            drain(&mut client.socket);
        });
    }
}

/// Records of a kind that no session has, and data behind close_notify.
#[test]
fn records_out_of_place() {
    let server = server();
    beside(&server, || {
        for version in versions() {
            for (typ, bytes) in [
                (ContentType::ChangeCipherSpec, &[1][..]),
                (ContentType::Heartbeat, &[1, 0, 4, 1, 2, 3, 4]),
                (ContentType::Unknown(99), b"unknown"),
                (ContentType::Handshake, b""),
                (ContentType::Alert, b""),
                (ContentType::Alert, &[2, 80]),
                (ContentType::Alert, &[1, 0]),
            ] {
                let mut client = Sealed::connect(&server, version);
                is_served(&mut client);
                // The server may be faster than what follows.
                client.pour(typ, bytes, 1);
                client.pour(ContentType::ApplicationData, GET, 1);
                let said = drain(&mut client.socket);
                assert!(said.len() < SIZE, "{:?}: {typ:?} {bytes:?}", client.version());
            }
        }
    });
}

/// Records without end do not hold up the end of the server, nor the last answer of somebody else.
#[test]
fn a_drain_beside_floods() {
    let site = Site::new();
    site.noise("file", 8 << 20);
    let options = ["--drain-timeout", "1h", "--idle-timeout", "1h", "--response-timeout", "1h"];
    let mut server = Server::start(site, &options);
    let floods: Vec<(Sealed, ContentType, &[u8])> = versions()
        .into_iter()
        .flat_map(|version| {
            [(ContentType::ApplicationData, &b""[..]), (ContentType::Alert, WARNING)]
                .map(|(typ, bytes)| (Sealed::connect(&server, version), typ, bytes))
        })
        .collect();
    let mut updating = server.connect();
    updating.handshake().unwrap();
    let updates = updating.tls.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    let mut honest = server.connect();
    honest.send(GET);
    let promised = honest.try_head().unwrap().promised();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (mut client, typ, bytes) in floods {
            let over = &over;
            scope.spawn(move || {
                // So few that they are borne, for as long as there is somebody to bear them.
                while !over.load(Ordering::Acquire) && client.pour(typ, bytes, 2) {
                    let _ = client.socket.flush();
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
        scope.spawn(|| {
            while updates && !over.load(Ordering::Acquire) {
                updating.tls.refresh_traffic_keys().unwrap();
                if updating.tls.write_tls(&mut updating.socket).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        std::thread::sleep(Duration::from_millis(20));
        server.signal(Signal::TERM);
        let mut left = usize::try_from(promised).unwrap();
        let mut buffer = vec![0; 1 << 16];
        while left > 0 {
            let read = honest.read(&mut buffer[..left.min(1 << 16)]).unwrap();
            assert_ne!(read, 0, "{left} bytes of the last answer are missing");
            left -= read;
        }
        honest.close();
        let status = server.wait();
        over.store(true, Ordering::Release);
        assert_eq!(status.code(), Some(0));
    });
}
