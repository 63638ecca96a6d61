//! Names and passwords (RFC 7617), checked off the worker.
//!
//! A hash takes tens of milliseconds, so threads of their own compute it, behind a bounded queue;
//! beyond it requests get 503. What was found right is remembered for [`REMEMBERED`] by a keyed hash of
//! the credentials, in a table of fixed size, so that a client's further requests cost that hash alone.
//! The invariant: a request passes only with credentials whose password's hash was computed and
//! compared on this worker's behalf, for this configuration; a name that does not exist takes as long
//! as one that does.

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context as TaskContext, Poll, Waker},
};

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac, rand};
use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use crate::{
    config::{AuthOptions, AuthUser, ConfigError, PasswordHash},
    files::Pool,
    ring::Ring,
};

/// How long right credentials are remembered, in milliseconds.
const REMEMBERED: u64 = 300_000;

/// Credentials that a worker remembers for one `[auth.NAME]`; two that meet in a place are checked
/// again in turn. A power of two.
const PLACES: usize = 256;

/// The longest credentials, in base64.
const LONGEST: usize = 1_024;

/// Users and the challenge that asks for one, shared by the workers.
pub(crate) struct Auth {
    challenge: Arc<str>,
    users: HashMap<String, PasswordHash>,
    /// What a password is compared with if there is no such user.
    dummy: PasswordHash,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Auth({})", self.challenge)
    }
}

impl Auth {
    /// Reads the users.
    ///
    /// # Errors
    /// As [`AuthOptions::load`].
    pub(crate) fn load(options: &AuthOptions) -> Result<Arc<Self>, ConfigError> {
        let users = options.load()?;
        let Some(first) = users.first() else {
            return Err(ConfigError::new("users", "there is none", "give one"));
        };
        let dummy = first.hash.clone();
        let challenge = format!("Basic realm=\"{}\", charset=\"UTF-8\"", options.realm());
        let users = users.into_iter().map(|AuthUser { name, hash }| (name, hash)).collect();
        Ok(Arc::new(Self { challenge: challenge.into(), users, dummy }))
    }
}

/// A worker's part: what it has found right.
pub(crate) struct Keeper {
    auth: Arc<Auth>,
    key: hmac::Key,
    found: RefCell<Box<[Option<Found>]>>,
}

#[derive(Clone, Copy)]
struct Found {
    tag: [u8; 32],
    until: u64,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keeper({:?})", self.auth)
    }
}

/// What became of the credentials of a request.
#[derive(Debug)]
pub(crate) enum Checked {
    /// They are right.
    Right,
    /// There are none, or they are wrong.
    Wrong,
    /// Too many others are being checked.
    Busy,
    /// That is being found out.
    Wait(Verification),
}

impl Keeper {
    /// A worker's part, which has found nothing right yet.
    pub(crate) fn new(auth: &Arc<Auth>) -> Self {
        let mut key = [0; 32];
        // Without a random key nothing is remembered, and each request costs a hash.
        let places = if rand::fill(&mut key).is_ok() {
            PLACES
        } else {
            log::error!("auth: the system gave no random bytes; nothing is remembered");
            0
        };
        let found = vec![None; places].into_boxed_slice();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        Self { auth: Arc::clone(auth), key, found: RefCell::new(found) }
    }

    /// What a client is asked by.
    pub(crate) fn challenge(&self) -> &Arc<str> {
        &self.auth.challenge
    }

    /// Checks the value of `Authorization`, of a request that has it once.
    pub(crate) fn check(self: &Rc<Self>, value: &[u8], ring: &Rc<Ring>, threads: &Pool) -> Checked {
        let Some(credentials) = basic(value) else { return Checked::Wrong };
        let tag = self.tag(credentials);
        if self.knows(&tag, ring.now()) {
            return Checked::Right;
        }
        let mut room = Zeroizing::new([0; LONGEST]);
        let Ok(decoded) = Base64::decode(credentials, &mut room[..]) else { return Checked::Wrong };
        let Ok(text) = str::from_utf8(decoded) else { return Checked::Wrong };
        let Some((name, password)) = text.split_once(':') else { return Checked::Wrong };
        let known = self.auth.users.get(name);
        let hash = known.unwrap_or(&self.auth.dummy).clone();
        let (exists, password) = (known.is_some(), Zeroizing::new(password.to_owned()));
        let outcome = Arc::new(Outcome::default());
        let settled = Arc::clone(&outcome);
        let job = move || settled.settle(is_right(&password, &hash) && exists);
        if let Err(error) = threads.run(Box::new(job)) {
            log::debug!("auth: {error}");
            return Checked::Busy;
        }
        let ring = Rc::clone(ring);
        Checked::Wait(Verification { outcome, keeper: Rc::clone(self), tag, ring })
    }

