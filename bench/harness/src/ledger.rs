//! Ringway's own account of the bytes it moves and of the system calls it makes, from its metrics
//! (`--admin`).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long the metrics may take to come.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes copied or enciphered for each byte of a body so far, if the server on the loopback's `port`
/// tells.
pub(crate) fn moved_per_byte(port: u16) -> Option<f64> {
    moved(&metrics(port)?)
}

/// What a server has done so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Done {
    /// System calls of its rings. What prepares a connection (setsockopt(2)) is not among them.
    pub(crate) calls: f64,
    pub(crate) requests: f64,
}

/// What the server on the loopback's `port` has done so far, if it says so.
pub(crate) fn done(port: u16) -> Option<Done> {
    let metrics = metrics(port)?;
    let requests = sum(&metrics, "worker_requests_total", &|_| true);
    let calls = sum(&metrics, "ring_system_calls_total", &|_| true);
    (calls > 0.0).then_some(Done { calls, requests })
}

fn metrics(port: u16) -> Option<String> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    socket.write_all(request).ok()?;
    let mut text = Vec::new();
    // What has come by then is looked at, however the connection ends.
    let _ = socket.read_to_end(&mut text);
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// The sum of those lines of a counter that are wanted.
fn sum(metrics: &str, name: &str, wanted: &dyn Fn(&str) -> bool) -> f64 {
    metrics
        .lines()
        .filter(|line| line.split_once('{').is_some_and(|(counter, _)| counter.ends_with(name)))
        .filter(|line| wanted(line))
        .filter_map(|line| line.rsplit(' ').next()?.trim().parse::<f64>().ok())
        .sum()
}

/// The sums of two counters, one by the other.
fn moved(metrics: &str) -> Option<f64> {
    let payload = sum(metrics, "payload_bytes_total", &|_| true);
    // What comes in is little, and no body.
    let moved = sum(metrics, "moved_bytes_total", &|line| !line.contains("/receive\""));
    (payload > 0.0).then(|| moved / payload)
}

#[cfg(test)]
mod tests {
    use super::{moved, sum};

    #[test]
    fn the_ledger_is_read() {
        let metrics = "HTTP/1.1 200 OK\r\n\r\n# TYPE ringway_payload_bytes counter\n\
            ringway_payload_bytes_total{path=\"a\"} 100\nringway_payload_bytes_total{path=\"b\"} 0\n\
            ringway_moved_bytes_total{path=\"a\",kind=\"copy\"} 150\n\
            ringway_moved_bytes_total{path=\"user_tls/receive\",kind=\"copy\"} 70\n\
            ringway_moved_bytes_total{path=\"a\",kind=\"cipher\"} 100\n";
        assert_eq!(moved(metrics), Some(2.5));
        assert_eq!(moved("ringway_payload_bytes_total{path=\"a\"} 0\n"), None);
    }

    #[test]
    fn calls_of_all_kinds_and_workers_are_added_up() {
        let metrics = "ringway_ring_system_calls_total{worker=\"0\",call=\"recv\"} 7\n\
            ringway_ring_system_calls_total{worker=\"1\",call=\"send\"} 5\n\
            ringway_worker_requests_total{worker=\"0\"} 3\n";
        let sum = sum(metrics, "ring_system_calls_total", &|_| true);
        assert!((sum - 12.0).abs() < f64::EPSILON);
    }
}
