//! The bounds under the load generator, every byte compared.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;

use clap::Parser;
use ringway_load::options::Options;
use ringway_load::report::Report;
use ringway_load::run;

struct Bound {
    process: Child,
    address: String,
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start(program: &str, dir: &Path, body: &[u8], plain: bool) -> Bound {
    fs::write(dir.join("body"), body).unwrap();
    start_by(program, dir, &["--body", "body"], plain)
}

fn start_by(program: &str, dir: &Path, options: &[&str], plain: bool) -> Bound {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = free.to_string();
    let tls: &[&str] =
        if plain { &["--plain"] } else { &["--cert", "cert.pem", "--key", "key.pem"] };
    let process = Command::new(program)
        .current_dir(dir)
        .args(tls)
        .args(options)
        .args(["--listen", &address])
        .spawn()
        .unwrap();
    let bound = Bound { process, address };
    for _ in 0..500 {
        if TcpStream::connect(&bound.address).is_ok() {
            return bound;
        }
        sleep(Duration::from_millis(10));
    }
    panic!("{program} does not listen");
}

fn load(bound: &Bound, dir: &Path, options: &str) {
    load_by("https", bound, dir, options);
}

fn load_by(scheme: &str, bound: &Bound, dir: &Path, options: &str) {
    let line = format!(
        "ringway-load {scheme}://{}/body --root {} --cert {} -d 200ms --warm-up 50ms {options}",
        bound.address,
        dir.display(),
        dir.join("cert.pem").display()
    );
    let plan = Options::try_parse_from(line.split(' ')).unwrap().plan().unwrap();
    let report = Report::new(&plan, &run::run(&plan, true).unwrap());
    assert!(report.failures.is_empty() && report.requests > 0, "{report}");
    assert_eq!(report.opened > 0, options.contains("--sessions"), "{report}");
}

fn answers(program: &str) {
    for size in [1000, 16 << 10, 3 << 20] {
        let dir = tempfile::tempdir().unwrap();
        let body: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        let plain = start(program, dir.path(), &body, true);
        load_by("http", &plain, dir.path(), "-c 8");
        let bound = start(program, dir.path(), &body, false);
        load(&bound, dir.path(), "-c 1");
        load(&bound, dir.path(), "-c 8 --slow 2");
        load(&bound, dir.path(), "-c 4 --sessions full");
        load(&bound, dir.path(), "-c 4 --sessions resumed");
        if size == 1000 {
            load(&bound, dir.path(), "-c 400 --rate 1000");
        }
    }
}

#[test]
fn the_uring_bound_answers() {
    answers(env!("CARGO_BIN_EXE_bound-uring"));
}

#[test]
fn the_epoll_bound_answers() {
    answers(env!("CARGO_BIN_EXE_bound-epoll"));
}

#[test]
fn the_relay_passes_on() {
    for size in [1000, 16 << 10, 3 << 20] {
        let dir = tempfile::tempdir().unwrap();
        let body: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        let server = start(env!("CARGO_BIN_EXE_bound-epoll"), dir.path(), &body, true);
        let options = ["--server", &server.address];
        let relay = start_by(env!("CARGO_BIN_EXE_bound-relay"), dir.path(), &options, false);
        load(&relay, dir.path(), "-c 1");
        load(&relay, dir.path(), "-c 8 --slow 2");
        let relay = start_by(env!("CARGO_BIN_EXE_bound-relay"), dir.path(), &options, true);
        load_by("http", &relay, dir.path(), "-c 8");
    }
}
