//! Pools of upstream servers: addresses, bounds and times.

use std::{path::PathBuf, time::Duration};

use super::{
    check::{ConfigError, within},
    upstreams::{Network, UpstreamAddress, UpstreamServer},
};

/// Servers that answer alike, and the limits of each. Every value has a bound; what the bounds of all pools
/// add up to is in the [memory ceiling](super::MemoryCeiling).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolOptions {
    /// The servers, 1 to 1,000.
    pub servers: Vec<UpstreamServer>,
    /// Which of them gets a request. Default: the one with the fewest exchanges in flight.
    pub balance: Balance,
    /// Connections to one server, of the whole process, 1 to 100,000. Default 128. Beyond: requests
    /// wait in line.
    pub max: u32,
    /// Requests in line, of the whole process, 0 to 1,000,000. Default 256. Beyond: 503 at once.
    pub waiting: u32,
    /// Time in line, 1 ms to 1 h. Default 3 s. Beyond: 503.
    pub wait: Duration,
    /// For one attempt to connect, 1 ms to 1 h. Default 2 s. Beyond: the next server, else 504.
    pub connect: Duration,
    /// For the server to take more of a request, 1 ms to 1 h. Default 30 s. Beyond: 504.
    pub send: Duration,
    /// From the end of a request to the end of the response's head, 1 ms to 24 h. Default 30 s.
    /// Beyond: 504.
    pub first_byte: Duration,
    /// Between two pieces of a response, 1 ms to 24 h. Default 30 s. Beyond: the client is cut off.
    pub between: Duration,
    /// How long an unused connection is kept, 0 to 1 h; less if the server is known to close it
    /// earlier. Default 4 s. 0: a connection serves one exchange.
    pub keep_idle: Duration,
    /// Unused connections to one server that a worker keeps, 0 to 10,000. Default 16. Beyond: the
    /// one that was unused longest is closed.
    pub keep: usize,
    /// Exchanges of one connection, 1 to 1,000,000,000. Default 10,000. Then it is closed.
    pub exchanges: u32,
    /// How long a connection is used, 1 s to 24 h, each within a tenth of it. Default 1 h.
    pub lifetime: Duration,
    /// Bytes of a response head, 1 KiB to 64 KiB. Default 32 KiB. Beyond: 502.
    pub head_bytes: usize,
    /// Field lines of a response head, 8 to 100. Default 100. Beyond: 502.
    pub head_fields: usize,
    /// Interim responses (1xx) before a final one, 0 to 100. Default 8. Beyond: 502.
    pub interim: u32,
    /// Bytes of request content that are held before a connection is taken, 0 to 16 MiB. Default
    /// 64 KiB. Longer content streams from then on.
    pub hold_request: usize,
    /// Bytes of a response that are held for a client that does not keep up, 0 to 16 MiB, besides what the
    /// kernel's buffers hold. Default 256 KiB. Beyond: the server is not read.
    pub hold_response: usize,
    /// Second tries of a request, 0 to 10, as far as the pool's budget goes: a tenth of the first
    /// tries and three a second. Default 1.
    pub tries: u32,
    /// Replaces `Host`. Default: as the client sent it.
    pub host: Option<String>,
    /// Fields with `_` in their names are passed on. Default: no, since CGI and WSGI read `_` as `-`.
    pub underscores: bool,
    /// How the client's address is passed on. Default: `X-Forwarded-*`.
    pub forwarded: ForwardedForm,
    /// Peers whose forwarding fields are believed. Default: none.
    pub trusted: Vec<Network>,
    /// Protocols that a request of HTTP/1.1 may switch to (`Upgrade`), in lower case. Default:
    /// `websocket`.
    pub upgrade: Vec<String>,
    /// How long a connection that has switched may be silent on both sides, 1 s to 24 h. Default 1 h.
    /// Beyond: closed.
    pub tunnel_idle: Duration,
    /// Connections that have switched protocols at a time, of the whole process, 0 to 1,000,000.
    /// Default 5,000, and half of the connections of each worker at most. Beyond: 503.
    pub tunnels: u32,
    /// Whether an error that Ringway answers with names its reason to the client (`Proxy-Status`,
    /// RFC 9209). Default: no, only the log does.
    pub proxy_status: bool,
    /// The authorities whose certificates are believed of servers that speak TLS, a file in PEM. Default:
    /// those of the system.
    pub ca: Option<PathBuf>,
    /// The name that is asked for (SNI) and must be in their certificates. Default: the host of the URL.
    pub server_name: Option<String>,
    /// How often names of servers are resolved, 1 s to 1 h. Default 10 s. Each of up to 8 addresses is a
    /// server.
    pub resolve_every: Duration,
    /// What stands in front of Ringway gives up after so long; for `ringway check` alone. Default: unknown.
    pub in_front: Option<Duration>,
    /// The servers close unused connections after so long; for `ringway check` alone. Default: unknown.
    pub server_idle: Option<Duration>,
    /// Whether each connection begins with a header of the PROXY protocol, version 2, that names the
    /// client. It then serves one request. Default: no.
    pub send_proxy: bool,
    /// Health checks. Default: none, only exchanges show how a server fares.
    pub health: HealthOptions,
    /// Paths that two servers could read differently (dot segments, `%2f`) are passed on as sent.
    /// Default: no, and the client gets 400.
    pub path_as_sent: bool,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            balance: Balance::Least,
            max: 128,
            waiting: 256,
            wait: Duration::from_secs(3),
            connect: Duration::from_secs(2),
            send: Duration::from_secs(30),
            first_byte: Duration::from_secs(30),
            between: Duration::from_secs(30),
            keep_idle: Duration::from_secs(4),
            keep: 16,
            exchanges: 10_000,
            lifetime: Duration::from_secs(3_600),
            head_bytes: 32 << 10,
            head_fields: super::MAX_HEAD_FIELDS,
            interim: 8,
            hold_request: 64 << 10,
            hold_response: 256 << 10,
            tries: 1,
            host: None,
            underscores: false,
            forwarded: ForwardedForm::XForwarded,
            trusted: Vec::new(),
            upgrade: vec!["websocket".to_owned()],
            tunnel_idle: Duration::from_secs(3_600),
            ca: None,
            server_name: None,
            resolve_every: Duration::from_secs(10),
            in_front: None,
            server_idle: None,
            send_proxy: false,
            health: HealthOptions::default(),
            tunnels: 5_000,
            proxy_status: false,
            path_as_sent: false,
        }
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

