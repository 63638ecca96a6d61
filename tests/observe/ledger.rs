//! The ledger beside what the client received, for each way of content to the wire.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    thread,
};

use ringway::{
    config::{self, Action, Compression, KtlsMode, PoolOptions, RoutePath, UpstreamServer},
    observe::{Anatomy, Carried, Flow, Route},
    server::RunningServer,
};

use rustls::ClientConfig;

use crate::{
    client::{Client, tls_config},
    connect, folder, settled, start, stop,
};

/// What the client received is the independent count; how often each byte was touched is known
/// from how the response was sent.
#[test]
fn the_ledger_is_exact_for_user_space_tls() {
    let folder = folder();
    for (most, route) in [(1 << 20, Route::UserCache), (0, Route::UserRead)] {
        let server = start(folder.path(), |config| config.limits.file_cache_max_file = most);
        let mut client = connect(&server);
        let mut received = (0, 0);
        for _ in 0..4 {
            let (status, head, body) = client.get_all("/mib.bin");
            assert_eq!((status, body.len()), (200, 1 << 20));
            received = (received.0 + head as u64, received.1 + body.len() as u64);
        }
        client.close();
        let anatomy = settled(&server, 1);
        let Carried { responses, copied, straight, shared, .. } = anatomy.ledger.carried(route);
        assert_eq!((responses, copied + straight, shared), (4, received.1, 0));
        assert_eq!(anatomy.ledger.heads, received.0);
        let flows = anatomy.ledger.flows(route);
        assert_eq!(bytes(&flows, "cipher", "user"), received.1, "each byte is sealed once");
        assert_eq!(bytes(&flows, "cipher", "kernel"), 0);
        if route == Route::UserCache {
            // A record is shared by the head and the beginning of its content: 4096 bytes.
            assert_eq!(bytes(&flows, "copy", "user") + received.0, 4 * 4096);
            assert_eq!(bytes(&flows, "copy", "kernel"), received.1);
        } else {
            assert_eq!(bytes(&flows, "copy", "user"), 0);
            assert_eq!(bytes(&flows, "copy", "kernel"), 2 * received.1, "read, then sent");
        }
        for other in Route::ALL.into_iter().filter(|other| *other != route) {
            assert_eq!(anatomy.ledger.carried(other).payload(), 0, "{}", other.name());
        }
        stop(server);
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A client of HTTP/2, with windows of 2^31-1 for each stream, and nearly that for all together.
pub(crate) fn connect_h2(server: &RunningServer) -> Client {
    let mut tls = ClientConfig::clone(&tls_config());
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let mut client = Client::connect(server.addresses()[0].port(), &Arc::new(tls));
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send(&frame(4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]));
    client.send(&frame(8, 0, 0, &0x7fff_0000_u32.to_be_bytes()));
    client
}

/// Over HTTP/2 content is sealed from where it lies too, but for what is short: that is copied behind
/// its head.
#[test]
fn the_ledger_is_exact_for_http2() {
    let folder = folder();
    let server = start(folder.path(), |config| config.limits.file_cache_max_file = 1 << 20);
    let mut client = connect_h2(&server);
    let mut received = 0;
    for (number, path) in ["/mib.bin", "/index.html", "/mib.bin"].iter().enumerate() {
        let path = [&[0x82, 0x87, 0x04, path.len() as u8], path.as_bytes()].concat();
        let block = [&path[..], b"\x01\x09localhost"].concat();
        client.send(&frame(1, 5, 2 * number as u32 + 1, &block));
        loop {
            let (head, payload) = client.frame();
            received += if head[3] == 0 { payload.len() as u64 } else { 0 };
            if [0, 1].contains(&head[3]) && head[4] & 1 != 0 {
                break;
            }
        }
    }
    client.close();
    let anatomy = settled(&server, 1);
    stop(server);
    let short = b"<p>hello".len() as u64;
    assert_eq!(received, (2 << 20) + short);
    let Carried { responses, copied, straight, .. } = anatomy.ledger.carried(Route::UserCache);
    // How long records are depends on when the connection rested, and so what is left for the last frame of
    // a long content. Up to 4 KiB of it are copied.
    assert_eq!((responses, copied + straight), (3, received));
    assert!((short..=short + 2 * 4096).contains(&copied), "{copied} bytes were copied");
    let flows = anatomy.ledger.flows(Route::UserCache);
    assert_eq!(bytes(&flows, "cipher", "user"), received, "each byte is sealed once");
    assert_eq!(bytes(&flows, "copy", "user"), copied);
}

/// A server of a pool: reads requests, and answers `/N` with N bytes whose number it states, `/c/N` with
/// the same in chunks of 10,000.
fn server_behind() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || serve_behind(&mut BufReader::new(stream.unwrap())));
        }
    });
    address
}

