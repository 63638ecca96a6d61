//! The system's own clients: curl and openssl.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use crate::host::{has_kernel_tls, has_program, kernel};
use crate::server::{PATIENCE, Server};
use crate::site::{HELLO, Site, sha256};

/// Runs curl on a path and returns what it wrote to standard output.
fn curl(server: &Server, path: &str, options: &[&str]) -> Vec<u8> {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--http1.1", "--max-time", "300", "--noproxy", "*"])
        .arg("--cacert")
        .arg(&server.identity.cert)
        .arg("--resolve")
        .arg(format!("localhost:{}:127.0.0.1", server.port))
        .args(options)
        .arg(format!("https://localhost:{}{path}", server.port))
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "curl {options:?} {path}: {complaint}");
    output.stdout
}

#[test]
fn curl_downloads() {
    if !has_program("curl") {
        return;
    }
    let site = Site::new();
    let hash = site.noise("large", 10_000_000);
    site.file("docs/index.html", b"docs");
    let server = Server::start(site, &[]);
    assert_eq!(curl(&server, "/hello.txt", &[]), HELLO);
    for version in [&["--tls-max", "1.2"][..], &["--tlsv1.3"]] {
        assert_eq!(sha256(&curl(&server, "/large", version)), hash);
    }
    assert_eq!(curl(&server, "/docs", &["--location"]), b"docs");
    assert_eq!(curl(&server, "/hello.txt", &["--range", "7-10"]), b"ring");
    let head = curl(&server, "/hello.txt", &["--head"]);
    assert!(head.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

#[test]
fn curl_uploads_are_refused_in_order() {
    if !has_program("curl") {
        return;
    }
    let site = Site::new();
    site.noise("upload", 500_000);
    let upload = format!("@{}", site.root().join("upload").display());
    let server = Server::start(site, &[]);
    let code = ["--output", "/dev/null", "--write-out", "%{http_code}"];
    for more in [
        &["--data-binary", upload.as_str()][..],
        &["--data-binary", upload.as_str(), "--header", "Expect: 100-continue"],
        &["--data-binary", upload.as_str(), "--header", "Transfer-Encoding: chunked"],
    ] {
        let options = [&code[..], more].concat();
        assert_eq!(curl(&server, "/hello.txt", &options), b"405", "{more:?}");
    }
}

/// `openssl s_client` with these options, its input open.
struct OpenSsl {
    child: std::process::Child,
    output: mpsc::Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

impl OpenSsl {
    fn new(server: &Server, options: &[&str]) -> Self {
        let mut child = Command::new("openssl")
            .args(["s_client", "-verify_return_error", "-servername", "localhost", "-CAfile"])
            .arg(&server.identity.cert)
            .args(["-connect", &format!("127.0.0.1:{}", server.port)])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (sender, output) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, output, seen: Vec::new() }
    }

    fn type_in(&mut self, text: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(text.as_bytes()).and_then(|()| input.flush()).unwrap();
    }

    /// Asks, and updates the keys behind the answer. A command is taken as such only if it is read by itself, so
    /// nothing else is typed in before its message has left. The server's own message comes before the next
    /// answer.
    fn ask_and_update_keys(&mut self, round: usize) {
        self.type_in(REQUEST);
        assert!(self.sees("hello, ring road", round), "{}", self.transcript());
        self.type_in("K\n");
        assert!(self.sees("KeyUpdate", 2 * round - 1), "{}", self.transcript());
    }

    /// Waits until the output holds `text` so many times; `false` if it ends before.
    fn sees(&mut self, text: &str, times: usize) -> bool {
        while String::from_utf8_lossy(&self.seen).matches(text).count() < times {
            match self.output.recv_timeout(PATIENCE) {
                Ok(piece) => self.seen.extend(piece),
                Err(mpsc::RecvTimeoutError::Disconnected) => return false,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("openssl is stuck"),
            }
        }
        true
    }

    fn transcript(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const REQUEST: &str = "GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// RFC 7507: TLS 1.2 is spoken with clients that know no better, not with those that say they do.
#[test]
fn openssl_falls_back() {
    if !has_program("openssl") {
        return;
    }
    let server = Server::plain(&[]);
    let mut fallen = OpenSsl::new(&server, &["-tls1_2", "-fallback_scsv", "-msg"]);
    assert!(fallen.sees("inappropriate_fallback", 1), "{}", fallen.transcript());
    for options in [&["-tls1_2"][..], &["-tls1_3", "-fallback_scsv"], &["-fallback_scsv"]] {
        let mut openssl = OpenSsl::new(&server, options);
        openssl.type_in(REQUEST);
        assert!(openssl.sees("hello, ring road", 1), "{options:?}: {}", openssl.transcript());
    }
}

#[test]
fn openssl_agrees_on_every_suite() {
    if !has_program("openssl") {
        return;
    }
    let server = Server::plain(&[]);
    for options in [
        &["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"][..],
        &["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"],
        &["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"],
        &["-tls1_3", "-groups", "P-256"],
    ] {
        let mut openssl = OpenSsl::new(&server, options);
        assert!(openssl.sees("Verify return code: 0", 1), "{}", openssl.transcript());
        openssl.type_in(REQUEST);
        assert!(openssl.sees("hello, ring road", 1), "{options:?}: {}", openssl.transcript());
        assert!(openssl.transcript().contains(options[2]) || options[1] == "-groups");
    }
}

/// `K` updates the client's keys and asks for an update of the server's, which TLS 1.3 obliges it
/// to make before its next application data (RFC 8446 section 4.6.3).
#[test]
fn openssl_asks_for_new_keys() {
    if !has_program("openssl") {
        return;
    }
    let server = Server::plain(&["--ktls", "off"]);
    let mut openssl = OpenSsl::new(&server, &["-tls1_3", "-msg"]);
    assert!(openssl.sees("Verify return code: 0", 1), "{}", openssl.transcript());
    for round in 1..=3 {
        openssl.ask_and_update_keys(round);
    }
}

/// The same where the kernel opens and seals: it takes new keys since Linux 6.14; before that the
/// connection must end in order, and the next one is served.
#[test]
fn openssl_asks_the_kernel_for_new_keys() {
    if !has_kernel_tls() || !has_program("openssl") {
        return;
    }
    let server = Server::plain(&["--ktls", "on"]);
    let mut openssl = OpenSsl::new(&server, &["-tls1_3", "-msg"]);
    assert!(openssl.sees("Verify return code: 0", 1), "{}", openssl.transcript());
    let rounds = if kernel() >= (6, 14) { 3 } else { 1 };
    for round in 1..=rounds {
        openssl.ask_and_update_keys(round);
    }
    if rounds == 1 {
        assert!(openssl.sees("closed", 1), "{}", openssl.transcript());
    }
    assert_eq!(server.connect().get("/hello.txt").body, crate::site::HELLO);
}
