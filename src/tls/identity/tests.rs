//! Files as operators have them, good and bad, and what Ringway says about the bad ones.

use std::fs;
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding as _};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, date_time_ymd,
};

use super::{Credentials, CredentialsError};
use crate::record::TlsVersion;
use crate::tls::server_config;
use crate::wall_clock::unix_seconds as now;

struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }
}

fn params() -> CertificateParams {
    CertificateParams::new(vec!["localhost".to_owned()]).unwrap()
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = Base64::encode_string(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// The key inside a PKCS#8 structure: the first SEQUENCE that begins with `version`, beyond the
/// outer one.
fn inside(pkcs8: &[u8], version: &[u8]) -> Vec<u8> {
    let found = (4..pkcs8.len() - 8).find(|&start| {
        let bytes = &pkcs8[start..];
        bytes[0] == 0x30
            && match bytes[1] {
                0x82 => bytes[4..].starts_with(version),
                _ => bytes[2..].starts_with(version),
            }
    });
    let rest = &pkcs8[found.unwrap()..];
    let length = match rest[1] {
        0x82 => 4 + (usize::from(rest[2]) << 8 | usize::from(rest[3])),
        short => 2 + usize::from(short),
    };
    rest[..length].to_vec()
}

fn error(certificate: &Path, key: &Path) -> (CredentialsError, String) {
    let error = Credentials::load(certificate, key).unwrap_err();
    let text = error.to_string();
    (error, text)
}

#[test]
fn every_form_of_key_loads() {
    let files = Files::new();
    let mut loaded = 0;
    for algorithm in
        [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519, &PKCS_RSA_SHA256]
    {
        let pair = KeyPair::generate_for(algorithm).unwrap();
        let certificate = params().self_signed(&pair).unwrap();
        let certificate = files.write("cert.pem", certificate.pem());
        let pkcs8 = pair.serialize_der();
        let mut keys = vec![pair.serialize_pem()];
        if algorithm == &PKCS_ECDSA_P256_SHA256 {
            keys.push(pem("EC PRIVATE KEY", &inside(&pkcs8, &[2, 1, 1])));
        }
        if algorithm == &PKCS_RSA_SHA256 {
            keys.push(pem("RSA PRIVATE KEY", &inside(&pkcs8, &[2, 1, 0, 2])));
        }
        for text in keys {
            let key = files.write("key.pem", &text);
            let credentials = Credentials::load(&certificate, &key).unwrap();
            assert!(credentials.warnings.is_empty(), "{:?}", credentials.warnings);
            server_config(credentials, TlsVersion::Tls12).unwrap();
            loaded += 1;
        }
    }
    assert_eq!(loaded, 6, "four in PKCS#8, one in SEC1, one in PKCS#1");
}

#[test]
fn one_file_may_hold_both() {
    let files = Files::new();
    let pair = KeyPair::generate().unwrap();
    let certificate = params().self_signed(&pair).unwrap();
    let text = format!("a comment\n{}\n{}", pair.serialize_pem(), certificate.pem());
    let both = files.write("both.pem", text);
    let credentials = Credentials::load(&both, &both).unwrap();
    assert_eq!(credentials.chain.len(), 1);
    assert_eq!(credentials.fingerprint().unwrap().len(), 95);
}

#[test]
fn missing_and_unsuitable_files_are_named() {
    let files = Files::new();
    let pair = KeyPair::generate().unwrap();
    let certificate = files.write("cert.pem", params().self_signed(&pair).unwrap().pem());
    let key = files.write("key.pem", pair.serialize_pem());
    let empty = files.write("empty.pem", "");

    let (kind, text) = error(&files.path("no.pem"), &key);
    assert!(matches!(kind, CredentialsError::Read(..)));
    assert!(text.contains("no.pem: No such file"), "{text}");

    let (kind, text) = error(&empty, &key);
    assert!(matches!(kind, CredentialsError::NoCertificate(_)) && text.contains("empty.pem"));
    let (kind, _) = error(&key, &key);
    assert!(matches!(kind, CredentialsError::NoCertificate(_)));
    let (kind, _) = error(&certificate, &certificate);
    assert!(matches!(kind, CredentialsError::NoKey(_)));

    let damaged = files.write("damaged.pem", pair.serialize_pem().replace("END", "NED"));
    let (kind, text) = error(&certificate, &damaged);
    assert!(matches!(kind, CredentialsError::Pem(..)));
    assert!(text.contains("the line -----END PRIVATE KEY----- is missing"), "{text}");

    let nonsense = files.write("nonsense.pem", pem("PRIVATE KEY", b"nonsense"));
    let (kind, text) = error(&certificate, &nonsense);
    assert!(matches!(kind, CredentialsError::BadKey(..)) && text.contains("nonsense.pem"));

    let not_a_certificate = files.write("not.pem", pem("CERTIFICATE", b"nonsense"));
    let (kind, text) = error(&not_a_certificate, &key);
    assert!(matches!(kind, CredentialsError::BadCertificate(..)), "{kind:?}");
    assert!(text.contains("not.pem"));
}

#[test]
fn encrypted_keys_are_explained() {
    let files = Files::new();
    let pair = KeyPair::generate().unwrap();
    let certificate = files.write("cert.pem", params().self_signed(&pair).unwrap().pem());
    for text in [
        pem("ENCRYPTED PRIVATE KEY", b"secret"),
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE \
         KEY-----\n"
            .to_owned(),
    ] {
        let key = files.write("key.pem", text);
        let (kind, text) = error(&certificate, &key);
        assert!(matches!(kind, CredentialsError::EncryptedKey(_)), "{kind:?}");
        assert!(text.contains("openssl pkey"), "{text}");
    }
}

#[test]
fn a_foreign_key_is_refused() {
    let files = Files::new();
    let pair = KeyPair::generate().unwrap();
    let certificate = files.write("cert.pem", params().self_signed(&pair).unwrap().pem());
    let key = files.write("key.pem", KeyPair::generate().unwrap().serialize_pem());
    let (kind, text) = error(&certificate, &key);
    assert!(matches!(kind, CredentialsError::Mismatch { .. }), "{kind:?}");
    assert!(text.contains("cert.pem") && text.contains("key.pem"), "{text}");
}

#[test]
fn the_order_of_the_chain_matters() {
    let files = Files::new();
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = params();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "authority");
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, &authority_key);
    let pair = KeyPair::generate().unwrap();
    let leaf_pem = params().signed_by(&pair, &issuer).unwrap().pem();
    let key = files.write("key.pem", pair.serialize_pem());

    let right = files.write("right.pem", format!("{leaf_pem}{authority_pem}"));
    assert_eq!(Credentials::load(&right, &key).unwrap().chain.len(), 2);

    let wrong = files.write("wrong.pem", format!("{authority_pem}{leaf_pem}"));
    let (kind, text) = error(&wrong, &key);
    assert!(matches!(kind, CredentialsError::Order { position: 1, .. }), "{kind:?}");
    assert!(text.contains("certificate 1 is not issued by certificate 2"), "{text}");

    let stranger = params().self_signed(&authority_key).unwrap().pem();
    let gap = files.write("gap.pem", format!("{leaf_pem}{stranger}"));
    let loaded = Credentials::load(&gap, &key).unwrap();
    let warnings = &loaded.warnings;
    assert!(warnings[0].contains("Add the missing certificate"), "{warnings:?}");
}

