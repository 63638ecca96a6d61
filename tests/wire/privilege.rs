//! What the server gives up, seen from outside and by what it can no longer do.

use std::cell::RefCell;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::process::Signal;

use crate::client::{Client, ClientOptions};
use crate::host::skip;
use crate::identity::Identity;
use crate::server::{PATIENCE, PROGRAM, Server};
use crate::site::{HELLO, Site};

/// A user that owns nothing, by number: not every host has a name for it.
pub(crate) const NOBODY: u32 = 65_534;
pub(crate) const USER: &str = "65534:65534";

pub(crate) fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if root {
        one_at_a_time();
    } else {
        skip("only root can become another user");
    }
    root
}

/// Keeps other tests whose servers are of the same user from running until this one ends: the locked
/// memory of a user is counted together, and its limit may be small.
fn one_at_a_time() {
    static TURN: Mutex<()> = Mutex::new(());
    thread_local! {
        static HELD: RefCell<Option<MutexGuard<'static, ()>>> = const { RefCell::new(None) };
    }
    HELD.with_borrow_mut(|held| {
        held.get_or_insert_with(|| TURN.lock().unwrap_or_else(PoisonError::into_inner));
    });
}

/// A site that everyone may enter, with a folder that is the other user's, and a key that is not.
fn open_site() -> (Site, Identity, PathBuf) {
    let site = Site::new();
    fs::set_permissions(site.outside(), fs::Permissions::from_mode(0o755)).unwrap();
    let own = site.outside().join("own");
    fs::create_dir(&own).unwrap();
    chown(&own, Some(NOBODY), Some(NOBODY)).unwrap();
    let identity = Identity::ecdsa(site.outside());
    fs::set_permissions(&identity.key, fs::Permissions::from_mode(0o600)).unwrap();
    (site, identity, own)
}

/// The text of a file of every thread of the server.
pub(crate) fn of_every_thread(server: &Server, name: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join(name)).ok()).collect()
}

pub(crate) fn field<'t>(status: &'t str, name: &str) -> Vec<&'t str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).split_whitespace().collect()
}

/// Waits until something is so.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// A port below 1024 that nobody listens on.
fn privileged_port() -> u16 {
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (600..1_000).rev().find(free).expect("a free port below 1024")
}

#[test]
fn the_drop_is_whole() {
    if !is_root() {
        return;
    }
    let (site, identity, _) = open_site();
    site.noise("large", 3_000_000);
    fs::set_permissions(site.file("secret.txt", b"x"), fs::Permissions::from_mode(0o600)).unwrap();
    let port = privileged_port();
    let address = format!("127.0.0.1:{port}");
    let server = Server::start_as(site, identity, &["--listen", &address, "--user", USER]);
    let said = &server.start_block;
    assert!(said.contains("user 65534 (uid 65534, gid 65534); "), "{said}");
    assert!(said.contains("no core dumps"), "{said}");

    // The ring works: connections, files from the cache and from the disk.
    let config = ClientOptions::default().config(&server.identity);
    let mut client = Client::connect(port, config).unwrap();
    assert_eq!(client.get("/hello.txt").body, HELLO);
    assert_eq!(client.get("/large").body.len(), 3_000_000);
    // What the user may not read is forbidden, and nobody falls over it.
    assert_eq!(client.get("/secret.txt").status, 403);
    assert_eq!(client.get("/hello.txt").body, HELLO);

    let threads = of_every_thread(&server, "status");
    assert!(threads.len() >= 3, "main, and two workers");
    for status in &threads {
        assert_eq!(field(status, "Uid"), ["65534"; 4], "{status}");
        assert_eq!(field(status, "Gid"), ["65534"; 4], "{status}");
        assert_eq!(field(status, "Groups"), ["65534"], "{status}");
        assert_eq!(field(status, "NoNewPrivs"), ["1"], "{status}");
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(field(status, set), ["0000000000000000"], "{status}");
        }
    }
    // Below /proc it is root's: others of its user can neither trace it nor read its memory.
    assert_eq!(fs::metadata(format!("/proc/{}/environ", server.pid())).unwrap().uid(), 0);
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}

#[test]
fn what_is_made_is_made_as_the_user() {
    if !is_root() {
        return;
    }
    let (site, identity, own) = open_site();
    let (log, socket) = (own.join("access.log"), own.join("admin.sock"));
    let admin = format!("unix:{}", socket.display());
    let options = ["--user", USER, "--admin", &admin, "--access-log", log.to_str().unwrap()];
    let mut server = Server::start_as(site, identity, &options);
    for path in [&log, &socket] {
        let made = fs::metadata(path).unwrap();
        assert_eq!((made.uid(), made.gid()), (NOBODY, NOBODY), "{}", path.display());
    }
    assert_eq!(server.connect().get("/hello.txt").body, HELLO);
    // Figures of the kernel are read when they are asked for.
    let mut asked = UnixStream::connect(&socket).unwrap();
    asked.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut metrics = String::new();
    asked.read_to_string(&mut metrics).unwrap();
    assert!(metrics.contains("ringway_host_listen_drops_total"), "{metrics}");

    fs::rename(&log, own.join("old.log")).unwrap();
    server.signal(Signal::USR1);
    until("the log is not opened anew", || {
        assert_eq!(server.connect().get("/hello.txt").body, HELLO);
        fs::metadata(&log).is_ok_and(|log| log.len() > 0)
    });
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    assert!(!socket.exists(), "the socket is taken away at the end");
}

