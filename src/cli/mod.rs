//! The command line: what was typed becomes a checked [`Config`](crate::config::Config), and
//! whatever goes wrong becomes a message that a person can act on and an exit code.
//!
//! The invariant: standard output carries what was asked for (the start block, a report, a page),
//! standard error everything else.

#![forbid(unsafe_code)]

mod doctor;
mod open_files;
mod options;
mod pages;
mod serve;
mod start;
mod start_block;
mod units;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use options::{Cli, Command};

/// How the program ends. The codes are part of the interface, see `ringway --help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// 0: all is done.
    Done,
    /// 1: something failed while running.
    Failed,
    /// 2: the command line or the configuration is wrong. clap uses the same.
    Usage,
    /// 3: the host lacks something that was asked for.
    HostLacks,
    /// 128 and the signal's number: ended at once by a second signal.
    Signal(u8),
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::HostLacks => 3,
            Self::Signal(number) => 128 + number,
        }
    }
}

/// Runs the program with the process's arguments.
pub fn run() -> ExitCode {
    let exit = match Cli::parse().command {
        Command::Serve(options) => serve::run(&options),
        Command::Doctor(options) => doctor::run(options.json),
        Command::Man => print(&pages::manual()),
        Command::Completions { shell } => print(&pages::completions(shell)),
    };
    ExitCode::from(exit.code())
}

/// Writes to standard output. A reader that leaves early, as `head` does, is not a failure; Rust
/// programs ignore `SIGPIPE`, so it shows as an error here.
fn print(bytes: &[u8]) -> Exit {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Exit::Done,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => complain(Exit::Failed, format_args!("standard output: {error}")),
    }
}

/// Says on standard error why the program ends.
fn complain(exit: Exit, what: impl Display) -> Exit {
    let _ = writeln!(io::stderr(), "ringway: {what}");
    exit
}
