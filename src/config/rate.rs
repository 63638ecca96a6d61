//! Rates of requests that routes may be limited to.

use std::{fmt, str::FromStr, time::Duration};

use super::{
    Config,
    check::{ConfigError, within},
};

/// How often requests with the same key may come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateOptions {
    /// What distinguishes requests. Default: the client's address.
    pub key: RateKey,
    /// Requests in each [`Self::per`], 1 to 1,000,000. Default 10. Beyond: 429.
    pub requests: u32,
    /// 1 ms to 24 h. Default 1 s.
    pub per: Duration,
    /// Requests that may come at once after a pause, 1 to 1,000,000, as long as the rate makes up for
    /// them within 24 h. Default: as many as [`Self::requests`].
    pub burst: Option<u32>,
    /// Keys that are remembered, 8 to 16,777,216, rounded up to a power of two; 8 bytes each, for the
    /// whole process. Default 65,536. Beyond: one that has nearly recovered is forgotten.
    pub entries: usize,
}

impl Default for RateOptions {
    fn default() -> Self {
        Self {
            key: RateKey::Client,
            requests: 10,
            per: Duration::from_secs(1),
            burst: None,
            entries: 65_536,
        }
    }
}

/// What distinguishes the requests that a rate counts together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RateKey {
    /// The client's address, an IPv6 one by its /64.
    #[default]
    Client,
    /// The value of the first field line of this name; the client's address without one.
    Field(String),
}

impl FromStr for RateKey {
    type Err = RateKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "client" {
            return Ok(Self::Client);
        }
        let name = text.strip_prefix("field:").ok_or(RateKeyError)?;
        let is_token = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
        if is_token { Ok(Self::Field(name.to_owned())) } else { Err(RateKeyError) }
    }
}

/// A text that names no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateKeyError;

impl fmt::Display for RateKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write \"client\", or \"field:NAME\" such as \"field:X-Api-Key\"")
    }
}

impl std::error::Error for RateKeyError {}

impl Config {
    /// The tables of all rates, in bytes.
    pub(super) fn rate_bytes(&self) -> usize {
        self.rates.values().map(RateOptions::table_bytes).fold(0, usize::saturating_add)
    }
}

const DAY: Duration = Duration::from_secs(24 * 3_600);

impl RateOptions {
    /// The time that each request uses up, at least 1 us.
    pub(crate) fn interval(&self) -> Duration {
        (self.per / self.requests.max(1)).max(Duration::from_micros(1))
    }

    /// Requests that may come at once.
    pub(crate) fn burst(&self) -> u32 {
        self.burst.unwrap_or(self.requests)
    }

    /// Bytes of its table.
    pub(crate) fn table_bytes(&self) -> usize {
        self.entries.max(8).next_power_of_two().saturating_mul(8)
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        within("requests", self.requests, 1, 1_000_000)?;
        if !(Duration::from_millis(1)..=DAY).contains(&self.per) {
            return Err(ConfigError::new(
                "per",
                format_args!("{:?} is out of bounds", self.per),
                "give a time from 1ms to 24h",
            ));
        }
        within("burst", self.burst(), 1, 1_000_000)?;
        if self.interval().saturating_mul(self.burst()) > DAY {
            return Err(ConfigError::new(
                "burst",
                format_args!("{} requests take more than a day to recover", self.burst()),
                "give a smaller number",
            ));
        }
        within("entries", self.entries, 8, 1 << 24)
    }
}
