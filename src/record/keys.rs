//! Traffic keys, and how a nonce and the additional data follow from them.

use std::fmt;

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce,
    UnboundKey,
};
use zeroize::Zeroize;

use super::header::RECORD_VERSION;
use super::{ContentType, HEADER, MAX_PLAINTEXT, TAG};

/// The version of TLS that protects a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        })
    }
}

/// The AEAD that protects a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// AES-GCM with a key of 128 bits.
    Aes128Gcm,
    /// AES-GCM with a key of 256 bits.
    Aes256Gcm,
    /// ChaCha20-Poly1305.
    ChaCha20Poly1305,
}

impl Suite {
    /// Every suite, in Ringway's order of preference.
    pub const ALL: [Self; 3] = [Self::Aes128Gcm, Self::Aes256Gcm, Self::ChaCha20Poly1305];

    /// Length of the key in bytes.
    pub fn key_length(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => 32,
        }
    }

    /// Most records to seal under one key: 2^24 for AES-GCM, just below the 2^24.5 of RFC 8446
    /// section 5.5; for ChaCha20-Poly1305 the sequence number is the only limit.
    ///
    /// Also for connections whose records the kernel seals: it does not count them.
    pub fn record_limit(self) -> u64 {
        match self {
            Self::Aes128Gcm | Self::Aes256Gcm => 1 << 24,
            Self::ChaCha20Poly1305 => u64::MAX,
        }
    }

    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Aes128Gcm => &AES_128_GCM,
            Self::Aes256Gcm => &AES_256_GCM,
            Self::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aes128Gcm => "AES-128-GCM",
            Self::Aes256Gcm => "AES-256-GCM",
            Self::ChaCha20Poly1305 => "CHACHA20-POLY1305",
        })
    }
}

/// The keys of one direction, wiped from memory when dropped.
///
/// Neither cloneable nor printable: two sealers from the same keys would repeat a nonce.
pub struct TrafficKeys {
    suite: Suite,
    version: TlsVersion,
    key: [u8; 32],
    iv: [u8; NONCE_LEN],
    sequence: u64,
}

impl TrafficKeys {
    /// Keys whose next record has the number `sequence`; `None` if `key` has not the length that
    /// `suite` needs.
    ///
    /// `iv` is the write IV of RFC 8446 section 5.3 and RFC 7905; for TLS 1.2 with AES-GCM the
    /// four bytes of salt, then the explicit nonce of record 0.
    pub fn new(
        suite: Suite,
        version: TlsVersion,
        key: &[u8],
        iv: [u8; NONCE_LEN],
        sequence: u64,
    ) -> Option<Self> {
        if key.len() != suite.key_length() {
            return None;
        }
        let mut keys = Self { suite, version, key: [0; 32], iv, sequence };
        keys.key.get_mut(..key.len())?.copy_from_slice(key);
        Some(keys)
    }

    /// The suite.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The version of TLS.
    pub fn version(&self) -> TlsVersion {
        self.version
    }

    /// The number of the next record.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Moves the keys on to the record `sequence`, when a [`Sealer`](super::Sealer) or an
    /// [`Opener`](super::Opener) made from them has been at work and the kernel takes over.
    ///
    /// It never moves back: that would repeat nonces.
    pub fn advance_to(&mut self, sequence: u64) {
        self.sequence = self.sequence.max(sequence);
    }

    /// The key itself.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key[..self.suite.key_length()]
    }

    /// The initialisation vector with which the kernel continues at [`sequence`](Self::sequence).
    ///
    /// For TLS 1.2 with AES-GCM the kernel writes its last eight bytes into the next record as
    /// the explicit nonce and then counts up by one a record (`tls_advance_record_sn` in
    /// `include/net/tls.h`), so it must begin where we stopped.
    pub(crate) fn kernel_iv(&self) -> [u8; NONCE_LEN] {
        match self.framing() {
            Framing::Tls12Explicit => counted_nonce(&self.iv, self.sequence),
            Framing::Tls13 | Framing::Tls12Implicit => self.iv,
        }
    }

    pub(super) fn iv(&self) -> [u8; NONCE_LEN] {
        self.iv
    }

    pub(super) fn framing(&self) -> Framing {
        match (self.version, self.suite) {
            (TlsVersion::Tls13, _) => Framing::Tls13,
            (TlsVersion::Tls12, Suite::ChaCha20Poly1305) => Framing::Tls12Implicit,
            (TlsVersion::Tls12, Suite::Aes128Gcm | Suite::Aes256Gcm) => Framing::Tls12Explicit,
        }
    }

    pub(super) fn aead(&self) -> LessSafeKey {
        let key = UnboundKey::new(self.suite.algorithm(), self.key())
            .expect("the constructor checked the length of the key");
        LessSafeKey::new(key)
    }
}

