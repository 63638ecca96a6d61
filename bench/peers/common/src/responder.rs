//! A small HTTP/1.1 server of files in memory on rustls's buffered connection, without its socket:
//! what somebody would write who uses a runtime of io_uring that has no HTTP server.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use rustls::{ServerConfig, ServerConnection};

use crate::files::Files;

/// Most bytes of a request's head.
const MAX_HEAD: usize = 16 << 10;
/// Bytes of plaintext sealed at once.
const PIECE: usize = 256 << 10;

/// One connection.
#[derive(Debug)]
pub struct Responder {
    tls: ServerConnection,
    files: Rc<Files>,
    /// Heads that are not complete.
    input: Vec<u8>,
    /// Heads and bodies to be sealed.
    queue: VecDeque<Bytes>,
    date: (Instant, String),
}

impl Responder {
    /// A connection before its handshake.
    ///
    /// # Errors
    ///
    /// rustls's, if the configuration is not sound.
    pub fn new(config: &Arc<ServerConfig>, files: &Rc<Files>) -> Result<Self, rustls::Error> {
        let mut tls = ServerConnection::new(Arc::clone(config))?;
        tls.set_buffer_limit(None);
        Ok(Self {
            tls,
            files: Rc::clone(files),
            input: Vec::new(),
            queue: VecDeque::new(),
            date: (Instant::now(), httpdate::fmt_http_date(SystemTime::now())),
        })
    }

    /// Takes bytes that came.
    ///
    /// # Errors
    ///
    /// If they are no TLS or no HTTP; what [`produce`](Self::produce) has should still be sent.
    pub fn receive(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.tls.read_tls(&mut bytes)?;
            self.tls.process_new_packets().map_err(io::Error::other)?;
            match self.tls.reader().read_to_end(&mut self.input) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        self.requests()
    }

    fn requests(&mut self) -> io::Result<()> {
        let mut used = 0;
        loop {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut request = httparse::Request::new(&mut fields);
            let head = &self.input[used..];
            match request.parse(head).map_err(io::Error::other)? {
                httparse::Status::Partial if head.len() > MAX_HEAD => {
                    return Err(io::Error::other("a head of more than 16 KiB"));
                }
                httparse::Status::Partial => break,
                httparse::Status::Complete(len) => {
                    let target = request.path.unwrap_or_default().to_owned();
                    used += len;
                    self.respond(&target);
                }
            }
        }
        self.input.drain(..used);
        Ok(())
    }

    fn respond(&mut self, target: &str) {
        if self.date.0.elapsed() > Duration::from_secs(1) {
            self.date = (Instant::now(), httpdate::fmt_http_date(SystemTime::now()));
        }
        let date = &self.date.1;
        let Some(file) = self.files.get(target) else {
            let head =
                format!("HTTP/1.1 404 Not Found\r\ndate: {date}\r\ncontent-length: 0\r\n\r\n");
            return self.queue.push_back(head.into());
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ndate: {date}\r\ncontent-type: application/octet-stream\r\n\
             content-length: {}\r\nlast-modified: {}\r\netag: {}\r\n\r\n",
            file.body.len(),
            file.last_modified,
            file.etag
        );
        // A small body leaves in the record of its head.
        if head.len() + file.body.len() <= 1 << 14 {
            self.queue.push_back([head.as_bytes(), &file.body].concat().into());
        } else {
            self.queue.push_back(head.into());
            self.queue.push_back(file.body.clone());
        }
    }

    /// Appends to `output` what can be sent now; leaves it as it is if there is nothing.
    ///
    /// # Errors
    ///
    /// rustls's.
    pub fn produce(&mut self, output: &mut Vec<u8>) -> io::Result<()> {
        let mut room = PIECE;
        while room > 0 && !self.tls.is_handshaking() {
            let Some(next) = self.queue.front_mut() else { break };
            let piece = next.split_to(next.len().min(room));
            room -= piece.len();
            if next.is_empty() {
                self.queue.pop_front();
            }
            self.tls.writer().write_all(&piece)?;
        }
        while self.tls.wants_write() {
            self.tls.write_tls(output)?;
        }
        Ok(())
    }
}
