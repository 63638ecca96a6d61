//! Where io_uring is refused: the server polls and says so. The whole suite runs over epoll with
//! `RINGWAY_TEST_IO=poll`; here is how the choice is made.

use std::process::{Command, Output};

use crate::host::skip;
use crate::identity::Identity;
use crate::server::{PROGRAM, Server};
use crate::site::{HELLO, Site, sha256};

/// Puts a seccomp filter in place that answers the three calls of io_uring with an error, as the
/// default filters of container engines do, and runs the rest of its command line.
const LOADER: &str = r"
import ctypes, os, struct, sys
code = [(0x20, 0, 0, 0), (0x15, 3, 0, 425), (0x15, 2, 0, 426), (0x15, 1, 0, 427),
        (0x06, 0, 0, 0x7fff0000), (0x06, 0, 0, 0x00050000 | int(sys.argv[1]))]
code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *line) for line in code))
program = struct.pack('HP', 6, ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.create_string_buffer(program), 0, 0):
    sys.exit('no seccomp filter: ' + os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[2], sys.argv[2:])
";

/// The program under a filter that answers with this error.
fn filtered(errno: i32) -> Command {
    let mut command = Command::new("python3");
    command.args(["-c", LOADER, &errno.to_string()]);
    command
}

/// Whether a filter can be put in place here.
fn can_filter() -> bool {
    let tried = filtered(1).arg("true").output();
    let works = tried.is_ok_and(|output| output.status.success());
    if !works {
        skip("no seccomp filter can be put in place, or there is no python3");
    }
    works
}

fn serve_and_fail(errno: i32, options: &[&str]) -> Output {
    let site = Site::new();
    let identity = Identity::ecdsa(site.outside());
    let mut command = filtered(errno);
    command.args([PROGRAM, "serve"]).arg(site.root()).args(["--listen", "127.0.0.1:0", "--cert"]);
    command.arg(&identity.cert).arg("--key").arg(&identity.key).args(options);
    command.output().unwrap()
}

#[test]
fn a_host_that_refuses_io_uring_is_polled_on() {
    if !can_filter() {
        return;
    }
    for errno in [libc::EPERM, libc::EACCES, libc::ENOSYS] {
        let site = Site::new();
        let hash = site.noise("large", 5 << 20);
        let identity = Identity::ecdsa(site.outside());
        let mut program = filtered(errno);
        program.arg(PROGRAM);
        let mut server = Server::start_by(program, site, identity, &["--io=auto"]);
        let block = server.start_block.clone();
        assert!(block.contains("  I/O          epoll, which costs more CPU"), "{block}");
        assert!(block.contains("; to change it: "), "{block}");
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

#[test]
fn what_the_operator_can_raise_is_no_reason_to_poll() {
    if !can_filter() {
        return;
    }
    for (errno, remedy) in [(libc::ENOMEM, "LimitMEMLOCK"), (libc::EMFILE, "LimitNOFILE")] {
        let output = serve_and_fail(errno, &["--io=auto"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(remedy) && !said.contains("epoll"), "{said}");
    }
}

#[test]
fn who_wants_a_ring_gets_one_or_an_error() {
    if !can_filter() {
        return;
    }
    let output = serve_and_fail(libc::EPERM, &["--io=ring"]);
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
    let output = filtered(libc::EPERM).args([PROGRAM, "doctor"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("on epoll") && said.contains("seccomp"), "{said}");
}

#[test]
fn who_wants_to_poll_does_and_reports_say_so() {
    let server = Server::plain(&["--io=poll", "--admin=127.0.0.1:0"]);
    let block = &server.start_block;
    assert!(block.contains("  I/O          epoll, as asked for (--io poll)\n"), "{block}");
    assert!(!server.log().contains("workers run on"), "nobody is warned of what was asked for");
    assert_eq!(server.connect().get("/hello.txt").body, HELLO);
    let tasks = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap();
    let rings = tasks
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|link| link.to_string_lossy().contains("io_uring"))
        .count();
    assert_eq!(rings, 0, "no ring was left open");
}
