//! `ringway proxy`: HTTPS in front of application servers, without a configuration file.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use log::LevelFilter;

use super::{Exit, complain, options::ServerSettings, serve};
use crate::config::{
    Action, Config, ConfigError, PoolOptions, Route, RoutePath, Site, UpstreamAddress,
    UpstreamServer, units,
};

/// The name of the only pool.
const POOL: &str = "app";

/// The options of `ringway proxy`.
#[derive(Debug, Args)]
#[command(after_help = "Sizes: 512, 64KiB, 1MiB. Times: 250ms, 10s, 2m, 1h.")]
pub(super) struct Proxy {
    /// The servers that answer, as http://HOST:PORT, https://HOST or unix:/path
    #[arg(value_name = "SERVER", required = true)]
    servers: Vec<UpstreamAddress>,
    /// Least level to log: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", env = "RINGWAY_LOG", default_value = "info")]
    log_level: LevelFilter,
    #[command(flatten)]
    settings: ServerSettings,
    #[command(flatten)]
    pool: PoolFlags,
}

/// Declares an option for each value of a pool that may be changed on the command line.
macro_rules! pool_flags {
    ($($(#[$doc:meta])* $option:ident $flag:literal $unit:literal:
        $kind:ty = $parser:expr => $field:ident,)*) => {
        #[derive(Debug, Args)]
        #[command(next_help_heading = "Servers")]
        struct PoolFlags {
            $($(#[$doc])* #[arg(long = $flag, value_name = $unit, value_parser = $parser)]
            $option: Option<$kind>,)*
        }

        impl PoolFlags {
            fn apply(&self, pool: &mut PoolOptions) {
                $(if let Some(value) = self.$option.clone() { pool.$field = value.into(); })*
            }
        }
    };
}

pool_flags! {
    /// Connections to each server at most; more requests wait in line [default: 128]
    max "max" "N": u32 = number::<u32> => max,
    /// Requests in line at most; beyond it 503 [default: 256]
    waiting "waiting" "N": u32 = number::<u32> => waiting,
    /// Time in line at most; beyond it 503 [default: 3s]
    wait "wait" "TIME": Duration = units::time => wait,
    /// For each attempt to connect; beyond it 504 [default: 2s]
    connect "connect-timeout" "TIME": Duration = units::time => connect,
    /// For a server to take more of a request; beyond it 504 [default: 30s]
    send "send-timeout" "TIME": Duration = units::time => send,
    /// From the end of a request to the head of its response; beyond it 504 [default: 30s]
    first_byte "first-byte-timeout" "TIME": Duration = units::time => first_byte,
    /// Between two pieces of a response; beyond it the client is cut off [default: 30s]
    between "between-timeout" "TIME": Duration = units::time => between,
    /// How long an unused connection is kept [default: 4s]
    keep_idle "keep-idle" "TIME": Duration = units::time => keep_idle,
    /// Unused connections to each server that a worker keeps [default: 16]
    keep "keep" "N": usize = number::<usize> => keep,
    /// Request content that is held before a server gets it; longer content streams [default: 64KiB]
    hold_request "hold-request" "SIZE": usize = units::memory => hold_request,
    /// Content of a response that is held for a client that does not keep up [default: 256KiB]
    hold_response "hold-response" "SIZE": usize = units::memory => hold_response,
    /// Authorities, in PEM, by which certificates of https:// servers are believed [default: those of
    /// the system]
    ca "upstream-ca" "FILE": PathBuf = clap::value_parser!(PathBuf) => ca,
    /// The name that https:// servers must have in their certificates [default: the host of the URL]
    server_name "upstream-name" "NAME": String = clap::value_parser!(String) => server_name,
    /// Second tries of a request [default: 1]
    tries "tries" "N": u32 = number::<u32> => tries,
}

fn number<N: std::str::FromStr<Err = std::num::ParseIntError>>(text: &str) -> Result<N, N::Err> {
    text.parse()
}

/// Runs the command.
pub(super) fn run(options: &Proxy) -> Exit {
    match options.config() {
        Ok(config) => serve::run_as(config, options.log_level, None),
        Err(error) => complain(Exit::Usage, error),
    }
}

impl Proxy {
    /// The configuration that these options ask for, not yet checked.
    ///
    /// # Errors
    /// Options that do not fit together, so that no configuration can hold them.
    fn config(&self) -> Result<Config, ConfigError> {
        let mut config = self.settings.0.draft()?.finish()?;
        let servers = self.servers.iter().cloned().map(UpstreamServer::new);
        let mut pool = PoolOptions::of(servers.collect());
        self.pool.apply(&mut pool);
        config.pools.insert(POOL.to_owned(), pool);
        let route = Route::new(RoutePath::default(), Action::Proxy { pool: POOL.to_owned() });
        config.sites = vec![Site::default().with_route(route)];
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::options::{Cli, Command};

    fn config(arguments: &[&str]) -> Config {
        let arguments = ["ringway", "proxy"].iter().chain(arguments);
        let Command::Proxy(proxy) = Cli::try_parse_from(arguments).unwrap().command else {
            panic!("another command")
        };
        proxy.config().unwrap()
    }

    #[test]
    fn an_address_is_enough() {
        let config = config(&["http://127.0.0.1:3000"]);
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.pools[POOL].servers.len(), 1);
        assert!(Cli::try_parse_from(["ringway", "proxy"]).is_err());
        assert!(Cli::try_parse_from(["ringway", "proxy", "ftp://a"]).is_err());
    }

    #[test]
    fn the_settings_of_the_server_are_options_too() {
        let config = config(&[
            "http://127.0.0.1:3000",
            "--listen",
            "127.0.0.1:1",
            "--io",
            "poll",
            "--max-body",
            "5MiB",
            "--admin",
            "127.0.0.1:9090",
        ]);
        assert_eq!(config.listen, ["127.0.0.1:1".parse().unwrap()]);
        assert_eq!((config.io, config.limits.body_bytes), (crate::config::IoMode::Poll, 5 << 20));
        assert!(config.observe.admin.is_some());
        // Those of files have no meaning here.
        assert!(Cli::try_parse_from(["ringway", "proxy", "http://a", "--listing"]).is_err());
    }

    #[test]
    fn every_value_reaches_the_pool() {
        let config = config(&[
            "unix:/run/a.sock",
            "http://b:8000",
            "--max",
            "2",
            "--waiting",
            "3",
            "--wait",
            "4s",
            "--connect-timeout",
            "5s",
            "--send-timeout",
            "6s",
            "--first-byte-timeout",
            "7s",
            "--between-timeout",
            "8s",
            "--keep-idle",
            "9s",
            "--keep",
            "10",
            "--hold-request",
            "11KiB",
            "--tries",
            "0",
        ]);
        let pool = &config.pools[POOL];
        assert_eq!((pool.max, pool.waiting, pool.keep, pool.tries), (2, 3, 10, 0));
        let times =
            [pool.wait, pool.connect, pool.send, pool.first_byte, pool.between, pool.keep_idle];
        assert_eq!(times, [4, 5, 6, 7, 8, 9].map(Duration::from_secs));
        assert_eq!((pool.servers.len(), pool.hold_request), (2, 11 << 10));
    }
}
