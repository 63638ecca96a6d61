//! `ringway anatomy --watch`: one request after the other, a line for each.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use rustls::client::Resumption;

use super::exchange::{self, Exchange, Question};
use super::options::Anatomy;
use super::stages::Stage;
use super::trust::Trust;
use super::unexplained::Wait;
use super::waterfall::time;
use super::{Exit, TICKETS, complain};

/// The columns, the server's words last.
const HEADING: &str = "   connect  handshake       wait     server  unexplained  status  mostly";

/// What stands once below a line without the server's words.
const SILENT: &str = "\n  (the server says nothing of its own time: ringway serve --server-timing)";

/// Asks until `--repeat` is done, or for good without it. A request that fails has a line too.
pub(super) fn run(options: &Anatomy, question: &Question<'_>, trust: &Trust) -> Exit {
    let mut config = trust.config.clone();
    config.resumption = Resumption::in_memory_sessions(TICKETS);
    let config = Arc::new(config);
    let mut exit = Exit::Done;
    let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (mut lines, mut explained) = (0_u64, false);
    while options.repeat.is_none_or(|repeat| lines < u64::from(repeat)) {
        if lines > 0 {
            thread::sleep(options.every);
        }
        let began = Instant::now();
        let answer = exchange::look_up(question.target)
            .and_then(|(addresses, _)| exchange::run(question, &addresses, Arc::clone(&config)));
        let text = match answer {
            Ok(exchange) => {
                exit = Exit::Done;
                let wait = Wait::of(&exchange.stages, &exchange.head.metrics);
                let silent = wait.as_ref().is_none_or(|wait| wait.admitted.is_none());
                let hint = if silent && !explained { SILENT } else { "" };
                explained |= silent;
                line(&exchange, wait, colour) + hint
            }
            Err(error) => {
                exit = Exit::Failed;
                format!("after {}: {error}", time(began.elapsed()))
            }
        };
        let heading = if lines.is_multiple_of(20) { format!("{HEADING}\n") } else { String::new() };
        let mut out = io::stdout().lock();
        if let Err(error) = writeln!(out, "{heading}{text}").and_then(|()| out.flush()) {
            return match error.kind() {
                io::ErrorKind::BrokenPipe => Exit::Done,
                _ => complain(Exit::Failed, format_args!("standard output: {error}")),
            };
        }
        lines += 1;
    }
    exit
}

/// The line of one exchange; red where nobody accounts for most of the wait.
fn line(exchange: &Exchange, wait: Option<Wait>, colour: bool) -> String {
    let stage = |stage| exchange.stages.get(stage).map_or_else(|| "-".to_owned(), time);
    let of = |of: Option<std::time::Duration>| of.map_or_else(|| "-".to_owned(), time);
    let admitted = of(wait.as_ref().and_then(|wait| wait.admitted));
    let unexplained = of(wait.as_ref().and_then(Wait::unexplained));
    let suspect = colour && wait.as_ref().is_some_and(Wait::is_suspect);
    let mostly = wait.and_then(|wait| wait.mostly).unwrap_or_else(|| "-".to_owned());
    let (begin, end) = if suspect { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
    format!(
        "{:>10} {:>10} {:>10} {admitted:>10}  {begin}{unexplained:>11}{end}  {:>6}  {mostly}",
        stage(Stage::Connect),
        stage(Stage::Handshake),
        stage(Stage::Wait),
        exchange.head.status,
    )
}
