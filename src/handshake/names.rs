//! The names in a certificate, and which certificate a name gets.
//!
//! Pure: it knows neither files nor rustls. Which certificate is sent is a matter of convenience,
//! not of security: the client judges what it gets.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::validity::{EXPLICIT_0, SEQUENCE, expect, skip, value};

const EXPLICIT_3: u8 = 0xa3;
const OBJECT_IDENTIFIER: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

/// 2.5.29.17, subjectAltName (RFC 5280 section 4.2.1.6).
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// The DNS names, in lower case, and the addresses for which a certificate is, in its own order.
/// Nothing for what cannot be read. The common name does not count (RFC 9525 section 2).
pub(super) fn names(certificate: &[u8]) -> Vec<String> {
    subject_alt_names(certificate).unwrap_or_default()
}

fn subject_alt_names(certificate: &[u8]) -> Option<Vec<String>> {
    let (certificate, _) = expect(SEQUENCE, certificate)?;
    let (mut fields, _) = expect(SEQUENCE, certificate)?;
    if fields.first() == Some(&EXPLICIT_0) {
        fields = skip(fields)?; // version
    }
    // serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo
    for _ in 0..6 {
        fields = skip(fields)?;
    }
    while !fields.is_empty() {
        let (tag, content, rest) = value(fields)?;
        if tag == EXPLICIT_3 {
            let (mut extensions, _) = expect(SEQUENCE, content)?;
            while !extensions.is_empty() {
                let (extension, later) = expect(SEQUENCE, extensions)?;
                let (identifier, mut content) = expect(OBJECT_IDENTIFIER, extension)?;
                if identifier == SUBJECT_ALT_NAME {
                    if content.first() != Some(&OCTET_STRING) {
                        content = skip(content)?; // critical
                    }
                    let (general_names, _) = expect(OCTET_STRING, content)?;
                    return general_names_in(general_names);
                }
                extensions = later;
            }
        }
        fields = rest;
    }
    None
}

fn general_names_in(der: &[u8]) -> Option<Vec<String>> {
    let (mut rest, _) = expect(SEQUENCE, der)?;
    let mut names = Vec::new();
    while !rest.is_empty() {
        let (tag, content, later) = value(rest)?;
        names.extend(match tag {
            DNS_NAME => dns_name(content),
            IP_ADDRESS => address(content).map(|address| address.to_string()),
            _ => None,
        });
        rest = later;
    }
    Some(names)
}

/// Letters, digits and what else hosts are called by in practice, so that a name can be logged.
fn dns_name(bytes: &[u8]) -> Option<String> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.*".contains(byte);
    if bytes.is_empty() || bytes.len() > 255 || !bytes.iter().all(plain) {
        return None;
    }
    String::from_utf8(bytes.to_ascii_lowercase()).ok()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|sixteen| Ipv6Addr::from(sixteen).into())
}

/// Which certificates, by their place in the configuration, a name may get.
///
/// The order of preference: those with the very name, then those with a wildcard for it; within
/// each the order of the configuration. A name that none has, or none at all, gets the first
/// certificate, or one that shares a name with it.
#[derive(Debug, Default)]
pub(super) struct NameIndex {
    exact: HashMap<String, Vec<usize>>,
    /// By what is behind `*.`, which stands for one label exactly (RFC 9525 section 6.3).
    wildcard: HashMap<String, Vec<usize>>,
    fallback: Vec<usize>,
}

