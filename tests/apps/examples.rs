//! The examples, run as programs and asked by curl and Python.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
    sync::OnceLock,
};

/// A running example. It is killed when it is dropped.
struct Example {
    child: Child,
    stdout: BufReader<ChildStdout>,
    port: String,
    _state: tempfile::TempDir,
}

/// Builds all examples once; says where they are.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let built = Command::new(env!("CARGO")).args(["build", "--quiet", "--examples"]).status();
        assert!(built.unwrap().success(), "the examples do not build");
        let tests = std::env::current_exe().unwrap();
        tests.parent().and_then(Path::parent).unwrap().join("examples")
    })
}

impl Example {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut child = Command::new(built().join(name))
            .arg("127.0.0.1:0")
            .args(arguments)
            .env("XDG_STATE_HOME", state.path())
            .env("HOME", state.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let port = line.strip_prefix("https://localhost:").and_then(|rest| rest.split('/').next());
        let port = port.unwrap_or_else(|| panic!("{name} says {line:?}")).to_owned();
        Self { child, stdout, port, _state: state }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    fn curl(&self, path: &str, arguments: &[&str]) -> String {
        let Output { stdout, stderr, status } = Command::new("curl")
            .args(["-sk", "--max-time", "120", "-w", " %{http_code}"])
            .args(["--resolve", &format!("localhost:{}:127.0.0.1", self.port)])
            .args(arguments)
            .arg(self.url(path))
            .output()
            .expect("curl is installed");
        assert!(status.success(), "{path}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn hello() {
    let example = Example::start("hello", &[]);
    assert_eq!(example.curl("/hello/w%C3%B6rld", &["--http1.1"]), "Hello, wörld!\n 200");
    assert_eq!(example.curl("/", &["--http1.1"]), " 404");
}

#[test]
fn json_api() {
    let example = Example::start("json_api", &[]);
    let json = ["--http1.1", "-H", "content-type: application/json", "-d"];
    let add = |name: &str| {
        let item = format!("{{\"name\": \"{name}\"}}");
        example.curl("/items", &[&json[..], &[item.as_str()]].concat())
    };
    assert_eq!([add("tea"), add("coffee")], ["1 201", "2 201"]);
    assert_eq!(example.curl("/items/2", &["--http1.1"]), "{\"name\":\"coffee\"} 200");
    assert_eq!(example.curl("/items?name=te", &["--http1.1"]), "[[1,{\"name\":\"tea\"}]] 200");
    assert_eq!(example.curl("/items/1", &["--http1.1", "-X", "DELETE"]), " 204");
    assert_eq!(example.curl("/items/1", &["--http1.1"]), " 404");
    let broken = example.curl("/items", &[&json[..], &["{"]].concat());
    assert!(broken.ends_with(" 400"), "{broken}");
}

#[test]
fn upload() {
    let folder = tempfile::tempdir().unwrap();
    let example = Example::start("upload", &[folder.path().to_str().unwrap()]);
    let content: Vec<u8> = (0..5_000_000_u32).map(|at| (at % 255) as u8).collect();
    let source = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(source.path(), &content).unwrap();
    let source = source.path().to_str().unwrap();
    assert_eq!(example.curl("/upload/big.bin", &["--http1.1", "-T", source]), " 201");
    assert!(std::fs::read(folder.path().join("big.bin")).unwrap() == content);
    assert_eq!(example.curl("/big.bin", &["--http1.1", "-r", "60-65"]), "<=>?@A 206");
    assert_eq!(example.curl("/upload/..%2Fx", &["--http1.1", "-T", source]), " 400");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn offload() {
    let example = Example::start("offload", &[]);
    assert_eq!(example.curl("/primes/100000", &["--http1.1"]), "9592\n 200");
    assert_eq!(example.curl("/", &["--http1.1"]), "at once\n 200");
}

/// Reads events with Python's own client, until it has seen two.
const READER: &str = "
import http.client, ssl, sys
context = ssl._create_unverified_context()
connection = http.client.HTTPSConnection('127.0.0.1', int(sys.argv[1]), timeout=120, context=context)
connection.request('GET', '/events')
response = connection.getresponse()
print(response.status, response.getheader('content-type'), flush=True)
for _ in range(2):
    print(response.readline().decode().strip(), flush=True)
    assert response.readline() == b'\\n'
print('rest', response.read(), flush=True)
";

#[test]
fn events() {
    let mut example = Example::start("events", &[]);
    let mut reader = Command::new("python3")
        .args(["-c", READER, &example.port])
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is installed");
    let mut lines = BufReader::new(reader.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        line
    };
    assert_eq!(next(), "200 text/event-stream\n");
    for word in ["one", "two"] {
        assert_eq!(example.curl("/say", &["--http1.1", "-d", word]), " 204");
        assert_eq!(next(), format!("data: {word}\n"));
    }
    let child = rustix::process::Pid::from_child(&example.child);
    rustix::process::kill_process(child, rustix::process::Signal::INT).unwrap();
    assert_eq!(next(), "rest b''\n", "the stream ends in order");
    assert!(reader.wait().unwrap().success());
    let mut said = String::new();
    example.stdout.read_to_string(&mut said).unwrap();
    assert_eq!(said, "ended in order\n");
    assert!(example.child.wait().unwrap().success());
}
