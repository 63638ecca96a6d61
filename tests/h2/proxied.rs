//! Requests over HTTP/2 that are passed on to another server, and its answers.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use ringway_bench_h2::frame::{code, flag, kind};

use crate::peer::{Ended, asking};
use crate::server::Server;
use crate::target::Target;
use crate::upstream::{Request, Then, Upstream};

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8).collect()
}

/// Answers as the path says.
fn script(request: &Request, stream: &mut TcpStream) -> Then {
    let answer = match request.path() {
        "/chunked" => {
            let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for piece in content(100_000).chunks(3_001) {
                answer.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                answer.extend_from_slice(piece);
                answer.extend_from_slice(b"\r\n");
            }
            answer.extend_from_slice(b"0\r\n\r\n");
            answer
        }
        "/long" => {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
            [&head[..], &content(1_000_000)].concat()
        }
        "/nothing" => return Then::Close,
        "/part" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\na part");
            return Then::Close;
        }
        "/echo" => {
            let head = format!("HTTP/1.1 201 Made\r\nContent-Length: {}\r\n\r\n", request.body.len());
            [head.as_bytes(), &request.body].concat()
        }
        _ if request.head.starts_with("HEAD") => {
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_vec()
        }
        _ => b"HTTP/1.1 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\nX-Own: 2\r\nContent-Length: 5\r\n\r\nhello".to_vec(),
    };
    let _ = stream.write_all(&answer);
    Then::Continue
}

#[test]
fn answers_of_another_server_come_whole() {
    let upstream = Upstream::start(script);
    let target = Target::of(Server::proxy(&[&upstream.address], &[]));
    let mut peer = target.connect();
    let more = [("x-a", "b"), ("cookie", "a=b"), ("cookie", "c=d"), ("te", "trailers")];
    let stream = peer.ask_with("/a%20b?c=d", &more);
    let hello = peer.answer(stream);
    assert_eq!((hello.status, &hello.body[..]), (200, &b"hello"[..]));
    assert_eq!((hello.field("x-own"), hello.field("x-hop")), (Some("2"), None));
    let seen = upstream.requests();
    let [request] = &seen[..] else { panic!("{seen:?}") };
    assert!(request.head.starts_with("GET /a%20b?c=d HTTP/1.1\r\n"), "{}", request.head);
    assert_eq!(request.fields("x-a"), ["b"]);
    assert_eq!(request.fields("cookie"), ["a=b; c=d"]);
    assert_eq!(request.fields("host").len(), 1);
    // It accepts trailers, and says so for this hop.
    assert_eq!(request.fields("te"), ["trailers"]);
    assert!(!request.head.contains("\n:"));
    let head = peer.request(&asking("HEAD", "/"), true);
    assert_eq!(peer.answer(head).field("content-length"), Some("5"));
    // All at once, in any order.
    let streams: Vec<_> = ["/chunked", "/long", "/", "/chunked", "/long", "/"]
        .into_iter()
        .cycle()
        .take(30)
        .map(|path| (path, peer.ask(path)))
        .collect();
    for (path, stream) in streams {
        let answer = peer.answer(stream);
        let expected = match path {
            "/chunked" => content(100_000),
            "/long" => content(1_000_000),
            _ => b"hello".to_vec(),
        };
        assert!(answer.body == expected, "{path}");
    }
}