fn serve_behind(stream: &mut BufReader<TcpStream>) {
    loop {
        let (mut line, mut path, mut length) = (String::new(), String::new(), 0);
        while stream.read_line(&mut line).unwrap() > 2 {
            if path.is_empty() {
                line.split(' ').nth(1).unwrap().clone_into(&mut path);
            }
            if let Some(stated) = line.strip_prefix("Content-Length: ") {
                length = stated.trim().parse().unwrap();
            }
            line.clear();
        }
        if line.is_empty() {
            return;
        }
        stream.read_exact(&mut vec![0; length]).unwrap();
        let count = path.rsplit('/').next().unwrap().parse().unwrap();
        let content = vec![b'c'; count];
        let answer = if path.starts_with("/c/") {
            let chunks = content.chunks(10_000).map(|chunk| {
                [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()
            });
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            [head, chunks.flatten().collect(), b"0\r\n\r\n".to_vec()].concat()
        } else if path.starts_with("/t/") {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {count}\r\n\r\n"
            );
            [head.into_bytes(), content].concat()
        } else {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {count}\r\n\r\n");
            [head.into_bytes(), content].concat()
        };
        stream.get_mut().write_all(&answer).unwrap();
    }
}

pub(crate) fn start_proxy(folder: &Path) -> RunningServer {
    start_proxy_with(folder, KtlsMode::Off)
}

fn start_proxy_with(folder: &Path, mode: KtlsMode) -> RunningServer {
    start(folder, |config| {
        config.ktls = mode;
        let mut pool = PoolOptions::default();
        let address = format!("http://{}", server_behind()).parse().unwrap();
        pool.servers = vec![UpstreamServer::new(address)];
        config.pools.insert("app".to_owned(), pool);
        let action = Action::Proxy { pool: "app".to_owned() };
        let mut route = config::Route::new(RoutePath::default(), action);
        route.compress = Some(Compression::ALL);
        config.sites = vec![config::Site::default().with_route(route)];
    })
}

/// Content of a server of a pool has the passes of its way: out of the server's socket, the cipher, into the
/// client's, and a copy for what is short or was held.
#[test]
fn the_ledger_is_exact_for_proxied_responses() {
    let folder = folder();
    for (path, count) in [("/200", 200), ("/16000", 16_000), ("/3000000", 3_000_000)] {
        let server = start_proxy(folder.path());
        let mut client = connect(&server);
        let mut heads = 0;
        for _ in 0..3 {
            let (status, head, body) = client.get_all(path);
            assert_eq!((status, body.len()), (200, count));
            heads += head as u64;
        }
        client.close();
        let anatomy = settled(&server, 1);
        stop(server);
        let ledger = &anatomy.ledger;
        let (route, payload) = (Route::UserProxied, 3 * count as u64);
        let Carried { responses, copied, shared, relayed, opened, .. } = ledger.carried(route);
        assert_eq!((responses, ledger.carried(route).payload()), (3, payload));
        assert_eq!((ledger.heads, opened), (heads, 0));
        let flows = ledger.flows(route);
        assert_eq!(bytes(&flows, "cipher", "user"), payload, "each byte is sealed once");
        assert_eq!(bytes(&flows, "copy", "kernel"), 2 * payload, "received, then sent");
        assert_eq!(bytes(&flows, "copy", "user"), copied + shared);
        // Short content shares the record of its head.
        assert_eq!(count == 200, copied == payload, "{copied}");
        assert!(count < 64 << 10 || relayed > 0, "long content goes into send memory");
        for other in Route::ALL.into_iter().filter(|other| *other != route) {
            assert_eq!(ledger.carried(other).payload(), 0, "{}", other.name());
        }
    }
}