impl PoolOptions {
    /// A pool of these servers.
    #[must_use]
    pub fn of(servers: Vec<UpstreamServer>) -> Self {
        Self { servers, ..Self::default() }
    }

    /// Checks every value against its bound.
    ///
    /// # Errors
    /// The first value that is out of bounds.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        within("servers", self.servers.len(), 1, 1_000)?;
        within("max", self.max, 1, 100_000)?;
        within("waiting", self.waiting, 0, 1_000_000)?;
        for (option, value, least, most) in [
            ("wait", self.wait, MILLISECOND, HOUR),
            ("connect", self.connect, MILLISECOND, HOUR),
            ("send", self.send, MILLISECOND, HOUR),
            ("first_byte", self.first_byte, MILLISECOND, DAY),
            ("between", self.between, MILLISECOND, DAY),
            ("keep_idle", self.keep_idle, Duration::ZERO, HOUR),
            ("lifetime", self.lifetime, Duration::from_secs(1), DAY),
            ("tunnel_idle", self.tunnel_idle, Duration::from_secs(1), DAY),
            ("resolve_every", self.resolve_every, Duration::from_secs(1), HOUR),
            ("health_interval", self.health.interval, MILLISECOND * 100, HOUR),
            ("health_timeout", self.health.timeout, MILLISECOND * 10, HOUR),
        ] {
            if !(least..=most).contains(&value) {
                return Err(ConfigError::new(
                    option,
                    format_args!("{value:?} is out of bounds"),
                    format_args!("give a time from {least:?} to {most:?}"),
                ));
            }
        }
        within("keep", self.keep, 0, 10_000)?;
        within("exchanges", self.exchanges, 1, 1_000_000_000)?;
        within("head_bytes", self.head_bytes, 1 << 10, 64 << 10)?;
        within("head_fields", self.head_fields, 8, super::MAX_HEAD_FIELDS)?;
        within("interim", self.interim, 0, 100)?;
        within("hold_request", self.hold_request, 0, 16 << 20)?;
        within("hold_response", self.hold_response, 0, 16 << 20)?;
        within("tries", self.tries, 0, 10)?;
        if self.send_proxy && self.is_secured() {
            return Err(ConfigError::new(
                "send_proxy",
                "a server speaks TLS",
                "leave it out, or give http:// servers: the header stands in front of HTTP",
            ));
        }
        within("health_fall", self.health.fall, 1, 100)?;
        within("health_rise", self.health.rise, 1, 100)?;
        let path = self.health.path.as_deref().unwrap_or("/");
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ConfigError::new(
                "health",
                format_args!("{path:?} is no path"),
                "give a path such as /health",
            ));
        }
        if let Some(name) = &self.server_name
            && rustls::pki_types::ServerName::try_from(name.as_str()).is_err()
        {
            return Err(ConfigError::new(
                "server_name",
                format_args!("{name:?} is no name of a host"),
                "give a name such as app.example, or an address",
            ));
        }
        within("tunnels", self.tunnels, 0, 1_000_000)?;
        within("upgrade", self.upgrade.len(), 0, 16)?;
        // A server that takes h2c reads requests that nobody has checked.
        let refused = |name: &&String| {
            let plain = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._+".contains(&byte)
            };
            name.is_empty() || !name.bytes().all(plain) || *name == "h2c"
        };
        if let Some(name) = self.upgrade.iter().find(refused) {
            return Err(ConfigError::new(
                "upgrade",
                format_args!("{name:?} is no protocol that a connection may switch to"),
                "give names in lower case, such as websocket; h2c is none of them",
            ));
        }
        let host = self.host.as_deref().unwrap_or("host");
        if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ConfigError::new(
                "host",
                format_args!("{host:?} is no host"),
                "give a host, perhaps with a port",
            ));
        }
        Ok(())
    }

    /// Whether an address of a server has to be resolved.
    pub fn is_named(&self) -> bool {
        let resolved = |server: &UpstreamServer| server.address.literal().is_none();
        let tcp = |server: &&UpstreamServer| !matches!(server.address, UpstreamAddress::Unix(_));
        self.servers.iter().filter(tcp).any(resolved)
    }

    /// Whether a server speaks TLS.
    pub fn is_secured(&self) -> bool {
        self.servers.iter().any(|server| matches!(server.address, UpstreamAddress::Tls(..)))
    }

    /// Servers at most: a name may have [`NAME_ADDRESSES`] addresses.
    pub(crate) fn most_servers(&self) -> usize {
        let each =
            |server: &UpstreamServer| if server.address.is_name() { NAME_ADDRESSES } else { 1 };
        self.servers.iter().map(each).sum()
    }

    /// The TCP ports that its servers listen on.
    pub fn ports(&self) -> impl Iterator<Item = u16> + '_ {
        self.servers.iter().filter_map(|server| match &server.address {
            UpstreamAddress::Tcp(_, port) | UpstreamAddress::Tls(_, port) => Some(*port),
            UpstreamAddress::Unix(_) => None,
        })
    }
}

