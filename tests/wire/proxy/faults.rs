//! Servers that are killed, stopped or gone, and receive memory that is scarce.

use std::{
    io::{Read, Write},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    thread,
    time::Duration,
};

use super::{
    answer, ask, of_file,
    upstream::{Then, Upstream, read_head},
};
use crate::server::Server;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A server in a process of its own, which a test can stop or kill: it answers everything with `ok`.
struct Process {
    child: std::process::Child,
    address: String,
}

impl Process {
    /// None where this host has no Python.
    fn start(port: u16) -> Option<Self> {
        let program = "import socket, sys, threading\n\
            l = socket.socket(); l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n\
            l.bind(('127.0.0.1', int(sys.argv[1]))); l.listen(100)\n\
            print(l.getsockname()[1], flush=True)\n\
            def serve(c):\n    b = b''\n    while True:\n        d = c.recv(4096)\n        if not d: return\n        \
            b += d\n        while b'\\r\\n\\r\\n' in b:\n            b = b.split(b'\\r\\n\\r\\n', 1)[1]\n            \
            c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')\n\
            while True:\n    c, _ = l.accept()\n    threading.Thread(target=serve, args=(c,), daemon=True).start()\n";
        let child = std::process::Command::new("python3")
            .args(["-c", program, &port.to_string()])
            .stdout(std::process::Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            crate::host::skip("this host has no python3");
            return None;
        };
        let mut line = String::new();
        let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        Some(Self { child, address: format!("http://127.0.0.1:{}", line.trim()) })
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal)
            .unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One of two servers is killed under load: no GET fails.
#[test]
fn a_server_that_is_killed_costs_no_request() {
    let (Some(first), Some(mut second)) = (Process::start(0), Process::start(0)) else { return };
    let server = Server::proxy(&[&first.address, &second.address], &["--tries", "2"]);
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = server.connect();
                while !over.load(SeqCst) {
                    let answer = ask(&mut client, "GET", "/", "", b"");
                    if answer.head.status != 200 {
                        over.store(true, SeqCst);
                        panic!("{}\n{}", answer.head.status, server.log());
                    }
                    answered.fetch_add(1, SeqCst);
                }
            });
        }
        let reach = |count: usize| {
            while answered.load(SeqCst) < count && !over.load(SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
        };
        reach(100);
        second.child.kill().unwrap();
        second.child.wait().unwrap();
        reach(answered.load(SeqCst) + 400);
        over.store(true, SeqCst);
    });
}

/// One that is stopped answers late: 504 in time, and after three of them it gets none for a while.
#[test]
fn a_server_that_is_stopped_is_left_out() {
    let (Some(first), Some(second)) = (Process::start(0), Process::start(0)) else { return };
    // So long that the other one is in time on a crowded machine.
    let options = ["--first-byte-timeout", "3s", "--keep", "0"];
    let server = Server::proxy(&[&first.address, &second.address], &options);
    second.signal(rustix::process::Signal::STOP);
    let mut client = server.connect();
    let deadline = std::time::Instant::now() + crate::server::PATIENCE;
    let mut statuses = Vec::new();
    while !server.log().contains("fails and gets no requests for a while") {
        statuses.push(ask(&mut client, "GET", "/", "", b"").head.status);
        assert!(std::time::Instant::now() < deadline, "it is never left out: {statuses:?}");
    }
    assert!(statuses.iter().all(|status| [200, 504].contains(status)), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 504).count() >= 3, "{statuses:?}");
    // It would be asked for half of these.
    let statuses: Vec<_> =
        (0..20).map(|_| ask(&mut client, "GET", "/", "", b"").head.status).collect();
    let late = statuses.iter().filter(|status| **status == 504).count();
    assert!(late <= 3, "{statuses:?}");
    second.signal(rustix::process::Signal::CONT);
}

/// All are gone: an error at once; one comes back and is found.
#[test]
fn a_pool_whose_servers_are_gone_serves_again_when_one_is_back() {
    let (port, gone) = (crate::port::to_listen_at(), crate::port::Reserved::new());
    let addresses = [port, gone.number].map(|port| format!("http://127.0.0.1:{port}"));
    let server = Server::proxy(&[&addresses[0], &addresses[1]], &[]);
    let mut client = server.connect();
    for _ in 0..10 {
        assert_eq!(ask(&mut client, "GET", "/", "", b"").head.status, 502);
    }
    let Some(_back) = Process::start(port) else { return };
    let deadline = std::time::Instant::now() + crate::server::PATIENCE;
    while ask(&mut client, "GET", "/", "", b"").head.status != 200 {
        assert!(std::time::Instant::now() < deadline, "it is not found again");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Clients that read nothing keep no more than three quarters of the receive buffers: others are served.
#[test]
fn slow_readers_leave_receive_buffers_to_others() {
    let upstream = Upstream::start(|request, stream| {
        if request.path() == "/small" {
            let _ = stream.write_all(OK);
            return Then::Continue;
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
        let piece = [0; 16_384];
        while stream.write_all(&piece).is_ok() {}
        Then::Close
    });
    let options = ["--receive-buffers", "16", "--leases-per-connection", "1"];
    let server = Server::proxy(&[&upstream.address], &options);
    let slow: Vec<_> = (0..80)
        .map(|_| {
            let mut client = server.connect();
            client.send(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        })
        .collect();
    upstream.expect_requests(80);
    thread::sleep(Duration::from_millis(300));
    for _ in 0..20 {
        assert_eq!(ask(&mut server.connect(), "GET", "/small", "", b"").body, b"ok");
    }
    drop(slow);
}

/// The header of the PROXY protocol names the client, and its connection serves nothing else.
#[test]
fn the_proxy_protocol_names_the_client_on_a_connection_of_its_own() {
    let upstream = Upstream::raw(|stream, note| {
        let mut header = [0; 28];
        stream.read_exact(&mut header).unwrap();
        assert_eq!(&header[..16], b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c");
        let head = read_head(stream).unwrap();
        note(super::upstream::Request { head, body: header.to_vec(), ..Default::default() });
        let _ = stream.write_all(OK);
        let _ = stream.read(&mut [0]);
    });
    let server = of_file(&upstream, "send_proxy = 'v2'\n", "");
    for request in 1..=3 {
        let mut client = server.connect();
        assert_eq!(ask(&mut client, "GET", "/", "", b"").body, b"ok");
        assert_eq!(upstream.connections(), request);
        let seen = upstream.requests().pop().unwrap();
        assert_eq!(seen.fields("connection"), ["close"]);
        assert_eq!(seen.body[16..24], [127, 0, 0, 1, 127, 0, 0, 1]);
        assert_eq!(seen.body[26..28], server.port.to_be_bytes());
    }
    let mut client = server.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(answer(&mut client, "POST").unwrap().head.status, 200);
}
