//! The key schedule's HKDF, which extracts once.
//!
//! A handshake derives some thirty secrets, several of them from each of the three that are
//! extracted. aws-lc-rs's HKDF puts the extraction off until something is expanded, and then
//! repeats it each time; here it is done when rustls asks for it. The invariant: the outputs are
//! those of RFC 5869. Extraction is one HMAC (section 2.2), all else is left to aws-lc.

#![forbid(unsafe_code)]

use std::sync::LazyLock;

use aws_lc_rs::hkdf::{self, HKDF_SHA256, HKDF_SHA384, Prk};
use aws_lc_rs::hmac;
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::crypto::hmac::Tag;
use rustls::crypto::tls13::{Hkdf, HkdfExpander, OkmBlock, OutputLengthError};
use rustls::{CipherSuite, CipherSuiteCommon, SupportedCipherSuite, Tls13CipherSuite};
use zeroize::Zeroizing;

/// HKDF under one hash.
struct Schedule(hkdf::Algorithm);

/// A secret from which others are expanded; wiped when dropped.
struct Secret {
    key: Prk,
    hash_len: usize,
}

/// So many bytes of output.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl Schedule {
    fn hash_len(&self) -> usize {
        self.0.hmac_algorithm().tag_len()
    }

    fn secret(&self, key: &[u8]) -> Box<dyn HkdfExpander> {
        Box::new(Secret { key: Prk::new_less_safe(self.0, key), hash_len: self.hash_len() })
    }
}

/// As many zeros as a hash has bytes, at most.
const ZEROS: [u8; OkmBlock::MAX_LEN] = [0; OkmBlock::MAX_LEN];

impl Hkdf for Schedule {
    fn extract_from_zero_ikm(&self, salt: Option<&[u8]>) -> Box<dyn HkdfExpander> {
        self.extract_from_secret(salt, &ZEROS[..self.hash_len()])
    }

    fn extract_from_secret(&self, salt: Option<&[u8]>, secret: &[u8]) -> Box<dyn HkdfExpander> {
        let salt = salt.unwrap_or(&ZEROS[..self.hash_len()]);
        let salt = hmac::Key::new(self.0.hmac_algorithm(), salt);
        self.secret(hmac::sign(&salt, secret).as_ref())
    }

    fn expander_for_okm(&self, okm: &OkmBlock) -> Box<dyn HkdfExpander> {
        self.secret(okm.as_ref())
    }

    fn hmac_sign(&self, key: &OkmBlock, message: &[u8]) -> Tag {
        let key = hmac::Key::new(self.0.hmac_algorithm(), key.as_ref());
        Tag::new(hmac::sign(&key, message).as_ref())
    }
}

impl HkdfExpander for Secret {
    fn expand_slice(&self, info: &[&[u8]], output: &mut [u8]) -> Result<(), OutputLengthError> {
        let expanded = self.key.expand(info, Length(output.len()));
        expanded.and_then(|bytes| bytes.fill(output)).map_err(|_| OutputLengthError)
    }

    fn expand_block(&self, info: &[&[u8]]) -> OkmBlock {
        let mut output = Zeroizing::new(ZEROS);
        let block = &mut output[..self.hash_len];
        self.expand_slice(info, block).expect("HKDF expands to one hash");
        OkmBlock::new(block)
    }

    fn hash_len(&self) -> usize {
        self.hash_len
    }
}

static SHA256: Schedule = Schedule(HKDF_SHA256);
static SHA384: Schedule = Schedule(HKDF_SHA384);

/// The suites of TLS 1.3 as rustls has them, but for the key schedule.
static SUITES: LazyLock<Vec<Tls13CipherSuite>> = LazyLock::new(|| {
    let suites = [
        (TLS13_AES_128_GCM_SHA256, &SHA256),
        (TLS13_AES_256_GCM_SHA384, &SHA384),
        (TLS13_CHACHA20_POLY1305_SHA256, &SHA256),
    ];
    suites.into_iter().filter_map(|(suite, hkdf)| Some(with(suite.tls13()?, hkdf))).collect()
});

