//! Settings of pools that no other test is about.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    ask, of_file,
    upstream::{Then, Upstream, read_head},
};
use crate::{
    configured::Configured,
    server::{PATIENCE, run},
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn status(server: &Configured, method: &str, path: &str, fields: &str, content: &[u8]) -> u16 {
    ask(&mut server.connect(), method, path, fields, content).head.status
}

#[test]
fn a_connection_serves_so_many_exchanges() {
    for (setting, connections) in [("exchanges = 2", 2), ("exchanges = 1", 4), ("", 1)] {
        let upstream = Upstream::fixed(OK);
        let server = of_file(&upstream, &format!("keep_idle = '1h'\n{setting}"), "");
        let mut client = server.connect();
        for _ in 0..4 {
            assert_eq!(ask(&mut client, "GET", "/", "", b"").head.status, 200);
        }
        assert_eq!(upstream.connections(), connections, "{setting}");
    }
}

#[test]
fn a_connection_is_used_for_its_lifetime() {
    for (setting, kept) in [("lifetime = '1s'", false), ("lifetime = '1h'", true)] {
        let upstream = Upstream::fixed(OK);
        let server = of_file(&upstream, &format!("keep_idle = '1h'\n{setting}"), "");
        let mut client = server.connect();
        assert_eq!(ask(&mut client, "GET", "/", "", b"").head.status, 200);
        thread::sleep(Duration::from_millis(1_500));
        // It has grown old while it was unused.
        assert_eq!(ask(&mut client, "GET", "/", "", b"").head.status, 200);
        assert_eq!(upstream.connections() == 1, kept, "{setting}");
    }
}

#[test]
fn heads_of_responses_are_bounded_as_configured() {
    let upstream = Upstream::start(|request, stream| {
        let more = match request.path() {
            "/bytes" => format!("X: {}\r\n", "y".repeat(2_000)),
            "/fields" => "X: y\r\n".repeat(20),
            _ => String::new(),
        };
        let interim = if request.path() == "/interim" {
            "HTTP/1.1 102 x\r\n\r\n".repeat(2)
        } else {
            String::new()
        };
        let answer = format!(
            "{interim}HTTP/1.1 200 OK\r\nConnection: close\r\n{more}Content-Length: 2\r\n\r\nok"
        );
        let _ = stream.write_all(answer.as_bytes());
        Then::Close
    });
    for (setting, refused) in [
        ("head_bytes = '1KiB'", Some("/bytes")),
        ("head_fields = 8", Some("/fields")),
        ("interim = 1", Some("/interim")),
        ("", None),
    ] {
        let server = of_file(&upstream, &format!("tries = 0\n{setting}"), "");
        for path in ["/bytes", "/fields", "/interim", "/"] {
            let mut client = server.connect();
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
            let status = loop {
                let head = client.try_head().unwrap();
                if head.status >= 200 {
                    break head.status;
                }
            };
            let expected = if refused == Some(path) { 502 } else { 200 };
            assert_eq!(status, expected, "{setting} {path}");
        }
    }
}

#[test]
fn a_server_that_takes_no_more_of_a_request_is_504() {
    let upstream = Upstream::raw(|stream, note| {
        let Some(head) = read_head(stream) else { return };
        note(super::upstream::Request { head, ..Default::default() });
        // It holds its connection and reads nothing.
        thread::sleep(PATIENCE);
    });
    let text = format!(
        "[limits]\nmax_body = '1GiB'\n[[site]]\n[[site.route]]\nproxy = 'app'\n[pool.app]\n\
         servers = '{}'\nsend = '200ms'\n",
        upstream.address
    );
    let server = Configured::start(&text, |_| {});
    let mut client = server.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
    let piece = vec![7; 1 << 20];
    // As much as both sockets take, and more.
    for _ in 0..64 {
        if !client.send(&piece) {
            break;
        }
    }
    assert_eq!(client.try_head().unwrap().status, 504);
}

#[test]
fn names_with_underscores_pass_if_they_may() {
    for (setting, passed) in [("", 0), ("underscores = false", 0), ("underscores = true", 1)] {
        let upstream = Upstream::fixed(OK);
        let server = of_file(&upstream, setting, "");
        assert_eq!(status(&server, "GET", "/", "X_Under: a\r\nX-Dash: b\r\n", b""), 200);
        let request = &upstream.requests()[0];
        assert_eq!(request.fields("X_Under").len(), passed, "{setting}");
        assert_eq!(request.fields("X-Dash"), ["b"]);
    }
}

#[test]
fn paths_with_two_meanings_pass_if_they_may() {
    for (setting, expected) in [("", 400), ("path_as_sent = true", 200)] {
        let upstream = Upstream::fixed(OK);
        let server = of_file(&upstream, setting, "");
        for path in ["/a/../b", "/a/%2e%2e/b"] {
            assert_eq!(status(&server, "GET", path, "", b""), expected, "{setting} {path}");
        }
        let sent: Vec<_> =
            upstream.requests().iter().map(|request| request.path().to_owned()).collect();
        let all = ["/a/../b", "/a/%2e%2e/b"];
        assert_eq!(sent, if expected == 200 { &all[..] } else { &[] }, "{setting}");
    }
}

/// Whatever is held of a response, it comes whole to a client that is slow to read.
#[test]
fn a_response_comes_whole_however_much_of_it_is_held() {
    const LENGTH: usize = 8 << 20;
    for setting in ["", "hold_response = '64KiB'", "hold_response = '1MiB'"] {
        let upstream = Upstream::start(|_, stream| {
            let content: Vec<u8> = (0..LENGTH).map(|at| (at % 251) as u8).collect();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&content);
            Then::Close
        });
        let server = of_file(&upstream, setting, "");
        let mut client = server.connect();
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        thread::sleep(Duration::from_millis(300));
        let body = super::answer(&mut client, "GET").unwrap().body;
        assert!(
            body.len() == LENGTH
                && body.iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8),
            "{setting}"
        );
    }
}

