use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;

use clap::Parser as _;

use super::*;
use crate::cli::options::{Cli, Command};
use crate::config::{CertificateSource, Config};
use crate::server::{Builder, RunningServer};

/// A server in this process, with a site and a certificate of its own.
struct Site {
    server: RunningServer,
    folder: tempfile::TempDir,
}

impl Site {
    fn start() -> Self {
        Self::start_with(rcgen::IsCa::NoCa)
    }

    fn start_with(is_ca: rcgen::IsCa) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("site"), folder.path());
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("index.html"), "x".repeat(100_000)).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let names = ["localhost".to_owned()];
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.is_ca = is_ca;
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(outside.join("cert.pem"), certificate.pem()).unwrap();
        std::fs::write(outside.join("key.pem"), key.serialize_pem()).unwrap();
        let mut config = Config {
            root,
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            workers: Some(1),
            pin: false,
            certificate: CertificateSource::pair(outside.join("cert.pem"), outside.join("key.pem")),
            ..Config::default()
        };
        let said = "Server-Timing: handshake;dur=0.004, decode;dur=0.001, total;dur=9";
        config.site.headers.push(said.parse().unwrap());
        Self { server: Builder::from(config).start().unwrap(), folder }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.server.addresses()[0].port())
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    fn look(&self, path: &str, more: &[&str]) -> Result<String, String> {
        let certificate = self.certificate();
        let url = self.url(path);
        let mut line = vec![url.as_str(), "--cacert", certificate.to_str().unwrap()];
        line.extend(more);
        look_at(&line)
    }
}

fn options(line: &[&str]) -> Anatomy {
    let line = ["ringway", "anatomy"].into_iter().chain(line.iter().copied());
    match Cli::try_parse_from(line).unwrap().command {
        Command::Anatomy(options) => options,
        other => panic!("not anatomy: {other:?}"),
    }
}

/// What the command would print, without colour in 80 columns.
fn look_at(line: &[&str]) -> Result<String, String> {
    let options = options(line);
    let trust = trust(&options)?;
    let report = look(&options, &trust).map_err(|error| error.to_string())?;
    Ok(if options.json {
        json::render(&report)
    } else {
        report.render(&Canvas::new(Some(80), false))
    })
}

/// Text with every run of spaces and line ends as one space.
fn flowing(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn both_connections_are_shown() {
    let site = Site::start();
    let text = site.look("/", &[]).unwrap();
    for stage in stages::Stage::ALL {
        let times = if stage == stages::Stage::Lookup { 1 } else { 2 };
        let begins = text.lines().filter(|line| line.starts_with(&format!("  {}", stage.title())));
        assert_eq!(begins.count(), times, "{}\n{text}", stage.title());
    }
    let text = flowing(&text);
    for part in [
        "First connection, full handshake",
        "Second connection, resumed",
        "TLS 1.3, TLS13_AES",
        "200 OK from ringway",
        "content 100,000 bytes",
        "closed with close_notify",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn the_servers_own_stages_stand_inside_ours() {
    let site = Site::start();
    let text = site.look("/", &[]).unwrap();
    let line = |start: &str| text.lines().position(|line| line.starts_with(start)).unwrap();
    assert_eq!(line("  └ handshake"), line("  TLS handshake") + 1);
    assert_eq!(line("  └ decode"), line("  first byte") + 1);
    assert!(!text.contains("└ total"), "{text}");
    assert!(flowing(&text).contains("that the server admits,"), "{text}");
    assert!(flowing(&text).contains("the server's own word"), "{text}");
}

#[test]
fn a_head_request_has_no_content() {
    let site = Site::start();
    let text = flowing(&site.look("/", &["--method", "head"]).unwrap());
    assert!(text.contains("HEAD https://localhost") && text.contains("content 0 bytes"), "{text}");
    let text = flowing(&site.look("/nowhere", &[]).unwrap());
    assert!(text.contains("404 Not Found"), "{text}");
}

#[test]
fn rounds_begin_with_a_full_handshake_each() {
    let site = Site::start();
    let text = site.look("/", &["--repeat", "3", "--json"]).unwrap();
    assert_eq!(text.matches("\"resumed\":false").count(), 3, "{text}");
    assert_eq!(text.matches("\"resumed\":true").count(), 3, "{text}");
    assert_eq!(text.matches('{').count(), text.matches('}').count());
    assert_eq!(text.lines().count(), 1);
    for member in [
        "\"certificate\":{\"verified\":true,\"complaint\":null}",
        "\"medians\":{\"first\":{\"stages_us\":{\"lookup\":",
        "\"second\":{\"stages_us\":{\"connect\":",
        "{\"name\":\"decode\",\"duration_us\":1.0,\"description\":null}",
        "\"admitted_us\":1.0,\"unexplained_us\":",
        "\"content_bytes\":100000",
        "\"ending\":\"close_notify\"",
    ] {
        assert!(text.contains(member), "{member}\n{text}");
    }
    let text = flowing(&site.look("/", &["--repeat", "2"]).unwrap());
    assert!(text.contains("medians of 2 rounds"), "{text}");
}

#[test]
fn a_certificate_of_nobodys_is_refused_unless_one_insists() {
    let site = Site::start();
    let refusal = look_at(&[&site.url("/")]).unwrap_err();
    assert!(refusal.contains("--cacert") && refusal.contains("--insecure"), "{refusal}");
    let text = flowing(&look_at(&[&site.url("/"), "--insecure"]).unwrap());
    assert!(text.contains("NOT verified (--insecure)"), "{text}");
    let text = flowing(&site.look("/", &["--insecure"]).unwrap());
    assert!(text.contains("right, though --insecure"), "{text}");
    let other_name = site.url("/").replace("localhost", "127.0.0.1");
    let file = site.certificate();
    let refusal = look_at(&[&other_name, "--cacert", file.to_str().unwrap()]).unwrap_err();
    assert!(refusal.contains("certificate is refused"), "{refusal}");
}

#[test]
fn an_authoritys_own_certificate_is_refused_with_the_remedy() {
    let site = Site::start_with(rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained));
    let refusal = site.look("/", &[]).unwrap_err();
    assert!(refusal.contains("CA:FALSE") && !refusal.contains("CaUsed"), "{refusal}");
}

/// The error for a peer that answers each connection with these bytes and waits.
fn against(answer: &'static [u8], more: &[&str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    let peer = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.write_all(answer).unwrap();
        if answer.is_empty() {
            // Open until the client has had enough.
            let _ = std::io::copy(&mut socket, &mut std::io::sink());
        }
    });
    let mut line = vec![url.as_str()];
    line.extend(more);
    let error = look_at(&line).unwrap_err();
    peer.join().unwrap();
    error
}

#[test]
fn failures_say_what_to_do() {
    let plain = against(b"HTTP/1.1 400 Bad Request\r\n\r\n", &[]);
    assert!(plain.contains("not TLS"), "{plain}");
    let silent = against(b"", &["--timeout", "50ms"]);
    assert!(
        silent.contains("TLS handshake took longer") && silent.contains("--timeout"),
        "{silent}"
    );
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refused = look_at(&[&format!("https://127.0.0.1:{free}/")]).unwrap_err();
    assert!(refused.contains("refuses connections"), "{refused}");
}