fn with(suite: &Tls13CipherSuite, hkdf: &'static dyn Hkdf) -> Tls13CipherSuite {
    let CipherSuiteCommon { suite: name, hash_provider, confidentiality_limit } = suite.common;
    Tls13CipherSuite {
        common: CipherSuiteCommon { suite: name, hash_provider, confidentiality_limit },
        hkdf_provider: hkdf,
        aead_alg: suite.aead_alg,
        quic: None,
    }
}

/// A suite with our key schedule; one of TLS 1.2 as it is.
pub(super) fn with_own_hkdf(suite: SupportedCipherSuite) -> SupportedCipherSuite {
    let name: CipherSuite = suite.suite();
    let own = SUITES.iter().find(|own| own.common.suite == name);
    own.map_or(suite, SupportedCipherSuite::Tls13)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn theirs(prk: &hkdf::Prk, info: &[&[u8]], len: usize) -> Vec<u8> {
        let mut output = vec![0; len];
        prk.expand(info, Length(len)).unwrap().fill(&mut output).unwrap();
        output
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    /// RFC 5869 appendix A.1.
    #[test]
    fn the_rfcs_example() {
        let salt = hex("000102030405060708090a0b0c");
        let prk = SHA256.extract_from_secret(Some(&salt), &[0x0b; 22]);
        let mut output = [0; 42];
        prk.expand_slice(&[&hex("f0f1f2f3f4"), &hex("f5f6f7f8f9")], &mut output).unwrap();
        let expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf\
                        34007208d5b887185865";
        assert_eq!(output[..], hex(expected));
    }

    /// RFC 4231 sections 4.3: a key shorter than a block, and than the hash.
    #[test]
    fn the_rfcs_example_of_hmac() {
        let tag = SHA384.hmac_sign(&OkmBlock::new(b"Jefe"), b"what do ya want for nothing?");
        let expected = "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e\
                        8e2240ca5e69e2c78b3239ecfab21649";
        assert_eq!(tag.as_ref(), hex(expected));
    }

    #[test]
    fn every_suite_of_tls13_has_it_and_is_otherwise_the_same() {
        for suite in
            [TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256]
        {
            let (own, theirs) = (with_own_hkdf(suite), suite.tls13().unwrap());
            let own = own.tls13().unwrap();
            assert!(!std::ptr::eq(own, theirs));
            assert_eq!(own.common.suite, theirs.common.suite);
            assert_eq!(own.common.confidentiality_limit, theirs.common.confidentiality_limit);
            let hash = theirs.common.hash_provider.output_len();
            assert_eq!(own.hkdf_provider.extract_from_zero_ikm(None).hash_len(), hash);
        }
    }

    proptest! {
        /// aws-lc's own HKDF says the same, whatever goes in.
        #[test]
        fn equals_the_librarys(
            salt in proptest::collection::vec(any::<u8>(), 0..100),
            secret in proptest::collection::vec(any::<u8>(), 0..200),
            info in proptest::collection::vec(any::<u8>(), 1..200),
            cut in 0usize..200,
            len in 1usize..300,
        ) {
            let (one, two) = info.split_at(cut.min(info.len()));
            for (ours, algorithm, hash) in
                [(&SHA256, HKDF_SHA256, 32), (&SHA384, HKDF_SHA384, 48)]
            {
                let salted = hkdf::Salt::new(algorithm, &salt).extract(&secret);
                let mut output = vec![0; len];
                let expander = ours.extract_from_secret(Some(&salt), &secret);
                expander.expand_slice(&[one, two], &mut output).unwrap();
                prop_assert_eq!(&output, &theirs(&salted, &[one, two], len));
                let block = expander.expand_block(&[one, two]);
                prop_assert_eq!(block.as_ref(), theirs(&salted, &[one, two], hash));
                let next = ours.expander_for_okm(&block).expand_block(&[&info]);
                let prk = hkdf::Prk::new_less_safe(algorithm, block.as_ref());
                prop_assert_eq!(next.as_ref(), theirs(&prk, &[&info], hash));
                // Again from the same key: nothing of the first use is left in it.
                let again = expander.expand_block(&[one, two]);
                prop_assert_eq!(again.as_ref(), block.as_ref());
            }
        }
    }
}
