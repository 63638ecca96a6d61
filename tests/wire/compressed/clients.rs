//! Clients that share no code with the server: curl, and Python.

use super::{
    streamed::{HTML, answer, in_front_of, send},
    *,
};
use crate::{
    configured::Configured,
    proxy::upstream::{Then, Upstream},
};

/// Several streams of one connection, by a client that shares no code with the server.
#[test]
fn curl_gets_it_over_either_protocol_and_several_streams_at_once() {
    if !crate::host::has_program("curl") {
        return;
    }
    let content = page("the answer", 40_000);
    let answered = content.clone();
    let upstream = Upstream::start(move |request, stream| {
        if request.path() == "/chunked" {
            send(
                stream,
                format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{HTML}\r\n").as_bytes(),
            );
            for piece in answered.chunks(10_000) {
                send(stream, format!("{:x}\r\n", piece.len()).as_bytes());
                send(stream, &[piece, b"\r\n"].concat());
            }
            send(stream, b"0\r\n\r\n");
            return Then::Continue;
        }
        answer(stream, HTML, &answered)
    });
    let server = in_front_of(&upstream, "");
    for version in ["--http1.1", "--http2"] {
        let deadline = Instant::now() + PATIENCE;
        let mut coded = 0;
        while coded < 3 {
            let results = curls(&server, version, &["/", "/chunked", "/again"]);
            assert!(results.iter().all(|(_, got)| *got == content), "{version}");
            coded = results.iter().filter(|(head, _)| head.contains("content-encoding: ")).count();
            assert!(Instant::now() < deadline, "{version}: {coded}");
        }
    }
}

/// `curl --compressed` on these paths at once, over one connection with HTTP/2: heads and decoded contents.
pub(super) fn curls(server: &Configured, version: &str, paths: &[&str]) -> Vec<(String, Vec<u8>)> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--parallel", "--compressed", "--max-time", "300"])
        .args(["--noproxy", "*", version, "--cacert"])
        .arg(&server.identity.cert)
        .arg("--resolve")
        .arg(format!("localhost:{}:127.0.0.1", server.port));
    let file = |number: usize| server.folder.path().join(format!("curl{number}"));
    for (number, path) in paths.iter().enumerate() {
        curl.arg("--include").arg("--output").arg(file(number));
        curl.arg(format!("https://localhost:{}{path}", server.port));
    }
    output(&mut curl);
    let all = (0..paths.len()).map(|number| std::fs::read(file(number)).unwrap());
    let split = |bytes: Vec<u8>| {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        (String::from_utf8_lossy(&bytes[..end]).to_lowercase(), bytes[end..].to_vec())
    };
    all.map(split).collect()
}

/// By Python's zlib, and by `zstandard` and `brotli` of PyPI where they are there.
#[test]
fn clients_in_python_decode_it() {
    const PROGRAM: &str = "\
import http.client, importlib, ssl, sys, time, zlib
def gzip(content):
    decoder = zlib.decompressobj(wbits=31)
    plain = decoder.decompress(content)
    assert decoder.eof and not decoder.unused_data
    return plain
decoders = {'gzip': gzip}
for coding, module in [('zstd', 'zstandard'), ('br', 'brotli')]:
    try:
        found = importlib.import_module(module)
    except ImportError:
        continue
    decoders[coding] = (lambda content, found=found: found.decompress(content)) if coding == 'br' else (
        lambda content, found=found: found.ZstdDecompressor().decompressobj().decompress(content))
whole = set()
for coding, decode in decoders.items():
    while True:
        connection = http.client.HTTPSConnection('127.0.0.1', int(sys.argv[1]), context=ssl._create_unverified_context())
        connection.request('GET', '/', headers={'Host': 'localhost', 'Accept-Encoding': coding})
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status == 200, answer.status
        if answer.getheader('Content-Encoding') == coding:
            break
        time.sleep(0.05)
    whole.add(decode(content))
assert len(whole) == 1
sys.stdout.buffer.write(whole.pop())
";
    if !crate::host::has_program("python3") {
        return;
    }
    let content = page("the answer", 9_000);
    let answered = content.clone();
    let upstream = Upstream::start(move |_, stream| answer(stream, HTML, &answered));
    let server = in_front_of(&upstream, "");
    let port = server.port.to_string();
    assert_eq!(output(Command::new("python3").args(["-c", PROGRAM, &port])), content);
}

/// More rounds than a worker has encoders, in each of which a coded answer is reset in its midst.
#[test]
fn streams_side_by_side_of_which_one_is_reset_and_one_is_slow() {
    let found = crate::host::has_program("python3")
        && Command::new("python3")
            .args(["-c", "import h2"])
            .status()
            .is_ok_and(|run| run.success());
    if !found {
        eprintln!("skipped: pip install h2");
        return;
    }
    let content = page("the answer", 8_000);
    let answered = content.clone();
    let upstream = Upstream::start(move |_, stream| {
        send(
            stream,
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{HTML}\r\n").as_bytes(),
        );
        for piece in answered.chunks(20_000) {
            let head = format!("{:x}\r\n", piece.len());
            send(stream, &[head.as_bytes(), piece, b"\r\n"].concat());
        }
        send(stream, b"0\r\n\r\n");
        Then::Continue
    });
    let text = format!(
        "[[site]]\n[[site.route]]\nproxy = 'app'\ncompress = true\n\
         [[site.route]]\npath = '/files/'\nfiles = 'www'\ncompress = true\n\
         [pool.app]\nservers = '{}'\n",
        upstream.address
    );
    let server = Configured::start(&text, |folder| {
        std::fs::create_dir(folder.join("www")).unwrap();
        std::fs::write(folder.join("www/page.html"), &content).unwrap();
    });
    let mut client = Command::new("python3");
    client.args(["-c", include_str!("side_by_side.py"), &server.port.to_string()]);
    client.arg(server.folder.path().join("www/page.html")).arg("40");
    assert_eq!(String::from_utf8_lossy(&output(&mut client)), "all is well\n");
}
