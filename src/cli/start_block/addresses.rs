//! The addresses of the server, as URLs.

use std::net::SocketAddr;

use crate::config::serves_both_families;

/// The port that a URL of HTTPS leaves out.
const DEFAULT_PORT: u16 = 443;

/// `https://host/`, with the port unless it is 443.
pub(super) fn url(host: &str, port: u16) -> String {
    if port == DEFAULT_PORT {
        format!("https://{host}/")
    } else {
        format!("https://{host}:{port}/")
    }
}

/// Where clients find the server, each URL once.
pub(super) fn urls(addresses: &[SocketAddr]) -> Vec<String> {
    let mut urls: Vec<String> = Vec::new();
    for address in addresses {
        let url = if address.ip().is_unspecified() {
            format!("{} and on {}", url("localhost", address.port()), reach(address, addresses))
        } else if is_localhost(address) {
            url("localhost", address.port())
        } else {
            url(&host_of(address), address.port())
        };
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    urls
}

/// Which addresses of the host a listener on an unspecified one covers, those of its companion of
/// the other family included.
fn reach(address: &SocketAddr, all: &[SocketAddr]) -> &'static str {
    let is_companion = |other: &SocketAddr| {
        other.ip().is_unspecified()
            && other.port() == address.port()
            && other.is_ipv4() != address.is_ipv4()
    };
    if serves_both_families(address, all) || all.iter().any(is_companion) {
        "every address of this host"
    } else if address.is_ipv4() {
        "every IPv4 address of this host"
    } else {
        "every IPv6 address of this host"
    }
}

/// Whether a client on this host reaches the listener as `localhost`.
pub(super) fn is_localhost(address: &SocketAddr) -> bool {
    let ip = address.ip();
    ip.is_unspecified() || ip.to_string() == "127.0.0.1" || ip.to_string() == "::1"
}

/// The address as the host of a URL.
pub(super) fn host_of(address: &SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(addresses: &[&str]) -> Vec<String> {
        urls(&addresses.iter().map(|address| address.parse().unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn the_block_says_which_addresses_are_served() {
        for (addresses, shows) in [
            (&["127.0.0.1:8443", "[::1]:8443"][..], &["https://localhost:8443/"][..]),
            (&["[::]:443"], &["https://localhost/ and on every address of this host"]),
            (
                &["0.0.0.0:443", "[::]:443"],
                &["https://localhost/ and on every address of this host"],
            ),
            (&["0.0.0.0:443"], &["https://localhost/ and on every IPv4 address of this host"]),
            (
                &["[::]:443", "192.0.2.7:443"],
                &[
                    "https://localhost/ and on every IPv6 address of this host",
                    "https://192.0.2.7/",
                ],
            ),
            (&["192.0.2.7:8443"], &["https://192.0.2.7:8443/"]),
            (&["[2001:db8::7]:443"], &["https://[2001:db8::7]/"]),
            (&["127.0.0.2:443"], &["https://127.0.0.2/"]),
        ] {
            assert_eq!(shown(addresses), shows, "{addresses:?}");
        }
    }
}
