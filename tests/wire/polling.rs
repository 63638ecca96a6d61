//! Where io_uring is refused: the server polls and says so. The whole suite runs over epoll with
//! `RINGWAY_TEST_IO=poll`; here is how the choice is made, and that a server works under the filters
//! and on the kernels that refuse io_uring.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::symlink;
use std::process::{Command, Output};

use crate::host::skip;
use crate::hung;
use crate::identity::Identity;
use crate::proxy::upstream::Upstream;
use crate::server::{PROGRAM, Server};
use crate::site::{HELLO, Site, sha256};

/// Runs a command under a seccomp filter; it documents its rules.
const LOADER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/seccomp.py");

/// The three calls of io_uring, with the error that follows.
const IO_URING: &str = "425,426,427";

/// Calls that Linux 4.18 lacks: ENOSYS.
const LINUX_4_18: &[&str] = &["424-=38"];

/// The same as filters of container engines answered before 2020, whose default was EPERM for all that
/// they did not know; but glibc takes that for an error of clone3(2), the 435.
const OLD_ENGINE: &[&str] = &["435=38", "424-=1"];

/// A command under a filter with these rules.
fn filtered<S: AsRef<OsStr>>(rules: &[&str], command: &[S]) -> Command {
    let mut filtered = Command::new("python3");
    filtered.arg(LOADER).args(rules).arg("--").args(command);
    filtered
}

/// The program under a filter that answers all of io_uring with this error.
fn refusing(errno: i32) -> Command {
    filtered(&[&format!("{IO_URING}={errno}")], &[PROGRAM])
}

/// Whether filters can be put in place here, that of Docker too.
fn can_filter() -> bool {
    let tried = filtered(&["docker"], &["true"]).output();
    let works = tried.as_ref().is_ok_and(|output| output.status.success());
    if !works {
        let said = tried.map(|output| String::from_utf8_lossy(&output.stderr).into_owned());
        skip(&format!("no seccomp filter can be put in place, or there is no python3: {said:?}"));
    }
    works
}

fn serve_and_fail(mut command: Command, options: &[&str]) -> Output {
    let site = Site::new();
    let identity = Identity::ecdsa(site.outside());
    command.arg("serve").arg(site.root()).args(["--listen", "127.0.0.1:0", "--cert"]);
    command.arg(&identity.cert).arg("--key").arg(&identity.key).args(options);
    command.output().unwrap()
}

#[test]
fn a_host_that_refuses_io_uring_is_polled_on() {
    if !can_filter() {
        return;
    }
    // Refused as a whole, and by a filter that names one call and not the others.
    for rule in ["425,426,427=1", "425,426,427=13", "425,426,427=38", "426=1", "427=1", "427=38"] {
        let site = Site::new();
        let hash = site.noise("large", 5 << 20);
        let identity = Identity::ecdsa(site.outside());
        let program = filtered(&[rule], &[PROGRAM]);
        let mut server = Server::start_by(program, site, identity, &["--io=auto"]);
        let block = server.start_block.clone();
        assert!(block.contains("  I/O          epoll, which costs more CPU"), "{rule}: {block}");
        assert!(block.contains("; to change it: "), "{block}");
        assert!(block.contains(", disk threads "), "the memory ceiling has them: {block}");
        server.expect_logged("workers run on epoll", 1);
        let mut client = server.connect();
        assert_eq!(client.get("/hello.txt").body, HELLO);
        assert_eq!(sha256(&client.get("/large").body), hash);
        assert_eq!(client.get("/missing").status, 404);
        server.signal(rustix::process::Signal::TERM);
        client.expect_close();
        assert_eq!(server.wait().code(), Some(0));
    }
}

