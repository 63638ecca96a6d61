//! Balancers that announce the client of a connection by a PROXY header.

use std::{fs, process::Command};

use super::*;
use crate::{client::ClientOptions, configured::h2_get};

const V1: &str = "PROXY TCP4 192.0.2.7 198.51.100.9 40007 4433\r\n";

/// The same in binary, with a value behind the addresses.
fn v2() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x11".to_vec();
    header.extend([192, 0, 2, 7, 198, 51, 100, 9, 0x9c, 0x47, 0x11, 0x51]);
    header.extend([4, 0, 2, 1, 2]);
    header
}

/// Serves a folder and an application, with an access log, and balancers of these networks in front.
fn serve(trusted: &str, more: &str) -> (Configured, u16) {
    let admin = free_port();
    let log = "[observe]\naccess_log = 'access.log'\n";
    let text = format!(
        "{log}admin = '127.0.0.1:{admin}'\n[[proxy_protocol]]\n\
         trusted = {trusted}\n{more}[[site]]\n[[site.route]]\nrespond = 'hello'\n[[site.route]]\n\
         path = '/app'\nproxy = 'app'\n[pool.app]\nservers = '127.0.0.1:{}'\n",
        echo(),
    );
    (Configured::start_with("plain = '127.0.0.1:0'\n", &text, |_| {}), admin)
}

fn access_log(server: &Configured) -> String {
    fs::read_to_string(server.folder.path().join("access.log")).unwrap_or_default()
}

/// A connection on which a balancer has sent these bytes before TLS.
fn behind(server: &Configured, header: &[u8]) -> Client {
    let mut socket = connect(server.port).unwrap();
    socket.write_all(header).unwrap();
    Client::over(socket, ClientOptions::default().config(&server.identity))
}

#[test]
fn the_client_is_the_one_that_is_announced() {
    let (server, admin) = serve("['127.0.0.0/8', '::1']", "");
    for header in [V1.as_bytes(), &v2()] {
        let mut client = behind(&server, header);
        assert_eq!(client.get("/").text(), "hello");
        let seen = client.get("/app").text();
        for field in
            ["X-Forwarded-For: 192.0.2.7\r\n", "X-Forwarded-Port: 4433\r\n", "-Proto: https\r\n"]
        {
            assert!(seen.contains(field), "{field} in {seen}");
        }
        let request = "GET /plain HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let answer = exchange(plain_port(&server), &[header, request.as_bytes()].concat());
        assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    }
    let log = wait_for(|| access_log(&server), &["GET /plain ", "GET /app "]);
    assert!(log.lines().all(|line| line.starts_with("192.0.2.7 ")), "{log}");
    expect_metric(admin, "ringway_connections_announced_total", 4);
}

