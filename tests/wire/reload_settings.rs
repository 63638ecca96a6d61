//! What a reload changes beside sites: bounds, addresses and pools, and what it refuses.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::{
    client::{Client, ClientOptions},
    configured::{Configured, write},
    reload_file::reload,
    server::PATIENCE,
};

const SITE: &str = "[[site]]\n[[site.route]]\nrespond = 'yes'\n";

fn start(text: &str) -> Configured {
    Configured::start(text, |_| {})
}

fn control(rest: &str) -> String {
    format!("[process]\ncontrol = 'control'\n{rest}")
}

fn reloaded(server: &Configured, text: &str) {
    write(server.folder.path(), text);
    let (code, said) = reload(server);
    assert_eq!(code, Some(0), "{said}");
}

fn refused(server: &Configured, text: &str) -> String {
    write(server.folder.path(), text);
    let (code, said) = reload(server);
    assert_eq!(code, Some(2), "{said}");
    said
}

const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n";

/// Connections of before have the new bounds from their next request on.
#[test]
fn bounds_change_for_connections_that_there_are() {
    let server = start(&control(SITE));
    let mut client = server.connect();
    assert!(client.send(POST) && client.send(&[b'x'; 20]));
    assert_ne!(client.response("POST").status, 413);
    reloaded(
        &server,
        &(control(
            "[limits]\nmax_body = '10'\nmax_target = 1024\n[observe]\nserver_timing = true\n",
        ) + SITE),
    );
    let response = client.get("/");
    assert_eq!(response.status, 200);
    assert!(!response.need("Server-Timing").is_empty());
    assert_eq!(client.get(&"/0123456789abcdef".repeat(100)).status, 414);
    let mut client = server.connect();
    client.send(POST);
    assert_eq!(client.response("POST").status, 413);
    // A wait that begins under the new times ends by them.
    reloaded(&server, &(control("[timeouts]\nidle = '50ms'\n") + SITE));
    let mut client = server.connect();
    assert_eq!(client.get("/").status, 200);
    client.expect_close();
}

/// A request is answered by the bounds that its head met.
#[test]
fn a_request_keeps_its_bounds() {
    let server = start(&control(SITE));
    let mut client = server.connect();
    let waits = "Expect: 100-continue\r\nContent-Length: 20\r\n";
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{waits}\r\n").as_bytes());
    // The head is there before the reload.
    assert_eq!(client.response("POST").status, 100);
    reloaded(&server, &(control("[limits]\nmax_body = 10\n") + SITE));
    client.send(&[b'x'; 20]);
    assert_ne!(client.response("POST").status, 413);
    client.send(POST);
    assert_eq!(client.response("POST").status, 413);
}

fn free_port() -> u16 {
    crate::port::to_listen_at()
}

/// A file with these addresses, whole.
fn with_listen(server: &Configured, listen: &str, rest: &str) -> String {
    let path = server.folder.path().join("ringway.toml");
    let head = format!(
        "listen = {listen}\nworkers = 2\npin = false\n[tls]\ncert = 'ecdsa.pem'\nkey = 'ecdsa.key'\n"
    );
    fs::write(path, head + rest).unwrap();
    let (code, said) = reload(server);
    format!("{code:?} {said}")
}

fn connect(server: &Configured, port: u16) -> Option<Client> {
    Client::connect(port, ClientOptions::default().config(&server.identity)).ok()
}