/// A server under this filter that has files of all kinds, hot and cold, below it and beside it.
fn serves_files(rules: &[&str], options: &[&str]) -> Server {
    let site = Site::new();
    site.file(".hidden/page", b"hidden");
    site.file("folder/index.html", b"folder");
    let small = site.noise("folder/small", 20_000);
    let large = site.noise("large", 5 << 20);
    std::fs::write(site.outside().join("secret"), b"secret").unwrap();
    for (link, target) in [
        ("link", "hello.txt"),
        ("folder/back", "../hello.txt"),
        ("to-folder", "folder"),
        ("out", "../secret"),
        ("absolute", "/etc/passwd"),
        ("to-hidden", ".hidden/page"),
        ("round", "round"),
    ] {
        symlink(target, site.root().join(link)).unwrap();
    }
    // Not in the page cache when it is asked for, where the file system lets go of it.
    let file = File::open(site.root().join("large")).unwrap();
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    let identity = Identity::ecdsa(site.outside());
    let server = Server::start_by(filtered(rules, &[PROGRAM]), site, identity, options);
    let mut client = server.connect();
    for round in 0..2 {
        assert_eq!(sha256(&client.get("/large").body), large, "round {round}");
        assert_eq!(sha256(&client.get("/folder/small").body), small, "round {round}");
        assert_eq!(client.get("/hello.txt").body, HELLO);
        assert_eq!(client.get("/folder/").body, b"folder");
        let part = client.request("GET", "/large", "Range: bytes=1000000-1000099\r\n");
        assert_eq!((part.status, part.body.len()), (206, 100));
        for (path, status) in [
            ("/missing", 404),
            ("/folder/missing", 404),
            ("/hello.txt/below", 404),
            ("/.hidden/page", 404),
            ("/out", 404),
            ("/absolute", 404),
            ("/to-hidden", 404),
            ("/round", 404),
        ] {
            assert_eq!(client.get(path).status, status, "{path}");
        }
        let follows = !options.contains(&"--no-follow");
        for path in ["/link", "/folder/back"] {
            let response = client.get(path);
            assert_eq!(response.status, if follows { 200 } else { 404 }, "{path}");
            assert!(!follows || response.body == HELLO, "{path}");
        }
        let small_by_link = client.get("/to-folder/small");
        assert_eq!(small_by_link.status, if follows { 200 } else { 404 });
        assert!(!follows || sha256(&small_by_link.body) == small);
    }
    server
}

/// A proxy under this filter.
fn passes_on(rules: &[&str]) {
    let upstream = Upstream::fixed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let site = Site::new();
    let identity = Identity::ecdsa(site.outside());
    let mut program = filtered(rules, &[PROGRAM]);
    program.args(["proxy", &upstream.address]);
    let server = Server::start_command(program, site, identity, &["--io=auto"]);
    let mut client = server.connect();
    for _ in 0..3 {
        let response = client.get("/page");
        assert_eq!((response.status, &response.body[..]), (200, &b"hello"[..]));
    }
    assert_eq!(upstream.requests().len(), 3);
}

#[test]
fn files_and_proxy_work_under_dockers_default_filter() {
    if !can_filter() {
        return;
    }
    let server = serves_files(&["docker"], &["--io=auto", "--listing"]);
    let block = &server.start_block;
    assert!(block.contains("  I/O          epoll, which costs more CPU"), "{block}");
    assert!(block.contains("seccomp") && block.contains("docker run --security-opt"), "{block}");
    // It permits the newer calls that polling uses; what the kernel itself lacks is another matter.
    assert!(!block.contains("no openat2(2)"), "{block}");
    assert!(server.connect().get("/folder/").body == b"folder");
    drop(server);
    passes_on(&["docker"]);
}

#[test]
fn files_and_proxy_work_with_the_calls_of_linux_4_18_alone() {
    if !can_filter() {
        return;
    }
    for rules in [LINUX_4_18, OLD_ENGINE] {
        for follow in [&["--io=auto"][..], &["--io=auto", "--no-follow"]] {
            let server = serves_files(rules, follow);
            let block = &server.start_block;
            assert!(block.contains("This host has no openat2(2) (Linux 5.6): "), "{block}");
            assert!(block.contains("no cachestat(2) (Linux 6.5): "), "{block}");
        }
        passes_on(rules);
        let doctor = filtered(rules, &[PROGRAM, "doctor"]).output().unwrap();
        let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert_eq!(doctor.status.code(), Some(0), "{said}");
        assert!(said.contains("  no    openat2(2) ") && said.contains("on epoll"), "{said}");
    }
    // A kernel between the two, or the filter of an engine that is between them.
    let server = serves_files(&["451=38"], &["--io=poll"]);
    let block = &server.start_block;
    assert!(block.contains("(--io poll). This host has no cachestat(2)"), "{block}");
}

/// Without openat2(2) every open passes through a thread: those of a dead disk hold up no others.
#[test]
fn a_disk_that_does_not_answer_is_apart_with_the_calls_of_linux_4_18_alone() {
    if !can_filter() {
        return;
    }
    let site = Site::new();
    let identity = Identity::ecdsa(site.outside());
    let program = filtered(LINUX_4_18, &[PROGRAM]);
    hung::costs_a_503_and_nothing_else(Server::start_by(program, site, identity, &hung::OPTIONS));
}

