//! The served folder is replaced while it is served: by a link that is put elsewhere, or by another
//! folder of its name.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Instant;

use rustix::process::Signal;

use crate::identity::Identity;
use crate::server::{PATIENCE, Server};
use crate::site::Site;

/// A site of two releases, the first of which is served by a link.
fn releases() -> (Site, PathBuf) {
    let site = Site::new();
    let (root, beside) = (site.root(), site.outside().join("releases"));
    fs::create_dir(&beside).unwrap();
    fs::rename(&root, beside.join("1")).unwrap();
    fs::create_dir(beside.join("2")).unwrap();
    fs::write(beside.join("1/version"), b"one").unwrap();
    fs::write(beside.join("2/version"), b"two").unwrap();
    symlink("releases/1", &root).unwrap();
    (site, beside)
}

/// Waits until every worker serves this.
fn expect(server: &Server, version: &[u8]) {
    let deadline = Instant::now() + PATIENCE;
    let mut agreed = 0;
    // Connections are spread over the workers by chance.
    while agreed < 12 {
        assert!(
            Instant::now() < deadline,
            "{} is not served\n{}",
            version.escape_ascii(),
            server.log()
        );
        let served = server.connect().get("/version");
        if served.status == 200 && served.body == version {
            agreed += 1;
        } else {
            agreed = 0;
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

#[test]
fn a_link_that_leads_elsewhere_is_followed_within_landlock_too() {
    let (site, _) = releases();
    let server = Server::start(site, &[]);
    expect(&server, b"one");
    let (root, new) = (server.site.root(), server.site.outside().join("new"));
    symlink("releases/2", &new).unwrap();
    fs::rename(&new, &root).unwrap();
    expect(&server, b"two");
    assert_eq!(server.log().matches("which is served from here on").count(), 1);
    // At once, on a signal.
    symlink("releases/1", &new).unwrap();
    fs::rename(&new, &root).unwrap();
    server.signal(Signal::HUP);
    expect(&server, b"one");
}

#[test]
fn a_folder_that_takes_the_place_of_another_is_served_unless_landlock_denies_it() {
    for landlock in ["off", "auto"] {
        let site = Site::new();
        let socket = site.outside().join("admin.sock");
        let admin = format!("unix:{}", socket.display());
        let root = site.root();
        fs::write(root.join("version"), b"one").unwrap();
        // What is read again stays readable with all that is beside it.
        let keys = site.outside().join("keys");
        fs::create_dir(&keys).unwrap();
        let identity = Identity::ecdsa(&keys);
        let options = ["--landlock", landlock, "--admin", &admin];
        let server = Server::start_as(site, identity, &options);
        let metric = |line: &str| {
            let mut asked = UnixStream::connect(&socket).unwrap();
            asked.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            let mut metrics = String::new();
            asked.read_to_string(&mut metrics).unwrap();
            metrics.lines().any(|found| found == line)
        };
        expect(&server, b"one");
        assert!(metric("ringway_root_missing 0.0"));
        fs::rename(&root, server.site.outside().join("old")).unwrap();
        server.expect_logged("is gone", 1);
        assert!(metric("ringway_root_missing 1.0"));
        expect(&server, b"one");
        let new = server.site.outside().join("new");
        fs::create_dir(&new).unwrap();
        fs::write(new.join("version"), b"two").unwrap();
        fs::rename(&new, &root).unwrap();
        if server.start_block.contains("Landlock ABI") {
            server.expect_logged("Landlock leaves to ringway the folder of the start", 1);
            expect(&server, b"one");
        } else {
            expect(&server, b"two");
            assert!(metric("ringway_root_replaced_total 1"));
        }
    }
}