/// Bytes of content that the client gets for this path, with these fields besides (RFC 7541).
pub(crate) fn content_over_h2(client: &mut Client, stream: u32, path: &str, fields: &[u8]) -> u64 {
    let path = [&[0x82, 0x87, 0x04, path.len() as u8], path.as_bytes()].concat();
    let block = [&path[..], b"\x01\x09localhost", fields].concat();
    client.send(&frame(1, 5, stream, &block));
    let mut received = 0;
    loop {
        let (head, payload) = client.frame();
        received += if head[3] == 0 { payload.len() as u64 } else { 0 };
        if [0, 1].contains(&head[3]) && head[4] & 1 != 0 {
            return received;
        }
    }
}

/// What a server answers and Ringway compresses is received whole and sent coded.
#[test]
fn the_ledger_is_exact_for_proxied_responses_that_are_compressed() {
    let folder = folder();
    let server = start_proxy(folder.path());
    let mut client = connect_h2(&server);
    // accept-encoding: gzip, deflate.
    let received = content_over_h2(&mut client, 1, "/t/30000", b"\x90");
    client.close();
    let anatomy = settled(&server, 1);
    stop(server);
    assert!((1..3_000).contains(&received), "{received} bytes are not compressed");
    let carried = anatomy.ledger.carried(Route::UserProxied);
    assert_eq!((carried.responses, carried.payload()), (1, received));
    assert_eq!((carried.encoded, carried.coded), (30_000, received));
    let flows = anatomy.ledger.flows(Route::UserProxied);
    assert_eq!(bytes(&flows, "cipher", "user"), received);
    assert_eq!(bytes(&flows, "copy", "kernel"), 30_000 + received);
    assert_eq!(bytes(&flows, "copy", "user"), 30_000 + carried.copied + carried.shared);
}

#[test]
fn the_ledger_is_exact_for_chunked_responses_and_for_clients_of_http2() {
    let folder = folder();
    let server = start_proxy(folder.path());
    let mut client = connect_h2(&server);
    let mut received = 0;
    for (number, path) in ["/c/30000", "/500", "/30000"].iter().enumerate() {
        received += content_over_h2(&mut client, 2 * number as u32 + 1, path, b"");
    }
    client.close();
    let anatomy = settled(&server, 1);
    stop(server);
    assert_eq!(received, 60_500);
    let carried = anatomy.ledger.carried(Route::UserProxied);
    assert_eq!((carried.responses, carried.payload()), (3, received));
    let flows = anatomy.ledger.flows(Route::UserProxied);
    assert_eq!(bytes(&flows, "cipher", "user"), received);
    assert_eq!(bytes(&flows, "copy", "kernel"), 2 * received);
    // Only what is short is copied into its record: /500, and the pieces in which chunks came.
    assert!((500..received - 30_000).contains(&carried.copied), "{carried:?}");
}

/// Long content of a stated length is received into the memory that it is sent from, in frames as in records:
/// the ledger of that.
fn relay_to_http2(mode: KtlsMode, route: Route) -> Vec<Flow> {
    let folder = folder();
    let server = start_proxy_with(folder.path(), mode);
    let mut client = connect_h2(&server);
    let received = content_over_h2(&mut client, 1, "/3000000", b"");
    client.close();
    let anatomy = settled(&server, 1);
    stop(server);
    assert_eq!(received, 3_000_000);
    let Carried { responses, copied, relayed, .. } = anatomy.ledger.carried(route);
    assert_eq!(anatomy.ledger.carried(route).payload(), received);
    assert_eq!(responses, 1);
    assert!(relayed > 0 && copied < received / 10, "{relayed}, {copied}");
    anatomy.ledger.flows(route)
}

