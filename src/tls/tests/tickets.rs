//! Tickets in memory: what opens, what does not, and what a file of keys may hold.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use proptest::prelude::*;

use super::*;
use crate::handshake::tests::{Bed, SUITES};
use crate::tls::policy::NO_POLICY;

/// 32 bytes of this value, as openssl prints them.
fn line(value: u8) -> String {
    base64ct::Base64::encode_string(&[value; KEY_LEN]) + "\n"
}

fn keys(values: &[u8]) -> SharedTickets {
    let text: String = values.iter().map(|&value| line(value)).collect();
    SharedTickets::parse(text.as_bytes()).unwrap()
}

const NOW: i64 = 1_800_000_000;

#[test]
fn what_one_machine_seals_another_opens() {
    let (here, there) = (keys(&[1]), keys(&[1]));
    let ticket = here.seal(b"session", NOW).unwrap();
    assert_eq!(there.open(&ticket, NOW).as_deref(), Some(&b"session"[..]));
    assert_ne!(ticket, here.seal(b"session", NOW).unwrap(), "no two tickets are alike");
    assert_eq!(keys(&[2]).open(&ticket, NOW), None, "another key");
    let window = ticket.windows(7).any(|window| window == b"session");
    assert!(!window, "the session is not to be seen");
}

#[test]
fn the_first_key_seals_and_all_open() {
    let (old, new) = (keys(&[1]), keys(&[2, 1]));
    assert!(new.open(&old.seal(b"s", NOW).unwrap(), NOW).is_some(), "made before the rotation");
    assert!(old.open(&new.seal(b"s", NOW).unwrap(), NOW).is_none());
    assert!(keys(&[1, 2]).open(&new.seal(b"s", NOW).unwrap(), NOW).is_some());
    assert!(!old.is_same(&new) && !keys(&[1, 2]).is_same(&new) && keys(&[2, 1]).is_same(&new));
}

#[test]
fn tickets_end_after_twelve_hours_whatever_becomes_of_the_key() {
    let keys = keys(&[1]);
    let ticket = keys.seal(b"s", NOW).unwrap();
    let opens = |after: i64| keys.open(&ticket, NOW + after).is_some();
    assert!(opens(0) && opens(i64::from(LIFETIME)) && opens(-SKEW));
    assert!(!opens(i64::from(LIFETIME) + 1) && !opens(-SKEW - 1));
    let ancient = keys.seal(b"s", i64::MIN).unwrap();
    assert!(keys.open(&ancient, NOW).is_none());
}

#[test]
fn tickets_are_bound_to_what_was_demanded_of_clients() {
    let inner: Arc<dyn ProducesTickets> = Arc::new(keys(&[1]));
    let bound = |policy| BoundTickets { inner: Arc::clone(&inner), policy: [policy; 16] };
    let ticket = bound(1).encrypt(b"session").unwrap();
    assert_eq!(bound(1).decrypt(&ticket).as_deref(), Some(&b"session"[..]));
    assert_eq!(bound(2).decrypt(&ticket), None);
    assert!(bound(1).encrypt(&[0; MAX_SESSION]).is_some());
    assert!(bound(1).encrypt(&[0; MAX_SESSION + 1]).is_none(), "too long for a first message");
    let longest = bound(1).encrypt(&[0; MAX_SESSION]).unwrap();
    assert!(bound(1).decrypt(&longest).is_some());
}

/// Tickets in the clear that lie about the age of their sessions.
#[derive(Debug, Default)]
struct Aged {
    /// Seconds by which the full handshake of what is opened is put back.
    by: AtomicI64,
    /// The last that was sealed.
    last: Mutex<Vec<u8>>,
}

impl Aged {
    fn full_handshake(sealed: &[u8]) -> i64 {
        i64::from_be_bytes(sealed[16..24].try_into().unwrap())
    }
}

impl ProducesTickets for Aged {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        *self.last.lock().unwrap() = plain.to_vec();
        Some(plain.to_vec())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let mut plain = ticket.to_vec();
        let aged = Self::full_handshake(&plain) - self.by.load(Relaxed);
        plain[16..24].copy_from_slice(&aged.to_be_bytes());
        Some(plain)
    }
}

