//! The start: where the server listens, what it says, and what may block it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::{Pid, Signal, kill_process};

use crate::client::{Client, ClientOptions};
use crate::identity::Identity;
use crate::server::{PATIENCE, PROGRAM, Server, run};
use crate::site::{HELLO, Site};

/// The port of the line of the start block that ends so.
fn port_of(server: &Server, end: &str) -> u16 {
    let line = server.start_block.lines().find(|line| line.ends_with(end));
    let line = line.unwrap_or_else(|| panic!("no {end}: {}", server.start_block));
    let (_, rest) = line.split_once("localhost:").unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}

#[test]
fn a_lone_unspecified_address_of_ipv6_serves_ipv4_too() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return crate::host::skip("this host has no IPv6");
    }
    let site = Site::new();
    let log = site.outside().join("access.log");
    let options = ["--listen", "[::]:0", "--access-log", log.to_str().unwrap()];
    let server = Server::start(site, &options);
    let port = port_of(&server, " and on every address of this host");
    let config = ClientOptions::default().config(&server.identity);
    let mut client = Client::connect(port, config).unwrap();
    assert_eq!(client.get("/hello.txt").body, HELLO);
    assert!(std::net::TcpStream::connect(("::1", port)).is_ok(), "and IPv6");
    let deadline = Instant::now() + PATIENCE;
    // The other connection has a line too, before this one or behind it.
    let line = loop {
        let lines = fs::read_to_string(&log).unwrap();
        if let Some(line) = lines.lines().find(|line| line.contains("hello.txt")) {
            break line.to_owned();
        }
        assert!(Instant::now() < deadline, "no line in the access log");
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert!(line.starts_with("127.0.0.1 - - ["), "the address has its own form: {line}");
}

/// `[::]` and `127.0.0.1` of one port are listeners of their own, and `[::]` is IPv6 alone.
#[test]
fn beside_an_address_of_ipv4_an_unspecified_one_keeps_to_ipv6() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return crate::host::skip("this host has no IPv6");
    }
    let port = crate::port::to_listen_at();
    let (four, six) = (format!("127.0.0.1:{port}"), format!("[::]:{port}"));
    let server = Server::start(Site::new(), &["--listen", &four, "--listen", &six]);
    assert_eq!(port_of(&server, " and on every IPv6 address of this host"), port);
    let config = ClientOptions::default().config(&server.identity);
    assert_eq!(Client::connect(port, config).unwrap().get("/hello.txt").body, HELLO);
}

