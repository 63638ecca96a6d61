//! Native handlers: before files, before a service, and late; over both protocols.

use std::{fs::File, time::Duration};

use axum::{Router, routing::get};
use ringway::native::{Head, Outcome, Reply};

use super::{
    client::Client,
    server::{Running, start},
};

fn handler(head: &Head<'_>, reply: &mut Reply) -> Outcome {
    match head.path() {
        b"/native/hello" => {
            reply.status(200).field("Content-Type", "text/plain").body(b"hello ");
            reply.body(head.query().unwrap_or(b"nobody"));
        }
        b"/native/cookie" => {
            let who = head.cookie("session").unwrap_or(b"-");
            let peer = head.connection().peer().unwrap();
            reply.field("X-Peer", peer.ip().to_string()).body(who);
        }
        b"/native/teapot" => _ = reply.status(418).field("Server", "tea").field("Date", "today"),
        b"/native/nothing" => _ = reply.status(204),
        b"/native/large" => _ = reply.bytes(vec![b'x'; 300_000]),
        b"/native/kept" => _ = reply.body(&[b'y'; 11_000]),
        b"/native/file" => {
            let file = File::open(env!("CARGO_MANIFEST_DIR").to_owned() + "/Cargo.toml").unwrap();
            reply.file(file, 1..10);
        }
        b"/native/site" => _ = reply.site("/file.txt").field("X-Mine", "1"),
        b"/native/plain/site" => _ = reply.site("/file.txt"),
        b"/native/bad" => _ = reply.field("X-Bad", "1\r\nX-Injected: 2"),
        b"/native/panic" => panic!("on purpose"),
        b"/native/late" => {
            let query = head.query().unwrap_or(b"").to_vec();
            return Outcome::Later(Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                let mut reply = Reply::new();
                match &query[..] {
                    b"panic" => panic!("on purpose"),
                    b"site" => _ = reply.site("/file.txt"),
                    query => _ = reply.field("X-Late", "1").body(query),
                }
                reply
            }));
        }
        _ => return Outcome::Pass,
    }
    Outcome::Done
}

fn server() -> Running {
    let app = Router::new().route("/native/app", get(|| async { "the service" }));
    start(|builder| {
        builder
            .handler_at("/", |head: &Head<'_>, reply: &mut Reply| {
                if head.field("x-banned").is_some() {
                    reply.status(403).body(b"banned");
                    return Outcome::Done;
                }
                Outcome::Pass
            })
            .handler_at("/native", handler)
            .service_at("/native", app)
    })
}

#[test]
fn a_handler_answers_or_passes_on() {
    let server = server();
    for protocol in ["--http1.1", "--http2"] {
        let ask = |path: &str, more: &[&str]| {
            let text = server.curl(path, &[&[protocol], more].concat());
            let status = text.split(' ').nth(1).unwrap().trim().to_owned();
            (status, text)
        };
        let (status, hello) = ask("/native/hello?you", &[]);
        assert!(status == "200" && hello.ends_with("\r\n\r\nhello you"), "{hello}");
        let lower = hello.to_lowercase();
        assert!(lower.contains("content-length: 9\r\n") && lower.contains("\r\ndate: "), "{hello}");
        let (_, head) = ask("/native/hello?you", &["-I"]);
        assert!(head.to_lowercase().contains("content-length: 9\r\n"), "{head}");
        let (_, cookie) =
            ask("/native/cookie", &["-H", "Cookie: a=b; session=s-1; c=d", "-H", "X-One: 1"]);
        assert!(cookie.ends_with("\r\n\r\ns-1"), "{cookie}");
        assert!(cookie.to_lowercase().contains("x-peer: 127.0.0.1\r\n"), "{cookie}");
        let (status, teapot) = ask("/native/teapot", &[]);
        let lower = teapot.to_lowercase();
        assert!(status == "418" && lower.contains("server: tea\r\n"), "{teapot}");
        assert!(lower.contains("date: today\r\n") && !lower.contains("ringway"), "{teapot}");
        let (status, nothing) = ask("/native/nothing", &[]);
        assert!(status == "204" && !nothing.to_lowercase().contains("content-length"), "{nothing}");
        assert!(ask("/native/large", &[]).1.ends_with(&"x".repeat(300_000)));
        assert!(ask("/native/kept", &[]).1.ends_with(&format!("\r\n\r\n{}", "y".repeat(11_000))));
        let manifest = include_str!("../../Cargo.toml");
        let (_, file) = ask("/native/file", &[]);
        assert!(file.ends_with(&format!("\r\n\r\n{}", &manifest[1..10])), "{file}");
        for path in ["/native/site", "/native/plain/site", "/native/late?site"] {
            let (status, site) = ask(path, &[]);
            assert!(status == "200" && site.ends_with("\r\n\r\na file\n"), "{path}: {site}");
            assert_eq!(site.to_lowercase().contains("x-mine: 1"), path == "/native/site");
            let (status, part) = ask(path, &["-r", "2-3"]);
            assert!(status == "206" && part.ends_with("\r\n\r\nfi"), "{path}: {part}");
        }
        let (status, late) = ask("/native/late?text", &[]);
        assert!(status == "200" && late.ends_with("\r\n\r\ntext"), "{late}");
        for path in ["/native/bad", "/native/panic", "/native/late?panic"] {
            let (status, answer) = ask(path, &[]);
            assert!(status == "500" && !answer.to_lowercase().contains("injected"), "{answer}");
        }
        assert!(ask("/native/app", &[]).1.ends_with("the service"));
        assert!(ask("/file.txt", &[]).1.ends_with("a file\n"));
        assert_eq!(ask("/file.txt", &["-H", "X-Banned: 1"]).0, "403");
        assert_eq!(ask("/native/app", &["-d", "form", "-X", "GET"]).0, "200");
        let (status, posted) = ask("/native/hello?post", &["-d", "a form"]);
        assert!(status == "200" && posted.ends_with("hello post"), "{posted}");
    }
    assert_eq!(server.end().defects, 0);
}

#[test]
fn answers_to_pipelined_requests_are_told_apart() {
    let server = server();
    let mut client = Client::connect(&server);
    let one = |query: &str, end: &str| {
        format!("GET /native/hello?{query} HTTP/1.1\r\nHost: localhost\r\n{end}\r\n")
    };
    let mut all = String::new();
    for at in 0..100 {
        all += &one(&format!("{at:03}"), "");
    }
    all += &one("end", "Connection: close\r\n");
    client.send(all.as_bytes());
    let (text, ended) = client.read_to_end();
    assert!(ended);
    let mut from = 0;
    for at in 0..100 {
        from += text[from..].find(&format!("hello {at:03}")).expect("each in its turn");
    }
    assert!(text.ends_with("hello end"));
    assert_eq!(server.end().defects, 0);
}