impl NameIndex {
    /// An index of certificates with these names, each in lower case.
    pub(super) fn new(certificates: &[&[String]]) -> Self {
        let mut index = Self::default();
        let first = certificates.first().copied().unwrap_or_default();
        for (place, names) in certificates.iter().enumerate() {
            for name in *names {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut index.wildcard, parent),
                    None => (&mut index.exact, name.as_str()),
                };
                let places = map.entry(name.to_owned()).or_default();
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
            if place == 0 || names.iter().any(|name| first.contains(name)) {
                index.fallback.push(place);
            }
        }
        index
    }

    /// The best certificate for a name that `fits`: whose key the client can verify. If none does,
    /// the best one, so that the client is told what is the matter. `None` without certificates.
    pub(super) fn choose(&self, name: Option<&str>, fits: impl Fn(usize) -> bool) -> Option<usize> {
        let name = name.map(|name| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase());
        let exact = name.as_ref().and_then(|name| self.exact.get(name));
        let parent = name.as_ref().and_then(|name| name.split_once('.')).map(|(_, parent)| parent);
        let wildcard = parent.and_then(|parent| self.wildcard.get(parent));
        let known = exact.is_some() || wildcard.is_some();
        let fallback = if known { &[][..] } else { &self.fallback[..] };
        let places = || exact.into_iter().chain(wildcard).flatten().chain(fallback).copied();
        places().find(|&place| fits(place)).or_else(|| places().next())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn made(params: &CertificateParams) -> Vec<u8> {
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
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
        assert_eq!(names(&made(&params)), ["a.example", "*.b.example", "127.0.0.1", "::1"]);
        params.subject_alt_names.clear();
        assert_eq!(names(&made(&params)), [""; 0]);
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
        params.subject_alt_names = vec![SanType::DnsName("x.example".try_into().unwrap())];
        params.is_ca = rcgen::IsCa::ExplicitNoCa;
        assert_eq!(names(&made(&params)), ["x.example"], "behind other extensions");
    }

    #[test]
    fn names_that_could_forge_a_line_of_the_log_are_left_out() {
        assert_eq!(dns_name(b"a\nb"), None);
        assert_eq!(dns_name(b""), None);
        assert_eq!(dns_name(b"A-b_c.example").as_deref(), Some("a-b_c.example"));
    }

    fn index(certificates: &[&[&str]]) -> NameIndex {
        let owned: Vec<Vec<String>> = certificates
            .iter()
            .map(|names| names.iter().map(|&name| name.to_owned()).collect())
            .collect();
        NameIndex::new(&owned.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    #[test]
    fn exact_names_come_before_wildcards_and_the_first_is_for_strangers() {
        let index = index(&[
            &["default.example"],
            &["*.b.example", "b.example"],
            &["www.b.example"],
            &["b.example"],
        ]);
        let choose = |name| index.choose(name, |_| true);
        assert_eq!(choose(None), Some(0));
        assert_eq!(choose(Some("stranger.example")), Some(0));
        assert_eq!(choose(Some("www.b.example")), Some(2), "exact, though the wildcard is first");
        assert_eq!(choose(Some("WWW.B.Example.")), Some(2), "whatever the case, and a last dot");
        assert_eq!(choose(Some("mail.b.example")), Some(1));
        assert_eq!(choose(Some("b.example")), Some(1), "the first of two with the name");
        assert_eq!(choose(Some("a.mail.b.example")), Some(0), "a wildcard is one label");
        assert_eq!(choose(Some(".b.example")), Some(1));
        assert_eq!(NameIndex::new(&[]).choose(Some("a"), |_| true), None);
    }

    #[test]
    fn among_certificates_for_a_name_the_clients_signatures_decide() {
        let both = index(&[&["a.example"], &["a.example", "x"], &["*.example"], &["x"]]);
        let second = |place: usize| place == 1;
        assert_eq!(both.choose(Some("a.example"), second), Some(1));
        assert_eq!(both.choose(None, second), Some(1), "it shares a name with the first");
        assert_eq!(both.choose(Some("a.example"), |place| place == 2), Some(2), "the wildcard");
        assert_eq!(both.choose(Some("a.example"), |place| place == 3), Some(0), "a foreign name");
        assert_eq!(both.choose(None, |place| place == 3), Some(0), "shares none with the first");
    }

    /// What the index must answer, without an index.
    fn plainly(certificates: &[Vec<String>], name: &str, fits: &[bool]) -> Option<usize> {
        let wildcard = name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        let having = |wanted: Option<&String>| -> Vec<usize> {
            (0..certificates.len())
                .filter(|&place| wanted.is_some_and(|wanted| certificates[place].contains(wanted)))
                .collect()
        };
        let mut places = having(Some(&name.to_owned()));
        places.extend(having(wildcard.as_ref()));
        if places.is_empty() {
            places = (0..certificates.len())
                .filter(|&place| {
                    place == 0
                        || certificates[place].iter().any(|name| certificates[0].contains(name))
                })
                .collect();
        }
        places.iter().copied().find(|&place| fits[place]).or(places.first().copied())
    }

    proptest! {
        #[test]
        fn the_index_answers_as_a_plain_search_does(
            certificates in prop::collection::vec(
                prop::collection::vec("(\\*\\.)?[ab](\\.[ab]){0,2}", 0..4), 0..6),
            name in "[ab](\\.[ab]){0,3}",
            fits in prop::collection::vec(any::<bool>(), 6),
        ) {
            let slices: Vec<&[String]> = certificates.iter().map(Vec::as_slice).collect();
            let chosen = NameIndex::new(&slices).choose(Some(&name), |place| fits[place]);
            prop_assert_eq!(chosen, plainly(&certificates, &name, &fits));
        }

        #[test]
        fn damaged_certificates_never_panic(position in 0usize..600, byte: u8) {
            let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            let mut bytes = made(&params);
            let position = position % bytes.len();
            bytes[position] = byte;
            let _ = names(&bytes);
        }
    }
}