/// Each resumption gives a new ticket, and none of them prolongs the session.
#[test]
fn a_lineage_ends_seven_days_after_its_full_handshake() {
    const DAY: i64 = 24 * 3_600;
    for suite in [SUITES[0], SUITES[3]] {
        let mut bed = Bed::new(suite);
        let tickets = Arc::new(Aged::default());
        let mut server = rustls::ServerConfig::clone(&bed.server);
        server.ticketer = Arc::new(BoundTickets { inner: tickets.clone(), policy: NO_POLICY });
        bed.server = Arc::new(server);
        let connect = |back: i64| {
            tickets.by.store(back, Relaxed);
            let mut link = bed.connect();
            link.exchange();
            let age = now() - Aged::full_handshake(&tickets.last.lock().unwrap());
            (link.established.resumed, age.div_euclid(DAY))
        };
        assert_eq!(connect(0), (false, 0));
        // In three resumptions the session grows old, and its tickets with it.
        assert_eq!(connect(3 * DAY), (true, 3));
        assert_eq!(connect(0), (true, 3));
        assert_eq!(connect(3 * DAY), (true, 6));
        assert_eq!(connect(DAY + SKEW), (false, 0), "{suite:?}");
        assert_eq!(connect(0), (true, 0));
    }
}

fn problem(text: &str) -> KeyFileProblem {
    SharedTickets::parse(text.as_bytes()).unwrap_err()
}

#[test]
fn the_file_is_read_strictly() {
    let (one, two) = (line(1), line(2));
    let text = format!("# newest first\n\n{}\r\n  {two}", one.trim_end());
    assert_eq!(SharedTickets::parse(text.as_bytes()).unwrap().keys(), 2);
    assert!(
        keys(&[1]).is_same(
            &SharedTickets::parse(one.trim_end().trim_end_matches('=').as_bytes()).unwrap()
        )
    );
    assert_eq!(problem(""), KeyFileProblem::Empty);
    assert_eq!(problem("# none\n"), KeyFileProblem::Empty);
    assert_eq!(problem(&format!("{one}\nshort")), KeyFileProblem::BadLine(3));
    assert_eq!(problem(&one.replace('A', "!")), KeyFileProblem::BadLine(1));
    assert_eq!(problem(&format!("{one}{one}")), KeyFileProblem::Twice(2));
    let many: String = (0..17).map(line).collect();
    assert_eq!(problem(&many), KeyFileProblem::TooMany(17));
    assert!(SharedTickets::parse(&many.as_bytes()[line(0).len()..]).is_ok(), "16 are allowed");
}

#[test]
fn base64_is_decoded_rightly() {
    // From `printf '...' | base64` over the bytes 0 to 31.
    let known = b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let expected: Vec<u8> = (0..32).collect();
    assert_eq!(base64_key(known).unwrap()[..], expected[..]);
    assert!(base64_key(b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=").is_none(), "stray bits");
    assert_eq!(base64_key(line(255).trim().as_bytes()).unwrap()[..], [255; 32]);
}

#[test]
fn files_that_others_can_read_are_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), line(1)).unwrap();
    for (mode, good) in [
        (0o600, true),
        (0o400, true),
        (0o440, true),
        (0o644, false),
        (0o620, false),
        (0o602, false),
    ] {
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let loaded = SharedTickets::load(file.path());
        assert_eq!(loaded.is_ok(), good, "{mode:o}: {loaded:?}");
        if let Err(error) = loaded {
            assert!(error.to_string().contains(&format!("{mode:04o}")), "{error}");
        }
    }
}

proptest! {
    #[test]
    fn damaged_tickets_do_not_open(position: usize, bit in 0u8..8, cut in 0usize..100) {
        let keys = keys(&[1, 2]);
        let ticket = keys.seal(b"a session", NOW).unwrap();
        let mut damaged = ticket.clone();
        let position = position % damaged.len();
        damaged[position] ^= 1 << bit;
        prop_assert_eq!(keys.open(&damaged, NOW), None);
        prop_assert_eq!(keys.open(&ticket[..ticket.len().saturating_sub(cut + 1)], NOW), None);
    }

    #[test]
    fn any_bytes_are_no_ticket(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(keys(&[1]).open(&bytes, NOW), None);
        let _ = SharedTickets::parse(&bytes);
    }
}
