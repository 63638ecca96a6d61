//! The server's certificates: which one a client gets, and what becomes of them when the files
//! change.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SignatureScheme};

use crate::authority::{Authority, Issued, curious};
use crate::client::Client;
use crate::host::has_program;
use crate::identity::Identity;
use crate::server::{PATIENCE, Server, run};
use crate::site::{HELLO, Site};

const ECDSA: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256];
const RSA: &[SignatureScheme] =
    &[SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256];
const BOTH: &[SignatureScheme] =
    &[SignatureScheme::RSA_PSS_SHA256, SignatureScheme::ECDSA_NISTP256_SHA256];

/// A server with the first identity by default and the others by name.
fn serve(site: Site, mut identities: Vec<Identity>, more: &[&str]) -> Server {
    let first = identities.remove(0);
    let mut options: Vec<String> = more.iter().map(|&option| option.to_owned()).collect();
    for other in identities {
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        options.extend(["--cert".into(), path(&other.cert), "--key".into(), path(&other.key)]);
    }
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    Server::start_as(site, first, &options)
}

/// The leaf that the server shows under this name, in a full handshake.
pub(crate) fn shown(
    server: &Server,
    name: &str,
    config: &Arc<ClientConfig>,
) -> CertificateDer<'static> {
    let mut config = ClientConfig::clone(config);
    config.resumption = Resumption::disabled();
    let mut client = Client::connect_to(server.port, Arc::new(config), name).unwrap();
    assert_eq!(client.get("/hello.txt").body, HELLO, "{name}");
    client.tls.peer_certificates().unwrap()[0].clone().into_owned()
}

#[test]
fn the_name_chooses_the_certificate() {
    let site = Site::new();
    let authority = Authority::new("authority");
    let issued = [
        authority.issue(&["localhost", "127.0.0.1"]),
        authority.issue(&["*.a.example"]),
        authority.issue(&["www.a.example", "a.example"]),
    ];
    let [first, wildcard, exact] = [0, 1, 2].map(|place: usize| issued[place].der.clone());
    let files = issued.iter().zip(["one", "two", "three"]);
    let files = files.map(|(issued, name)| issued.write(site.outside(), name)).collect();
    let server = serve(site, files, &[]);
    assert!(server.start_block.contains("one.pem, and 2 more by name"), "{}", server.start_block);
    let names = "names        localhost, 127.0.0.1, *.a.example, www.a.example, a.example\n";
    assert!(server.start_block.contains(names), "{}", server.start_block);
    for version in [&TLS12, &TLS13] {
        let client = authority.client(version, None);
        for (name, expected) in [
            ("localhost", &first),
            ("127.0.0.1", &first),
            ("www.a.example", &exact),
            ("WWW.A.example", &exact),
            ("a.example", &exact),
            ("mail.a.example", &wildcard),
        ] {
            assert_eq!(shown(&server, name, &client), *expected, "{name}");
        }
        for stranger in ["stranger.example", "x.mail.a.example", "example"] {
            assert_eq!(shown(&server, stranger, &curious(version, ECDSA)), first, "{stranger}");
        }
    }
}

/// Two pairs for the same names, one of each kind; ECDSA is given first.
fn both_kinds() -> (Server, [Issued; 2]) {
    let site = Site::new();
    let authority = Authority::new("authority");
    let issued = [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_RSA_SHA256]
        .map(|algorithm| authority.issue_with(&["localhost", "a.example"], algorithm, |_| {}));
    let files = issued.iter().zip(["ecdsa", "rsa"]);
    let files = files.map(|(issued, name)| issued.write(site.outside(), name)).collect();
    (serve(site, files, &[]), issued)
}

#[test]
fn the_clients_signatures_choose_between_certificates_for_a_name() {
    let (server, [ecdsa, rsa]) = both_kinds();
    for version in [&TLS12, &TLS13] {
        for name in ["localhost", "a.example", "127.0.0.1", "stranger.example"] {
            let shown = |schemes| shown(&server, name, &curious(version, schemes));
            assert_eq!(shown(ECDSA), ecdsa.der, "{name}");
            assert_eq!(shown(RSA), rsa.der, "{name}");
            assert_eq!(shown(BOTH), ecdsa.der, "the first of two that fit: {name}");
        }
        let neither = curious(version, &[SignatureScheme::ED25519]);
        let mut client = Client::connect(server.port, neither).unwrap();
        let refused = client.handshake().unwrap_err().to_string();
        assert!(refused.contains("HandshakeFailure"), "{refused}");
    }
}

