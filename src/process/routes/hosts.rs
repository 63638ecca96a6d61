//! From a host to its site.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::config::Site;

/// The longest host that any site can have, in bytes: a name, or an address in brackets.
const MAX_HOST_BYTES: usize = 253;

/// Sites by name. Hashed fast: names come from the operator alone.
#[derive(Debug)]
pub(super) struct Hosts {
    names: HashMap<Box<[u8]>, usize, RandomState>,
    /// By what they stand above.
    wildcards: HashMap<Box<[u8]>, usize, RandomState>,
    /// The site for all other names.
    default: Option<usize>,
}

impl Hosts {
    pub(super) fn new(sites: &[Site]) -> Self {
        let mut hosts =
            Self { names: HashMap::default(), wildcards: HashMap::default(), default: None };
        for (number, site) in sites.iter().enumerate() {
            if site.names.is_empty() {
                hosts.default = Some(number);
            }
            for name in &site.names {
                match name.wildcard_of() {
                    Some(above) => hosts.wildcards.insert(above.as_bytes().into(), number),
                    None => hosts.names.insert(name.as_str().as_bytes().into(), number),
                };
            }
        }
        hosts
    }

    /// The site for a host, perhaps with a port; None if there is none.
    pub(super) fn find(&self, host: Option<&[u8]>) -> Option<usize> {
        if self.names.is_empty() && self.wildcards.is_empty() {
            return self.default;
        }
        let named = host.and_then(|host| self.named(host_alone(host)));
        named.or(self.default)
    }

    fn named(&self, host: &[u8]) -> Option<usize> {
        let host = host.strip_suffix(b".").unwrap_or(host);
        let mut lower = [0; MAX_HOST_BYTES];
        let lower = lower.get_mut(..host.len())?;
        lower.copy_from_slice(host);
        lower.make_ascii_lowercase();
        let lower: &[u8] = lower;
        if let Some(site) = self.names.get(lower) {
            return Some(*site);
        }
        if self.wildcards.is_empty() {
            return None;
        }
        let dot = memchr::memchr(b'.', lower).filter(|dot| *dot > 0)?;
        self.wildcards.get(lower.get(dot + 1..)?).copied()
    }
}

/// `host` of `host[:port]` (RFC 9110 section 7.2).
pub(crate) fn host_alone(host: &[u8]) -> &[u8] {
    // The colons of an IPv6 address stand within brackets.
    match host.iter().rposition(|byte| matches!(byte, b':' | b']')) {
        Some(at) if host[at] == b':' => &host[..at],
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(names: &[&str]) -> Site {
        let names = names.iter().map(|name| name.parse().unwrap());
        names.fold(Site::default(), Site::with_name)
    }

    #[test]
    fn exact_names_come_before_wildcards_and_those_before_the_default() {
        let hosts = Hosts::new(&[
            site(&["example.com", "[::1]"]),
            site(&["*.example.com"]),
            site(&["www.example.com"]),
            site(&[]),
        ]);
        for (host, found) in [
            ("example.com", 0),
            ("EXAMPLE.com:8443", 0),
            ("example.com.", 0),
            ("example.com.:443", 0),
            ("[::1]", 0),
            ("[::1]:443", 0),
            ("a.example.com", 1),
            ("a.example.com:1", 1),
            ("www.example.com", 2),
            ("Www.Example.Com", 2),
            ("a.b.example.com", 3),
            (".example.com", 3),
            ("example.org", 3),
            ("", 3),
            ("[::2]", 3),
        ] {
            assert_eq!(hosts.find(Some(host.as_bytes())), Some(found), "{host}");
        }
        assert_eq!(hosts.find(Some(&[b'a'; 500])), Some(3));
        assert_eq!(hosts.find(None), Some(3));
    }

    #[test]
    fn without_a_default_unknown_names_have_no_site() {
        let hosts = Hosts::new(&[site(&["example.com"])]);
        assert_eq!(hosts.find(Some(b"example.com")), Some(0));
        for host in [Some(&b"example.org"[..]), Some(b""), Some(b"a.example.com"), None] {
            assert_eq!(hosts.find(host), None);
        }
    }
}
