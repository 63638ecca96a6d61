//! Kernel TLS: the same bytes, and proof that the kernel made and opened the records. Needs a
//! kernel that has it; `scripts/test` runs these in a guest.

use std::io::Write;
use std::net::Shutdown;
use std::sync::{Mutex, MutexGuard};

use rustls::HandshakeKind;

use crate::client::{Client, ClientOptions, End};
use crate::host::{has_kernel_tls, kernel, skip, tls_stat};
use crate::server::Server;
use crate::site::{HELLO, Site, sha256};
use crate::tls::{every_suite, update_keys_in_mid_response};

/// The kernel's counters are for the whole machine, so these tests take turns.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> Option<MutexGuard<'static, ()>> {
    has_kernel_tls().then(|| TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

fn server(site: Site, more: &[&str]) -> Server {
    Server::start(site, &[&["--ktls", "on"], more].concat())
}

/// Sockets that were ever given keys by software, for sending and for receiving.
fn installed() -> (u64, u64) {
    (tls_stat("TlsTxSw"), tls_stat("TlsRxSw"))
}

#[test]
fn the_kernel_seals_and_opens_with_every_suite() {
    let Some(_turn) = turn() else { return };
    let server = server(Site::new(), &[]);
    assert!(server.start_block.contains("both directions"), "{}", server.start_block);
    the_kernel_sends(&server, true);
}

#[test]
fn the_kernel_seals_and_ringway_opens() {
    let Some(_turn) = turn() else { return };
    let server = Server::plain(&["--ktls", "send"]);
    assert!(server.start_block.contains("for sending"), "{}", server.start_block);
    the_kernel_sends(&server, false);
}

/// With every suite the kernel seals what is sent, and opens what comes or does not.
fn the_kernel_sends(server: &Server, and_receives: bool) {
    let errors = tls_stat("TlsDecryptError");
    for options in every_suite() {
        let before = installed();
        let mut client = server.connect_as(&options);
        for _ in 0..3 {
            assert_eq!(client.get("/hello.txt").body, HELLO);
        }
        let after = installed();
        assert!(after.0 > before.0, "{:?}: the kernel does not send", options.suite);
        assert_eq!(after.1 > before.1, and_receives, "{:?}: the kernel receives", options.suite);
        client.close();
        client.expect_close();
    }
    assert_eq!(tls_stat("TlsDecryptError"), errors);
}

#[test]
fn whether_the_kernel_pays_is_tried_at_the_start() {
    let Some(_turn) = turn() else { return };
    let server = Server::plain(&["--ktls", "auto"]);
    assert!(server.start_block.contains("us by the kernel"), "{}", server.start_block);
    assert_eq!(server.connect().get("/hello.txt").body, HELLO);
}

#[test]
fn off_leaves_the_kernel_out() {
    let Some(_turn) = turn() else { return };
    let server = Server::plain(&["--ktls", "off"]);
    let before = installed();
    assert_eq!(server.connect().get("/hello.txt").body, HELLO);
    assert_eq!(installed(), before);
}

#[test]
fn sizes_with_every_suite() {
    let Some(_turn) = turn() else { return };
    let sizes = [0, 1, 16_383, 16_384, 16_385, 65_536, 1 << 20, 3_000_001];
    let site = Site::new();
    let hashes = sizes.map(|size| site.noise(&size.to_string(), size));
    let server = server(site, &[]);
    for options in every_suite() {
        let mut client = server.connect_as(&options);
        for (size, hash) in sizes.iter().zip(&hashes) {
            let response = client.get(&format!("/{size}"));
            assert_eq!(response.body.len(), *size);
            assert_eq!(&sha256(&response.body), hash, "{size} with {:?}", options.suite);
        }
    }
}

#[test]
fn a_hundred_megabytes() {
    let Some(_turn) = turn() else { return };
    let site = Site::new();
    let hash = site.noise("big", 100 << 20);
    // A slow guest needs long for what stands between two requests.
    let server = server(site, &["--idle-timeout", "1h", "--response-timeout", "1h"]);
    for options in [ClientOptions::default(), ClientOptions::tls12()] {
        let mut client = server.connect_as(&options);
        let response = client.get("/big");
        assert_eq!(response.body.len(), 100 << 20);
        assert_eq!(sha256(&response.body), hash);
        assert_eq!(client.get("/hello.txt").body, HELLO);
    }
}

#[test]
fn large_request_bodies_are_opened_by_the_kernel() {
    let Some(_turn) = turn() else { return };
    let server = server(Site::new(), &["--max-body", "32MiB"]);
    let body = vec![b'b'; 16 << 20];
    for options in [ClientOptions::default(), ClientOptions::tls12()] {
        let mut client = server.connect_as(&options);
        let head = format!(
            "GET /hello.txt HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        client.send(head.as_bytes());
        client.send(&body);
        assert_eq!(client.response("GET").body, HELLO);
        assert_eq!(client.get("/hello.txt").body, HELLO);
    }
}

#[test]
fn resumed_sessions_are_handed_over_too() {
    let Some(_turn) = turn() else { return };
    let server = server(Site::new(), &[]);
    for options in [ClientOptions::default(), ClientOptions::tls12()] {
        let config = ClientOptions { resume: true, ..options }.config(&server.identity);
        for i in 0..10 {
            let before = installed();
            let mut client = Client::connect(server.port, config.clone()).unwrap();
            // The second request is read after the hand-over, whatever came with the handshake.
            assert_eq!(client.get("/hello.txt").body, HELLO);
            assert_eq!(client.get("/hello.txt").body, HELLO);
            let expected = if i == 0 { HandshakeKind::Full } else { HandshakeKind::Resumed };
            assert_eq!(client.tls.handshake_kind(), Some(expected));
            assert!(installed().0 > before.0 && installed().1 > before.1);
        }
    }
}

/// Kernels before 6.14 cannot take new keys: there the connection must end cleanly, which a client
/// answers with a new one.
#[test]
fn the_client_updates_its_keys() {
    let Some(_turn) = turn() else { return };
    let server = server(Site::new(), &[]);
    let mut client = server.connect();
    assert_eq!(client.get("/hello.txt").body, HELLO);
    client.tls.refresh_traffic_keys().unwrap();
    if kernel() >= (6, 14) {
        for _ in 0..5 {
            assert_eq!(client.get("/hello.txt").body, HELLO);
            client.tls.refresh_traffic_keys().unwrap();
        }
        assert_eq!(client.get("/hello.txt").body, HELLO);
        client.close();
        client.expect_close();
    } else {
        client.tls.write_tls(&mut client.socket).unwrap();
        client.expect_close();
    }
    assert_eq!(server.connect().get("/hello.txt").body, HELLO);
}

#[test]
fn the_client_updates_its_keys_in_mid_response() {
    let Some(_turn) = turn() else { return };
    if kernel() < (6, 14) {
        return skip("kernel TLS takes new keys from Linux 6.14 on");
    }
    let site = Site::new();
    let size = 16 << 20;
    let hash = site.noise("large", size);
    let server = server(site, &[]);
    let before = installed();
    update_keys_in_mid_response(&server, size, &hash);
    assert!(installed().0 > before.0 && installed().1 > before.1);
}

#[test]
fn the_clients_close_notify_is_answered() {
    let Some(_turn) = turn() else { return };
    let server = server(Site::new(), &[]);
    for options in every_suite() {
        let mut client = server.connect_as(&options);
        client.get("/hello.txt");
        client.close();
        client.expect_close();
        // In one flight with a request.
        let mut client = server.connect_as(&options);
        client.get("/hello.txt");
        let request = b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n";
        client.tls.writer().write_all(request).unwrap();
        client.close();
        assert_eq!(client.response("GET").body, HELLO);
        client.expect_close();
    }
}

/// FIN without `close_notify`, also in the middle of a record: the connection ends, and nothing is
/// taken for a request that is not one.
#[test]
fn truncation() {
    let Some(_turn) = turn() else { return };
    let server = server(Site::new(), &[]);
    for cut in [0, 1, 4, 5, 6, 20, 40] {
        let mut client = server.connect();
        client.get("/hello.txt");
        let request = b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n";
        client.tls.writer().write_all(request).unwrap();
        let mut record = Vec::new();
        client.tls.write_tls(&mut record).unwrap();
        client.socket.write_all(&record[..cut]).unwrap();
        client.socket.shutdown(Shutdown::Write).unwrap();
        let (rest, _) = client.end();
        assert!(rest.is_empty(), "cut at {cut}");
    }
    assert_eq!(server.connect().get("/hello.txt").body, HELLO);
}

#[test]
fn damaged_records() {
    let Some(_turn) = turn() else { return };
    let server = server(Site::new(), &[]);
    for options in [ClientOptions::default(), ClientOptions::tls12()] {
        let damaged = [&[0x17, 3, 3, 0, 40][..], &[7; 40]].concat();
        let oversized = [&[0x17, 3, 3, 0x48, 1][..], &vec![7; 18_433]].concat();
        let nonsense = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
        for bytes in [damaged, oversized, nonsense] {
            let mut client = server.connect_as(&options);
            assert_eq!(client.get("/hello.txt").body, HELLO);
            let _ = client.socket.write_all(&bytes);
            let (rest, end) = client.end();
            assert!(rest.is_empty() && end != End::Notified || end == End::Notified);
        }
    }
    assert_eq!(server.connect().get("/hello.txt").body, HELLO);
}

#[test]
fn the_server_closes_with_close_notify() {
    let Some(_turn) = turn() else { return };
    let site = Site::new();
    let hash = site.noise("large", 5_000_000);
    let server = server(site, &["--idle-timeout", "1s"]);
    for options in every_suite() {
        let mut client = server.connect_as(&options);
        let response = client.request("GET", "/large", "Connection: close\r\n");
        assert_eq!(sha256(&response.body), hash);
        client.expect_close();
    }
    let mut idle = server.connect();
    assert_eq!(idle.get("/hello.txt").body, HELLO);
    idle.expect_close();
}