#[test]
fn openssl_gets_the_certificate_that_it_can_verify() {
    if !has_program("openssl") {
        return;
    }
    let (server, [ecdsa, rsa]) = both_kinds();
    for (options, expected) in [
        (&["-servername", "a.example"][..], &ecdsa),
        (&["-servername", "A.EXAMPLE", "-sigalgs", "rsa_pss_rsae_sha256"], &rsa),
        (&["-servername", "a.example", "-sigalgs", "ECDSA+SHA256"], &ecdsa),
        (&["-noservername", "-sigalgs", "rsa_pss_rsae_sha256"], &rsa),
        (&["-noservername", "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], &rsa),
        (&["-noservername", "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], &ecdsa),
    ] {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &format!("127.0.0.1:{}", server.port)])
            .args(options)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let body = expected.cert.lines().nth(1).unwrap();
        // Lines of PEM are as long with both.
        assert!(said.contains(body), "{options:?}: {said}");
    }
}

#[test]
fn what_does_not_pair_is_refused_at_the_start() {
    let site = Site::new();
    let root = site.root();
    let refused = |options: &[&str], words: &str| {
        let line = [&["serve".as_ref(), root.as_os_str()][..]].concat();
        let options = options.iter().map(OsStr::new);
        let output = run(&line.into_iter().chain(options).collect::<Vec<_>>());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{words:?} is not in: {said}");
    };
    refused(&["--cert", "a", "--cert", "b", "--key", "c"], "2 --cert and 1 --key");
    refused(&["--cert", "a", "--key", "b", "--key", "c"], "one --cert for each --key");
    refused(&["--client-auth", "optional"], "--client-ca");
    refused(&["--client-ca", "/nonexistent/ca.pem"], "/nonexistent/ca.pem");
}

/// Waits until the server shows this certificate.
fn expect_shown(server: &Server, config: &Arc<ClientConfig>, expected: &Issued) {
    let deadline = Instant::now() + PATIENCE;
    while shown(server, "localhost", config) != expected.der {
        assert!(Instant::now() < deadline, "the new certificate is not served: {}", server.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Clients that come and clients that stay must not notice anything, whichever way the files are
/// replaced.
#[test]
fn no_request_fails_while_certificates_are_replaced() {
    const TIMES: usize = 20;
    let site = Site::new();
    let authority = Authority::new("authority");
    let outside = site.outside().to_owned();
    // As certbot keeps them: the server is given links, which are put elsewhere.
    let put = |issued: &Issued, version: usize| {
        let files = issued.write(&outside, &format!("archive-{version}"));
        for (file, link) in [(&files.cert, "live.pem"), (&files.key, "live.key")] {
            symlink(file, outside.join("new")).unwrap();
            fs::rename(outside.join("new"), outside.join(link)).unwrap();
        }
    };
    let first = authority.issue(&["localhost"]);
    put(&first, 0);
    let files = (outside.join("live.pem"), outside.join("live.key"));
    let identity = Identity { cert: files.0.clone(), key: files.1.clone(), der: first.der };
    let issued: Vec<Issued> = (0..TIMES).map(|_| authority.issue(&["localhost"])).collect();
    let server = Server::start_as(site, identity, &[]);

    let (done, requests) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for version in [&TLS12, &TLS13] {
            // One that resumes and one that cannot, since each of its connections is the first.
            for resumes in [true, false] {
                let (server, authority, done, requests) = (&server, &authority, &done, &requests);
                scope.spawn(move || {
                    let config = authority.client(version, None);
                    while !done.load(Ordering::Relaxed) {
                        let config =
                            if resumes { config.clone() } else { authority.client(version, None) };
                        let mut client = Client::connect(server.port, config).unwrap();
                        assert_eq!(client.get("/hello.txt").body, HELLO);
                        client.close();
                        client.expect_close();
                        requests.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let (server, authority, done, requests) = (&server, &authority, &done, &requests);
            scope.spawn(move || {
                let config = authority.client(version, None);
                let mut client = Client::connect(server.port, config).unwrap();
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(client.get("/hello.txt").body, HELLO);
                    requests.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(1));
                }
                client.close();
                client.expect_close();
            });
        }
        // Ends the others if this thread fails.
        let end = End(&done);
        let watcher = authority.client(&TLS13, None);
        for (version, issued) in issued.iter().enumerate() {
            match version % 4 {
                // Links, noticed.
                0 => put(issued, version + 1),
                // In place, with a moment between the halves, noticed.
                1 => {
                    fs::write(&files.0, &issued.cert).unwrap();
                    std::thread::sleep(Duration::from_millis(100));
                    fs::write(&files.1, &issued.key).unwrap();
                }
                // Told.
                2 => {
                    put(issued, version + 1);
                    server.signal(Signal::HUP);
                }
                _ => {
                    issued.write_to(&files.0, &files.1);
                    server.signal(Signal::HUP);
                }
            }
            expect_shown(&server, &watcher, issued);
        }
        drop(end);
    });
    assert!(requests.into_inner() > TIMES, "the load was none");
    assert_eq!(server.log().matches("certificate: replaced by ").count(), TIMES);
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What the server has logged of pairs that it did not take, without the time.
fn refusals(server: &Server) -> Vec<String> {
    let log = server.log();
    let words = "certificate: not replaced";
    log.lines().filter_map(|line| line.find(words).map(|at| line[at..].to_owned())).collect()
}

#[test]
fn a_bad_pair_is_refused_once_and_the_old_one_kept() {
    let site = Site::new();
    let authority = Authority::new("authority");
    let (first, other) = (authority.issue(&["localhost"]), authority.issue(&["other.example"]));
    let files = first.write(site.outside(), "first");
    let others = other.write(site.outside(), "other");
    let (cert, key) = (files.cert.clone(), files.key.clone());
    let (other_cert, other_key) = (others.cert.clone(), others.key.clone());
    let server = serve(site, vec![files, others], &[]);
    let config = authority.client(&TLS13, None);
    let mut kept = Client::connect(server.port, config.clone()).unwrap();
    assert_eq!(kept.get("/hello.txt").body, HELLO);

    let next = authority.issue(&["localhost"]);
    let expired = authority.issue_with(&["localhost"], &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    });
    let refused = |change: &dyn Fn(), words: &str, told: bool| {
        change();
        if told {
            server.signal(Signal::HUP);
        }
        // What stands there between two writes may be noticed, and refused, as well.
        let deadline = Instant::now() + PATIENCE;
        while !refusals(&server).last().is_some_and(|line| line.contains(words)) {
            assert!(Instant::now() < deadline, "{words}: {}", server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(shown(&server, "localhost", &config), first.der);
    };
    refused(&|| fs::write(&key, &next.key).unwrap(), "does not belong", false);
    refused(&|| fs::write(&cert, "half a certif").unwrap(), "no certificate", true);
    let without_key = || {
        first.write_to(&cert, &key);
        fs::remove_file(&key).unwrap();
    };
    refused(&without_key, "No such file", false);
    refused(&|| expired.write_to(&cert, &key), "expired", true);
    refused(&|| fs::write(&cert, "x".repeat(70_000)).unwrap(), "longer than 64 KiB", true);

    // What is wrong with one pair does not hold up another, nor is it told again.
    let renewed = authority.issue(&["other.example"]);
    renewed.write_to(&other_cert, &other_key);
    let deadline = Instant::now() + PATIENCE;
    while shown(&server, "other.example", &config) != renewed.der {
        assert!(Instant::now() < deadline, "{}", server.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    next.write_to(&cert, &key);
    expect_shown(&server, &config, &next);
    let told = refusals(&server);
    assert!(told.windows(2).all(|pair| pair[0] != pair[1]), "told again: {told:?}");
    assert_eq!(kept.get("/hello.txt").body, HELLO, "a connection of before");
}

/// Without files of one's own there is nothing to read again, and nothing ends.
#[test]
fn a_signal_without_a_change_is_answered() {
    let mut server = Server::plain(&[]);
    server.signal(Signal::HUP);
    server.expect_logged(
        "reload: certificates, authorities, keys and the admin token are as before",
        1,
    );
    assert!(server.runs());
    assert_eq!(server.connect().get("/hello.txt").body, HELLO);
}
