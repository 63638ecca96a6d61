//! Checked configuration.
//!
//! The invariant: every value here is plain data with a stated unit, default and bound, and a
//! [`Config`] that passed [`Config::check`] is one that every stage may rely on without looking
//! again. Nothing here reads the command line, opens a socket or starts a thread.

#![forbid(unsafe_code)]

mod admin;
mod auth;
mod check;
mod collector;
mod compression;
#[cfg(feature = "cli")]
pub(crate) mod file;
#[cfg(all(feature = "cli", feature = "fuzzing"))]
#[doc(hidden)]
pub use file::hold as file_hold;
mod limits;
mod lints;
mod listen;
pub(crate) mod memory;
mod observe;
mod peers;
pub(crate) mod pool;
mod process;
mod rate;
mod reload;
mod site;
pub(crate) mod sites;
mod timeouts;
mod tls;
pub(crate) mod units;
mod upstreams;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

pub(crate) use admin::AdminToken;
pub use admin::{AdminAddress, AdminAddressError};
pub use auth::AuthOptions;
pub(crate) use auth::{AuthUser, PasswordHash};
pub use check::ConfigError;
pub use collector::{Collector, CollectorError};
pub use compression::Compression;
pub use limits::Limits;
pub(crate) use limits::MAX_HEAD_FIELDS;
pub(crate) use listen::{ListenAddress, serves_both_families};
#[cfg(test)]
pub(crate) use memory::H2_STREAM_BYTES;
#[cfg(feature = "service")]
pub(crate) use memory::HEAD_BLOCK_BYTES;
pub(crate) use memory::PRESS_HELD_BYTES;
pub(crate) use memory::{DISK_THREADS_BYTES, HASHING_THREADS, HASHING_WAITING};
pub(crate) use memory::{
    H2_HELD_BYTES, HELD_REQUESTS, HELD_RESPONSES, LISTING_BYTES, REQUEST_STATE_BYTES,
};
pub use memory::{MemoryCeiling, MemoryPart};
pub use observe::{AccessLogTarget, ObserveOptions};
pub use peers::{ForwardedOptions, ProxyProtocol};
pub(crate) use pool::NAME_ADDRESSES;
pub use pool::{Balance, ForwardedForm, HealthOptions, PoolOptions};
pub use process::{LandlockMode, ProcessOptions, UserSpec, UserSpecError};
pub use rate::{RateKey, RateKeyError, RateOptions};
pub use site::{FieldLine, FieldLineError, SiteOptions};
pub use sites::{
    Action, CachePattern, CachePatternError, CacheRule, ErrorContent, FieldRules, FilesOptions,
    Fixed, Redirect, RedirectPart, RedirectStatus, RedirectTarget, RedirectTargetError, Route,
    RoutePath, RoutePathError, ServiceId, Site, SiteName, SiteNameError,
};
pub use timeouts::Timeouts;
pub use tls::{
    CertificatePair, CertificateSource, ClientAuth, ClientAuthMode, Demand, SiteClients,
};
pub use upstreams::{Network, UpstreamAddress, UpstreamAddressError, UpstreamServer};