/// Runs the program to its end as some user.
fn serve_as(
    uid: Option<u32>,
    site: &Site,
    identity: &Identity,
    options: &[&str],
) -> Option<Output> {
    let mut command = Command::new(PROGRAM);
    command.arg("serve").arg(site.root()).args(["--listen", "127.0.0.1:0", "--workers", "1"]);
    command.arg("--cert").arg(&identity.cert).arg("--key").arg(&identity.key).args(options);
    if let Some(uid) = uid {
        command.uid(uid).gid(uid);
    }
    command.output().ok()
}

fn refused(output: &Output, code: i32, says: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(says), "{said}");
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty(), "no start block without a start");
}

#[test]
fn users_that_cannot_be_are_refused_with_a_word() {
    if !is_root() {
        return;
    }
    let (site, identity, _) = open_site();
    let refuses = |user: &str, says: &str| {
        refused(&serve_as(None, &site, &identity, &["--user", user]).unwrap(), 2, says);
    };
    refuses("no-such-user", "useradd");
    refuses("0:65534", "gives up nothing");
    refuses("65534:no-such-group", "groupadd");
    fs::set_permissions(site.root(), fs::Permissions::from_mode(0o700)).unwrap();
    refuses(USER, "cannot enter the folder");
}

/// `sudo -E` keeps the user's variables, and what is below them is the user's.
#[test]
fn root_writes_no_certificate_where_a_user_leads_it() {
    if !is_root() {
        return;
    }
    let (site, _, own) = open_site();
    let of_root = site.outside().join("of-root");
    fs::create_dir(&of_root).unwrap();
    let link = own.join(".local");
    symlink(&of_root, &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(NOBODY), Some(NOBODY)).unwrap();
    let mut child = Command::new(PROGRAM)
        .args(["serve", "--listen", "127.0.0.1:0", "--workers", "1", "--user", USER])
        .arg(site.root())
        .env("HOME", &own)
        .env("XDG_STATE_HOME", own.join(".local/state"))
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut block = String::new();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap());
    while !block.contains("  stop ")
        && std::io::BufRead::read_line(&mut lines, &mut block).is_ok_and(|read| read > 0)
    {}
    let _ = child.kill();
    let _ = child.wait();
    assert!(block.contains("certificate  in memory alone"), "{block}");
    assert!(block.contains("try          curl -k https://localhost"), "{block}");
    assert_eq!(fs::read_dir(&of_root).unwrap().count(), 0, "root has followed the link");
}

#[test]
fn who_is_not_root_cannot_become_another() {
    let (site, identity, as_user) = if rustix::process::geteuid().is_root() {
        one_at_a_time();
        let (site, identity, _) = open_site();
        fs::set_permissions(&identity.key, fs::Permissions::from_mode(0o644)).unwrap();
        (site, identity, Some(NOBODY))
    } else {
        let site = Site::new();
        let identity = Identity::ecdsa(site.outside());
        (site, identity, None)
    };
    match serve_as(as_user, &site, &identity, &["--user", "1:1"]) {
        Some(output) => refused(&output, 2, "only root can become another user"),
        None => skip("another user cannot run the program where it lies"),
    }
}

#[test]
fn dumps_and_debuggers_are_let_in_when_asked_for() {
    let server = Server::plain(&["--core-dumps"]);
    assert!(server.start_block.contains("core dumps allowed"), "{}", server.start_block);
    let environ = fs::metadata(format!("/proc/{}/environ", server.pid())).unwrap();
    assert_eq!(environ.uid(), rustix::process::geteuid().as_raw());
    if !is_root() {
        return;
    }
    let (site, identity, _) = open_site();
    let server = Server::start_as(site, identity, &["--core-dumps", "--user", USER]);
    let environ = fs::metadata(format!("/proc/{}/environ", server.pid())).unwrap();
    assert_eq!(environ.uid(), NOBODY, "also after the change of user, which resets it");
}

#[test]
fn root_is_told_once_that_it_need_not_be() {
    if !is_root() {
        return;
    }
    let server = Server::plain(&[]);
    assert_eq!(server.log().matches("running as root").count(), 1, "{}", server.log());
    let (site, identity, _) = open_site();
    let server = Server::start_as(site, identity, &["--user", USER]);
    assert!(!server.log().contains("running as root"), "{}", server.log());
}

