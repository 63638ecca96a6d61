//! Certificates that are renewed while the server is neither root any more nor free.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustls::ClientConfig;
use rustls::version::TLS13;

use crate::authority::{Authority, Issued};
use crate::certificates::shown;
use crate::host::skip;
use crate::identity::Identity;
use crate::privilege::{NOBODY, USER, field, is_root, of_every_thread};
use crate::server::{PATIENCE, Server};
use crate::site::Site;

/// Folders that everyone may enter, and files of root's that the server's group may read.
struct Files {
    authority: Authority,
    client: Arc<ClientConfig>,
    at: PathBuf,
}

impl Files {
    fn new(site: &Site) -> Self {
        let authority = Authority::new("authority");
        let client = authority.client(&TLS13, None);
        let at = site.outside().to_owned();
        fs::set_permissions(&at, Permissions::from_mode(0o755)).unwrap();
        Self { authority, client, at }
    }

    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.at.join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// A new pair in a folder of its own.
    fn issue(&self, name: &str, folder: &str) -> Issued {
        let (issued, folder) = (self.authority.issue(&[name]), self.folder(folder));
        share(&issued.write(&folder, "tls").key);
        issued
    }

    /// As certbot does: each file is a link into a folder of all versions.
    fn put_links(&self, version: &str) {
        for file in ["tls.pem", "tls.key"] {
            put_link(&format!("../{version}/{file}"), &self.folder("live").join(file));
        }
    }

    /// As Kubernetes does: the files are links through one link, beside which all versions are.
    fn put_folder(&self, version: &str) {
        put_link(version, &self.folder("mounted").join("..data"));
    }