    fn tag(&self, credentials: &[u8]) -> [u8; 32] {
        let mut tag = [0; 32];
        for (to, from) in tag.iter_mut().zip(hmac::sign(&self.key, credentials).as_ref()) {
            *to = *from;
        }
        tag
    }

    fn place(tag: &[u8; 32]) -> usize {
        usize::from(u16::from_le_bytes([tag[0], tag[1]])) % PLACES
    }

    fn knows(&self, tag: &[u8; 32], now: u64) -> bool {
        let found = self.found.borrow();
        let found = found.get(Self::place(tag)).copied().flatten();
        found.is_some_and(|found| {
            now < found.until && verify_slices_are_equal(&found.tag, tag).is_ok()
        })
    }

    fn remember(&self, tag: [u8; 32], now: u64) {
        if let Some(place) = self.found.borrow_mut().get_mut(Self::place(&tag)) {
            *place = Some(Found { tag, until: now + REMEMBERED });
        }
    }
}

/// The credentials of the Basic scheme, in base64 (RFC 9110 section 11.4, RFC 7617 section 2).
fn basic(value: &[u8]) -> Option<&[u8]> {
    let (scheme, credentials) = value.split_at_checked(6)?;
    let credentials = credentials.trim_ascii();
    let fits = scheme.eq_ignore_ascii_case(b"Basic ") && credentials.len() <= LONGEST;
    fits.then_some(credentials)
}

/// Computes the hash of a password and compares it.
fn is_right(password: &str, hash: &PasswordHash) -> bool {
    match hash {
        // What is longer than bcrypt takes is no password that was set by it.
        PasswordHash::Bcrypt(hash) => {
            password.len() <= 72 && bcrypt::verify(password, hash).unwrap_or(false)
        }
        PasswordHash::Argon2(hash) => {
            use argon2::{Argon2, PasswordHash, PasswordVerifier};
            let parsed = PasswordHash::new(hash);
            parsed.is_ok_and(|hash| {
                Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
            })
        }
    }
}

/// Where a thread leaves what it found.
#[derive(Debug, Default)]
struct Outcome(Mutex<(Option<bool>, Option<Waker>)>);

impl Outcome {
    fn lock(&self) -> MutexGuard<'_, (Option<bool>, Option<Waker>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, right: bool) {
        let waker = {
            let mut state = self.lock();
            state.0 = Some(right);
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Credentials that are being checked: whether they are right. It has no deadline of its own.
pub(crate) struct Verification {
    outcome: Arc<Outcome>,
    keeper: Rc<Keeper>,
    tag: [u8; 32],
    ring: Rc<Ring>,
}

impl fmt::Debug for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verification")
    }
}

impl Verification {
    /// Where its users are.
    pub(crate) fn keeper(&self) -> &Rc<Keeper> {
        &self.keeper
    }
}

impl Future for Verification {
    type Output = bool;

    fn poll(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<bool> {
        let mut state = self.outcome.lock();
        let Some(right) = state.0 else {
            state.1 = Some(self.ring.waker());
            return Poll::Pending;
        };
        drop(state);
        if right {
            self.keeper.remember(self.tag, self.ring.now());
        }
        Poll::Ready(right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_basic_scheme_has_credentials() {
        assert_eq!(basic(b"Basic YTpi"), Some(&b"YTpi"[..]));
        assert_eq!(basic(b"basic   YTpi "), Some(&b"YTpi"[..]));
        for value in [&b""[..], b"Basic", b"Bearer YTpi", b"BasicYTpi"] {
            assert_eq!(basic(value), None, "{value:?}");
        }
        assert_eq!(basic(&[b"Basic ", &[b'x'; LONGEST + 1][..]].concat()), None);
    }

    #[test]
    fn passwords_are_compared_with_either_hash() {
        let bcrypt = PasswordHash::Bcrypt(bcrypt::hash("secret", 4).unwrap());
        assert!(is_right("secret", &bcrypt) && !is_right("Secret", &bcrypt));
        assert!(!is_right(&"x".repeat(100), &bcrypt));
        let broken = PasswordHash::Argon2("$argon2id$v=19$m=8,t=1,p=1$x$y".to_owned());
        assert!(!is_right("secret", &broken));
    }
}