#[test]
fn the_ledger_is_exact_for_long_responses_to_clients_of_http2() {
    let flows = relay_to_http2(KtlsMode::Off, Route::UserProxied);
    assert_eq!(bytes(&flows, "cipher", "user"), 3_000_000, "each byte is sealed once");
    assert_eq!(bytes(&flows, "copy", "kernel"), 2 * 3_000_000, "received, then sent");
}

#[test]
fn the_ledger_is_exact_for_long_responses_to_clients_of_http2_with_kernel_tls() {
    if !kernel_tls() {
        return;
    }
    let flows = relay_to_http2(KtlsMode::On, Route::KernelProxied);
    assert_eq!(bytes(&flows, "cipher", "kernel"), 3_000_000, "each byte is sealed once");
    assert_eq!(bytes(&flows, "copy", "kernel"), 3_000_000, "received");
}

/// What a client sends is copied into a server's socket, and once before if it was held.
#[test]
fn the_ledger_is_exact_for_what_is_passed_on() {
    let folder = folder();
    for count in [10_usize, 30_000, 300_000] {
        let server = start_proxy(folder.path());
        let mut client = connect(&server);
        for _ in 0..2 {
            let head = format!("POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: {count}\r\n\r\n");
            client.send(&[head.as_bytes(), &vec![b'u'; count]].concat());
            assert_eq!(client.response(), (200, b"cc".to_vec()));
        }
        client.close();
        let anatomy = settled(&server, 1);
        stop(server);
        let uploaded = anatomy.ledger.uploaded();
        assert_eq!((uploaded.sent, uploaded.sealed), (2 * count as u64, 0));
        // What is held, and the receive buffer that brings more than that.
        assert!(uploaded.held <= 2 * ((64 << 10) + (16 << 10)), "{uploaded:?}");
        let (payload, flows) = anatomy.ledger.upload_flows();
        assert_eq!(payload, uploaded.sent);
        assert_eq!(bytes(&flows, "copy", "kernel"), uploaded.sent);
        assert_eq!(bytes(&flows, "copy", "user"), uploaded.held);
    }
}

/// Bytes of one kind of flow.
fn bytes(flows: &[Flow], kind: &str, by: &str) -> u64 {
    flows.iter().filter(|flow| flow.kind == kind && flow.by == by).map(|flow| flow.bytes).sum()
}

/// Asks for two pages that the server makes: one that is short enough to stand behind its head,
/// and the listing of a folder, which is not. Gives back the length of each.
fn ask_for_pages(mode: KtlsMode) -> (Anatomy, u64, u64) {
    let folder = folder();
    fs::create_dir(folder.path().join("many")).unwrap();
    for number in 0..100 {
        fs::write(folder.path().join(format!("many/a file among others {number}")), b"").unwrap();
    }
    let server = start(folder.path(), |config| {
        config.site.listing = true;
        config.ktls = mode;
    });
    let mut client = connect(&server);
    let (status, _, missing) = client.get_all("/missing");
    assert_eq!(status, 404);
    let (status, _, listing) = client.get_all("/many/");
    assert_eq!(status, 200);
    client.close();
    let anatomy = settled(&server, 1);
    stop(server);
    let (missing, listing) = (missing.len() as u64, listing.len() as u64);
    assert!(missing < 1024 && listing > 4096, "{missing} {listing}");
    (anatomy, missing, listing)
}

#[test]
fn the_ledger_is_exact_for_pages_with_user_space_tls() {
    let (anatomy, missing, listing) = ask_for_pages(KtlsMode::Off);
    let carried = anatomy.ledger.carried(Route::UserPage);
    assert_eq!((carried.responses, carried.payload()), (2, missing + listing));
    assert_eq!(carried.shared, listing, "it gets memory of its own");
    let flows = anatomy.ledger.flows(Route::UserPage);
    assert_eq!(bytes(&flows, "cipher", "user"), missing + listing, "each byte is sealed once");
    assert_eq!(bytes(&flows, "copy", "kernel"), missing + listing, "and sent");
    let behind_heads = bytes(&flows, "copy", "user") - listing;
    assert!((missing..missing + 4096).contains(&behind_heads), "{behind_heads}");
}

