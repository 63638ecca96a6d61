//! What the access log says of requests that were passed on.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use super::{
    ask,
    upstream::{Then, Upstream},
};
use crate::server::{PATIENCE, Server};

/// The lines of the log, once there are so many.
pub(super) fn lines(log: &std::path::Path, count: usize) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // It is not there before the first line.
        let text = fs::read_to_string(log).unwrap_or_default();
        if text.matches('\n').count() >= count {
            return text.lines().map(str::to_owned).collect();
        }
        assert!(Instant::now() < deadline, "{text}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn server_tries_and_reason_are_logged() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let upstream = Upstream::start(|_, stream| {
        use std::io::Write;
        let _ = stream.write_all(b"HTTP/1.1 404 x\r\nContent-Length: 2\r\n\r\nok");
        Then::Continue
    });
    let options = ["--access-log", log.to_str().unwrap()];
    let server = Server::proxy(&[&upstream.address], &options);
    let mut client = server.connect();
    for _ in 0..2 {
        assert_eq!(ask(&mut client, "GET", "/", "", b"").head.status, 404);
    }
    let named = format!("upstream=\"app {}\" tries=1", upstream.address);
    for (line, rest) in lines(&log, 2).iter().zip(["reused=0", "reused=1"]) {
        assert!(line.contains(&format!("{named} {rest} by=upstream")), "{line}");
        assert!(line.contains(" upstream_us="), "{line}");
        assert!(!line.contains(" reason="), "{line}");
    }
}

#[test]
fn a_server_that_refuses_is_logged_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let reserved = crate::port::Reserved::new();
    let nobody = format!("127.0.0.1:{}", reserved.number);
    let options = ["--access-log", log.to_str().unwrap(), "--tries", "1"];
    let server = Server::proxy(&[&nobody], &options);
    assert_eq!(ask(&mut server.connect(), "GET", "/", "", b"").head.status, 502);
    let expected = format!(
        "upstream=\"app http://{nobody}\" tries=2 reused=0 by=ringway reason=connection_refused"
    );
    let line = &lines(&log, 1)[0];
    assert!(line.contains(&expected), "{line}");
}
