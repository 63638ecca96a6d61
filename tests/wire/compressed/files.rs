//! Files: compressed once, at their second request, then served as a precompressed file is.

use super::*;
use crate::{configured::Configured, host::has_program, site::Site};

#[test]
fn a_file_is_compressed_at_its_second_request_and_then_served_so() {
    let site = Site::new();
    let content = page("the file", 3_000);
    site.file("app.js", &content);
    site.age("app.js");
    let server = Server::start(site, &["--compress"]);
    let mut client = server.connect();
    let first = get(&mut client, "/app.js", "gzip, br, zstd");
    assert_eq!((first.field("Content-Encoding"), &first.body), (None, &content), "nobody waits");
    assert!(first.lists("Vary", "Accept-Encoding"), "another client gets another coding later");
    let plain_tag = first.need("ETag").to_owned();
    let mut tags = vec![plain_tag.clone()];
    for coding in ["br", "zstd", "gzip"] {
        let coded = until_coded(&mut client, "/app.js", coding);
        assert_eq!(coded.field("Content-Encoding"), Some(coding));
        assert_eq!(decoded(&coded), content, "{coding}");
        assert!(coded.body.len() < content.len() / 4, "{coding}: {}", coded.body.len());
        assert_eq!(coded.promised(), coded.body.len() as u64);
        assert!(
            coded.lists("Vary", "Accept-Encoding")
                && coded.need("Content-Type").contains("javascript")
        );
        assert_eq!(coded.need("Last-Modified"), first.need("Last-Modified"));
        let tag = coded.need("ETag").to_owned();
        assert!(!tags.contains(&tag) && tag.starts_with('"'), "{tag}");
        let accept = format!("Accept-Encoding: {coding}\r\n");
        let head = client.request("HEAD", "/app.js", &accept);
        assert_eq!((head.field("Content-Encoding"), head.need("ETag")), (Some(coding), &*tag));
        assert_eq!((head.promised(), head.body.len()), (coded.promised(), 0));
        let same = client.request("GET", "/app.js", &format!("{accept}If-None-Match: {tag}\r\n"));
        assert_eq!((same.status, same.need("ETag")), (304, &*tag));
        assert!(same.lists("Vary", "Accept-Encoding"));
        tags.push(tag);
    }
    let best = get(&mut client, "/app.js", "gzip, br, zstd");
    assert_eq!((best.field("Content-Encoding"), decoded(&best)), (Some("br"), content.clone()));
    let plain = client.get("/app.js");
    assert_eq!((plain.field("Content-Encoding"), &plain.body), (None, &content));
    // Another worker makes the same of it.
    for _ in 0..8 {
        let other = until_coded(&mut server.connect(), "/app.js", "zstd");
        assert_eq!(other.need("ETag"), tags[2]);
    }
}

/// What was made of a file is there from one request to the next, and may be gone again.
#[test]
fn a_request_that_goes_by_the_plain_file_gets_the_plain_file() {
    let site = Site::new();
    let content = page("the file", 3_000);
    site.file("a.html", &content);
    site.age("a.html");
    let server = Server::start(site, &["--compress"]);
    let mut client = server.connect();
    let plain = client.get("/a.html").need("ETag").to_owned();
    let coded = until_coded(&mut client, "/a.html", "gzip");
    let tag = coded.need("ETag").to_owned();
    let mut ask = |fields: &str| {
        client.request("GET", "/a.html", &format!("Accept-Encoding: gzip\r\n{fields}\r\n"))
    };
    let part = ask(&format!("Range: bytes=10-99\r\nIf-Range: {tag}"));
    assert_eq!((part.status, part.field("Content-Encoding")), (206, Some("gzip")));
    assert_eq!(part.body, coded.body[10..100]);
    assert_eq!(part.need("Content-Range"), format!("bytes 10-99/{}", coded.body.len()));
    for fields in
        ["Range: bytes=10-99".to_owned(), format!("Range: bytes=10-99\r\nIf-Range: {plain}")]
    {
        let part = ask(&fields);
        assert_eq!((part.status, part.field("Content-Encoding")), (206, None), "{fields}");
        assert_eq!((&part.body[..], part.need("ETag")), (&content[10..100], &*plain));
    }
    let whole = ask("Range: bytes=10-99\r\nIf-Range: \"other\"");
    assert_eq!((whole.status, decoded(&whole)), (200, content.clone()));
    let same = ask(&format!("If-None-Match: {plain}"));
    assert_eq!((same.status, same.need("ETag")), (304, &*plain));
    let both = ask(&format!("If-None-Match: {plain}, {tag}"));
    assert_eq!((both.status, both.need("ETag")), (304, &*tag));
    assert_eq!(ask(&format!("If-Match: {plain}")).body, content);
    assert_eq!(decoded(&ask("If-None-Match: \"another\"")), content);
    assert_eq!(ask("If-Match: \"another\"").status, 412);
}

