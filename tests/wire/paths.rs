//! Which files can be reached, and under which names.

use std::fs;
use std::os::unix::fs::symlink;

use crate::server::Server;
use crate::site::{HELLO, Site};

/// Names, and the essence of the media type that each should have.
const MEDIA_TYPES: [(&str, &str); 13] = [
    ("a.html", "text/html"),
    ("a.css", "text/css"),
    ("a.js", "text/javascript"),
    ("a.txt", "text/plain"),
    ("a.svg", "image/svg+xml"),
    ("a.png", "image/png"),
    ("A.JPG", "image/jpeg"),
    ("a.json", "application/json"),
    ("a.wasm", "application/wasm"),
    ("a.woff2", "font/woff2"),
    ("a.webp", "image/webp"),
    ("a.pdf", "application/pdf"),
    ("noextension", "application/octet-stream"),
];

#[test]
fn media_types() {
    let site = Site::new();
    for (name, _) in MEDIA_TYPES {
        site.file(name, b"x");
    }
    let server = Server::start(site, &[]);
    let mut client = server.connect();
    for (name, media_type) in MEDIA_TYPES {
        let response = client.get(&format!("/{name}"));
        let (essence, parameter) = {
            let mut parts = response.need("Content-Type").splitn(2, ';');
            (parts.next().unwrap().to_owned(), parts.next().map(str::trim).map(str::to_owned))
        };
        assert_eq!(essence, media_type, "{name}");
        if media_type.starts_with("text/") {
            assert_eq!(parameter.as_deref(), Some("charset=utf-8"), "{name}");
        }
    }
}

#[test]
fn folders_redirect_to_their_slash_and_serve_their_index() {
    let site = Site::new();
    site.file("docs/index.html", b"<p>docs");
    site.file("docs/deep er/index.html", b"<p>deeper");
    site.file("empty/.keep", b"");
    let server = Server::start(site, &[]);
    let mut client = server.connect();
    for (path, to) in
        [("/docs", "/docs/"), ("/docs?a=b", "/docs/?a=b"), ("/docs/deep%20er", "/docs/deep%20er/")]
    {
        let response = client.get(path);
        assert!([301, 302, 307, 308].contains(&response.status), "{path}: {}", response.status);
        assert_eq!(response.need("Location"), to, "{path}");
    }
    assert_eq!(client.get("/docs/").body, b"<p>docs");
    assert_eq!(client.get("/docs/deep%20er/").body, b"<p>deeper");
    assert_eq!(client.get("/empty/").status, 404);
    assert_eq!(client.get("/hello.txt/").status, 404);
}

#[test]
fn redirects_stay_on_this_host() {
    let site = Site::new();
    site.file("evil.com/index.html", b"x");
    site.file("evil.com/a/index.html", b"x");
    let server = Server::start(site, &[]);
    let mut client = server.connect();
    for path in [
        "//evil.com",
        "///evil.com",
        "//evil.com/a",
        "//evil.com/..",
        "//evil.com/%2e%2e",
        "/\\evil.com",
        "/%5cevil.com",
        "/%2fevil.com",
        "/%2f%2fevil.com/",
        "https://localhost//evil.com",
    ] {
        let response = client.get(path);
        if let Some(to) = response.field("Location") {
            let rooted = to.starts_with('/') && !to.starts_with("//") && !to.starts_with("/\\");
            assert!(rooted, "{path} leads to {to}");
        }
        if response.closes() {
            client = server.connect();
        }
    }
}

#[test]
fn names_are_decoded_once() {
    let site = Site::new();
    site.file("a b.txt", b"space");
    site.file("gr\u{fc}n.txt", b"umlaut");
    site.file("100%.txt", b"percent");
    site.file("%41.txt", b"encoded twice");
    site.file("A.txt", b"letter");
    site.file("a+b.txt", b"plus");
    site.file("q?.txt", b"question");
    let server = Server::start(site, &[]);
    let mut client = server.connect();
    for (path, body) in [
        ("/a%20b.txt", "space"),
        ("/gr%C3%BCn.txt", "umlaut"),
        ("/gr%c3%bcn.txt", "umlaut"),
        ("/100%25.txt", "percent"),
        ("/%2541.txt", "encoded twice"),
        ("/%41.txt", "letter"),
        ("/a+b.txt", "plus"),
        ("/q%3f.txt", "question"),
        ("/%68ello%2Etxt?x#", ""),
    ] {
        let response = client.get(path);
        if body.is_empty() {
            assert_eq!(response.status, 400, "a fragment: {path}");
        } else {
            assert_eq!((response.status, response.text().as_str()), (200, body), "{path}");
        }
    }
}

