//! Validators and conditional requests (RFC 9110 section 13), and bodies of every size.

use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::client::ClientOptions;
use crate::server::{PATIENCE, Server};
use crate::site::{HELLO, Site, sha256};

#[test]
fn validators_are_strong_and_a_date_that_says_nothing_is_none() {
    let site = Site::new();
    let now = SystemTime::now();
    for (name, time) in [
        ("future.txt", now + Duration::from_secs(86_400)),
        ("zero.txt", UNIX_EPOCH),
        ("one.txt", UNIX_EPOCH + Duration::from_secs(1)),
    ] {
        let path = site.file(name, b"x");
        fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }
    let server = Server::start(site, &[]);
    let mut client = server.connect();
    for (path, dated) in
        [("/hello.txt", true), ("/future.txt", false), ("/zero.txt", false), ("/one.txt", false)]
    {
        let response = client.get(path);
        let tag = response.need("ETag");
        assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2, "{tag}");
        assert_eq!(response.field("Last-Modified").is_some(), dated, "{path}");
        let later = "Fri, 31 Dec 9999 23:59:59 GMT";
        for (condition, status) in [
            (format!("If-Modified-Since: {later}"), if dated { 304 } else { 200 }),
            ("If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT".to_owned(), {
                if dated { 412 } else { 200 }
            }),
            (format!("If-None-Match: {tag}"), 304),
        ] {
            let response = client.request("GET", path, &format!("{condition}\r\n"));
            assert_eq!(response.status, status, "{path} {condition}");
        }
    }
}

/// A server may go on with what it knows for a moment; but whatever it sends is one version, whole,
/// under that version's tag.
#[test]
fn a_changed_file_has_another_tag() {
    let server = Server::plain(&[]);
    let path = server.site.root().join("hello.txt");
    let mut client = server.connect();
    let mut tags = vec![client.get("/hello.txt").need("ETag").to_owned()];
    let mut old = HELLO.to_vec();
    for version in [&b"something else that is longer\n"[..], b"SOMETHING ELSE THAT IS LONGER\n"] {
        // The first in place, the second, of the same length, by a new file.
        if tags.len() == 1 {
            fs::write(&path, version).unwrap();
        } else {
            fs::rename(server.site.file("new.txt", version), &path).unwrap();
        }
        let deadline = Instant::now() + PATIENCE;
        let tag = loop {
            let response = client.get("/hello.txt");
            let tag = response.need("ETag").to_owned();
            if response.body == version {
                break tag;
            }
            assert_eq!(response.text(), String::from_utf8_lossy(&old), "a mixture");
            assert_eq!(Some(&tag), tags.last(), "the old version under another tag");
            assert!(Instant::now() < deadline, "the change is never seen");
        };
        assert!(!tags.contains(&tag), "the new version under an old tag");
        tags.push(tag);
        old = version.to_vec();
    }
    fs::remove_file(path).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while client.get("/hello.txt").status != 404 {
        assert!(Instant::now() < deadline, "the removal is never seen");
    }
}

#[test]
fn conditional_requests_by_their_precedence() {
    let server = Server::plain(&[]);
    let mut client = server.connect();
    let first = client.get("/hello.txt");
    let (tag, modified) = (first.need("ETag"), first.need("Last-Modified"));
    let (old, new) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sat, 01 Jan 2050 00:00:00 GMT");
    for (fields, status) in [
        (format!("If-None-Match: {tag}"), 304),
        (format!("If-None-Match: W/{tag}"), 304),
        (format!("If-None-Match: \"x\", {tag}"), 304),
        ("If-None-Match: *".to_owned(), 304),
        ("If-None-Match: \"x\"".to_owned(), 200),
        (format!("If-Match: {tag}"), 200),
        ("If-Match: *".to_owned(), 200),
        (format!("If-Match: W/{tag}"), 412),
        ("If-Match: \"x\"".to_owned(), 412),
        (format!("If-Modified-Since: {modified}"), 304),
        (format!("If-Modified-Since: {new}"), 304),
        (format!("If-Modified-Since: {old}"), 200),
        ("If-Modified-Since: yesterday".to_owned(), 200),
        (format!("If-Unmodified-Since: {old}"), 412),
        (format!("If-Unmodified-Since: {modified}"), 200),
        // If-Match over If-Unmodified-Since, If-None-Match over If-Modified-Since.
        (format!("If-Match: {tag}\r\nIf-Unmodified-Since: {old}"), 200),
        (format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {modified}"), 200),
        (format!("If-None-Match: {tag}\r\nIf-Modified-Since: {old}"), 304),
        (format!("If-Match: \"x\"\r\nIf-None-Match: {tag}"), 412),
    ] {
        for method in ["GET", "HEAD"] {
            let response = client.request(method, "/hello.txt", &format!("{fields}\r\n"));
            assert_eq!(response.status, status, "{method} {fields}");
            if status == 304 {
                assert_eq!(response.need("ETag"), tag);
                assert!(response.body.is_empty());
            }
        }
    }
    assert_eq!(client.request("GET", "/nothing", "If-Match: *\r\n").status, 404);
}

#[test]
fn bodies_of_every_size_arrive_whole() {
    let sizes = [
        0,
        1,
        2,
        1_000,
        1_400,
        4_095,
        4_096,
        4_097,
        16_383,
        16_384,
        16_385,
        32_768,
        65_535,
        65_536,
        65_537,
        262_144,
        1 << 20,
        (1 << 20) + 1,
        5_000_000,
    ];
    let site = Site::new();
    let hashes = sizes.map(|size| site.noise(&size.to_string(), size));
    let server = Server::start(site, &[]);
    for options in [ClientOptions::default(), ClientOptions::tls12()] {
        let mut client = server.connect_as(&options);
        for round in 0..2 {
            for (size, hash) in sizes.iter().zip(&hashes) {
                let response = client.get(&format!("/{size}"));
                assert_eq!(response.body.len(), *size, "round {round}");
                assert_eq!(&sha256(&response.body), hash, "{size}, round {round}");
            }
        }
    }
}

#[test]
fn a_hundred_megabytes_arrive_whole() {
    let site = Site::new();
    let hash = site.noise("big", 100 << 20);
    let server = Server::start(site, &[]);
    let mut client = server.connect();
    let response = client.get("/big");
    assert_eq!(response.body.len(), 100 << 20);
    assert_eq!(sha256(&response.body), hash);
    assert_eq!(client.get("/hello.txt").body, HELLO);
}

#[test]
fn large_files_in_a_pipeline() {
    let site = Site::new();
    let hash = site.noise("large", 3_000_000);
    let server = Server::start(site, &[]);
    let mut client = server.connect();
    let large = "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let small = "GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n";
    client.send(format!("{large}{small}{large}{small}").as_bytes());
    for _ in 0..2 {
        assert_eq!(sha256(&client.response("GET").body), hash);
        assert_eq!(client.response("GET").body, HELLO);
    }
}

#[test]
fn many_connections_at_once() {
    let site = Site::new();
    let hash = site.noise("large", 2_000_000);
    let server = Server::start(site, &[]);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut client = server.connect();
                for _ in 0..5 {
                    assert_eq!(sha256(&client.get("/large").body), hash);
                    assert_eq!(client.get("/hello.txt").body, HELLO);
                }
            });
        }
    });
}
