//! Other people's clients, where this host has them.

use std::fmt::Write as _;
use std::process::{Command, Output};

use crate::host::skip;
use crate::server::Server;
use crate::site::{HELLO, Site, sha256};
use crate::target::Target;

/// Whether a command can be run; if it cannot, the test is skipped.
fn has(program: &str, arguments: &[&str], get: &str) -> bool {
    let has = Command::new(program).args(arguments).output().is_ok_and(|out| out.status.success());
    if !has {
        skip(&format!("{program} {} does not run here; {get}", arguments.join(" ")));
    }
    has
}

fn started() -> (Target, Vec<u8>) {
    let site = Site::new();
    let sum = site.noise("large.bin", 5 << 20);
    (Target::start(site, &[]), sum)
}

fn done(output: &Output) -> Vec<u8> {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    output.stdout.clone()
}

fn url(server: &Server, path: &str) -> String {
    format!("https://localhost:{}{path}", server.port)
}

#[test]
fn curl() {
    let version = Command::new("curl").arg("--version").output();
    if !version.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains("HTTP2")) {
        return skip("no curl with HTTP/2; apt-get install curl");
    }
    let (target, sum) = started();
    let server = target.server();
    let run = |arguments: &[&str], path: &str| {
        let mut command = Command::new("curl");
        command
            .args(["-sS", "--http2", "--max-time", "300", "--cacert"])
            .arg(&server.identity.cert);
        done(&command.args(arguments).arg(url(server, path)).output().unwrap())
    };
    assert_eq!(run(&[], "/hello.txt"), HELLO);
    assert_eq!(sha256(&run(&[], "/large.bin")), sum);
    let told = run(&["-o", "/dev/null", "-w", "%{http_version} %{http_code}"], "/none");
    assert_eq!(String::from_utf8_lossy(&told), "2 404");
    assert_eq!(run(&["-r", "0-4"], "/hello.txt"), &HELLO[..5]);
    // An upload that is answered early: curl must end, and with the answer.
    let big = target.server().site.outside().join("upload");
    std::fs::write(&big, vec![7; 3 << 20]).unwrap();
    let from = format!("@{}", big.display());
    let told = run(&["-o", "/dev/null", "-w", "%{http_code}", "--data-binary", &from], "/");
    assert!(["405", "413"].contains(&String::from_utf8_lossy(&told).as_ref()));
}

#[test]
fn nghttp() {
    if !has("nghttp", &["--version"], "apt-get install nghttp2-client") {
        return;
    }
    let (target, sum) = started();
    let server = target.server();
    let run = |arguments: &[&str], path: &str| {
        let mut command = Command::new("nghttp");
        command.args(["--timeout", "120"]).args(arguments);
        done(&command.arg(url(server, path)).output().unwrap())
    };
    assert_eq!(run(&[], "/hello.txt"), HELLO);
    assert_eq!(sha256(&run(&[], "/large.bin")), sum);
    // Windows of 1 KiB, padding, the old priorities, trailers.
    for arguments in [
        &["--window-bits=10", "--connection-window-bits=16"][..],
        &["--padding=200"],
        &["--weight=7"],
        &["--no-dep"],
        &["--continuation"],
        &["--header-table-size=0"],
    ] {
        let said = run(&[&["-v", "--no-verify-peer"], arguments].concat(), "/hello.txt");
        let said = String::from_utf8_lossy(&said);
        // It fills a head up to more than a frame, and more than the limit.
        let status = if arguments == ["--continuation"] { 431 } else { 200 };
        assert!(
            said.contains(&format!(":status: {status}"))
                && !said.replace("NO_ERROR", "").contains("_ERROR"),
            "{arguments:?} {said}"
        );
    }
}

#[test]
fn h2load() {
    if !has("h2load", &["--version"], "apt-get install nghttp2-client") {
        return;
    }
    let (target, _) = started();
    let server = target.server();
    for arguments in [
        &["-n2000", "-c10", "-m10"][..],
        &["-n300", "-c3", "-m100"],
        &["-n300", "-c3", "-m10", "-w10", "-W16"],
    ] {
        let mut command = Command::new("h2load");
        let told = done(&command.args(arguments).arg(url(server, "/hello.txt")).output().unwrap());
        let told = String::from_utf8_lossy(&told);
        let all = arguments[0].trim_start_matches("-n");
        assert!(told.contains(&format!("{all} succeeded, 0 failed, 0 errored")), "{told}");
    }
    let mut command = Command::new("h2load");
    command.args(["-n40", "-c2", "-m4"]).arg(url(server, "/large.bin"));
    let told = done(&command.output().unwrap());
    assert!(String::from_utf8_lossy(&told).contains("40 succeeded, 0 failed, 0 errored"));
}

/// The Python that has the clients, `RINGWAY_PYTHON` or python3.
fn python() -> String {
    std::env::var("RINGWAY_PYTHON").unwrap_or_else(|_| "python3".into())
}

#[test]
fn pythons_h2() {
    if !has(&python(), &["-c", "import h2"], "pip install h2, and RINGWAY_PYTHON names its python")
    {
        return;
    }
    let (target, sum) = started();
    let server = target.server();
    let mut hex = String::new();
    for byte in &sum {
        write!(hex, "{byte:02x}").unwrap();
    }
    let script = include_str!("h2_client.py");
    let mut command = Command::new(python());
    command.args(["-c", script, &server.port.to_string(), &hex]).arg(&server.identity.cert);
    assert_eq!(String::from_utf8_lossy(&done(&command.output().unwrap())), "all is well\n");
}

#[test]
fn httpx() {
    let get = "pip install httpx[http2], and RINGWAY_PYTHON names its python";
    if !has(&python(), &["-c", "import httpx, h2"], get) {
        return;
    }
    let (target, _) = started();
    let server = target.server();
    let script = "\
import httpx, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
with httpx.Client(http2=True, verify=context) as client:
    for path, status in (('/hello.txt', 200), ('/none', 404), ('/large.bin', 200)) * 3:
        answer = client.get(f'https://localhost:{sys.argv[1]}{path}')
        assert answer.http_version == 'HTTP/2' and answer.status_code == status, answer
    answer = client.post(f'https://localhost:{sys.argv[1]}/', content=b'x' * 300000)
    assert answer.status_code in (405, 413), answer
print('all is well')
";
    let mut command = Command::new(python());
    command.args(["-c", script, &server.port.to_string()]).arg(&server.identity.cert);
    assert_eq!(String::from_utf8_lossy(&done(&command.output().unwrap())), "all is well\n");
}
