//! An honest client of Ringway, undisturbed and beside one attack after the other.
//!
//! The invariant: an attack's figure stands between two undisturbed ones of the same server, taken
//! by the same client, and no attack overlaps what is called undisturbed.
//!
//! Exit codes: 0 the honest client was served throughout and the server stayed below its ceiling,
//! 1 it was not, 2 the command line is wrong or nothing could be measured.

#![forbid(unsafe_code)]

mod against;
mod attacks;
mod honest;
mod markdown;
mod options;
mod pacer;
mod results;
mod rounds;
mod server;
mod site;
mod table;
mod target;
mod upstream;

use std::fs;
use std::process::ExitCode;

use clap::Parser;

use crate::options::Options;
use crate::results::Results;

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(results) if results.sound() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(what) => {
            eprintln!("ringway-bench-abuse: {what}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<Results, String> {
    if options.list {
        for attack in attacks::all(options.against()) {
            println!("{:24}{}", attack.name, attack.what);
        }
        return Ok(Results::default());
    }
    let results = match &options.show {
        Some(file) => {
            let text = fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
            serde_json::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))?
        }
        None => rounds::measure(options)?,
    };
    print!("{}", table::table(&results));
    if let Some(file) = &options.json {
        let json = serde_json::to_string_pretty(&results).map_err(|error| error.to_string())?;
        fs::write(file, json + "\n").map_err(|error| format!("{}: {error}", file.display()))?;
    }
    if let Some(file) = &options.markdown {
        markdown::rewrite(file, &results)?;
    }
    Ok(results)
}
