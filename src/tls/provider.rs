//! The cryptography of a handshake: which suites and groups, in which order.

#![forbid(unsafe_code)]

use rustls::SupportedCipherSuite;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};

use super::hashing::with_own_hashing;
use crate::record::Suite;

/// Cryptography by aws-lc-rs, with our groups and suites.
pub(crate) fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: cipher_suites(has_fast_aes()),
        kx_groups: vec![
            kx_group::X25519MLKEM768,
            kx_group::X25519,
            kx_group::SECP256R1,
            kx_group::SECP384R1,
        ],
        ..default_provider()
    }
}

fn cipher_suites(fast_aes: bool) -> Vec<SupportedCipherSuite> {
    let aes = [
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ];
    let chacha = [
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ];
    let mut suites = Vec::with_capacity(aes.len() + chacha.len());
    if fast_aes {
        suites.extend(aes);
        suites.extend(chacha);
    } else {
        suites.extend(chacha);
        suites.extend(aes);
    }
    suites.into_iter().map(with_own_hashing).collect()
}

/// The cipher that leads among those: what a client gets that supports all of them.
pub(crate) fn preferred_suite() -> Suite {
    if has_fast_aes() { Suite::Aes128Gcm } else { Suite::ChaCha20Poly1305 }
}

/// Whether the CPU has instructions for AES.
fn has_fast_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}
