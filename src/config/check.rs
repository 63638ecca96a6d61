//! The check that makes a [`Config`] trustworthy. Each refusal names the option as the command
//! line spells it, says what is wrong and what to do.

use std::collections::HashSet;
use std::fmt;
use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use super::limits::MAX_HEAD_FIELDS;
use super::{Config, Limits, ObserveOptions, Timeouts};

/// A value that Ringway cannot work with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    option: &'static str,
    /// Of which site, route or pool, as `site.0.route.1`; empty for the whole process.
    place: String,
    problem: String,
    advice: String,
}

impl ConfigError {
    pub(crate) fn new(option: &'static str, problem: impl Display, advice: impl Display) -> Self {
        let (problem, advice) = (problem.to_string(), advice.to_string());
        Self { option, place: String::new(), problem, advice }
    }

    /// The same error of a site, a route or a pool.
    pub(super) fn of(self, place: impl Display) -> Self {
        Self { place: place.to_string(), ..self }
    }

    /// Which site, route or pool it is about; empty for the whole process.
    #[cfg_attr(not(feature = "cli"), allow(dead_code))]
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// What is wrong.
    #[cfg_attr(not(feature = "cli"), allow(dead_code))]
    pub(super) fn problem(&self) -> &str {
        &self.problem
    }

    /// What to do.
    #[cfg_attr(not(feature = "cli"), allow(dead_code))]
    pub(super) fn advice(&self) -> &str {
        &self.advice
    }

    /// A text is no path of a route.
    #[cfg_attr(not(feature = "service"), allow(dead_code))]
    pub(crate) fn route_path(path: &str, error: super::RoutePathError) -> Self {
        Self::new("path", format_args!("{path:?} is no path of a route"), error)
    }

    /// The option, as the command line spells it, without its dashes.
    pub fn option(&self) -> &'static str {
        self.option
    }
}

impl Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { option, place, problem, advice } = self;
        let dot = if place.is_empty() { "" } else { "." };
        write!(f, "{place}{dot}{option}: {problem}; {advice}")
    }
}

impl std::error::Error for ConfigError {}

const MAX_LISTENERS: usize = 64;

/// The most ports that a process may listen at, and connect to, beside those of the start.
const MAX_ALLOWED: usize = 64;
const MAX_WORKERS: usize = 1_024;
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

impl Config {
    /// Checks every value against its bound and the values against each other, and that folders are
    /// there. Answers with the first thing that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_all().into_iter().next().map_or(Ok(()), Err)
    }

    /// The same, with everything that is wrong.
    pub fn check_all(&self) -> Vec<ConfigError> {
        let mut checks = Checks::default();
        if self.listen.is_empty() {
            checks.found.push(ConfigError::new(
                "listen",
                "no address is given",
                format_args!("give 1 to {MAX_LISTENERS}"),
            ));
        }
        let mut seen = HashSet::new();
        for (option, addresses) in
            [("listen", &self.listen), ("plain", &self.plain), ("redirect", &self.redirect)]
        {
            checks.note(within(option, addresses.len(), 0, MAX_LISTENERS));
            if let Some(twice) = addresses.iter().find(|a| a.port() != 0 && !seen.insert(**a)) {
                checks.found.push(ConfigError::new(
                    option,
                    format_args!("{twice} is given twice"),
                    "give each address once",
                ));
            }
        }
        if let Some(workers) = self.workers {
            checks.note(within("workers", workers, 1, MAX_WORKERS));
        }
        checks.note(within("proxy_protocol", self.proxy_protocol.len(), 0, MAX_LISTENERS));
        self.check_peers(&mut checks);
        checks.note(self.check_tls());
        self.limits.check(&mut checks);
        self.timeouts.check(&mut checks);
        self.check_sites(&mut checks);
        checks.note(within("rate", self.rates.len(), 0, 1_000));
        for (name, rate) in &self.rates {
            checks.note_of(format_args!("rate.{name}"), rate.check());
        }
        checks.note(within("auth", self.auths.len(), 0, 1_000));
        for (name, auth) in &self.auths {
            checks.note_of(format_args!("auth.{name}"), auth.load().map(drop));
        }
        for (name, pool) in &self.pools {
            checks.note_of(format_args!("pool.{name}"), pool.check());
        }
        checks.note(self.observe.check());
        checks.note(self.observe.check_admin());
        checks.note(within("allow_bind", self.process.allow_bind.len(), 0, MAX_ALLOWED));
        checks.note(within("allow_connect", self.process.allow_connect.len(), 0, MAX_ALLOWED));
        checks.found
    }
}

