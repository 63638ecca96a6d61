//! Answers that are compressed while they are served. What comes is decoded by libraries that share no
//! code with the server's framing, by curl, and by Python's zlib.

mod clients;
mod files;
mod load;
mod pages;
mod streamed;

use std::{
    io::Read,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    client::Client,
    configured::Configured,
    proxy,
    response::Response,
    server::{PATIENCE, Server},
};

/// The content that a response carries.
fn decoded(response: &Response) -> Vec<u8> {
    decode(response.field("Content-Encoding").unwrap_or(""), &response.body)
}

fn decode(coding: &str, mut coded: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        "" => plain.extend_from_slice(coded),
        "gzip" => _ = flate2::read::GzDecoder::new(coded).read_to_end(&mut plain).unwrap(),
        "zstd" => {
            let mut decoder = zstd::stream::read::Decoder::new(coded).unwrap();
            // What browsers accept (RFC 9659).
            decoder.window_log_max(23).unwrap();
            decoder.read_to_end(&mut plain).unwrap();
        }
        "br" => brotli::BrotliDecompress(&mut coded, &mut plain).unwrap(),
        other => panic!("an unknown coding: {other}"),
    }
    plain
}

/// Asks again and again, as a client that accepts these codings, until an answer comes in one of them.
fn until_coded(client: &mut Client, path: &str, accept: &str) -> Response {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let response = get(client, path, accept);
        if response.field("Content-Encoding").is_some() {
            return response;
        }
        assert!(Instant::now() < deadline, "{path} is never compressed");
        sleep(Duration::from_millis(10));
    }
}

fn get(client: &mut Client, path: &str, accept: &str) -> Response {
    request(client, "GET", path, &format!("Accept-Encoding: {accept}\r\n"))
}

/// The answer to a request, however its content is framed.
fn request(client: &mut Client, method: &str, path: &str, fields: &str) -> Response {
    let proxy::Answer { mut head, body } = proxy::ask(client, method, path, fields, b"");
    head.body = body;
    head
}

/// A page of so many lines, which says what it is.
fn page(of: &str, lines: usize) -> Vec<u8> {
    let line = |number| format!("<p>line {number} of {of}, {}</p>\n", number * 7_919 % 1_009);
    (0..lines).map(line).collect::<String>().into_bytes()
}

/// What a command wrote to standard output.
fn output(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {complaint}");
    output.stdout
}

/// `curl --compressed` on a path, over this version: the head as it came and the decoded content.
fn curl(server: &Server, version: &str, path: &str) -> (String, Vec<u8>) {
    let head = server.site.outside().join("head");
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--compressed", "--max-time", "300", "--noproxy", "*"])
        .args([version, "--cacert"])
        .arg(&server.identity.cert)
        .arg("--resolve")
        .arg(format!("localhost:{}:127.0.0.1", server.port))
        .arg("--dump-header")
        .arg(&head)
        .arg(format!("https://localhost:{}{path}", server.port));
    let content = output(&mut curl);
    (std::fs::read_to_string(head).unwrap().to_lowercase(), content)
}

/// The content of a path as Python's zlib decodes it, over HTTP/1.1.
fn python(server: &Server, path: &str) -> Vec<u8> {
    const PROGRAM: &str = "\
import http.client, ssl, sys, time, zlib
connection = http.client.HTTPSConnection('127.0.0.1', int(sys.argv[1]), context=ssl._create_unverified_context())
while True:
    connection.request('GET', sys.argv[2], headers={'Host': 'localhost', 'Accept-Encoding': 'gzip'})
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status == 200, answer.status
    if answer.getheader('Content-Encoding') == 'gzip':
        break
    time.sleep(0.05)
decoder = zlib.decompressobj(wbits=31)
sys.stdout.buffer.write(decoder.decompress(content))
assert decoder.eof and not decoder.unused_data
";
    let port = server.port.to_string();
    output(Command::new("python3").args(["-c", PROGRAM, &port, path]))
}

/// Waits for a line of the access log with these words in which compressing took time.
fn expect_stage(server: &Configured, words: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let log = std::fs::read_to_string(server.folder.path().join("access")).unwrap_or_default();
        let took = |line: &str| {
            let rest = line.split_once("compress_us=").filter(|_| line.contains(words));
            rest.is_some_and(|(_, rest)| {
                rest.starts_with(|first: char| ('1'..='9').contains(&first))
            })
        };
        if log.lines().any(took) {
            return;
        }
        assert!(Instant::now() < deadline, "no {words} in {log}");
        sleep(Duration::from_millis(20));
    }
}
