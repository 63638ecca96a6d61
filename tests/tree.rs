//! The shape of the source tree: which module may know which, where `unsafe` may stand, and how
//! long a file may grow. ARCHITECTURE.md gives the reasons.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every module of the crate, and the modules that it may use. Arrows point down only.
const ARROWS: [(&str, &[&str]); 23] = [
    (
        "cli",
        &["server", "tls", "privilege", "ring", "config", "observe", "hpack", "parse", "respond"],
    ),
    (
        "server",
        &[
            "upstream",
            "worker",
            "conn",
            "accept",
            "files",
            "tls",
            "privilege",
            "record",
            "ring",
            "config",
            "observe",
            "service",
        ],
    ),
    (
        "worker",
        &["upstream", "conn", "accept", "tls", "files", "ring", "config", "observe", "service"],
    ),
    (
        "conn",
        &[
            "upstream",
            "handshake",
            "tls",
            "read",
            "write",
            "close",
            "files",
            "process",
            "encode",
            "record",
            "parse",
            "decode",
            "respond",
            "hpack",
            "ring",
            "config",
            "observe",
            "service",
        ],
    ),
    ("service", &["observe"]),
    ("accept", &["ring"]),
    ("handshake", &["tls", "record"]),
    ("read", &["tls", "record", "ring", "observe"]),
    ("write", &["tls", "record", "ring", "config", "observe"]),
    ("close", &["record", "write", "read", "ring"]),
    ("privilege", &["config"]),
    ("files", &["process", "encode", "ring", "config"]),
    ("encode", &["process"]),
    ("process", &["parse", "respond", "config"]),
    ("tls", &["record", "config"]),
    ("record", &[]),
    ("hpack", &[]),
    ("respond", &["hpack", "parse"]),
    ("parse", &["hpack", "respond", "config"]),
    ("decode", &["hpack", "parse", "respond"]),
    ("upstream", &["ring", "parse", "decode", "respond", "config", "observe"]),
    ("observe", &["config"]),
    ("config", &[]),
];

/// The longest that a file may be, tests in it included.
const MAX_LINES: usize = 500;

/// The only places for `unsafe`.
fn may_be_unsafe(path: &str) -> bool {
    path.starts_with("ring/") || path == "tls/kernel/install.rs"
}

/// Every source file: its path below `src`, and its text.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders: Vec<PathBuf> = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                sources.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(sources.len() > 30, "the walk over src/ is broken");
    sources.sort();
    sources
}

/// The lines that are code: no comments, and nothing from the tests of the file on.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| line.trim() != "mod tests {")
        .map(|line| line.split("//").next().unwrap_or_default())
}

fn is_test(path: &str) -> bool {
    let simulation = path.contains("/sim/");
    path.ends_with("tests.rs")
        || path.contains("/tests/")
        || path.ends_with("properties.rs")
        || simulation
}

