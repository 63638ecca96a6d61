//! The program under test, as a child process.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::{Client, ClientOptions};
use crate::host::kernel_tls_is_required;
use crate::identity::Identity;
use crate::site::Site;

/// Longer than anything takes that is not stuck, on a busy machine and in a slow guest.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// The path of the program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_ringway");

/// A running server, killed when it goes out of scope.
pub(crate) struct Server {
    child: Child,
    /// The port on 127.0.0.1.
    pub(crate) port: u16,
    /// What it printed when it was ready.
    pub(crate) start_block: String,
    pub(crate) site: Site,
    pub(crate) identity: Identity,
    log: PathBuf,
}

impl Server {
    /// Serves `site` with two workers and these options. Where kernel TLS is there to be tested, the
    /// kernel protects records unless they say otherwise.
    pub(crate) fn start(site: Site, options: &[&str]) -> Self {
        let identity = Identity::ecdsa(site.outside());
        Self::start_as(site, identity, options)
    }

    /// The same with a certificate of the caller's.
    pub(crate) fn start_as(site: Site, identity: Identity, options: &[&str]) -> Self {
        Self::start_by(Command::new(PROGRAM), site, identity, options)
    }

    /// The same under a limit on open files.
    pub(crate) fn start_within(open_files: u64, site: Site, options: &[&str]) -> Self {
        let identity = Identity::ecdsa(site.outside());
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {open_files} && exec \"$0\" \"$@\""), PROGRAM]);
        Self::start_by(shell, site, identity, options)
    }

    pub(crate) fn start_by(
        program: Command,
        site: Site,
        identity: Identity,
        options: &[&str],
    ) -> Self {
        let root = site.root().to_str().unwrap().to_owned();
        Self::run(program, &["serve", &root], site, identity, options)
    }

    /// Passes requests on to these servers, with two workers.
    pub(crate) fn proxy(servers: &[&str], options: &[&str]) -> Self {
        let site = Site::new();
        let identity = Identity::ecdsa(site.outside());
        let command = [&["proxy"], servers].concat();
        Self::run(Command::new(PROGRAM), &command, site, identity, &patient_proxy(options))
    }

    /// The same with an admin socket, for [`Self::expect_kernel_tls`].
    pub(crate) fn seen_proxy(servers: &[&str], options: &[&str]) -> Self {
        let site = Site::new();
        let identity = Identity::ecdsa(site.outside());
        let admin = format!("--admin=unix:{}", site.outside().join("admin").display());
        let (command, options) =
            ([&["proxy"], servers].concat(), [&[admin.as_str()], options].concat());
        Self::run(Command::new(PROGRAM), &command, site, identity, &patient_proxy(&options))
    }

    /// A whole command, to which what all servers share is added.
    pub(crate) fn start_command(
        program: Command,
        site: Site,
        identity: Identity,
        options: &[&str],
    ) -> Self {
        Self::run(program, &[], site, identity, options)
    }

    fn run(
        mut program: Command,
        command: &[&str],
        site: Site,
        identity: Identity,
        options: &[&str],
    ) -> Self {
        let log = site.outside().join("log");
        let mut child = program
            .args(command)
            .args(["--listen", "127.0.0.1:0", "--workers", "2", "--no-pin", "--cert"])
            .arg(&identity.cert)
            .arg("--key")
            .arg(&identity.key)
            .args(options)
            .args(patient(options))
            .args(kernel_tls(options))
            .args(looked_into(options))
            .args(io(options))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let (start_block, port) = read_start_block(&mut child);
        let mut server = Self { child, port: 0, start_block, site, identity, log };
        server.port = port.unwrap_or_else(|| {
            panic!("no start block: {}; its log: {}", server.start_block, server.log())
        });
        server
    }

    /// Serves a plain site.
    pub(crate) fn plain(options: &[&str]) -> Self {
        Self::start(Site::new(), options)
    }

    /// A new connection with the client's defaults.
    pub(crate) fn connect(&self) -> Client {
        self.connect_as(&ClientOptions::default())
    }

    /// A new connection.
    pub(crate) fn connect_as(&self, options: &ClientOptions) -> Client {
        Client::connect(self.port, options.config(&self.identity)).unwrap()
    }

    /// In a guest that is there to test kernel TLS: waits until the kernel has sealed at least so many bytes of
    /// what servers behind answered, and opened at least so many of what clients sent. It has sealed every
    /// connection, and none of that content was sealed in user space.
    pub(crate) fn expect_kernel_tls(&self, sealed: u64, opened: u64) {
        const HANDSHAKES: &str = "ringway_handshakes_total";
        const KERNEL: &str = "ringway_kernel_tls_connections_total";
        const PAYLOAD: &str = "ringway_payload_bytes_total";
        const MOVED: &str = "ringway_moved_bytes_total";
        if !kernel_tls_is_required() {
            return;
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let metrics = self.metrics(&[HANDSHAKES, KERNEL, PAYLOAD, MOVED]);
            let sum = |name: &str, labels: &[&str]| -> u64 {
                let lines = metrics.lines().filter(|line| {
                    line.starts_with(name) && labels.iter().all(|label| line.contains(label))
                });
                lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
            };
            let payload = |path: &str| sum(PAYLOAD, &[path]);
            let by_kernel = ["path=\"kernel_tls/receive\"", "kind=\"cipher\""];
            assert_eq!(payload("user_tls/proxied"), 0, "sealed in user space\n{metrics}");
            assert_eq!(
                sum(KERNEL, &["transmit"]),
                sum(HANDSHAKES, &[]) - sum(HANDSHAKES, &["failed"]),
                "connections of user-space TLS\n{metrics}"
            );
            if payload("kernel_tls/proxied") >= sealed && sum(MOVED, &by_kernel) >= opened {
                return;
            }
            assert!(Instant::now() < deadline, "not {sealed} and {opened} bytes\n{metrics}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The lines of `/metrics` that begin with one of these.
    fn metrics(&self, names: &[&str]) -> String {
        let mut socket = UnixStream::connect(self.site.outside().join("admin")).unwrap();
        socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let is_named = |line: &&str| names.iter().any(|name| line.starts_with(name));
        answer.lines().filter(is_named).collect::<Vec<_>>().join("\n")
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it has logged this so many times.
    pub(crate) fn expect_logged(&self, words: &str, times: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.log().matches(words).count() < times {
            assert!(Instant::now() < deadline, "not logged {times} times: {words}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end of the process.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether the process still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Open descriptors of the process.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// Waits until the process holds at most so many descriptors.
    pub(crate) fn settle(&self, descriptors: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.descriptors() > descriptors {
            let held = self.descriptors();
            assert!(Instant::now() < deadline, "{held} descriptors, {descriptors} before");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Resident memory of the process, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        self.status_kib("VmRSS:")
    }

    /// Resident memory of the process that is no file's, in KiB: what it took for itself, pools
    /// that are registered with the kernel included.
    pub(crate) fn anonymous_kib(&self) -> u64 {
        self.status_kib("RssAnon:") + self.status_kib("RssShmem:")
    }

    fn status_kib(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// The memory ceiling that the process printed at its start, in KiB.
    pub(crate) fn ceiling_kib(&self) -> u64 {
        let (_, rest) = self.start_block.split_once("memory       at most ").unwrap();
        let mut words = rest.split_whitespace();
        let value: f64 = words.next().unwrap().parse().unwrap();
        let unit = words.next().unwrap();
        let kib = match unit {
            "MiB" => value * 1024.0,
            "GiB" => value * 1024.0 * 1024.0,
            other => panic!("a ceiling in {other}"),
        };
        kib as u64
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended_by_itself = !self.runs();
        let _ = self.child.kill();
        let status = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let log = log.lines().rev().take(40).collect::<Vec<_>>();
            eprintln!("server ended by itself: {ended_by_itself}, {status:?}; its last words:");
            log.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
    }
}

/// Tests count a server's descriptors, which is hidden from all but root unless it may be dumped.
fn looked_into(options: &[&str]) -> Option<&'static str> {
    let hidden = !rustix::process::geteuid().is_root() && !options.contains(&"--core-dumps");
    hidden.then_some("--core-dumps")
}

/// What has the kernel protect records in a guest that is there to test that. Whether it pays is
/// otherwise tried at the start, and in a guest it does not.
fn kernel_tls(options: &[&str]) -> Option<&'static str> {
    let says = options.iter().any(|option| option.starts_with("--ktls"));
    (kernel_tls_is_required() && !says).then_some("--ktls=on")
}

/// Timeouts that a server gives its clients and its disks, as the file names them: unless a test says
/// otherwise, [`LONG`].
pub(crate) const PATIENT: [&str; 6] = ["handshake", "head", "body", "idle", "response", "process"];

/// As long as no machine stands still.
pub(crate) const LONG: &str = "5m";

/// The options of these that a test does not give itself.
fn patient(options: &[&str]) -> Vec<String> {
    let names = PATIENT.iter().map(|name| format!("--{name}-timeout"));
    let unsaid = names.filter(|name| options.iter().all(|own| own.split('=').next() != Some(name)));
    unsaid.map(|name| format!("{name}={LONG}")).collect()
}

/// The options of a proxy. Unless they say otherwise it bears a test that stands still for a while: its
/// connections are kept for longer, and servers that are slow to accept one are not given up.
fn patient_proxy<'o>(options: &[&'o str]) -> Vec<&'o str> {
    let usual = [["--keep-idle", LONG], ["--connect-timeout", LONG]];
    let unsaid = usual.into_iter().filter(|[name, _]| !options.contains(name));
    options.iter().copied().chain(unsaid.flatten()).collect()
}

/// What every server of a run is to run on: `RINGWAY_TEST_IO=poll` takes the whole suite over epoll.
fn io(options: &[&str]) -> Option<String> {
    let io = std::env::var("RINGWAY_TEST_IO").ok().filter(|io| !io.is_empty());
    let says = options.iter().any(|option| option.starts_with("--io"));
    io.filter(|_| !says).map(|io| format!("--io={io}"))
}

/// Runs the program to its end, with a deadline.
pub(crate) fn run<S: AsRef<OsStr>>(arguments: &[S]) -> Output {
    let mut child = Command::new(PROGRAM)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the program does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

/// Reads standard output up to the line with the URL, and leaves a thread that reads the rest.
fn read_start_block(child: &mut Child) -> (String, Option<u16>) {
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    let mut port = None;
    // The block's last line says how to stop.
    while lines.read_line(&mut text).is_ok_and(|read| read > 0) {
        let line = text.trim_end().lines().next_back().unwrap_or_default();
        port = port.or_else(|| port_of_url(line));
        if port.is_some() && line.trim_start().starts_with("stop") {
            break;
        }
    }
    std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
    (text, port)
}

pub(crate) fn port_of_url(line: &str) -> Option<u16> {
    let (_, rest) = line.split_once("https://")?;
    let (authority, _) = rest.split_once('/')?;
    authority.rsplit_once(':')?.1.parse().ok()
}
