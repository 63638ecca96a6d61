//! Answers that sites have of their own: pages of errors, readiness, entity tags.

use std::{fs, process::Command, thread, time::Duration};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    configured::{Configured, H2, write},
    host::has_program,
    reload_file::reload,
    server::{PATIENCE, run},
};

fn kill(server: &Configured) {
    kill_process(Pid::from_raw(server.pid() as i32).unwrap(), Signal::TERM).unwrap();
}

const PAGES: &str = "[process]\ncontrol = 'control'\n\
    [limits]\nmax_body = 10\n\
    [[site]]\nerrors = { 404 = 'missing.html', 405 = 'no.txt', 413 = 'missing.html' }\n\
    [[site.route]]\npath = '/files'\nfiles = 'www'\n\
    [[site.route]]\npath = '/gone'\nstatus = 410\nerrors = { 410 = 'gone.html' }\n\
    [[site.route]]\npath = '/own'\nfiles = 'www'\nerrors = { 404 = 'gone.html' }\n\
    [[site.route]]\npath = '/said'\nstatus = 404\nrespond = 'said'\n";

fn pages() -> Configured {
    Configured::start(PAGES, |folder| {
        fs::create_dir(folder.join("www")).unwrap();
        fs::write(folder.join("www/a.txt"), "0123456789").unwrap();
        fs::write(folder.join("www/404.html"), "the folder's").unwrap();
        fs::write(folder.join("missing.html"), "<p>missing").unwrap();
        fs::write(folder.join("no.txt"), "not so").unwrap();
        fs::write(folder.join("gone.html"), "g".repeat(5_000)).unwrap();
    })
}

#[test]
fn errors_have_the_pages_of_their_route_else_of_their_site() {
    let server = pages();
    let long = "g".repeat(5_000);
    let expected = [
        ("/nowhere", 404, "<p>missing"),
        ("/files/none", 404, "<p>missing"),
        ("/own/none", 404, &long),
        ("/gone", 410, &long),
        // What an operator has a route say stays.
        ("/said", 404, "said"),
    ];
    let (mut h1, mut h2) = (server.connect(), H2::connect(&server));
    for (path, status, page) in expected {
        let response = h1.get(path);
        assert_eq!((response.status, &*response.text()), (status, page), "{path}");
        let kind = if path == "/said" { "text/plain" } else { "text/html" };
        assert!(response.need("Content-Type").starts_with(kind), "{path}");
        assert_eq!(h2.get("localhost", path).unwrap(), (status, page.to_owned()), "{path}");
        // The head is that of a GET, without content.
        let head = h1.request("HEAD", path, "");
        assert_eq!((head.status, head.promised()), (status, page.len() as u64), "{path}");
        assert_eq!(head.text(), "");
        // An error has no ranges.
        let ranged = h1.request("GET", path, "Range: bytes=0-1\r\n");
        assert_eq!((ranged.status, &*ranged.text()), (status, page), "{path}");
    }
    let refused = h1.request("PUT", "/files/a.txt", "Content-Length: 0\r\n");
    assert_eq!((refused.status, &*refused.text()), (405, "not so"));
    assert_eq!(refused.need("Content-Type"), "text/plain; charset=utf-8");
    assert!(refused.lists("Allow", "GET"), "what is known of the error stays");
    let ranged = h1.request("GET", "/files/a.txt", "Range: bytes=99-\r\n");
    assert_eq!(ranged.status, 416);
    assert_eq!(ranged.need("Content-Range"), "bytes */10");
}

#[test]
fn pages_of_errors_are_read_by_a_reload() {
    let server = pages();
    fs::write(server.folder.path().join("missing.html"), "another").unwrap();
    assert_eq!(server.connect().get("/nowhere").text(), "<p>missing");
    write(server.folder.path(), PAGES);
    assert_eq!(reload(&server).0, Some(0));
    assert_eq!(server.connect().get("/nowhere").text(), "another");
}

