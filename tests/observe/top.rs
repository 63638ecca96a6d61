//! `ringway top` and `ringway anatomy --watch` against a running server.

use std::{net::TcpStream, process::Command};

use crate::{connect, folder, start, stop};

fn top(arguments: &[&str]) -> (bool, String, String) {
    run("top", arguments)
}

fn run(command: &str, arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ringway")).arg(command).args(arguments).output();
    let output = output.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
fn top_draws_what_the_server_did() {
    let folder = folder();
    let socket = folder.path().join("admin.sock");
    for unix in [false, true] {
        let address =
            if unix { format!("unix:{}", socket.display()) } else { "127.0.0.1:0".to_owned() };
        let server =
            start(folder.path(), |config| config.observe.admin = Some(address.parse().unwrap()));
        let mut client = connect(&server);
        for path in ["/", "/absent", "/"] {
            client.get(path);
        }
        client.close();
        let address = server.admin_address().map_or(address, |address| address.to_string());
        let (done, out, err) = top(&[&address, "--once"]);
        assert!(done, "{err}");
        for part in ["Ringway", "answers 200 2   404 1", "total", "/absent", "worker"] {
            assert!(out.contains(part), "{part}: {out}");
        }
        assert!(!out.contains('\x1b'), "no terminal, no colour: {out}");
        stop(server);
        if !unix {
            assert!(TcpStream::connect(&address).is_err());
        }
        let (done, _, err) = top(&[&address]);
        assert!(!done && err.contains("start the server with --admin"), "{err}");
    }
}

#[test]
fn watching_has_a_line_for_each_request() {
    let folder = folder();
    let server = start(folder.path(), |config| config.observe.server_timing = true);
    let url = format!("https://localhost:{}/", server.addresses()[0].port());
    let more = ["--watch", "--insecure", "--repeat=3", "--every=10ms"];
    let (done, out, err) = run("anatomy", &[&[url.as_str()], &more[..]].concat());
    assert!(done, "{err}");
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((lines.len(), lines[0][4]), (4, "unexplained"), "{out}");
    for line in &lines[1..] {
        // Five times with their units, the status, and the stage that took longest.
        assert_eq!((line.len(), line[10]), (12, "200"), "{out}");
    }
    stop(server);
    let (done, out, _) = run("anatomy", &[&[url.as_str()], &more[..]].concat());
    assert!(!done && out.contains("refuses connections"), "{out}");
    let server = start(folder.path(), |config| config.observe.server_timing = false);
    let url = format!("https://localhost:{}/", server.addresses()[0].port());
    let (_, out, _) = run("anatomy", &[&[url.as_str()], &more[..]].concat());
    assert_eq!(
        out.matches("serve --server-timing").count(),
        1,
        "what is missing is said once: {out}"
    );
    stop(server);
}
