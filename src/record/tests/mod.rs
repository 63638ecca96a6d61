//! Vectors, round trips, limits, and everything that must be refused.

mod control;
mod numbers;

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce, UnboundKey};
use proptest::prelude::*;

use super::{keys::Framing, *};

const VERSIONS: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];

fn keys_at(suite: Suite, version: TlsVersion, sequence: u64) -> TrafficKeys {
    let iv = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    TrafficKeys::new(suite, version, &[7; 32][..suite.key_length()], iv, sequence).unwrap()
}

fn keys(suite: Suite, version: TlsVersion) -> TrafficKeys {
    keys_at(suite, version, 0)
}

fn all() -> impl Iterator<Item = (Suite, TlsVersion)> {
    Suite::ALL.into_iter().flat_map(|suite| VERSIONS.map(|version| (suite, version)))
}

fn sealed(sealer: &mut Sealer, content_type: ContentType, plaintext: &[u8]) -> Vec<u8> {
    let mut record = vec![0xee; plaintext.len() + sealer.overhead()];
    assert_eq!(sealer.seal(content_type, plaintext, &mut record), Ok(record.len()));
    record
}

/// A TLS 1.3 record number 0 whose inner plaintext is exactly `inner`.
fn forge_13(suite: Suite, inner: &[u8]) -> Vec<u8> {
    let keys = keys(suite, TlsVersion::Tls13);
    let header = header::encode_header(ContentType::ApplicationData, inner.len() + TAG);
    let mut record = inner.to_vec();
    let nonce = Nonce::assume_unique_for_key(keys.iv());
    keys.aead().seal_in_place_append_tag(nonce, Aad::from(header), &mut record).unwrap();
    [&header[..], &record].concat()
}

fn open_one(version: TlsVersion, suite: Suite, mut record: Vec<u8>) -> Result<Opened, RecordError> {
    Opener::new(&keys(suite, version)).open(&mut record)
}

