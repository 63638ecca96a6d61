//! The program, for what needs a process of its own: signals.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use ringway::config::IoMode;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    PATIENCE,
    client::{Client, tls_config},
};

/// A running server with one worker.
pub(crate) struct Program {
    child: Child,
    port: u16,
}

impl Program {
    /// Serves this folder, with these options besides.
    pub(crate) fn serve(folder: &Path, options: &[String]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ringway"))
            .arg("serve")
            .arg(folder)
            .args(["--listen=127.0.0.1:0", "--workers=1", "--no-pin", "--ktls=off"])
            .args((crate::io::io() == IoMode::Poll).then_some("--io=poll"))
            .args(options)
            .env("XDG_STATE_HOME", folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut block = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        // The last line of the text; with a log of JSON the block is one line of that.
        while !block.contains("stop ") && !block.contains("\"stop\":") {
            assert!(stdout.read_line(&mut block).unwrap() > 0, "{block}");
        }
        let port = block.split("localhost:").nth(1).unwrap().split('/').next().unwrap();
        Self { port: port.parse().unwrap(), child }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.port, &tls_config())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops every thread of it, until it is continued.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
        let threads = format!("/proc/{}/task", self.child.id());
        let is_stopped = || {
            fs::read_dir(&threads).unwrap().all(|thread| {
                let stat = fs::read_to_string(thread.unwrap().path().join("stat")).unwrap();
                stat.rsplit(") ").next().unwrap().starts_with('T')
            })
        };
        wait_until("the program stops", is_stopped);
    }

    /// Ends it in order.
    pub(crate) fn end(mut self) {
        self.signal(Signal::TERM);
        assert!(self.child.wait().unwrap().success());
    }
}

pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "waited for long: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
