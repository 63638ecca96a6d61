//! `ringway anatomy`: one request, twice over, looked at from the client's side. The first
//! connection makes a full handshake, the second resumes it with the ticket of the first. Over HTTP/2
//! each can carry several requests at once.
//!
//! The invariant: what is shown was measured here, or is marked as the server's own word.

mod body;
mod error;
mod exchange;
mod http2;
mod json;
mod records;
mod report;
mod response;
mod server_timing;
mod stages;
mod target;
#[cfg(test)]
mod tests;
mod tracks;
mod trust;
mod unexplained;
mod watch;
mod waterfall;

use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;

use super::options::{self, Anatomy};
use super::{Exit, complain, print};
use error::AnatomyError;
use exchange::{Exchange, Question};
use report::Report;
pub(super) use target::Target;
use trust::Trust;
use waterfall::Canvas;
pub(super) use waterfall::time;

/// Tickets that a pair of connections remembers.
const TICKETS: usize = 8;

/// Both connections of one round.
#[derive(Clone, Debug)]
struct Round {
    full: Exchange,
    resumed: Exchange,
}

/// Runs the command.
pub(super) fn run(options: &Anatomy) -> Exit {
    let trust = match trust(options) {
        Ok(trust) => trust,
        Err(error) => return complain(Exit::Usage, error),
    };
    if options.watch {
        return watch::run(options, &question(options), &trust);
    }
    match look(options, &trust) {
        Ok(report) if options.json => print(json::render(&report).as_bytes()),
        Ok(report) => print(report.render(&canvas()).as_bytes()),
        Err(error) => complain(Exit::Failed, error),
    }
}

fn trust(options: &Anatomy) -> Result<Trust, String> {
    let protocol = if options.http2 { http2::ALPN } else { b"http/1.1" };
    Trust::gather(&options.cacert, options.insecure, protocol)
}

fn look<'a>(options: &'a Anatomy, trust: &Trust) -> Result<Report<'a>, AnatomyError> {
    let question = question(options);
    let mut rounds = Vec::new();
    for _ in 0..options.repeat.unwrap_or(1) {
        let (addresses, lookup) = exchange::look_up(&options.url)?;
        rounds.push(round(&question, &addresses, lookup, trust)?);
    }
    Ok(Report {
        url: options.url.to_string(),
        method: question.method,
        verdict: trust.verdict(),
        rounds,
    })
}

fn question(options: &Anatomy) -> Question<'_> {
    Question {
        target: &options.url,
        method: options.method.name(),
        streams: options.http2.then_some(options.streams),
        limit: options.timeout,
    }
}

fn round(
    question: &Question<'_>,
    addresses: &[SocketAddr],
    lookup: Duration,
    trust: &Trust,
) -> Result<Round, AnatomyError> {
    // Tickets of an earlier round must not turn this one's full handshake into a resumed one.
    let mut config = trust.config.clone();
    config.resumption = Resumption::in_memory_sessions(TICKETS);
    let config = Arc::new(config);
    let mut full = exchange::run(question, addresses, Arc::clone(&config))?;
    full.stages.set(stages::Stage::Lookup, lookup);
    let resumed = exchange::run(question, &[full.address], config)?;
    Ok(Round { full, resumed })
}

/// Where it is drawn: as wide as the terminal, in colour if somebody looks and did not ask for
/// none (no-color.org).
fn canvas() -> Canvas {
    let out = io::stdout();
    let terminal = out.is_terminal();
    let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let size = || rustix::termios::tcgetwinsize(&out).ok().map(|size| usize::from(size.ws_col));
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    Canvas::new(columns.or_else(size).filter(|&columns| columns > 0), terminal && !no_colour)
}