impl Drop for TrafficKeys {
    fn drop(&mut self) {
        self.key.zeroize();
        self.iv.zeroize();
    }
}

impl fmt::Debug for TrafficKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrafficKeys")
            .field("suite", &self.suite)
            .field("version", &self.version)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

/// How version and suite together lay out a record and form its nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// RFC 8446 section 5.2: the true type and padding are inside, nonce from the IV.
    Tls13,
    /// RFC 7905 section 2: TLS 1.2, nonce from the IV.
    Tls12Implicit,
    /// RFC 5288 section 3: TLS 1.2, eight bytes of nonce in front of the ciphertext.
    Tls12Explicit,
}

impl Framing {
    /// Bytes of a record before its ciphertext: the header and any explicit nonce.
    pub(super) fn prefix(self) -> usize {
        match self {
            Self::Tls13 | Self::Tls12Implicit => HEADER,
            Self::Tls12Explicit => HEADER + 8,
        }
    }

    /// Bytes of a record after the ciphertext of its payload: any inner type, and the tag.
    pub(super) fn suffix(self) -> usize {
        match self {
            Self::Tls13 => 1 + TAG,
            Self::Tls12Implicit | Self::Tls12Explicit => TAG,
        }
    }

    /// Most bytes that a peer's record may have after its header: RFC 8446 section 5.2 allows
    /// 256 of expansion; in TLS 1.2 the AEAD fixes the expansion exactly.
    pub(super) fn max_fragment(self) -> usize {
        match self {
            Self::Tls13 => MAX_PLAINTEXT + 256,
            Self::Tls12Implicit | Self::Tls12Explicit => {
                self.prefix() - HEADER + MAX_PLAINTEXT + TAG
            }
        }
    }

    /// The nonce with which record `sequence` is sealed.
    pub(super) fn nonce(self, iv: &[u8; NONCE_LEN], sequence: u64) -> [u8; NONCE_LEN] {
        match self {
            Self::Tls13 | Self::Tls12Implicit => xored_nonce(iv, sequence),
            Self::Tls12Explicit => counted_nonce(iv, sequence),
        }
    }

    /// The additional data that the tag also covers. `length` is that of the fragment in TLS 1.3
    /// and that of the plaintext in TLS 1.2.
    pub(super) fn additional_data(
        self,
        sequence: u64,
        content_type: ContentType,
        length: usize,
    ) -> Aad<AdditionalData> {
        let mut bytes = [0; AdditionalData::LENGTH];
        let [high, low] = (length as u16).to_be_bytes();
        let header = [content_type as u8, RECORD_VERSION[0], RECORD_VERSION[1], high, low];
        let (number, tail) = bytes.split_at_mut(8);
        number.copy_from_slice(&sequence.to_be_bytes());
        tail.copy_from_slice(&header);
        Aad::from(AdditionalData {
            bytes,
            // RFC 8446 section 5.2: the header as sent. RFC 5246 section 6.2.3.3: the sequence
            // number before it.
            start: if self == Self::Tls13 { 8 } else { 0 },
        })
    }
}

/// Additional data of either version, on the stack.
pub(super) struct AdditionalData {
    bytes: [u8; Self::LENGTH],
    start: usize,
}

impl AdditionalData {
    const LENGTH: usize = 8 + HEADER;
}

impl AsRef<[u8]> for AdditionalData {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// RFC 8446 section 5.3, RFC 7905 section 2: the IV, its last eight bytes XORed with the sequence
/// number.
fn xored_nonce(iv: &[u8; NONCE_LEN], sequence: u64) -> [u8; NONCE_LEN] {
    let mut nonce = *iv;
    if let Some(last) = nonce.last_chunk_mut::<8>() {
        *last = (u64::from_be_bytes(*last) ^ sequence).to_be_bytes();
    }
    nonce
}

/// RFC 5288 section 3 leaves the explicit part to the sender. We add the sequence number to the
/// start value, because the kernel does: had we XORed, moving a connection to the kernel could
/// repeat a nonce. rustls XORs, but protects a single record with number 0, its Finished, where
/// both agree.
fn counted_nonce(iv: &[u8; NONCE_LEN], sequence: u64) -> [u8; NONCE_LEN] {
    let mut nonce = *iv;
    if let Some(explicit) = nonce.last_chunk_mut::<8>() {
        *explicit = u64::from_be_bytes(*explicit).wrapping_add(sequence).to_be_bytes();
    }
    nonce
}

/// Hands a nonce to the AEAD. Uniqueness is the caller's duty: see [`super::Sealer`].
pub(super) fn aead_nonce(nonce: [u8; NONCE_LEN]) -> Nonce {
    Nonce::assume_unique_for_key(nonce)
}
