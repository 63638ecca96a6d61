//! Start, limits, drain and end.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};

use crate::client::Client;
use crate::guard::{free_port, metric};
use crate::host::{kernel_tls_is_offered, skip};
use crate::server::{PATIENCE, Server, run};
use crate::silent::{is_served, newcomer};
use crate::site::{HELLO, Site, sha256};

#[test]
fn two_servers_do_not_meet() {
    let (one, two) = (Server::plain(&[]), Server::plain(&[]));
    assert_ne!(one.port, two.port);
    two.site.file("two.txt", b"two");
    assert_eq!(one.connect().get("/two.txt").status, 404);
    assert_eq!(two.connect().get("/two.txt").body, b"two");
}

#[test]
fn an_idle_server_ends_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::plain(&[]);
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn idle_connections_are_told_and_closed() {
    let mut server = Server::plain(&[]);
    let mut clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/hello.txt").body, HELLO);
    }
    server.signal(Signal::TERM);
    for client in &mut clients {
        client.expect_close();
    }
    assert_eq!(server.wait().code(), Some(0));
}

/// A download in flight at the signal is finished, and new connections are refused meanwhile.
#[test]
fn downloads_in_flight_are_finished() {
    let site = Site::new();
    let size = 64 << 20;
    let hash = site.noise("big", size);
    let mut server = Server::start(site, &[]);
    let mut client = server.connect();
    client.send(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.try_head().unwrap().promised(), size as u64);
    server.signal(Signal::TERM);
    // The listeners go before the drain ends; a connection that was waiting is no response.
    while let Ok(mut late) = Client::connect(server.port, late_config(&server)) {
        if late.handshake().is_err() {
            break;
        }
        late.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        if late.try_response("GET").is_err() {
            break;
        }
    }
    assert!(server.runs(), "ended with a response in flight");
    let mut body = vec![0; size];
    let mut filled = 0;
    while filled < size {
        let read = client.read(&mut body[filled..]).unwrap();
        assert_ne!(read, 0, "the response ended after {filled} bytes");
        filled += read;
    }
    assert_eq!(sha256(&body), hash);
    client.expect_close();
    assert_eq!(server.wait().code(), Some(0));
}

fn late_config(server: &Server) -> std::sync::Arc<rustls::ClientConfig> {
    crate::client::ClientOptions::default().config(&server.identity)
}

#[test]
fn a_drain_ends_at_its_deadline() {
    let site = Site::new();
    site.noise("big", 64 << 20);
    let mut server = Server::start(site, &["--drain-timeout", "1s"]);
    let mut client = server.connect();
    client.send(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.try_head().unwrap();
    server.signal(Signal::TERM);
    // The client reads no more; the deadline, not the client, ends it.
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let site = Site::new();
    site.noise("big", 64 << 20);
    let mut server = Server::start(site, &["--drain-timeout", "1h", "--response-timeout", "1h"]);
    let mut client = server.connect();
    client.send(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.try_head().unwrap();
    server.signal(Signal::TERM);
    // Signals of one kind that come together are one: wait until the first is seen, which the
    // refused connection shows.
    while TcpStream::connect(("127.0.0.1", server.port)).is_ok() {
        std::thread::sleep(Duration::from_millis(10));
    }
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(143));
}

#[test]
fn a_port_in_use_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let site = Site::new();
    let identity = crate::identity::Identity::ecdsa(site.outside());
    let output = serve_and_fail(&site, &identity.cert, &identity.key, &["--listen", &address]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&address), "{said}");
    assert!(said.contains("use"), "{said}");
}

#[test]
fn a_folder_that_is_none_is_refused() {
    let site = Site::new();
    let identity = crate::identity::Identity::ecdsa(site.outside());
    for folder in ["missing", "root/hello.txt"] {
        let folder = site.outside().join(folder);
        let output = run(&[
            "serve".as_ref(),
            folder.as_os_str(),
            "--listen".as_ref(),
            "127.0.0.1:0".as_ref(),
            "--cert".as_ref(),
            identity.cert.as_os_str(),
            "--key".as_ref(),
            identity.key.as_os_str(),
        ]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success());
        assert!(said.contains(folder.to_str().unwrap()), "{said}");
    }
}

