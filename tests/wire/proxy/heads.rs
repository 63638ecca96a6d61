//! What the server and the client get of each other's heads.

use super::{ask, upstream::Upstream};
use crate::server::Server;

#[test]
fn a_request_is_written_anew_and_says_who_it_was() {
    let upstream = Upstream::fixed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let server = Server::proxy(&[&upstream.address], &[]);
    let mut client = server.connect();
    let fields = "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nX-Forwarded-For: 10.0.0.1\r\n\
                  Forwarded: for=10.0.0.1\r\nX_Real_Ip: 10.0.0.1\r\nX-Mine: 1\r\nTE: gzip\r\n";
    let answer = ask(&mut client, "GET", "/a/b?c=%2F", fields, b"");
    assert_eq!((answer.head.status, &*answer.body), (200, &b"ok"[..]));
    let requests = upstream.requests();
    let request = &requests[0];
    assert!(request.head.starts_with("GET /a/b?c=%2F HTTP/1.1\r\nHost: localhost\r\n"));
    assert_eq!(request.fields("x-mine"), ["1"]);
    assert_eq!(request.fields("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(request.fields("x-forwarded-proto"), ["https"]);
    assert_eq!(request.fields("x-forwarded-port"), [server.port.to_string()]);
    assert!(request.fields("via")[0].starts_with("1.1 ringway-"));
    for gone in ["connection", "x-hop", "te", "forwarded", "x_real_ip"] {
        assert!(request.fields(gone).is_empty(), "{gone}: {}", request.head);
    }
}

/// Traces of clients reach the upstream as they came, however they are written.
#[test]
fn what_names_a_request_goes_on() {
    let upstream = Upstream::fixed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let server = Server::proxy(&[&upstream.address], &[]);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let fields = format!(
        "TraceParent: {parent}\r\ntracestate: a=b\r\ntracestate: c=d\r\nX-Request-ID: mine\r\n"
    );
    let answer = ask(&mut server.connect(), "GET", "/", &fields, b"");
    assert_eq!(answer.head.status, 200);
    let requests = upstream.requests();
    let request = &requests[0];
    assert_eq!(request.fields("traceparent"), [parent]);
    assert_eq!(request.fields("tracestate"), ["a=b", "c=d"]);
    assert_eq!(request.fields("x-request-id"), ["mine"]);
}

#[test]
fn a_response_loses_what_concerns_one_connection_and_keeps_the_rest() {
    let upstream = Upstream::fixed(
        b"HTTP/1.1 404 Nowhere\r\nServer: app\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
          Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\
          Content-Length: 2\r\n\r\nno",
    );
    let server = Server::proxy(&[&upstream.address], &[]);
    let mut client = server.connect();
    for _ in 0..2 {
        let answer = ask(&mut client, "GET", "/", "", b"");
        assert_eq!((answer.head.status, &*answer.body), (404, &b"no"[..]));
        assert_eq!(answer.head.need("Server"), "app");
        assert_eq!(answer.head.need("Date"), "Thu, 01 Jan 1970 00:00:00 GMT");
        let cookies = answer.head.fields.iter().filter(|(name, _)| name == "Set-Cookie");
        assert_eq!(cookies.count(), 2);
        for gone in ["Connection", "X-Hop", "Keep-Alive"] {
            assert_eq!(answer.head.field(gone), None);
        }
    }
}

#[test]
fn requests_with_two_meanings_are_not_passed_on() {
    let upstream = Upstream::fixed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let server = Server::proxy(&[&upstream.address], &[]);
    for (method, path, fields, status) in [
        ("GET", "/a/%2e%2e/b", "", 400),
        ("GET", "/a%2fb", "", 400),
        ("GET", "/a%00", "", 400),
        ("GET", "/", "Connection: Host\r\n", 400),
        ("GET", "/", "Connection: close, X-Forwarded-For\r\n", 400),
        ("TRACE", "/", "", 405),
    ] {
        let mut client = server.connect();
        let answer = ask(&mut client, method, path, fields, b"");
        assert_eq!(answer.head.status, status, "{method} {path} {fields}");
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn a_loop_ends() {
    // It passes requests on to itself: the second time around it sees its own name.
    let upstream = Upstream::fixed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let server = Server::proxy(&[&upstream.address], &[]);
    ask(&mut server.connect(), "GET", "/", "", b"");
    let via = upstream.requests()[0].fields("via")[0].to_owned();
    let answer = ask(&mut server.connect(), "GET", "/", &format!("Via: 1.1 x, {via}\r\n"), b"");
    assert_eq!(answer.head.status, 502);
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn interim_responses_are_not_the_answer() {
    let upstream = Upstream::fixed(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
          HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let server = Server::proxy(&[&upstream.address], &[]);
    let mut client = server.connect();
    for _ in 0..2 {
        let answer = ask(&mut client, "GET", "/", "", b"");
        assert_eq!((answer.head.status, &*answer.body), (200, &b"ok"[..]));
    }
    assert_eq!(upstream.connections(), 1);
}
