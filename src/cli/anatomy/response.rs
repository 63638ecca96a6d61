//! The head of a response (RFC 9112 section 4), as it comes in.

use super::body::{Body, Chunked};
use super::server_timing::{self, Metric};

/// The longest head that is read.
const MOST_BYTES: usize = 64 << 10;
/// The most field lines that are read.
const MOST_FIELDS: usize = 128;

/// What a final response's head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// Without control characters. Empty over HTTP/2.
    pub(super) reason: String,
    /// Bytes, the empty line included; over HTTP/2 those of the field block.
    pub(super) bytes: usize,
    /// The `Server` field, without control characters.
    pub(super) server: Option<String>,
    /// All that the `Server-Timing` fields say.
    pub(super) metrics: Vec<Metric>,
}

/// Gathers a head from pieces, and passes over interim responses.
#[derive(Debug)]
pub(super) struct HeadReader {
    gathered: Vec<u8>,
    to_head: bool,
}

impl HeadReader {
    /// `to_head` says that the request was a HEAD, whose response has no content.
    pub(super) fn new(to_head: bool) -> Self {
        Self { gathered: Vec::new(), to_head }
    }

    /// Takes a piece. Answers the head, how its body is framed, and what came of that already,
    /// once the head is complete.
    ///
    /// # Errors
    /// What is wrong with the head.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<Option<(Head, Body, Vec<u8>)>, String> {
        self.gathered.extend_from_slice(piece);
        loop {
            let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
            let mut parsed = httparse::Response::new(&mut fields);
            let bytes = match parsed.parse(&self.gathered) {
                Ok(httparse::Status::Complete(bytes)) => bytes,
                Ok(httparse::Status::Partial) if self.gathered.len() < MOST_BYTES => {
                    return Ok(None);
                }
                Ok(httparse::Status::Partial) => {
                    return Err(format!("a head of more than {MOST_BYTES} bytes"));
                }
                Err(error) => return Err(error.to_string()),
            };
            let status = parsed.code.ok_or("a head without a status")?;
            if (100..200).contains(&status) && status != 101 {
                self.gathered.drain(..bytes);
                continue;
            }
            let body = self.body(status, parsed.headers)?;
            let head = head(&parsed, status, bytes);
            return Ok(Some((head, body, self.gathered.split_off(bytes))));
        }
    }

    /// RFC 9112 section 6.3.
    fn body(&self, status: u16, fields: &[httparse::Header<'_>]) -> Result<Body, String> {
        if self.to_head || matches!(status, 101 | 204 | 304) {
            return Ok(Body::Length(0));
        }
        if values(fields, "transfer-encoding").last().is_some_and(|coding| {
            coding
                .rsplit(',')
                .next()
                .is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"))
        }) {
            return Ok(Body::Chunked(Chunked::begin()));
        }
        match values(fields, "content-length").next() {
            None => Ok(Body::UntilClose),
            Some(text) => {
                text.trim().parse().map(Body::Length).map_err(|_| "Content-Length".to_owned())
            }
        }
    }
}

fn head(parsed: &httparse::Response<'_, '_>, status: u16, bytes: usize) -> Head {
    Head {
        status,
        reason: printable(parsed.reason.unwrap_or("")),
        bytes,
        server: values(parsed.headers, "server").next().map(|name| printable(&name)),
        metrics: values(parsed.headers, "server-timing")
            .flat_map(|value| server_timing::parse(&value))
            .collect(),
    }
}

fn values<'a>(
    fields: &'a [httparse::Header<'_>],
    name: &'a str,
) -> impl Iterator<Item = String> + 'a {
    fields
        .iter()
        .filter(move |field| field.name.eq_ignore_ascii_case(name))
        .map(|field| String::from_utf8_lossy(field.value).into_owned())
}

/// Fit for a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(wire: &[u8], to_head: bool) -> Result<Option<(Head, Body, Vec<u8>)>, String> {
        HeadReader::new(to_head).take(wire)
    }

    const PLAIN: &[u8] = b"HTTP/1.1 200 OK\r\nServer: Ringway\r\nContent-Length: 5\r\n\
        Server-Timing: parse;dur=0.5\r\nserver-timing: process;dur=1\r\n\r\nhe";

    #[test]
    fn a_head_in_pieces_of_any_size() {
        for piece in 1..PLAIN.len() {
            let mut reader = HeadReader::new(false);
            let mut found = None;
            for piece in PLAIN[..PLAIN.len() - 2].chunks(piece) {
                assert!(found.is_none());
                found = reader.take(piece).unwrap();
            }
            let (head, body, rest) = found.unwrap();
            assert_eq!((head.status, head.reason.as_str()), (200, "OK"));
            assert_eq!(head.bytes, PLAIN.len() - 2);
            assert_eq!(head.server.as_deref(), Some("Ringway"));
            let names: Vec<_> = head.metrics.iter().map(|metric| metric.name.as_str()).collect();
            assert_eq!(names, ["parse", "process"]);
            assert_eq!((body, rest), (Body::Length(5), Vec::new()));
        }
    }

    #[test]
    fn what_follows_the_head_is_handed_on() {
        let (_, _, rest) = read(PLAIN, false).unwrap().unwrap();
        assert_eq!(rest, b"he");
    }

    #[test]
    fn framing_by_method_status_and_fields() {
        let body = |wire: &[u8], to_head| read(wire, to_head).unwrap().unwrap().1;
        assert_eq!(body(PLAIN, true), Body::Length(0));
        assert_eq!(body(b"HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", false), Body::Length(0));
        assert_eq!(
            body(b"HTTP/1.1 200 x\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n", false),
            Body::Chunked(Chunked::begin())
        );
        assert_eq!(body(b"HTTP/1.1 200 x\r\n\r\n", false), Body::UntilClose);
    }

    #[test]
    fn interim_responses_are_passed_over() {
        let wire = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(read(wire, false).unwrap().unwrap().0.status, 204);
    }

    #[test]
    fn what_is_no_head_is_refused() {
        assert!(read(b"SSH-2.0-x\r\n", false).is_err());
        assert!(read(b"HTTP/1.1 200 x\r\nContent-Length: five\r\n\r\n", false).is_err());
        let endless = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'a'; MOST_BYTES]].concat();
        assert!(read(&endless, false).unwrap_err().contains("more than"));
    }
}
