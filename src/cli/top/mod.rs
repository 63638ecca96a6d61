//! `ringway top`: what a running server does, in a terminal. It asks the admin listener, as the
//! page does, and draws the answer as plain text with the escape sequences that every terminal has.
//!
//! The invariant: whatever the server says becomes lines of printable text that are no longer than
//! the terminal is wide; paths come from clients.

mod admin;
mod figures;
mod screen;

use std::io::{self, IsTerminal as _, Write as _};
use std::thread;
use std::time::Instant;

use super::options::Top;
use super::{Exit, complain, print};
use screen::Screen;

/// Runs the command.
pub(super) fn run(options: &Top) -> Exit {
    let out = io::stdout();
    let terminal = out.is_terminal();
    let question = format!("/anatomy.json?since={}", options.since.as_secs_f64());
    if options.once || !terminal {
        return match admin::ask(&options.admin, &question) {
            Ok(report) => print(screen(terminal).draw(&report).as_bytes()),
            Err(error) => complain(Exit::Failed, error),
        };
    }
    loop {
        let began = Instant::now();
        let screen = screen(terminal);
        let text = match admin::ask(&options.admin, &question) {
            Ok(report) => screen.draw(&report),
            Err(error) => screen.cut(&format!("{error}\n")),
        };
        // Home, each line cleared behind its end, and what is below: nothing flickers.
        let text = text.replace('\n', "\x1b[K\r\n");
        let mut out = out.lock();
        if let Err(error) = write!(out, "\x1b[H{text}\x1b[J").and_then(|()| out.flush()) {
            return match error.kind() {
                io::ErrorKind::BrokenPipe => Exit::Done,
                _ => complain(Exit::Failed, format_args!("standard output: {error}")),
            };
        }
        thread::sleep(options.every.saturating_sub(began.elapsed()));
    }
}

/// As large as the terminal, in colour if somebody looks and did not ask for none (no-color.org).
fn screen(terminal: bool) -> Screen {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
    let of = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let columns = of("COLUMNS").or_else(|| size.map(|size| usize::from(size.ws_col)));
    let rows = if terminal { size.map(|size| usize::from(size.ws_row)) } else { None };
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    Screen::new(
        columns.filter(|columns| *columns > 0),
        rows.filter(|rows| *rows > 0),
        terminal && !no_colour,
    )
}
