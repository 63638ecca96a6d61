//! What a TLS 1.3 handshake hashes: its transcript, and the key schedule (RFC 8446 sections 4.4.1
//! and 7.1).
//!
//! A handshake makes some forty HMACs and a dozen hashes, most of them of a block or two. Around so
//! little, aws-lc's contexts weigh more than the hashing: they have room for any hash, are moved by
//! value, and expand a key anew for each HMAC. Here a secret is kept as the two hash states that
//! its HMACs begin with (RFC 2104 section 4), and a transcript is cloned where something is made of
//! it. The invariant: outputs are those of FIPS 180-4, RFC 2104 and RFC 5869. They are computed by
//! the RustCrypto crates, in constant time; what is here hands them to rustls.

#![forbid(unsafe_code)]

use std::marker::PhantomData;
use std::sync::LazyLock;

use hkdf::hmac::Hmac;
use hkdf::{GenericHkdf, HmacImpl};
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::crypto::hash::{Context, Hash, HashAlgorithm, Output};
use rustls::crypto::hmac::Tag;
use rustls::crypto::tls13::{Hkdf, HkdfExpander, OkmBlock, OutputLengthError};
use rustls::{CipherSuite, CipherSuiteCommon, SupportedCipherSuite, Tls13CipherSuite};
use sha2::{Digest, Sha256, Sha384};
use zeroize::{Zeroize, Zeroizing};

/// A hash of transcripts.
struct Transcripts<D> {
    algorithm: HashAlgorithm,
    hash: PhantomData<D>,
}

impl<D> Transcripts<D> {
    const fn new(algorithm: HashAlgorithm) -> Self {
        Self { algorithm, hash: PhantomData }
    }
}

impl<D: Digest + Clone + Send + Sync + 'static> Hash for Transcripts<D> {
    fn start(&self) -> Box<dyn Context> {
        Box::new(Transcript(D::new()))
    }

    fn hash(&self, data: &[u8]) -> Output {
        Output::new(&D::digest(data))
    }

    fn output_len(&self) -> usize {
        <D as Digest>::output_size()
    }

    fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }
}

/// The messages of a handshake so far.
struct Transcript<D>(D);

impl<D: Digest + Clone + Send + Sync + 'static> Context for Transcript<D> {
    fn fork_finish(&self) -> Output {
        Output::new(&self.0.clone().finalize())
    }

    fn fork(&self) -> Box<dyn Context> {
        Box::new(Self(self.0.clone()))
    }

    fn finish(self: Box<Self>) -> Output {
        Output::new(&self.0.finalize())
    }

    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }
}

/// HKDF under one HMAC.
struct Schedule<H>(PhantomData<H>);

/// A secret from which others are expanded; wiped when dropped (feature `zeroize` of `sha2`).
struct Secret<H: HmacImpl>(GenericHkdf<H>);

/// As many zeros as a hash has bytes, at most.
const ZEROS: [u8; OkmBlock::MAX_LEN] = [0; OkmBlock::MAX_LEN];

impl<H: HmacImpl + Send + Sync + 'static> Hkdf for Schedule<H> {
    fn extract_from_zero_ikm(&self, salt: Option<&[u8]>) -> Box<dyn HkdfExpander> {
        self.extract_from_secret(salt, &ZEROS[..H::output_size()])
    }

    fn extract_from_secret(&self, salt: Option<&[u8]>, secret: &[u8]) -> Box<dyn HkdfExpander> {
        let (mut key, secret) = GenericHkdf::<H>::extract(salt, secret);
        key.as_mut_slice().zeroize();
        Box::new(Secret(secret))
    }

    fn expander_for_okm(&self, okm: &OkmBlock) -> Box<dyn HkdfExpander> {
        let secret = GenericHkdf::<H>::from_prk(okm.as_ref());
        Box::new(Secret(secret.expect("a secret of the schedule is as long as its hash")))
    }

    fn hmac_sign(&self, key: &OkmBlock, message: &[u8]) -> Tag {
        let mut mac = H::new_from_slice(key.as_ref());
        mac.update(message);
        Tag::new(&mac.finalize())
    }
}

