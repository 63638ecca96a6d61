//! The `ringway-load` program. Exit codes: 0 all requests were answered as they should be, 1 some
//! were not or the run failed, 2 the command line is wrong.

#![forbid(unsafe_code)]

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use ringway_load::options::Options;
use ringway_load::report::Report;
use ringway_load::run;

fn main() -> ExitCode {
    let options = Options::parse();
    let plan = match options.plan() {
        Ok(plan) => plan,
        Err(what) => return complain(2, &what),
    };
    let outcome = match run::run(&plan, options.quiet) {
        Ok(outcome) => outcome,
        Err(what) => return complain(1, &what),
    };
    let report = Report::new(&plan, &outcome);
    if let Err(error) = tell(&report, &options) {
        return complain(1, &error.to_string());
    }
    ExitCode::from(u8::from(outcome.tally.failed() > 0 || outcome.tally.requests == 0))
}

fn tell(report: &Report, options: &Options) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let to_stdout = options.json.as_deref() == Some(Path::new("-"));
    if !options.quiet && !to_stdout {
        write!(out, "{report}")?;
    }
    if let Some(file) = &options.json {
        let json = serde_json::to_string_pretty(report)? + "\n";
        if to_stdout {
            out.write_all(json.as_bytes())?;
        } else {
            fs::write(file, json)?;
        }
    }
    out.flush()
}

fn complain(code: u8, what: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "ringway-load: {what}");
    ExitCode::from(code)
}