/// What checks have found.
#[derive(Debug, Default)]
pub(super) struct Checks {
    pub(super) found: Vec<ConfigError>,
}

impl Checks {
    /// Takes note of what one check has found.
    pub(super) fn note(&mut self, checked: Result<(), ConfigError>) {
        self.found.extend(checked.err());
    }

    /// The same for a site, a route or a pool.
    pub(super) fn note_of(&mut self, place: impl Display, checked: Result<(), ConfigError>) {
        self.found.extend(checked.err().map(|error| error.of(place)));
    }
}

impl Limits {
    fn check(&self, checks: &mut Checks) {
        checks.note(within("connections", self.connections, 1, 1_000_000));
        checks.note(within("max-connections", self.connections_in_all, 0, 1_000_000_000));
        checks.note(within(
            "max-connections-per-address",
            self.connections_per_address,
            0,
            1_000_000,
        ));
        checks.note(within("handshakes", self.handshakes, 1, self.connections));
        checks.note(within("receive-buffers", self.receive_buffers, 8, 32_768));
        if !self.receive_buffers.is_power_of_two() {
            checks.found.push(ConfigError::new(
                "receive-buffers",
                format_args!("{} is not a power of two", self.receive_buffers),
                format_args!("use {}", self.receive_buffers.next_power_of_two()),
            ));
        }
        checks.note(within("receive-buffer-size", self.receive_buffer_bytes, 4 << 10, 128 << 10));
        let leases = (self.receive_buffers / 2).min(64);
        checks.note(within("leases-per-connection", self.leases_per_connection, 1, leases));
        checks.note(within("send-memory", self.send_memory_bytes, 1 << 20, 1 << 30));
        checks.note(within("max-head", self.head_bytes, 1 << 10, 64 << 10));
        checks.note(within("max-fields", self.head_fields, 8, MAX_HEAD_FIELDS));
        checks.note(within("max-target", self.target_bytes, 256, self.head_bytes));
        checks.note(within("max-body", self.body_bytes, 0, 1 << 40));
        checks.note(within("max-requests", self.requests_per_connection, 1, u64::MAX));
        checks.note(within("h2-streams", self.h2_streams, 1, 1_000));
        checks.note(within("file-cache", self.file_cache_bytes as u64, 0, 64 << 30));
        checks.note(within(
            "file-cache-max-file",
            self.file_cache_max_file,
            0,
            self.file_cache_bytes,
        ));
        checks.note(within("file-cache-entries", self.file_cache_entries, 0, 1_000_000));
    }
}

/// The longest delay of a drain.
const MAX_DRAIN_DELAY: Duration = Duration::from_secs(3_600);

impl Timeouts {
    fn check(&self, checks: &mut Checks) {
        for (option, value) in [
            ("handshake-timeout", self.handshake),
            ("head-timeout", self.head),
            ("idle-timeout", self.idle),
            ("body-timeout", self.body_progress),
            ("stream-idle-timeout", self.stream_idle),
            ("tunnel-idle-timeout", self.tunnel_idle),
            ("process-timeout", self.process),
            ("response-timeout", self.response_stall),
            ("close-timeout", self.close),
            ("drain-timeout", self.drain),
        ] {
            if !(SHORTEST..=LONGEST).contains(&value) {
                checks.found.push(ConfigError::new(
                    option,
                    format_args!("{value:?} is out of bounds"),
                    "give a time from 1ms to 24h",
                ));
            }
        }
        if self.drain_delay > MAX_DRAIN_DELAY {
            checks.found.push(ConfigError::new(
                "drain-delay",
                format_args!("{:?} is out of bounds", self.drain_delay),
                "give a time of at most 1h",
            ));
        }
        checks.note(within("body-min-rate", self.body_min_rate, 0, 1 << 30));
        checks.note(within("response-min-rate", self.response_min_rate, 0, 1 << 30));
    }
}

impl ObserveOptions {
    fn check(&self) -> Result<(), ConfigError> {
        if !(1..=1_000_000).contains(&self.access_log_one_in) {
            return Err(ConfigError::new(
                "access-log-sample",
                format_args!("{} is out of bounds", self.access_log_one_in),
                "give a number from 1 to 1000000",
            ));
        }
        let told = [
            ("access-log", self.access_log.is_some()),
            ("otlp", self.otlp.is_some()),
            ("server-timing", self.server_timing),
        ];
        match told.into_iter().find(|(_, wanted)| *wanted && !self.anatomy) {
            Some((option, _)) => Err(ConfigError::new(
                option,
                "it reports the times of stages, which --no-anatomy switches off",
                "leave out one of the two",
            )),
            None => Ok(()),
        }
    }
}

