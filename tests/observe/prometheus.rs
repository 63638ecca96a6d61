//! What deploy/ has for Prometheus and Grafana fits what the server reports.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{connect, folder, start, stop};

/// Runs promtool; None where it is not installed.
fn promtool(arguments: &[&str], input: &str) -> Option<(bool, String)> {
    let child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            eprintln!("skipped: promtool: {error} (apt-get install prometheus)");
            return None;
        }
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

/// The metrics of a server that has answered, refused and failed.
fn metrics() -> String {
    let folder = folder();
    let server = start(folder.path(), |config| {
        config.observe.admin = Some("127.0.0.1:0".parse().unwrap());
    });
    let mut client = connect(&server);
    for path in ["/", "/missing"] {
        client.get(path);
    }
    client.close();
    let address = server.admin_address().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    stop(server);
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn the_alert_rules_say_what_they_should() {
    for arguments in [
        ["check", "rules", "deploy/prometheus/alerts.yml"],
        ["test", "rules", "deploy/prometheus/alerts_test.yml"],
    ] {
        let Some((passed, text)) = promtool(&arguments, "") else { return };
        assert!(passed, "{arguments:?}: {text}");
    }
}

/// Names of our metrics and of the process's in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = words.filter(|word| word.starts_with("ringway_") || word.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

#[test]
fn rules_and_dashboard_ask_for_metrics_that_there_are() {
    let metrics = metrics();
    if let Some((passed, text)) = promtool(&["check", "metrics"], &metrics) {
        // It knows bad names besides, which it prints and does not fail for.
        assert!(passed, "{text}");
    }
    let known = names(&metrics);
    for file in ["deploy/prometheus/alerts.yml", "deploy/grafana/ringway.json"] {
        let text = fs::read_to_string(file).unwrap();
        let asked = names(&text);
        let unknown: Vec<_> = asked.difference(&known).collect();
        assert!(asked.len() > 5 && unknown.is_empty(), "{file}: {unknown:?}");
    }
    let text = fs::read_to_string("deploy/grafana/ringway.json").unwrap();
    let board: Value = serde_json::from_str(&text).unwrap();
    let panels = board["panels"].as_array().unwrap();
    assert!(panels.iter().all(|panel| !panel["targets"].as_array().unwrap().is_empty()));
}