#[test]
fn addresses_come_and_go_and_connections_stay() {
    let port = free_port();
    let rest = control(&format!("allow_bind = [{port}]\n{SITE}"));
    let server = start(&rest);
    let mut old = server.connect();
    assert_eq!(old.get("/").status, 200);
    let said = with_listen(&server, &format!("['127.0.0.1:0', '127.0.0.1:{port}']"), &rest);
    assert!(said.starts_with("Some(0)"), "{said}");
    let mut new = connect(&server, port).unwrap();
    assert_eq!(new.get("/").status, 200);
    assert_eq!(server.connect().get("/").status, 200, "the first address is as it was");
    let said = with_listen(&server, &format!("'127.0.0.1:{port}'"), &rest);
    assert!(said.starts_with("Some(0)"), "{said}");
    assert_eq!(old.get("/").status, 200, "connections outlive their listener");
    assert_eq!(new.get("/").status, 200);
    assert_eq!(connect(&server, port).unwrap().get("/").status, 200);
    let until = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", server.port)).is_ok() {
        assert!(Instant::now() < until, "the closed address is still listened on");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_address_that_cannot_be_had_changes_nothing() {
    let rest = control(SITE);
    let server = start(&rest);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let other = rest.replace("yes", "no");
    let said = with_listen(&server, &format!("['127.0.0.1:0', '127.0.0.1:{port}']"), &other);
    assert!(said.starts_with("Some(2)"), "{said}");
    assert_eq!(server.connect().get("/").text(), "yes");
    if server.start_block.contains("no new TCP") {
        assert!(said.contains("allow_bind") && said.contains("restart"), "{said}");
    }
}

/// A server of a pool: answers with a text, the first request only when it is let. Its port, what lets it, and
/// what says that the first request has come.
fn upstream(text: &'static str) -> (u16, mpsc::Sender<()>, mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (go, wait) = mpsc::channel::<()>();
    let (come, has_come) = mpsc::channel();
    let mut wait = Some((come, wait));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let wait = wait.take();
            thread::spawn(move || {
                let mut wait = wait;
                let mut bytes = [0; 4096];
                while stream.read(&mut bytes).is_ok_and(|read| read > 0) {
                    if let Some((come, wait)) = wait.take() {
                        let _ = come.send(());
                        let _ = wait.recv();
                    }
                    let answer =
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, go, has_come)
}

#[test]
fn pools_change_and_requests_on_their_way_end_where_they_began() {
    let ((one, go_one, one_has_come), (two, go_two, _)) = (upstream("one"), upstream("two"));
    go_two.send(()).unwrap();
    let text = |port: u16, more: &str| {
        control(&format!(
            "allow_connect = [{two}]\n[[site]]\n[[site.route]]\nproxy = 'app'\n\
             [pool.app]\nservers = '127.0.0.1:{port}'\n{more}"
        ))
    };
    let server = start(&text(one, ""));
    let mut waiting = server.connect();
    waiting.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    one_has_come.recv_timeout(PATIENCE).expect("the request is on its way");
    reloaded(&server, &text(two, "max = 3\n"));
    assert_eq!(server.connect().get("/").text(), "two");
    go_one.send(()).unwrap();
    assert_eq!(waiting.response("GET").text(), "one");
    assert_eq!(waiting.get("/").text(), "two");
    // A port that is neither of the start nor allowed there.
    let (three, _go, _) = upstream("three");
    write(server.folder.path(), &text(three, ""));
    let (code, said) = reload(&server);
    if server.start_block.contains("Landlock ABI")
        && server.start_block.contains("ports of the pools")
    {
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("allow_connect") && said.contains(&three.to_string()), "{said}");
        assert_eq!(server.connect().get("/").text(), "two");
    } else {
        assert_eq!(code, Some(0), "{said}");
    }
}

#[test]
fn a_server_without_pools_says_what_it_lacks() {
    let server = start(&control(SITE));
    let said = refused(
        &server,
        &control(
            "[[site]]\n[[site.route]]\nproxy = 'app'\n[pool.app]\nservers = 'unix:/run/app'\n",
        ),
    );
    assert!(said.contains("started without pools") && said.contains("restart"), "{said}");
}

/// The keys that need a restart, each with its reason. All others are taken by the tests above or by those
/// of their features.
#[test]
fn what_needs_a_restart_is_named() {
    let server = start(&control(SITE));
    for (key, text) in [
        ("limits.connections", control("[limits]\nconnections = 20000\n") + SITE),
        ("limits.receive_buffers", control("[limits]\nreceive_buffers = 512\n") + SITE),
        ("limits.receive_buffer_size", control("[limits]\nreceive_buffer_size = '32KiB'\n") + SITE),
        ("limits.leases_per_connection", control("[limits]\nleases_per_connection = 3\n") + SITE),
        ("limits.send_memory", control("[limits]\nsend_memory = '9MiB'\n") + SITE),
        ("limits.max_connections,", control("[limits]\nmax_connections = 9\n") + SITE),
        (
            "limits.max_connections_per_address,",
            control("[limits]\nmax_connections_per_address = 9\n") + SITE,
        ),
        ("observe.admin", control("[observe]\nadmin = '127.0.0.1:0'\n") + SITE),
        ("observe.access_log", control("[observe]\naccess_log = 'a.log'\n") + SITE),
        ("observe.access_log_sample", control("[observe]\naccess_log_sample = 2\n") + SITE),
        ("observe.access_log_slow", control("[observe]\naccess_log_slow = '2s'\n") + SITE),
        ("observe.anatomy", control("[observe]\nanatomy = false\n") + SITE),
        ("process.landlock", control("landlock = 'off'\n") + SITE),
        ("process.core_dumps", control("core_dumps = true\n") + SITE),
        ("process.allow_read", control("allow_read = '.'\n") + SITE),
        ("process.allow_bind", control("allow_bind = 8000\n") + SITE),
        ("process.allow_connect", control("allow_connect = 8000\n") + SITE),
        ("process.user", control("user = 'nobody'\n") + SITE),
        ("log.format", control("[log]\nformat = 'json'\n") + SITE),
        ("tls.ktls", "ktls = 'off'\n".to_owned() + &control(SITE)),
    ] {
        let said = refused(&server, &text);
        assert!(
            said.contains(&format!("{key} ")) || said.contains(&format!("{key}:")),
            "{key}: {said}"
        );
        assert!(said.contains("restart ringway"), "{key}: {said}");
    }
    reloaded(&server, &(control("[limits]\nconnections = 500\nhandshakes = 500\n") + SITE));
}