fn unhex(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// RFC 8448 section 3: the client's application data and its `close_notify`.
#[test]
fn the_rfc_8448_trace_is_reproduced() {
    let key = unhex("17 42 2d da 59 6e d5 d9 ac d8 90 e3 c6 3f 50 51");
    let iv = unhex("5b 78 92 3d ee 08 57 90 33 e5 23 d9").try_into().unwrap();
    let keys = TrafficKeys::new(Suite::Aes128Gcm, TlsVersion::Tls13, &key, iv, 0).unwrap();
    let data: Vec<u8> = (0..50).collect();
    let data_record = unhex(
        "17 03 03 00 43 a2 3f 70 54 b6 2c 94 d0 af fa fe 82 28 ba 55 cb ef ac ea 42 f9 14 aa 66 bc
         ab 3f 2b 98 19 a8 a5 b4 6b 39 5b d5 4a 9a 20 44 1e 2b 62 97 4e 1f 5a 62 92 a2 97 70 14 bd
         1e 3d ea e6 3a ee bb 21 69 49 15 e4",
    );
    let alert_record =
        unhex("17 03 03 00 13 c9 87 27 60 65 56 66 b7 4d 7f f1 15 3e fd 6d b6 d0 b0 e3");

    let mut sealer = Sealer::new(&keys);
    assert_eq!(sealed(&mut sealer, ContentType::ApplicationData, &data), data_record);
    let alert = encode_alert(AlertDescription::CloseNotify);
    assert_eq!(sealed(&mut sealer, ContentType::Alert, &alert), alert_record);

    let mut opener = Opener::new(&keys);
    let mut record = data_record;
    let opened = opener.open(&mut record).unwrap();
    assert_eq!(opened.content_type, ContentType::ApplicationData);
    assert_eq!(record[opened.plaintext], data);
    let mut record = alert_record;
    let opened = opener.open(&mut record).unwrap();
    let control = parse_control(TlsVersion::Tls13, opened.content_type, &record[opened.plaintext]);
    assert_eq!(control, Ok(Control::CloseNotify));
}

#[test]
fn overhead_is_what_the_rfcs_say() {
    for (suite, version) in all() {
        let sealer = Sealer::new(&keys(suite, version));
        let expected = match (version, suite) {
            (TlsVersion::Tls13, _) => (5, 22),
            (TlsVersion::Tls12, Suite::ChaCha20Poly1305) => (5, 21),
            (TlsVersion::Tls12, _) => (13, 29),
        };
        assert_eq!((sealer.prefix(), sealer.overhead()), expected);
    }
    let overheads = all().map(|(suite, version)| Sealer::new(&keys(suite, version)).overhead());
    assert_eq!(overheads.max(), Some(MAX_OVERHEAD));
    assert_eq!(TLS13_OVERHEAD, 22);
}

#[test]
fn the_longest_record_passes_and_a_longer_one_does_not() {
    for (suite, version) in all() {
        let mut sealer = Sealer::new(&keys(suite, version));
        let record = sealed(&mut sealer, ContentType::ApplicationData, &[5; MAX_PLAINTEXT]);
        assert!(record.len() <= MAX_RECORD);
        assert_eq!(open_one(version, suite, record).unwrap().plaintext.len(), MAX_PLAINTEXT);

        let mut room = vec![0; 2 * MAX_PLAINTEXT];
        let too_long = &vec![5; MAX_PLAINTEXT + 1];
        let kind = ContentType::ApplicationData;
        assert_eq!(sealer.seal(kind, too_long, &mut room), Err(SealError::TooLong));
        assert_eq!(sealer.seal_in_place(kind, &mut room, too_long.len()), Err(SealError::TooLong));
        assert_eq!(sealer.seal_parts(kind, too_long, &[], &mut room), Err(SealError::TooLong));
    }
}

#[test]
fn a_tail_counts_and_is_bounded() {
    let mut sealer = Sealer::new(&keys(Suite::Aes128Gcm, TlsVersion::Tls13));
    let mut out = vec![0; MAX_PLAINTEXT + 100];
    let mut seal = |run: usize, tail: usize| {
        let kind = ContentType::ApplicationData;
        sealer.seal_with_tail(kind, &vec![1; run], &vec![2; tail], &mut out)
    };
    assert_eq!(seal(MAX_PLAINTEXT - 8, 9), Err(SealError::TooLong));
    assert_eq!(seal(0, Sealer::MAX_TAIL + 1), Err(SealError::TooLong));
    assert!(seal(MAX_PLAINTEXT - 9, 9).is_ok());
    assert_eq!(sealer.sequence(), 1);
}

#[test]
fn a_refused_record_uses_nothing_up() {
    for (suite, version) in all() {
        let mut sealer = Sealer::new(&keys(suite, version));
        let needed = 10 + sealer.overhead();
        let kind = ContentType::ApplicationData;
        for room in 0..needed {
            let mut out = vec![0; room];
            assert_eq!(sealer.seal(kind, &[1; 10], &mut out), Err(SealError::NoRoom));
            assert_eq!(sealer.seal_in_place(kind, &mut out, 10), Err(SealError::NoRoom));
            assert_eq!(sealer.seal_parts(kind, &[1; 4], &[1; 6], &mut out), Err(SealError::NoRoom));
        }
        assert_eq!(sealer.sequence(), 0);
        let mut out = vec![0; needed + 7];
        assert_eq!(sealer.seal(kind, &[1; 10], &mut out), Ok(needed));
        assert_eq!(sealer.sequence(), 1);
        assert_eq!(out[needed..], [0; 7], "nothing is written beyond the record");
    }
}

#[test]
fn no_two_records_look_alike() {
    for (suite, version) in all() {
        let mut sealer = Sealer::new(&keys(suite, version));
        let mut opener = Opener::new(&keys(suite, version));
        let mut seen = std::collections::HashSet::new();
        for _ in 0..300 {
            let mut record = sealed(&mut sealer, ContentType::ApplicationData, b"same");
            assert!(seen.insert(record.clone()));
            opener.open(&mut record).unwrap();
        }
        assert_eq!(sealer.sequence(), opener.sequence());
    }
}

/// TLS 1.2 with AES-GCM: the explicit nonce counts up from the key block's, as the kernel counts.
#[test]
fn explicit_nonces_continue_as_the_kernel_does() {
    let iv = [9, 9, 9, 9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe];
    let keys = |sequence| {
        TrafficKeys::new(Suite::Aes128Gcm, TlsVersion::Tls12, &[7; 16], iv, sequence).unwrap()
    };
    let mut sealer = Sealer::new(&keys(1));
    for expected in [[0xff; 8], [0; 8], [0, 0, 0, 0, 0, 0, 0, 1]] {
        assert_eq!(keys(sealer.sequence()).kernel_iv()[4..], expected);
        let record = sealed(&mut sealer, ContentType::ApplicationData, b"x");
        assert_eq!(record[HEADER..HEADER + 8], expected);
    }
    let mut moved = keys(1);
    moved.advance_to(3);
    assert_eq!(moved.kernel_iv()[4..], [0, 0, 0, 0, 0, 0, 0, 1]);
    moved.advance_to(2);
    assert_eq!(moved.sequence(), 3, "keys never move back");
    assert_eq!(keys_at(Suite::Aes128Gcm, TlsVersion::Tls13, 5).kernel_iv()[11], 12);
}

#[test]
fn every_damaged_byte_is_noticed() {
    for (suite, version) in all() {
        let record =
            sealed(&mut Sealer::new(&keys(suite, version)), ContentType::ApplicationData, b"data");
        for position in 0..record.len() {
            for bit in 0..8 {
                let mut damaged = record.clone();
                damaged[position] ^= 1 << bit;
                let error = open_one(version, suite, damaged).unwrap_err();
                if position >= HEADER {
                    assert_eq!(error, RecordError::BadMac);
                    assert_eq!(error.alert(), AlertDescription::BadRecordMac);
                }
            }
        }
    }
}

#[test]
fn repeated_reordered_and_dropped_records_are_refused() {
    for (suite, version) in all() {
        let mut sealer = Sealer::new(&keys(suite, version));
        let first = sealed(&mut sealer, ContentType::ApplicationData, b"first");
        let second = sealed(&mut sealer, ContentType::ApplicationData, b"second");
        assert_eq!(open_one(version, suite, second), Err(RecordError::BadMac));
        let mut opener = Opener::new(&keys(suite, version));
        opener.open(&mut first.clone()).unwrap();
        assert_eq!(opener.open(&mut first.clone()), Err(RecordError::BadMac));
    }
}

#[test]
fn keys_of_the_wrong_length_are_refused() {
    for (suite, version) in all() {
        for length in (0..40).filter(|&length| length != suite.key_length()) {
            assert!(TrafficKeys::new(suite, version, &vec![0; length], [0; 12], 0).is_none());
        }
    }
}

/// The kernel is given these.
#[test]
fn keys_are_handed_on_as_they_came() {
    for (suite, version) in all() {
        let keys = keys_at(suite, version, 5);
        assert_eq!((keys.suite(), keys.version(), keys.sequence()), (suite, version, 5));
        assert_eq!(keys.key(), &[7; 32][..suite.key_length()]);
        assert_eq!(Sealer::new(&keys).sequence(), 5);
        assert_eq!(Opener::new(&keys).sequence(), 5);
    }
}

#[test]
fn messages_name_what_is_wrong() {
    let named = [
        (RecordError::Version(3, 1).to_string(), "0x0301"),
        (SealError::KeyExhausted.to_string(), "key"),
        (TlsVersion::Tls12.to_string(), "TLS 1.2"),
        (Suite::ChaCha20Poly1305.to_string(), "CHACHA20-POLY1305"),
    ];
    for (text, name) in named {
        assert!(text.contains(name), "{text}");
    }
}

#[test]
fn a_key_is_not_used_beyond_its_limit() {
    for version in VERSIONS {
        let limit = Suite::Aes128Gcm.record_limit();
        let before = Sealer::new(&keys_at(Suite::Aes128Gcm, version, limit - Sealer::MARGIN - 1));
        assert!(!before.exhausted());
        let mut sealer = Sealer::new(&keys_at(Suite::Aes128Gcm, version, limit - 1));
        assert!(sealer.exhausted());
        let mut out = [0; 64];
        sealer.seal(ContentType::Alert, &[1, 0], &mut out).unwrap();
        let refused = sealer.seal(ContentType::Alert, &[1, 0], &mut out);
        assert_eq!(refused, Err(SealError::KeyExhausted));

        let mut sealer = Sealer::new(&keys_at(Suite::ChaCha20Poly1305, version, u64::MAX));
        assert!(sealer.exhausted());
        let refused = sealer.seal(ContentType::Alert, &[1, 0], &mut out);
        assert_eq!(refused, Err(SealError::KeyExhausted));
    }
}

#[test]
fn the_receiving_sequence_never_wraps() {
    let keys = || keys_at(Suite::Aes128Gcm, TlsVersion::Tls13, u64::MAX);
    let mut record = vec![23, 3, 3, 0, 20];
    record.resize(25, 0);
    let refused = Opener::new(&keys()).open(&mut record);
    assert_eq!(refused, Err(RecordError::SequenceExhausted));
}

#[test]
fn padding_is_stripped() {
    for suite in Suite::ALL {
        for padding in [0, 1, 100, 16380] {
            let mut inner = b"abc\x17".to_vec();
            inner.resize(4 + padding, 0);
            let mut record = forge_13(suite, &inner);
            let opened = Opener::new(&keys(suite, TlsVersion::Tls13)).open(&mut record).unwrap();
            assert_eq!(opened.content_type, ContentType::ApplicationData);
            assert_eq!(&record[opened.plaintext], b"abc");
        }
    }
}

#[test]
fn forbidden_inner_plaintexts_are_refused() {
    let suite = Suite::Aes128Gcm;
    let mut longest = vec![1; MAX_PLAINTEXT];
    longest.push(23);
    let mut padded_too_long = b"abc\x17".to_vec();
    padded_too_long.resize(MAX_PLAINTEXT + 2, 0);
    let cases: [(&[u8], Result<(), RecordError>); 10] = [
        (b"", Err(RecordError::NoInnerType)),
        (b"\0", Err(RecordError::NoInnerType)),
        (&[0; 300], Err(RecordError::NoInnerType)),
        (b"\x14", Err(RecordError::UnexpectedType(ContentType::ChangeCipherSpec))),
        (b"data\x18", Err(RecordError::UnknownType(24))),
        (b"\x15", Err(RecordError::Empty)),
        (b"\x16\0\0", Err(RecordError::Empty)),
        (b"\x17", Ok(())),
        (&longest, Ok(())),
        (&padded_too_long, Err(RecordError::Overflow)),
    ];
    for (inner, expected) in cases {
        let outcome = open_one(TlsVersion::Tls13, suite, forge_13(suite, inner));
        assert_eq!(outcome.map(|_| ()), expected, "{inner:x?}");
    }
}

#[test]
fn overlong_records_are_refused_by_each_version() {
    for (suite, version) in all() {
        let longest = match keys(suite, version).framing() {
            // RFC 8446 section 5.2.
            Framing::Tls13 => 16_384 + 256,
            // RFC 7905 section 2 and RFC 5288 section 3: the tag, and there the nonce.
            Framing::Tls12Implicit => 16_384 + 16,
            Framing::Tls12Explicit => 16_384 + 8 + 16,
        };
        let length = longest + 1;
        let mut record = vec![0; HEADER + length];
        record[..HEADER]
            .copy_from_slice(&header::encode_header(ContentType::ApplicationData, length));
        assert_eq!(open_one(version, suite, record), Err(RecordError::Overflow));
    }
}

#[test]
fn outer_types_after_the_handshake() {
    for (suite, version) in all() {
        for kind in [ContentType::ChangeCipherSpec, ContentType::Alert, ContentType::Handshake] {
            let mut record = vec![kind as u8, 3, 3, 0, 40];
            record.resize(45, 1);
            let expected = match (version, kind) {
                (TlsVersion::Tls12, ContentType::Alert | ContentType::Handshake) => {
                    RecordError::BadMac
                }
                _ => RecordError::UnexpectedType(kind),
            };
            assert_eq!(open_one(version, suite, record), Err(expected));
        }
    }
}

#[test]
fn content_types_survive_in_both_versions() {
    for (suite, version) in all() {
        for kind in [ContentType::ApplicationData, ContentType::Alert, ContentType::Handshake] {
            let mut record = sealed(&mut Sealer::new(&keys(suite, version)), kind, &[1, 0]);
            let outer = if version == TlsVersion::Tls13 { 23 } else { kind as u8 };
            assert_eq!(record[0], outer);
            let opened = Opener::new(&keys(suite, version)).open(&mut record).unwrap();
            assert_eq!(opened.content_type, kind);
        }
    }
}

#[test]
fn a_flood_of_empty_records_ends() {
    for (suite, version) in all() {
        let mut sealer = Sealer::new(&keys(suite, version));
        let mut opener = Opener::new(&keys(suite, version));
        let empty = |sealer: &mut Sealer| sealed(sealer, ContentType::ApplicationData, b"");
        for round in 0..2 {
            for _ in 0..Opener::MAX_CONSECUTIVE_EMPTY {
                opener.open(&mut empty(&mut sealer)).unwrap();
            }
            if round == 0 {
                let mut data = sealed(&mut sealer, ContentType::ApplicationData, b"x");
                opener.open(&mut data).unwrap();
            }
        }
        assert_eq!(opener.open(&mut empty(&mut sealer)), Err(RecordError::EmptyFlood));
    }
}

#[test]
fn secrets_are_not_printed() {
    let keys = keys(Suite::Aes128Gcm, TlsVersion::Tls13);
    let printed = format!("{keys:?} {:?} {:?}", Sealer::new(&keys), Opener::new(&keys));
    assert!(!printed.contains("7, 7") && !printed.contains("1, 2"), "{printed}");
}

/// The three ways of sealing agree with each other and with what the AEAD itself says.
#[test]
fn sealing_agrees_with_a_plain_use_of_the_aead() {
    let keys = keys(Suite::Aes256Gcm, TlsVersion::Tls12);
    let aead = LessSafeKey::new(UnboundKey::new(&aws_lc_rs::aead::AES_256_GCM, &[7; 32]).unwrap());
    // RFC 5246 section 6.2.3.3: seq_num + type + version + length.
    let additional = [0, 0, 0, 0, 0, 0, 0, 0, 23, 3, 3, 0, 5];
    let mut expected = b"hello".to_vec();
    let nonce = Nonce::assume_unique_for_key([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    aead.seal_in_place_append_tag(nonce, Aad::from(additional), &mut expected).unwrap();
    let record = sealed(&mut Sealer::new(&keys), ContentType::ApplicationData, b"hello");
    assert_eq!(record[..HEADER], [23, 3, 3, 0, 29]);
    assert_eq!(record[HEADER..HEADER + 8], [5, 6, 7, 8, 9, 10, 11, 12]);
    assert_eq!(record[HEADER + 8..], expected);
}

fn suite_and_version() -> impl Strategy<Value = (Suite, TlsVersion)> {
    (prop::sample::select(&Suite::ALL), prop::sample::select(&VERSIONS))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_sealed_opens(
        (suite, version) in suite_and_version(),
        sequence in 0u64..1 << 23,
        plaintext in prop::collection::vec(any::<u8>(), 0..=MAX_PLAINTEXT),
        cut: prop::sample::Index,
        spare in 0usize..40,
    ) {
        let new = || Sealer::new(&keys_at(suite, version, sequence));
        let kind = ContentType::ApplicationData;
        let record = sealed(&mut new(), kind, &plaintext);

        let mut sealer = new();
        let mut in_place = vec![0; record.len() + spare];
        in_place[sealer.prefix()..][..plaintext.len()].copy_from_slice(&plaintext);
        let length = sealer.seal_in_place(kind, &mut in_place, plaintext.len()).unwrap();
        prop_assert_eq!(&in_place[..length], &record);

        let (head, body) = plaintext.split_at(cut.index(plaintext.len() + 1));
        let mut parts = vec![0; record.len() + spare];
        let length = new().seal_parts(kind, head, body, &mut parts).unwrap();
        prop_assert_eq!(&parts[..length], &record);

        let tail = cut.index(plaintext.len().min(Sealer::MAX_TAIL) + 1);
        let (run, tail) = plaintext.split_at(plaintext.len() - tail);
        let mut tailed = vec![0; record.len() + spare];
        let length = new().seal_with_tail(kind, run, tail, &mut tailed).unwrap();
        prop_assert_eq!(&tailed[..length], &record);

        let mut record = record;
        let opened = Opener::new(&keys_at(suite, version, sequence)).open(&mut record).unwrap();
        prop_assert_eq!(opened.content_type, kind);
        prop_assert_eq!(&record[opened.plaintext], &plaintext);
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_panic(
        (suite, version) in suite_and_version(),
        content_type in 18u8..28,
        mut bytes in prop::collection::vec(any::<u8>(), 0..600),
        truthful: bool,
    ) {
        if truthful && bytes.len() >= HEADER {
            let length = bytes.len() - HEADER;
            bytes[..3].copy_from_slice(&[content_type, 3, 3]);
            bytes[3..HEADER].copy_from_slice(&(length as u16).to_be_bytes());
        }
        prop_assert!(Opener::new(&keys(suite, version)).open(&mut bytes).is_err());
    }

    #[test]
    fn arbitrary_inner_plaintexts_never_panic(
        suite in prop::sample::select(&Suite::ALL),
        inner in prop::collection::vec(prop_oneof![Just(0u8), 19u8..25, any::<u8>()], 0..64),
    ) {
        let mut record = forge_13(suite, &inner);
        if let Ok(opened) = Opener::new(&keys(suite, TlsVersion::Tls13)).open(&mut record) {
            prop_assert!(opened.plaintext.end <= record.len());
            prop_assert!(opened.plaintext.len() < inner.len());
        }
    }

    #[test]
    fn arbitrary_control_records_never_panic(
        version in prop::sample::select(&VERSIONS),
        content_type in 20u8..24,
        payload in prop::collection::vec(0u8..30, 0..8),
    ) {
        let content_type = ContentType::from_byte(content_type).unwrap();
        let _ = parse_control(version, content_type, &payload);
    }
}
