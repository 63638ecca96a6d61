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
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--examples"]);
        let features = [("axum", cfg!(feature = "axum")), ("upgrade", cfg!(feature = "upgrade"))];
        for (feature, _) in features.into_iter().filter(|(_, has)| *has) {
            build.args(["--features", feature]);
        }
        let built = build.status();
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
            .args(["-sk", "--max-time", "300", "-w", " %{http_code}"])
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

#[test]
fn login() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("private")).unwrap();
    std::fs::write(folder.path().join("private/secret.txt"), "a secret").unwrap();
    let example = Example::start("login", &[folder.path().to_str().unwrap()]);
    let jar = tempfile::NamedTempFile::new().unwrap();
    let jar = jar.path().to_str().unwrap();
    for protocol in ["--http1.1", "--http2"] {
        let ask = |path: &str, more: &[&str]| example.curl(path, &[&[protocol], more].concat());
        assert!(ask("/private/secret.txt", &[]).ends_with(" 303"));
        let forged = ask("/private/secret.txt", &["-H", "Cookie: session=0123"]);
        assert!(forged.ends_with(" 303"), "{forged}");
        assert!(ask("/login", &["-d", "name=you&password=wrong"]).ends_with(" 403"));
        assert!(ask("/login", &["-c", jar, "-d", "name=you&password=secret"]).ends_with(" 303"));
        assert_eq!(ask("/private/secret.txt", &["-b", jar]), "a secret 200");
        assert_eq!(ask("/private/secret.txt", &["-b", jar, "-r", "2-4"]), "sec 206");
        assert!(ask("/private/%2e%2e/private/secret.txt", &["--path-as-is"]).ends_with(" 400"));
        assert!(ask("//private//secret.txt", &["--path-as-is"]).ends_with(" 303"));
    }
}

/// Two members of the chat, whose frames Python writes byte by byte (RFC 6455 section 5.2).
#[cfg(feature = "upgrade")]
const MEMBERS: &str = r#"
import base64, hashlib, os, socket, ssl, struct, sys

class Member:
    def __init__(self, port):
        context = ssl._create_unverified_context()
        plain = socket.create_connection(("127.0.0.1", port), 120)
        self.stream = context.wrap_socket(plain, server_hostname="localhost")
        key = base64.b64encode(os.urandom(16)).decode()
        self.stream.sendall((f"GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n").encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.stream.recv(1)
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
        assert head.startswith(b"HTTP/1.1 101 ") and accept in head, head

    def send(self, opcode, payload):
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        self.stream.sendall(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + masked)

    def exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.stream.recv(count - len(data))
            assert more, "cut"
            data += more
        return data

    def receive(self):
        first, length = self.exactly(2)
        return first & 15, self.exactly(length)

port = int(sys.argv[1])
one, two = Member(port), Member(port)
# A pong says that the member is listening.
for member in (one, two):
    member.send(9, b"there?")
    assert member.receive() == (10, b"there?")
for number in range(50):
    one.send(1, b"from one %d" % number)
    assert two.receive() == (1, b"from one %d" % number)
two.send(1, "grüße".encode())
assert one.receive() == (1, "grüße".encode())
two.send(8, struct.pack("!H", 1000))
assert two.receive()[0] == 8
one.send(9, b"still?")
assert one.receive() == (10, b"still?")
print("they have talked")
"#;

#[cfg(feature = "upgrade")]
#[test]
fn chat() {
    let example = Example::start("chat", &[]);
    let talked = Command::new("python3").args(["-c", MEMBERS, &example.port]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&talked.stdout),
        "they have talked\n",
        "{}",
        String::from_utf8_lossy(&talked.stderr)
    );
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
