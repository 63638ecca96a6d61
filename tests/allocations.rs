//! In steady state a request costs no allocation: not for its head, not for its answer, not for
//! its records. A test of its own, because it counts what every thread but its own allocates.

#[path = "support/trusting.rs"]
mod trusting;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use ringway::Server;
use rustls::{ClientConnection, StreamOwned, crypto::aws_lc_rs, pki_types::ServerName};

use trusting::Trusting;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// This thread is the client: what it allocates is not the server's.
    static CLIENT: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    if !CLIENT.try_with(Cell::get).unwrap_or(true) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: everything is the system allocator's; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

type Client = StreamOwned<ClientConnection, TcpStream>;

fn connect(port: u16, protocol: &[u8]) -> Client {
    let mut config =
        rustls::ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Trusting::default()))
            .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(connection, TcpStream::connect(("127.0.0.1", port)).unwrap())
}

/// A file that was changed long ago: all answers have the same fields, its date among them.
fn put(folder: &Path, bytes: usize) {
    let file = folder.join("file.bin");
    std::fs::write(&file, vec![7; bytes]).unwrap();
    let file = std::fs::File::options().write(true).open(file).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
}

/// Asks for a file and reads the whole answer, whose length is that of the first answer.
fn ask(client: &mut Client, answer: &mut [u8]) {
    client.write_all(b"GET /file.bin HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    client.read_exact(answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
}

fn answer_length(client: &mut Client, body: usize) -> usize {
    client.write_all(b"GET /file.bin HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    let mut rest = vec![0; body];
    client.read_exact(&mut rest).unwrap();
    seen.len() + body
}

/// Rounds that are tried, at most, until one allocates nothing.
const ROUNDS: usize = 2_000;

/// The fewest allocations of a round of ten requests. What is known of a file is checked anew ten times a second,
/// which does allocate, so the best of several short rounds is the steady state; on a crowded machine few are
/// short enough.
fn fewest_for_ten(mut ask: impl FnMut()) -> u64 {
    let mut fewest = u64::MAX;
    for _ in 0..ROUNDS {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        (0..10).for_each(|_| ask());
        fewest = fewest.min(ALLOCATIONS.load(Ordering::Relaxed) - before);
        if fewest == 0 {
            break;
        }
    }
    fewest
}

/// One test at a time: they count what the whole process allocates.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn a_request_for_a_file_at_hand_allocates_nothing() {
    let _alone = ALONE.lock().unwrap();
    CLIENT.set(true);
    for body in [0, 1024, 16 * 1024, 300 * 1024] {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), body);
        // Content is kept once the file has been left alone for a moment.
        std::thread::sleep(Duration::from_millis(200));
        let server = Server::builder()
            .root(folder.path())
            .listen("127.0.0.1:0".parse().unwrap())
            .workers(1)
            .start()
            .unwrap();
        let mut client = connect(server.addresses()[0].port(), b"http/1.1");
        let mut answer = vec![0; answer_length(&mut client, body)];
        for _ in 0..50 {
            ask(&mut client, &mut answer);
        }
        let fewest = fewest_for_ten(|| ask(&mut client, &mut answer));
        assert_eq!(fewest, 0, "allocations for ten requests of {body} bytes");
        drop(client);
        server.handle().drain(Duration::from_secs(60));
        server.wait().unwrap();
    }
}

