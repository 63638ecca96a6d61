//! What Ringway itself reads in a certificate (RFC 5280): names, issuer and time of validity.
//!
//! Whether a certificate can be trusted is rustls's to decide, or the client's. This is for what the
//! operator reads, for the choice by name, and for the end of resumed sessions. The parser is
//! `x509-parser`.

#![forbid(unsafe_code)]

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;

/// Longest DNS name.
const MAX_NAME: usize = 255;

/// A certificate that was parsed.
#[derive(Debug)]
pub(crate) struct Parsed<'a>(X509Certificate<'a>);

/// Why a certificate, or a part of it, cannot be read.
#[derive(Debug)]
pub(crate) struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it cannot be read: {}", self.0)
    }
}

impl From<X509Error> for Unreadable {
    fn from(error: X509Error) -> Self {
        Self(error.to_string())
    }
}

impl<'a> Parsed<'a> {
    /// Parses DER.
    pub(crate) fn parse(der: &'a [u8]) -> Result<Self, Unreadable> {
        match X509Certificate::from_der(der) {
            Ok(([], certificate)) => Ok(Self(certificate)),
            Ok(_) => Err(Unreadable("bytes follow it".to_owned())),
            Err(error) => Err(Unreadable(error.to_string())),
        }
    }

    /// The issuer's name, as DER.
    pub(crate) fn issuer(&self) -> &[u8] {
        self.0.issuer().as_raw()
    }

    /// The subject's name, as DER.
    pub(crate) fn subject(&self) -> &[u8] {
        self.0.subject().as_raw()
    }

    /// First second of validity since 1970.
    pub(crate) fn not_before(&self) -> i64 {
        self.0.validity().not_before.timestamp()
    }

    /// Last second of validity since 1970.
    pub(crate) fn not_after(&self) -> i64 {
        self.0.validity().not_after.timestamp()
    }

    /// The DNS names, in lower case, and the addresses for which the certificate is, in its own
    /// order. The common name does not count (RFC 9525 section 2).
    ///
    /// # Errors
    /// The subjectAltName is malformed, or there are several.
    pub(crate) fn names(&self) -> Result<Vec<String>, Unreadable> {
        let Some(extension) = self.0.subject_alternative_name()? else { return Ok(Vec::new()) };
        let names = extension.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => dns_name(name),
            GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
            _ => None,
        });
        Ok(names.collect())
    }

    /// Whether it says where the certificate of its issuer can be had (RFC 5280 section 4.2.2.1), as
    /// those do that a public authority issues under an intermediate certificate.
    pub(crate) fn names_its_issuers_certificate(&self) -> bool {
        const CA_ISSUERS: &str = "1.3.6.1.5.5.7.48.2";
        self.0.extensions().iter().any(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityInfoAccess(access) => access
                .accessdescs
                .iter()
                .any(|access| access.access_method.to_id_string() == CA_ISSUERS),
            _ => false,
        })
    }
}

/// Letters, digits and what else hosts are called by in practice, so that a name can be logged.
fn dns_name(name: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.*".contains(&byte);
    let is_plain = !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(plain);
    is_plain.then(|| name.to_ascii_lowercase())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|sixteen| Ipv6Addr::from(sixteen).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, CustomExtension, KeyPair, SanType};

    use super::*;

    fn made(params: &CertificateParams) -> Vec<u8> {
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn names(params: &CertificateParams) -> Vec<String> {
        Parsed::parse(&made(params)).unwrap().names().unwrap()
    }

    #[test]
    fn names_and_addresses_are_read_and_the_common_name_is_not() {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "cn.example");
        params.subject_alt_names = vec![
            SanType::DnsName("A.Example".try_into().unwrap()),
            SanType::Rfc822Name("who@a.example".try_into().unwrap()),
            SanType::DnsName("*.b.example".try_into().unwrap()),
            SanType::IpAddress("127.0.0.1".parse().unwrap()),
            SanType::IpAddress("::1".parse().unwrap()),
        ];
        assert_eq!(names(&params), ["a.example", "*.b.example", "127.0.0.1", "::1"]);
        params.subject_alt_names.clear();
        assert_eq!(names(&params), [""; 0]);
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
        params.subject_alt_names = vec![SanType::DnsName("x.example".try_into().unwrap())];
        params.is_ca = rcgen::IsCa::ExplicitNoCa;
        assert_eq!(names(&params), ["x.example"], "behind other extensions");
    }

    #[test]
    fn names_that_could_forge_a_line_of_the_log_are_left_out() {
        assert_eq!(dns_name("a\nb"), None);
        assert_eq!(dns_name(""), None);
        assert_eq!(dns_name("A-b_c.example").as_deref(), Some("a-b_c.example"));
    }

    #[test]
    fn a_malformed_subject_alt_name_is_an_error() {
        let mut params = CertificateParams::default();
        // A SEQUENCE that is longer than the extension.
        let extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], vec![0x30, 0x7f, 0x82]);
        params.custom_extensions.push(extension);
        let certificate = made(&params);
        assert!(Parsed::parse(&certificate).unwrap().names().is_err());
    }

    #[test]
    fn both_ends_of_the_validity_are_read() {
        let certificate = made(&CertificateParams::default());
        let parsed = Parsed::parse(&certificate).unwrap();
        assert_eq!(parsed.issuer(), parsed.subject());
        // rcgen's defaults, a UTCTime and a GeneralizedTime: 1975-01-01 to 4096-01-01.
        assert_eq!(parsed.not_before(), 157_766_400);
        assert_eq!(parsed.not_after(), 67_090_118_400);
    }

    #[test]
    fn what_is_no_certificate_is_an_error() {
        let certificate = made(&CertificateParams::default());
        for bytes in [&b""[..], b"0", &certificate[1..], &[&certificate[..], b"0"].concat()] {
            assert!(Parsed::parse(bytes).is_err());
        }
    }

    proptest! {
        #[test]
        fn damaged_certificates_never_panic(position: usize, byte: u8) {
            let mut params = CertificateParams::default();
            params.subject_alt_names = vec![SanType::DnsName("x.example".try_into().unwrap())];
            let mut bytes = made(&params);
            let position = position % bytes.len();
            bytes[position] = byte;
            if let Ok(parsed) = Parsed::parse(&bytes) {
                let _ = (parsed.names(), parsed.not_after(), parsed.names_its_issuers_certificate());
            }
        }
    }
}