/// The connection to the server goes back with the last of the content, however its end is known.
#[test]
fn connections_to_servers_are_used_again() {
    let upstream = Upstream::start(script);
    let target = Target::of(Server::proxy(&[&upstream.address], &[]));
    let mut peer = target.connect();
    for path in ["/", "/long", "/chunked", "/", "/long", "/"] {
        assert_eq!(peer.get(path).status, 200);
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn content_of_requests_is_passed_on() {
    let upstream = Upstream::start(script);
    let target = Target::of(Server::proxy(&[&upstream.address], &[]));
    let mut peer = target.connect();
    for length in [0, 1, 5_000, 50_000] {
        let content = content(length);
        let stream = peer.request(&asking("POST", "/echo"), false);
        for piece in content.chunks(9_000) {
            peer.frame(kind::DATA, 0, stream, piece);
        }
        peer.frame(kind::DATA, flag::END_STREAM, stream, &[]);
        let answer = peer.answer(stream);
        assert_eq!(answer.status, 201);
        assert!(answer.body == content, "{length}");
    }
}

#[test]
fn interim_heads_are_passed_on_before_the_answer_is_there() {
    let (hinted, continues) = std::sync::mpsc::channel::<()>();
    let continues = std::sync::Mutex::new(continues);
    let upstream = Upstream::start(move |request, stream| {
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x\r\nX: 1\r\n\r\n";
        let _ = stream.write_all(format!("HTTP/1.1 100 Continue\r\n\r\n{hints}{hints}").as_bytes());
        if request.path() == "/waits" {
            let _ = continues.lock().unwrap().recv_timeout(crate::server::PATIENCE);
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        Then::Continue
    });
    let target = Target::of(Server::proxy(&[&upstream.address], &[]));
    let mut peer = target.connect();
    let stream = peer.ask("/waits");
    // The server answers once the client has both.
    peer.until(|peer| peer.answers[&stream].interim.len() == 2);
    hinted.send(()).unwrap();
    let answer = peer.answer(stream);
    assert_eq!((answer.status, &answer.body[..]), (200, &b"hello"[..]));
    let link = ("link".to_owned(), "</a.css>; rel=preload".to_owned());
    assert_eq!(answer.interim, [(103, vec![link.clone()]), (103, vec![link])]);
    // Many at once, each before its own answer.
    let streams: Vec<_> = (0..50).map(|_| peer.ask("/")).collect();
    for stream in streams {
        let answer = peer.answer(stream);
        assert_eq!((answer.status, answer.interim.len()), (200, 2));
    }
    assert_eq!(peer.get("/").interim.len(), 2);
}

/// A server that answers GET with content that fills every socket, and hints at the answer of a POST
/// without reading its content.
fn hinting() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map(Result::unwrap) {
            std::thread::spawn(move || {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") {
                    if !matches!(stream.read(&mut byte), Ok(1)) {
                        return;
                    }
                    head.push(byte[0]);
                }
                // Ringway may leave at any time.
                if head.starts_with(b"POST") {
                    let _ = stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
                } else {
                    let length = 32 << 20;
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                    let _ = stream.write_all(head.as_bytes());
                    let _ = stream.write_all(&vec![7; length]);
                }
                while matches!(stream.read(&mut [0; 4096]), Ok(1..)) {}
            });
        }
    });
    address
}

#[test]
fn an_error_takes_the_place_of_an_interim_head_that_waits_for_room() {
    let options = ["--max-body=1KiB", "--hold-request=0"];
    let target = Target::of(Server::proxy(&[&hinting()], &options));
    // The hint waits for room if it comes once the socket is full, and before the content that is too
    // much: nothing but time brings that about. If it has left, or has not come, the error is the same.
    for _ in 0..3 {
        let mut peer = target.connect();
        peer.generous = false;
        peer.open_window(0, 1 << 30);
        let film = peer.ask("/film");
        peer.open_window(film, 1 << 30);
        peer.let_it_fill();
        let upload = peer.request(&asking("POST", "/"), false);
        peer.frame(kind::DATA, 0, upload, b"a first piece");
        std::thread::sleep(Duration::from_millis(500));
        peer.frame(kind::DATA, flag::END_STREAM, upload, &[7; 2048]);
        std::thread::sleep(Duration::from_millis(100));
        let answer = peer.answer(upload);
        assert_eq!(answer.status, 413);
        eprintln!("{} hints", answer.interim.len());
        assert!(answer.interim.len() <= 1);
        peer.ping([1; 8]);
        peer.until(|peer| !peer.pongs.is_empty());
        assert!(peer.aways.is_empty(), "{:?}", peer.aways);
    }
}

#[test]
fn a_server_that_breaks_off_costs_its_stream() {
    let upstream = Upstream::start(script);
    let target = Target::of(Server::proxy(&[&upstream.address], &[]));
    let mut peer = target.connect();
    let beside = peer.ask("/long");
    let nothing = peer.get("/nothing");
    assert_eq!(nothing.status, 502);
    let part = peer.ask("/part");
    assert_eq!(peer.ended(part), Ended::Reset(code::INTERNAL_ERROR));
    assert_eq!(peer.answer(beside).body.len(), 1_000_000);
    assert_eq!(peer.get("/").body, b"hello");
}

/// A server behind that reads nothing: once the kernel's buffers are full, the windows stay shut.
#[test]
fn content_beyond_the_windows_ends_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let target = Target::of(Server::proxy(&[&address], &["--max-body=1GiB"]));
    let mut peer = target.connect();
    let stream = peer.request(&asking("POST", "/"), false);
    let piece = vec![7; 16_384];
    for _ in 0..4096 {
        if peer.end.is_some() || !peer.frame(kind::DATA, 0, stream, &piece) {
            break;
        }
        peer.glance();
    }
    peer.expect_away(code::FLOW_CONTROL_ERROR);
}
