//! Addresses to listen on: how they are written, and when one of IPv6 serves IPv4 as well.

use std::{fmt, net::SocketAddr, str::FromStr};

/// An address and a port, as `--listen` takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListenAddress(pub(crate) SocketAddr);

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| ListenAddressError { port: port_of(text) })
    }
}

/// A text that is no address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListenAddressError {
    /// The port that it seems to mean.
    port: Option<u16>,
}

impl fmt::Display for ListenAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port.unwrap_or(443);
        write!(
            f,
            "give a numeric address and a port: [::]:{port} for every address, 0.0.0.0:{port} for \
             every IPv4 address, 127.0.0.1:{port} for this host alone"
        )
    }
}

impl std::error::Error for ListenAddressError {}

/// The port at the end of `443`, `:443` or `localhost:443`.
fn port_of(text: &str) -> Option<u16> {
    text.rsplit(':').next()?.parse().ok()
}

/// Whether a listener on `address` takes connections of IPv4 as well: it is `[::]`, and no other of
/// `all` is an IPv4 address with the same port. Port 0 becomes a different one for each listener.
pub(crate) fn serves_both_families(address: &SocketAddr, all: &[SocketAddr]) -> bool {
    let has_rival = |other: &SocketAddr| {
        other.is_ipv4() && other.port() == address.port() && address.port() != 0
    };
    address.is_ipv6() && address.ip().is_unspecified() && !all.iter().any(has_rival)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_unspecified_address_serves_both_families() {
        for (address, all, both) in [
            ("[::]:443", &["[::]:443"][..], true),
            ("[::]:443", &["[::]:443", "0.0.0.0:80"], true),
            ("[::]:0", &["[::]:0", "0.0.0.0:0"], true),
            ("[::]:443", &["0.0.0.0:443", "[::]:443"], false),
            ("[::]:443", &["[::]:443", "127.0.0.1:443"], false),
            ("[::1]:443", &["[::1]:443"], false),
            ("0.0.0.0:443", &["0.0.0.0:443"], false),
        ] {
            let all: Vec<SocketAddr> = all.iter().map(|address| address.parse().unwrap()).collect();
            assert_eq!(serves_both_families(&address.parse().unwrap(), &all), both, "{address}");
        }
    }

    #[test]
    fn what_is_no_address_is_answered_with_examples() {
        assert_eq!("[::]:443".parse(), Ok(ListenAddress("[::]:443".parse().unwrap())));
        for (text, example) in [
            ("443", "[::]:443"),
            (":8443", "0.0.0.0:8443"),
            ("localhost:9000", "127.0.0.1:9000"),
            ("example.com", "[::]:443"),
            ("0.0.0.0", "0.0.0.0:443"),
            ("1.2.3.4:99999", "[::]:443"),
        ] {
            let error = text.parse::<ListenAddress>().unwrap_err().to_string();
            assert!(error.contains(example), "{text}: {error}");
        }
    }
}
