//! Where one request ends and the next begins (RFC 9112 sections 6 and 7): bodies are read past,
//! and whatever two readers could read differently is refused, with the connection closed.

use crate::delivery::{DELIVERIES, answered, deliver, refused, show};
use crate::server::Server;
use crate::site::HELLO;

fn post(fields: &str, body: &str) -> Vec<u8> {
    format!("POST /hello.txt HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n{body}").into_bytes()
}

fn get(fields: &str, body: &str) -> Vec<u8> {
    format!("GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n{body}").into_bytes()
}

#[test]
fn bodies_are_read_past() {
    let server = Server::plain(&[]);
    for (fields, body) in [
        ("Content-Length: 0\r\n", ""),
        ("Content-Length: 5\r\n", "hello"),
        ("Content-Length: 00005\r\n", "hello"),
        ("Content-Length: 43\r\n", "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        ("transfer-encoding: CHUNKED\r\n", "000A\r\n0123456789\r\n1\r\nx\r\n00\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "5;name=value\r\nhello\r\n0;last\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "5;a=\"q;\\\"\"\r\nhello\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\nTrailer: a\r\nOther: b\r\n\r\n"),
    ] {
        answered(&server, 405, &post(fields, body));
        assert_eq!(answered(&server, 200, &get(fields, body)).body, HELLO);
    }
}

#[test]
fn bodies_of_a_megabyte_are_read_past() {
    let server = Server::plain(&[]);
    let body = "b".repeat(1 << 20);
    let mut client = server.connect();
    for _ in 0..3 {
        client.send(&get(&format!("Content-Length: {}\r\n", body.len()), &body));
        assert_eq!(client.response("GET").body, HELLO);
    }
    let chunks = format!("{:x}\r\n{body}\r\n", body.len());
    for _ in 0..3 {
        client.send(&get("Transfer-Encoding: chunked\r\n", &format!("{chunks}0\r\n\r\n")));
        assert_eq!(client.response("GET").body, HELLO);
    }
}

#[test]
fn lengths_that_are_no_length() {
    let server = Server::plain(&[]);
    for length in
        ["", "+5", "-5", "5 5", "0x5", "5.0", "five", "5;", "5,6", "99999999999999999999", "\t"]
    {
        refused(&server, &[400], &post(&format!("Content-Length: {length}\r\n"), "hello"));
    }
    refused(&server, &[400], &post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"));
}

#[test]
fn length_beside_coding() {
    let server = Server::plain(&[]);
    let body = "0\r\n\r\nGET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\ncontent-length: 0\r\n",
    ] {
        refused(&server, &[400], &post(fields, body));
    }
}

#[test]
fn codings_that_hide_the_end() {
    let server = Server::plain(&[]);
    let body = "5\r\nhello\r\n0\r\n\r\n";
    for coding in [
        "gzip",
        "chunked, gzip",
        "gzip, chunked",
        "chunked, chunked",
        "identity",
        "xchunked",
        "chunked;q=1",
        "\"chunked\"",
        "chunked\u{b}",
        "",
        ",",
    ] {
        let request = post(&format!("Transfer-Encoding: {coding}\r\n"), body);
        refused(&server, &[400, 501], &request);
    }
    let twice = "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n";
    refused(&server, &[400, 501], &post(twice, body));
    let old = b"POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    refused(&server, &[400], old);
}

/// A bad body is found out after the head was understood, so the response to the head may have
/// been sent already. Then the connection must be closed, and what stands behind stays unread.
#[test]
fn chunks_that_are_no_chunks() {
    let server = Server::plain(&[]);
    for body in [
        "G\r\n",
        "\r\n",
        "-1\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "5\rhello\r0\r\r",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "11111111111111111\r\n",
        "FFFFFFFFFFFFFFFF\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nbad trailer\r\n\r\n",
        "5\r\nhello\r\n0\r\n folded\r\n\r\n",
    ] {
        let behind = "GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n";
        for way in DELIVERIES {
            let request = post("Transfer-Encoding: chunked\r\n", &format!("{body}{behind}"));
            let (mut client, response) = deliver(&server, way, &request);
            assert!(
                [400, 405, 413].contains(&response.status),
                "{} {way:?}: {}",
                response.status,
                show(&request)
            );
            client.close();
            let (rest, _) = client.end();
            let rest = String::from_utf8_lossy(&rest).into_owned();
            let smuggled = rest.contains("HTTP/1.1 200");
            assert!(!smuggled, "answered what stood behind: {way:?}: {}", show(&request));
        }
    }
}

#[test]
fn bodies_that_are_too_large() {
    let server = Server::plain(&["--max-body", "1KiB"]);
    refused(&server, &[413], &post("Content-Length: 1025\r\n", ""));
    answered(&server, 405, &post("Content-Length: 1024\r\n", &"b".repeat(1024)));
    let chunk = format!("400\r\n{}\r\n", "b".repeat(1024));
    answered(&server, 405, &post("Transfer-Encoding: chunked\r\n", &format!("{chunk}0\r\n\r\n")));
    let mut client = server.connect();
    client.send(&post("Transfer-Encoding: chunked\r\n", &format!("{chunk}{chunk}0\r\n\r\n")));
    let first = client.response("POST");
    assert!([405, 413].contains(&first.status), "{}", first.status);
    client.close();
    let (rest, _) = client.end();
    assert!(!String::from_utf8_lossy(&rest).contains(" 200 "));
}

#[test]
fn endless_trailers_and_extensions_end() {
    let server = Server::plain(&[]);
    let extension = format!("5;{}", "e".repeat(100_000));
    let trailers = format!("0\r\n{}", "T: t\r\n".repeat(50_000));
    for body in [extension, trailers] {
        let mut client = server.connect();
        client.send(&post("Transfer-Encoding: chunked\r\n", &body));
        let response = client.response("POST");
        assert!([400, 405, 413, 431].contains(&response.status), "{}", response.status);
        client.close();
        let (rest, _) = client.end();
        assert!(!String::from_utf8_lossy(&rest).contains(" 200 "));
    }
}

#[test]
fn continue_is_said_before_the_body() {
    let server = Server::plain(&[]);
    let mut client = server.connect();
    client.send(&get("Content-Length: 5\r\nExpect: 100-continue\r\n", ""));
    let mut response = client.response("GET");
    if response.status == 100 {
        client.send(b"hello");
        response = client.response("GET");
    }
    // Without 100 the body does not come, and the server may not wait for it.
    assert_eq!(response.body, HELLO);

    // A body that comes without waiting, and is not expected to be waited for in HTTP/1.0.
    let mut client = server.connect();
    client.send(&get("Content-Length: 5\r\nExpect: 100-Continue\r\n", "hello"));
    let mut response = client.response("GET");
    if response.status == 100 {
        response = client.response("GET");
    }
    assert_eq!(response.body, HELLO);
    let mut client = server.connect();
    client
        .send(b"GET /hello.txt HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello");
    assert_eq!(client.response("GET").status, 200);

    // Too large: the answer is final, and the body is never asked for.
    let mut client = server.connect();
    client.send(&post("Content-Length: 99999999\r\nExpect: 100-continue\r\n", ""));
    assert_eq!(client.response("POST").status, 413);
}
