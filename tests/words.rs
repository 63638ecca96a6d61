//! Words that the project does not use: they hide who does what. The subject of a sentence is a
//! part of the system (worker, connection, client, operator), its verb is the field's (evict, drain,
//! reject, cache, log, report, expire). docs/how-it-works.md has the glossary.

#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};

/// A phrase, and what to write instead.
const INSTEAD: [(&str, &str); 12] = [
    ("whoever", "name the client, the caller, the user"),
    (" is told", "gets, learns, is configured to"),
    (" are told", "get, learn, are configured to"),
    ("to be told", "to report, to log"),
    ("told apart", "distinguished"),
    ("tells apart", "distinguishes"),
    (" at hand", "cached, available, free"),
    ("give way", "are evicted"),
    ("gives way", "is evicted"),
    ("comes up", "expires, appears"),
    ("of its own accord", "by itself"),
    ("not a boast", "say what it is"),
];

/// Where text for people stands.
const PLACES: [&str; 9] = [
    "src",
    "tests",
    "docs",
    "deploy",
    "examples",
    "README.md",
    "ARCHITECTURE.md",
    "SECURITY.md",
    "bench/README.md",
];

fn files(place: &Path, found: &mut Vec<PathBuf>) {
    if place.is_dir() {
        for entry in fs::read_dir(place).unwrap() {
            files(&entry.unwrap().path(), found);
        }
    } else if place.extension().is_some_and(|kind| ["rs", "md", "js", "conf"].iter().any(|k| kind == *k))
        && !place.ends_with("tests/words.rs")
        // Text of a run, which the benchmark writes.
        && !place.ends_with("docs/benchmarks.md")
    {
        found.push(place.to_owned());
    }
}

#[test]
fn sentences_name_who_does_what() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for place in PLACES {
        files(&root.join(place), &mut found);
    }
    assert!(found.len() > 100, "the walk over the sources is broken");
    let mut wrong = Vec::new();
    for file in found {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            let lower = line.to_lowercase();
            for (phrase, instead) in INSTEAD {
                if lower.contains(phrase) {
                    let name = file.strip_prefix(root).unwrap_or(&file).display();
                    wrong.push(format!("{name}:{}: \"{}\": {instead}", number + 1, phrase.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} places\n{}", wrong.len(), wrong.join("\n"));
}
