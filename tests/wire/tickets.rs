//! Ticket keys that several servers share: each resumes what another began.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustix::process::Signal;
use rustls::HandshakeKind::{self, Full, Resumed};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};

use crate::authority::Authority;
use crate::client::Client;
use crate::host::has_program;
use crate::server::{Server, run};
use crate::site::{HELLO, Site};

/// 32 bytes of which all but the last are alike, in base64.
fn key(letter: char) -> String {
    format!("{}=\n", String::from(letter).repeat(43 - 1) + "A")
}

fn write(file: &Path, keys: &str) {
    fs::write(file, keys).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A server of the fleet.
struct Member {
    server: Server,
    keys: PathBuf,
}

impl Member {
    fn start(authority: &Authority, keys: &str, options: &[&str]) -> Self {
        let site = Site::new();
        let identity = authority.issue(&["localhost"]).write(site.outside(), "server");
        let file = site.outside().join("tickets");
        write(&file, keys);
        let options = [&["--ticket-keys", file.to_str().unwrap()][..], options].concat();
        let server = Server::start_as(site, identity, &options);
        let told = format!("tickets      under the keys in {}\n", file.display());
        assert!(server.start_block.contains(&told), "{}", server.start_block);
        Self { server, keys: file }
    }

    fn rotate(&self, keys: &str) {
        let server = &self.server;
        let before = server.log().matches("ticket keys: replaced").count();
        let new = self.keys.with_extension("new");
        write(&new, keys);
        fs::rename(new, &self.keys).unwrap();
        server.signal(Signal::HUP);
        server.expect_logged("ticket keys: replaced", before + 1);
    }

    fn ask(&self, config: &Arc<ClientConfig>) -> HandshakeKind {
        let mut client = Client::connect(self.server.port, Arc::clone(config)).unwrap();
        assert_eq!(client.get("/hello.txt").body, HELLO);
        let kind = client.tls.handshake_kind().unwrap();
        client.close();
        client.expect_close();
        kind
    }
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

#[test]
fn servers_with_the_same_keys_resume_each_others_sessions() {
    let authority = Authority::new("authority");
    let start = |keys: &str| Member::start(&authority, keys, &[]);
    let (one, two, stranger) = (start(&key('a')), start(&key('a')), start(&key('b')));
    for version in VERSIONS {
        let client = authority.client(version, None);
        assert_eq!(one.ask(&client), Full);
        for _ in 0..4 {
            assert_eq!(two.ask(&client), Resumed);
            assert_eq!(one.ask(&client), Resumed);
        }
        assert_eq!(stranger.ask(&client), Full, "the ticket means nothing to it");
    }
}

#[test]
fn keys_are_rotated_one_server_after_the_other() {
    let authority = Authority::new("authority");
    let start = || Member::start(&authority, &key('a'), &[]);
    let (one, two) = (start(), start());
    for version in VERSIONS {
        let client = authority.client(version, None);
        assert_eq!(one.ask(&client), Full);
        // First all learn to open the new key, then all seal with it: nobody notices.
        for member in [&one, &two] {
            member.rotate(&(key('a') + &key('b')));
            assert_eq!([one.ask(&client), two.ask(&client)], [Resumed; 2]);
        }
        for member in [&one, &two] {
            member.rotate(&(key('b') + &key('a')));
            assert_eq!([one.ask(&client), two.ask(&client)], [Resumed; 2]);
        }
        for member in [&one, &two] {
            member.rotate(&key('b'));
            assert_eq!([one.ask(&client), two.ask(&client)], [Resumed; 2]);
        }
        // A key that is gone opens nothing.
        let left_behind = authority.client(version, None);
        assert_eq!(one.ask(&left_behind), Full);
        two.rotate(&key('a'));
        one.rotate(&key('a'));
        assert_eq!(two.ask(&left_behind), Full);
    }
}

/// A change to the file is noticed without a signal, and a bad file changes nothing.
#[test]
fn a_bad_file_of_keys_is_refused_and_the_old_keys_kept() {
    let authority = Authority::new("authority");
    let member = Member::start(&authority, &key('a'), &[]);
    let client = authority.client(&TLS13, None);
    assert_eq!(member.ask(&client), Full);
    write(&member.keys, "# soon\nnonsense\n");
    member.server.expect_logged("ticket keys: not replaced", 1);
    assert!(member.server.log().contains("line 2 is not 32 bytes"), "{}", member.server.log());
    fs::set_permissions(&member.keys, fs::Permissions::from_mode(0o644)).unwrap();
    member.server.expect_logged("ticket keys: not replaced", 2);
    assert!(member.server.log().contains("chmod 600"), "{}", member.server.log());
    assert_eq!(member.ask(&client), Resumed);
    for secret in ["nonsense", key('a').trim()] {
        assert!(!member.server.log().contains(secret), "a key is in the log");
    }
}

/// Servers with the same keys that ask different things of clients do not vouch for each other.
#[test]
fn a_session_without_a_certificate_does_not_resume_where_one_is_required() {
    let (authority, clients) = (Authority::new("authority"), Authority::new("clients"));
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("clients.pem");
    clients.write(&ca);
    let ca = ca.to_str().unwrap();
    let open = Member::start(&authority, &key('a'), &[]);
    let optional = ["--client-ca", ca, "--client-auth", "optional"];
    let optional = Member::start(&authority, &key('a'), &optional);
    let required = Member::start(&authority, &key('a'), &["--client-ca", ca]);
    let twin = Member::start(&authority, &key('a'), &["--client-ca", ca]);
    for version in VERSIONS {
        for easy in [&open, &optional] {
            let client = authority.client(version, None);
            assert_eq!(easy.ask(&client), Full);
            let mut refused = Client::connect(required.server.port, client).unwrap();
            let _ = refused.handshake();
            refused.send(b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n");
            assert!(refused.try_response("GET").is_err(), "let in by a ticket");
        }
        let known = authority.client(version, Some(&clients.issue(&["client"])));
        assert_eq!([required.ask(&known), twin.ask(&known)], [Full, Resumed]);
    }
}

#[test]
fn openssl_makes_a_key() {
    if !has_program("openssl") {
        return;
    }
    let made = Command::new("openssl").args(["rand", "-base64", "32"]).output().unwrap();
    let authority = Authority::new("authority");
    let member = Member::start(&authority, &String::from_utf8(made.stdout).unwrap(), &[]);
    let client = authority.client(&TLS13, None);
    assert_eq!([member.ask(&client), member.ask(&client)], [Full, Resumed]);
}

#[test]
fn keys_that_others_can_read_are_refused_at_the_start() {
    let site = Site::new();
    let file = site.outside().join("tickets");
    fs::write(&file, key('a')).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).unwrap();
    let (root, file) = (site.root(), file.to_str().unwrap().to_owned());
    let output = run(&["serve", root.to_str().unwrap(), "--ticket-keys", &file]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("chmod 600") && said.contains(&file), "{said}");
}
