//! Session tickets: whom they are for, and keys that several machines share.
//!
//! A ticket is the session itself, sealed for us and kept by the client (RFC 5077, RFC 8446 section
//! 4.6.1). The holder of its key can read, and with TLS 1.2 decrypt, what was resumed with it, so a
//! key is a secret like a private key, and should be replaced often.

#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use base64ct::{Base64Unpadded, Encoding as _};
use hkdf::Hkdf;
use rustls::server::ProducesTickets;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::policy::PolicyDigest;
use super::{files, lineage};
use crate::wall_clock::unix_seconds as now;

/// How long a ticket can be used, in seconds: as long as those of rustls.
const LIFETIME: u32 = 12 * 3_600;

/// How long after a full handshake its session can still be resumed, in seconds, whatever tickets
/// were given since. RFC 8446 section 4.6.1 has the same bound for a ticket.
const LINEAGE: i64 = 7 * 24 * 3_600;

/// How far the clocks of the machines may be apart, in seconds.
const SKEW: i64 = 300;

/// Longest session to be sealed. A client's certificates are part of it; a client with more than
/// that gets no ticket, since it would have to send it with its first message.
const MAX_SESSION: usize = 8 << 10;

/// Most keys in a file.
const MAX_KEYS: usize = 16;

/// Longest file of keys.
const MAX_BYTES: usize = 16 << 10;

const KEY_LEN: usize = 32;
const NAME_LEN: usize = 16;
const SALT_LEN: usize = 16;
const TIME_LEN: usize = 8;

/// Tickets that open only under the demand on clients under which they were made, and for
/// [`LINEAGE`] from the full handshake of their session. Else a client that was let in without a
/// certificate, or by an authority that is trusted no more, could resume.
///
/// `policy (16) ‖ time of the full handshake (8) ‖ session` is what `inner` seals.
#[derive(Debug)]
pub(super) struct BoundTickets {
    pub(super) inner: Arc<dyn ProducesTickets>,
    pub(super) policy: PolicyDigest,
}

impl ProducesTickets for BoundTickets {
    fn enabled(&self) -> bool {
        self.inner.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.inner.lifetime()
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        if session.len() > MAX_SESSION {
            return None;
        }
        let full_handshake = lineage::full_handshake().unwrap_or_else(now).to_be_bytes();
        self.inner.encrypt(&Zeroizing::new([&self.policy, &full_handshake[..], session].concat()))
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let opened = Zeroizing::new(self.inner.decrypt(ticket)?);
        let bound = opened.strip_prefix(&self.policy[..])?;
        let (full_handshake, session) = bound.split_first_chunk::<TIME_LEN>()?;
        let full_handshake = i64::from_be_bytes(*full_handshake);
        if !(-SKEW..=LINEAGE).contains(&now().checked_sub(full_handshake)?) {
            return None;
        }
        lineage::descend_from(full_handshake);
        Some(session.to_vec())
    }
}

/// Tickets under keys from a file, which other machines have too.
///
/// **The file** has one key on a line: 32 random bytes in base64, as `openssl rand -base64 32`
/// makes them; empty lines and those that begin with `#` do not count. The first key seals, all
/// open. 1 to 16 keys. Others than its owner and group must not be able to read it.
///
/// **A ticket** is `name (16) ‖ salt (16) ‖ nonce (12) ‖ sealed (8 + session) ‖ tag (16)`. The name
/// says which key it is under. AES-256-GCM seals it with a key of its own, HKDF-SHA-256 of the
/// file's key and the salt (the idea of XAES-256-GCM); salt and nonce are random, name and salt are
/// authenticated. The 8 bytes are the time of issue.
///
/// **The bound:** plain AES-GCM with random nonces of 96 bits allows 2^32 messages under a key (NIST
/// SP 800-38D section 8.3), which a busy fleet reaches in a day. Here salt and nonce would both have
/// to repeat, 224 bits: after 2^64 tickets the chance is below 2^-96. So the number of tickets
/// is no reason to replace a key; that a thief of it can read old sessions is.
///
/// **The work** for a ticket is one comparison of names for each key and at most one opening,
/// any server made it. Tickets older than 12 hours do not open, however long their key is kept.
pub(crate) struct SharedTickets {
    /// Never empty.
    keys: Vec<TicketKey>,
}

struct TicketKey {
    name: [u8; NAME_LEN],
    secret: Hkdf<Sha256>,
}

impl TicketKey {
    fn new(secret: &[u8; KEY_LEN]) -> Option<Self> {
        let secret = Hkdf::from_prk(secret).ok()?;
        let mut name = [0; NAME_LEN];
        secret.expand(b"ringway ticket key name", &mut name).ok()?;
        Some(Self { name, secret })
    }

    /// The key for one ticket.
    fn for_ticket(&self, salt: &[u8]) -> Option<LessSafeKey> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        self.secret.expand_multi_info(&[b"ringway ticket", salt], &mut *key).ok()?;
        UnboundKey::new(&AES_256_GCM, &*key).ok().map(LessSafeKey::new)
    }
}

impl SharedTickets {
    /// Reads the keys.
    ///
    /// # Errors
    /// The file cannot be read, too many can read it, or it is not as described above.
    pub(crate) fn load(path: &Path) -> Result<Self, TicketKeysError> {
        let (text, mode) = files::read(path, MAX_BYTES)
            .map_err(|error| TicketKeysError::Read(path.to_owned(), error))?;
        if mode & 0o027 != 0 {
            return Err(TicketKeysError::Exposed { path: path.to_owned(), mode });
        }
        Self::parse(&text).map_err(|problem| TicketKeysError::Content(path.to_owned(), problem))
    }

