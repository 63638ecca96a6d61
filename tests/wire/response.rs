//! A strict reader of HTTP/1.1 responses: what it does not expect, it refuses.

use std::io::{self, ErrorKind, Read};

/// A response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The value of a field that stands once, or not at all.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} stands twice: {:?}", self.fields);
        value
    }

    /// The values of all fields of this name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// All fields, in their order.
    #[allow(dead_code, reason = "for the tests of HTTP/2, which compare both protocols")]
    pub(crate) fn fields(&self) -> &[(String, String)] {
        &self.fields
    }

    /// The value of a field that must be there.
    pub(crate) fn need(&self, name: &str) -> &str {
        self.field(name).unwrap_or_else(|| panic!("no {name}: {} {:?}", self.status, self.fields))
    }

    /// Whether a list field has this member.
    pub(crate) fn lists(&self, name: &str, member: &str) -> bool {
        let value = self.field(name).unwrap_or_default();
        value.split(',').any(|item| item.trim().eq_ignore_ascii_case(member))
    }

    /// Whether the server says that it will close.
    pub(crate) fn closes(&self) -> bool {
        self.lists("Connection", "close")
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The length that was promised.
    pub(crate) fn promised(&self) -> u64 {
        self.need("Content-Length").parse().unwrap()
    }
}

/// Takes responses from a stream, keeping what is read too far.
#[derive(Default)]
pub(crate) struct ResponseReader {
    buffer: Vec<u8>,
}

impl ResponseReader {
    /// Takes one response to a request with this method, an interim one included.
    pub(crate) fn response(
        &mut self,
        stream: &mut impl Read,
        method: &str,
    ) -> io::Result<Response> {
        let mut response = self.head(stream)?;
        let bodiless =
            method == "HEAD" || response.status < 200 || [204, 304].contains(&response.status);
        if bodiless {
            return Ok(response);
        }
        assert!(
            response.field("Transfer-Encoding").is_none(),
            "every response of this server has a known length"
        );
        let length = usize::try_from(response.promised()).unwrap();
        while self.buffer.len() < length {
            self.fill(stream)?;
        }
        response.body = self.buffer.drain(..length).collect();
        Ok(response)
    }

    /// Takes one response head.
    pub(crate) fn head(&mut self, stream: &mut impl Read) -> io::Result<Response> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            assert!(self.buffer.len() < 64 << 10, "a response head without end");
            self.fill(stream)?;
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        Ok(parse(&head[..end]))
    }

    /// Reads bytes, first those that were read too far.
    pub(crate) fn read(&mut self, stream: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
        if self.buffer.is_empty() {
            return stream.read(into);
        }
        let length = self.buffer.len().min(into.len());
        into[..length].copy_from_slice(&self.buffer[..length]);
        self.buffer.drain(..length);
        Ok(length)
    }

    fn fill(&mut self, stream: &mut impl Read) -> io::Result<()> {
        let mut piece = [0; 16384];
        let read = loop {
            match stream.read(&mut piece) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        if read == 0 {
            let held = String::from_utf8_lossy(&self.buffer);
            let held: String = held.chars().take(200).collect();
            return Err(io::Error::new(ErrorKind::WriteZero, format!("closed after {held:?}")));
        }
        self.buffer.extend_from_slice(&piece[..read]);
        Ok(())
    }
}

fn parse(head: &[u8]) -> Response {
    let text = std::str::from_utf8(head).expect("a head in ASCII");
    assert!(text.is_ascii(), "a head in ASCII: {text}");
    let mut lines = text.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let rest = status_line.strip_prefix("HTTP/1.1 ").unwrap_or_else(|| panic!("{status_line:?}"));
    let (status, reason) = rest.split_once(' ').expect("a status and a reason");
    assert!(status.len() == 3 && reason.bytes().all(|byte| byte >= b' '), "{status_line:?}");
    let fields = lines.map(|line| {
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("field line {line:?}"));
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        assert!(!name.is_empty() && name.bytes().all(token), "field name {name:?}");
        assert!(value.trim() == value && !value.contains(|c: char| c.is_control()), "{line:?}");
        (name.to_owned(), value.to_owned())
    });
    Response { status: status.parse().unwrap(), fields: fields.collect(), body: Vec::new() }
}
