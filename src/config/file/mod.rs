//! The configuration file: TOML, read into a [`Config`].
//!
//! The invariant: a setting is declared once, as a `Key`, and from that come the key of the file,
//! the option of `ringway serve`, the row of the reference and the place in the schema. All that is
//! wrong with a file is found in one run, each with its line.

mod declared;
pub(crate) mod documents;
mod fault;
pub(crate) mod keys;
mod peers;
pub(crate) mod pools;
mod reader;
pub(crate) mod settings;
pub(crate) mod sites;
mod tree;

use std::path::Path;

use fault::Fault;
pub(crate) use fault::{Faults, quoted};
use reader::Reader;
use settings::Draft;

use super::Config;

/// Reads a file's text. Relative paths in it are below the file's folder.
///
/// # Errors
/// All that is wrong, with the lines.
pub(crate) fn read(text: &str, file: &Path) -> Result<Config, Faults> {
    let (mut root, broken) = tree::parse(text);
    // Rules are read before the sites that refer to them, wherever they stand.
    root.entries.sort_by_key(|entry| entry.key != "headers");
    let mut reader = Reader::new(file.parent().unwrap_or(Path::new("")));
    reader.faults.extend(broken);
    let mut draft = Draft::default();
    reader.table(&root, &settings::top(), &mut draft, "", "the file");
    let config = draft.finish_file(&mut reader);
    // What is missing because it could not be read would be reported twice.
    if reader.faults.is_empty() {
        for error in config.check_all() {
            reader.of_check(&error);
        }
    }
    if reader.faults.is_empty() { Ok(config) } else { Err(Faults::new(file, text, reader.faults)) }
}

#[cfg(test)]
mod tests;