#[test]
fn what_the_operator_can_raise_is_no_reason_to_poll() {
    if !can_filter() {
        return;
    }
    let errors = [
        (libc::ENOMEM, "LimitMEMLOCK"),
        (libc::EMFILE, "LimitNOFILE"),
        (libc::ENFILE, "LimitNOFILE"),
        (libc::ENOBUFS, "LimitMEMLOCK"),
        (libc::EINVAL, "a ring cannot be made"),
        (libc::EAGAIN, "a ring cannot be made"),
        (libc::EBUSY, "a ring cannot be made"),
    ];
    for (errno, remedy) in errors {
        let output = serve_and_fail(refusing(errno), &["--io=auto"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(remedy) && !said.contains("epoll"), "{said}");
        assert!(output.stdout.is_empty(), "no start block without a start");
    }
}

#[test]
fn a_limit_on_descriptors_or_memory_is_no_reason_to_poll() {
    let limited = |limit: &str, command: &[&str]| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{limit} && exec \"$0\" \"$@\""), PROGRAM]).args(command);
        shell
    };
    if refuses_io_uring() {
        return skip("this host refuses io_uring itself");
    }
    // Some of these limits meet the probe's rings and sockets, others what is opened after them.
    let mut met = 0;
    for descriptors in 4..16 {
        let mut doctor = limited(&format!("ulimit -n {descriptors}"), &["doctor"]);
        let output = doctor.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!said.contains("on epoll"), "{descriptors}: {said}");
        met += usize::from(said.contains("no descriptor is left for a ring"));
    }
    assert!(met > 1, "limits meet the rings and the connections of the probe");
    // Address space: what a ring's queues are mapped into.
    for kilobytes in [60_000, 80_000, 100_000, 150_000] {
        let mut doctor = limited(&format!("ulimit -v {kilobytes}"), &["doctor"]);
        let said = doctor.output().unwrap();
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(!said.contains("on epoll"), "{kilobytes} KiB: {said}");
    }
    // Locked memory is a limit for a ring on kernels before 5.12 only; then it is ENOMEM.
    let mut doctor = limited("ulimit -l 0", &["doctor"]);
    let said = doctor.output().unwrap();
    assert!(!String::from_utf8_lossy(&said.stdout).contains("on epoll"));
}

/// Whether this very host refuses io_uring, as a container may.
fn refuses_io_uring() -> bool {
    let doctor = Command::new(PROGRAM).arg("doctor").output().unwrap();
    String::from_utf8_lossy(&doctor.stdout).contains("on epoll")
}

#[test]
fn who_wants_a_ring_gets_one_or_an_error() {
    if !can_filter() {
        return;
    }
    let output = serve_and_fail(refusing(libc::EPERM), &["--io=ring"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("io_uring is refused to this process"), "{said}");
    assert!(output.stdout.is_empty(), "no start block without a start");
}

#[test]
fn the_doctor_says_that_it_would_poll() {
    if !can_filter() {
        return;
    }
    let output = refusing(libc::EPERM).arg("doctor").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("on epoll") && said.contains("seccomp"), "{said}");
}

#[test]
fn who_wants_to_poll_does_and_reports_say_so() {
    let server = Server::plain(&["--io=poll", "--admin=127.0.0.1:0"]);
    let block = &server.start_block;
    assert!(block.contains("  I/O          epoll, as asked for (--io poll)"), "{block}");
    assert!(!server.log().contains("workers run on"), "nobody is warned of what was asked for");
    assert_eq!(server.connect().get("/hello.txt").body, HELLO);
    let tasks = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap();
    let rings = tasks
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|link| link.to_string_lossy().contains("io_uring"))
        .count();
    assert_eq!(rings, 0, "no ring was left open");
}

/// The switch of the host itself, in a guest that nobody shares: `RINGWAY_OWN_HOST=1` says so. It is
/// for all processes, so nothing else may run: ignored unless it is asked for by name.
#[test]
#[ignore = "it switches io_uring off for the whole host"]
fn io_uring_switched_off_for_the_host_is_polled_around() {
    const SWITCH: &str = "/proc/sys/kernel/io_uring_disabled";
    if std::env::var_os("RINGWAY_OWN_HOST").is_none_or(|value| value != "1") {
        return skip("RINGWAY_OWN_HOST=1 does not say that this host is the test's own");
    }
    let Ok(before) = std::fs::read_to_string(SWITCH) else {
        return skip("kernel.io_uring_disabled is there from Linux 6.6 on");
    };
    std::fs::write(SWITCH, "2").unwrap();
    let server = std::panic::catch_unwind(|| serves_files(&[], &["--io=auto"]));
    let refused = serve_and_fail(Command::new(PROGRAM), &["--io=ring"]);
    // It cannot be switched on again on some kernels, which is for the guest's end to mend.
    let _ = std::fs::write(SWITCH, before);
    let block = server.expect("it serves").start_block.clone();
    assert!(block.contains("epoll, which costs more CPU"), "{block}");
    assert!(block.contains("kernel.io_uring_disabled is 2"), "{block}");
    assert!(block.contains("sudo sysctl kernel.io_uring_disabled=0"), "{block}");
    assert_eq!(refused.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("kernel.io_uring_disabled is 2"));
}