#[test]
fn kernel_tls_that_is_demanded_but_absent_is_an_error() {
    if kernel_tls_is_offered() {
        return skip("this kernel has kernel TLS");
    }
    let site = Site::new();
    let identity = crate::identity::Identity::ecdsa(site.outside());
    let output = serve_and_fail(
        &site,
        &identity.cert,
        &identity.key,
        &["--listen", "127.0.0.1:0", "--ktls", "on"],
    );
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("kernel") && said.contains("tls"), "{said}");
}

fn serve_and_fail(site: &Site, cert: &Path, key: &Path, more: &[&str]) -> std::process::Output {
    let root = site.root();
    let mut arguments: Vec<&std::ffi::OsStr> = vec![
        "serve".as_ref(),
        root.as_ref(),
        "--cert".as_ref(),
        cert.as_ref(),
        "--key".as_ref(),
        key.as_ref(),
    ];
    arguments.extend(more.iter().map(|argument| std::ffi::OsStr::new(*argument)));
    let output = run(&arguments);
    assert!(!output.status.success());
    assert!(output.stdout.is_empty(), "no start block without a start");
    output
}

/// Two workers of four connections: the ninth waits until one of the others goes. Only a client that the test's
/// own machine lets wait for a second in its place is closed for the others; then it comes again, and the server
/// has counted it.
#[test]
fn connections_beyond_the_limit_wait() {
    let admin = free_port();
    let address = format!("--admin=127.0.0.1:{admin}");
    let server = Server::plain(&["--connections", "4", "--handshakes", "4", &address]);
    let again = AtomicU64::new(0);
    for _ in 0..5 {
        let mut clients: Vec<Client> = (0..40).map(|_| server.connect()).collect();
        // Those that say nothing would be closed for the others.
        for client in &mut clients {
            client.tls.write_tls(&mut client.socket).unwrap();
        }
        // Whichever were accepted are served, then go; so all are in the end.
        std::thread::scope(|scope| {
            for client in &mut clients {
                scope.spawn(|| {
                    if is_served(client) {
                        client.close();
                        client.expect_close();
                    } else {
                        again.fetch_add(1, Relaxed);
                        newcomer(&server);
                    }
                });
            }
        });
    }
    let (again, evicted) = (again.into_inner(), metric(admin, "ringway_handshakes_evicted_total"));
    assert!(again <= evicted, "{again} were refused, {evicted} for the others");
    assert_eq!(server.connect().get("/hello.txt").body, HELLO);
}

/// The process runs out of descriptors, and serves again once it has some.
#[test]
fn running_out_of_descriptors_passes() {
    let server = Server::plain(&["--handshake-timeout", "60s", "--idle-timeout", "60s"]);
    let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap()).unwrap();
    let few = Some(server.descriptors() as u64 + 16);
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit { current: few, maximum };
    let before = prlimit(Some(pid), Resource::Nofile, limit).unwrap();
    let clients: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    std::thread::sleep(Duration::from_millis(300));
    drop(clients);
    // Those that have left may still hold the descriptors that the file needs: then a client is asked to come again.
    let deadline = Instant::now() + PATIENCE;
    let mut response = server.connect().get("/hello.txt");
    while response.status == 503 {
        assert!(Instant::now() < deadline, "nothing is served with few");
        response = server.connect().get("/hello.txt");
    }
    assert_eq!(response.body, HELLO, "still with few");
    prlimit(Some(pid), Resource::Nofile, before).unwrap();
    for _ in 0..20 {
        assert_eq!(server.connect().get("/hello.txt").body, HELLO);
    }
}

