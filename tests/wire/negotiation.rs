//! Precompressed siblings (RFC 9110 section 12.5.3). The siblings here need no true coding: the
//! server sends them as they are.

use crate::server::Server;
use crate::site::Site;

fn server() -> Server {
    let site = Site::new();
    site.file("app.js", b"the plain file");
    site.file("app.js.br", b"brotli");
    site.file("app.js.zst", b"zstandard");
    site.file("app.js.gz", b"gzip");
    site.file("style.css", b"the plain style");
    site.file("style.css.gz", b"gzip");
    Server::start(site, &[])
}

#[test]
fn codings_are_chosen_by_weight() {
    let server = server();
    let mut client = server.connect();
    for (accept, coding) in [
        ("", None),
        ("identity", None),
        ("gzip", Some("gzip")),
        ("GZIP", Some("gzip")),
        ("br", Some("br")),
        ("zstd", Some("zstd")),
        ("gzip, br, zstd", Some("br")),
        ("gzip;q=1, br;q=0.5", Some("gzip")),
        ("gzip;q=0.1, br;q=0", Some("gzip")),
        ("gzip;q=0", None),
        ("br;q=0, zstd;q=0, gzip;q=0.0", None),
        ("*;q=0", None),
        ("deflate", None),
        ("gzip;q=0.001", Some("gzip")),
        ("gzip ; q=0.5 , identity;q=0.1", Some("gzip")),
        ("identity;q=1, gzip;q=0.5", None),
    ] {
        let response = client.request("GET", "/app.js", &format!("Accept-Encoding: {accept}\r\n"));
        assert_eq!(response.status, 200, "{accept}");
        let body = match coding {
            None => "the plain file",
            Some("br") => "brotli",
            Some("zstd") => "zstandard",
            Some(_) => "gzip",
        };
        assert_eq!(response.field("Content-Encoding"), coding, "{accept}");
        assert_eq!(response.text(), body, "{accept}");
        assert!(response.lists("Vary", "Accept-Encoding"), "{accept}");
        assert!(response.need("Content-Type").starts_with("text/javascript"), "{accept}");
    }
    assert_eq!(client.get("/app.js").field("Content-Encoding"), None);
}

#[test]
fn what_has_no_sibling_is_sent_as_it_is() {
    let server = server();
    let mut client = server.connect();
    let response = client.request("GET", "/style.css", "Accept-Encoding: br, zstd\r\n");
    assert_eq!(response.text(), "the plain style");
    assert!(response.lists("Vary", "Accept-Encoding"));
    let response = client.request("GET", "/hello.txt", "Accept-Encoding: gzip\r\n");
    assert_eq!(response.field("Content-Encoding"), None);
}

#[test]
fn each_coding_has_its_own_tag_and_ranges() {
    let server = server();
    let mut client = server.connect();
    let plain = client.get("/app.js").need("ETag").to_owned();
    let coded = client.request("GET", "/app.js", "Accept-Encoding: gzip\r\n");
    let tag = coded.need("ETag").to_owned();
    assert_ne!(tag, plain);
    let fields = format!("Accept-Encoding: gzip\r\nIf-None-Match: {tag}\r\n");
    let response = client.request("GET", "/app.js", &fields);
    assert_eq!(response.status, 304);
    assert!(response.lists("Vary", "Accept-Encoding"));
    let fields = format!("If-None-Match: {tag}\r\n");
    assert_eq!(client.request("GET", "/app.js", &fields).status, 200);
    let response =
        client.request("GET", "/app.js", "Accept-Encoding: gzip\r\nRange: bytes=1-2\r\n");
    assert_eq!(response.status, 206);
    assert_eq!(response.field("Content-Encoding"), Some("gzip"));
    assert_eq!((response.text().as_str(), response.need("Content-Range")), ("zi", "bytes 1-2/4"));
}