/// A server whose log is a link out of its folder: whether it may follow it is up to Landlock.
fn follows_the_log_out(landlock: &str) -> Option<bool> {
    let site = Site::new();
    let (logs, other) = (site.outside().join("logs"), site.outside().join("other"));
    fs::create_dir(&logs).unwrap();
    fs::create_dir(&other).unwrap();
    let log = logs.join("access.log");
    let options = ["--access-log", log.to_str().unwrap(), "--landlock", landlock];
    let server = Server::start(site, &options);
    if landlock != "off" && !server.start_block.contains("Landlock ABI") {
        return None;
    }
    fs::remove_file(&log).unwrap();
    symlink(other.join("file"), &log).unwrap();
    server.signal(Signal::USR1);
    let followed = || other.join("file").exists();
    until("the log is neither opened nor refused", || {
        followed() || server.log().contains("it cannot be opened anew: Permission denied")
    });
    assert_eq!(server.connect().get("/hello.txt").body, HELLO);
    Some(followed())
}

#[test]
fn landlock_keeps_the_process_to_its_files() {
    assert_eq!(follows_the_log_out("off"), Some(true));
    match follows_the_log_out("auto") {
        Some(followed) => assert!(!followed),
        None => skip("this kernel has no Landlock"),
    }
}

#[test]
fn every_thread_is_confined_where_the_kernel_can() {
    let server = Server::plain(&[]);
    let said = server.start_block.lines().find(|line| line.contains("privileges")).unwrap();
    if !said.contains("Landlock ABI") {
        return skip(&format!("this kernel has no Landlock: {said}"));
    }
    // Landlock demands it of a process that confines itself, and it is inherited like the domain.
    for status in of_every_thread(&server, "status") {
        assert_eq!(field(&status, "NoNewPrivs"), ["1"], "{status}");
    }
    // Everything that it does at run time is still possible: files, folders, statistics.
    server.site.file("folder/file.txt", b"x");
    assert_eq!(server.connect().get("/folder/file.txt").body, b"x");
    assert_eq!(server.connect().get("/folder/none.txt").status, 404);
}

/// The scheduler's figures of a thread are files below `/proc` that are there only once it runs.
#[test]
fn what_workers_are_asked_about_themselves_can_be_read_when_confined() {
    let site = Site::new();
    let identity = Identity::ecdsa(site.outside());
    let socket = site.outside().join("admin.sock");
    let admin = format!("--admin=unix:{}", socket.display());
    let server = Server::start_as(site, identity, &[&admin]);
    server.connect().get("/hello.txt");
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(b"GET /anatomy.json HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    for figure in ["cpu_ns", "cpu_wait_ns", "kernel_workers"] {
        assert!(answer.contains(&format!("\"{figure}\":")), "{figure}: {answer}");
        assert!(!answer.contains(&format!("\"{figure}\":null")), "{figure}: {answer}");
    }
}

#[test]
fn landlock_that_is_demanded_is_there_or_an_error() {
    let site = Site::new();
    let identity = Identity::ecdsa(site.outside());
    if Server::plain(&[]).start_block.contains("Landlock ABI") {
        let server = Server::start_as(site, identity, &["--landlock", "on"]);
        assert_eq!(server.connect().get("/hello.txt").body, HELLO);
    } else {
        let output = serve_as(None, &site, &identity, &["--landlock", "on"]).unwrap();
        refused(&output, 3, "Landlock was demanded");
    }
}

/// Every log level, the access log, the start block, the doctor: nowhere is a byte of the key.
#[test]
fn the_private_key_is_never_told() {
    let site = Site::new();
    let log = site.outside().join("access.log");
    let options = ["--log-level", "trace", "--access-log", log.to_str().unwrap()];
    let mut server = Server::start(site, &options);
    assert_eq!(server.connect().get("/hello.txt").body, HELLO);
    let mut plain = crate::client::connect(server.port).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    crate::client::drain(&mut plain);
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    let key = fs::read_to_string(&server.identity.key).unwrap();
    let told = server.start_block.clone() + &server.log() + &read(&log);
    assert!(told.contains("hello.txt"), "{told}");
    let body: String = key.lines().filter(|line| !line.starts_with("-----")).collect();
    assert!(body.len() > 100, "{key}");
    for piece in body.as_bytes().windows(16) {
        let piece = std::str::from_utf8(piece).unwrap();
        assert!(!told.contains(piece), "a piece of the key is printed");
    }
    // A key with something wrong in it is refused without being shown.
    let damaged = key.replacen('A', "*", 1);
    fs::write(&server.identity.key, &damaged).unwrap();
    let output = serve_as(None, &server.site, &server.identity, &[]).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for line in damaged.lines().filter(|line| !line.starts_with("-----")) {
        assert!(!said.contains(&line[..16.min(line.len())]), "{said}");
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}
