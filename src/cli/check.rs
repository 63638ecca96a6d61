//! `ringway check`: all that a start would find wrong with a configuration file; and what is printed
//! about such files.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::options::{Check, ConfigCommand};
use super::{Exit, complain, print};
use crate::config::Config;
use crate::config::file::{self, Faults, documents};
use crate::server;

/// The largest file that is read, in bytes: 100,000 sites have room in it.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Reads a file.
///
/// # Errors
/// What is wrong with it, for a person.
pub(super) fn read(path: &Path) -> Result<Config, String> {
    let text = text(path)?;
    file::read(&text, path).map_err(|faults| faulty(&faults))
}

fn faulty(faults: &Faults) -> String {
    let (count, plural) = (faults.len(), if faults.len() == 1 { "" } else { "s" });
    format!("{count} error{plural} in the configuration\n{faults}")
}

/// The text of a file.
fn text(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let refused = |error| format!("{shown} cannot be read: {error}; name a file that exists");
    let metadata = std::fs::metadata(path).map_err(refused)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        return Err(format!("{shown} is no file of at most 64 MiB"));
    }
    let bytes = std::fs::read(path).map_err(refused)?;
    String::from_utf8(bytes).map_err(|_| format!("{shown} is not UTF-8"))
}

fn print_value(value: &Value) {
    print(format!("{value}\n").as_bytes());
}

/// Runs `ringway check`.
pub(super) fn run(options: &Check) -> Exit {
    let path: &PathBuf = &options.file;
    let text = match text(path) {
        Ok(text) => text,
        Err(why) => return complain(Exit::Usage, why),
    };
    let config = match file::read(&text, path) {
        Ok(config) => config,
        Err(faults) if options.json => {
            print_value(&json!({ "ok": false, "errors": faults.to_json() }));
            return Exit::Usage;
        }
        Err(faults) => return complain(Exit::Usage, faulty(&faults)),
    };
    // Certificates and keys are read as a start reads them.
    let mut warnings = match server::try_tls(&config) {
        Ok(warnings) => warnings,
        Err(error) if options.json => {
            print_value(&json!({ "ok": false, "errors": [{ "problem": error.to_string() }] }));
            return Exit::Usage;
        }
        Err(error) => return complain(Exit::Usage, error),
    };
    warnings.extend(config.lints());
    if options.json {
        print_value(&json!({ "ok": true, "warnings": warnings }));
    } else {
        for warning in &warnings {
            complain(Exit::Done, format_args!("warning: {warning}"));
        }
        let (sites, pools) = (config.sites.len(), config.pools.len());
        let shown = path.display();
        let plural = |count| if count == 1 { "" } else { "s" };
        let (of_sites, of_pools) = (plural(sites), plural(pools));
        print(
            format!("{shown} is valid: {sites} site{of_sites}, {pools} pool{of_pools}\n")
                .as_bytes(),
        );
    }
    if options.deny_warnings && !warnings.is_empty() { Exit::Usage } else { Exit::Done }
}

/// Prints what belongs to configuration files.
pub(super) fn print_config(what: &ConfigCommand) -> Exit {
    match what {
        ConfigCommand::Schema => print(documents::schema().as_bytes()),
        ConfigCommand::Example => print(documents::EXAMPLE.as_bytes()),
        ConfigCommand::Reference => print(documents::reference().as_bytes()),
        ConfigCommand::FromOptions(serve) => {
            // Options that do not fit together have no file.
            if let Err(error) = serve.config() {
                return complain(Exit::Usage, error);
            }
            print(serve.settings.to_file(serve.root()).as_bytes())
        }
    }
}
