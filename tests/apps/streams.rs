//! Many open streams of events: what one takes of the memory of a server in a process of its own.

use std::{
    convert::Infallible,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use axum::{
    Router,
    response::sse::{Event, KeepAlive, Sse},
    routing::get,
};
use ringway::config::Config;

use super::{
    client::Client,
    leaving::until,
    server::{client_config, configured},
};

/// The test that is the server, in a process that has [`SERVER`].
const SERVER_TEST: &str = "streams::in_a_process_of_its_own";

/// Says how many streams the server has to hold.
const SERVER: &str = "RINGWAY_STREAMS_SERVER";

/// Streams that are opened, and do not count: pools and tables grow while they are.
const WARM: usize = 200;

/// KiB of user memory for a stream of events over HTTP/1.1, at most: its connection, its exchange, its
/// request, and the stream of axum.
const STREAM_KIB: usize = 16;

/// How long a client may take for its handshake and its request.
const PATIENCE: Duration = Duration::from_secs(300);

fn limits(streams: usize) -> Config {
    let mut config = Config::default();
    config.limits.connections = streams + WARM + 10;
    config.limits.handshakes = 64;
    config.limits.file_cache_entries = 64;
    // The clients of a busy machine may wait for a processor before they speak.
    (config.timeouts.handshake, config.timeouts.head) = (PATIENCE, PATIENCE);
    config
}

/// Not a test of itself: the server of the others, until its standard input ends.
#[test]
fn in_a_process_of_its_own() {
    let Ok(streams) = std::env::var(SERVER) else { return };
    let events = || async {
        let never = tokio_stream::pending::<Result<Event, Infallible>>();
        Sse::new(never).keep_alive(KeepAlive::default())
    };
    let app = Router::new().route("/events", get(events));
    let config = limits(streams.parse().unwrap());
    let server = configured(config, |builder| builder.service(app));
    println!("\n{}", server.address());
    let _ = std::io::stdin().read(&mut [0]);
    assert_eq!(server.end().defects, 0);
}

struct Server {
    child: Child,
    address: SocketAddr,
    _output: BufReader<ChildStdout>,
}

impl Server {
    fn start(streams: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([SERVER_TEST, "--exact", "--nocapture"])
            .env(SERVER, streams.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let address = loop {
            let mut line = String::new();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "the server has not begun");
            if let Ok(address) = line.trim().parse() {
                break address;
            }
        };
        Self { child, address, _output: output }
    }

    /// KiB of memory that is no file's.
    fn anonymous_kib(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_open_stream_of_events_takes_little_memory() {
    // The nightly run has 10,000.
    let streams = std::env::var("RINGWAY_EVENT_STREAMS").ok();
    let streams: usize = streams.map_or(300, |streams| streams.parse().expect("a number"));
    let mut server = Server::start(streams);
    let tls = client_config();
    let open = |count: usize| -> Vec<Client> {
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            let mut client = Client::to(server.address, tls.clone());
            client.send(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let head = client.read_until(b"\r\n\r\n");
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            clients.push(client);
        }
        clients
    };
    let resting = server.descriptors();
    let warm = open(WARM);
    let before = server.anonymous_kib();
    let held = open(streams);
    let all = server.anonymous_kib();
    let kib = all.saturating_sub(before).div_ceil(streams);
    let promised = |streams| limits(streams).memory_ceiling(1).total() >> 10;
    let each = (promised(2 * streams) - promised(streams)) / streams as u64;
    println!(
        "one of {streams} open event streams takes {kib} KiB; the ceiling has {each} KiB for it"
    );
    assert!(kib <= STREAM_KIB, "{kib} KiB for each of {streams} streams");
    assert!(kib as u64 <= each && (all as u64) < promised(streams), "{all} KiB in all");
    // All leave at once: the server has nothing of them left.
    drop((warm, held));
    until(|| server.descriptors() <= resting);
    server.child.stdin.take().unwrap().write_all(b"x").unwrap();
    assert!(server.child.wait().unwrap().success(), "the server has found no defect");
}
