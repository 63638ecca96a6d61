//! Connections that say nothing, or stop in the middle of their handshakes, beside clients that
//! want to be served. Every timeout is an hour, so that only eviction makes room.

use std::collections::VecDeque;
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use crate::client::{Client, connect, drain};
use crate::floods::raise_open_files;
use crate::guard::{free_port, metric};
use crate::host::skip;
use crate::server::{PATIENCE, Server};
use crate::site::HELLO;

/// The beginning of a record of a handshake.
const PART: &[u8] = &[22, 3, 1];

/// Whether a client is served, or closed in its handshake; anything else fails the test.
pub(crate) fn is_served(client: &mut Client) -> bool {
    // A client of TLS 1.3 is done once its Finished is sent, also to a server that has closed.
    match client.handshake().and_then(|()| client.ask("/hello.txt")) {
        Ok(response) => {
            assert_eq!(response.body, HELLO);
            true
        }
        Err(error) => {
            use ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
            let closed = [BrokenPipe, ConnectionReset, UnexpectedEof].contains(&error.kind());
            assert!(closed, "a client is not served: {error}");
            false
        }
    }
}

/// A newcomer is served. Only the test's own machine may be so slow that a newcomer is itself
/// among the connections that are closed; then it comes again.
pub(crate) fn newcomer(server: &Server) {
    let deadline = Instant::now() + PATIENCE;
    let mut client = server.connect();
    while !is_served(&mut client) {
        assert!(Instant::now() < deadline, "newcomers are reset again and again");
        client = server.connect();
    }
    client.close();
    client.expect_close();
}

/// A ClientHello, and nothing behind it.
fn stalled(server: &Server) -> Client {
    let mut client = server.connect();
    client.tls.write_tls(&mut client.socket).unwrap();
    client
}

#[test]
fn silent_connections_take_no_place_of_a_handshake() {
    if raise_open_files() < 16_384 {
        return skip("the hard limit on open files is too low for thousands of connections");
    }
    let server = Server::plain(&["--handshakes", "16", "--handshake-timeout", "1h"]);
    let mut silent: Vec<TcpStream> = (0..3_000).map(|_| connect(server.port).unwrap()).collect();
    for _ in 0..20 {
        newcomer(&server);
    }
    // Nor do those that have sent a part of a ClientHello.
    for socket in &mut silent {
        socket.write_all(PART).unwrap();
    }
    for _ in 0..20 {
        newcomer(&server);
    }
    // There is room for all of them, so all are still there.
    for mut socket in silent {
        socket.set_nonblocking(true).unwrap();
        let end = std::io::Read::read(&mut socket, &mut [0]).unwrap_err();
        assert_eq!(end.kind(), ErrorKind::WouldBlock);
    }
}

/// Ends a flood when it is dropped.
struct Over<'f>(&'f AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn the_oldest_silent_connection_is_closed_for_a_newcomer() {
    let options = ["--connections", "32", "--handshakes", "32", "--handshake-timeout", "1h"];
    for options in [&options[..], &[&options[..], &["--max-connections", "32"]].concat()] {
        let server = Server::plain(options);
        let mut oldest = connect(server.port).unwrap();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // Four times as many as there is room for, renewed as long as newcomers come.
            scope.spawn(|| {
                let mut held = VecDeque::new();
                while !over.load(Relaxed) {
                    held.extend(connect(server.port));
                    if held.len() > 256 {
                        held.pop_front();
                        std::thread::sleep(std::time::Duration::from_millis(2));
                    }
                }
            });
            // However this ends, the flood ends with it.
            let _over = Over(&over);
            for _ in 0..5 {
                newcomer(&server);
            }
            // They may have found room, since no worker was full yet. The flood goes on until all
            // are, and the oldest connection has to make room.
            assert!(drain(&mut oldest).is_empty());
        });
    }
}

#[test]
fn handshakes_that_stop_give_their_places_up() {
    let server = Server::plain(&["--handshakes", "4", "--handshake-timeout", "1h"]);
    let before = server.descriptors();
    let stalled: Vec<Client> = (0..24).map(|_| stalled(&server)).collect();
    for _ in 0..5 {
        newcomer(&server);
    }
    drop(stalled);
    server.settle(before);
}

/// Many more than there are places at the same time: each waits in line, and none is refused. Only a
/// client that the test's own machine lets wait for a second in its place is closed for the others;
/// then it comes again, and the server has counted it.
#[test]
fn a_crowd_waits_for_places() {
    // On a crowded machine a hundred handshakes take longer than one may take by default.
    let patient = ["--handshake-timeout=5m", "--head-timeout=5m"];
    let admin = free_port();
    let address = format!("--admin=127.0.0.1:{admin}");
    let server = Server::plain(&[&["--handshakes", "2", &address][..], &patient].concat());
    let mut crowd: Vec<Client> = (0..100).map(|_| stalled(&server)).collect();
    let again = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for client in &mut crowd {
            scope.spawn(|| {
                if !is_served(client) {
                    again.fetch_add(1, Relaxed);
                    newcomer(&server);
                }
            });
        }
    });
    // Those that came again may have been closed more than once.
    let (again, evicted) = (again.into_inner(), metric(admin, "ringway_handshakes_evicted_total"));
    assert!(again <= evicted, "{again} of the crowd were refused, {evicted} for the others");
}
