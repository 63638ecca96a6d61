//! The server under attack, as a child process on a CPU of its own.
//!
//! The invariant: it is gone when its value is.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::against::Against;
use crate::options::Options;
use crate::rounds::behind;
use crate::site::Site;
use crate::upstream;

/// How long it may take to end.
const PATIENCE: Duration = Duration::from_secs(45);

#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    /// The memory ceiling that it printed, in bytes.
    pub(crate) ceiling: u64,
    /// Whether it runs on epoll.
    pub(crate) polls: bool,
    /// What it says of kernel TLS.
    pub(crate) tls: String,
    /// Its version.
    pub(crate) version: String,
}

impl Server {
    pub(crate) fn start(options: &Options, site: &Site) -> Result<Self, String> {
        let log = File::create(site.log()).map_err(|error| error.to_string())?;
        let mut command = match options.against() {
            Against::Files | Against::Http2 => {
                let mut command = Command::new(&options.ringway);
                command.arg("serve");
                settings(&mut command, options, site);
                command
            }
            Against::Proxy => proxy(options, site)?,
            Against::Application => application(options, site)?,
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let program = command.get_program().display().to_string();
        let child = on_cpu(options.server_cpu, || command.spawn())
            .map_err(|error| format!("{program}: {error}"))?;
        let mut server = Self {
            child,
            port: 0,
            ceiling: 0,
            polls: false,
            tls: String::new(),
            version: String::new(),
        };
        let output = server.child.stdout.take().ok_or("no standard output")?;
        let mut lines = BufReader::new(output);
        let mut block = String::new();
        while lines.read_line(&mut block).is_ok_and(|read| read > 0) {
            if block.lines().next_back().is_some_and(|line| line.trim_start().starts_with("stop")) {
                break;
            }
        }
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        let failed = || format!("{program} does not start: {}", site.said());
        server.port = port(&block).ok_or_else(failed)?;
        server.ceiling = ceiling(&block).ok_or("the server prints no memory ceiling")?;
        server.polls = value(&block, "I/O").is_some_and(|io| io.starts_with("epoll"));
        server.tls = value(&block, "TLS").unwrap_or_default().into();
        server.version = block.lines().next().unwrap_or_default().trim().into();
        if let Some((version, _)) = server.version.split_once(" serves ") {
            server.version = version.into();
        }
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// What it holds that is no file's: anonymous memory and its registered pools, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let kib = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        (kib("RssAnon:") + kib("RssShmem:")) * 1024
    }

    /// Its open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// What every server of the command line has.
fn settings(command: &mut Command, options: &Options, site: &Site) {
    command.arg(site.root()).args(["--listen", "127.0.0.1:0", "--workers", "1"]);
    command.arg("--cert").arg(site.cert()).arg("--key").arg(site.key()).args(&options.serve);
}

/// The pools, both of the same server: one with a place for every attacker, and one with two places.
const POOLS: &str = "
[[site.route]]
path = \"/app/\"
proxy = \"app\"

[[site.route]]
path = \"/line/\"
proxy = \"line\"

[pool.app]
servers = \"127.0.0.1:PORT\"
max = 3000

[pool.line]
servers = \"127.0.0.1:PORT\"
max = 2
";

/// A server of files that passes some paths on: its configuration is that of the options, with the pools.
fn proxy(options: &Options, site: &Site) -> Result<Command, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", options.ringway.display());
    let cpu = options.client_cpu;
    let port = upstream::start(move || behind(cpu)).map_err(|error| failed(&error))?;
    let mut command = Command::new(&options.ringway);
    command.args(["config", "from-options"]);
    settings(&mut command, options, site);
    let printed = command.output().map_err(|error| failed(&error))?;
    if !printed.status.success() {
        return Err(failed(&String::from_utf8_lossy(&printed.stderr)));
    }
    let text = String::from_utf8_lossy(&printed.stdout) + POOLS;
    let text = text.replace("PORT", &port.to_string());
    fs::write(site.config(), text).map_err(|error| failed(&error))?;
    let mut command = Command::new(&options.ringway);
    command.args(["serve", "--config"]).arg(site.config());
    Ok(command)
}

/// The program with handlers, which serves the files as well.
fn application(options: &Options, site: &Site) -> Result<Command, String> {
    if !options.serve.is_empty() {
        return Err("the program of --application takes no options of a server".into());
    }
    let program = Options::beside(options.apps.as_ref(), "ringway-bench-apps")?;
    let mut command = Command::new(program);
    command.args(["site", "--listen", "127.0.0.1:0", "--root"]).arg(site.root());
    command.arg("--cert").arg(site.cert()).arg("--key").arg(site.key());
    // Nobody asks for what waits for it.
    command.arg("--echo").arg(site.root());
    Ok(command)
}

impl Site {
    fn said(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        log.lines().next_back().unwrap_or("it said nothing").to_owned()
    }
}

/// Runs `action` with this thread, and so with what it starts, on one CPU.
pub(crate) fn on_cpu<T>(
    cpu: usize,
    action: impl FnOnce() -> std::io::Result<T>,
) -> std::io::Result<T> {
    let before = sched_getaffinity(None)?;
    let mut only = CpuSet::new();
    only.set(cpu);
    sched_setaffinity(None, &only)?;
    let outcome = action();
    sched_setaffinity(None, &before)?;
    outcome
}

fn value<'a>(block: &'a str, name: &str) -> Option<&'a str> {
    let line = block.lines().find_map(|line| line.trim_start().strip_prefix(name))?;
    Some(line.trim())
}

fn port(block: &str) -> Option<u16> {
    let (_, rest) = block.split_once("https://")?;
    rest.split_once('/')?.0.rsplit_once(':')?.1.parse().ok()
}

fn ceiling(block: &str) -> Option<u64> {
    let mut words = value(block, "memory")?.strip_prefix("at most ")?.split_whitespace();
    let number: f64 = words.next()?.parse().ok()?;
    let unit = match words.next()? {
        "MiB" => 1u64 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    Some((number * unit as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::{ceiling, port, value};

    #[test]
    fn the_start_block_is_understood() {
        let block = "Ringway 0.1.0 serves site\n  at           https://localhost:8443/\n  \
                     TLS          kernel TLS: no\n  memory       at most 1.5 GiB of user memory: \
                     receive buffers 8 MiB\n";
        assert_eq!(port(block), Some(8443));
        assert_eq!(ceiling(block), Some(3 << 29));
        assert_eq!(value(block, "TLS"), Some("kernel TLS: no"));
        assert_eq!(
            value("  I/O          epoll, as asked for\n", "I/O"),
            Some("epoll, as asked for")
        );
        assert_eq!((port(""), ceiling("  memory  at most x\n")), (None, None));
    }
}