#[test]
fn certificates_out_of_date_are_served_with_a_warning() {
    let files = Files::new();
    let pair = KeyPair::generate().unwrap();
    let key = files.write("key.pem", pair.serialize_pem());
    let soon =
        date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(now().unsigned_abs() + 90_000);
    for (from, until, says) in [
        (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1), "expired"),
        (date_time_ymd(2900, 1, 1), date_time_ymd(2901, 1, 1), "not valid yet"),
        (date_time_ymd(2001, 1, 1), soon, "expires in"),
    ] {
        let mut params = params();
        params.not_before = from;
        params.not_after = until;
        let certificate = files.write("cert.pem", params.self_signed(&pair).unwrap().pem());
        let credentials = Credentials::load(&certificate, &key).unwrap();
        let [warning] = &credentials.warnings[..] else { panic!("one warning") };
        assert!(warning.contains(says) && warning.contains("cert.pem"), "{warning}");
    }
}

/// The warnings about a certificate with this extension, issued by an authority that is not in the
/// file.
fn warnings_about(names: &[&str], extension: Option<CustomExtension>) -> Vec<String> {
    let files = Files::new();
    let mut authority = params();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "authority");
    let issuer = Issuer::new(authority, KeyPair::generate().unwrap());
    let pair = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.custom_extensions.extend(extension);
    let certificate = files.write("cert.pem", params.signed_by(&pair, &issuer).unwrap().pem());
    let key = files.write("key.pem", pair.serialize_pem());
    let loaded = Credentials::load(&certificate, &key).unwrap();
    loaded.warnings.clone()
}

#[test]
fn certificates_that_clients_refuse_are_served_with_a_warning() {
    assert_eq!(warnings_about(&["localhost"], None), [""; 0], "of a private authority");
    let [warning] = &warnings_about(&[], None)[..] else { panic!("one warning") };
    assert!(warning.contains("subjectAltName") && warning.contains("cert.pem"), "{warning}");
    // AuthorityInfoAccess: caIssuers at http://a/ (RFC 5280 section 4.2.2.1).
    let access = b"\x30\x17\x30\x15\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x02\x86\x09http://a/";
    let oid = [1, 3, 6, 1, 5, 5, 7, 1, 1];
    let access = CustomExtension::from_oid_content(&oid, access.to_vec());
    let [warning] = &warnings_about(&["localhost"], Some(access))[..] else { panic!("one") };
    assert!(warning.contains("intermediate"), "{warning}");
}