#[test]
fn the_ledger_is_exact_for_pages_with_kernel_tls() {
    if !kernel_tls() {
        return;
    }
    let (anatomy, missing, listing) = ask_for_pages(KtlsMode::On);
    let carried = anatomy.ledger.carried(Route::KernelPage);
    assert_eq!((carried.responses, carried.payload()), (2, missing + listing));
    let flows = anatomy.ledger.flows(Route::KernelPage);
    assert_eq!(bytes(&flows, "cipher", "kernel"), missing + listing, "each byte is sealed once");
    assert_eq!(bytes(&flows, "copy", "user"), missing + listing, "each was copied once");
    assert_eq!(bytes(&flows, "cipher", "user") + bytes(&flows, "copy", "kernel"), 0);
}

#[test]
fn the_ledger_counts_requests_and_handshakes() {
    let folder = folder();
    let server = start(folder.path(), |_| {});
    let mut client = connect(&server);
    let asked = Client::asked("/").len() as u64;
    for _ in 0..10 {
        client.get("/");
    }
    let sent = client.close();
    let anatomy = settled(&server, 1);
    let taken = anatomy.ledger.taken();
    assert_eq!((taken.opened, taken.plain, taken.copied), (10 * asked, 0, 0));
    // All that the client wrote is a handshake's or a sealed record.
    assert_eq!(anatomy.ledger.handshake_received + taken.sealed, sent);
    assert!(anatomy.ledger.handshake_sent > 500);
    stop(server);
}

#[test]
fn the_ledger_is_exact_for_kernel_tls() {
    if !kernel_tls() {
        return;
    }
    let folder = folder();
    for (most, routes) in [
        (1 << 20, &[Route::KernelCache][..]),
        // What of the file is in the page cache is the kernel's to say.
        (0, &[Route::KernelSendfile, Route::KernelRead]),
    ] {
        let server = start(folder.path(), |config| {
            config.limits.file_cache_max_file = most;
            config.ktls = KtlsMode::On;
        });
        let mut client = connect(&server);
        for _ in 0..4 {
            assert_eq!(client.get_all("/mib.bin").2.len(), 1 << 20);
        }
        client.close();
        let anatomy = settled(&server, 1);
        let ledger = &anatomy.ledger;
        let payload: u64 = routes.iter().map(|route| ledger.carried(*route).payload()).sum();
        assert_eq!(payload, 4 << 20);
        let responses: u64 = routes.iter().map(|route| ledger.carried(*route).responses).sum();
        assert_eq!(responses, 4);
        let flows: Vec<_> = routes.iter().flat_map(|route| ledger.flows(*route)).collect();
        assert!(flows.iter().all(|flow| flow.by == "kernel"), "{flows:?}");
        let sealed: u64 = flows.iter().filter(|f| f.kind == "cipher").map(|f| f.bytes).sum();
        assert_eq!(sealed, 4 << 20);
        stop(server);
    }
}

/// Whether the kernel has TLS. If not, the test is recorded as skipped.
fn kernel_tls() -> bool {
    let offered = fs::read_to_string("/proc/sys/net/ipv4/tcp_available_ulp").unwrap_or_default();
    if offered.split_whitespace().any(|ulp| ulp == "tls") {
        return true;
    }
    assert!(
        std::env::var_os("RINGWAY_REQUIRE_KTLS").is_none_or(|value| value != "1"),
        "RINGWAY_REQUIRE_KTLS=1, and the kernel offers no tls ULP: {offered:?}"
    );
    skip("the kernel offers no tls ULP");
    false
}

/// Records that a test did not run, and why; see tests/wire/host.rs.
fn skip(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    eprintln!("skipped: {test}: {why}");
    if let Some(path) = std::env::var_os("RINGWAY_SKIPS") {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{test}: {why}").unwrap();
    }
}