/// The modules of the crate that a text names after `crate::`, also in a group of imports.
fn modules_named(text: &str) -> BTreeSet<String> {
    let text: String = code(text).flat_map(|line| [line, "\n"]).collect();
    let mut named = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            for letter in group.chars() {
                match letter {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => named.extend([std::mem::take(&mut word)]),
                    _ if depth == 0 => word.push(letter),
                    _ => {}
                }
            }
            named.insert(word);
        } else {
            named.insert(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    let first = |path: &String| path.trim().split("::").next().unwrap_or_default().to_owned();
    named.iter().map(first).filter(|module| !module.is_empty()).collect()
}

#[test]
fn arrows_point_down() {
    let known: BTreeSet<&str> = ARROWS.iter().map(|(module, _)| *module).chain(["ring"]).collect();
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Some((module, _)) = path.split_once('/') else { continue };
        assert!(known.contains(module), "src/{path} is in a folder that ARROWS does not know");
        if is_test(&path) {
            continue;
        }
        let allowed = ARROWS.iter().find(|(name, _)| *name == module).map_or(&[][..], |(_, a)| a);
        for used in modules_named(&text) {
            if known.contains(used.as_str()) && used != module && !allowed.contains(&used.as_str())
            {
                wrong.push(format!("src/{path} uses crate::{used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An arrow that nobody uses would let a use of it pass unseen.
#[test]
fn every_arrow_is_in_use() {
    let mut unused: BTreeSet<(&str, &str)> = ARROWS
        .iter()
        .flat_map(|(module, allowed)| allowed.iter().map(move |used| (*module, *used)))
        .collect();
    for (path, text) in sources() {
        let Some((module, _)) = path.split_once('/') else { continue };
        if !is_test(&path) {
            let named = modules_named(&text);
            unused.retain(|(from, to)| *from != module || !named.contains(*to));
        }
    }
    assert!(unused.is_empty(), "{unused:?}");
}

/// The one circle: statuses stand in `respond`, frames in `parse`, and both are pure.
const CIRCLE: (&str, &str) = ("respond", "parse");

#[test]
fn arrows_make_no_circle() {
    let mut reached: BTreeSet<(&str, &str)> = ARROWS
        .iter()
        .flat_map(|(module, allowed)| allowed.iter().map(move |used| (*module, *used)))
        .filter(|arrow| *arrow != CIRCLE)
        .collect();
    loop {
        let further: Vec<_> = reached
            .iter()
            .flat_map(|(from, over)| {
                let behind = reached.iter().filter(move |(via, _)| via == over);
                behind.map(move |(_, to)| (*from, *to))
            })
            .filter(|arrow| !reached.contains(arrow))
            .collect();
        if further.is_empty() {
            break;
        }
        reached.extend(further);
    }
    let circles: Vec<_> = reached.iter().filter(|(from, to)| from == to).collect();
    assert!(circles.is_empty(), "{circles:?}");
}

/// Spellings that go on with a default where something failed or is not there, that forget a failure, or that
/// wrap where an account is less than what is taken off it.
const SILENT: [&str; 13] = [
    "unwrap_or(&[])",
    "unwrap_or(&mut [])",
    "unwrap_or(b\"\")",
    "unwrap_or(0)",
    "unwrap_or(0..0)",
    "unwrap_or(false)",
    "unwrap_or_else(Vec::new)",
    "get().saturating_sub(",
    "get() - ",
    "_ => {}",
    "_ => ()",
    ".ok();",
    "let _ =",
];

/// What may be forgotten without a reason beside it.
const FORGETTABLE: [(&str, &str); 9] = [
    ("= write!(", "a string takes whatever is written to it"),
    ("= writeln!(", "as above; and a terminal that is gone has no reader"),
    (".send(", "the receiver has ended, and needs it no more"),
    (".try_send(", "as above, or it has its message already"),
    (".join()", "a panic of the thread has been reported by its hook"),
    ("rustix::io::write(", "a counter that is full has woken its reader"),
    ("poll_until(", "it is polled to be woken; the clock is read elsewhere"),
    ("table.poll(", "it was landed, and is let go"),
    ("sockopt::set_socket_linger(", "the connection ends by FIN in place of a reset"),
];

/// Folders that show figures and settle options: there, zero stands for what is not known.
const SHOWING: [&str; 4] = ["cli/", "config/", "observe/", "server/"];

/// What is wrong with a line of a file: the spelling that it has, if no reason stands beside or above it.
fn silent(path: &str, lines: &[&str], at: usize) -> Option<&'static str> {
    let line = code(lines[at]).next()?;
    let spelling = SILENT.into_iter().find(|spelling| line.contains(spelling))?;
    let shown = spelling.starts_with("unwrap_or") && SHOWING.iter().any(|of| path.starts_with(of));
    // A value that is bound or passed on is not forgotten.
    let bound = spelling == ".ok();" && (line.contains("= ") || line.contains("return "));
    let forgettable = spelling == "let _ ="
        && (FORGETTABLE.iter().any(|(call, _)| line.contains(call)) || line.trim() == "let _ =");
    let comment = |line: &&str| line.trim_start().starts_with("// ") || line.contains(" // ");
    let reason = lines[at.saturating_sub(2)..=at].iter().any(comment);
    (!shown && !bound && !forgettable && !reason).then_some(spelling)
}

/// What cannot be is an error that is seen: a default in its place would send a wrong byte, or none,
/// or report what is not so. It ends the connection and is counted (`WriteError::Defect` and its like), or
/// is counted alone where no error can be returned (`observe::defect`). Where a default is meant, a comment
/// beside it gives the reason.
#[test]
fn broken_invariants_are_no_defaults() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        if is_test(&path) {
            continue;
        }
        let lines: Vec<&str> =
            text.lines().take_while(|line| line.trim() != "mod tests {").collect();
        for at in 0..lines.len() {
            let default = code(lines[at]).any(|line| line.contains("unwrap_or_default()"));
            let default = default.then_some("unwrap_or_default()");
            if let Some(spelling) = default.or_else(|| silent(&path, &lines, at)) {
                wrong.push(format!("src/{path}:{}: {spelling} without a reason", at + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{} places\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn silence_is_noticed() {
    let wrong = [
        "    let _ = file.sync();",
        "    x.ok();",
        "_ => {}",
        "a.get().saturating_sub(1)",
        "a.set(a.get() - 1)",
    ];
    for line in wrong {
        assert!(silent("conn/a.rs", &["", "", line], 2).is_some(), "{line}");
        assert!(silent("conn/a.rs", &["", "// Why.", line], 2).is_none(), "{line}");
    }
    for line in ["let _ = write!(text, \"a\");", "let x = y.ok();", "// let _ = x;"] {
        assert!(silent("conn/a.rs", &["", "", line], 2).is_none(), "{line}");
    }
    let zero = ["", "", "a.unwrap_or(0)"];
    assert_eq!(silent("conn/a.rs", &zero, 2), Some("unwrap_or(0)"));
    assert_eq!(silent("observe/a.rs", &zero, 2), None);
}

/// What the protocol says is decided without knowing rings or TLS.
#[test]
fn pure_modules_know_no_machinery() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let pure = ["hpack/", "record/", "parse/", "decode/", "process/", "respond/"]
            .iter()
            .any(|folder| path.starts_with(folder));
        let machinery =
            ["io_uring", "rustls", "rustix", "libc", "TcpStream", "fs::", "thread", "crate::ring"];
        for word in machinery {
            if pure && !is_test(&path) && code(&text).any(|line| line.contains(word)) {
                wrong.push(format!("src/{path} knows {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_has_its_places() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let word = |line: &str| {
            ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"]
                .iter()
                .any(|unsafety| line.contains(unsafety))
        };
        if !may_be_unsafe(&path) && code(&text).any(word) {
            wrong.push(format!("src/{path} holds unsafe code"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_stay_small() {
    let long: Vec<String> = sources()
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(path, lines)| format!("src/{path} has {lines} lines"))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn modules_open_with_their_purpose() {
    let silent: Vec<String> = sources()
        .into_iter()
        .filter(|(path, text)| !is_test(path) && !text.starts_with("//!"))
        .map(|(path, _)| format!("src/{path} does not open with its purpose"))
        .collect();
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

#[test]
fn imports_are_read_rightly() {
    let text = "use crate::ring::Ring;\nuse crate::{config::{A, B}, observe};\n// crate::cli\n\
                fn f() { crate::conn::x() }\nmod tests {\n use crate::cli;\n";
    let named = modules_named(text);
    let expected = ["config", "conn", "observe", "ring"].map(str::to_owned);
    assert_eq!(named, BTreeSet::from(expected));
}

/// Crates that a program has which embeds Ringway with these features.
fn crates(features: &str) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = std::process::Command::new(cargo)
        .args(["tree", "--quiet", "--locked", "--offline", "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{p}", "--no-default-features", "--features", features])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8(tree.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// A program pays for what it asks for.
#[test]
fn an_embedding_program_has_no_command_line() {
    let program = ["clap", "clap_complete", "clap_mangen", "rcgen", "signal-hook", "toml"];
    // `ktls` brings tokio and bytes whatever is asked for.
    let applications = ["http", "http-body", "tower-service", "hyper", "axum"];
    let files = crates("");
    for absent in program.iter().chain(&applications) {
        assert!(!files.contains(*absent), "a server of files alone has {absent}");
    }
    for features in ["service", "tokio", "axum", "tokio,upgrade"] {
        let crates = crates(features);
        assert!(crates.contains("rustls") && crates.contains("http"), "{crates:?}");
        for absent in program {
            assert!(!crates.contains(absent), "{features} brings {absent}");
        }
    }
    assert!(crates("self-signed").contains("rcgen"), "the test sees what is there");
}
