//! The rustls configuration: what Ringway offers, in which order.
//!
//! One configuration serves all workers, and with it one set of ticket keys, so a client may
//! resume on whichever worker it lands.

#![forbid(unsafe_code)]

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{Ticketer, cipher_suite, default_provider, kx_group};
use rustls::server::NoServerSessionStorage;
use rustls::{SupportedCipherSuite, version};

use super::Credentials;
use crate::record::TlsVersion;

/// Builds the configuration for `credentials`, refusing versions below `minimum`.
///
/// - Key exchange: X25519MLKEM768, then X25519, P-256, P-384.
/// - Cipher suites: the server's order decides; AES-128-GCM leads on CPUs with AES instructions,
///   ChaCha20-Poly1305 elsewhere. TLS 1.2 keeps only forward-secret AEAD suites.
/// - Tickets: stateless; the keys are random, change every six hours and open tickets for
///   twelve. Nothing else is kept of a session.
/// - No early data: a replayed request must not exist.
pub fn server_config(
    credentials: Credentials,
    minimum: TlsVersion,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let versions: &[_] = match minimum {
        TlsVersion::Tls12 => &[&version::TLS13, &version::TLS12],
        TlsVersion::Tls13 => &[&version::TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_single_cert(credentials.chain, credentials.key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ignore_client_order = true;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Ticketer::new()?;
    config.max_early_data_size = 0;
    config.enable_secret_extraction = true;
    Ok(Arc::new(config))
}

/// Cryptography by aws-lc-rs, with our groups and suites.
pub(super) fn provider() -> CryptoProvider {
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
    suites
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
