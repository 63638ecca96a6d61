//! `ringway anatomy --http2`, the program as a client of the program; and what the report says of the
//! streams of a connection.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use ringway_bench_h2::frame::setting;
use serde_json::Value;

use crate::server::{PATIENCE, Server, run};
use crate::site::Site;
use crate::target::Target;

/// A site with a film of 4 MiB.
fn with_film(options: &[&str]) -> Server {
    let site = Site::new();
    site.noise("film.bin", FILM);
    Server::start(site, options)
}

const FILM: usize = 4 << 20;

/// Runs it. Returns whether it succeeded, what it printed, and what it complained of.
fn anatomy(server: &Server, path: &str, more: &[&str]) -> (bool, String, String) {
    let url = format!("https://localhost:{}{path}", server.port);
    let certificate = server.identity.cert.to_str().unwrap();
    let all = ["anatomy", url.as_str(), "--http2", "--timeout=5m", "--cacert", certificate];
    let output = run(&[&all[..], more].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

fn json(server: &Server, path: &str, more: &[&str]) -> Value {
    let (done, out, err) = anatomy(server, path, &[&["--json"], more].concat());
    assert!(done, "{err}");
    serde_json::from_str(&out).unwrap()
}

/// Text with every run of spaces and line ends as one space.
fn flowing(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn one_request_is_drawn_as_over_http1() {
    let server = with_film(&["--server-timing"]);
    let (done, out, err) = anatomy(&server, "/film.bin", &[]);
    assert!(done, "{err}");
    let text = flowing(&out);
    for part in [
        "First connection, full handshake",
        "Second connection, resumed",
        "HTTP/2 over TLS 1.3",
        "first byte",
        "last byte",
        "that the server admits,",
        "200 from ringway",
        "content 4,194,304 bytes",
        "closed with close_notify",
    ] {
        assert!(text.contains(part), "{part}\n{out}");
    }
    assert!(!text.contains("requests at once"), "{out}");
    let (done, out, err) = anatomy(&server, "/none", &["--method=head"]);
    assert!(done && out.contains("404 from ringway"), "{out}{err}");
    let (done, out, err) = anatomy(&server, "/", &["--watch", "--repeat=2", "--every=1ms"]);
    assert!(done && out.lines().count() == 3, "{out}{err}");
}

#[test]
fn many_requests_at_once_have_a_track_each() {
    let server = with_film(&["--server-timing"]);
    let value = json(&server, "/film.bin", &["-n", "20"]);
    for connection in ["first", "second"] {
        let seen = &value["rounds"][0][connection];
        assert_eq!((&seen["protocol"], &seen["ending"]), (&"h2".into(), &"close_notify".into()));
        let streams = seen["streams"].as_array().unwrap();
        let ids: Vec<_> = streams.iter().map(|stream| stream["stream"].as_u64().unwrap()).collect();
        assert_eq!(ids, (0..20).map(|number| 2 * number + 1).collect::<Vec<_>>());
        for stream in streams {
            assert_eq!((&stream["outcome"], &stream["status"]), (&"complete".into(), &200.into()));
            assert_eq!(stream["content_bytes"], FILM, "{stream}");
            let (first, last) = (&stream["first_byte_us"], &stream["last_byte_us"]);
            assert!(first.as_f64().unwrap() <= last.as_f64().unwrap(), "{stream}");
            assert!(!stream["server_timing"].as_array().unwrap().is_empty(), "{stream}");
        }
        assert_eq!(seen["response"]["content_bytes"], 20 * FILM);
    }
    let (done, out, err) = anatomy(&server, "/hello.txt", &["-n", "20"]);
    assert!(done, "{err}");
    // On both connections.
    let tracks = out.lines().filter(|line| line.contains(" 200 ") && line.contains('█'));
    assert_eq!(tracks.count(), 40, "{out}");
    let text = flowing(&out);
    for part in ["20 of 20 complete", "; the server spent most on "] {
        assert_eq!(text.matches(part).count(), 2, "{part}\n{out}");
    }
}

#[test]
fn streams_that_fail_say_how() {
    let server = with_film(&["--h2-streams=4"]);
    let value = json(&server, "/film.bin", &["-n", "40"]);
    let streams = value["rounds"][0]["first"]["streams"].as_array().unwrap();
    let with = |outcome: &str| streams.iter().filter(|one| one["outcome"] == outcome).count();
    assert!(with("complete") >= 4 && with("reset") > 0, "{streams:?}");
    assert_eq!(with("complete") + with("reset"), 40, "{streams:?}");
    let reset = streams.iter().find(|one| one["outcome"] == "reset").unwrap();
    assert_eq!(reset["code"], "REFUSED_STREAM");
    let (done, out, err) = anatomy(&server, "/film.bin", &["-n", "40"]);
    assert!(done && out.contains("REFUSED_STREAM"), "{out}{err}");
}

#[test]
fn a_server_without_http2_is_named_as_one() {
    let server = Server::plain(&["--no-h2"]);
    let (done, out, err) = anatomy(&server, "/", &[]);
    assert!(!done && out.is_empty() && err.contains("--http2"), "{out}{err}");
}

#[test]
fn several_at_once_need_http2() {
    let output = run(&["anatomy", "https://localhost/", "-n", "20"]);
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && err.contains("--http2"), "{err}");
}

/// `/anatomy.json` of a server with `--admin`.
fn report(server: &Server) -> Value {
    let mut socket = UnixStream::connect(server.site.outside().join("admin")).unwrap();
    socket.write_all(b"GET /anatomy.json HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn open_streams_and_the_siblings_of_slow_requests_are_reported() {
    const WINDOW: u32 = 10_000;
    const CLIP: usize = 2 * WINDOW as usize;
    let site = Site::new();
    site.noise("film.bin", FILM);
    site.noise("clip.bin", CLIP);
    let admin = format!("--admin=unix:{}", site.outside().join("admin").display());
    let target = Target::start(site, &[&admin]);
    let server = target.server();
    let mut peer = target.connect_with(&[(setting::INITIAL_WINDOW_SIZE, WINDOW)]);
    peer.generous = false;
    let films: Vec<u32> =
        ["/clip.bin", "/film.bin", "/film.bin"].iter().map(|path| peer.ask(path)).collect();
    peer.until(|peer| films.iter().all(|film| peer.answers[film].body.len() == WINDOW as usize));
    // The last one is open wide, so that the connection's window shuts.
    peer.open_window(films[2], 1 << 24);
    peer.until(|peer| peer.data.iter().map(|(_, length)| length).sum::<usize>() == 65_535);
    // Asked for behind all that, so that the server has noted it.
    peer.ping(*b"anything");
    peer.until(|peer| !peer.pongs.is_empty());
    let report_now = report(server);
    assert_eq!(report_now["http2"]["requests"], 3, "{}", report_now["http2"]);
    let [connection] = &report_now["streams"].as_array().unwrap()[..] else {
        panic!("{}", report_now["streams"])
    };
    assert_eq!((&connection["open"], &connection["window_bytes"]), (&3.into(), &0.into()));
    let streams = connection["streams"].as_array().unwrap();
    let bytes = [u64::from(WINDOW), u64::from(WINDOW), 65_535 - 2 * u64::from(WINDOW)];
    for ((stream, film), bytes) in streams.iter().zip(&films).zip(bytes) {
        assert_eq!((&stream["stream"], &stream["stage"]), (&(*film).into(), &"window".into()));
        assert_eq!(stream["bytes"], bytes, "{stream}");
        assert_eq!(stream["window_bytes"] == 0, *film != films[2], "{stream}");
        assert!(stream["stage_ns"].as_u64() <= stream["open_ns"].as_u64(), "{stream}");
    }

    // The first, short one ends while the second is shut: that is its sibling, and the third has ended. Its own
    // window was shut for far longer than the rest of it takes.
    peer.open_window(0, 1 << 26);
    assert_eq!(peer.answer(films[2]).body.len(), FILM);
    std::thread::sleep(Duration::from_secs(1));
    peer.open_window(films[0], 1 << 24);
    assert_eq!(peer.answer(films[0]).body.len(), CLIP);
    peer.ping(*b"and then");
    peer.until(|peer| peer.pongs.len() == 2);
    let after = report(server);
    assert_eq!(after["streams"][0]["open"], 1, "{}", after["streams"]);
    let slowest = after["slowest"].as_array().unwrap();
    let first = slowest.iter().find(|slow| slow["stream"] == films[0]).unwrap();
    assert_eq!(first["dominant"], "window", "{first}");
    let siblings = &first["beside"]["siblings"];
    assert_eq!((&siblings["open"], &siblings["ended"]), (&1.into(), &1.into()), "{siblings}");
    let furthest = &siblings["furthest"][0];
    assert_eq!((&furthest["stream"], &furthest["stage"]), (&films[1].into(), &"window".into()));

    // Nothing is left of a connection that has ended.
    peer.close();
    peer.until(|peer| peer.end.is_some());
    let deadline = Instant::now() + PATIENCE;
    while report(server)["streams"] != Value::Array(Vec::new()) {
        assert!(Instant::now() < deadline, "{}", report(server)["streams"]);
        std::thread::sleep(Duration::from_millis(20));
    }
}