/// Whatever the pieces in which header and ClientHello come.
#[test]
fn a_header_may_come_byte_by_byte() {
    let (server, _) = serve("'127.0.0.1'", "");
    for header in [V1.as_bytes(), &v2()] {
        let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let mut socket = connect(plain_port(&server)).unwrap();
        for byte in [header, request].concat() {
            socket.write_all(&[byte]).unwrap();
        }
        assert!(String::from_utf8_lossy(&drain(&mut socket)).ends_with("hello"));
    }
    let mut socket = connect(server.port).unwrap();
    for byte in V1.bytes() {
        socket.write_all(&[byte]).unwrap();
    }
    let mut client = Client::over(socket, ClientOptions::default().config(&server.identity));
    assert!(client.send_bytewise(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_eq!(client.response("GET").text(), "hello");
}

/// A balancer that checks the health of this server speaks for itself.
#[test]
fn a_balancer_may_speak_for_itself() {
    let (server, _) = serve("'127.0.0.1'", "");
    for header in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
        let mut client = behind(&server, header);
        assert!(client.get("/app").text().contains("X-Forwarded-For: 127.0.0.1\r\n"));
    }
}

#[test]
fn a_trusted_peer_has_to_announce_its_client() {
    let (server, admin) = serve("'127.0.0.1'", "");
    let direct = ClientOptions::default().config(&server.identity);
    assert!(Client::connect(server.port, direct).unwrap().handshake().is_err());
    let plain = plain_port(&server);
    assert_eq!(exchange(plain, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "");
    assert_eq!(exchange(plain, b"PROXY TCP4 1.2.3.4 5.6.7.8 x 1\r\nGET / HTTP/1.1\r\n\r\n"), "");
    assert_eq!(exchange(plain, &[V1.as_bytes(), V1.as_bytes()].concat()), "", "once is enough");
    wait_for(|| server.log(), &["does not begin with a PROXY header"]);
    expect_metric(admin, "ringway_announcements_refused_total", 4);
    for (why, count) in
        [("balancer.no_header", 2), ("balancer.header", 1), ("balancer.untrusted", 1)]
    {
        let labels = format!("of=\"connection\",why=\"{why}\",phase=\"handshake\"");
        expect_metric(admin, &format!("ringway_ends_total{{{labels}}}"), count);
    }
}

#[test]
fn others_are_served_as_they_come_and_announce_nobody() {
    let (server, admin) = serve("'10.0.0.0/8'", "");
    assert_eq!(server.connect().get("/").text(), "hello");
    let plain = plain_port(&server);
    for header in [V1.as_bytes(), &v2()] {
        assert!(behind(&server, header).handshake().is_err());
        let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(exchange(plain, &[header, request].concat()), "");
    }
    wait_for(|| server.log(), &["127.0.0.1:", "may send"]);
    expect_metric(admin, "ringway_announcements_refused_total", 4);
    expect_metric(admin, "ringway_connections_announced_total", 0);
}

/// Nothing is waited for without end, and no header is gathered without bound.
#[test]
fn a_header_is_bounded_in_time_and_bytes() {
    let (server, _) = serve("'127.0.0.1'", "[timeouts]\nhandshake = '300ms'\n");
    // It ends although the client neither closes nor goes on.
    assert_eq!(exchange(server.port, &V1.as_bytes()[..9]), "");
    assert_eq!(exchange(server.port, b""), "");
    let (server, _) = serve("'127.0.0.1'", "");
    assert_eq!(exchange(server.port, &[&V1.as_bytes()[..9], &[b'1'; 200]].concat()), "");
    assert_eq!(exchange(server.port, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"), "");
}

/// The limit of an address holds for clients, not for the balancer.
#[test]
fn each_announced_client_has_its_connections() {
    let (server, _) = serve("'127.0.0.1'", "[limits]\nmax_connections_per_address = 1\n");
    let mut first = behind(&server, V1.as_bytes());
    assert_eq!(first.get("/").text(), "hello");
    assert!(behind(&server, &v2()).handshake().is_err(), "the same client again");
    let other = V1.replace("192.0.2.7", "192.0.2.8");
    let mut second = behind(&server, other.as_bytes());
    assert_eq!(second.get("/").text(), "hello");
    wait_for(|| server.log(), &["192.0.2.7, which has 1 open"]);
    assert_eq!(first.get("/").text(), "hello");
}

#[test]
fn haproxy_announces_its_clients() {
    let (server, _) = serve("'127.0.0.1'", "");
    for options in
        ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"]
    {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let text = format!(
            "defaults\n mode tcp\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n\
             listen front\n bind 127.0.0.1:{port}\n unique-id-format %ci:%cp\n\
             server one 127.0.0.1:{} {options}\n",
            server.port
        );
        let file = folder.path().join("haproxy.cfg");
        fs::write(&file, text).unwrap();
        let Some(_haproxy) = start_program("haproxy", &["-f", file.to_str().unwrap()], port) else {
            return;
        };
        for (version, shown) in [("--http1.1", "hello1.1"), ("--http2", "hello2")] {
            let url = format!("https://127.0.0.1:{port}/");
            let run = Command::new("curl")
                .args(["-sk", version, "--interface", "127.0.0.5", "-w", "%{http_version}", &url])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&run.stdout), shown, "{options}");
        }
        // The probe of this test has come from another address.
        let seen = || access_log(&server);
        wait_for(seen, &["127.0.0.5 - - "]);
        assert!(
            seen()
                .lines()
                .filter(|line| line.contains(" 200 "))
                .all(|l| l.starts_with("127.0.0.5 "))
        );
    }
}

#[test]
fn curl_announces_itself() {
    if !has_program("curl") {
        return skip("this host has no curl");
    }
    let (server, _) = serve("'127.0.0.1'", "");
    for (version, shown) in [("--http1.1", "hello1.1"), ("--http2", "hello2")] {
        let url = format!("https://127.0.0.1:{}/", server.port);
        let run = Command::new("curl")
            .args(["-sk", version, "--haproxy-protocol", "-w", "%{http_version}", &url])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&run.stdout), shown);
    }
}

/// One listener has balancers in front, another has none.
#[test]
fn a_setting_holds_for_its_listeners() {
    let (proxied, direct) = (free_port(), free_port());
    let first = format!("plain = ['127.0.0.1:{proxied}', '127.0.0.1:{direct}']\n");
    let text = format!(
        "[[proxy_protocol]]\nlisten = '127.0.0.1:{proxied}'\ntrusted = '127.0.0.0/8'\n[[site]]\n\
         [[site.route]]\nrespond = 'hello'\n"
    );
    let server = Configured::start_with(&first, &text, |_| {});
    let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert!(exchange(direct, request.as_bytes()).ends_with("hello"));
    assert_eq!(exchange(proxied, request.as_bytes()), "");
    assert!(exchange(proxied, format!("{V1}{request}").as_bytes()).ends_with("hello"));
    assert_eq!(h2_get(&server, "localhost", "/"), (200, "hello".to_owned()));
}
