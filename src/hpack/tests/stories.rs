//! Stories of header blocks in the format of hpack-test-case, both ways against Python's hpack: blocks
//! that its encoder wrote are decoded here, and blocks that are written here are decoded there.

use std::{
    fmt::Write as _,
    fs::OpenOptions,
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{BlockWriter, Decoder, decode};

/// Its exit status where the library is missing.
const NO_LIBRARY: i32 = 3;

/// Runs the script, with this on its standard input. None if it cannot run here, which is reported as
/// a test that was skipped.
fn python(arguments: &[&str], input: &str) -> Option<String> {
    let program = std::env::var("RINGWAY_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/hpack_stories.py");
    let mut child = match Command::new(&program)
        .arg(script)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
    {
        Ok(child) => child,
        Err(error) => return skip(&format!("{program} does not run here: {error}")),
    };
    // A script that ends before it has read all says why.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    if output.status.code() == Some(NO_LIBRARY) {
        return skip("pip install hpack, and RINGWAY_PYTHON names its python");
    }
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}: {said}", output.status);
    Some(said)
}

fn skip(why: &str) -> Option<String> {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    eprintln!("skipped: {test}: {why}");
    if let Some(path) = std::env::var_os("RINGWAY_SKIPS") {
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{test}: {why}").unwrap();
    }
    None
}

fn octets(hex: &str) -> Vec<u8> {
    let pairs = (0..hex.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// The fields of a case; the letters of a value are its octets.
fn headers(case: &Value) -> Vec<(String, String)> {
    let fields = case["headers"].as_array().unwrap().iter();
    let field = |field: &Value| {
        let (name, value) = field.as_object().unwrap().iter().next().unwrap();
        (name.clone(), value.as_str().unwrap().to_owned())
    };
    fields.map(field).collect()
}

fn stories(seed: u32) -> Option<Vec<Value>> {
    let text = python(&["write", &seed.to_string()], "")?;
    Some(serde_json::from_str::<Vec<Value>>(&text).unwrap())
}

#[test]
fn stories_of_another_encoder_are_decoded() {
    for seed in 1..4 {
        let Some(stories) = stories(seed) else { return };
        assert!(stories.len() >= 60);
        for story in stories {
            let mut decoder = Decoder::default();
            for case in story["cases"].as_array().unwrap() {
                let expected = headers(case);
                let block = octets(case["wire"].as_str().unwrap());
                let read = decode(&mut decoder, &block);
                let read =
                    read.unwrap_or_else(|error| panic!("{error}: {} {case}", story["description"]));
                let fits = |(name, value): &&(String, String)| {
                    name.len() + value.chars().count() <= Decoder::MIN_SCRATCH
                };
                // What does not fit the scratch memory as Huffman text is counted.
                assert_eq!(read.fields.len() + read.oversized.len(), expected.len(), "{case}");
                let kept: Vec<_> = expected.iter().filter(fits).collect();
                let same: Vec<_> = read.fields.iter().filter(fits).collect();
                assert_eq!(same, kept, "{} {case}", story["description"]);
            }
        }
    }
}

#[test]
fn our_blocks_are_stories_for_another_decoder() {
    let Some(mut stories) = stories(7) else { return };
    for story in &mut stories {
        for case in story["cases"].as_array_mut().unwrap() {
            let mut buffer = vec![0; 1 << 17];
            let mut block = BlockWriter::new(&mut buffer);
            let fields = headers(case);
            if case["seqno"].as_u64().unwrap() % 3 == 1 {
                block.empty_table();
            }
            for (number, (name, value)) in fields.iter().enumerate() {
                let value: Vec<u8> = value.chars().map(|letter| letter as u8).collect();
                if number % 5 == 4 {
                    block.never_indexed(name, &value);
                } else {
                    block.field(name, &value);
                }
            }
            let length = block.finish().unwrap();
            let mut hex = String::new();
            for octet in &buffer[..length] {
                write!(hex, "{octet:02x}").unwrap();
            }
            case["wire"] = json!(hex);
            case["header_table_size"] = json!(4096);
        }
    }
    let said = python(&["read"], &Value::Array(stories).to_string());
    assert_eq!(said.as_deref(), Some("all is well\n"));
}
