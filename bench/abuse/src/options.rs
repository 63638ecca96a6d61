//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::against::Against;

/// Measures an honest client of Ringway, undisturbed and beside one attack after the other.
///
/// The server has one worker on one CPU. The honest client asks at a fixed rate over connections
/// that it keeps, and counts latency from when a request was due; it shares the other CPU with the
/// attacker, ahead of whom it runs (real-time priority, for which root is needed). Each attack's
/// figure is compared with those of the undisturbed rounds before and after it.
#[derive(Clone, Debug, Parser)]
#[command(name = "ringway-bench-abuse", version, about, max_term_width = 100)]
pub(crate) struct Options {
    /// The server's program
    #[arg(long, default_value = "target/release/ringway")]
    pub(crate) ringway: PathBuf,

    /// The load generator's program [default: beside this one]
    #[arg(long)]
    pub(crate) load: Option<PathBuf>,

    /// The attacks of HTTP/2, and an honest client that speaks it
    #[arg(long)]
    pub(crate) http2: bool,

    /// The attacks on a server that passes requests on as well, and on what is behind it
    #[arg(long, conflicts_with = "http2")]
    pub(crate) proxy: bool,

    /// The attacks on handlers of a program that serves the files as well
    #[arg(long, conflicts_with_all = ["http2", "proxy"])]
    pub(crate) application: bool,

    /// The program with these handlers [default: ringway-bench-apps beside this one]
    #[arg(long)]
    pub(crate) apps: Option<PathBuf>,

    /// One attack; may be repeated [default: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) attack: Vec<String>,

    /// Names the attacks with their rates, and ends
    #[arg(long)]
    pub(crate) list: bool,

    /// How often each attack is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,

    /// Seconds of each measurement
    #[arg(long, default_value_t = 4.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    /// Requests a second of the honest client
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub(crate) rate: u32,

    /// Connections of the honest client
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) connections: u32,

    /// One round of a second each: whether it works, not how well
    #[arg(long)]
    pub(crate) quick: bool,

    /// The server's CPU
    #[arg(long, default_value_t = 0)]
    pub(crate) server_cpu: usize,

    /// The clients' CPU, honest or not
    #[arg(long, default_value_t = 1)]
    pub(crate) client_cpu: usize,

    /// Writes the results as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Replaces the results in a text, between its lines <!-- results --> and <!-- end of results -->,
    /// or those of HTTP/2, of the proxy, of applications, or of a server on epoll
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,

    /// Print existing results and measure nothing
    #[arg(long, value_name = "JSON")]
    pub(crate) show: Option<PathBuf>,

    /// More options of the server
    #[arg(last = true, value_name = "OPTION")]
    pub(crate) serve: Vec<String>,
}

impl Options {
    /// What is attacked.
    pub(crate) fn against(&self) -> Against {
        match (self.http2, self.proxy, self.application) {
            (true, ..) => Against::Http2,
            (_, true, _) => Against::Proxy,
            (_, _, true) => Against::Application,
            _ => Against::Files,
        }
    }

    /// A program that stands beside this one, unless it is named.
    pub(crate) fn beside(named: Option<&PathBuf>, name: &str) -> Result<PathBuf, String> {
        let this = || std::env::current_exe().map_err(|error| error.to_string());
        let program =
            named.cloned().map_or_else(|| this().map(|it| it.with_file_name(name)), Ok)?;
        if program.exists() {
            return Ok(program);
        }
        Err(format!("{}: not there; scripts/bench-abuse builds it", program.display()))
    }

    /// Times that each attack is measured.
    pub(crate) fn rounds(&self) -> u32 {
        if self.quick { 1 } else { self.rounds }
    }

    /// How long each measurement is.
    pub(crate) fn window(&self) -> Duration {
        Duration::from_secs_f64(if self.quick { 1.0 } else { self.seconds })
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds")?;
    if (0.1..=600.0).contains(&seconds) { Ok(seconds) } else { Err("0.1 to 600".into()) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::{Options, seconds};

    #[test]
    fn the_command_is_sound() {
        Options::command().debug_assert();
        assert_eq!(seconds("0.5"), Ok(0.5));
        assert!(seconds("0").is_err() && seconds("inf").is_err() && seconds("x").is_err());
    }
}
