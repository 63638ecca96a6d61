//! The command line: what was typed becomes a checked [`Config`](crate::config::Config), and
//! whatever goes wrong becomes a message that a person can act on and an exit code.
//!
//! The invariant: standard output carries what was asked for (the start block, a report, a page),
//! standard error everything else.

#![forbid(unsafe_code)]

mod anatomy;
mod check;
mod doctor;
mod hash_password;
mod open_files;
mod options;
mod pages;
mod proxy;
mod reload;
mod serve;
mod start_block;
mod top;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ErrorKind};

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
    let command = match parse(std::env::args_os()) {
        Ok(cli) => cli.command,
        // Help and versions among them, which go to standard output.
        Err(error) => error.exit(),
    };
    let exit = match command {
        Command::Serve(options) => serve::run(&options),
        Command::Proxy(options) => proxy::run(&options),
        Command::Check(options) => check::run(&options),
        Command::Reload(options) => reload::ask(&options),
        Command::Config { what } => check::print_config(&what),
        Command::Doctor(options) => doctor::run(options.json),
        Command::Anatomy(options) => anatomy::run(&options),
        Command::Top(options) => top::run(&options),
        Command::HashPassword { name } => hash_password::run(&name),
        Command::Man => print(&pages::manual()),
        Command::Completions { shell } => print(&pages::completions(shell)),
    };
    ExitCode::from(exit.code())
}

/// Takes the arguments apart.
fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(arguments).map_err(|mut error| {
        // clap advises `-- --option`, since a folder could be named so. Nobody means that.
        if error.kind() == ErrorKind::UnknownArgument {
            error.remove(ContextKind::Suggested);
        }
        error
    })
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

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn an_unknown_option_is_not_taken_for_a_folder() {
        let arguments = ["ringway", "serve", "--lisen", "x"].map(Into::into);
        let error = parse(arguments.into_iter()).unwrap_err().to_string();
        assert!(error.contains("'--listen'") && !error.contains("-- --"), "{error}");
    }

    #[test]
    fn an_unknown_option_points_to_the_help_of_its_command() {
        let arguments = ["ringway", "anatomy", "--bogus"].map(Into::into);
        let error = parse(arguments.into_iter()).unwrap_err().to_string();
        assert!(error.contains("ringway anatomy") && !error.contains("serve"), "{error}");
    }
}
