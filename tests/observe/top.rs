//! `ringway top` against a running server.

use std::{net::TcpStream, process::Command};

use crate::{connect, folder, start, stop};

fn top(arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ringway")).arg("top").args(arguments).output();
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
