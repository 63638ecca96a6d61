//! Many tunnels at a time. `scripts/nightly` has more.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::mpsc,
    thread,
};

use super::upstream::read_head;
use crate::{configured::Configured, server::PATIENCE};

/// A number from the environment, for longer runs.
pub(super) fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// KiB of a process that are no file's.
fn anonymous_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let of = |name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    of("RssAnon:") + of("RssShmem:")
}

/// Memory of a tunnel on which nobody speaks, in user space, at most: two connections, an exchange, and
/// what TLS keeps.
const TUNNEL_KIB: u64 = 32;

#[test]
fn idle_tunnels_take_little_memory_and_all_of_them_live() {
    let count = number("RINGWAY_TUNNELS", 120);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (send, tunnels) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().take(count) {
            let mut stream = stream.unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            read_head(&mut stream).unwrap();
            let answer = "HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            stream.write_all(answer.as_bytes()).unwrap();
            send.send(stream).unwrap();
        }
    });
    // Half of a worker's connections may be tunnels, and either worker may get all of them.
    let most = 2 * count + 64;
    let server = Configured::start(
        &format!(
            "[limits]\nconnections = {most}\nmax_connections = {most}\nhandshakes = 32\n\
             file_cache_entries = 16\n[[site]]\n[[site.route]]\nproxy = 'app'\n\
             [pool.app]\nservers = '{address}'\nmax = {count}\ntunnels = {count}\n"
        ),
        |_| {},
    );
    let open = || {
        let mut client = server.connect();
        client.send(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        assert_eq!(client.try_head().unwrap().status, 101);
        client
    };
    // What the first ones bring with them is not theirs alone.
    let mut clients: Vec<_> = (0..20).map(|_| open()).collect();
    let before = anonymous_kib(server.pid());
    clients.extend((20..count).map(|_| open()));
    let each = anonymous_kib(server.pid()).saturating_sub(before) / (count as u64 - 20);
    println!("{count} tunnels: {each} KiB each");
    assert!(each <= TUNNEL_KIB, "{each} KiB for a tunnel");
    for (at, client) in clients.iter_mut().enumerate() {
        let mut upstream = tunnels.recv_timeout(PATIENCE).unwrap();
        let message = [at as u8; 3];
        client.send(&message);
        let mut seen = [0; 3];
        upstream.read_exact(&mut seen).unwrap();
        assert_eq!(seen, message, "tunnel {at}");
        upstream.write_all(&message).unwrap();
        let mut back = Vec::new();
        super::exactly(client, 3, &mut back).unwrap();
        assert_eq!(back, message, "tunnel {at}");
    }
}
