//! Sites and routes of a configuration file, over both protocols.

use std::fs;

use crate::{
    client::Client,
    configured::{Configured, h2_get},
    server::run,
};

/// Two sites with files and routes of each kind.
const SITES: &str = r#"
[[site]]
names = ["one.example", "*.wild.example"]
headers = { set = { X-Site = "one" } }

[[site.route]]
files = "one"
cache_control = "max-age=60"

[[site.route]]
path = "/docs/"
files = "two"
listing = true
headers = { set = { X-Site = "docs" }, add = { X-More = ["a", "b"] } }

[[site.route]]
path = "/old/"
redirect = "https://{host}/new{rest}{query}"
status = 301

[[site.route]]
path = "/health"
exact = true
respond = "ok"

[[site.route]]
path = "/gone"
status = 410

[[site]]
names = ["two.example"]

[[site.route]]
path = "/only/"
files = "two"
"#;

fn two_sites() -> Configured {
    Configured::start(SITES, |folder| {
        for (path, content) in [
            ("one/index.html", "one"),
            ("one/404.html", "missing in one"),
            ("two/page.txt", "two"),
            ("two/folder/x.txt", "x"),
        ] {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    })
}

fn get(client: &mut Client, host: &str, target: &str) -> crate::response::Response {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
    client.response("GET")
}

#[test]
fn a_host_chooses_the_site_and_a_path_the_route() {
    let server = two_sites();
    let mut client = server.connect();
    assert!(server.start_block.contains("2 sites: one.example, *.wild.example"));
    let cases: [(&str, &str, u16, &str); 16] = [
        ("one.example", "/", 200, "one"),
        ("ONE.example:443", "/", 200, "one"),
        ("a.wild.example", "/", 200, "one"),
        ("one.example", "/docs/page.txt", 200, "two"),
        ("one.example", "/docs/folder/x.txt", 200, "x"),
        ("one.example", "//docs//page.txt", 200, "two"),
        ("one.example", "/d%6fcs/page.txt", 200, "two"),
        ("one.example", "/docsx", 404, "missing in one"),
        ("one.example", "/docs/missing", 404, "404 Not Found"),
        ("one.example", "/health", 200, "ok"),
        ("one.example", "/health/x", 404, "missing in one"),
        ("one.example", "/gone/with/all", 410, "410 Gone"),
        ("two.example", "/only/page.txt", 200, "two"),
        ("two.example", "/", 404, "404 Not Found"),
        ("three.example", "/", 421, "421 Misdirected"),
        ("wild.example", "/", 421, "421 Misdirected"),
    ];
    for (host, target, status, says) in cases {
        let response = get(&mut client, host, target);
        assert_eq!(response.status, status, "{host} {target}");
        assert!(response.text().contains(says), "{host} {target}: {}", response.text());
        let (status2, body) = h2_get(&server, host, target);
        assert_eq!((status2, body.contains(says)), (status, true), "{host} {target}: {body}");
    }
}

#[test]
fn dot_segments_lead_around_no_route() {
    let server = two_sites();
    let mut client = server.connect();
    for target in ["/gone/../", "/gone/%2e%2e/x", "/health/.", "/old/..%2fx/../y", "/docs/../gone"]
    {
        assert_eq!(get(&mut client, "one.example", target).status, 400, "{target}");
    }
}

#[test]
fn redirects_hold_what_was_asked_and_nothing_else() {
    let server = two_sites();
    let mut client = server.connect();
    for (target, location) in [
        ("/old/a%20b?x=1", "https://one.example/new/a%20b?x=1"),
        ("/old", "https://one.example/new"),
        ("/old//evil.example", "https://one.example/new/evil.example"),
        ("/old/%0d%0aSet-Cookie:x", ""),
        ("/old/?%0d%0a", "https://one.example/new/?%0d%0a"),
    ] {
        let response = get(&mut client, "one.example:8443", target);
        if location.is_empty() {
            assert_eq!(response.status, 400, "{target}");
        } else {
            assert_eq!((response.status, response.need("Location")), (301, location));
        }
    }
    // A folder's slash is that of its own path.
    let response = get(&mut client, "one.example", "/docs/folder");
    assert_eq!((response.status, response.need("Location")), (301, "/docs/folder/"));
    let response = get(&mut client, "one.example", "/docs");
    assert_eq!((response.status, response.need("Location")), (301, "/docs/"));
    assert!(get(&mut client, "one.example", "/docs/").text().contains("page.txt"));
}

#[test]
fn field_rules_of_a_route_come_after_those_of_its_site() {
    let server = two_sites();
    let mut client = server.connect();
    let response = get(&mut client, "one.example", "/");
    assert_eq!(response.need("X-Site"), "one");
    assert_eq!(response.need("Cache-Control"), "max-age=60");
    let response = get(&mut client, "one.example", "/docs/page.txt");
    assert_eq!(response.need("X-Site"), "docs");
    let more = response.fields().iter().filter(|(name, _)| name == "x-more" || name == "X-More");
    assert_eq!(more.count(), 2);
    // What governs caching is not for errors; the rest is.
    let response = get(&mut client, "one.example", "/missing");
    assert_eq!((response.need("X-Site"), response.field("Cache-Control")), ("one", None));
    assert_eq!(get(&mut client, "two.example", "/only/page.txt").field("X-Site"), None);
}

#[test]
fn methods_of_routes_without_files() {
    let server = two_sites();
    let mut client = server.connect();
    for (method, target, status) in [
        ("POST", "/health", 200),
        ("HEAD", "/health", 200),
        ("PUT", "/old/x", 301),
        ("HEAD", "/gone", 410),
        ("OPTIONS", "*", 204),
        ("POST", "/", 405),
    ] {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: one.example\r\n\r\n");
        client.send(head.as_bytes());
        assert_eq!(client.response(method).status, status, "{method} {target}");
    }
}

#[test]
fn a_file_that_is_wrong_is_refused_by_check_and_by_serve() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ringway.toml");
    fs::write(&file, "lisen = 3\n[[site]]\n[[site.route]]\nfiles = 'none'\nproxy = 'x'\n").unwrap();
    let path = file.to_str().unwrap();
    for arguments in [&["check", path][..], &["serve", "--config", path]] {
        let output = run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("ringway.toml:1:1: unknown key \"lisen\""), "{said}");
        assert!(said.contains("a route does one thing"), "{said}");
    }
    let output = run(&["check", "--json", path]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((json["ok"].as_bool(), json["errors"][0]["line"].as_u64()), (Some(false), Some(1)));
    let output = run(&["serve", "--config", path, "--max-body", "1MiB"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--max-body cannot stand beside --config"), "{said}");
    assert_eq!(run(&["check", "/nowhere/ringway.toml"]).status.code(), Some(2));
}

#[test]
fn a_valid_file_passes_the_check_and_warnings_can_be_denied() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ringway.toml");
    let text = "[[site]]\nnames = 'a.example'\n[[site.route]]\nrespond = ''\n[pool.app]\n\
                servers = '127.0.0.1:1'\n";
    fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap();
    let output = run(&["check", path]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("no route uses the pool \"app\""), "{said}");
    assert_eq!(run(&["check", "--deny-warnings", path]).status.code(), Some(2));
    let output = run(&["check", "--json", path]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["warnings"].as_array().map(Vec::len), Some(2), "{json}");
}

#[test]
fn ten_thousand_sites_are_served() {
    use std::fmt::Write as _;

    let mut text = String::new();
    for number in 0..10_000 {
        let _ = write!(
            text,
            "[[site]]\nnames = 'n{number}.example'\n[[site.route]]\nfiles = 'www'\n[[site.route]]\n\
             path = '/number'\nrespond = 'this is {number}'\n"
        );
    }
    let server = Configured::start(&text, |folder| {
        fs::create_dir(folder.join("www")).unwrap();
        fs::write(folder.join("www/index.html"), "shared").unwrap();
    });
    let mut client = server.connect();
    for number in [0, 1, 4_711, 9_999] {
        let host = format!("n{number}.example");
        let response = get(&mut client, &host, "/number");
        assert_eq!(response.text(), format!("this is {number}"));
        assert_eq!(get(&mut client, &host, "/").text(), "shared");
    }
    assert_eq!(get(&mut client, "n10000.example", "/").status, 421);
}