/// The secret beside the served folder, asked for in many spellings.
#[test]
fn nothing_outside_is_reachable() {
    let site = Site::new();
    fs::write(site.outside().join("secret.txt"), b"SECRET").unwrap();
    site.file("docs/index.html", b"docs");
    symlink(site.outside().join("secret.txt"), site.root().join("link.txt")).unwrap();
    symlink("../secret.txt", site.root().join("relative.txt")).unwrap();
    symlink("../../secret.txt", site.root().join("docs/deep.txt")).unwrap();
    symlink(site.outside(), site.root().join("up")).unwrap();
    symlink("/etc", site.root().join("etc")).unwrap();
    symlink("/proc/self/root", site.root().join("magic")).unwrap();
    symlink("hello.txt", site.root().join("inside.txt")).unwrap();
    let server = Server::start(site, &["--listing"]);
    for path in [
        "/../secret.txt",
        "/docs/../../secret.txt",
        "/docs/../../../../../../etc/passwd",
        "/%2e%2e/secret.txt",
        "/.%2e/secret.txt",
        "/%2e%2e%2fsecret.txt",
        "/..%2fsecret.txt",
        "/docs%2f..%2f..%2fsecret.txt",
        "/%252e%252e/secret.txt",
        "/..%5csecret.txt",
        "/..\\secret.txt",
        "/%c0%ae%c0%ae/secret.txt",
        "/%c0%ae%c0%ae%c0%afsecret.txt",
        "/..;/secret.txt",
        "/.../secret.txt",
        "//../secret.txt",
        "/./../secret.txt",
        "/..%00/secret.txt",
        "/hello.txt%00/../../secret.txt",
        "/hello.txt%00",
        "/hello.txt/../../secret.txt",
        "/link.txt",
        "/relative.txt",
        "/docs/deep.txt",
        "/up/secret.txt",
        "/up/",
        "/etc/passwd",
        "/etc/",
        "/magic/etc/passwd",
        "/%zz",
        "/%",
        "/%4",
        "https://localhost/../secret.txt",
    ] {
        let mut client = server.connect();
        let response = client.get(path);
        let text = response.text();
        assert!(!text.contains("SECRET") && !text.contains("root:"), "{path} leaks: {text}");
        assert!([400, 403, 404].contains(&response.status), "{path}: {}", response.status);
    }
    assert_eq!(server.connect().get("/inside.txt").body, HELLO);
}

#[test]
fn dotfiles_are_hidden() {
    let site = Site::new();
    site.file(".env", b"SECRET");
    site.file(".git/config", b"SECRET");
    site.file("docs/.hidden", b"SECRET");
    site.file(".well-known/security.txt", b"Contact: mailto:a@example.org");
    let server = Server::start(site, &["--listing"]);
    let mut client = server.connect();
    for path in ["/.env", "/%2eenv", "/.git/config", "/.git/", "/.git", "/docs/.hidden"] {
        assert_eq!(client.get(path).status, 404, "{path}");
    }
    assert_eq!(client.get("/.well-known/security.txt").status, 200);
    assert!(!client.get("/docs/").text().contains("hidden"));
}

#[test]
fn links_do_not_lead_to_what_is_hidden() {
    let site = Site::new();
    site.file(".env", b"SECRET");
    site.file(".git/config", b"SECRET");
    site.file(".git/index.html", b"SECRET");
    site.file("docs/.page", b"SECRET");
    site.file("style.css", b"plain");
    site.file("style.css.gz", b"compressed");
    for (target, link) in [
        (".env", "visible"),
        (".git", "folder"),
        ("docs/.page", "deep"),
        ("visible", "twice"),
        ("../.git/config", "docs/relative"),
        (".page", "docs/index.html"),
        (".env", "hello.txt.gz"),
    ] {
        symlink(target, site.root().join(link)).unwrap();
    }
    let server = Server::start(site, &["--listing"]);
    let mut client = server.connect();
    for path in [
        "/visible",
        "/folder/config",
        "/folder/",
        "/folder",
        "/deep",
        "/twice",
        "/docs/relative",
        "/docs/index.html",
    ] {
        let response = client.get(path);
        assert_eq!(response.status, 404, "{path}: {}", response.text());
    }
    // Neither as an index nor as the compressed form of another file.
    assert!(!client.get("/docs/").text().contains("SECRET"));
    let plain = client.request("GET", "/hello.txt", "Accept-Encoding: gzip\r\n");
    assert_eq!(plain.body, HELLO);
}