    fn parse(text: &[u8]) -> Result<Self, KeyFileProblem> {
        let mut keys: Vec<TicketKey> = Vec::new();
        for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let secret = base64_key(line).ok_or(KeyFileProblem::BadLine(number + 1))?;
            let key = TicketKey::new(&secret).ok_or(KeyFileProblem::BadLine(number + 1))?;
            if keys.iter().any(|other| other.name == key.name) {
                return Err(KeyFileProblem::Twice(number + 1));
            }
            keys.push(key);
        }
        match keys.len() {
            0 => Err(KeyFileProblem::Empty),
            1..=MAX_KEYS => Ok(Self { keys }),
            more => Err(KeyFileProblem::TooMany(more)),
        }
    }

    /// How many keys there are.
    pub(crate) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Whether both seal with the same key and open with the same keys.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.keys.iter().map(|key| key.name).eq(other.keys.iter().map(|key| key.name))
    }

    fn seal(&self, session: &[u8], issued: i64) -> Option<Vec<u8>> {
        const HEADER: usize = NAME_LEN + SALT_LEN + NONCE_LEN;
        let key = self.keys.first()?;
        let mut random = [0; SALT_LEN + NONCE_LEN];
        rand::fill(&mut random).ok()?;
        let (salt, nonce) = random.split_at(SALT_LEN);
        let sealing = key.for_ticket(salt)?;
        let mut sealed =
            Vec::with_capacity(HEADER + TIME_LEN + session.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&key.name);
        sealed.extend_from_slice(&random);
        sealed.extend_from_slice(&issued.to_be_bytes());
        sealed.extend_from_slice(session);
        let (header, content) = sealed.split_at_mut(HEADER);
        let aad = Aad::from(header.get(..NAME_LEN + SALT_LEN)?);
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let tag = sealing.seal_in_place_separate_tag(nonce, aad, content).ok()?;
        sealed.extend_from_slice(tag.as_ref());
        Some(sealed)
    }

    fn open(&self, ticket: &[u8], now: i64) -> Option<Vec<u8>> {
        // What we never made is not worth a copy.
        if ticket.len() > 2 * MAX_SESSION {
            return None;
        }
        let (head, rest) = ticket.split_at_checked(NAME_LEN + SALT_LEN)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let (name, salt) = head.split_at_checked(NAME_LEN)?;
        let key = self.keys.iter().find(|key| key.name == name)?.for_ticket(salt)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let opened = key.open_in_place(nonce, Aad::from(head), &mut sealed).ok()?;
        let (issued, session) = opened.split_first_chunk::<TIME_LEN>()?;
        let age = now.checked_sub(i64::from_be_bytes(*issued))?;
        (-SKEW..=i64::from(LIFETIME)).contains(&age).then(|| session.to_vec())
    }
}

impl ProducesTickets for SharedTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        self.seal(session, now())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(ticket, now())
    }
}

impl fmt::Debug for SharedTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTickets").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

/// 32 bytes in base64 (RFC 4648 section 4): 43 digits, and a `=` that may be left out. Takes the same
/// time whatever the digits are.
fn base64_key(line: &[u8]) -> Option<Zeroizing<[u8; KEY_LEN]>> {
    let digits = line.strip_suffix(b"=").unwrap_or(line);
    let mut key = Zeroizing::new([0; KEY_LEN]);
    let decoded = Base64Unpadded::decode(digits, &mut *key).ok()?.len();
    (decoded == KEY_LEN).then_some(key)
}

/// Why the keys of tickets cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum TicketKeysError {
    /// The file cannot be read.
    Read(PathBuf, io::Error),
    /// Others can read the file, or its group can change it.
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds something else.
    Content(PathBuf, KeyFileProblem),
}

/// What is wrong in a file of ticket keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFileProblem {
    /// There is no key.
    Empty,
    /// There are so many, which is too many.
    TooMany(usize),
    /// The line with this number, from 1, is no key.
    BadLine(usize),
    /// The line with this number, from 1, has the key of an earlier one.
    Twice(usize),
}

impl fmt::Display for TicketKeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAKE: &str = "make one with: openssl rand -base64 32";
        match self {
            Self::Read(path, error) => {
                write!(f, "{}: {error}{}", path.display(), files::remedy(path, error))
            }
            Self::Exposed { path, mode } => write!(
                f,
                "{}: ticket keys that others can get at (mode {mode:04o}) protect nothing. Use: \
                 chmod 600 {}, and make new keys",
                path.display(),
                path.display()
            ),
            Self::Content(path, problem) => {
                write!(f, "{}: ", path.display())?;
                match problem {
                    KeyFileProblem::Empty => write!(f, "no ticket key in this file; {MAKE}"),
                    KeyFileProblem::TooMany(count) => {
                        write!(f, "{count} ticket keys; keep the {MAX_KEYS} newest at most")
                    }
                    KeyFileProblem::BadLine(line) => {
                        write!(f, "line {line} is not 32 bytes in base64; {MAKE}")
                    }
                    KeyFileProblem::Twice(line) => {
                        write!(f, "line {line} has the same key as an earlier one; remove it")
                    }
                }
            }
        }
    }
}

impl std::error::Error for TicketKeysError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(_, error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "tests/tickets.rs"]
mod tests;