#[test]
fn what_was_made_of_a_file_goes_with_it() {
    let site = Site::new();
    let (old, new) = (page("the old file", 2_000), page("the new file", 2_000));
    let path = site.file("a.css", &old);
    site.age("a.css");
    let server = Server::start(site, &["--compress"]);
    let mut client = server.connect();
    let before = until_coded(&mut client, "/a.css", "br");
    assert_eq!(decoded(&before), old);
    std::fs::write(path.with_extension("new"), &new).unwrap();
    std::fs::rename(path.with_extension("new"), &path).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut is_new = false;
    loop {
        let response = get(&mut client, "/a.css", "br");
        let content = decoded(&response);
        assert!(content == new || (!is_new && content == old), "neither of both");
        is_new = content == new;
        if is_new && response.field("Content-Encoding").is_some() {
            assert_ne!(response.need("ETag"), before.need("ETag"));
            break;
        }
        assert!(Instant::now() < deadline, "the new file is never compressed");
        sleep(Duration::from_millis(10));
    }
    std::fs::remove_file(&path).unwrap();
    while get(&mut client, "/a.css", "br").status != 404 {
        assert!(Instant::now() < deadline, "it is gone");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_file_that_carries_the_coding_comes_first() {
    let site = Site::new();
    let content = page("the file", 500);
    site.file("a.js", &content);
    site.file("a.js.gz", b"not really gzip");
    let server = Server::start(site, &["--compress"]);
    let mut client = server.connect();
    for _ in 0..20 {
        let response = get(&mut client, "/a.js", "gzip, br, zstd");
        assert_eq!(
            (response.field("Content-Encoding"), &*response.text()),
            (Some("gzip"), "not really gzip")
        );
        sleep(Duration::from_millis(10));
    }
    // A client that does not take it gets what can be made.
    assert_eq!(decoded(&until_coded(&mut client, "/a.js", "zstd")), content);
    assert_eq!(get(&mut client, "/a.js", "gzip, zstd").text(), "not really gzip");
    // Once a file carries what was made, it takes its place.
    server.site.file("a.js.zst", b"not really zstd");
    let deadline = Instant::now() + PATIENCE;
    while get(&mut client, "/a.js", "zstd").text() != "not really zstd" {
        assert!(Instant::now() < deadline, "the file is not seen");
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_is_not_worth_it_stays_as_it_is() {
    let site = Site::new();
    site.file("short.html", &page("a short file", 5)[..]);
    site.file("picture.png", &page("no picture", 500));
    site.noise("noise.txt", 20_000);
    site.file("good.html", &page("a file", 500));
    let server = Server::start(site, &["--compress"]);
    let mut client = server.connect();
    // By the time that the last one is compressed the others have been asked for as often.
    let deadline = Instant::now() + PATIENCE;
    let mut after = 0;
    while after < 10 {
        for path in ["/short.html", "/picture.png", "/noise.txt"] {
            let response = get(&mut client, path, "gzip, br, zstd");
            assert_eq!(response.field("Content-Encoding"), None, "{path}");
            assert_eq!(response.lists("Vary", "Accept-Encoding"), path == "/noise.txt", "{path}");
        }
        let good = get(&mut client, "/good.html", "gzip, br, zstd");
        after += usize::from(good.field("Content-Encoding").is_some());
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn longer_files_than_the_cache_keeps_are_compressed_too() {
    let site = Site::new();
    let content = page("a long file", 60_000);
    assert!(content.len() > 2 << 20);
    site.file("long.txt", &content);
    site.age("long.txt");
    let server = Server::start(site, &["--compress"]);
    let mut client = server.connect();
    let coded = until_coded(&mut client, "/long.txt", "gzip");
    assert_eq!(decoded(&coded), content);
}

#[test]
fn independent_clients_decode_it_over_either_protocol() {
    if !has_program("curl") || !has_program("python3") {
        return;
    }
    let site = Site::new();
    let content = page("the file", 4_000);
    site.file("index.html", &content);
    site.age("index.html");
    let server = Server::start(site, &["--compress"]);
    let deadline = Instant::now() + PATIENCE;
    for version in ["--http1.1", "--http2"] {
        loop {
            let (head, got) = curl(&server, version, "/");
            assert_eq!(got, content, "{version}");
            if head.contains("content-encoding: br") {
                assert!(head.contains("vary: accept-encoding"), "{head}");
                break;
            }
            assert!(Instant::now() < deadline, "{head}");
        }
    }
    assert_eq!(python(&server, "/"), content);
}

/// Between two requests what is known of the file has expired each time.
#[test]
fn a_file_that_is_asked_for_seldom_is_compressed() {
    let site = Site::new();
    site.file("a.html", &page("the file", 500));
    site.age("a.html");
    let server = Server::start(site, &["--compress"]);
    let mut client = server.connect();
    let deadline = Instant::now() + PATIENCE;
    while get(&mut client, "/a.html", "br").field("Content-Encoding").is_none() {
        assert!(Instant::now() < deadline, "it is never compressed");
        sleep(Duration::from_millis(400));
    }
}

#[test]
fn a_site_and_its_routes_say_what_is_compressed() {
    let text = "[[site]]\ncompress = ['gzip']\n\
                [[site.route]]\nfiles = 'www'\n\
                [[site.route]]\npath = '/off'\nfiles = 'www'\ncompress = false\n\
                [[site.route]]\npath = '/none'\nfiles = 'www'\ncompress = []\n\
                [[site.route]]\npath = '/all'\nfiles = 'www'\ncompress = true\n\
                [[site.route]]\npath = '/br'\nfiles = 'www'\ncompress = 'br'\n\
                [[site.route]]\npath = '/untouched'\nfiles = 'www'\ncompress = true\n\
                cache_control = 'max-age=60, no-transform'\n";
    let content = page("the file", 500);
    let server = Configured::start(text, |folder| {
        std::fs::create_dir(folder.join("www")).unwrap();
        std::fs::write(folder.join("www/a.html"), &content).unwrap();
    });
    let mut client = server.connect();
    for (path, coding) in [("/a.html", "gzip"), ("/all/a.html", "br"), ("/br/a.html", "br")] {
        let coded = until_coded(&mut client, path, "gzip, br, zstd");
        assert_eq!(
            (coded.field("Content-Encoding"), decoded(&coded)),
            (Some(coding), content.clone())
        );
    }
    for path in ["/off/a.html", "/none/a.html", "/untouched/a.html"] {
        for _ in 0..5 {
            let response = get(&mut client, path, "gzip, br, zstd");
            assert_eq!(
                (response.field("Content-Encoding"), response.field("Vary")),
                (None, None),
                "{path}"
            );
        }
    }
    assert!(server.start_block.contains("compression"), "{}", server.start_block);
}

/// More than the thread has place for: 4 MiB each, of which it holds 32 MiB. Nobody waits, and the server
/// says so. A HEAD is as much of a wish as a GET.
#[test]
fn what_the_thread_has_no_place_for_goes_as_it_is_and_is_counted() {
    let site = Site::new();
    let content = page("a long file", 130_000);
    let content = &content[..4 << 20];
    for number in 0..24 {
        site.file(&format!("{number}.txt"), content);
    }
    let admin = crate::port::to_listen_at();
    let server = Server::start(site, &["--compress", "--admin", &format!("127.0.0.1:{admin}")]);
    let mut client = server.connect();
    for _ in 0..2 {
        for number in 0..24 {
            let fields = "Accept-Encoding: br\r\n";
            let head = client.request("HEAD", &format!("/{number}.txt"), fields);
            assert_eq!(head.status, 200);
        }
    }
    assert!(crate::guard::metric(admin, "ringway_compression_shed_total") > 0);
    server.expect_logged("a file is not compressed", 1);
    let plain = get(&mut client, "/23.txt", "br");
    assert_eq!((plain.field("Content-Encoding"), &plain.body[..]), (None, content));
}

#[test]
fn what_was_compressed_is_counted() {
    let site = Site::new();
    let content = page("the file", 1_000);
    site.file("a.html", &content);
    site.age("a.html");
    let admin = crate::port::to_listen_at();
    let server = Server::start(site, &["--compress", "--admin", &format!("127.0.0.1:{admin}")]);
    let mut client = server.connect();
    let coded = until_coded(&mut client, "/a.html", "zstd");
    get(&mut client, "/a.html", "zstd");
    let expect = |name: &str, count| {
        crate::guard::expect_metric(admin, &format!("ringway_{name}"), count);
    };
    expect("compressed_answers_total{coding=\"zstd\"}", 2);
    expect("compressed_in_bytes_total{coding=\"zstd\"}", 2 * content.len() as u64);
    expect("compressed_out_bytes_total{coding=\"zstd\"}", 2 * coded.body.len() as u64);
    expect("compressed_files_cached_total", 1);
    expect("compressed_files_cached_bytes_total", coded.body.len() as u64);
    expect("compression_shed_total", 0);
}
