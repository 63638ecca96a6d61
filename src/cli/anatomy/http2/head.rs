//! Heads of requests and responses as field blocks (RFC 9113 section 8.3). Pure.

use crate::hpack::{BlockWriter, Field, FieldVisitor};
use crate::parse::h2::MAX_FRAME_SIZE;

use super::super::exchange::Question;
use super::super::response::{Head, printable};
use super::super::server_timing;

/// The field block of a request. None if it does not fit a frame.
pub(super) fn request(question: &Question<'_>) -> Option<Vec<u8>> {
    let mut bytes = vec![0; MAX_FRAME_SIZE as usize];
    let mut block = BlockWriter::new(&mut bytes);
    let target = question.target;
    let agent = concat!("ringway-anatomy/", env!("CARGO_PKG_VERSION"));
    for (name, value) in [
        (":method", question.method),
        (":scheme", "https"),
        (":authority", &target.authority()),
        (":path", &target.path),
        ("user-agent", agent),
        ("accept", "*/*"),
    ] {
        block.field(name, value.as_bytes());
    }
    let length = block.finish()?;
    bytes.truncate(length);
    Some(bytes)
}

/// What the field block of a response says.
#[derive(Debug, Default)]
pub(super) struct Said {
    status: Option<u16>,
    server: Option<String>,
    metrics: Vec<server_timing::Metric>,
    /// `Content-Length`.
    pub(super) length: Option<u64>,
}

impl Said {
    /// The status, if it is that of an interim response (RFC 9110 section 15.2).
    pub(super) fn is_interim(&self) -> bool {
        self.status.is_some_and(|status| (100..200).contains(&status))
    }

    /// The head of a block of so many bytes.
    ///
    /// # Errors
    /// It has no status.
    pub(super) fn head(self, bytes: usize) -> Result<Head, String> {
        let status = self.status.ok_or("a response without :status")?;
        // HTTP/2 has no reason phrase (RFC 9113 section 8.3.2).
        let reason = String::new();
        Ok(Head { status, reason, bytes, server: self.server, metrics: self.metrics })
    }
}

impl FieldVisitor for Said {
    fn field(&mut self, field: Field<'_>) -> bool {
        let text = || String::from_utf8_lossy(field.value);
        match field.name {
            b":status" => self.status = text().parse().ok(),
            b"content-length" => self.length = text().parse().ok(),
            b"server" => self.server = Some(printable(&text())),
            b"server-timing" => self.metrics.extend(server_timing::parse(&text())),
            // The others do not matter to this client.
            _ => {}
        }
        true
    }

    // A field that is longer than 64 KiB is none of those above.
    fn oversized(&mut self, _bytes: usize) {}
}