#[test]
fn a_page_that_is_not_there_is_found_by_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ringway.toml");
    for (errors, says) in [
        ("{ 404 = 'none.html' }", "none.html"),
        ("{ 200 = 'none.html' }", "no status of an error"),
        ("{ x = 'none.html' }", "is no status"),
        ("{ 404 = { text = 'a', html = 'b' } }", "an error has one content"),
        ("{ 404 = { txt = 'a' } }", "unknown key"),
        ("{ 404 = 1 }", "write a text"),
        ("{ 404 = '.' }", "is no file"),
    ] {
        let text = format!("[[site]]\nerrors = {errors}\n[[site.route]]\nrespond = ''\n");
        fs::write(&file, text).unwrap();
        let output = run(&["check", file.to_str().unwrap()]);
        let said = String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(says), "{says}: {said}");
    }
}

/// A balancer that learns late finds the server as before, but for readiness.
#[test]
fn a_server_that_is_told_to_stop_serves_on_and_is_not_ready() {
    let start = |delay: &str| {
        let text = format!(
            "[timeouts]\ndrain_delay = '{delay}'\n[[site]]\n[[site.route]]\nrespond = 'yes'\n\
             [[site.route]]\npath = '/healthz'\nexact = true\nready = true\n"
        );
        Configured::start(&text, |_| {})
    };
    let server = start("30m");
    let (mut h1, mut h2) = (server.connect(), H2::connect(&server));
    assert_eq!((h1.get("/healthz").status, h1.get("/").status), (200, 200));
    assert_eq!(h2.get("localhost", "/healthz").unwrap(), (200, "ready\n".to_owned()));
    kill(&server);
    let until = std::time::Instant::now() + PATIENCE;
    while h1.get("/healthz").status != 503 {
        assert!(std::time::Instant::now() < until, "it stays ready");
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(h1.get("/").status, 200, "requests are served as before");
    assert_eq!(h2.get("localhost", "/healthz").unwrap().0, 503);
    assert_eq!(server.connect().get("/").status, 200, "connections are accepted as before");
    assert!(!server.log().contains("draining for at most"), "{}", server.log());
    // It has an end.
    let server = start("1s");
    let mut h1 = server.connect();
    assert_eq!(h1.get("/").status, 200);
    kill(&server);
    let until = std::time::Instant::now() + PATIENCE;
    while !server.log().contains("draining for at most") {
        assert!(std::time::Instant::now() < until, "{}", server.log());
        thread::sleep(Duration::from_millis(20));
    }
    h1.expect_close();
}

/// Two copies of a file with the same time are one representation, if the operator says so.
#[test]
fn entity_tags_are_equal_where_files_are_if_that_is_wanted() {
    let server = Configured::start(
        "[[site]]\n[[site.route]]\npath = '/a'\nfiles = 'a'\n[[site.route]]\npath = '/b'\nfiles = 'b'\n\
         [[site.route]]\npath = '/c'\nfiles = 'a'\netags = 'shared'\n\
         [[site.route]]\npath = '/d'\nfiles = 'b'\netags = 'shared'\n",
        |folder| {
            let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
            for place in ["a", "b"] {
                fs::create_dir(folder.join(place)).unwrap();
                let file = fs::File::create(folder.join(place).join("x.txt")).unwrap();
                std::io::Write::write_all(&mut &file, b"the same").unwrap();
                file.set_modified(time).unwrap();
            }
        },
    );
    let mut client = server.connect();
    let mut tag = |path: &str| client.get(path).need("ETag").to_owned();
    assert_ne!(tag("/a/x.txt"), tag("/b/x.txt"));
    let shared = tag("/c/x.txt");
    assert_eq!(shared, tag("/d/x.txt"));
    let fields = format!("If-None-Match: {shared}\r\n");
    assert_eq!(client.request("GET", "/d/x.txt", &fields).status, 304);
}

#[test]
fn errors_have_texts_of_the_file_itself() {
    let server = Configured::start(
        "[[site]]\nerrors = { 404 = { text = 'nothing & here' }, 405 = { html = '<p>no' } }\n\
         [[site.route]]\npath = '/files'\nfiles = 'www'\nerrors = { 405 = { text = 'not so' } }\n\
         [[site.route]]\npath = '/gone'\nstatus = 405\n",
        |folder| fs::create_dir(folder.join("www")).unwrap(),
    );
    let (mut h1, mut h2) = (server.connect(), H2::connect(&server));
    for (path, status, page, kind) in [
        ("/nowhere", 404, "nothing & here", "text/plain; charset=utf-8"),
        ("/files/none", 404, "nothing & here", "text/plain; charset=utf-8"),
        ("/gone", 405, "<p>no", "text/html; charset=utf-8"),
    ] {
        let response = h1.get(path);
        assert_eq!((response.status, &*response.text()), (status, page), "{path}");
        assert_eq!(response.need("Content-Type"), kind, "{path}");
        assert_eq!(h2.get("localhost", path).unwrap(), (status, page.to_owned()), "{path}");
    }
    assert_eq!(h1.request("PUT", "/files/a", "Content-Length: 0\r\n").text(), "not so");
    assert!(server.start_block.contains("error pages"), "{}", server.start_block);
}

/// Of the rules that fit, the longest path counts, else a type, else the value for all.
#[test]
fn files_are_cached_by_path_and_by_type() {
    let server = Configured::start(
        "[[site]]\nheaders = { set = { Cache-Control = 'private', Expires = '0' } }\n[[site.route]]\n\
         files = 'www'\ncache_control = { '*' = 'no-cache', '/assets/*' = 'max-age=31536000, immutable', \
         '*.js' = 'max-age=60', 'image/*' = 'max-age=3600', 'text/html' = 'no-store' }\n\
         [[site.route]]\npath = '/fixed'\nrespond = 'x'\ncache_control = { '*' = 'max-age=1' }\n\
         [[site.route]]\npath = '/plain'\nrespond = 'x'\ncache_control = 'max-age=2'\n\
         [[site.route]]\npath = '/app'\nfiles = 'www'\nspa = 'index.html'\n\
         cache_control = { 'text/html' = 'no-store' }\n",
        |folder| {
            fs::create_dir_all(folder.join("www/assets")).unwrap();
            for name in ["index.html", "a.js", "a.png", "a.txt", "assets/a.js", "assets/a.png"] {
                fs::write(folder.join("www").join(name), "0123456789").unwrap();
            }
        },
    );
    let mut client = server.connect();
    for (path, expected) in [
        ("/", "no-store"),
        ("/index.html?x=/assets/", "no-store"),
        ("/a.js", "max-age=60"),
        ("/a.png", "max-age=3600"),
        ("/a.txt", "no-cache"),
        ("/assets/a.js", "max-age=31536000, immutable"),
        ("/%61ssets/a.png", "max-age=31536000, immutable"),
        ("/fixed", "max-age=1"),
        ("/plain", "max-age=2"),
        ("/app/some/page", "no-store"),
        ("/app/a.txt", "private"),
    ] {
        let response = client.get(path);
        assert_eq!(response.status, 200, "{path}");
        assert_eq!(response.all("Cache-Control"), [expected], "{path}");
        assert_eq!(client.request("HEAD", path, "").all("Cache-Control"), [expected], "{path}");
        if let Some(tag) = response.field("ETag").map(str::to_owned) {
            let same = client.request("GET", path, &format!("If-None-Match: {tag}\r\n"));
            assert_eq!((same.status, same.all("Cache-Control")), (304, vec![expected]), "{path}");
            let part = client.request("GET", path, "Range: bytes=0-1\r\n");
            assert_eq!((part.status, part.all("Cache-Control")), (206, vec![expected]), "{path}");
        }
    }
    let missing = client.get("/assets/none.js");
    assert_eq!((missing.status, missing.all("Cache-Control")), (404, vec![]));
    if has_program("curl") {
        let run = Command::new("curl")
            .args(["-skI", "--http2"])
            .arg(format!("https://127.0.0.1:{}/assets/a.js", server.port))
            .output()
            .unwrap();
        let head = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(head.starts_with("HTTP/2 200"), "{head}");
        assert!(head.contains("cache-control: max-age=31536000, immutable"), "{head}");
    }
}

#[test]
fn what_is_no_rule_on_caching_is_found_by_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ringway.toml");
    let many: Vec<_> = (0..65).map(|number| format!("'/{number}' = 'a'")).collect();
    let many = many.join(", ");
    for (route, says) in [
        ("files = '.'\ncache_control = { html = 'no-store' }", "neither a path nor a media type"),
        ("files = '.'\ncache_control = { '/a*b*c*d*e*' = 'x' }", "at most 4 stars"),
        ("files = '.'\ncache_control = { '/a' = \"x\\ny\" }", "cannot be sent"),
        ("files = '.'\ncache_control = { '/a' = 1 }", "write a text"),
        ("respond = ''\ncache_control = { '/a' = 'x' }", "patterns are for routes with files"),
        (&*format!("files = '.'\ncache_control = {{ {many} }}"), "65 is out of bounds"),
    ] {
        fs::write(&file, format!("[[site]]\n[[site.route]]\n{route}\n")).unwrap();
        let output = run(&["check", file.to_str().unwrap()]);
        let said = String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap();
        assert!(output.status.code() == Some(2) && said.contains(says), "{says}: {said}");
    }
}

