//! Where to send the request: an `https` URL (RFC 9110 section 4.2.2), taken apart.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::ServerName;

/// An `https` URL: whom to connect to, and what to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Target {
    /// The name or address, without the brackets of IPv6.
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query, as the request line has them; begins with `/`.
    pub(super) path: String,
    /// What the certificate must be for.
    pub(super) name: ServerName<'static>,
}

impl Target {
    /// The Host field's value: the port only where it is not the default.
    pub(super) fn authority(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 443 { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.authority(), self.path)
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let scheme = "https://";
        let rest = match text.get(..scheme.len()) {
            Some(start) if start.eq_ignore_ascii_case(scheme) => &text[scheme.len()..],
            _ if text.contains("://") => {
                return Err(
                    "only https:// can be looked at; Ringway serves nothing else".to_owned()
                );
            }
            _ => text,
        };
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) if rest[at..].starts_with('/') => (&rest[..at], rest[at..].to_owned()),
            Some(at) => (&rest[..at], format!("/{}", &rest[at..])),
            None => (rest, "/".to_owned()),
        };
        if authority.contains('@') {
            return Err("a URL with a user name is not for the web of today".to_owned());
        }
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(
                "the path has characters that must be percent-encoded, such as %20 for a space"
                    .to_owned(),
            );
        }
        let (host, port) = split_port(authority)?;
        let name = ServerName::try_from(host)
            .map_err(|_| format!("{host:?} is neither a host name nor an address"))?
            .to_owned();
        Ok(Self { host: host.to_owned(), port, path, name })
    }
}

fn split_port(authority: &str) -> Result<(&str, u16), String> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("the ] after the address is missing")?;
            (host, rest.strip_prefix(':'))
        }
        None => match authority.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => {
                return Err(format!("an IPv6 address needs brackets: https://[{authority}]/"));
            }
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    match port {
        None => Ok((host, 443)),
        Some(text) => match text.parse() {
            Ok(port) if port > 0 => Ok((host, port)),
            _ => Err(format!("{text:?} is no port; use 1 to 65535")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, u16, String, String) {
        let target: Target = text.parse().unwrap();
        (target.host.clone(), target.port, target.path.clone(), target.to_string())
    }

    fn expected(host: &str, port: u16, path: &str, url: &str) -> (String, u16, String, String) {
        (host.to_owned(), port, path.to_owned(), url.to_owned())
    }

    #[test]
    fn urls_are_taken_apart() {
        assert_eq!(
            parts("https://localhost:8443/a/b?c=d#e"),
            expected("localhost", 8443, "/a/b?c=d", "https://localhost:8443/a/b?c=d")
        );
        assert_eq!(
            parts("HTTPS://example.org"),
            expected("example.org", 443, "/", "https://example.org/")
        );
        assert_eq!(
            parts("example.org:8443?q"),
            expected("example.org", 8443, "/?q", "https://example.org:8443/?q")
        );
        assert_eq!(parts("https://[::1]:8443/"), expected("::1", 8443, "/", "https://[::1]:8443/"));
        assert_eq!(parts("https://127.0.0.1").3, "https://127.0.0.1/");
    }

    #[test]
    fn refusals_say_what_to_write_instead() {
        for (text, says) in [
            ("http://localhost/", "only https://"),
            ("https://user@localhost/", "user name"),
            ("https://localhost:0/", "1 to 65535"),
            ("https://localhost:eighty/", "1 to 65535"),
            ("https://::1/", "brackets"),
            ("https://[::1/", "] after the address"),
            ("https:///x", "neither a host name"),
            ("https://localhost/a b", "%20"),
            ("https://localhost/\r\nX: y", "percent-encoded"),
        ] {
            let refusal = text.parse::<Target>().unwrap_err();
            assert!(refusal.contains(says), "{text}: {refusal}");
        }
    }
}
