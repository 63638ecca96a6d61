//! What is wrong with a file, shown with its line.

use std::{
    fmt::{self, Write},
    ops::Range,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

/// One thing that is wrong, or that is right and unwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Where in the text, in bytes.
    pub(super) at: Range<usize>,
    /// What is wrong.
    pub(super) problem: String,
    /// What to write instead.
    pub(super) advice: String,
}

impl Fault {
    pub(super) fn new(
        at: Range<usize>,
        problem: impl fmt::Display,
        advice: impl fmt::Display,
    ) -> Self {
        Self { at, problem: problem.to_string(), advice: advice.to_string() }
    }
}

/// All that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Faults {
    file: PathBuf,
    placed: Vec<Placed>,
}

/// A fault with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Placed {
    /// From 1.
    line: usize,
    /// In characters, from 1.
    column: usize,
    /// The line itself.
    text: String,
    /// Characters of the line that are at fault.
    width: usize,
    problem: String,
    advice: String,
}

impl Faults {
    pub(super) fn new(file: &Path, text: &str, mut faults: Vec<Fault>) -> Self {
        faults.sort_by_key(|fault| fault.at.start);
        let placed = faults.into_iter().map(|fault| Placed::new(text, fault)).collect();
        Self { file: file.to_owned(), placed }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.placed.len()
    }

    /// One JSON object for each, in an array.
    pub(crate) fn to_json(&self) -> Value {
        let file = self.file.to_string_lossy();
        let each = |placed: &Placed| {
            let Placed { line, column, problem, advice, .. } = placed;
            json!({
                "file": file, "line": line, "column": column, "problem": problem, "advice": advice
            })
        };
        self.placed.iter().map(each).collect()
    }
}

impl Placed {
    fn new(text: &str, fault: Fault) -> Self {
        let start = floor(text, fault.at.start);
        let (before, after) = text.split_at(start);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line_text = text[line_start..].lines().next().unwrap_or("");
        let line = before.matches('\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        let end = floor(text, fault.at.end).max(start);
        let marked = after[..end - start].lines().next().map_or(0, |line| line.chars().count());
        let Fault { problem, advice, .. } = fault;
        Self { line, column, text: line_text.to_owned(), width: marked.max(1), problem, advice }
    }
}

/// The nearest place at or before `at` that begins a character.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, placed) in self.placed.iter().enumerate() {
            if number > 0 {
                f.write_char('\n')?;
            }
            let Placed { line, column, text, width, problem, advice } = placed;
            writeln!(f, "{}:{line}:{column}: {problem}", self.file.display())?;
            // A tab is shown as one column, as it is counted.
            let shown: String =
                text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
            writeln!(f, "{line:>5} | {shown}")?;
            let marks = "^".repeat(*width);
            write!(f, "      | {:indent$}{marks} {advice}", "", indent = column - 1)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// A text as a basic string of TOML, which is one of JSON as well. TOML does not allow DEL in it.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            char if char.is_ascii_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(char));
            }
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}
