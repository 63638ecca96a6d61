//! The command that tries the server out: it can be pasted as it is into a shell of this host.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::addresses::{host_of, is_localhost, url};
use crate::server::ServedCertificate;

/// The command for the first address and the first certificate. `is_readable` is whether others
/// than the server can read the certificate's file.
pub(super) fn command(
    address: &SocketAddr,
    certificate: &ServedCertificate,
    is_readable: bool,
    asks_clients: bool,
) -> String {
    let mut words = vec!["curl".to_owned()];
    let (host, elsewhere) = match host(address, &certificate.names) {
        Some(host) => host,
        // A certificate without names is refused by every client that checks it.
        None => ("localhost".to_owned(), true),
    };
    if certificate.file.as_os_str().is_empty() || certificate.names.is_empty() {
        words.push("-k".to_owned());
    } else if is_readable {
        words.push(format!("--cacert {}", quoted(&certificate.file)));
    }
    if asks_clients {
        words.push("--cert CLIENT.pem --key CLIENT.key".to_owned());
    }
    if elsewhere {
        words.push(format!("--connect-to ::{}:{}", reached(address), address.port()));
    }
    words.push(url(&host, address.port()));
    words.join(" ")
}

/// A name of the certificate to ask for, and whether it leads elsewhere than to this listener.
fn host(address: &SocketAddr, names: &[String]) -> Option<(String, bool)> {
    if is_localhost(address) && names.iter().any(|name| name == "localhost") {
        return Some(("localhost".to_owned(), false));
    }
    let own = address.ip();
    if names.iter().any(|name| name.parse() == Ok(own)) {
        return Some((host_of(address), false));
    }
    let is_address = |name: &&String| name.parse::<IpAddr>().is_ok();
    let name = names.iter().find(|name| !is_address(name)).or(names.first())?;
    let host = match (name.parse::<IpAddr>(), name.strip_prefix("*.")) {
        (Ok(ip), _) => host_of(&SocketAddr::new(ip, 0)),
        (Err(_), Some(domain)) => format!("www.{domain}"),
        (Err(_), None) => name.clone(),
    };
    Some((host, true))
}

/// The address by which a client on this host reaches the listener.
fn reached(address: &SocketAddr) -> String {
    // A listener on `[::]` may serve IPv6 alone.
    match (address.ip().is_unspecified(), address.is_ipv4()) {
        (true, true) => "127.0.0.1".to_owned(),
        (true, false) => "[::1]".to_owned(),
        (false, _) => host_of(address),
    }
}

/// A path that a shell takes as one word.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%:,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_it(address: &str, file: &str, names: &[&str]) -> String {
        let certificate = ServedCertificate {
            file: file.into(),
            names: names.iter().map(|&name| name.to_owned()).collect(),
            fingerprint: "AB:CD".to_owned(),
            not_after: None,
        };
        command(&address.parse().unwrap(), &certificate, true, false)
    }

    #[test]
    fn the_command_names_what_the_certificate_is_for() {
        for (address, file, names, line) in [
            (
                "127.0.0.1:8443",
                "/a user/c.pem",
                &["localhost", "::1"][..],
                "curl --cacert '/a user/c.pem' https://localhost:8443/",
            ),
            ("[::]:443", "", &["localhost"], "curl -k https://localhost/"),
            (
                "0.0.0.0:443",
                "c.pem",
                &["*.example.com", "example.com"],
                "curl --cacert c.pem --connect-to ::127.0.0.1:443 https://www.example.com/",
            ),
            (
                "192.0.2.7:8443",
                "c.pem",
                &["192.0.2.9", "shop.example"],
                "curl --cacert c.pem --connect-to ::192.0.2.7:8443 https://shop.example:8443/",
            ),
            (
                "[2001:db8::1]:443",
                "c.pem",
                &["a.example", "2001:db8::1"],
                "curl --cacert c.pem https://[2001:db8::1]/",
            ),
            (
                "[::]:443",
                "c.pem",
                &["2001:db8::1"],
                "curl --cacert c.pem --connect-to ::[::1]:443 https://[2001:db8::1]/",
            ),
            (
                "192.0.2.7:443",
                "c.pem",
                &[],
                "curl -k --connect-to ::192.0.2.7:443 https://localhost/",
            ),
        ] {
            assert_eq!(try_it(address, file, names), line, "{address} {names:?}");
        }
    }

    #[test]
    fn what_others_cannot_read_is_not_named() {
        let certificate = ServedCertificate {
            file: "/run/credentials/ringway.service/cert".into(),
            names: vec!["example.com".to_owned()],
            fingerprint: "AB:CD".to_owned(),
            not_after: None,
        };
        assert_eq!(
            command(&"0.0.0.0:443".parse().unwrap(), &certificate, false, true),
            "curl --cert CLIENT.pem --key CLIENT.key --connect-to ::127.0.0.1:443 \
             https://example.com/"
        );
    }

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(quoted(Path::new("/a/b-c.pem")), "/a/b-c.pem");
        assert_eq!(quoted(Path::new("it's")), r"'it'\''s'");
    }
}
