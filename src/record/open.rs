//! Opening: one record from the wire becomes plaintext, in place.

use std::fmt;
use std::ops::Range;

use aws_lc_rs::aead::{LessSafeKey, NONCE_LEN};

use super::keys::{Framing, aead_nonce};
use super::{ContentType, MAX_PLAINTEXT, RecordError, RecordHeader, TAG, TrafficKeys};

/// A record that authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// What the record carries; in TLS 1.3 the inner type.
    pub content_type: ContentType,
    /// Where the plaintext now lies in the record that was given.
    pub plaintext: Range<usize>,
}

/// Checks and decrypts what arrives.
pub struct Opener {
    aead: LessSafeKey,
    iv: [u8; NONCE_LEN],
    framing: Framing,
    sequence: u64,
    consecutive_empty: u8,
}

impl Opener {
    /// Empty records of application data to tolerate in a row. They are legal (RFC 8446 section
    /// 5.1), but cost work and bring nothing.
    pub const MAX_CONSECUTIVE_EMPTY: u8 = 32;

    /// An opener that expects the record with the number in `keys`.
    pub fn new(keys: &TrafficKeys) -> Self {
        Self {
            aead: keys.aead(),
            iv: keys.iv(),
            framing: keys.framing(),
            sequence: keys.sequence(),
            consecutive_empty: 0,
        }
    }

    /// The number of the next record: where the kernel continues if it takes over.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Opens `record`, which is exactly one record with its header, in place.
    ///
    /// An error is fatal: send its alert and close. The record's bytes are then worthless.
    pub fn open(&mut self, record: &mut [u8]) -> Result<Opened, RecordError> {
        let header = RecordHeader::parse(record)?.ok_or(RecordError::Length)?;
        self.open_parsed(header, record)
    }

    /// The same of a record whose header was read.
    #[inline]
    pub(crate) fn open_parsed(
        &mut self,
        header: RecordHeader,
        record: &mut [u8],
    ) -> Result<Opened, RecordError> {
        if record.len() != header.record_length() {
            return Err(RecordError::Length);
        }
        // RFC 8446 section 5.2, RFC 5246 section 6.2.3: too long means record_overflow.
        if header.length > self.framing.max_fragment() {
            return Err(RecordError::Overflow);
        }
        match (self.framing, header.content_type) {
            // RFC 8446 section 5: after the peer's Finished everything is protected, and
            // protected records are application_data outside.
            (Framing::Tls13, ContentType::ApplicationData)
            | (
                Framing::Tls12Implicit | Framing::Tls12Explicit,
                ContentType::ApplicationData | ContentType::Alert | ContentType::Handshake,
            ) => {}
            (_, other) => return Err(RecordError::UnexpectedType(other)),
        }
        let next = self.sequence.checked_add(1).ok_or(RecordError::SequenceExhausted)?;

        // What is too short for a tag cannot authenticate.
        let prefix = self.framing.prefix();
        let length = record.len().checked_sub(prefix + TAG).ok_or(RecordError::BadMac)?;
        let (front, ciphertext) = record.split_at_mut_checked(prefix).ok_or(RecordError::BadMac)?;

        let mut nonce = self.framing.nonce(&self.iv, self.sequence);
        if let (Framing::Tls12Explicit, Some(sent), Some(explicit)) =
            (self.framing, front.last_chunk::<8>(), nonce.last_chunk_mut::<8>())
        {
            // RFC 5288 section 3: the sender chose its explicit part.
            *explicit = *sent;
        }
        let covered = if self.framing == Framing::Tls13 { header.length } else { length };
        let plaintext = self
            .aead
            .open_in_place(
                aead_nonce(nonce),
                self.framing.additional_data(self.sequence, header.content_type, covered),
                ciphertext,
            )
            .map_err(|_| RecordError::BadMac)?;

        let (content_type, length) = match self.framing {
            Framing::Tls13 => strip_padding(plaintext)?,
            Framing::Tls12Implicit | Framing::Tls12Explicit => {
                (header.content_type, plaintext.len())
            }
        };
        if length > MAX_PLAINTEXT {
            return Err(RecordError::Overflow);
        }
        self.check_empty(content_type, length)?;
        self.sequence = next;
        Ok(Opened { content_type, plaintext: prefix..prefix + length })
    }

    /// RFC 8446 sections 5.1 and 5.4, RFC 5246 section 6.2.1: only application data may be empty.
    fn check_empty(&mut self, content_type: ContentType, length: usize) -> Result<(), RecordError> {
        if length > 0 {
            self.consecutive_empty = 0;
            return Ok(());
        }
        if content_type != ContentType::ApplicationData {
            return Err(RecordError::Empty);
        }
        if self.consecutive_empty == Self::MAX_CONSECUTIVE_EMPTY {
            return Err(RecordError::EmptyFlood);
        }
        self.consecutive_empty += 1;
        Ok(())
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener")
            .field("framing", &self.framing)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

/// RFC 8446 section 5.4: the true content type is the last byte that is not zero.
///
/// The padding counts towards the limit of the inner plaintext (section 5.2), and the peer has
/// authenticated it, so the duration of the scan reveals nothing new.
fn strip_padding(inner: &[u8]) -> Result<(ContentType, usize), RecordError> {
    if inner.len() > MAX_PLAINTEXT + 1 {
        return Err(RecordError::Overflow);
    }
    let last = inner.iter().enumerate().rfind(|(_, byte)| **byte != 0);
    let (length, &content_type) = last.ok_or(RecordError::NoInnerType)?;
    match ContentType::from_byte(content_type) {
        // A protected ChangeCipherSpec is forbidden (RFC 8446 section 5).
        Some(ContentType::ChangeCipherSpec) => {
            Err(RecordError::UnexpectedType(ContentType::ChangeCipherSpec))
        }
        Some(known) => Ok((known, length)),
        None => Err(RecordError::UnknownType(content_type)),
    }
}
