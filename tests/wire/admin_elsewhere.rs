//! An admin address that other hosts reach: whom it answers.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    authority::Authority,
    configured::{Configured, write},
    host::{has_program, skip},
    port,
    reload_file::reload,
    server::{PATIENCE, run},
};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A server whose admin listener is at all addresses of this host, and its port.
fn serve(guard: &str, fill: impl FnOnce(&Path)) -> (Configured, u16) {
    let admin = port::to_listen_at();
    let text = format!(
        "[observe]\nadmin = '0.0.0.0:{admin}'\n{guard}\n[[site]]\n[[site.route]]\nrespond = 'x'\n"
    );
    let server = Configured::start(&text, |folder| {
        fs::write(folder.join("token"), format!("{TOKEN}\n")).unwrap();
        fill(folder);
    });
    (server, admin)
}

/// What curl gets of `/metrics`: the status, 000 where it is not let in, and the text.
fn curl(server: &Configured, admin: u16, options: &[&str]) -> (String, String) {
    let output = Command::new("curl")
        .args(["--silent", "--noproxy", "*", "--max-time", "300", "--cacert"])
        .arg(&server.identity.cert)
        .args(["--write-out", "\n%{http_code}"])
        .args(options)
        .arg(format!("https://localhost:{admin}/metrics"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (text, status) = text.rsplit_once('\n').unwrap();
    (status.to_owned(), text.to_owned())
}

#[test]
fn a_token_is_asked_for() {
    if !has_program("curl") {
        return;
    }
    let (server, admin) = serve("admin_token = 'token'", |_| {});
    let block = &server.start_block;
    assert!(
        block.contains(&format!("https://0.0.0.0:{admin}/ for clients with the token")),
        "{block}"
    );
    let right = format!("Authorization: Bearer {TOKEN}");
    // curl offers HTTP/2 by itself.
    for version in ["--http1.1", "--http2"] {
        let (status, text) = curl(&server, admin, &[version, "-H", &right]);
        assert!(status == "200" && text.contains("ringway_requests_total"), "{status} {text}");
    }
    for wrong in [
        &[][..],
        &["-H", "Authorization: Bearer 0123456789abcdef0123456789abcdeF"],
        &["-H", "Authorization: Bearer"],
        &["-u", "x:0123456789abcdef0123456789abcdef"],
        &["-H", &right, "-H", &right],
        &["-H", &right, "-H", "Authorization: Bearer x"],
    ] {
        let (status, text) = curl(&server, admin, wrong);
        assert!(status == "401" && !text.contains("ringway_"), "{wrong:?} {status} {text}");
    }
    let (_, head) = curl(&server, admin, &["--head"]);
    assert!(head.contains("WWW-Authenticate: Bearer realm=\"ringway\""), "{head}");
    // No other path, and nothing without TLS.
    let plain = Command::new("curl")
        .args(["--silent", "--noproxy", "*", "--max-time", "300", "-H", &right])
        .arg(format!("http://localhost:{admin}/metrics"))
        .output()
        .unwrap();
    assert!(!String::from_utf8_lossy(&plain.stdout).contains("ringway_"));
    let deadline = Instant::now() + PATIENCE;
    while !server.log().contains("without the token") {
        assert!(Instant::now() < deadline, "{}", server.log());
        thread::sleep(Duration::from_millis(20));
    }
    // Neither a word of the process's nor of its log.
    let words = fs::read(format!("/proc/{}/cmdline", server.pid())).unwrap();
    assert!(!String::from_utf8_lossy(&words).contains(TOKEN) && !server.log().contains(TOKEN));
}

#[test]
fn a_certificate_is_asked_for() {
    if !has_program("curl") {
        return;
    }
    let (clients, strangers) = (Authority::new("clients"), Authority::new("strangers"));
    let guard = "admin_token = 'token'\nadmin_client_ca = 'clients.pem'";
    let (server, admin) = serve(guard, |folder| {
        clients.write(&folder.join("clients.pem"));
        clients.issue(&["prometheus"]).write(folder, "own");
        strangers.issue(&["prometheus"]).write(folder, "foreign");
    });
    let block = &server.start_block;
    assert!(block.contains("for clients with the token and a certificate"), "{block}");
    let file = |name: &str| server.folder.path().join(name).display().to_string();
    let right = format!("Authorization: Bearer {TOKEN}");
    let own = ["--cert", &file("own.pem"), "--key", &file("own.key")];
    let foreign = ["--cert", &file("foreign.pem"), "--key", &file("foreign.key")];
    let token = ["-H", &right];
    for version in [&["--tlsv1.3"][..], &["--tls-max", "1.2"]] {
        let ask =
            |options: &[&[&str]]| curl(&server, admin, &[version, &options.concat()].concat()).0;
        assert_eq!(ask(&[&own, &token]), "200", "{version:?}");
        assert_eq!(ask(&[&own]), "401", "{version:?}");
        assert_eq!(ask(&[&token]), "000", "{version:?}");
        assert_eq!(ask(&[&foreign, &token]), "000", "{version:?}");
    }
    // What the sites demand is another matter.
    assert_eq!(server.connect().get("/").status, 200);
}

/// As certificates are: by the reload of a file that names another one, and when the file itself changes.
#[test]
fn a_new_token_takes_the_place_of_the_old_one() {
    if !has_program("curl") {
        return;
    }
    let admin = port::to_listen_at();
    let text = |token: &str| {
        format!(
            "[process]\ncontrol = 'control'\n[observe]\nadmin = '0.0.0.0:{admin}'\n{token}\n\
             [[site]]\n[[site.route]]\nrespond = 'x'\n"
        )
    };
    let tokens = [TOKEN, "fedcba9876543210fedcba9876543210", "0123456789abcdeffedcba9876543210"];
    let server = Configured::start(&text("admin_token = 'token'"), |folder| {
        fs::write(folder.join("token"), format!("{TOKEN}\n")).unwrap();
        fs::write(folder.join("other"), format!("{}\n", tokens[1])).unwrap();
    });
    let folder = server.folder.path();
    let admitted = || {
        let is = |token: &&&str| {
            let field = format!("Authorization: Bearer {token}");
            curl(&server, admin, &["-H", &field]).0 == "200"
        };
        tokens.iter().filter(is).copied().collect::<Vec<_>>()
    };
    assert_eq!(admitted(), [tokens[0]]);
    write(folder, &text("admin_token = 'other'"));
    assert_eq!(reload(&server).0, Some(0), "{}", server.log());
    assert_eq!(admitted(), [tokens[1]]);
    write(folder, &text(""));
    let (code, said) = reload(&server);
    assert!(code == Some(2) && said.contains("nothing is asked of clients"), "{said}");
    write(folder, &text("admin_token = 'other'"));
    for (content, line) in [("short", "too short"), (tokens[2], "admin token: replaced by")] {
        fs::write(folder.join("new"), content).unwrap();
        fs::rename(folder.join("new"), folder.join("other")).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while !server.log().contains(line) {
            assert!(Instant::now() < deadline, "{}", server.log());
            thread::sleep(Duration::from_millis(20));
        }
        let now = if content == "short" { tokens[1] } else { tokens[2] };
        assert_eq!(admitted(), [now], "{content}");
    }
    assert!(tokens.iter().all(|token| !server.log().contains(token)));
}

#[test]
fn without_either_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ringway.toml");
    fs::write(folder.path().join("short"), "secret\n").unwrap();
    for (lines, says) in [
        ("admin = '0.0.0.0:9'", "can be reached from other hosts"),
        ("admin = '[::]:9'", "can be reached from other hosts"),
        ("admin = '0.0.0.0:9'\nadmin_token = 'none'", "No such file"),
        ("admin = '0.0.0.0:9'\nadmin_token = 'short'", "too short"),
        ("admin = 'unix:/x'\nadmin_token = 'short'", "admits its owner alone"),
        ("admin_client_ca = 'short'", "there is no admin listener"),
    ] {
        fs::write(&file, format!("[observe]\n{lines}\n[[site]]\n[[site.route]]\nrespond = ''\n"))
            .unwrap();
        let output = run(&["check", file.to_str().unwrap()]);
        let said = String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap();
        assert!(output.status.code() == Some(2) && said.contains(says), "{lines}: {said}");
        assert!(said.contains("ringway.toml:"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
    let output = run(&["serve", folder.path().to_str().unwrap(), "--admin", "0.0.0.0:0"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("admin-token"), "{said}");
}

/// A real Prometheus, killed at the end.
struct Prometheus {
    child: Child,
    port: u16,
}

impl Prometheus {
    fn start(folder: &Path, scrape: &str) -> Self {
        let port = port::to_listen_at();
        let config = folder.join("prometheus.yml");
        fs::write(&config, format!("global:\n  scrape_interval: 1s\nscrape_configs:\n{scrape}"))
            .unwrap();
        let path = |name: &str, path: PathBuf| format!("--{name}={}", path.display());
        let child = Command::new("prometheus")
            .arg(path("config.file", config))
            .arg(path("storage.tsdb.path", folder.join("data")))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, port }
    }

    /// What it says of its targets, once `word` is among it.
    fn targets(&self, word: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = Command::new("curl")
                .args(["--silent", "--noproxy", "*", "--max-time", "10"])
                .arg(format!("http://127.0.0.1:{}/api/v1/targets", self.port))
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if text.contains(word) {
                return text;
            }
            assert!(Instant::now() < deadline, "no {word} in {text}");
            thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The example of the documentation, with this host's files, is what a Prometheus scrapes by.
#[test]
fn a_prometheus_scrapes_it_as_documented() {
    if !has_program("curl") || Command::new("prometheus").arg("--version").output().is_err() {
        return skip("this host has no prometheus or no curl");
    }
    let (server, admin) = serve("admin_token = 'token'", |_| {});
    let folder = server.folder.path();
    let document = include_str!("../../docs/install.md");
    let example = document.split("```yaml\nscrape_configs:\n").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    let place = |name: &str| folder.join(name).display().to_string();
    let mut scrape = format!("  {}", example.trim_start());
    for (word, own) in [
        ("/etc/prometheus/ringway.token", place("token")),
        ("/etc/prometheus/ringway-ca.pem", server.identity.cert.display().to_string()),
        ("web1.example.com:9443", format!("localhost:{admin}")),
    ] {
        assert!(example.contains(word), "{word}: {example}");
        scrape = scrape.replace(word, &own);
    }
    let prometheus = Prometheus::start(folder, &scrape);
    prometheus.targets("\"health\":\"up\"");
    drop(prometheus);
    fs::write(folder.join("wrong"), "0123456789abcdef").unwrap();
    let scrape = scrape.replace(&place("token"), &place("wrong"));
    let prometheus = Prometheus::start(folder, &scrape);
    let said = prometheus.targets("\"health\":\"down\"");
    assert!(said.contains("401"), "{said}");
}
