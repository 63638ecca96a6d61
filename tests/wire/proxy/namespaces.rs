//! Faults of the network, each in a network namespace of its own: packets that are lost, servers that
//! vanish, ports that are used up.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use super::{
    answer, ask, expect_cut,
    upstream::{Then, Upstream},
};
use crate::{
    client::Client,
    server::{PATIENCE, Server},
};

const INSIDE: &str = "RINGWAY_TEST_NAMESPACE";

fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    Command::new(program).args(arguments).output().ok()
}

/// Runs this test once more in a network namespace of its own, unless it runs in one. True if it does.
fn enters(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let possible = "ip link set lo up && iptables -A INPUT -p tcp --dport 1 -m statistic \
                    --mode random --probability 0.1 -j DROP";
    let able = run("unshare", &["--net", "sh", "-c", possible]);
    if !able.is_some_and(|able| able.status.success()) {
        crate::host::skip(
            "a network namespace with iptables is needed: root, util-linux, iptables",
        );
        return false;
    }
    let this = std::env::current_exe().unwrap();
    let again = format!("ip link set lo up && exec \"$0\" --exact proxy::namespaces::{test}");
    let output = Command::new("unshare")
        .args(["--net", "sh", "-c", &again])
        .arg(this)
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{failed}");
    false
}

fn port(upstream: &Upstream) -> &str {
    upstream.address.rsplit(':').next().unwrap()
}

