//! What clients call their requests, over HTTP/2: in the access log, among the slowest, and at an
//! upstream.

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::server::{PATIENCE, Server};
use crate::site::Site;
use crate::target::Target;
use crate::upstream::Upstream;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn ids() -> [(&'static str, String); 4] {
    [
        ("traceparent", format!("00-{TRACE}-{PARENT}-01")),
        ("tracestate", "a=b,c=d".to_owned()),
        ("x-request-id", "mine-7".to_owned()),
        ("x-other", "1".to_owned()),
    ]
}

#[test]
fn ids_of_a_stream_lead_to_its_line() {
    let logs = tempfile::tempdir().unwrap();
    let path = logs.path().join("log");
    let option = format!("--access-log={}", path.display());
    let target = Target::of(Server::start(Site::new(), &[&option]));
    let mut peer = target.connect();
    let ids = ids();
    let fields: Vec<_> = ids.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let stream = peer.ask_with("/hello.txt", &fields);
    assert_eq!(peer.answer(stream).status, 200);
    // Without them, and with two: which one counts cannot be known.
    let twice = [fields[0], fields[0]];
    for (path, more) in [("/hello.txt?none", &[][..]), ("/hello.txt?two", &twice)] {
        let stream = peer.ask_with(path, more);
        assert_eq!(peer.answer(stream).status, 200);
    }
    drop(peer);
    let until = Instant::now() + PATIENCE;
    let lines = loop {
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        if lines.len() >= 3 {
            break lines;
        }
        assert!(Instant::now() < until, "{lines:?}");
        std::thread::sleep(Duration::from_millis(20));
    };
    let line = |end: &str| lines.iter().find(|line| line.contains(end)).unwrap();
    let wanted = format!(" trace={TRACE} parent={PARENT} sampled=1 request_id=\"mine-7\" ");
    assert!(line("\"GET /hello.txt HTTP/2.0\"").contains(&wanted), "{lines:?}");
    for other in ["?none", "?two"] {
        assert!(!line(other).contains("trace="), "{lines:?}");
    }
}

#[test]
fn ids_of_a_stream_go_on_to_the_upstream() {
    let upstream = Upstream::fixed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let target = Target::of(Server::proxy(&[&upstream.address], &[]));
    let mut peer = target.connect();
    let ids = ids();
    let fields: Vec<_> = ids.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let stream = peer.ask_with("/", &fields);
    assert_eq!(peer.answer(stream).status, 200);
    let requests = upstream.requests();
    for (name, value) in &ids {
        assert_eq!(requests[0].fields(name), [value.as_str()], "{name}");
    }
}
