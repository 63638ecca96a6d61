//! The content of errors that we make.

use std::{collections::BTreeMap, path::PathBuf};

use crate::config::{ConfigError, check::within};

/// The content of an error: at most 64 KiB.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorContent {
    /// A file: HTML, or what its name says. It is read at the start and by a reload.
    File(PathBuf),
    /// This text.
    Text(String),
    /// This HTML.
    Html(String),
}

impl ErrorContent {
    /// The file, if it is one.
    pub fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::File(file) => Some(file),
            Self::Text(_) | Self::Html(_) => None,
        }
    }

    /// Bytes that it takes, at most: once as it is configured, once as it is sent.
    pub(in crate::config) fn memory(&self) -> usize {
        match self {
            Self::File(_) => super::check::MAX_FIXED_BYTES,
            Self::Text(text) | Self::Html(text) => text.len().saturating_mul(2),
        }
    }
}

/// Checks the pages of errors.
pub(super) fn check(errors: &BTreeMap<u16, ErrorContent>) -> Result<(), ConfigError> {
    for (status, content) in errors {
        if !(400..=599).contains(status) {
            return Err(ConfigError::new(
                "errors",
                format_args!("{status} is no status of an error"),
                "give a status of 400 to 599, such as 404",
            ));
        }
        let length = match content {
            ErrorContent::File(file) => length(file)?,
            ErrorContent::Text(text) | ErrorContent::Html(text) => text.len() as u64,
        };
        within("errors", length, 0, super::check::MAX_FIXED_BYTES as u64)?;
    }
    Ok(())
}

/// The length of a file, which has to be one.
fn length(file: &PathBuf) -> Result<u64, ConfigError> {
    let shown = file.display();
    let refused = |problem: std::fmt::Arguments<'_>| {
        Err(ConfigError::new("errors", problem, "name a file with the page"))
    };
    match std::fs::metadata(file) {
        Ok(found) if found.is_file() => Ok(found.len()),
        Ok(_) => refused(format_args!("{shown} is no file")),
        Err(error) => refused(format_args!("{shown}: {error}")),
    }
}