#[test]
fn too_few_descriptors_to_serve_are_refused_with_a_word() {
    let site = Site::new();
    let identity = crate::identity::Identity::ecdsa(site.outside());
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 24 && exec \"$0\" \"$@\"", crate::server::PROGRAM, "serve"])
        .arg(site.root())
        .args(["--listen", "127.0.0.1:0", "--workers", "2", "--cert"])
        .arg(&identity.cert)
        .arg("--key")
        .arg(&identity.key)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("open"), "{said}");
}

#[test]
fn a_certificate_is_made_and_kept() {
    let site = Site::new();
    let state = site.outside().join("state");
    let start = || {
        let mut child = std::process::Command::new(crate::server::PROGRAM)
            .arg("serve")
            .arg(site.root())
            .args(["--listen", "127.0.0.1:0", "--workers", "1", "--no-pin"])
            .env("XDG_STATE_HOME", &state)
            .env("HOME", site.outside())
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut text = String::new();
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap());
        while !text.contains("curl ")
            && std::io::BufRead::read_line(&mut lines, &mut text).is_ok_and(|read| read > 0)
        {
        }
        let _ = child.kill();
        let _ = child.wait();
        let line = text.lines().find(|line| line.contains("SHA-256")).unwrap_or(&text).to_owned();
        assert!(text.contains("curl --cacert"), "{text}");
        line
    };
    let first = start();
    assert_eq!(start(), first, "the fingerprint stays");
    let mut keys = 0;
    let mut folders = vec![state];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if std::fs::read_to_string(entry.path()).unwrap().contains("PRIVATE KEY") {
                keys += 1;
                let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
                assert_eq!(mode & 0o777, 0o600);
            }
        }
    }
    assert_eq!(keys, 1);
}

/// Runs `attempt` with a server until it succeeds: what it tries has half a second of the server's,
/// which a busy machine may miss, but not every time.
fn within_the_grace(attempt: impl Fn(&mut Server) -> bool) {
    assert!((0..10).any(|_| attempt(&mut Server::plain(&[]))), "never within its grace");
}

fn is_draining(server: &Server) {
    server.signal(Signal::TERM);
    server.expect_logged("draining for at most", 1);
    // A worker closes its listener in the turn in which its tasks see it.
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", server.port)).is_ok() {
        assert!(Instant::now() < deadline, "a worker that drains listens");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A client that has shaken hands has a request on its way.
#[test]
fn a_first_request_under_drain_is_answered() {
    within_the_grace(|server| {
        let mut client = server.connect();
        client.handshake().unwrap();
        // The server has seen the end of the handshake when it has answered another after it.
        assert_eq!(server.connect().get("/hello.txt").body, HELLO);
        is_draining(server);
        client.send(b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let Ok(response) = client.try_response("GET") else { return false };
        assert!(response.body == HELLO && response.closes(), "{response:?}");
        client.expect_close();
        server.wait().code() == Some(0)
    });
}

/// Whose last answer did not say that the connection ends may have asked again already.
#[test]
fn a_request_behind_an_answer_is_answered_under_drain() {
    within_the_grace(|server| {
        let mut client = server.connect();
        let response = client.get("/hello.txt");
        assert!(!response.closes(), "it is not draining yet");
        is_draining(server);
        client.send(b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let Ok(response) = client.try_response("GET") else { return false };
        assert!(response.body == HELLO && response.closes(), "{response:?}");
        client.expect_close();
        server.wait().code() == Some(0)
    });
}

/// A request in flight at the signal is answered, and its answer says that it is the last.
#[test]
fn the_last_answer_says_close() {
    let mut server = Server::plain(&["--body-timeout", "5m", "--drain-timeout", "5m"]);
    let mut client = server.connect();
    client.send(
        b"POST /hello.txt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\
          Expect: 100-continue\r\n\r\n",
    );
    assert_eq!(client.response("POST").status, 100);
    is_draining(&server);
    client.send(b"body");
    let response = client.response("POST");
    assert!(response.status == 405 && response.closes(), "{response:?}");
    client.expect_close();
    assert_eq!(server.wait().code(), Some(0));
}
