//! Peers that are believed about the address of a client: balancers in front of this server.

use std::net::{IpAddr, SocketAddr};

use super::{
    Config, ForwardedForm, Network,
    check::{Checks, ConfigError, within},
};

/// The most networks of one setting.
const MAX_NETWORKS: usize = 1_000;

/// Listeners whose connections come from balancers that announce the client by a PROXY header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyProtocol {
    /// The addresses, of [`Config::listen`], [`Config::plain`] and [`Config::redirect`], as they stand
    /// there. Default: all of them.
    pub listen: Vec<SocketAddr>,
    /// The networks of the balancers, 1 to 1,000. A connection from one of them must begin with a
    /// header; one from elsewhere must not, and is served as it comes.
    pub trusted: Vec<Network>,
}

impl ProxyProtocol {
    /// The same setting for balancers of these networks.
    #[must_use]
    pub fn of(trusted: Vec<Network>) -> Self {
        Self { trusted, ..Self::default() }
    }

    /// Whether a peer must announce its clients.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(peer))
    }

    /// What holds for a listener, as the configuration names it.
    pub(crate) fn of_listener<'s>(settings: &'s [Self], address: &SocketAddr) -> Option<&'s Self> {
        settings.iter().find(|setting| setting.covers(address))
    }

    fn covers(&self, address: &SocketAddr) -> bool {
        self.listen.is_empty() || self.listen.contains(address)
    }
}

/// Proxies that are believed when they name the client of a request: for the log and for rates. What
/// upstream servers get is a setting of their pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForwardedOptions {
    /// The networks of the proxies, 1 to 1,000. The client is the rightmost address in the field that
    /// is in none of them.
    pub trusted: Vec<Network>,
    /// The field that is read, `X-Forwarded-For` by default. The other one is ignored.
    pub form: ForwardedForm,
}

impl ForwardedOptions {
    /// Whether a peer is believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(peer))
    }
}

impl Config {
    pub(super) fn check_peers(&self, checks: &mut Checks) {
        if let Some(forwarded) = &self.forwarded {
            let number = forwarded.trusted.len();
            checks.note_of("forwarded", within("trusted", number, 1, MAX_NETWORKS));
        }
        let listeners = || self.listen.iter().chain(&self.plain).chain(&self.redirect);
        for (number, setting) in self.proxy_protocol.iter().enumerate() {
            let place = format!("proxy_protocol.{number}");
            checks.note_of(&place, within("trusted", setting.trusted.len(), 1, MAX_NETWORKS));
            let unknown =
                setting.listen.iter().find(|address| !listeners().any(|own| own == *address));
            if let Some(address) = unknown {
                let problem = format_args!("{address} is no address of a listener");
                let advice = "give addresses as they stand in listen, plain or redirect";
                checks.note_of(&place, Err(ConfigError::new("listen", problem, advice)));
            }
            let twice = listeners().find(|address| {
                let first = self.proxy_protocol.iter().position(|setting| setting.covers(address));
                first.is_some_and(|first| first < number) && setting.covers(address)
            });
            if let Some(address) = twice {
                let problem = format_args!("{address} has another of these settings already");
                let advice = "name different listeners in each [[proxy_protocol]]";
                checks.note_of(&place, Err(ConfigError::new("listen", problem, advice)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_listener_has_one_setting() {
        let mut config = Config::default();
        let (first, second) = (config.listen[0], config.listen[1]);
        let of = |listen: &[SocketAddr]| ProxyProtocol {
            listen: listen.to_vec(),
            trusted: networks(&["10.0.0.0/8"]),
        };
        config.proxy_protocol = vec![of(&[second]), of(&[first])];
        assert_eq!(config.check_all(), []);
        let held = ProxyProtocol::of_listener(&config.proxy_protocol, &first);
        assert_eq!(held, config.proxy_protocol.last());
        assert!(config.proxy_protocol[0].trusts("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!config.proxy_protocol[0].trusts("11.1.2.3".parse().unwrap()));
        config.proxy_protocol[1].listen.clear();
        let found = config.check_all();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].to_string().contains("another of these settings"), "{}", found[0]);
        config.proxy_protocol = vec![of(&["127.0.0.1:1".parse().unwrap()])];
        assert!(config.check_all()[0].to_string().contains("no address of a listener"));
        config.proxy_protocol = vec![ProxyProtocol::default()];
        assert!(config.check_all()[0].to_string().starts_with("proxy_protocol.0.trusted"));
    }
}
