//! The configuration file: TOML, read into a [`Config`].
//!
//! The invariant: a setting is declared once, as a `Key`, and from that come the key of the file,
//! the option of `ringway serve`, the row of the reference and the place in the schema. All that is
//! wrong with a file is found in one run, each with its line.

mod declared;
pub(crate) mod documents;
mod fault;
pub(crate) mod keys;
mod pages;
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

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
#[allow(unreachable_pub, reason = "the fuzzer has it")]
pub mod hold {
    //! What holds for any text; each by a panic.

    /// A text is a configuration, or everything that is wrong with it has its place in the text, and what is
    /// said of it is bounded.
    pub fn a_text_is_answered(text: &str) {
        let Err(faults) = super::read(text, std::path::Path::new("/nowhere/ringway.toml")) else {
            return;
        };
        assert!(faults.len() > 0);
        let lines = text.split('\n').count();
        let json = faults.to_json();
        let said = faults.to_string();
        for fault in json.as_array().into_iter().flatten() {
            let (line, column) = (fault["line"].as_u64(), fault["column"].as_u64());
            let line = line.and_then(|line| usize::try_from(line).ok()).unwrap_or(0);
            assert!((1..=lines).contains(&line), "{fault}");
            let length = text.split('\n').nth(line - 1).map_or(0, |line| line.chars().count());
            let column = column.and_then(|column| usize::try_from(column).ok()).unwrap_or(0);
            assert!((1..=length + 1).contains(&column), "{fault}");
            assert!(said.contains(&format!(":{line}:{column}: ")));
        }
        assert!(!said.contains('\0') && said.lines().count() > 1);
    }
}

#[cfg(test)]
mod tests;
