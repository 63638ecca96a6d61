//! Where upstream servers listen, and networks of peers.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

/// A server of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpstreamServer {
    /// Where it listens.
    pub address: UpstreamAddress,
    /// Its share of requests beside the others', in hundredths, 1 to 10,000. Default 100.
    pub weight: u32,
}

impl UpstreamServer {
    /// A server of the usual weight.
    pub fn new(address: UpstreamAddress) -> Self {
        Self { address, weight: 100 }
    }
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UpstreamAddress {
    /// A host, as address or name, and a port.
    Tcp(String, u16),
    /// The same, which speaks TLS.
    Tls(String, u16),
    /// A Unix socket.
    Unix(PathBuf),
}

impl UpstreamAddress {
    /// The address, if it needs no resolving.
    pub fn literal(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(host, port) | Self::Tls(host, port) => {
                Some(SocketAddr::new(host.parse().ok()?, *port))
            }
            Self::Unix(_) => None,
        }
    }

    /// Whether it is the name of a host, which has to be resolved.
    pub fn is_name(&self) -> bool {
        !matches!(self, Self::Unix(_)) && self.literal().is_none()
    }
}

impl fmt::Display for UpstreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "http://[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "http://{host}:{port}"),
            Self::Tls(host, port) if host.contains(':') => write!(f, "https://[{host}]:{port}"),
            Self::Tls(host, port) => write!(f, "https://{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What is no address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamAddressError(String);

impl fmt::Display for UpstreamAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no server; give http://127.0.0.1:3000, https://app.example, 127.0.0.1:3000 or \
             unix:/run/app.sock",
            self.0
        )
    }
}

impl std::error::Error for UpstreamAddressError {}

impl FromStr for UpstreamAddress {
    type Err = UpstreamAddressError;

    /// `http://HOST[:PORT][/]`, `https://HOST[:PORT][/]`, `HOST:PORT`, or `unix:/PATH`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || UpstreamAddressError(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            let absolute = path.starts_with('/') && path.len() > 1 && !path.contains('\0');
            // `sun_path` of unix(7), with its final zero.
            let fits = absolute && path.len() < 108;
            return if fits { Ok(Self::Unix(path.into())) } else { Err(refused()) };
        }
        let secured = text.strip_prefix("https://");
        let url = secured.or(text.strip_prefix("http://"));
        let (authority, default_port) = match url {
            Some(rest) => {
                let port = if secured.is_some() { 443 } else { 80 };
                (rest.strip_suffix('/').unwrap_or(rest), Some(port))
            }
            None => (text, None),
        };
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, behind) = rest.split_once(']').ok_or_else(refused)?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| refused())?;
                (host, behind.strip_prefix(':').or(behind.is_empty().then_some("")))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, Some("")),
            },
        };
        let port = match port.ok_or_else(refused)? {
            "" => default_port.ok_or_else(refused)?,
            digits => digits.parse().ok().filter(|&port| port != 0).ok_or_else(refused)?,
        };
        let name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        let named = !host.is_empty() && host.len() < 254 && host.bytes().all(name);
        match named {
            true if secured.is_some() => Ok(Self::Tls(host.to_owned(), port)),
            true => Ok(Self::Tcp(host.to_owned(), port)),
            false => Err(refused()),
        }
    }
}

/// A range of addresses: `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                u32::from(own) & mask == u32::from(other) & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                u128::from(own) & mask == u128::from(other) & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || format!("{text:?} is no range of addresses; give one such as 10.0.0.0/8");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| refused())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| refused())?;
        if bits > most {
            return Err(refused());
        }
        Ok(Self { address, bits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_servers_are_read() {
        for (text, shown) in [
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("http://127.0.0.1:3000/", "http://127.0.0.1:3000"),
            ("http://app", "http://app:80"),
            ("app.example:8080", "http://app.example:8080"),
            ("[::1]:3000", "http://[::1]:3000"),
            ("http://[::1]", "http://[::1]:80"),
            ("https://app.example", "https://app.example:443"),
            ("https://[::1]:8443/", "https://[::1]:8443"),
            ("unix:/run/app.sock", "unix:/run/app.sock"),
        ] {
            assert_eq!(text.parse::<UpstreamAddress>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "app",
            "http://",
            "http://a/b",
            "http://a:0",
            "http://a:65536",
            "https://",
            "ftp://a",
            "http://a b",
            "unix:run",
            "unix:/",
            "[::1",
            "[x]:1",
            "http://[::1]x",
            ":80",
            "http://u@h:1",
        ] {
            assert!(text.parse::<UpstreamAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_network_contains_its_addresses() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("0.0.0.0/0", "8.8.8.8", "::1"),
            ("2001:db8::/32", "2001:db8:1::", "2001:db9::"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "::10.0.0.1"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{network:?} {inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{network:?} {outside}");
        }
        for text in ["10.0.0.0/33", "::/129", "x", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