/// Servers that a name may stand for; further addresses of it are not used.
pub(crate) const NAME_ADDRESSES: usize = 8;

/// Health checks: a GET to each server now and then, which 2xx and 3xx pass.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthOptions {
    /// The path that is asked for. Default: none, and there are no checks.
    pub path: Option<String>,
    /// Between two checks of a server, within a tenth of it, 100 ms to 1 h. Default 5 s.
    pub interval: Duration,
    /// For a check, 10 ms to 1 h. Default 2 s.
    pub timeout: Duration,
    /// Failed checks in a row that take a server out, 1 to 100. Default 3.
    pub fall: u32,
    /// Passed checks in a row that take it in again, 1 to 100. Default 2.
    pub rise: u32,
}

impl Default for HealthOptions {
    fn default() -> Self {
        Self {
            path: None,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            fall: 3,
            rise: 2,
        }
    }
}

/// How a pool chooses among its servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Balance {
    /// The fewest exchanges in flight for its weight.
    #[default]
    Least,
    /// The least of mean time to first byte, times exchanges in flight.
    Ewma,
    /// By the client's address, so that a client stays with its server while that one keeps up.
    HashClient,
    /// By the path, likewise.
    HashPath,
    /// One after the other.
    RoundRobin,
}

/// Which fields name the client to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardedForm {
    /// `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut PoolOptions);

    #[test]
    fn a_pool_needs_a_server_and_values_within_bounds() {
        let server = UpstreamServer::new("127.0.0.1:3000".parse().unwrap());
        let pool = PoolOptions::of(vec![server]);
        assert_eq!(pool.check(), Ok(()));
        assert_eq!(pool.ports().collect::<Vec<_>>(), [3000]);
        let cases: [(&str, Change); 11] = [
            ("servers", |pool| pool.servers.clear()),
            ("max", |pool| pool.max = 0),
            ("wait", |pool| pool.wait = Duration::ZERO),
            ("keep_idle", |pool| pool.keep_idle = DAY),
            ("lifetime", |pool| pool.lifetime = MILLISECOND),
            ("head_bytes", |pool| pool.head_bytes = 10),
            ("tries", |pool| pool.tries = 11),
            ("tunnels", |pool| pool.tunnels = 1_000_001),
            ("upgrade", |pool| pool.upgrade = vec!["h2c".to_owned()]),
            ("tunnel_idle", |pool| pool.tunnel_idle = DAY * 2),
            ("host", |pool| pool.host = Some("a b".into())),
        ];
        for (option, change) in cases {
            let mut pool = pool.clone();
            change(&mut pool);
            assert_eq!(pool.check().unwrap_err().option(), option);
        }
    }
}
