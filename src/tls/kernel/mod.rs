//! Kernel TLS: handing a direction's keys to the kernel.
//!
//! The invariant: **the kernel continues exactly where we stopped**, at the record boundary, with
//! the record number and the nonce that come next. [`crypto_info`] puts that into the kernel's
//! own structures, [`install_transmit`] and [`install_receive`] set them on a socket, and
//! [`probe()`] finds out beforehand, by trying, what this kernel accepts. [`compare`] measures whether that
//! pays.

mod install;
mod probe;
mod trial;

#[cfg(test)]
mod tests;

use std::fmt;

use ktls::CryptoInfo;
use ktls_sys::bindings::{
    __IncompleteArrayField, TLS_1_2_VERSION_MAJOR, TLS_1_2_VERSION_MINOR, TLS_1_3_VERSION_MAJOR,
    TLS_1_3_VERSION_MINOR, TLS_CIPHER_AES_GCM_128, TLS_CIPHER_AES_GCM_256,
    TLS_CIPHER_CHACHA20_POLY1305, tls_crypto_info, tls12_crypto_info_aes_gcm_128,
    tls12_crypto_info_aes_gcm_256, tls12_crypto_info_chacha20_poly1305,
};
use zeroize::Zeroize;

pub(crate) use install::{expect_no_padding, install_receive, install_transmit, install_ulp};
#[cfg(test)]
pub(crate) use probe::loopback_pair;
pub(crate) use probe::{Attempt, Direction, KtlsSupport, Obstacle, probe};
#[cfg(test)]
pub(crate) use trial::Cost;
pub(crate) use trial::{Trial, compare};

use crate::record::{Suite, TlsVersion, TrafficKeys};

/// Keys in the form that `setsockopt` of `TLS_TX` and `TLS_RX` takes, wiped when dropped.
pub(crate) struct KernelKeys(CryptoInfo);

/// Translates `keys` into the kernel's structure for their suite (`linux/tls.h`).
pub(crate) fn crypto_info(keys: &TrafficKeys) -> KernelKeys {
    let version = match keys.version() {
        TlsVersion::Tls12 => TLS_1_2_VERSION_MAJOR << 8 | TLS_1_2_VERSION_MINOR,
        TlsVersion::Tls13 => TLS_1_3_VERSION_MAJOR << 8 | TLS_1_3_VERSION_MINOR,
    } as u16;
    let cipher_type = match keys.suite() {
        Suite::Aes128Gcm => TLS_CIPHER_AES_GCM_128,
        Suite::Aes256Gcm => TLS_CIPHER_AES_GCM_256,
        Suite::ChaCha20Poly1305 => TLS_CIPHER_CHACHA20_POLY1305,
    } as u16;
    let info = tls_crypto_info { version, cipher_type };
    let rec_seq = keys.sequence().to_be_bytes();
    let nonce = keys.kernel_iv();
    // For AES-GCM the kernel calls the first four bytes of the IV its salt.
    let (mut salt, mut iv) = ([0; 4], [0; 8]);
    salt.copy_from_slice(&nonce[..4]);
    iv.copy_from_slice(&nonce[4..]);
    KernelKeys(match keys.suite() {
        Suite::Aes128Gcm => {
            let mut key = [0; 16];
            key.copy_from_slice(keys.key());
            CryptoInfo::AesGcm128(tls12_crypto_info_aes_gcm_128 { info, iv, key, salt, rec_seq })
        }
        Suite::Aes256Gcm => {
            let mut key = [0; 32];
            key.copy_from_slice(keys.key());
            CryptoInfo::AesGcm256(tls12_crypto_info_aes_gcm_256 { info, iv, key, salt, rec_seq })
        }
        Suite::ChaCha20Poly1305 => {
            let mut key = [0; 32];
            key.copy_from_slice(keys.key());
            CryptoInfo::Chacha20Poly1305(tls12_crypto_info_chacha20_poly1305 {
                info,
                iv: nonce,
                key,
                salt: __IncompleteArrayField::new(),
                rec_seq,
            })
        }
    })
}

impl KernelKeys {
    /// Where the structure lies, for as long as `self` is neither moved nor dropped.
    pub(crate) fn as_ptr(&self) -> *const libc::c_void {
        self.0.as_ptr()
    }

    /// Length of the structure in bytes.
    pub(crate) fn size(&self) -> usize {
        self.0.size()
    }
}

impl Drop for KernelKeys {
    fn drop(&mut self) {
        match &mut self.0 {
            CryptoInfo::AesGcm128(info) => {
                info.key.zeroize();
                info.iv.zeroize();
                info.salt.zeroize();
            }
            CryptoInfo::AesGcm256(info) => {
                info.key.zeroize();
                info.iv.zeroize();
                info.salt.zeroize();
            }
            CryptoInfo::Chacha20Poly1305(info) => {
                info.key.zeroize();
                info.iv.zeroize();
            }
            // `crypto_info` makes no others.
            CryptoInfo::AesCcm128(_) | CryptoInfo::Sm4Gcm(_) | CryptoInfo::Sm4Ccm(_) => {}
        }
    }
}

impl fmt::Debug for KernelKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelKeys").finish_non_exhaustive()
    }
}
