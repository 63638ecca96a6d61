//! The five bytes before every record (RFC 8446 section 5.1, RFC 5246 section 6.2.1).

use super::{MAX_PLAINTEXT, RecordError};

/// Length of a record header in bytes.
pub(crate) const HEADER: usize = 5;

/// `legacy_record_version` of every record after the first `ClientHello`.
pub(super) const RECORD_VERSION: [u8; 2] = [0x03, 0x03];

/// What a record carries (RFC 8446 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ContentType {
    /// A change of cipher, or in TLS 1.3 a relic of one.
    ChangeCipherSpec = 20,
    /// An alert.
    Alert = 21,
    /// Handshake messages; after the handshake, a `KeyUpdate`.
    Handshake = 22,
    /// Application data; in TLS 1.3 the outer type of every protected record.
    ApplicationData = 23,
}

impl ContentType {
    /// The content type of this number, if TLS knows it. Also for the record type that kernel
    /// TLS reports beside a control record.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            20 => Some(Self::ChangeCipherSpec),
            21 => Some(Self::Alert),
            22 => Some(Self::Handshake),
            23 => Some(Self::ApplicationData),
            _ => None,
        }
    }
}

/// A record header that passed every check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// The outer content type.
    pub content_type: ContentType,
    /// Bytes of the fragment that follows the header.
    pub length: usize,
}

impl RecordHeader {
    /// Reads the header at the start of `bytes`; `None` when fewer than five bytes are there.
    ///
    /// The length passes if some protected record of TLS 1.2 or 1.3 may have it; an
    /// [`Opener`](super::Opener) then applies the exact limit of its version.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, RecordError> {
        let Some((header, [major, minor])) = Self::read(bytes)? else {
            return Ok(None);
        };
        if [major, minor] != RECORD_VERSION {
            return Err(RecordError::Version(major, minor));
        }
        // Every protected record carries a tag, so an empty fragment is never one.
        if header.length == 0 {
            return Err(RecordError::Empty);
        }
        Ok(Some(header))
    }

    /// Reads a header during the handshake, where the version is not yet negotiated: the first
    /// `ClientHello` may say 0x0301 and a recipient ignores the field (RFC 8446 section 5.1), and
    /// empty fragments are rustls's to judge.
    pub fn parse_initial(bytes: &[u8]) -> Result<Option<Self>, RecordError> {
        let Some((header, [major, minor])) = Self::read(bytes)? else {
            return Ok(None);
        };
        if major != RECORD_VERSION[0] {
            return Err(RecordError::Version(major, minor));
        }
        Ok(Some(header))
    }

    /// The checks that hold for every record, and its version field.
    fn read(bytes: &[u8]) -> Result<Option<(Self, [u8; 2])>, RecordError> {
        let Some(&[content_type, major, minor, high, low]) = bytes.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let content_type =
            ContentType::from_byte(content_type).ok_or(RecordError::UnknownType(content_type))?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > MAX_PLAINTEXT + 256 {
            return Err(RecordError::Overflow);
        }
        Ok(Some((Self { content_type, length }, [major, minor])))
    }

    /// Length in bytes of the whole record, header included.
    pub fn record_length(&self) -> usize {
        HEADER + self.length
    }
}

/// Encodes the header of a record that we send. `length` is at most that of TLS
/// 1.3's longest ciphertext, 2^14 + 256 bytes, which fits 16 bits.
pub(super) fn encode_header(content_type: ContentType, length: usize) -> [u8; HEADER] {
    let [high, low] = (length as u16).to_be_bytes();
    [content_type as u8, RECORD_VERSION[0], RECORD_VERSION[1], high, low]
}