/// Everything that a server needs to know before it starts.
///
/// ```
/// use ringway::config::{Config, TlsVersion};
///
/// let mut config = Config::default();
/// config.tls_min = TlsVersion::V13;
/// assert!(config.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The folder that is served where no sites are given; nothing outside it is reachable.
    /// Default: `.`.
    pub root: PathBuf,
    /// The addresses to listen on, 1 to 64 of them; port 0 asks the kernel for a free one. `[::]`
    /// serves IPv4 as well unless an IPv4 address with the same port is among them.
    /// Default: `127.0.0.1:8443` and `[::1]:8443`, so that nobody else sees a first trial.
    pub listen: Vec<SocketAddr>,
    /// Addresses that are served by HTTP/1.1 without TLS, at most 64: behind a balancer that has ended
    /// TLS, for local work, to measure. A machine in between reads and changes what passes.
    /// Default: none.
    pub plain: Vec<SocketAddr>,
    /// Addresses at which every request is sent to HTTPS by 308, at the port of the first of `listen`;
    /// at most 64. Default: none.
    pub redirect: Vec<SocketAddr>,
    /// The port to which they send, if clients reach HTTPS by another than the first of `listen`.
    /// Default: none.
    pub redirect_port: Option<u16>,
    /// Listeners whose connections come from balancers that announce the client by a PROXY header, at
    /// most 64. Default: none.
    pub proxy_protocol: Vec<ProxyProtocol>,
    /// Proxies that are believed when they name the client of a request. Default: none.
    pub forwarded: Option<ForwardedOptions>,
    /// Where the certificates come from. Default: one that Ringway makes itself.
    pub certificate: CertificateSource,
    /// Whether clients are asked for certificates of their own. Default: yes.
    pub client_auth: Option<ClientAuth>,
    /// A file with the keys of session tickets, 1 to 16 lines of 32 bytes in base64, at most
    /// 16 KiB, shared by servers that are to resume each other's sessions. It is read again when
    /// it changes. Default: none, and keys of this process alone that it changes every six hours.
    pub ticket_keys: Option<PathBuf>,
    /// Worker threads, 1 to 1024, one ring each; `None` (the default) means one for each CPU
    /// that the process may use, by its affinity mask and its control group.
    pub workers: Option<usize>,
    /// Whether each worker is pinned to one CPU: yes (the default) where the CPUs that the process
    /// may use are its own, no more of them than workers, and no control group limits CPU time.
    pub pin: bool,
    /// What workers submit their system calls to. Default: [`IoMode::Auto`].
    pub io: IoMode,
    /// Whether records are sealed and opened by the kernel. Default: [`KtlsMode::Auto`].
    pub ktls: KtlsMode,
    /// The oldest TLS version that is accepted. Default: [`TlsVersion::V12`].
    pub tls_min: TlsVersion,
    /// Whether clients are offered HTTP/2 by ALPN. Default: no.
    pub http2: bool,
    /// Bounds on memory, counts and sizes.
    pub limits: Limits,
    /// Bounds on time, and minimum rates.
    pub timeouts: Timeouts,
    /// How that folder is presented.
    pub site: SiteOptions,
    /// The sites, at most 100,000. Default: none, and then `root` is served under every name.
    pub sites: Vec<Site>,
    /// Pools of upstream servers by their names. Default: none, and the server opens no connection.
    pub pools: BTreeMap<String, PoolOptions>,
    /// Rates by their names, which routes refer to, at most 1,000. Default: none.
    pub rates: BTreeMap<String, RateOptions>,
    /// Users with passwords, by names that routes refer to, at most 1,000. Default: none.
    pub auths: BTreeMap<String, AuthOptions>,
    /// What the server reports about itself.
    pub observe: ObserveOptions,
    /// What the program gives up of its process.
    pub process: ProcessOptions,
    /// The form of the log, and of the access log. Default: [`LogFormat::Text`].
    pub log_format: LogFormat,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            root: PathBuf::from("."),
            listen: vec![
                SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)),
                SocketAddr::from((Ipv6Addr::LOCALHOST, 8443)),
            ],
            plain: Vec::new(),
            redirect: Vec::new(),
            redirect_port: None,
            proxy_protocol: Vec::new(),
            forwarded: None,
            certificate: CertificateSource::SelfSigned,
            client_auth: None,
            ticket_keys: None,
            workers: None,
            pin: true,
            io: IoMode::Auto,
            ktls: KtlsMode::Auto,
            tls_min: TlsVersion::V12,
            http2: true,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            site: SiteOptions::default(),
            sites: Vec::new(),
            pools: BTreeMap::new(),
            rates: BTreeMap::new(),
            auths: BTreeMap::new(),
            observe: ObserveOptions::default(),
            process: ProcessOptions::default(),
            log_format: LogFormat::Text,
        }
    }
}

impl Config {
    /// Listeners of a worker.
    pub(crate) fn listeners(&self) -> usize {
        self.listen.len() + self.plain.len() + self.redirect.len()
    }

    /// What is right and unwise, for a person.
    #[cfg_attr(not(feature = "cli"), allow(dead_code))]
    pub(crate) fn lints(&self) -> Vec<String> {
        let mut lints = Vec::new();
        let named = self.sites.iter().any(|site| !site.names.is_empty());
        if named && self.certificate_in_force() == CertificateSource::SelfSigned {
            lints.push(
                "sites have names, and the certificate is one that Ringway makes itself, which \
                 browsers warn about; give one by cert and key in [tls]"
                    .to_owned(),
            );
        }
        for address in self.plain.iter().filter(|address| !address.ip().is_loopback()) {
            lints.push(format!(
                "plain: {address} is served without TLS and can be reached from other hosts"
            ));
        }
        let routes = || self.sites.iter().flat_map(|site| &site.routes);
        for pool in self.pools.keys() {
            let uses = |action: &Action| matches!(action, Action::Proxy { pool: of } if of == pool);
            if !routes().any(|route| uses(&route.action)) {
                lints.push(format!("no route uses the pool {pool:?}; leave it out"));
            }
        }
        for rate in self.rates.keys() {
            if !routes().any(|route| route.rate.as_ref() == Some(rate)) {
                lints.push(format!("no route uses the rate {rate:?}; leave it out"));
            }
        }
        for auth in self.auths.keys() {
            if !routes().any(|route| route.auth.as_ref() == Some(auth)) {
                lints.push(format!("no route uses auth {auth:?}; leave it out"));
            }
        }
        if !self.plain.is_empty() && routes().any(|route| route.auth.is_some()) {
            lints.push("passwords cross the listeners of plain in the clear".to_owned());
        }
        lints::of_pools(self, &mut lints);
        lints
    }

    /// The workers that will run: as configured, or one for each CPU that the process may use.
    pub fn worker_count(&self) -> usize {
        self.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into))
    }
}

/// What workers submit their system calls to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IoMode {
    /// io_uring, or epoll where the host refuses io_uring to this process or lacks a part of it.
    #[default]
    Auto,
    /// io_uring; the server refuses to start where the host has none for it.
    Ring,
    /// epoll.
    Poll,
}

/// Whether TLS records are sealed and opened by the kernel once a handshake is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum KtlsMode {
    /// By the cheaper of the two on this host, which a trial at the start finds; the start block
    /// gives the figures.
    #[default]
    Auto,
    /// By the kernel; the server refuses to start where the kernel cannot.
    On,
    /// Sealed by the kernel, opened in user space; the server refuses to start where the kernel
    /// cannot.
    Send,
    /// In user space.
    Off,
}

/// A TLS version that Ringway speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246), with AEAD suites and ephemeral keys only.
    #[default]
    V12,
    /// TLS 1.3 (RFC 8446).
    V13,
}

/// The form of the log's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// One line of text for a person.
    #[default]
    Text,
    /// One JSON object on each line.
    Json,
}
