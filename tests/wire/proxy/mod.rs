//! Requests that are passed on to other servers: `ringway proxy` before servers of our own.

mod closing;
mod connections;
mod content;
mod faults;
mod heads;
mod hostile;
mod limits;
mod logged;
mod many;
mod namespaces;
mod paced;
mod real;
mod secured;
mod settings;
mod switch;
mod trailers;
pub(crate) mod upstream;

use std::io;

use crate::client::{Client, End};
use crate::configured::Configured;
use crate::response::Response;
use upstream::Upstream;

/// A server whose only pool is this upstream, with these settings of the pool and of the route.
fn of_file(upstream: &Upstream, pool: &str, route: &str) -> Configured {
    let text = format!(
        "[[site]]\n[[site.route]]\npath = '/'\nproxy = 'app'\n{route}\n\
         [pool.app]\nservers = '{}'\n{pool}\n",
        upstream.address
    );
    Configured::start(&text, |_| {})
}

/// An answer as it came, and how its content ended.
pub(crate) struct Answer {
    pub(crate) head: Response,
    pub(crate) body: Vec<u8>,
}

/// Takes the answer to a request with this method.
fn answer(client: &mut Client, method: &str) -> io::Result<Answer> {
    let head = client.try_head()?;
    let bodiless = method == "HEAD" || head.status < 200 || [204, 304].contains(&head.status);
    let mut body = Vec::new();
    if bodiless {
        return Ok(Answer { head, body });
    }
    if head.field("Transfer-Encoding").is_some() {
        assert!(head.field("Content-Length").is_none(), "one framing");
        loop {
            let size = usize::from_str_radix(&line(client)?, 16).unwrap();
            exactly(client, size, &mut body)?;
            assert_eq!(line(client)?, "", "a chunk ends with CRLF, and there are no trailers");
            if size == 0 {
                return Ok(Answer { head, body });
            }
        }
    }
    let length = head.promised() as usize;
    exactly(client, length, &mut body)?;
    Ok(Answer { head, body })
}

/// Sends a request and takes the answer.
pub(crate) fn ask(
    client: &mut Client,
    method: &str,
    path: &str,
    fields: &str,
    content: &[u8],
) -> Answer {
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{fields}").into_bytes();
    if !content.is_empty() {
        request.extend_from_slice(format!("Content-Length: {}\r\n", content.len()).as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(content);
    client.send(&request);
    answer(client, method).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

fn exactly(client: &mut Client, count: usize, into: &mut Vec<u8>) -> io::Result<()> {
    let start = into.len();
    into.resize(start + count, 0);
    let mut filled = start;
    while filled < into.len() {
        let read = client.read(&mut into[filled..])?;
        if read == 0 {
            into.truncate(filled);
            return Err(io::Error::new(io::ErrorKind::WriteZero, "a clean end within the content"));
        }
        filled += read;
    }
    Ok(())
}

fn line(client: &mut Client) -> io::Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        exactly(client, 1, &mut line)?;
    }
    line.truncate(line.len() - 2);
    Ok(String::from_utf8(line).unwrap())
}

/// Asserts that a client notices that an answer is not whole: neither a clean end nor a close_notify.
fn expect_cut(client: &mut Client, method: &str, what: &str) {
    match answer(client, method) {
        Ok(answer) => panic!("{what}: {} with {} bytes", answer.head.status, answer.body.len()),
        Err(error) => assert_ne!(error.kind(), io::ErrorKind::WriteZero, "{what}: {error}"),
    }
    let (_, end) = client.end();
    assert!(matches!(end, End::Truncated | End::Reset), "{what}: {end:?}");
}