pub(super) fn check_root(root: &Path) -> Result<(), ConfigError> {
    let shown = root.display();
    let refuse = |problem: fmt::Arguments<'_>, advice: &str| {
        Err(ConfigError::new("folder", problem, advice))
    };
    match std::fs::metadata(root) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => refuse(format_args!("{shown} is not a folder"), "name the folder that holds it"),
        Err(error) => refuse(
            format_args!("{shown} cannot be opened: {error}"),
            "name a folder that exists and that this user may read",
        ),
    }
}

pub(super) fn within<T: Copy + PartialOrd + Display>(
    option: &'static str,
    value: T,
    least: T,
    most: T,
) -> Result<(), ConfigError> {
    if value >= least && value <= most {
        return Ok(());
    }
    Err(ConfigError::new(
        option,
        format_args!("{value} is out of bounds"),
        format_args!("give {least} to {most}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::{CertificateSource, ClientAuth, FieldLine};
    use super::*;

    fn refused(change: impl FnOnce(&mut Config)) -> ConfigError {
        let mut config = Config::default();
        change(&mut config);
        config.check().expect_err("the change should be refused")
    }

    #[test]
    fn the_defaults_pass() {
        assert_eq!(Config::default().check(), Ok(()));
    }

    #[test]
    fn each_refusal_names_its_option() {
        type Change = fn(&mut Config);
        let cases: [(&str, Change); 29] = [
            ("folder", |c| c.root = "/proc/self/no-such-folder".into()),
            ("folder", |c| c.root = "/proc/self/status".into()),
            ("listen", |c| c.listen.clear()),
            ("listen", |c| c.listen.push(c.listen[0])),
            ("workers", |c| c.workers = Some(0)),
            ("cert", |c| {
                c.certificate = CertificateSource::pair("", "key.pem");
            }),
            ("key", |c| c.certificate = CertificateSource::pair("cert.pem", "")),
            ("cert", |c| c.certificate = CertificateSource::Files(Vec::new())),
            ("client-ca", |c| c.client_auth = Some(ClientAuth::required(""))),
            ("ticket-keys", |c| c.ticket_keys = Some("".into())),
            ("connections", |c| c.limits.connections = 0),
            ("max-connections", |c| c.limits.connections_in_all = 1_000_000_001),
            ("max-connections-per-address", |c| {
                c.limits.connections_per_address = 1_000_001;
            }),
            ("handshakes", |c| c.limits.handshakes = c.limits.connections + 1),
            ("receive-buffers", |c| c.limits.receive_buffers = 100),
            ("receive-buffers", |c| c.limits.receive_buffers = 65_536),
            ("leases-per-connection", |c| c.limits.leases_per_connection = 0),
            ("leases-per-connection", |c| {
                (c.limits.receive_buffers, c.limits.leases_per_connection) = (8, 5);
            }),
            ("max-fields", |c| c.limits.head_fields = crate::parse::MAX_FIELDS + 1),
            ("max-target", |c| c.limits.target_bytes = c.limits.head_bytes + 1),
            ("file-cache-max-file", |c| c.limits.file_cache_bytes = 4_096),
            ("handshake-timeout", |c| c.timeouts.handshake = Duration::ZERO),
            ("drain-timeout", |c| c.timeouts.drain = LONGEST + SHORTEST),
            ("drain-delay", |c| c.timeouts.drain_delay = Duration::from_secs(3_601)),
            ("spa", |c| c.site.spa = Some("../secret".into())),
            ("spa", |c| c.site.spa = Some("no-such-file.html".into())),
            ("index", |c| c.site.index = "a/b".into()),
            ("server-timing", |c| {
                (c.observe.server_timing, c.observe.anatomy) = (true, false);
            }),
            ("header", |c| c.site.headers = vec![FieldLine::new("X", "y").unwrap(); 33]),
        ];
        for (option, change) in cases {
            let error = refused(change);
            assert_eq!(error.option(), option, "{error}");
        }
    }

    #[test]
    fn a_message_says_what_is_wrong_and_what_to_do() {
        assert_eq!(
            refused(|c| c.limits.receive_buffers = 100).to_string(),
            "receive-buffers: 100 is not a power of two; use 128"
        );
        assert_eq!(
            refused(|c| c.workers = Some(5_000)).to_string(),
            "workers: 5000 is out of bounds; give 1 to 1024"
        );
    }

    #[test]
    fn many_long_field_lines_are_too_much() {
        let long = FieldLine::new("X", &"y".repeat(2_000)).unwrap();
        assert_eq!(refused(|c| c.site.headers = vec![long; 3]).option(), "header");
    }
}