impl<H: HmacImpl + Send + Sync> HkdfExpander for Secret<H> {
    fn expand_slice(&self, info: &[&[u8]], output: &mut [u8]) -> Result<(), OutputLengthError> {
        self.0.expand_multi_info(info, output).map_err(|_| OutputLengthError)
    }

    fn expand_block(&self, info: &[&[u8]]) -> OkmBlock {
        let mut output = Zeroizing::new(ZEROS);
        let block = &mut output[..H::output_size()];
        self.expand_slice(info, block).expect("HKDF expands to one hash");
        OkmBlock::new(block)
    }

    fn hash_len(&self) -> usize {
        H::output_size()
    }
}

static TRANSCRIPTS_256: Transcripts<Sha256> = Transcripts::new(HashAlgorithm::SHA256);
static TRANSCRIPTS_384: Transcripts<Sha384> = Transcripts::new(HashAlgorithm::SHA384);
static SCHEDULE_256: Schedule<Hmac<Sha256>> = Schedule(PhantomData);
static SCHEDULE_384: Schedule<Hmac<Sha384>> = Schedule(PhantomData);

/// The suites of TLS 1.3 as rustls has them, but for what they hash with.
static SUITES: LazyLock<Vec<Tls13CipherSuite>> = LazyLock::new(|| {
    let suites: [(_, &dyn Hash, &dyn Hkdf); 3] = [
        (TLS13_AES_128_GCM_SHA256, &TRANSCRIPTS_256, &SCHEDULE_256),
        (TLS13_AES_256_GCM_SHA384, &TRANSCRIPTS_384, &SCHEDULE_384),
        (TLS13_CHACHA20_POLY1305_SHA256, &TRANSCRIPTS_256, &SCHEDULE_256),
    ];
    let own = suites.into_iter().map(|(suite, hash, hkdf)| {
        let Some(suite) = suite.tls13() else { unreachable!("all three are of TLS 1.3") };
        let CipherSuiteCommon { suite: name, confidentiality_limit, .. } = suite.common;
        Tls13CipherSuite {
            common: CipherSuiteCommon { suite: name, hash_provider: hash, confidentiality_limit },
            hkdf_provider: hkdf,
            aead_alg: suite.aead_alg,
            quic: None,
        }
    });
    own.collect()
});

