//! The limit on connections of all workers together.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::{Client, End, connect, drain};
use crate::per_address::{admitted, from_another_address};
use crate::server::{PATIENCE, Server};
use crate::site::{HELLO, Site};

/// A request whose head lacks its end. The client that has sent it is not idle, and is not evicted.
const BEGUN: &[u8] = b"GET /hello.txt HTTP/1.1\r\n";
const REST: &[u8] = b"Host: localhost\r\n\r\n";

/// Connects and begins a request, which takes a place.
fn begun(server: &Server) -> Client {
    let mut client = server.connect();
    assert!(client.send(BEGUN));
    client
}

/// Completes the request, and goes.
fn finish(mut client: Client) {
    assert!(client.send(REST));
    assert_eq!(client.response("GET").body, HELLO);
    client.close();
    client.expect_close();
}

/// Open connections, as the server counts them.
fn open(admin: &Path) -> usize {
    let mut asked = UnixStream::connect(admin).unwrap();
    asked.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut metrics = String::new();
    asked.read_to_string(&mut metrics).unwrap();
    let gauge = metrics.lines().find_map(|line| line.strip_prefix("ringway_connections "));
    gauge.expect("the gauge").parse::<f64>().unwrap() as usize
}

#[test]
fn no_more_than_the_limit_are_open_and_the_others_wait() {
    const LIMIT: usize = 6;
    let site = Site::new();
    let socket = site.outside().join("admin.sock");
    let admin = format!("unix:{}", socket.display());
    let server = Server::start(
        site,
        &["--max-connections", "6", "--admin", &admin, "--head-timeout", "10m"],
    );
    assert!(server.start_block.contains(", 6 in all\n"), "{}", server.start_block);
    let held: Vec<Client> = (0..LIMIT).map(|_| begun(&server)).collect();
    let mut waiting: Vec<Client> = (0..30).map(|_| server.connect()).collect();
    for client in &mut waiting {
        client.tls.write_tls(&mut client.socket).unwrap();
    }
    std::thread::sleep(Duration::from_millis(300));
    for client in &mut waiting {
        client.socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        assert_eq!(client.handshake().unwrap_err().kind(), ErrorKind::WouldBlock);
        client.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    assert_eq!(open(&socket), LIMIT);

    // A client counts itself once it has its place and until it gives that up, which is within
    // the time that the server counts it.
    let (open_now, most) = (AtomicUsize::new(LIMIT), AtomicUsize::new(LIMIT));
    std::thread::scope(|scope| {
        for mut client in waiting {
            let (open_now, most) = (&open_now, &most);
            scope.spawn(move || {
                client.handshake().unwrap();
                most.fetch_max(open_now.fetch_add(1, SeqCst) + 1, SeqCst);
                assert!(client.send(BEGUN));
                std::thread::sleep(Duration::from_millis(20));
                open_now.fetch_sub(1, SeqCst);
                finish(client);
            });
        }
        for client in held {
            std::thread::sleep(Duration::from_millis(20));
            open_now.fetch_sub(1, SeqCst);
            finish(client);
        }
    });
    assert_eq!(most.into_inner(), LIMIT);
    let deadline = Instant::now() + PATIENCE;
    while open(&socket) > 0 {
        assert!(Instant::now() < deadline, "connections are left");
    }
}

/// The only place is an idle connection's, on one worker or the other, and each that comes gets it,
/// on which worker it may be.
#[test]
fn an_idle_connection_gives_way_to_one_of_another_worker() {
    let server = Server::plain(&["--max-connections", "1", "--idle-timeout", "1h"]);
    let mut kept = server.connect();
    assert_eq!(kept.get("/hello.txt").body, HELLO);
    // The kernel chooses their workers: that all get the same one would be the chance of 1 in 256.
    for _ in 0..8 {
        let mut next = server.connect();
        assert_eq!(next.get("/hello.txt").body, HELLO);
        assert_eq!(kept.end().1, End::Notified);
        kept = next;
    }
}

#[test]
fn idle_connections_give_way_to_a_crowd() {
    let server = Server::plain(&["--max-connections", "4", "--idle-timeout", "1h"]);
    let mut idle: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    for client in &mut idle {
        assert_eq!(client.get("/hello.txt").body, HELLO);
    }
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                let client = begun(&server);
                finish(client);
            });
        }
    });
    let gone = idle.into_iter().filter_map(|mut client| {
        client.socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        client.read(&mut [0; 1]).ok().map(|read| assert_eq!(read, 0, "told, not cut off"))
    });
    assert!(gone.count() > 0);
}

/// Places come back, whichever way connections end, and who is refused has taken none.
#[test]
fn places_come_back() {
    // So long that honest clients are in time on a crowded machine.
    let options = ["--max-connections-per-address", "3", "--handshake-timeout", "5s"];
    let options = [&options[..], &["--max-connections", "4", "--head-timeout", "5m"]].concat();
    let server = Server::plain(&options);
    for _ in 0..3 {
        // Places are given back just behind the end that their clients see.
        let deadline = Instant::now() + PATIENCE;
        let mut held = Vec::new();
        while held.len() < 3 {
            assert!(Instant::now() < deadline, "places do not come back");
            held.extend(admitted(&server));
        }
        for client in &mut held {
            assert!(client.send(BEGUN));
        }
        for _ in 0..20 {
            // One too many of this address: reset at once.
            if let Ok(mut refused) = connect(server.port) {
                assert!(drain(&mut refused).is_empty());
            }
        }
        // The fourth place is still there.
        let mut other = from_another_address(server.port);
        other.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = [0; 12];
        other.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 400");
        drop(other);
        for (index, mut client) in held.into_iter().enumerate() {
            match index {
                // Without a word, in the midst of a record, and in order.
                0 => drop(client),
                1 => drop(client.socket.write_all(&[0x17, 3, 3, 1, 0, 0])),
                _ => finish(client),
            }
        }
        // Handshakes that are never begun; or refusals, while the places of this address are not yet free.
        let silent: Vec<_> = (0..3).filter_map(|_| connect(server.port).ok()).collect();
        for mut silent in silent {
            drain(&mut silent);
        }
    }
}

/// Told to stop at its limit, the server serves those who had connected before, too.
#[test]
fn who_waits_when_the_server_stops_is_served() {
    let mut server = Server::plain(&["--max-connections", "2"]);
    let mut idle: Vec<Client> = (0..2).map(|_| server.connect()).collect();
    for client in &mut idle {
        assert_eq!(client.get("/hello.txt").body, HELLO);
    }
    let mut waiting: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    for client in &mut waiting {
        client.tls.write_tls(&mut client.socket).unwrap();
    }
    server.signal(Signal::TERM);
    std::thread::scope(|scope| {
        for mut client in waiting {
            scope.spawn(move || {
                let response = client.get("/hello.txt");
                assert_eq!(response.body, HELLO);
                assert!(response.closes());
                // Its place is free once it is gone.
                client.close();
                client.expect_close();
            });
        }
    });
    assert!(server.wait().success());
}
