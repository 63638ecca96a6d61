//! What simulated clients ask for.

use super::{
    answers::{Exchange, Promise},
    site,
};

/// How many kinds of requests there are.
pub(super) const KINDS: u8 = if cfg!(feature = "service") { 48 } else { 24 };

/// Of them, those whose answers are cut.
pub(super) fn is_cut(kind: u8) -> bool {
    kind % KINDS == 35
}

/// The bytes of a request, and its expected answer.
pub(super) fn request(kind: u8) -> (Vec<u8>, Exchange) {
    use Promise::{Anything, File, Part, Status};
    let get = |path: &str, fields: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n").into_bytes()
    };
    let post_to = |path: &str, fields: &str, body: &[u8]| {
        let mut bytes = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n").into_bytes();
        bytes.extend_from_slice(body);
        bytes
    };
    let post = |fields: &str, body: &[u8]| post_to("/", fields, body);
    let mut head_only = false;
    let (bytes, promise) = match kind % KINDS {
        0 => (get("/", ""), File("index.html")),
        1 => (get("/small.txt", ""), File("small.txt")),
        2 => (get("/large.bin", ""), File("large.bin")),
        3 => (get("/page.html", ""), File("page.html")),
        4 => (get("/page.html", "Accept-Encoding: gzip\r\n"), File("page.html")),
        5 => (get("/zero.txt", ""), File("zero.txt")),
        6 => (get("/folder/", ""), File("folder/index.html")),
        7 => (get("/folder", ""), Status(301)),
        8 => (get("/missing", ""), Status(404)),
        9 => {
            head_only = true;
            (b"HEAD /large.bin HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), File("large.bin"))
        }
        10 => (get("/small.txt", "Range: bytes=10-99\r\n"), Part("small.txt", 10, 100)),
        11 => {
            let range = "Range: bytes=100000-250000\r\n";
            (get("/large.bin", range), Part("large.bin", 100_000, 250_001))
        }
        12 => (get("/page.html", "Range: bytes=0-9,100-199,-50\r\n"), Status(206)),
        13 => (get("/large.bin", "Range: bytes=0-70000,80000-200000\r\n"), Status(206)),
        14 => (get("/small.txt", "Range: bytes=300-\r\n"), Status(416)),
        15 => (get("/small.txt", "If-None-Match: *\r\n"), Status(304)),
        16 => (get("/small.txt", "Connection: close\r\n"), File("small.txt")),
        17 => (b"GET /small.txt HTTP/1.0\r\nHost: x\r\n\r\n".to_vec(), File("small.txt")),
        18 => (post("Content-Length: 10\r\n", b"0123456789"), Status(405)),
        19 => {
            let body = b"5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\nTrailer: z\r\n\r\n";
            (post("Transfer-Encoding: chunked\r\n", body), Status(405))
        }
        20 => (post("Content-Length: 3\r\nExpect: 100-continue\r\n", b"abc"), Status(405)),
        21 => (post("Content-Length: 9000\r\n", &[b'b'; 9000]), Status(405)),
        22 => (get("/", &format!("Padding: {}\r\n", "p".repeat(3000))), File("index.html")),
        24 => (get("/app/ready", ""), File("small.txt")),
        25 => (get("/app/late", ""), File("page.html")),
        26 => (get("/app/late/pieces", ""), File("page.html")),
        27 => (get("/app/nothing", ""), File("small.txt")),
        28 => (get("/app/large", ""), File("large.bin")),
        29 => {
            let (body, _) = site::file("page.html").split_at(6000);
            (post_to("/app/echo", "Content-Length: 6000\r\n", body), File("page.html"))
        }
        30 => {
            let body = b"5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\nTrailer: z\r\n\r\n";
            (post_to("/app/echo", "Transfer-Encoding: chunked\r\n", body), Status(200))
        }
        31 => {
            let fields = "Content-Length: 300\r\nExpect: 100-continue\r\n";
            (post_to("/app/echo", fields, site::file("small.txt")), File("small.txt"))
        }
        32 => {
            let body = vec![b'b'; 9000];
            (post_to("/app/ignore", "Content-Length: 9000\r\n", &body), File("small.txt"))
        }
        33 => (get("/app/panic/call", ""), Status(500)),
        34 => (get("/app/panic/poll", ""), Status(500)),
        35 => (get("/app/panic/frame", ""), Anything),
        36 => (get("/app/panic/drop", ""), File("small.txt")),
        37 => (get("/native/done", ""), File("small.txt")),
        38 => (get("/native/bytes", ""), File("large.bin")),
        39 => (get("/native/site", ""), File("page.html")),
        40 => (get("/native/later", ""), File("page.html")),
        41 => (get("/native/later/site", ""), File("small.txt")),
        42 => (get("/native/pass", ""), Status(404)),
        43 => (get("/native/unfit", ""), Status(500)),
        44 => (get("/native/panic/call", ""), Status(500)),
        45 => (get("/native/panic/poll", ""), Status(500)),
        46 => (get("/native/panic/drop", ""), File("small.txt")),
        47 => {
            let body = vec![b'b'; 9000];
            (post_to("/native/done", "Content-Length: 9000\r\n", &body), File("small.txt"))
        }
        _ => (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), Anything),
    };
    (bytes, Exchange { promise, head_only })
}
