//! Names of sites.

use std::{fmt, str::FromStr};

/// The longest name of a host, in bytes (RFC 1035 section 2.3.4, without the dot at its end).
const MAX_NAME_BYTES: usize = 253;

/// The longest label of a name, in bytes (RFC 1035 section 2.3.4).
const MAX_LABEL_BYTES: usize = 63;

/// The name of a site: a host in lower case, without a port, or all hosts one label below one
/// (`*.example.com`), as certificates have it (RFC 9525 section 6.3). An IPv6 address stands in
/// brackets, as it does in `Host`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteName(String);

impl SiteName {
    /// The name, in lower case; a wildcard with its `*.`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What a wildcard stands above: `example.com` of `*.example.com`; None for a name.
    pub fn wildcard_of(&self) -> Option<&str> {
        self.0.strip_prefix("*.")
    }
}

impl fmt::Display for SiteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SiteName {
    type Err = SiteNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains("//") || text.contains('/') {
            return Err(SiteNameError::Url);
        }
        if !text.is_ascii() {
            return Err(SiteNameError::NotAscii);
        }
        let lower = text.to_ascii_lowercase();
        if let Some(address) = lower.strip_prefix('[') {
            let address = address.strip_suffix(']').ok_or(SiteNameError::Port)?;
            let address: std::net::Ipv6Addr = address.parse().map_err(|_| SiteNameError::Label)?;
            return Ok(Self(format!("[{address}]")));
        }
        if lower.contains(':') {
            return Err(SiteNameError::Port);
        }
        let name = lower.strip_prefix("*.").unwrap_or(&lower);
        if name.contains('*') {
            return Err(SiteNameError::Wildcard);
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(SiteNameError::Length);
        }
        let is_label = |label: &str| {
            let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            (1..=MAX_LABEL_BYTES).contains(&label.len()) && label.bytes().all(letters)
        };
        if !name.split('.').all(is_label) {
            return Err(SiteNameError::Label);
        }
        let wildcard = if lower.starts_with("*.") { "*." } else { "" };
        Ok(Self(format!("{wildcard}{name}")))
    }
}

/// Why a text is no name of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SiteNameError {
    /// It is a URL or has a path.
    Url,
    /// It holds letters outside ASCII.
    NotAscii,
    /// It has a port, or is an IPv6 address without brackets.
    Port,
    /// A `*` stands elsewhere than for the whole first label.
    Wildcard,
    /// It is empty or longer than 253 bytes.
    Length,
    /// A label is empty, longer than 63 bytes, or holds another character than letters, digits,
    /// `-` and `_`.
    Label,
}

impl fmt::Display for SiteNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Url => "give the name of the host alone, such as example.com",
            Self::NotAscii => "give the name in its ASCII form, such as xn--bcher-kva.example",
            Self::Port => {
                "give the name without a port, and an IPv6 address in brackets, such as [::1]"
            }
            Self::Wildcard => "a * stands for the whole first label alone, as in *.example.com",
            Self::Length => "a name has 1 to 253 bytes",
            Self::Label => {
                "between its dots a name has 1 to 63 letters, digits, hyphens and underscores"
            }
        })
    }
}

impl std::error::Error for SiteNameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lowered_and_checked() {
        for (text, name) in [
            ("Example.COM", "example.com"),
            ("example.com.", "example.com"),
            ("*.Example.com", "*.example.com"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:DB8:0::1]", "[2001:db8::1]"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(text.parse::<SiteName>().unwrap().as_str(), name);
        }
        for (text, error) in [
            ("https://example.com", SiteNameError::Url),
            ("example.com/x", SiteNameError::Url),
            ("b\u{fc}cher.example", SiteNameError::NotAscii),
            ("example.com:443", SiteNameError::Port),
            ("::1", SiteNameError::Port),
            ("[::1]:443", SiteNameError::Port),
            ("*", SiteNameError::Wildcard),
            ("w*.example.com", SiteNameError::Wildcard),
            ("a.*.com", SiteNameError::Wildcard),
            ("", SiteNameError::Length),
            ("*.", SiteNameError::Length),
            ("a..b", SiteNameError::Label),
            ("a b", SiteNameError::Label),
        ] {
            assert_eq!(text.parse::<SiteName>(), Err(error), "{text:?}");
        }
    }
}
