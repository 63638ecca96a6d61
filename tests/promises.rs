//! SECURITY.md names a test for each promise. This test checks that each of them exists: a promise
//! whose test was renamed or removed must not go on to look tested.

#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};

/// A row of a table: its first cell and its last.
type Row = (String, String);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rows of the tables in the section with this title, without their headings.
fn rows(section: &str) -> Vec<Row> {
    let text = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let (_, text) = text.split_once(&format!("\n## {section}\n")).expect(section);
    let text = text.split("\n## ").next().unwrap();
    let cells = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(" | ").collect();
        (cells[0].to_owned(), cells[cells.len() - 1].to_owned())
    };
    // The first row is the heading.
    cells.skip(1).map(row).collect()
}

/// The file of a name in a row's last cell: below the section's folder, or from the root on.
fn file(folder: &str, name: &str) -> Option<PathBuf> {
    [root().join(folder).join(name), root().join(name)].into_iter().find(|path| path.exists())
}

/// What is wrong with the last cell of a row: a file that is not there, a test that is not in the file
/// named before it, or no test at all.
fn wrong(folder: &str, (class, cell): &Row) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut named, mut tests) = (None, 0);
    for (number, part) in cell.split('`').enumerate() {
        if number % 2 == 0 {
            continue;
        }
        let before = cell.split('`').nth(number - 1).unwrap_or_default();
        if before.ends_with("the fuzz target ") {
            let target = format!("fuzz/fuzz_targets/{part}.rs");
            if file(folder, &target).is_some() {
                tests += 1;
            } else {
                wrong.push(format!("{class}: there is no {target}"));
            }
        } else if part.contains('/') || Path::new(part).extension().is_some_and(|end| end == "rs") {
            named = file(folder, part);
            match &named {
                Some(path) => tests += usize::from(has_test(path)),
                None => wrong.push(format!("{class}: there is no file {part}")),
            }
        } else if !part.starts_with("ringway_") {
            // Else it is a metric.
            let text = named.as_ref().and_then(|path| fs::read_to_string(path).ok());
            if !text.is_some_and(|text| is_test(&text, part)) {
                wrong.push(format!("{class}: {named:?} has no test {part}"));
            }
        }
    }
    if tests == 0 {
        wrong.push(format!("{class}: no test is named"));
    }
    wrong
}

/// Whether a test has this name, in a file or in what a macro there makes of its names.
fn is_test(text: &str, name: &str) -> bool {
    let head = format!("fn {name}(");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let at = lines.iter().position(|line| line.starts_with(&head));
    at.is_some_and(|at| {
        lines[..at].iter().rev().take_while(|line| !line.is_empty()).any(|line| *line == "#[test]")
    })
}

/// Whether there is a test in the file, or in a file of the folder, or in a file of tests that stands
/// beside it. A script is one.
fn has_test(path: &Path) -> bool {
    if path.is_dir() {
        let mut entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        return entries.any(|path| has_test(&path));
    }
    let text = fs::read_to_string(path).unwrap_or_default();
    let is_script = text.starts_with("#!");
    is_script || ["#[test]", "mod tests;", "mod tests {"].iter().any(|mark| text.contains(mark))
}

#[test]
fn every_promise_has_a_test_that_exists() {
    let mut all = Vec::new();
    for (section, folder, least) in [
        ("What is promised, and the test that holds it", "tests/wire", 40),
        ("HTTP/2: attacks, bounds, tests", "tests/h2", 25),
    ] {
        let rows = rows(section);
        assert!(rows.len() >= least, "{section}: {} rows", rows.len());
        all.extend(rows.iter().flat_map(|row| wrong(folder, row)));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

/// The test above can fail.
#[test]
fn what_does_not_exist_is_found() {
    let wrong = |cell: &str| wrong("tests/h2", &("a class".to_owned(), cell.to_owned())).len();
    assert_eq!(wrong("`floods.rs` `rapid_reset`"), 0);
    assert_eq!(wrong("`floods.rs` `slow_reset`"), 1);
    assert_eq!(wrong("`flood.rs` `rapid_reset`"), 3);
    assert_eq!(wrong("`floods.rs`; the fuzz target `none`"), 1);
    assert_eq!(wrong("measured by hand"), 1);
    // A function that is no test.
    assert_eq!(wrong("`floods.rs` `calmed`"), 1);
}