/// A compressed file costs what a file costs.
#[test]
fn a_request_for_a_file_that_was_compressed_allocates_nothing() {
    const REQUEST: &[u8] =
        b"GET /page.html HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip, br, zstd\r\n\r\n";

    let _alone = ALONE.lock().unwrap();
    CLIENT.set(true);
    let folder = tempfile::tempdir().unwrap();
    let lines = (0..9_000).map(|number| format!("<p>{}</p>\n", number * 7919 % 10_007));
    let page = lines.collect::<Vec<_>>().concat();
    let file = folder.path().join("page.html");
    std::fs::write(&file, page).unwrap();
    let file = std::fs::File::options().write(true).open(file).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let mut config = ringway::config::Config::default();
    config.site.compress = ringway::config::Compression::ALL;
    config.listen = vec!["127.0.0.1:0".parse().unwrap()];
    let server = ringway::server::Builder::from(config).root(folder.path()).workers(1);
    let server = server.start().unwrap();
    let mut client = connect(server.addresses()[0].port(), b"http/1.1");
    let whole = |client: &mut Client| {
        client.write_all(REQUEST).unwrap();
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            client.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let text = String::from_utf8(head).unwrap();
        let length = text.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        client.read_exact(&mut body).unwrap();
        (text.contains("Content-Encoding: br"), text.len() + body.len())
    };
    let length = loop {
        let (coded, length) = whole(&mut client);
        if coded {
            break length;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut answer = vec![0; length];
    let mut ask = || {
        client.write_all(REQUEST).unwrap();
        client.read_exact(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 "));
    };
    (0..50).for_each(|_| ask());
    assert_eq!(fewest_for_ten(ask), 0, "allocations for ten requests");
    drop(client);
    server.handle().drain(Duration::from_secs(60));
    server.wait().unwrap();
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Asks for the file on a stream and reads frames until it ends; says how much content came.
fn ask_stream(client: &mut Client, stream: u32, payload: &mut [u8]) -> usize {
    ask_stream_at(client, stream, "/file.bin", payload)
}

fn ask_stream_at(client: &mut Client, stream: u32, path: &str, payload: &mut [u8]) -> usize {
    let path = [&[0x82, 0x87, 0x04, path.len() as u8], path.as_bytes()].concat();
    let block = [&path[..], b"\x01\x09localhost"].concat();
    client.write_all(&frame(1, 5, stream, &block)).unwrap();
    let mut content = 0;
    loop {
        let mut head = [0; 9];
        client.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        client.read_exact(&mut payload[..length]).unwrap();
        assert!([0, 1, 4].contains(&head[3]), "a frame of type {}", head[3]);
        content += if head[3] == 0 { length } else { 0 };
        let ends = [0, 1].contains(&head[3]) && head[4] & 1 != 0;
        if ends {
            return content;
        }
    }
}

/// Neither the short way, which takes no place among the streams, nor the long one.
#[test]
fn a_request_of_http2_for_a_file_at_hand_allocates_nothing() {
    let _alone = ALONE.lock().unwrap();
    CLIENT.set(true);
    for body in [0, 1024, 16 * 1024, 300 * 1024] {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), body);
        std::thread::sleep(Duration::from_millis(200));
        let server = Server::builder()
            .root(folder.path())
            .listen("127.0.0.1:0".parse().unwrap())
            .workers(1)
            .start()
            .unwrap();
        let mut client = connect(server.addresses()[0].port(), b"h2");
        let window = 0x7fff_ffff_u32.to_be_bytes();
        let begin = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(4, 0, 0, &[&[0, 4], &window[..]].concat()),
            frame(8, 0, 0, &0x7fff_0000_u32.to_be_bytes()),
        ];
        client.write_all(&begin.concat()).unwrap();
        let mut payload = vec![0; 16_384];
        let mut streams = (1..).step_by(2);
        let mut ask = || {
            let stream = streams.next().unwrap();
            assert_eq!(ask_stream(&mut client, stream, &mut payload), body);
        };
        (0..50).for_each(|_| ask());
        assert_eq!(fewest_for_ten(ask), 0, "allocations for ten requests of {body} bytes");
        drop(client);
        server.handle().drain(Duration::from_secs(60));
        server.wait().unwrap();
    }
}

/// As [`ask`], for the answer of a native handler.
fn ask_native(client: &mut Client, path: &str, answer: &mut [u8]) {
    // In one record.
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.write_all(request.as_bytes()).unwrap();
    client.read_exact(answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
}

/// Content in the worker's memory, and requests that are passed on to a file.
#[cfg(feature = "service")]
#[test]
fn a_native_handler_allocates_nothing() {
    use ringway::native::{Head, Outcome, Reply};

    let _alone = ALONE.lock().unwrap();
    CLIENT.set(true);
    let handler = |head: &Head<'_>, reply: &mut Reply| {
        let length = match head.path() {
            b"/0" => 0,
            b"/1" => 1024,
            b"/9" => 9000,
            _ => return Outcome::Pass,
        };
        assert_eq!(head.field("x-absent"), None);
        reply.field("Content-Type", "text/plain").body(&[b'x'; 9000][..length]);
        Outcome::Done
    };
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), 1024);
    std::thread::sleep(Duration::from_millis(200));
    let start = || {
        Server::builder()
            .root(folder.path())
            .listen("127.0.0.1:0".parse().unwrap())
            .handler_at("/", handler)
            .workers(1)
            .start()
            .unwrap()
    };
    let best = |ask: &mut dyn FnMut()| {
        (0..50).for_each(|_| ask());
        fewest_for_ten(ask)
    };
    for (path, body) in [("/0", 0), ("/1", 1024), ("/9", 9000), ("/file.bin", 1024)] {
        let server = start();
        let mut client = connect(server.addresses()[0].port(), b"http/1.1");
        write!(client, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            client.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let mut answer = vec![0; head.len() + body];
        client.read_exact(&mut answer[..body]).unwrap();
        let allocations = best(&mut || ask_native(&mut client, path, &mut answer));
        assert_eq!(allocations, 0, "allocations for ten requests of {path} over HTTP/1.1");
        drop(client);
        server.handle().drain(Duration::from_secs(60));
        server.wait().unwrap();

        let server = start();
        let mut client = connect(server.addresses()[0].port(), b"h2");
        let begin = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(4, 0, 0, &[&[0, 4], &0x7fff_ffff_u32.to_be_bytes()[..]].concat()),
            frame(8, 0, 0, &0x7fff_0000_u32.to_be_bytes()),
        ];
        client.write_all(&begin.concat()).unwrap();
        let mut payload = vec![0; 16_384];
        let mut streams = (1..).step_by(2);
        let allocations = best(&mut || {
            let stream = streams.next().unwrap();
            let sent = ask_stream_at(&mut client, stream, path, &mut payload);
            assert_eq!(sent, body);
        });
        assert_eq!(allocations, 0, "allocations for ten requests of {path} over HTTP/2");
        drop(client);
        server.handle().drain(Duration::from_secs(60));
        server.wait().unwrap();
    }
}