#[test]
fn per_address_limits_see_the_address_of_ipv4_behind_its_form_of_ipv6() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return crate::host::skip("this host has no IPv6");
    }
    let options = ["--listen", "[::]:0", "--max-connections-per-address", "1"];
    let server = Server::start(Site::new(), &options);
    let port = port_of(&server, " and on every address of this host");
    let connect = |from: &str| {
        let socket = rustix::net::socket(
            rustix::net::AddressFamily::INET,
            rustix::net::SocketType::STREAM,
            None,
        )
        .unwrap();
        let from: std::net::SocketAddr = from.parse().unwrap();
        rustix::net::bind(&socket, &from).unwrap();
        let to = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        rustix::net::connect(&socket, &to).unwrap();
        std::net::TcpStream::from(socket)
    };
    let _one = connect("127.0.0.1:0");
    // Another address has a place of its own: both would be one /64 if taken for IPv6.
    let mut other = connect("127.0.0.2:0");
    std::io::Write::write_all(&mut other, b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    std::io::Read::read_exact(&mut other, &mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
}

#[test]
fn with_a_log_of_json_the_start_block_is_json() {
    let site = Site::new();
    let mut child = Command::new(PROGRAM)
        .args(["serve", "--listen", "127.0.0.1:0", "--workers", "1", "--log-format", "json"])
        .arg(site.root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    signal(&child, Signal::TERM);
    let output = child.wait_with_output().unwrap();
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut out, &mut rest).unwrap();
    assert_eq!(rest, "", "one line");
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(json["at"][0].as_str().unwrap().starts_with("https://localhost:"), "{line}");
    for line in String::from_utf8(output.stderr).unwrap().lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|_| panic!("{line}"));
    }
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn pipe(path: &Path) -> String {
    mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Pipes that nobody writes to: the start waits for them, and a signal ends it.
#[test]
fn a_signal_ends_a_start_that_waits() {
    let site = Site::new();
    let identity = Identity::ecdsa(site.outside());
    let (cert, key) = (identity.cert.to_str().unwrap(), identity.key.to_str().unwrap());
    let pipe = pipe(&site.outside().join("pipe"));
    for (options, number, code) in [
        (&["--cert", &*pipe, "--key", key][..], Signal::TERM, 143),
        (&["--cert", cert, "--key", &pipe], Signal::INT, 130),
        (&["--cert", cert, "--key", key, "--ticket-keys", &pipe], Signal::TERM, 143),
        (&["--cert", cert, "--key", key, "--client-ca", &pipe], Signal::TERM, 143),
    ] {
        let mut child = Command::new(PROGRAM)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .arg(site.root())
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // A thread of its own waits for the pipe.
        let tasks = format!("/proc/{}/task", child.id());
        let deadline = Instant::now() + PATIENCE;
        let waits = || {
            fs::read_dir(&tasks).unwrap().flatten().any(|task| {
                let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
                let place = fs::read_to_string(task.path().join("wchan")).unwrap_or_default();
                name.trim() == "start"
                    && ["partner", "pipe", "fifo"].iter().any(|at| place.contains(at))
            })
        };
        // Not every kernel names the place where a thread waits: then a while has to do.
        let while_ago = Instant::now() + std::time::Duration::from_secs(3);
        while !waits() && Instant::now() < while_ago {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(child.try_wait().unwrap().is_none(), "it does not wait: {options:?}");
        signal(&child, number);
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                panic!("deaf while it waits: {options:?}");
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        };
        assert_eq!(status.code(), Some(code), "{options:?}");
    }
}

#[test]
fn an_access_log_that_nobody_reads_is_refused() {
    let site = Site::new();
    let pipe = pipe(&site.outside().join("log"));
    let root = site.root();
    let output =
        run(&["serve", root.to_str().unwrap(), "--listen", "127.0.0.1:0", "--access-log", &pipe]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("start its reader first"), "{said}");
}

/// Whatever an operator adds, a field that has one value is there once.
#[test]
fn no_field_of_one_value_is_sent_twice() {
    use ringway::config::FieldLine;
    // Lists, of which several lines are one (RFC 9110 section 5.3); policies, all of which hold; and
    // a field that is left out where the operator sets it.
    let repeatable = ["vary", "server-timing", "content-security-policy", "x-content-type-options"];
    let server = Server::start(Site::new(), &["--listing", "--server-timing"]);
    server.site.file("folder/file.txt", b"x");
    let mut names = std::collections::BTreeSet::new();
    for head in [
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\n",
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\n",
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=999999-\r\n",
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n",
        "GET /hello.txt HTTP/1.0\r\nConnection: keep-alive\r\n",
        "GET /folder HTTP/1.1\r\nHost: a\r\n",
        "GET /folder/ HTTP/1.1\r\nHost: a\r\n",
        "GET /none HTTP/1.1\r\nHost: a\r\n",
        "POST /hello.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n",
        "GET / HTTP/1.1\r\n",
    ] {
        let mut client = server.connect();
        client.send(format!("{head}\r\n").as_bytes());
        let response = client.try_head().unwrap();
        names.extend(response.fields.iter().map(|(name, _)| name.to_ascii_lowercase()));
    }
    assert!(names.contains("server") && names.contains("allow"), "{names:?}");
    for name in names.iter().filter(|name| !repeatable.contains(&name.as_str())) {
        assert!(FieldLine::new(name, "x").is_err(), "--header '{name}: x' would be a second line");
    }
}

/// The doctor tries what a start needs: where the limit on locked memory is that of Linux before
/// 5.16, both work, or neither does, and for the same reason.
#[test]
fn the_doctor_and_the_start_agree() {
    use std::os::unix::process::CommandExt;
    let site = Site::new();
    fs::set_permissions(site.outside(), mode(0o755)).unwrap();
    let limited = |arguments: &[&str]| {
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -l 64 && exec timeout -s INT 300 \"$0\" \"$@\"", PROGRAM]);
        shell.args(arguments).env("RINGWAY_LOG", "off").stdin(Stdio::null());
        shell.stdout(Stdio::piped()).stderr(Stdio::piped());
        if rustix::process::geteuid().is_root() {
            // A user that no other test is: locked memory is counted for each user.
            shell.uid(65_531).gid(65_531).env("HOME", "/");
        }
        let mut child = shell.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while out.read_line(&mut said).unwrap() > 0 {
            // The last line of a start block says how to stop.
            if said.lines().next_back().unwrap().trim_start().starts_with("stop") {
                signal(&child, Signal::INT);
            }
        }
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned(), said)
    };
    let root = site.root();
    let (code, said, block) =
        limited(&["serve", root.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    if code == Some(126) {
        return crate::host::skip("another user cannot run the program where it lies");
    }
    let (verdict, _, report) = limited(&["doctor"]);
    if block.is_empty() {
        assert_eq!((code, verdict), (Some(3), Some(3)), "{said}\n{report}");
        for text in [&said, &report] {
            assert!(text.contains("LimitMEMLOCK=infinity"), "the advice helps: {text}");
        }
    } else {
        assert_eq!(verdict, Some(0), "{said}\n{report}");
    }
}

fn mode(mode: u32) -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(mode)
}
