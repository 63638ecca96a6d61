//! Where spans go: a collector of OpenTelemetry that takes OTLP over HTTP.

use std::{fmt, net::IpAddr, str::FromStr};

use super::UpstreamAddress;

/// A collector that takes OTLP over HTTP without TLS: one on this host or in this network, which
/// passes spans on to where they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    host: String,
    port: u16,
    path: String,
}

/// The port and the path that OTLP over HTTP has by default (OpenTelemetry Protocol, "OTLP/HTTP").
const PORT: u16 = 4318;
const PATH: &str = "/v1/traces";

impl Collector {
    /// Its host: a name, or an address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path that takes traces.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Host and port as the field Host has them.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether its name has to be resolved.
    pub(crate) fn is_named(&self) -> bool {
        self.host.parse::<IpAddr>().is_err()
    }
}

impl FromStr for Collector {
    type Err = CollectorError;

    /// `http://HOST[:PORT][/PATH]`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || CollectorError(text.to_owned());
        let rest = text.strip_prefix("http://").ok_or_else(refused)?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let has_port = authority.rsplit(']').next().is_some_and(|behind| behind.contains(':'));
        let port = if has_port { String::new() } else { format!(":{PORT}") };
        let address = format!("http://{authority}{port}").parse().map_err(|_| refused())?;
        let UpstreamAddress::Tcp(host, port) = address else { return Err(refused()) };
        // What could end the request line, or is no part of a path.
        if !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') || path.len() > 1024 {
            return Err(refused());
        }
        let path = if path == "/" { PATH } else { path };
        Ok(Self { host, port, path: path.to_owned() })
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path)
    }
}

/// What is no address of a collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorError(String);

impl fmt::Display for CollectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no collector; give http://HOST:4318, without TLS: a collector beside the server \
             passes spans on over TLS",
            self.0
        )
    }
}

impl std::error::Error for CollectorError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_a_host_with_defaults() {
        for (text, whole, named) in [
            ("http://127.0.0.1", "http://127.0.0.1:4318/v1/traces", false),
            ("http://127.0.0.1:80/", "http://127.0.0.1:80/v1/traces", false),
            ("http://[::1]", "http://[::1]:4318/v1/traces", false),
            ("http://[::1]:9/otlp/v1/traces?x=1", "http://[::1]:9/otlp/v1/traces?x=1", false),
            ("http://collector.example", "http://collector.example:4318/v1/traces", true),
        ] {
            let collector: Collector = text.parse().unwrap();
            assert_eq!((collector.to_string().as_str(), collector.is_named()), (whole, named));
        }
    }

    #[test]
    fn what_is_no_collector_is_refused() {
        for text in [
            "",
            "127.0.0.1:4318",
            "https://collector.example",
            "http://",
            "http://:4318",
            "http://a:0",
            "http://a b/",
            "http://a/x y",
            "http://a/x\r\ny",
            "http://u@a/",
        ] {
            assert!(text.parse::<Collector>().is_err(), "{text}");
        }
    }
}
