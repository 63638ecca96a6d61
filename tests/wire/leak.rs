//! After ten thousand connections that were given up at random points of their journey, the server
//! holds what it held before.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;

use crate::client::{Client, ClientOptions, connect};
use crate::server::{PATIENCE, Server};
use crate::site::{HELLO, Site};

const CONNECTIONS: u32 = 10_000;
const THREADS: u32 = 4;

/// Memory that a server may hold more than after its warm-up, in KiB: what an allocator keeps of
/// the peak of connections open at once. Ten thousand lost connections would be far beyond it.
const MARGIN_KIB: u64 = 16 << 10;

/// A small generator of numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

/// Goes some steps of a connection's journey, and leaves by FIN, by a reset, or in order.
fn give_up(server: &Server, config: &std::sync::Arc<rustls::ClientConfig>, numbers: &mut Numbers) {
    let Ok(mut client) = Client::connect(server.port, config.clone()) else { return };
    if numbers.below(3) == 0 {
        let _ = set_socket_linger(&client.socket, Some(Duration::ZERO));
    }
    match numbers.below(8) {
        0 => {}
        1 => {
            // A part of the first flight.
            let mut hello = Vec::new();
            client.tls.write_tls(&mut hello).unwrap();
            let part = numbers.below(hello.len() as u64) as usize;
            let _ = client.socket.write_all(&hello[..part]);
        }
        2 => {
            // The first flight, and some of the answer.
            let _ = client.tls.write_tls(&mut client.socket);
            let _ = client.socket.read(&mut [0; 100]);
        }
        3 => {
            let _ = client.handshake();
        }
        4 => {
            client.send(b"GET /hello.txt HTTP/1.1\r\nHo");
        }
        5 => {
            client.send(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let mut buffer = vec![0; 1 + numbers.below(100_000) as usize];
            let _ = client.read(&mut buffer);
        }
        6 => {
            client.send(
                b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nab",
            );
        }
        _ => {
            client.send(b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let _ = client.try_response("GET");
            if numbers.below(2) == 0 {
                client.close();
            }
        }
    }
}

fn round(server: &Server, connections: u32, seed: u64) {
    let config = ClientOptions { resume: true, ..Default::default() }.config(&server.identity);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let config = &config;
            scope.spawn(move || {
                let mut numbers = Numbers(seed + u64::from(thread));
                for _ in 0..connections / THREADS {
                    give_up(server, config, &mut numbers);
                }
            });
        }
    });
}

/// Waits until the server holds at most so many descriptors.
fn settle(server: &Server, descriptors: usize) -> usize {
    let deadline = Instant::now() + PATIENCE;
    while server.descriptors() > descriptors && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    server.descriptors()
}

#[test]
fn ten_thousand_connections_leave_nothing_behind() {
    let site = Site::new();
    site.noise("large", 2_000_000);
    let options = [
        "--handshake-timeout",
        "2s",
        "--head-timeout",
        "2s",
        "--body-timeout",
        "2s",
        "--idle-timeout",
        "2s",
        "--response-timeout",
        "2s",
        "--log-level",
        "error",
    ];
    let server = Server::start(site, &options);
    // What is kept by intention is there after this: cached files, tickets, the allocator's own.
    round(&server, 1_000, 1);
    drop(connect(server.port).unwrap());
    std::thread::sleep(Duration::from_secs(3));
    let descriptors = server.descriptors();
    let resident = server.resident_kib();

    round(&server, CONNECTIONS, 2);
    let after = settle(&server, descriptors);
    assert!(after <= descriptors, "{after} descriptors, {descriptors} before");
    let grown = server.resident_kib().saturating_sub(resident);
    assert!(grown <= MARGIN_KIB, "{grown} KiB more than {resident} KiB before");
    // Every lease and slot that is left over would be missing here.
    let mut clients = Vec::new();
    for _ in 0..200 {
        // Each at once: a busy machine may need more for all than the deadlines leave one.
        let mut client = server.connect();
        assert_eq!(client.get("/hello.txt").body, HELLO);
        clients.push(client);
    }
}
