//! The record layer of TLS 1.3 (RFC 8446 section 5), in place.
//!
//! The invariant: a nonce is used once. [`Sealer`] and [`Opener`] own their sequence number, count
//! it up with every record and refuse to go on before the limit of the AEAD (RFC 8446 section 5.5).

use std::error::Error;
use std::fmt;

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};
use rustls::ConnectionTrafficSecrets;

/// Bytes before the ciphertext: content type, version, length (RFC 8446 section 5.1).
pub const HEADER: usize = 5;
/// Bytes after the plaintext: the inner content type and the tag.
pub const TRAILER: usize = 1 + 16;
/// Bytes that sealing adds to a plaintext.
pub const OVERHEAD: usize = HEADER + TRAILER;
/// Most bytes of plaintext in a record.
pub const MAX_PLAINTEXT: usize = 1 << 14;
/// Most bytes of ciphertext in a record (RFC 8446 section 5.2).
pub const MAX_CIPHERTEXT: usize = MAX_PLAINTEXT + 256;
/// Records that one key seals or opens at most; below the 2^24.5 of AES-GCM.
pub const MAX_RECORDS: u64 = 1 << 24;

/// The content types that follow a handshake (RFC 8446 section B.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Alerts, among them close_notify.
    Alert,
    /// Tickets and key updates.
    Handshake,
    /// What the connection is for.
    Data,
}

impl Content {
    fn code(self) -> u8 {
        match self {
            Self::Alert => 21,
            Self::Handshake => 22,
            Self::Data => 23,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::Alert, Self::Handshake, Self::Data].into_iter().find(|c| c.code() == code)
    }
}

/// Why a record could not be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The header names a content type that cannot come here, or the padding holds no type.
    ContentType,
    /// The record is longer than the protocol allows, or too short to hold a tag.
    Length,
    /// The tag does not match: the bytes were altered or the keys differ.
    Tag,
    /// The key has been used for [`MAX_RECORDS`].
    KeyLimit,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ContentType => "a record of an unexpected content type",
            Self::Length => "a record of a length that TLS 1.3 does not allow",
            Self::Tag => "a record whose tag does not match",
            Self::KeyLimit => "a key at its limit of records",
        })
    }
}

impl Error for Fault {}

/// The length of the record at the start of `bytes`, header included; nothing while the header is
/// not whole.
///
/// # Errors
///
/// [`Fault::Length`] if the header announces more than the protocol allows.
pub fn record_len(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let Some(&[_, _, _, high, low]) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
    let len = usize::from(u16::from_be_bytes([high, low]));
    if len > MAX_CIPHERTEXT { Err(Fault::Length) } else { Ok(Some(HEADER + len)) }
}

/// One direction's key, initialisation vector and sequence number.
struct Direction {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    sequence: u64,
}

impl Direction {
    fn new((sequence, secrets): &(u64, ConnectionTrafficSecrets)) -> Option<Self> {
        let (algorithm, key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return None,
        };
        let key = LessSafeKey::new(UnboundKey::new(algorithm, key.as_ref()).ok()?);
        Some(Self { key, iv: iv.as_ref().try_into().ok()?, sequence: *sequence })
    }

    /// The nonce of the next record: the sequence number, padded, XORed with the initialisation
    /// vector (RFC 8446 section 5.3).
    fn next_nonce(&mut self) -> Result<Nonce, Fault> {
        if self.sequence >= MAX_RECORDS {
            return Err(Fault::KeyLimit);
        }
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= number;
        }
        self.sequence += 1;
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

/// Seals records to the peer.
pub struct Sealer(Direction);

impl Sealer {
    /// From a direction's extracted secrets; nothing if the suite is unknown.
    pub fn new(secrets: &(u64, ConnectionTrafficSecrets)) -> Option<Self> {
        Direction::new(secrets).map(Self)
    }

    /// Records that this key may still seal.
    pub fn left(&self) -> u64 {
        MAX_RECORDS - self.0.sequence
    }

    /// Seals the plaintext that stands at `record[HEADER..][..len]` and writes header and trailer
    /// around it. Answers with the length of the record.
    ///
    /// # Errors
    ///
    /// [`Fault::Length`] if `len` exceeds [`MAX_PLAINTEXT`] or `record` has no room for the
    /// overhead, [`Fault::KeyLimit`] if the key is used up.
    pub fn seal(
        &mut self,
        record: &mut [u8],
        content: Content,
        len: usize,
    ) -> Result<usize, Fault> {
        let total = len + OVERHEAD;
        if len > MAX_PLAINTEXT || record.len() < total {
            return Err(Fault::Length);
        }
        let nonce = self.0.next_nonce()?;
        let [high, low] = ((len + TRAILER) as u16).to_be_bytes();
        let header = [23, 3, 3, high, low];
        record[..HEADER].copy_from_slice(&header);
        let (inner, tag) = record[HEADER..total].split_at_mut(len + 1);
        inner[len] = content.code();
        let sealed = self.0.key.seal_in_place_separate_tag(nonce, Aad::from(header), inner);
        tag.copy_from_slice(sealed.map_err(|_| Fault::Length)?.as_ref());
        Ok(total)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("sequence", &self.0.sequence).finish_non_exhaustive()
    }
}

/// Opens records from the peer.
pub struct Opener(Direction);

impl Opener {
    /// From a direction's extracted secrets; nothing if the suite is unknown.
    pub fn new(secrets: &(u64, ConnectionTrafficSecrets)) -> Option<Self> {
        Direction::new(secrets).map(Self)
    }

    /// Opens one whole record, as [`record_len`] measures it, in place.
    ///
    /// # Errors
    ///
    /// Every [`Fault`]; the connection is lost then.
    pub fn open<'a>(&mut self, record: &'a mut [u8]) -> Result<(Content, &'a [u8]), Fault> {
        let Some((header, sealed)) = record.split_first_chunk_mut::<HEADER>() else {
            return Err(Fault::Length);
        };
        if header[0] != Content::Data.code() {
            return Err(Fault::ContentType);
        }
        if sealed.len() < TRAILER {
            return Err(Fault::Length);
        }
        let nonce = self.0.next_nonce()?;
        let inner =
            self.0.key.open_in_place(nonce, Aad::from(*header), sealed).map_err(|_| Fault::Tag)?;
        // Padding is zeros behind the content type (RFC 8446 section 5.4).
        let last = inner.iter().rposition(|&byte| byte != 0).ok_or(Fault::ContentType)?;
        let content = Content::from_code(inner[last]).ok_or(Fault::ContentType)?;
        Ok((content, &inner[..last]))
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("sequence", &self.0.sequence).finish_non_exhaustive()
    }
}