    fn expect(&self, server: &Server, name: &str, expected: &Issued) {
        let deadline = Instant::now() + PATIENCE;
        while shown(server, name, &self.client) != expected.der {
            assert!(Instant::now() < deadline, "{name} is not renewed: {}", server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Lets the server's group read a file of root's.
fn share(file: &Path) {
    chown(file, None, Some(NOBODY)).unwrap();
    fs::set_permissions(file, Permissions::from_mode(0o640)).unwrap();
}

/// Puts a link in the place of what is there.
fn put_link(target: &str, link: &Path) {
    let new = link.parent().unwrap().join("new-link");
    symlink(target, &new).unwrap();
    fs::rename(new, link).unwrap();
}

fn pair(folder: &Path) -> [String; 2] {
    ["tls.pem", "tls.key"].map(|file| folder.join(file).to_str().unwrap().to_owned())
}

/// What the kernel says of the thread that reads certificates, which begins after the others.
fn of_the_reader(server: &Server) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let threads = of_every_thread(server, "status");
        let reader = threads.iter().find(|status| field(status, "Name") == ["certificates"]);
        if let Some(status) = reader {
            return status.clone();
        }
        assert!(Instant::now() < deadline, "{threads:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn renewal_works_after_the_drop_and_within_landlock() {
    if !is_root() {
        return;
    }
    let site = Site::new();
    let files = Files::new(&site);
    let first = files.issue("localhost", "archive/1");
    files.put_links("archive/1");
    let other = files.issue("other.example", "mounted/..1");
    files.put_folder("..1");
    for file in ["tls.pem", "tls.key"] {
        put_link(&format!("..data/{file}"), &files.folder("mounted").join(file));
    }
    let (clients, tickets) = (files.at.join("clients/ca.pem"), files.at.join("tickets/keys"));
    files.folder("clients");
    files.folder("tickets");
    files.authority.write(&clients);
    fs::write(&tickets, format!("{}=\n", "A".repeat(43))).unwrap();
    share(&tickets);
    let [cert, key] = pair(&files.folder("live")).map(PathBuf::from);
    let identity = Identity { cert, key, der: first.der.clone() };
    let [other_cert, other_key] = pair(&files.folder("mounted"));
    let paths = [clients.to_str().unwrap(), tickets.to_str().unwrap()];
    let mut options = vec!["--user", USER, "--cert", &other_cert, "--key", &other_key];
    options.extend(["--client-auth", "optional", "--client-ca", paths[0]]);
    options.extend(["--ticket-keys", paths[1]]);
    let server = Server::start_as(site, identity, &options);
    assert!(server.start_block.contains("user 65534"), "{}", server.start_block);
    assert!(!server.log().contains("cannot read it"), "{}", server.log());
    files.expect(&server, "localhost", &first);
    files.expect(&server, "other.example", &other);

    // The thread that reads them has given up as much as all others.
    let reader = of_the_reader(&server);
    assert_eq!(field(&reader, "Uid"), ["65534"; 4], "{reader}");

    // Noticed, in the folder that links led to at the start; told, in one that is new.
    let second = files.authority.issue(&["localhost"]);
    share(&second.write(&files.folder("archive/1"), "tls2").key);
    for (version, file) in [("tls2.pem", "tls.pem"), ("tls2.key", "tls.key")] {
        put_link(&format!("../archive/1/{version}"), &files.folder("live").join(file));
    }
    files.expect(&server, "localhost", &second);
    let other = files.issue("other.example", "mounted/..2");
    files.put_folder("..2");
    server.signal(Signal::HUP);
    files.expect(&server, "other.example", &other);
    fs::remove_dir_all(files.at.join("mounted/..1")).unwrap();

    // The other way about, and in place; the rest too.
    let other = files.issue("other.example", "mounted/..3");
    files.put_folder("..3");
    files.expect(&server, "other.example", &other);
    let third = files.authority.issue(&["localhost"]);
    let live = pair(&files.folder("live")).map(PathBuf::from);
    third.write_to(&live[0], &live[1]);
    let authority = Authority::new("other authority");
    authority.write(&files.at.join("clients/new"));
    fs::rename(files.at.join("clients/new"), &clients).unwrap();
    fs::write(&tickets, format!("{}E=\n", "A".repeat(42))).unwrap();
    server.signal(Signal::HUP);
    files.expect(&server, "localhost", &third);
    server.expect_logged("authorities of clients: replaced by the 1 in ", 1);
    server.expect_logged("ticket keys: replaced by the 1 in ", 1);

    refused_and_taken(&files, &server, &third);
    if server.start_block.contains("Landlock ABI") {
        outside(&files, &server);
    } else {
        skip("this kernel has no Landlock; the change of user alone was tried");
    }
}

/// A pair that the server's user cannot read is refused, with a word that helps.
fn refused_and_taken(files: &Files, server: &Server, old: &Issued) {
    let words = "Permission denied (os error 13). Let the user that runs ringway read it";
    let [cert, key] = pair(&files.folder("live")).map(PathBuf::from);
    let new = files.authority.issue(&["localhost"]);
    fs::set_permissions(key.canonicalize().unwrap(), Permissions::from_mode(0o600)).unwrap();
    new.write_to(&cert, &key);
    let line = format!("certificate: not replaced, the old one stays in use: {}: ", key.display());
    server.expect_logged(&(line.clone() + words), 1);
    assert_eq!(shown(server, "localhost", &files.client), old.der);
    server.signal(Signal::HUP);
    server.expect_logged(&(line + words), 2);
    assert_eq!(shown(server, "localhost", &files.client), old.der);
    // What the word says is all that there is to do.
    share(&key.canonicalize().unwrap());
    files.expect(server, "localhost", &new);
}

/// So is one where Landlock denies it.
fn outside(files: &Files, server: &Server) {
    let old = shown(server, "localhost", &files.client);
    files.issue("localhost", "elsewhere");
    files.put_links("elsewhere");
    server.signal(Signal::HUP);
    server.expect_logged("Put it there, or restart ringway", 1);
    assert_eq!(shown(server, "localhost", &files.client), old);
    // An own folder of a version is within the one that is allowed.
    let within = files.issue("localhost", "archive/1/2");
    files.put_links("archive/1/2");
    files.expect(server, "localhost", &within);
}

#[test]
fn a_key_that_cannot_be_read_again_is_told_at_the_start() {
    if !is_root() {
        return;
    }
    let site = Site::new();
    let files = Files::new(&site);
    let first = files.issue("localhost", "live");
    let [cert, key] = pair(&files.folder("live")).map(PathBuf::from);
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let identity = Identity { cert, key: key.clone(), der: first.der.clone() };
    let server = Server::start_as(site, identity, &["--user", USER]);
    let words = format!("{}: user 65534 (uid 65534, gid 65534) cannot read it", key.display());
    assert_eq!(server.log().matches(&words).count(), 1, "{}", server.log());
    assert_eq!(server.log().matches("cannot read it").count(), 1, "of the key alone");
    files.expect(&server, "localhost", &first);
}
