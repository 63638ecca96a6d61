//! Files as answers of handlers, over both protocols: ranges and conditions are those of any file.

use std::io::Write as _;

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};

use super::{
    client::Client,
    server::{Running, start},
};

const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";

/// A service before a folder that clients cannot reach without it.
fn reports() -> Running {
    let report = |headers: HeaderMap, Path(name): Path<String>| async move {
        if !headers.contains_key("x-key") {
            return StatusCode::FORBIDDEN.into_response();
        }
        let mut response = ringway::site(format!("/reports/{name}"));
        let disposition = "attachment".parse().unwrap();
        response.headers_mut().insert("content-disposition", disposition);
        response.headers_mut().insert("etag", "\"not the file's\"".parse().unwrap());
        response.into_response()
    };
    let app = Router::new().route("/reports/{name}", get(report).post(report));
    let server = start(|builder| builder.service_at("/reports", app));
    let folder = server.folder().join("reports");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("letters.txt"), LETTERS).unwrap();
    let mut large = std::fs::File::create(folder.join("large.bin")).unwrap();
    for at in 0..4_000_000_u32 / 4 {
        large.write_all(&at.to_le_bytes()).unwrap();
    }
    server
}

fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let name = format!("{name}: ");
    let line = text
        .lines()
        .find(|line| line.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(&name)));
    line.map(|line| line[name.len()..].trim_end())
}

#[test]
fn a_file_of_the_site_comes_with_ranges_and_conditions() {
    let server = reports();
    for protocol in ["--http1.1", "--http2"] {
        let ask = |path: &str, more: &[&str]| {
            server.curl(path, &[&[protocol, "-H", "X-Key: 1"], more].concat())
        };
        let refused = server.curl("/reports/letters.txt", &[protocol]);
        assert!(refused.lines().next().unwrap().contains(" 403"), "{refused}");
        let whole = ask("/reports/letters.txt", &[]);
        assert!(whole.ends_with(LETTERS), "{whole}");
        assert_eq!(field(&whole, "content-length"), Some("26"));
        assert_eq!(field(&whole, "content-disposition"), Some("attachment"));
        assert!(field(&whole, "content-type").unwrap().starts_with("text/plain"));
        assert_eq!(whole.to_lowercase().matches("etag:").count(), 1, "{whole}");
        let tag = field(&whole, "etag").unwrap().to_owned();
        assert_ne!(tag, "\"not the file's\"");
        let part = ask("/reports/letters.txt", &["-r", "2-4"]);
        assert!(
            part.lines().next().unwrap().contains(" 206") && part.ends_with("\n\r\ncde")
                || part.ends_with("\r\n\r\ncde"),
            "{part}"
        );
        assert_eq!(field(&part, "content-range"), Some("bytes 2-4/26"));
        let unchanged = ask("/reports/letters.txt", &["-H", &format!("If-None-Match: {tag}")]);
        assert!(unchanged.lines().next().unwrap().contains(" 304"), "{unchanged}");
        assert!(unchanged.ends_with("\r\n\r\n"), "{unchanged}");
        let head = ask("/reports/letters.txt", &["-I"]);
        assert_eq!(field(&head, "content-length"), Some("26"));
        assert!(head.ends_with("\r\n\r\n"), "{head}");
        let posted = ask("/reports/letters.txt", &["-d", "a form"]);
        assert!(posted.ends_with(LETTERS), "{posted}");
        let missing = ask("/reports/missing.txt", &[]);
        assert!(missing.lines().next().unwrap().contains(" 404"), "{missing}");
        let outside = ask("/reports/..%2F..%2Fetc%2Fpasswd", &["--path-as-is"]);
        assert!(outside.lines().next().unwrap().contains(" 40"), "{outside}");
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        ask("/reports/large.bin", &["--no-include", "-o", path]);
        let expected = std::fs::read(server.folder().join("reports/large.bin")).unwrap();
        assert!(std::fs::read(file.path()).unwrap() == expected);
    }
    assert_eq!(server.end().defects, 0);
}

#[test]
fn a_file_body_leaves_by_the_servers_own_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("export.csv");
    let content: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    std::fs::write(&path, &content).unwrap();
    let (whole, part, read) = (path.clone(), path.clone(), path);
    let open = |path: &std::path::Path| ringway::FileBody::open(path).unwrap();
    let app = Router::new()
        .route("/whole", get(move || async move { open(&whole).into_response() }))
        .route(
            "/part",
            get(move || async move {
                let body = open(&part).range(1000..2_000_000).unwrap();
                let mut response = body.into_response();
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                response.headers_mut().insert("x-mine", "1".parse().unwrap());
                response
            }),
        )
        // What reads it gets it, as on any server.
        .route(
            "/read",
            get(move || async move {
                let response = IntoResponse::into_response(open(&read).into_response());
                let (mut parts, body) = response.into_parts();
                parts.headers.remove("content-length");
                let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                let end = bytes.slice(bytes.len() - 10..);
                Response::from_parts(parts, axum::body::Body::from(end))
            }),
        );
    let server = start(|builder| builder.service_at("/", app));
    for protocol in ["--http1.1", "--http2"] {
        for (path, range) in [
            ("/whole", 0..content.len()),
            ("/part", 1000..2_000_000),
            ("/read", content.len() - 10..content.len()),
        ] {
            let file = tempfile::NamedTempFile::new().unwrap();
            let name = file.path().to_str().unwrap();
            server.curl(path, &[protocol, "--no-include", "-o", name]);
            assert!(std::fs::read(file.path()).unwrap() == content[range], "{protocol} {path}");
        }
        let head = server.curl("/part", &[protocol, "-I"]);
        assert!(head.lines().next().unwrap().contains(" 206"), "{head}");
        assert_eq!(field(&head, "content-length"), Some("1999000"));
        assert_eq!(field(&head, "x-mine"), Some("1"));
    }
    assert_eq!(server.end().defects, 0);
}

#[test]
fn a_file_may_end_its_connection() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own.txt");
    std::fs::write(&own, LETTERS).unwrap();
    let close = [("connection", "close")];
    let site = move || async move { (close, ringway::site("/letters.txt")) };
    let body =
        move || async move { (close, ringway::FileBody::open(&own).unwrap().into_response()) };
    let app = Router::new().route("/app/site", get(site)).route("/app/body", get(body));
    let server = start(|builder| builder.service_at("/app", app));
    std::fs::write(server.folder().join("letters.txt"), LETTERS).unwrap();
    for path in ["/app/site", "/app/body"] {
        // What the first looks up the second finds.
        for method in ["GET", "GET", "HEAD"] {
            let mut client = Client::connect(&server);
            let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            client.send(request.repeat(2).as_bytes());
            let (text, ended) = client.read_to_end();
            assert_eq!(text.matches("HTTP/1.1 200 OK\r\n").count(), 1, "{path}: {text}");
            assert_eq!(text.matches("Connection: close\r\n").count(), 1, "{path}: {text}");
            assert!(ended && text.ends_with(LETTERS) == (method == "GET"), "{path}: {text}");
            assert_eq!(field(&text, "content-length"), Some("26"), "{path}: {text}");
        }
        let text = server.curl(path, &["--http2"]);
        assert!(text.starts_with("HTTP/2 200") && text.ends_with(LETTERS), "{text}");
    }
    assert_eq!(server.end().defects, 0);
}

#[test]
fn a_file_of_the_site_without_a_site_is_an_error() {
    let app = Router::new().route("/", post(|| async { ringway::site("/file.txt") }));
    let server = start(|builder| builder.service_at("/", app));
    let answer = server.curl("/", &["-d", "x"]);
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
}