#[test]
fn allowed_ports_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ringway.toml");
    for key in ["allow_bind", "allow_connect"] {
        for (count, says) in [(64, "can be served"), (65, "ringway.toml:2:")] {
            let ports: Vec<_> = (1..=count).map(|port: u16| port.to_string()).collect();
            let text = format!(
                "[process]\n{key} = [{}]\n[[site]]\n[[site.route]]\nrespond = ''\n",
                ports.join(", ")
            );
            fs::write(&file, text).unwrap();
            let output = run(&["check", file.to_str().unwrap()]);
            let said = String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap();
            assert_eq!(output.status.success(), count == 64, "{said}");
            assert!(count == 64 || said.contains(says), "{said}");
            assert!(count == 64 || said.contains("65 is out of bounds"), "{said}");
        }
    }
}

/// A type of a fixed answer, another index, and fields that are left out.
#[test]
fn answers_are_presented_as_configured() {
    let server = Configured::start(
        "[[site]]\nheaders = { set = { X-One = '1', X-Two = '2' } }\n[[site.route]]\nfiles = 'www'\n\
         index = 'start.htm'\nheaders = 'less'\n[[site.route]]\npath = '/data'\nrespond = '{}'\n\
         type = 'application/json'\n[headers.less]\nremove = ['x-one']\nset = { X-Three = '3' }\n",
        |folder| {
            fs::create_dir(folder.join("www")).unwrap();
            fs::write(folder.join("www/index.html"), "index").unwrap();
            fs::write(folder.join("www/start.htm"), "start").unwrap();
        },
    );
    let mut client = server.connect();
    let start = client.get("/");
    assert_eq!(start.text(), "start");
    assert_eq!(start.all("X-One"), Vec::<&str>::new());
    assert_eq!((start.all("X-Two"), start.all("X-Three")), (vec!["2"], vec!["3"]));
    let data = client.get("/data");
    assert_eq!(data.need("Content-Type"), "application/json");
    assert_eq!(data.all("X-One"), ["1"]);
    assert_eq!(H2::connect(&server).get("localhost", "/").unwrap(), (200, "start".to_owned()));
}
