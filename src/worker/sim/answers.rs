//! What a simulated client was promised, and whether it is what came.

use std::collections::VecDeque;

use super::{frames::Streams, site};

/// The expected answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    /// 200 and this file, or its sibling if the answer says gzip.
    File(&'static str),
    /// 206 and these bytes of it.
    Part(&'static str, usize, usize),
    /// This status, with whatever content.
    Status(u16),
    /// Anything that is HTTP.
    Anything,
}

/// A request that was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub(super) promise: Promise,
    /// No content follows the answer's head.
    pub(super) head_only: bool,
}

/// The requests of a client that wait for answers, and the answers so far.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// The client speaks HTTP/2.
    pub(super) streams: Option<Streams>,
    due: VecDeque<Exchange>,
    /// What was sent need not be the requests that are due.
    wild: bool,
    received: Vec<u8>,
    /// An answer said that the connection closes.
    last_seen: bool,
    /// Answers that came whole.
    pub(super) whole: usize,
}

/// An answer's head.
pub(super) struct Head {
    pub(super) status: u16,
    /// Bytes of the head itself.
    pub(super) length: usize,
    /// Bytes of its content; None if it is chunked.
    pub(super) content: Option<usize>,
    pub(super) gzip: bool,
    pub(super) closes: bool,
    pub(super) range: Option<String>,
}

impl Answers {
    pub(super) fn expect(&mut self, exchange: Exchange) {
        self.due.push_back(exchange);
    }

    /// From now on anything may have been asked.
    pub(super) fn run_wild(&mut self) {
        self.wild = true;
        self.received.clear();
    }

    /// Whether everything that was asked has been answered, or the server has said that it will
    /// not be.
    pub(super) fn are_complete(&self) -> bool {
        match &self.streams {
            Some(streams) => self.wild || streams.are_complete(),
            None => self.wild || self.due.is_empty() || self.last_seen,
        }
    }

    /// Takes plaintext. `refusals`: the server may have had a reason to refuse.
    pub(super) fn take(&mut self, bytes: &[u8], refusals: bool) {
        if self.wild {
            // Whether an answer has content depends on what was asked.
            return;
        }
        if let Some(streams) = &mut self.streams {
            streams.take(bytes, refusals);
            self.whole = streams.whole;
            return;
        }
        self.received.extend_from_slice(bytes);
        while let Some(head) = head(&self.received) {
            if head.status == 100 {
                self.received.drain(..head.length);
                continue;
            }
            assert!(!self.last_seen, "an answer follows the one that closes the connection");
            let Some(exchange) = self.due.front().copied() else {
                panic!("{} answers nothing", head.status);
            };
            let rest = self.received.get(head.length..).unwrap_or(&[]);
            let (content, body) = match head.content {
                _ if exchange.head_only => (0, Vec::new()),
                Some(length) => match rest.get(..length) {
                    Some(body) => (length, body.to_vec()),
                    None => return,
                },
                None => match dechunked(rest) {
                    Some(dechunked) => dechunked,
                    None => return,
                },
            };
            check(&head, &body, &exchange, refusals);
            self.due.pop_front();
            self.last_seen = head.closes;
            self.whole += 1;
            self.received.drain(..head.length + content);
            if exchange.head_only && head.closes && head.status >= 400 {
                // A refusal has its page even then; the close cuts it off.
                self.due.clear();
                self.wild = true;
                self.received.clear();
                return;
            }
        }
    }

    /// The server said that nothing more comes.
    pub(super) fn closed(&self, refusals: bool) {
        if let Some(streams) = self.streams.as_ref().filter(|_| !self.wild) {
            streams.closed(refusals);
        }
        assert!(
            self.wild || self.received.is_empty(),
            "the connection was closed in order in the middle of an answer"
        );
    }
}

fn head(bytes: &[u8]) -> Option<Head> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut fields);
    let status = response.parse(bytes).expect("what came is HTTP");
    let httparse::Status::Complete(length) = status else { return None };
    let field = |name: &str| {
        let found = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        found.map(|field| String::from_utf8_lossy(field.value).into_owned())
    };
    let status = response.code.unwrap_or(0);
    let empty = matches!(status, 100 | 204 | 304);
    let content = field("Content-Length").map(|value| value.parse().expect("a length"));
    let chunked = field("Transfer-Encoding").is_some_and(|coding| coding == "chunked");
    assert!(empty || content.is_some() != chunked, "{status} does not say how long it is");
    Some(Head {
        status,
        length,
        content: if empty { Some(0) } else { content },
        gzip: field("Content-Encoding").is_some_and(|coding| coding == "gzip"),
        closes: field("Connection").is_some_and(|value| value == "close"),
        range: field("Content-Range"),
    })
}

/// Chunked content: how many bytes it takes with its framing, and itself. None if its end is missing.
fn dechunked(bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
    let (mut at, mut content) = (0, Vec::new());
    loop {
        let rest = bytes.get(at..)?;
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let size = str::from_utf8(&rest[..end]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        let chunk = rest.get(end + 2..end + 2 + size)?;
        content.extend_from_slice(chunk);
        assert_eq!(rest.get(end + 2 + size..end + 4 + size)?, b"\r\n");
        at += end + 4 + size;
        if size == 0 {
            return Some((at, content));
        }
    }
}

pub(super) fn check(head: &Head, body: &[u8], exchange: &Exchange, refusals: bool) {
    let sibling = |name: &'static str| match (head.gzip, name) {
        (true, "page.html") => site::file("page.html.gz"),
        _ => site::file(name),
    };
    match exchange.promise {
        Promise::File(name) if head.status == 200 => {
            let file = sibling(name);
            if let Some(length) = head.content {
                assert_eq!(length, file.len(), "the length of {name}");
            }
            assert!(exchange.head_only || body == file, "the content of {name}");
        }
        Promise::Part(name, from, to) if head.status == 206 => {
            let file = sibling(name);
            let range = format!("bytes {from}-{}/{}", to - 1, file.len());
            assert_eq!(head.range.as_deref(), Some(&range[..]));
            assert!(body == &file[from..to], "a part of {name}");
        }
        Promise::Status(status) if head.status == status => {}
        Promise::Anything => {}
        promise => {
            let refused = head.status >= 400;
            assert!(refused && refusals, "{promise:?} was answered with {}", head.status);
        }
    }
}