#[test]
fn the_host_is_replaced() {
    let upstream = Upstream::fixed(OK);
    let server = of_file(&upstream, "host = 'inner.example'", "");
    assert_eq!(status(&server, "GET", "/", "", b""), 200);
    assert_eq!(upstream.requests()[0].fields("Host"), ["inner.example"]);
}

/// So many checks in a row take a server out and in again, and one that does not answer in its time fails.
#[test]
fn health_checks_are_counted_and_timed_as_configured() {
    let checks = Arc::new(AtomicUsize::new(0));
    // 0: every second one fails, 1: all fail, 2: none fails, 3: none is answered.
    let mood = Arc::new(AtomicUsize::new(0));
    let (counted, state) = (Arc::clone(&checks), Arc::clone(&mood));
    let upstream = Upstream::start(move |request, stream| {
        if request.path() != "/health" {
            let _ = stream.write_all(OK);
            return Then::Close;
        }
        let number = counted.fetch_add(1, SeqCst);
        let fails = match state.load(SeqCst) {
            0 => number % 2 == 1,
            3 => {
                thread::sleep(Duration::from_secs(5));
                return Then::Close;
            }
            mood => mood == 1,
        };
        let line = if fails { "500 x" } else { "200 OK" };
        let answer = format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n");
        let _ = stream.write_all(answer.as_bytes());
        Then::Close
    });
    let start = |timeout: &str| {
        let times = format!("health_interval = '100ms'\nhealth_timeout = '{timeout}'\n");
        let settings = format!("health = '/health'\n{times}health_fall = 2\nhealth_rise = 3\n");
        of_file(&upstream, &settings, "")
    };
    // So long that a crowded machine is in time.
    let server = start("60s");
    let checked = |more: usize| {
        let wanted = checks.load(SeqCst) + more;
        let deadline = Instant::now() + PATIENCE;
        while checks.load(SeqCst) < wanted {
            assert!(Instant::now() < deadline, "{}", server.log());
            thread::sleep(Duration::from_millis(10));
        }
    };
    let logged = |server: &Configured, words: &str| {
        let deadline = Instant::now() + PATIENCE;
        while !server.log().contains(words) {
            assert!(Instant::now() < deadline, "{words}: {}", server.log());
            thread::sleep(Duration::from_millis(10));
        }
    };
    checked(8);
    assert!(!server.log().contains("health check"), "{}", server.log());
    mood.store(1, SeqCst);
    logged(&server, "fails its health check: status 500");
    // Two good ones do not bring it back.
    mood.store(0, SeqCst);
    checked(8);
    assert!(!server.log().contains("passes its health check"), "{}", server.log());
    mood.store(2, SeqCst);
    logged(&server, "passes its health check");
    mood.store(3, SeqCst);
    logged(&start("1s"), "fails its health check");
}

/// What is known of others is compared with our own times, and times have bounds.
#[test]
fn the_check_compares_times_and_bounds_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ringway.toml");
    let check = |setting: &str| {
        let text = format!(
            "[[site]]\n[[site.route]]\nproxy = 'app'\n[pool.app]\nservers = 'localhost:3000'\n{setting}\n"
        );
        std::fs::write(&file, text).unwrap();
        let output = run(&["check", "--deny-warnings", file.to_str().unwrap()]);
        let said = String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap();
        (output.status.code() == Some(0), said)
    };
    for setting in ["", "server_idle = '10s'", "in_front = '10m'", "resolve_every = '1s'"] {
        let (passed, said) = check(setting);
        assert!(passed, "{setting}: {said}");
    }
    for (setting, says) in [
        ("server_idle = '2s'", "keep_idle"),
        ("in_front = '10s'", "in front"),
        ("resolve_every = '10ms'", "give a time from 1s to"),
        ("resolve_every = '2h'", "give a time from 1s to"),
        ("server_name = 'a b'", "no name of a host"),
        ("hold_response = '1TiB'", "hold_response"),
    ] {
        let (passed, said) = check(setting);
        assert!(!passed && said.contains(says), "{setting}: {said}");
    }
}
