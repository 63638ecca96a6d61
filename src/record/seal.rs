//! Sealing: one record of plaintext becomes one record on the wire.

use std::fmt;

use aws_lc_rs::aead::{LessSafeKey, NONCE_LEN};

use super::header::encode_header;
use super::keys::{Framing, aead_nonce};
use super::{ContentType, HEADER, MAX_PLAINTEXT, TrafficKeys};

/// Why a record was not sealed. Nothing has been used up: no sequence number, no nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// More than [`MAX_PLAINTEXT`] bytes for one record.
    TooLong,
    /// The room given is shorter than the plaintext and [`Sealer::overhead`].
    NoRoom,
    /// The key has protected as many records as it may: update it or close.
    KeyExhausted,
    /// The AEAD refused, which it does for none of the lengths that pass the other checks.
    Aead,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "plaintext is longer than one record",
            Self::NoRoom => "no room for the record",
            Self::KeyExhausted => "the key has protected as many records as it may",
            Self::Aead => "the cipher refused to seal",
        })
    }
}

impl std::error::Error for SealError {}

/// Protects what is sent.
pub struct Sealer {
    aead: LessSafeKey,
    iv: [u8; NONCE_LEN],
    framing: Framing,
    sequence: u64,
    limit: u64,
}

/// One record's memory, cut into what the AEAD reads and writes.
struct Layout<'a> {
    /// The payload, or the run of bytes that it begins with: ciphertext after sealing.
    payload: &'a mut [u8],
    /// The tail of the payload and the inner content type of TLS 1.3, encrypted, and the tag.
    suffix: &'a mut [u8],
    /// The nonce of the record.
    nonce: [u8; NONCE_LEN],
}

impl Sealer {
    /// Records kept back below the limit of the key, so that a `KeyUpdate`, an alert and what is
    /// already queued can still be sealed after [`exhausted`](Self::exhausted) turns true.
    pub const MARGIN: u64 = 1 << 10;

    /// The longest tail of [`seal_with_tail`](Self::seal_with_tail): the head of an HTTP/2 frame.
    pub const MAX_TAIL: usize = 9;

    /// A sealer whose first record has the number in `keys`.
    ///
    /// Make only one from the same keys and sequence number: a second would repeat nonces.
    pub fn new(keys: &TrafficKeys) -> Self {
        Self {
            aead: keys.aead(),
            iv: keys.iv(),
            framing: keys.framing(),
            sequence: keys.sequence(),
            limit: keys.suite().record_limit(),
        }
    }

    /// Bytes before the payload in a record: the header, and the explicit nonce of TLS 1.2.
    pub fn prefix(&self) -> usize {
        self.framing.prefix()
    }

    /// Bytes that a record adds to its plaintext, header included.
    pub fn overhead(&self) -> usize {
        self.framing.prefix() + self.framing.suffix()
    }

    /// The number of the next record: where the kernel continues if it takes over.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether the key should be replaced before more is sent (RFC 8446 section 5.5).
    pub fn exhausted(&self) -> bool {
        self.sequence >= self.limit - Self::MARGIN
    }

