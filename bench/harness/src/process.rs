//! Child processes on a CPU of their own.
//!
//! The invariant: a [`Running`] process and its children are gone when the value is.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How long a server may take to listen, and to end.
const PATIENCE: Duration = Duration::from_secs(15);

/// Runs `action` with this thread, and so with what it starts, on `cpus`.
fn on_cpus<T>(cpus: &[usize], action: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let before = sched_getaffinity(None)?;
    let mut only = CpuSet::new();
    for &cpu in cpus {
        only.set(cpu);
    }
    sched_setaffinity(None, &only)?;
    let outcome = action();
    sched_setaffinity(None, &before)?;
    outcome
}

/// Runs a program to its end on `cpu`.
pub(crate) fn output_on(cpu: usize, command: &mut Command) -> io::Result<Output> {
    let child = on_cpus(&[cpu], || {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    })?;
    child.wait_with_output()
}

/// A port of the loopback that nobody listens on.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A server.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
}

impl Running {
    /// Starts a server on `cpus` and waits until it listens on `port`.
    pub(crate) fn start(cpus: &[usize], command: &mut Command, port: u16) -> Result<Self, String> {
        let program = command.get_program().display().to_string();
        let log = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
        let outputs = (log.reopen(), log.reopen());
        let (Ok(out), Ok(err)) = outputs else { return Err("no temporary file".into()) };
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let child =
            on_cpus(cpus, || command.spawn()).map_err(|error| format!("{program}: {error}"))?;
        let mut running = Self { child };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = running.child.try_wait().ok().flatten();
            if ended.is_some() || Instant::now() > deadline {
                let said = std::fs::read_to_string(log.path()).unwrap_or_default();
                let last = said.lines().last().unwrap_or("it said nothing");
                return Err(format!("{program} does not listen: {last}"));
            }
            sleep(Duration::from_millis(10));
        }
        Ok(running)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.child);
        // It may have ended already.
        let _ = kill_process(pid, Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            sleep(Duration::from_millis(5));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread::available_parallelism;

    use super::{Running, free_port, output_on};

    #[test]
    fn a_program_runs_on_its_cpu_and_this_thread_goes_back() {
        let before = available_parallelism().unwrap();
        let output =
            output_on(0, Command::new("grep").args(["Cpus_allowed_list", "/proc/self/status"]));
        let output = String::from_utf8(output.unwrap().stdout).unwrap();
        assert_eq!(output.split_ascii_whitespace().last(), Some("0"));
        assert_eq!(available_parallelism().unwrap(), before);
    }

    #[test]
    fn what_does_not_listen_is_told_with_its_last_words() {
        let port = free_port().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo first; echo no certificate >&2"]);
        let error = Running::start(&[0], &mut command, port).unwrap_err();
        assert!(error.ends_with("no certificate"), "{error}");
        let error =
            Running::start(&[0], &mut Command::new("/nonexistent/server"), port).unwrap_err();
        assert!(error.contains("/nonexistent/server"), "{error}");
    }
}
