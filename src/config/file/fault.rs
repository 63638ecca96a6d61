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

/// Faults that are shown; a file that is no configuration at all has one for each of its characters.
const MOST_SHOWN: usize = 100;

/// Characters of a line that are shown before a fault, and in all.
const SHOWN_BEFORE: usize = 120;
const SHOWN: usize = 200;

/// All that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Faults {
    file: PathBuf,
    placed: Vec<Placed>,
    /// Further ones, which are not shown.
    more: usize,
}

/// A fault with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Placed {
    /// From 1.
    line: usize,
    /// In characters, from 1.
    column: usize,
    /// The line itself, or what is shown of it.
    text: String,
    /// Characters of that before the fault.
    indent: usize,
    /// Characters of the line that are at fault.
    width: usize,
    problem: String,
    advice: String,
}

impl Faults {
    pub(super) fn new(file: &Path, text: &str, mut faults: Vec<Fault>) -> Self {
        faults.sort_by_key(|fault| fault.at.start);
        let more = faults.len().saturating_sub(MOST_SHOWN);
        faults.truncate(MOST_SHOWN);
        let placed = faults.into_iter().map(|fault| Placed::new(text, fault)).collect();
        Self { file: file.to_owned(), placed, more }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.placed.len() + self.more
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
        let left_out = (column - 1).saturating_sub(SHOWN_BEFORE);
        let shown = line_text.chars().skip(left_out).take(SHOWN).collect();
        let indent = column - 1 - left_out;
        let Fault { problem, advice, .. } = fault;
        let width = marked.clamp(1, SHOWN - SHOWN_BEFORE);
        Self { line, column, text: shown, indent, width, problem, advice }
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
            let Placed { line, column, text, indent, width, problem, advice } = placed;
            writeln!(f, "{}:{line}:{column}: {problem}", self.file.display())?;
            // A tab is shown as one column, as it is counted.
            let shown: String =
                text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
            writeln!(f, "{line:>5} | {shown}")?;
            let marks = "^".repeat(*width);
            write!(f, "      | {:indent$}{marks} {advice}", "")?;
        }
        if self.more > 0 {
            write!(f, "\n{}: {} more; mend these first", self.file.display(), self.more)?;
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