#[test]
fn links_inside_are_followed_unless_the_operator_says_no() {
    let make = || {
        let site = Site::new();
        site.file("releases/42/page.txt", b"page");
        symlink("releases/42", site.root().join("current")).unwrap();
        symlink("releases/42/page.txt", site.root().join("page.txt")).unwrap();
        // As Kubernetes lays out its volumes.
        site.file("..2026_11_28/config.txt", b"volume");
        symlink("..2026_11_28", site.root().join("..data")).unwrap();
        symlink("..data/config.txt", site.root().join("config.txt")).unwrap();
        site
    };
    let links = [("/current/page.txt", "page"), ("/page.txt", "page"), ("/config.txt", "volume")];
    let (follows, refuses) = (Server::start(make(), &[]), Server::start(make(), &["--no-follow"]));
    for (path, text) in links {
        assert_eq!(follows.connect().get(path).text(), text, "{path}");
        assert_eq!(refuses.connect().get(path).status, 404, "{path}");
    }
    assert_eq!(refuses.connect().get("/releases/42/page.txt").text(), "page");
    assert_eq!(follows.connect().get("/..data/config.txt").status, 404, "it is hidden itself");
}

#[test]
fn what_is_no_file_is_not_served() {
    let site = Site::new();
    let fifo = site.root().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(site.root().join("socket")).unwrap();
    let server = Server::start(site, &[]);
    let mut client = server.connect();
    for path in ["/pipe", "/socket"] {
        assert!([403, 404].contains(&client.get(path).status), "{path}");
    }
    assert_eq!(client.get("/hello.txt").body, HELLO);
}

#[test]
fn listings() {
    let site = Site::new();
    site.file("docs/a.txt", b"a");
    site.file("docs/<script>.txt", b"b");
    site.file("docs/sub/c.txt", b"c");
    let server = Server::start(site, &["--listing"]);
    let mut client = server.connect();
    let response = client.get("/docs/");
    assert_eq!(response.status, 200);
    assert!(response.need("Content-Type").starts_with("text/html"));
    let text = response.text();
    assert!(text.contains("a.txt") && text.contains("sub/"), "{text}");
    assert!(!text.contains("<script>"), "{text}");
    assert_eq!(client.get("/docs/%3Cscript%3E.txt").body, b"b");
    assert_eq!(client.request("HEAD", "/docs/", "").status, 200);
    let plain = Server::plain(&[]);
    fs::create_dir(plain.site.root().join("docs")).unwrap();
    assert_eq!(plain.connect().get("/docs/").status, 404);
}

#[test]
fn long_listings_go_on() {
    let site = Site::new();
    fs::create_dir_all(site.root().join("long/a folder")).unwrap();
    for index in 0..4_500 {
        fs::write(site.root().join(format!("long/{index:04} & more")), b"").unwrap();
    }
    let server = Server::start(site, &["--listing"]);
    let mut client = server.connect();
    let (mut seen, mut target) = (Vec::new(), "/long/".to_owned());
    for _ in 0..3 {
        let response = client.get(&target);
        assert_eq!(response.status, 200);
        let head = client.request("HEAD", &target, "");
        assert_eq!(head.need("Content-Length"), response.need("Content-Length"));
        let page = response.text();
        let names = page.split("<tr><td><a href=\"./").skip(1);
        seen.extend(names.map(|rest| rest.split('"').next().unwrap().to_owned()));
        let Some(next) = page.split("rel=\"next\" href=\"./").nth(1) else { break };
        target = format!("/long/{}", next.split('"').next().unwrap());
    }
    let files = (0..4_500).map(|index| format!("{index:04}%20%26%20more"));
    assert!(
        seen.iter().eq(&std::iter::once("a%20folder/".to_owned()).chain(files).collect::<Vec<_>>())
    );
    assert_eq!(client.get(&format!("/long/{}", seen[4_000])).status, 200);
}

#[test]
fn single_page_applications() {
    let server = Server::plain(&["--spa", "index.html"]);
    let mut client = server.connect();
    let home = client.get("/");
    for path in ["/route", "/deep/route?x=y", "/route/"] {
        let response = client.get(path);
        assert_eq!((response.status, &response.body), (200, &home.body), "{path}");
    }
    assert_eq!(client.get("/hello.txt").body, HELLO);
    assert_ne!(client.get("/../x").status, 200);
}

#[test]
fn custom_page_for_what_is_missing() {
    let site = Site::new();
    site.file("404.html", b"<p>gone fishing");
    let server = Server::start(site, &[]);
    let mut client = server.connect();
    let response = client.get("/nothing");
    assert_eq!((response.status, response.body.as_slice()), (404, &b"<p>gone fishing"[..]));
    assert!(response.need("Content-Type").starts_with("text/html"));
    assert_eq!(client.request("HEAD", "/nothing", "").status, 404);
    assert_eq!(client.request("GET", "/nothing", "Range: bytes=0-1\r\n").status, 404);
}

#[test]
fn field_lines_of_the_operator() {
    let server = Server::plain(&["--header", "X-One: 1", "--header", "Cache-Control: no-cache"]);
    let mut client = server.connect();
    for path in ["/hello.txt", "/nothing"] {
        assert_eq!(client.get(path).field("X-One"), Some("1"), "{path}");
    }
    assert_eq!(client.get("/hello.txt").need("Cache-Control"), "no-cache");
}