    /// Seals `plaintext` as one record at the start of `out`, in one pass from the one to the
    /// other, and returns the length of the record: that of `plaintext` plus
    /// [`overhead`](Self::overhead).
    pub fn seal(
        &mut self,
        content_type: ContentType,
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, SealError> {
        self.seal_with_tail(content_type, plaintext, &[], out)
    }

    /// The same for `plaintext` and then `tail`, at most [`MAX_TAIL`](Self::MAX_TAIL) bytes that lie
    /// elsewhere. The AEAD reads one run of bytes and few behind it, so `plaintext` is not copied.
    ///
    /// # Errors
    /// As [`Self::seal`]; [`SealError::TooLong`] for a longer tail too.
    pub fn seal_with_tail(
        &mut self,
        content_type: ContentType,
        plaintext: &[u8],
        tail: &[u8],
        out: &mut [u8],
    ) -> Result<usize, SealError> {
        let whole = plaintext.len() + tail.len();
        if tail.len() > Self::MAX_TAIL {
            return Err(SealError::TooLong);
        }
        let mut behind = [0; Self::MAX_TAIL + 1];
        behind[..tail.len()].copy_from_slice(tail);
        let inner = self.inner_type(&[content_type as u8]).len();
        behind[tail.len()] = content_type as u8;
        let (layout, length) = self.lay_out(content_type, plaintext.len(), tail.len(), out)?;
        self.aead
            .seal_out_of_place_scatter(
                aead_nonce(layout.nonce),
                self.additional_data(content_type, whole),
                plaintext,
                layout.payload,
                &behind[..tail.len() + inner],
                layout.suffix,
            )
            .map_err(|_| SealError::Aead)?;
        self.sequence += 1;
        Ok(length)
    }

    /// Seals in place the `length` bytes that already lie in `record` from
    /// [`prefix`](Self::prefix) on, and returns the length of the record.
    pub fn seal_in_place(
        &mut self,
        content_type: ContentType,
        record: &mut [u8],
        length: usize,
    ) -> Result<usize, SealError> {
        let (layout, record_length) = self.lay_out(content_type, length, 0, record)?;
        self.aead
            .seal_in_place_scatter(
                aead_nonce(layout.nonce),
                self.additional_data(content_type, length),
                layout.payload,
                self.inner_type(&[content_type as u8]),
                layout.suffix,
            )
            .map_err(|_| SealError::Aead)?;
        self.sequence += 1;
        Ok(record_length)
    }

    /// Seals `head` and `body` together as one record at the start of `out` and returns its
    /// length. The AEAD reads one run of bytes, so both are copied first; for a small response
    /// that is cheaper than a record of its own.
    pub fn seal_parts(
        &mut self,
        content_type: ContentType,
        head: &[u8],
        body: &[u8],
        out: &mut [u8],
    ) -> Result<usize, SealError> {
        let prefix = self.prefix();
        let length = head.len() + body.len();
        let room = out.get_mut(prefix..).and_then(|out| out.get_mut(..length));
        let (first, second) =
            room.and_then(|room| room.split_at_mut_checked(head.len())).ok_or(SealError::NoRoom)?;
        first.copy_from_slice(head);
        second.copy_from_slice(body);
        self.seal_in_place(content_type, out, length)
    }

    /// Checks the limits, writes header and explicit nonce, and cuts the rest of the record, whose
    /// plaintext is a run of bytes and a tail.
    #[inline]
    fn lay_out<'a>(
        &self,
        content_type: ContentType,
        run: usize,
        tail: usize,
        out: &'a mut [u8],
    ) -> Result<(Layout<'a>, usize), SealError> {
        let length = run + tail;
        if length > MAX_PLAINTEXT {
            return Err(SealError::TooLong);
        }
        if self.sequence >= self.limit {
            return Err(SealError::KeyExhausted);
        }
        let record_length = length + self.overhead();
        let record = out.get_mut(..record_length).ok_or(SealError::NoRoom)?;
        let nonce = self.framing.nonce(&self.iv, self.sequence);

        let (header, rest) = record.split_at_mut(HEADER);
        // RFC 8446 section 5.2: the outer type is always application_data.
        let outer_type = match self.framing {
            Framing::Tls13 => ContentType::ApplicationData,
            Framing::Tls12Implicit | Framing::Tls12Explicit => content_type,
        };
        header.copy_from_slice(&encode_header(outer_type, record_length - HEADER));

        let (explicit, rest) = rest.split_at_mut(self.prefix() - HEADER);
        // RFC 5288 section 3: nonce_explicit, or nothing. Of a known length, which takes no call.
        if let (Some(explicit), Some(counted)) =
            (explicit.first_chunk_mut::<8>(), nonce.last_chunk::<8>())
        {
            *explicit = *counted;
        }

        let (payload, suffix) = rest.split_at_mut(run);
        Ok((Layout { payload, suffix, nonce }, record_length))
    }

    /// The true content type inside a TLS 1.3 record (`TLSInnerPlaintext`, without padding).
    fn inner_type<'a>(&self, content_type: &'a [u8; 1]) -> &'a [u8] {
        match self.framing {
            Framing::Tls13 => content_type,
            Framing::Tls12Implicit | Framing::Tls12Explicit => &[],
        }
    }

    fn additional_data(
        &self,
        content_type: ContentType,
        length: usize,
    ) -> aws_lc_rs::aead::Aad<super::keys::AdditionalData> {
        match self.framing {
            Framing::Tls13 => self.framing.additional_data(
                self.sequence,
                ContentType::ApplicationData,
                length + self.framing.suffix(),
            ),
            Framing::Tls12Implicit | Framing::Tls12Explicit => {
                self.framing.additional_data(self.sequence, content_type, length)
            }
        }
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer")
            .field("framing", &self.framing)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}