/// A suite that hashes as described above; one of TLS 1.2 as it is.
pub(super) fn with_own_hashing(suite: SupportedCipherSuite) -> SupportedCipherSuite {
    let name: CipherSuite = suite.suite();
    let own = SUITES.iter().find(|own| own.common.suite == name);
    own.map_or(suite, SupportedCipherSuite::Tls13)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{digest, hkdf, hmac};
    use proptest::prelude::*;

    use super::*;

    /// So many bytes of output.
    struct Length(usize);

    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }

    fn theirs(prk: &hkdf::Prk, info: &[&[u8]], len: usize) -> Vec<u8> {
        let mut output = vec![0; len];
        prk.expand(info, Length(len)).unwrap().fill(&mut output).unwrap();
        output
    }

    fn bytes(output: &impl AsRef<[u8]>) -> Vec<u8> {
        output.as_ref().to_vec()
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    /// RFC 5869 appendix A.1.
    #[test]
    fn the_rfcs_example_of_hkdf() {
        let salt = hex("000102030405060708090a0b0c");
        let secret = SCHEDULE_256.extract_from_secret(Some(&salt), &[0x0b; 22]);
        let mut output = [0; 42];
        secret.expand_slice(&[&hex("f0f1f2f3f4"), &hex("f5f6f7f8f9")], &mut output).unwrap();
        let expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf\
                        34007208d5b887185865";
        assert_eq!(output[..], hex(expected));
    }

    /// RFC 8448 section 3: the early secret of a handshake without PSK, and what is derived of it.
    #[test]
    fn the_rfcs_example_of_a_schedule() {
        let early = SCHEDULE_256.extract_from_zero_ikm(None);
        let empty = TRANSCRIPTS_256.hash(b"");
        let label: [&[u8]; 5] = [&[0, 32], &[13], b"tls13 derived", &[32], empty.as_ref()];
        let expected = "6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba";
        assert_eq!(early.expand_block(&label).as_ref(), hex(expected));
    }

    /// RFC 4231 section 4.3: a key shorter than a block, and than the hash.
    #[test]
    fn the_rfcs_example_of_hmac() {
        let tag = SCHEDULE_384.hmac_sign(&OkmBlock::new(b"Jefe"), b"what do ya want for nothing?");
        let expected = "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e\
                        8e2240ca5e69e2c78b3239ecfab21649";
        assert_eq!(tag.as_ref(), hex(expected));
    }

    #[test]
    fn too_much_output_is_an_error() {
        let secret = SCHEDULE_256.extract_from_zero_ikm(None);
        assert!(secret.expand_slice(&[b"info"], &mut [0; 255 * 32]).is_ok());
        assert!(secret.expand_slice(&[b"info"], &mut [0; 255 * 32 + 1]).is_err());
    }

    #[test]
    fn every_suite_of_tls13_has_it_and_is_otherwise_the_same() {
        for suite in
            [TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256]
        {
            let (own, theirs) = (with_own_hashing(suite), suite.tls13().unwrap());
            let own = own.tls13().unwrap();
            assert!(!std::ptr::eq(own, theirs));
            assert_eq!(own.common.suite, theirs.common.suite);
            assert_eq!(own.common.confidentiality_limit, theirs.common.confidentiality_limit);
            let hash = theirs.common.hash_provider;
            assert_eq!(own.common.hash_provider.algorithm(), hash.algorithm());
            assert_eq!(own.common.hash_provider.output_len(), hash.output_len());
            let secret = own.hkdf_provider.extract_from_zero_ikm(None);
            assert_eq!(secret.hash_len(), hash.output_len());
        }
    }

    proptest! {
        /// aws-lc's own HKDF and HMAC say the same, whatever goes in.
        #[test]
        fn the_schedule_equals_aws_lcs(
            salt in proptest::collection::vec(any::<u8>(), 0..200),
            secret in proptest::collection::vec(any::<u8>(), 0..200),
            info in proptest::collection::vec(any::<u8>(), 1..200),
            cut in 0usize..200,
            len in 1usize..300,
        ) {
            let (one, two) = info.split_at(cut.min(info.len()));
            let both: [(&dyn Hkdf, _, _); 2] = [
                (&SCHEDULE_256, hkdf::HKDF_SHA256, 32),
                (&SCHEDULE_384, hkdf::HKDF_SHA384, 48),
            ];
            for (ours, algorithm, hash) in both {
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
                let key = hmac::Key::new(algorithm.hmac_algorithm(), block.as_ref());
                let tag = ours.hmac_sign(&block, &info);
                prop_assert_eq!(bytes(&tag), bytes(&hmac::sign(&key, &info)));
            }
        }

        /// aws-lc's own hashes say the same, however the messages come, and a fork is a copy.
        #[test]
        fn a_transcript_equals_aws_lcs(
            messages in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..300),
                0..6,
            ),
            last in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let both: [(&dyn Hash, _); 2] =
                [(&TRANSCRIPTS_256, &digest::SHA256), (&TRANSCRIPTS_384, &digest::SHA384)];
            for (ours, algorithm) in both {
                let hash = |data: &[u8]| bytes(&digest::digest(algorithm, data));
                let (mut transcript, mut all) = (ours.start(), Vec::new());
                for message in &messages {
                    transcript.update(message);
                    all.extend_from_slice(message);
                    prop_assert_eq!(bytes(&transcript.fork_finish()), hash(&all));
                    prop_assert_eq!(bytes(&ours.hash(message)), hash(message));
                }
                let mut other = transcript.fork();
                other.update(&last);
                prop_assert_eq!(bytes(&transcript.finish()), hash(&all));
                all.extend_from_slice(&last);
                prop_assert_eq!(bytes(&other.finish()), hash(&all));
            }
        }
    }
}