/// What becomes of packets to and from a server.
fn packets(action: &str, upstream: &Upstream, how: &[&str]) {
    for side in ["--dport", "--sport"] {
        let rule = [&[action, "INPUT", "-p", "tcp", side, port(upstream)], how].concat();
        let output = run("iptables", &[&rule[..], &["-j", "DROP"]].concat()).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Waits until a line of the access log has this.
fn expect_line(log: &Path, text: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let lines = fs::read_to_string(log).unwrap_or_default();
        if lines.contains(text) {
            return;
        }
        assert!(Instant::now() < deadline, "{text} is not in {lines}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The rounds that send content, by POST.
fn posts(round: usize) -> bool {
    round.is_multiple_of(3)
}

/// One packet in thirty is lost between Ringway and the server: every request is answered, and whole. The
/// server closes connections unannounced, but never before a POST: one that meets a close whose FIN was lost
/// has no second try (RFC 9110, 9.2.2).
#[test]
fn packets_that_are_lost_cost_no_request() {
    if !enters("packets_that_are_lost_cost_no_request") {
        return;
    }
    let noise: Vec<u8> =
        (0..200_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let content = noise.clone();
    let upstream = Upstream::start(move |request, stream| {
        assert!(request.body.is_empty() || request.body == content[..50_000]);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len());
        let _ = stream.write_all(&[head.as_bytes(), &content].concat());
        let round: usize = request.path()[1..].parse().unwrap();
        if request.number >= 4 && !posts(round + 1) { Then::Close } else { Then::Continue }
    });
    let server = Server::proxy(&[&upstream.address], &["--connect-timeout", "60s"]);
    let mut client = server.connect();
    packets("-A", &upstream, &["-m", "statistic", "--mode", "random", "--probability", "0.033"]);
    for round in 0..30 {
        let (method, content) =
            if posts(round) { ("POST", &noise[..50_000]) } else { ("GET", &[][..]) };
        let answer = ask(&mut client, method, &format!("/{round}"), "", content);
        assert_eq!(answer.head.status, 200, "round {round}\n{}", server.log());
        assert!(answer.body == noise, "round {round}");
    }
    assert!(upstream.connections() > 3, "fresh connections are among them");
}

/// From one moment on nothing reaches a server, and nothing comes from it: before a connection, before the
/// answer, within it.
#[test]
fn a_server_that_vanishes_is_given_up_in_time() {
    if !enters("a_server_that_vanishes_is_given_up_in_time") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::start(move |request, stream| {
        let (half, rest) = (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok", b"ok");
        if request.path() == "/half" {
            let _ = stream.write_all(half);
            let _ = wait.lock().unwrap().recv();
            let _ = stream.write_all(rest);
        } else {
            let _ = stream.write_all(&[&half[..], rest].concat());
        }
        Then::Continue
    });
    // One of the times is short, so that a crowded machine is in time for the others.
    let proxy = |time: &str| {
        let options = ["--access-log", log.to_str().unwrap(), time, "300ms"];
        Server::proxy(&[&upstream.address], &options)
    };

    let server = proxy("--connect-timeout");
    packets("-A", &upstream, &[]);
    assert_eq!(ask(&mut server.connect(), "GET", "/connect", "", b"").head.status, 504);
    expect_line(&log, "reason=connection_timeout");
    packets("-D", &upstream, &[]);

    // A machine that stood still for so long has not answered in time either: then it is asked once more.
    let server = proxy("--first-byte-timeout");
    let mut client = server.connect();
    let until = Instant::now() + PATIENCE;
    while ask(&mut client, "GET", "/", "", b"").head.status != 200 {
        assert!(Instant::now() < until, "the server is not found");
    }
    packets("-A", &upstream, &[]);
    assert_eq!(ask(&mut client, "GET", "/first-byte", "", b"").head.status, 504);
    expect_line(&log, "reason=http_response_timeout");
    packets("-D", &upstream, &[]);

    let server = proxy("--between-timeout");
    let mut client = server.connect();
    client.send(b"GET /half HTTP/1.1\r\nHost: a\r\n\r\n");
    let until = Instant::now() + PATIENCE;
    while !upstream.requests().iter().any(|request| request.path() == "/half") {
        assert!(Instant::now() < until, "the request does not arrive");
        thread::sleep(Duration::from_millis(1));
    }
    packets("-A", &upstream, &[]);
    go.send(()).unwrap();
    expect_cut(&mut client, "GET", "within an answer");
    expect_line(&log, "reason=connection_read_timeout");
    packets("-D", &upstream, &[]);
    assert_eq!(ask(&mut server.connect(), "GET", "/", "", b"").head.status, 200);
}

/// Ports that there are in the test of those that are used up.
const PORTS: usize = 4;

/// No port is left for a connection to a server: 503, which is no failure of the server.
#[test]
fn ports_that_are_used_up_are_no_servers_failure() {
    if !enters("ports_that_are_used_up_are_no_servers_failure") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let (first, go_first) = Upstream::held();
    let (second, go_second) = Upstream::held();
    let options = ["--access-log", log.to_str().unwrap(), "--tries", "0"];
    let server = Server::proxy(&[&first.address, &second.address], &options);
    // Connections of clients have ports already.
    let mut clients: Vec<_> = (0..2 * PORTS + 10).map(|_| server.connect()).collect();
    fs::write("/proc/sys/net/ipv4/ip_local_port_range", format!("40000 {}", 40_000 + PORTS - 1))
        .unwrap();
    let (held, others) = clients.split_at_mut(2 * PORTS);
    let ask_one = |client: &mut Client| client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for client in &mut *held {
        ask_one(client);
    }
    first.expect_requests(PORTS);
    second.expect_requests(PORTS);
    for client in others {
        ask_one(client);
        let answer = answer(client, "GET").unwrap();
        assert_eq!(answer.head.status, 503);
        assert_eq!(answer.head.field("Retry-After"), Some("1"));
    }
    expect_line(&log, "by=ringway reason=proxy_internal_error");
    assert!(!server.log().contains("gets no requests"), "{}", server.log());
    drop((go_first, go_second));
    for client in &mut *held {
        assert_eq!(answer(client, "GET").unwrap().head.status, 200);
    }
    // Their connections are used again. Its worker may have one to one of the servers alone, and the other one be
    // chosen, for which there is no port; then it asks once more.
    let until = Instant::now() + PATIENCE;
    loop {
        ask_one(&mut held[0]);
        match answer(&mut held[0], "GET").unwrap().head.status {
            200 => break,
            status => assert_eq!(status, 503),
        }
        assert!(Instant::now() < until, "no connection is used again");
    }
}
