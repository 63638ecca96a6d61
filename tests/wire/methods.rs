//! Methods, targets, versions, and connections that persist (RFC 9110 section 9, RFC 9112 section 9).

use crate::delivery::{DELIVERIES, answered, deliver, refused};
use crate::response::Response;
use crate::server::Server;
use crate::site::{HELLO, Site};

fn allows_reading(response: &Response) {
    for method in ["GET", "HEAD"] {
        assert!(response.lists("Allow", method), "{:?}", response.field("Allow"));
    }
}

#[test]
fn get_and_head_have_the_same_head() {
    let server = Server::plain(&[]);
    let get = answered(&server, 200, b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = answered(&server, 200, b"HEAD /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(get.body, HELLO);
    for name in ["Content-Length", "Content-Type", "ETag", "Last-Modified", "Accept-Ranges"] {
        assert_eq!(get.need(name), head.need(name), "{name}");
    }
}

/// The head of a redirect is as long as the query; whether there is room for it does not depend on
/// the content, which a HEAD does not get.
#[test]
fn get_and_head_have_the_same_head_however_long() {
    let site = Site::new();
    site.file("folder/file.txt", HELLO);
    let server = Server::start(site, &["--listing"]);
    for length in [10, 900, 3_000, 6_000] {
        let target = format!("/folder?{}", "a".repeat(length));
        let line = |method| format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let get = answered(&server, 301, line("GET").as_bytes());
        let head = answered(&server, 301, line("HEAD").as_bytes());
        for name in ["Content-Length", "Location", "Content-Type"] {
            assert_eq!(get.need(name), head.need(name), "{name} with a query of {length}");
        }
    }
    assert!(!server.log().contains("respond"), "{}", server.log());
}

/// RFC 9110 section 9.3.2: whatever the status.
#[test]
fn no_answer_to_head_has_content() {
    let server = Server::plain(&["--head-timeout", "1s"]);
    for request in [
        "HEAD /hello.txt HTTP/1.1\r\nHost: localhost\r\nBad name: x\r\n\r\n",
        "HEAD /hello.txt HTTP/1.1\r\n\r\n",
        "\r\nHEAD /hello.txt HTTP/1.1\r\nHost: localhost\r\nExpect: more\r\n\r\n",
        "HEAD /hello.txt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n",
        "HEAD /hello.txt HTTP/1.1\r\nHost: local",
    ] {
        let mut client = server.connect();
        client.send(request.as_bytes());
        let response = client.response("HEAD");
        assert!(response.closes() && response.status >= 400, "{request:?}: {response:?}");
        assert!(response.promised() > 0, "as a GET would have: {request:?}");
        let (rest, _) = client.end();
        assert_eq!(rest.escape_ascii().to_string(), "", "{request:?}");
    }
}

#[test]
fn methods_that_files_lack() {
    let server = Server::plain(&[]);
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let request = format!("{method} /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n");
        allows_reading(&answered(&server, 405, request.as_bytes()));
    }
}

#[test]
fn methods_that_nobody_has() {
    let server = Server::plain(&[]);
    for method in ["BREW", "get", "GETX", "M-SEARCH"] {
        let request = format!("{method} /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n");
        for way in DELIVERIES {
            let (_, response) = deliver(&server, way, request.as_bytes());
            assert_eq!(response.status, 501, "{method} {way:?}");
        }
    }
}

#[test]
fn options() {
    let server = Server::plain(&[]);
    for target in ["*", "/hello.txt"] {
        let request = format!("OPTIONS {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        for way in DELIVERIES {
            let (mut client, response) = deliver(&server, way, request.as_bytes());
            assert!([200, 204].contains(&response.status), "{target}: {}", response.status);
            allows_reading(&response);
            assert_eq!(client.get("/hello.txt").body, HELLO);
        }
    }
}

#[test]
fn connect_and_trace_are_refused() {
    let server = Server::plain(&[]);
    for line in ["CONNECT example.org:443 HTTP/1.1", "TRACE /hello.txt HTTP/1.1"] {
        let request = format!("{line}\r\nHost: example.org:443\r\n\r\n");
        let (_, response) = deliver(&server, DELIVERIES[0], request.as_bytes());
        assert!([400, 405, 501].contains(&response.status), "{line}: {}", response.status);
    }
}

#[test]
fn absolute_form() {
    let server = Server::plain(&[]);
    for target in ["https://localhost/hello.txt", "HTTPS://LOCALHOST:443/hello.txt?query"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(answered(&server, 200, request.as_bytes()).body, HELLO);
    }
}

/// An empty `Host` is a valid one (RFC 9112 section 3.2: what a client sends whose target has no
/// authority); the host is then the one that the server goes by itself (section 3.3).
#[test]
fn hosts_that_are_right() {
    let server = Server::plain(&[]);
    for host in ["localhost", "LOCALHOST:8443", "127.0.0.1", "[::1]:443", "", "localhost."] {
        let request = format!("GET /hello.txt HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(answered(&server, 200, request.as_bytes()).body, HELLO, "{host:?}");
    }
}

#[test]
fn white_space_and_empty_lines_that_are_allowed() {
    let server = Server::plain(&[]);
    for request in [
        &b"\r\nGET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"GET /hello.txt HTTP/1.1\r\nHost:localhost\r\nX:\r\n\r\n",
        b"GET /hello.txt HTTP/1.1\r\nHost: \t localhost \t \r\n\r\n",
        b"GET /hello.txt?a=b&c=%00%2f HTTP/1.1\r\nHost: localhost\r\nX: \xe9\r\n\r\n",
    ] {
        // Behind another request the empty line is one too many for some, so take the plain ways.
        let (_, response) = deliver(&server, DELIVERIES[0], request);
        assert_eq!(response.status, 200);
        let (_, response) = deliver(&server, DELIVERIES[1], request);
        assert_eq!(response.status, 200);
    }
}

#[test]
fn close_is_honoured() {
    let server = Server::plain(&[]);
    for fields in ["Connection: close\r\n", "connection: Keep-Alive, CLOSE\r\n"] {
        for way in DELIVERIES {
            let request = format!("GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
            let (mut client, response) = deliver(&server, way, request.as_bytes());
            assert_eq!(response.body, HELLO);
            assert!(response.closes());
            client.expect_close();
        }
    }
}

#[test]
fn nothing_is_answered_after_close() {
    let server = Server::plain(&[]);
    let mut client = server.connect();
    client.send(
        b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n\
          GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    assert_eq!(client.response("GET").body, HELLO);
    client.expect_close();
}

#[test]
fn http_1_0() {
    let server = Server::plain(&[]);
    for fields in ["", "Host: localhost\r\n", "Connection: close\r\n"] {
        for way in DELIVERIES {
            let request = format!("GET /hello.txt HTTP/1.0\r\n{fields}\r\n");
            let (mut client, response) = deliver(&server, way, request.as_bytes());
            assert_eq!(response.body, HELLO);
            client.expect_close();
        }
    }
    let mut client = server.connect();
    client.send(b"GET /hello.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let response = client.response("GET");
    assert_eq!(response.body, HELLO);
    if response.lists("Connection", "keep-alive") {
        assert_eq!(client.get("/hello.txt").body, HELLO);
    } else {
        client.expect_close();
    }
    refused(&server, &[400], b"GET /hello.txt HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n");
}

#[test]
fn a_connection_serves_many_requests() {
    let server = Server::plain(&[]);
    let mut client = server.connect();
    for _ in 0..500 {
        assert_eq!(client.get("/hello.txt").body, HELLO);
    }
    client.close();
    client.expect_close();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::plain(&[]);
    let home = server.connect().get("/").body;
    for count in [2, 100, 1_000] {
        let mut client = server.connect();
        let path = |i: usize| if i.is_multiple_of(2) { "/hello.txt" } else { "/" };
        let request = |i| format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", path(i));
        let requests: String = (0..count).map(request).collect();
        client.send(requests.as_bytes());
        for i in 0..count {
            let expected = if i % 2 == 0 { HELLO } else { home.as_slice() };
            assert_eq!(client.response("GET").body, expected, "{i} of {count}");
        }
    }
}

#[test]
fn head_answers_in_a_pipeline_have_no_body() {
    let server = Server::plain(&[]);
    let mut client = server.connect();
    client.send(
        b"HEAD /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n\
          HEAD /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n\
          GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    assert_eq!(client.response("HEAD").status, 200);
    assert_eq!(client.response("HEAD").status, 404);
    assert_eq!(client.response("GET").body, HELLO);
}

#[test]
fn a_connection_ends_after_its_last_request() {
    let server = Server::plain(&["--max-requests", "3"]);
    let mut client = server.connect();
    assert!(!client.get("/").closes());
    assert!(!client.get("/").closes());
    assert!(client.get("/").closes());
    client.expect_close();
}
