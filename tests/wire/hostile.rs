//! What no honest client does: resets at every stage, halves of connections, records that cost
//! work and bring nothing. Nobody else notices.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use rustix::process::Signal;

use crate::beside::beside;
use crate::client::{Client, ClientOptions, End, connect, drain};
use crate::server::Server;
use crate::site::{HELLO, Site};

const GET: &[u8] = b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n";
const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nbody";
const TOO_LARGE: &[u8] =
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\nbody";

/// What a stage is called, and how a client comes to it.
type Stage = (&'static str, fn(&mut Client));

/// The stages of a journey, each as far as it goes before the client is gone.
fn stages() -> [Stage; 9] {
    [
        ("before the ClientHello", |_| {}),
        ("in the middle of the ClientHello", |client| {
            let mut hello = Vec::new();
            client.tls.write_tls(&mut hello).unwrap();
            client.socket.write_all(&hello[..hello.len() / 2]).unwrap();
        }),
        ("behind the ClientHello", |client| {
            client.tls.write_tls(&mut client.socket).unwrap();
        }),
        ("in the server's flight", |client| {
            client.tls.write_tls(&mut client.socket).unwrap();
            client.socket.read_exact(&mut [0; 100]).unwrap();
        }),
        ("behind the handshake", |client| client.handshake().unwrap()),
        ("in a head", |client| assert!(client.send(&GET[..20]))),
        ("in a body", |client| assert!(client.send(POST))),
        ("in a response", |client| {
            client.send(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
            client.try_head().unwrap();
        }),
        ("while the server lingers", |client| {
            client.send(TOO_LARGE);
            assert_eq!(client.try_head().unwrap().status, 413);
            client.send(b"more");
        }),
    ]
}

#[test]
fn resets_at_every_stage() {
    let site = Site::new();
    site.noise("large", 8 << 20);
    // No deadline helps here: the reset itself must end each connection.
    let long = ["--handshake-timeout", "1h", "--head-timeout", "1h", "--body-timeout", "1h"];
    let more = ["--idle-timeout", "1h", "--response-timeout", "1h", "--close-timeout", "1h"];
    let server = Server::start(site, &[long, more].concat());
    server.connect().get("/large");
    drop(server.connect());
    std::thread::sleep(Duration::from_millis(200));
    let before = server.descriptors();
    for (stage, walk) in stages() {
        for options in [ClientOptions::default(), ClientOptions::tls12()] {
            beside(&server, || {
                for _ in 0..10 {
                    let mut client = server.connect_as(&options);
                    walk(&mut client);
                    set_socket_linger(&client.socket, Some(Duration::ZERO)).unwrap();
                }
            });
        }
        eprintln!("reset {stage}");
        // Each worker keeps the large file open; `before` one may not have met it yet.
        server.settle(before + 1);
    }
}

#[test]
fn resets_while_the_server_drains() {
    let site = Site::new();
    site.noise("large", 8 << 20);
    let mut server = Server::start(site, &["--drain-timeout", "1h", "--response-timeout", "1h"]);
    let mut clients: Vec<Client> = (0..20)
        .map(|_| {
            let mut client = server.connect();
            client.send(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
            client.try_head().unwrap();
            client
        })
        .collect();
    server.signal(Signal::TERM);
    for client in &mut clients {
        set_socket_linger(&client.socket, Some(Duration::ZERO)).unwrap();
    }
    drop(clients);
    assert_eq!(server.wait().code(), Some(0));
}

/// FIN from the client at each stage, its reading side still open: the server ends the connection
/// too, and what it cannot say any more is lost on nobody else.
#[test]
fn half_closed_at_every_stage() {
    let site = Site::new();
    site.noise("large", 2 << 20);
    let long = ["--handshake-timeout", "1h", "--head-timeout", "1h", "--body-timeout", "1h"];
    let server = Server::start(site, &[&long[..], &["--idle-timeout", "1h"]].concat());
    server.connect().get("/large");
    drop(server.connect());
    std::thread::sleep(Duration::from_millis(200));
    let before = server.descriptors();
    beside(&server, || {
        for (_, walk) in stages() {
            for options in [ClientOptions::default(), ClientOptions::tls12()] {
                let mut client = server.connect_as(&options);
                walk(&mut client);
                let _ = client.socket.shutdown(Shutdown::Write);
                // To its end, whatever it is; it has one.
                drain(&mut client.socket);
            }
        }
    });
    server.settle(before + 1);
}

#[test]
fn key_updates_without_end() {
    let server = Server::plain(&["--ktls", "off", "--idle-timeout", "1h"]);
    beside(&server, || {
        let mut client = server.connect();
        assert_eq!(client.get("/hello.txt").body, HELLO);
        // A few in a row are borne.
        for _ in 0..10 {
            client.tls.refresh_traffic_keys().unwrap();
        }
        assert_eq!(client.get("/hello.txt").body, HELLO);
        let mut reset = false;
        for _ in 0..1_000 {
            client.tls.refresh_traffic_keys().unwrap();
            while client.tls.wants_write() && !reset {
                reset = client.tls.write_tls(&mut client.socket).is_err();
            }
        }
        // A reset is reported once: a write that failed leaves a bare end to read.
        let end = client.end().1;
        assert!(reset || matches!(end, End::Alert | End::Reset), "{end:?}");
    });
}

/// Plain HTTP on the port of TLS gets a page that says so, readable by a person.
#[test]
fn plain_http_is_told_where_to_go() {
    let server = Server::plain(&[]);
    beside(&server, || {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"] {
            let mut socket = connect(server.port).unwrap();
            let request = format!("{method} / HTTP/1.1\r\nHost: localhost\r\n\r\n");
            socket.write_all(request.as_bytes()).unwrap();
            let answer = String::from_utf8(drain(&mut socket)).unwrap();
            assert!(answer.starts_with("HTTP/1.1 400 "), "{method}: {answer}");
            assert!(answer.contains("https://"), "{answer}");
        }
    });
}

/// A partial head does not hold the drain up, and is refused.
#[test]
fn a_drain_does_not_wait_for_partial_heads() {
    let mut server = Server::plain(&["--drain-timeout", "1h", "--head-timeout", "1h"]);
    let mut clients: Vec<Client> = (0..10)
        .map(|_| {
            let mut client = server.connect();
            assert_eq!(client.get("/hello.txt").body, HELLO);
            client.send(&GET[..30]);
            client
        })
        .collect();
    // Those heads have arrived when this one, sent after them, has been answered.
    for _ in 0..4 {
        assert_eq!(server.connect().get("/hello.txt").body, HELLO);
    }
    server.signal(Signal::TERM);
    for client in &mut clients {
        let response = client.response("GET");
        assert_eq!(response.status, 503);
        assert!(response.field("Retry-After").is_some() && response.closes());
        client.close();
        client.expect_close();
    }
    assert_eq!(server.wait().code(), Some(0));
}

/// The first head has its time from the handshake on, however its bytes are spread.
#[test]
fn the_first_head_is_timed_from_the_handshake() {
    let server = Server::plain(&["--head-timeout", "2s"]);
    // Until the machine has let the client be in time.
    for _ in 0..20 {
        let mut client = server.connect();
        client.handshake().unwrap();
        let began = std::time::Instant::now();
        std::thread::sleep(Duration::from_millis(1_500));
        client.send(&GET[..30]);
        // One that was late is closed, as a connection without a request is.
        if client.try_response("GET").is_ok_and(|response| response.status == 408)
            // A head timeout that began with the first byte would end after 3.5 s at the earliest.
            && began.elapsed() < Duration::from_millis(3_500)
        {
            return;
        }
    }
    panic!("no head is timed from the handshake");
}

/// The server stops while clients are busy: every admitted request is answered whole, and
/// a client between two requests gets close_notify.
#[test]
fn a_drain_under_load_fails_no_request() {
    let mut server = Server::plain(&[]);
    let answered = std::thread::scope(|scope| {
        let work = || {
            let mut answered = 0;
            // Until a new connection is refused, which is no failure of a request.
            while let Ok(mut client) =
                Client::connect(server.port, ClientOptions::default().config(&server.identity))
            {
                if client.handshake().is_err() {
                    // It was in the queue of a listener that closed; nothing was asked yet.
                    break;
                }
                for number in 0..20 {
                    if !client.send(GET) && number > 0 {
                        break;
                    }
                    match client.try_response("GET") {
                        Ok(response) => {
                            assert_eq!(response.body, HELLO);
                            answered += 1;
                            if response.closes() {
                                client.expect_close();
                                break;
                            }
                        }
                        // Closed between two requests: a client may ask again elsewhere.
                        Err(error) if number > 0 => {
                            // Not within a response.
                            assert_eq!(error.to_string(), "closed after \"\"");
                            break;
                        }
                        Err(error) => panic!("a first request is not answered: {error}"),
                    }
                }
            }
            answered
        };
        let workers: Vec<_> = (0..8).map(|_| scope.spawn(work)).collect();
        std::thread::sleep(Duration::from_millis(500));
        server.signal(Signal::TERM);
        workers.into_iter().map(|worker| worker.join().unwrap()).sum::<usize>()
    });
    assert!(answered > 100, "{answered}");
    assert_eq!(server.wait().code(), Some(0));
}
