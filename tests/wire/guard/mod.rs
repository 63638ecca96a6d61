//! What stands before the answer to a request: who the client is, and what it may.

mod announced;
mod limited;
mod passwords;

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};

use crate::{
    client::{Client, connect, drain},
    configured::Configured,
    host::has_program,
    host::skip,
    server::PATIENCE,
};

/// A port that is free now.
pub(crate) fn free_port() -> u16 {
    crate::port::to_listen_at()
}

/// The port of the listener without TLS.
fn plain_port(server: &Configured) -> u16 {
    let line = server.start_block.lines().find(|line| line.trim().starts_with("plain")).unwrap();
    let (_, rest) = line.split_once("http://127.0.0.1:").unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}

/// Sends bytes and reads until the server closes.
pub(crate) fn exchange(port: u16, bytes: &[u8]) -> String {
    let mut socket = connect(port).unwrap();
    // A server that refuses may have closed before all is sent.
    let _ = socket.write_all(bytes);
    String::from_utf8_lossy(&drain(&mut socket)).into_owned()
}

/// A server that answers each request with the head that it got, one for each connection.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(mut socket) = socket else { return };
            thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") {
                    match socket.read(&mut byte) {
                        Ok(1) => head.push(byte[0]),
                        _ => return,
                    }
                }
                let length = head.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                let _ = socket.write_all(&[answer.as_bytes(), &head].concat());
            });
        }
    });
    port
}

/// Waits until the server's access log, or another text, has all of these words.
fn wait_for(mut text: impl FnMut() -> String, words: &[&str]) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = text();
        if words.iter().all(|word| now.contains(word)) {
            return now;
        }
        assert!(Instant::now() < deadline, "{words:?} not in\n{now}");
        thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// A figure of `/metrics`, of the admin listener on this port.
pub(crate) fn metric(admin: u16, name: &str) -> u64 {
    figure(admin, name).unwrap_or_else(|| panic!("no {name} in /metrics"))
}

/// The same. None if there is none, as of labels that nothing has been counted under.
fn figure(admin: u16, name: &str) -> Option<u64> {
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let text = exchange(admin, request);
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map(|value| value.trim().parse().unwrap())
}

/// Waits until a figure of `/metrics` is this. It is counted as an exchange ends, which its client may see
/// first.
pub(crate) fn expect_metric(admin: u16, name: &str, expected: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = figure(admin, name);
        if now == Some(expected) {
            return;
        }
        let may_come = now.is_none_or(|now| now < expected) && Instant::now() < deadline;
        assert!(may_come, "{name} is {now:?}, not {expected}");
        thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// A program of the host that was started, killed at the end.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program that listens on this port; None, and a note, where this host has none.
fn start_program(name: &str, arguments: &[&str], port: u16) -> Option<Program> {
    if !has_program(name) {
        skip(&format!("this host has no {name}"));
        return None;
    }
    let child = Command::new(name)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let program = Program(child);
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "{name} does not listen");
        thread::sleep(std::time::Duration::from_millis(20));
    }
    Some(program)
}
