//! The harness: every server is started, checked to serve the right bytes, loaded in interleaved
//! rounds, pinned to a core of its own, and stopped; the results are printed as a table, and
//! written as JSON, as Markdown and as a page.
//!
//! The invariant: a peer that cannot be had, and a workload that it cannot serve, stand in the
//! results with the reason; nothing is left out in silence.

#![forbid(unsafe_code)]

mod calls;
mod charts;
mod disturbed;
mod equal;
mod format;
mod headline;
mod instructions;
mod instructions_text;
mod ledger;
mod machine;
mod markdown;
mod material;
mod measure;
mod options;
mod page;
mod peers;
mod process;
mod results;
mod summary;
mod table;
mod verdict;
mod workloads;

#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use crate::instructions::Counts;
use crate::options::Options;
use crate::results::Results;

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            let _ = writeln!(io::stderr(), "ringway-bench: {what}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let write = |file: &Path, text: String| {
        fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
    };
    if let Some(file) = &options.count {
        let counts = instructions::count(options)?;
        let json = serde_json::to_string_pretty(&counts).map_err(|error| error.to_string())?;
        write(file, json + "\n")?;
        return say(&instructions_text::table(&counts));
    }
    let counts = options.instructions.as_deref().map(Counts::load).transpose()?;
    let results = match &options.show {
        Some(file) => Results::load(file)?,
        None => measure::all(options)?,
    };
    if let Some(file) = &options.json {
        let json = serde_json::to_string_pretty(&results).map_err(|error| error.to_string())?;
        write(file, json + "\n")?;
    }
    if let Some(file) = &options.html {
        write(file, page::render(&results, counts.as_ref()))?;
    }
    if let Some(file) = &options.markdown {
        write(file, markdown::render(&results, counts.as_ref()))?;
    }
    say(&table::render(&results))
}

fn say(text: &str) -> Result<(), String> {
    io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string())
}
