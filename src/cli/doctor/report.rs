//! A report: sections of lines, shown as text or as one JSON object.

use std::fmt;

use serde_json::{Value, json};

/// How a line turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// It is there.
    Yes,
    /// It is not there, and Ringway works without.
    No,
    /// It is not there, and Ringway does not work without.
    Fail,
    /// A fact without a verdict.
    Note,
}

impl Mark {
    fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Fail => "FAIL",
            Self::Note => "-",
        }
    }

    fn json(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Fail => "fail",
            Self::Note => "note",
        }
    }
}

/// One line: what was looked at, how it turned out, what that means, and how to change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) mark: Mark,
    pub(super) what: String,
    pub(super) says: String,
    pub(super) remedy: Option<String>,
}

impl Line {
    pub(super) fn new(mark: Mark, what: impl Into<String>, says: impl Into<String>) -> Self {
        Self { mark, what: what.into(), says: says.into(), remedy: None }
    }

    pub(super) fn note(what: impl Into<String>, says: impl Into<String>) -> Self {
        Self::new(Mark::Note, what, says)
    }

    /// Adds the command that changes what the line says.
    pub(super) fn remedy(mut self, command: impl Into<String>) -> Self {
        self.remedy = Some(command.into());
        self
    }
}

/// Lines under a title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) lines: Vec<Line>,
}

/// The whole report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) sections: Vec<Section>,
}

impl Report {
    /// Whether `ringway serve` would work here.
    pub(super) fn works(&self) -> bool {
        self.lines().all(|line| line.mark != Mark::Fail)
    }

    fn lines(&self) -> impl Iterator<Item = &Line> {
        self.sections.iter().flat_map(|section| &section.lines)
    }

    /// Each remedy once, with what it is for.
    fn remedies(&self) -> Vec<(&str, Vec<&str>)> {
        let mut remedies: Vec<(&str, Vec<&str>)> = Vec::new();
        for line in self.lines() {
            let Some(remedy) = line.remedy.as_deref() else { continue };
            match remedies.iter_mut().find(|(known, _)| *known == remedy) {
                Some((_, what)) => what.push(&line.what),
                None => remedies.push((remedy, vec![&line.what])),
            }
        }
        remedies
    }

    /// `{"works":…,"sections":[{"title":…,"lines":[{"mark":…,"what":…,"says":…,"remedy":…}]}]}`
    /// and a line's end; `mark` is `yes`, `no`, `fail` or `note`, `remedy` may be `null`.
    pub(super) fn to_json(&self) -> String {
        let line = |line: &Line| {
            let Line { mark, what, says, remedy } = line;
            json!({ "mark": mark.json(), "what": what, "says": says, "remedy": remedy })
        };
        let section = |section: &Section| {
            let lines: Vec<Value> = section.lines.iter().map(line).collect();
            json!({ "title": section.title, "lines": lines })
        };
        let sections: Vec<Value> = self.sections.iter().map(section).collect();
        format!("{}\n", json!({ "works": self.works(), "sections": sections }))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for section in &self.sections {
            writeln!(f, "{}", section.title)?;
            let width = section.lines.iter().map(|l| l.what.chars().count()).max().unwrap_or(0);
            for Line { mark, what, says, .. } in &section.lines {
                writeln!(f, "  {:<4}  {what:<width$}  {says}", mark.word())?;
            }
            writeln!(f)?;
        }
        let remedies = self.remedies();
        if !remedies.is_empty() {
            writeln!(f, "To change it")?;
            for (remedy, what) in remedies {
                writeln!(f, "  {}\n      {remedy}", what.join(", "))?;
            }
            writeln!(f)?;
        }
        let verdict = if self.works() { "would work" } else { "would NOT work" };
        writeln!(f, "`ringway serve` {verdict} on this host.")
    }
}
