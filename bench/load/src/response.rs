//! Reading HTTP/1.1 responses (RFC 9112), pure.
//!
//! The invariant: [`Reader`] answers for every byte once, in order; a body is as long as its
//! Content-Length says. Chunked bodies are refused: the servers measured here send files, whose
//! length they know.

use memchr::{memchr, memmem};

/// Most bytes of a response's head.
pub const MAX_HEAD: usize = 16 << 10;

/// What a response's head says, as far as a load generator cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the head itself, its empty line included.
    pub bytes: usize,
    /// The status code.
    pub status: u16,
    /// Bytes of body that follow.
    pub length: u64,
    /// Whether the server will close the connection after this response.
    pub close: bool,
}

/// The next thing in a stream of responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A head is complete.
    Head(Head),
    /// A piece of the body, not empty.
    Body(&'a [u8]),
    /// The response is complete.
    End,
}

/// Why a response cannot be read.
pub type Malformed = &'static str;

/// Splits a stream of bytes into responses.
#[derive(Debug, Default)]
pub struct Reader {
    /// A head that came in pieces.
    head: Vec<u8>,
    /// Bytes of body to come; nothing between responses.
    left: Option<u64>,
}

impl Reader {
    /// Whether the stream stands between two responses.
    pub fn is_between(&self) -> bool {
        self.left.is_none() && self.head.is_empty()
    }

    /// Takes the next event from the front of `input`; nothing if more bytes are needed.
    ///
    /// # Errors
    ///
    /// What is wrong with the response; the stream is lost then.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Event<'a>>, Malformed> {
        match self.left {
            None => self.head(input).map(|head| head.map(Event::Head)),
            Some(0) => {
                self.left = None;
                Ok(Some(Event::End))
            }
            Some(_) if input.is_empty() => Ok(None),
            Some(left) => {
                let len = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                let (piece, rest) = input.split_at(len);
                *input = rest;
                self.left = Some(left - len as u64);
                Ok(Some(Event::Body(piece)))
            }
        }
    }

    fn head(&mut self, input: &mut &[u8]) -> Result<Option<Head>, Malformed> {
        const END: &[u8] = b"\r\n\r\n";
        let head = if self.head.is_empty()
            && let Some(at) = memmem::find(input, END)
        {
            let (head, rest) = input.split_at(at + END.len());
            *input = rest;
            parse(head)?
        } else {
            // The end may straddle what came before and what comes now.
            let searched = self.head.len().saturating_sub(END.len() - 1);
            let before = self.head.len();
            self.head.extend_from_slice(&input[..input.len().min(MAX_HEAD + 1 - before)]);
            let Some(at) = memmem::find(&self.head[searched..], END) else {
                *input = &[];
                let full = self.head.len() > MAX_HEAD;
                return if full { Err("a head of more than 16 KiB") } else { Ok(None) };
            };
            let len = searched + at + END.len();
            *input = &input[len - before..];
            let head = parse(&self.head[..len])?;
            self.head.clear();
            head
        };
        self.left = Some(head.length);
        Ok(Some(head))
    }
}

/// Reads a whole head, its empty line included.
fn parse(head: &[u8]) -> Result<Head, Malformed> {
    let mut lines = Lines(head);
    let status = lines.next().and_then(status).ok_or("no HTTP/1.1 status line")?;
    let (mut length, mut close) = (None, false);
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) =
            memchr(b':', line).map(|at| (&line[..at], &line[at + 1..])).ok_or("no colon")?;
        // Names of other lengths cost nothing more.
        match name.len() {
            10 if name.eq_ignore_ascii_case(b"connection") => {
                close = value.trim_ascii().eq_ignore_ascii_case(b"close");
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let value = number(value.trim_ascii()).ok_or("Content-Length is no number")?;
                if length.replace(value).is_some_and(|earlier| earlier != value) {
                    return Err("two different Content-Lengths");
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                return Err("a Transfer-Encoding, which this tool does not read");
            }
            _ => {}
        }
    }
    let length = match (status, length) {
        (204 | 304, _) => 0,
        (100..=199, _) => return Err("an interim response that was not asked for"),
        (_, Some(length)) => length,
        (_, None) => return Err("no Content-Length"),
    };
    Ok(Head { bytes: head.len(), status, length, close })
}

/// The status code of a status line (RFC 9112 section 4).
fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.1 ")?;
    let (code, rest) = rest.split_at_checked(3)?;
    let code = number(code)?;
    (rest.first().is_none_or(|&byte| byte == b' ') && code >= 100).then_some(code as u16)
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
    })
}

/// The lines of a head, without their CRLF.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let at = memchr(b'\n', self.0)?;
        let (line, rest) = self.0.split_at(at);
        self.0 = &rest[1..];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Event, Head, MAX_HEAD, Malformed, Reader};

    /// Reads `stream` in the given pieces; events with bodies joined.
    fn read(stream: &[u8], piece: usize) -> Result<Vec<(Head, Vec<u8>, bool)>, Malformed> {
        let mut reader = Reader::default();
        let mut seen: Vec<(Head, Vec<u8>, bool)> = Vec::new();
        for mut bytes in stream.chunks(piece) {
            while let Some(event) = reader.next(&mut bytes)? {
                match event {
                    Event::Head(head) => seen.push((head, Vec::new(), false)),
                    Event::Body(piece) => seen.last_mut().unwrap().1.extend_from_slice(piece),
                    Event::End => seen.last_mut().unwrap().2 = true,
                }
            }
            assert!(bytes.is_empty());
        }
        Ok(seen)
    }

    const TWO: &[u8] = b"HTTP/1.1 200 OK\r\nDate: x\r\ncontent-length: 5\r\n\r\nhello\
        HTTP/1.1 404 Not Found\r\nContent-Length:  0 \r\nConnection: close\r\n\r\n";

    #[test]
    fn responses_are_read_in_any_pieces() {
        for piece in 1..TWO.len() {
            let seen = read(TWO, piece).unwrap();
            let first =
                (Head { bytes: 47, status: 200, length: 5, close: false }, b"hello".to_vec(), true);
            let second =
                (Head { bytes: 66, status: 404, length: 0, close: true }, Vec::new(), true);
            assert_eq!(seen, [first, second], "in pieces of {piece}");
        }
    }

    #[test]
    fn a_length_without_a_body_is_none() {
        let seen = read(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 99).unwrap();
        assert_eq!(seen[0].0.length, 0);
        assert!(seen[0].2);
    }

    #[test]
    fn what_cannot_be_framed_is_refused() {
        for bad in [
            "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n",
            "HTTP/1.1 2000 OK\r\nContent-Length: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
        ] {
            assert!(read(bad.as_bytes(), bad.len()).is_err(), "{bad}");
            assert!(read(bad.as_bytes(), 1).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_endless_head_is_refused() {
        let endless = vec![b'a'; MAX_HEAD + 1];
        for piece in [1, 1000, endless.len()] {
            assert!(read(&endless, piece).is_err());
            assert_eq!(read(&endless[1..], piece), Ok(Vec::new()));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 1..300), piece in 1..50usize) {
            let mut reader = Reader::default();
            'stream: for mut bytes in bytes.chunks(piece) {
                loop {
                    match reader.next(&mut bytes) {
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(_) => break 'stream,
                    }
                }
            }
        }
    }
}
